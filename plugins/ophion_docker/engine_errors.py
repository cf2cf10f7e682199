"""What a Docker Engine or Podman answers when it does not do as asked.

EngineError
├── EngineUnavailable    no engine to talk to: no socket, no permission, refused, wrong certificate
├── EngineTimeout        the engine took longer than the deadline
└── EngineAnswer         the engine refused; `status` is the HTTP status
    ├── NotFound         no such container, image, network or volume
    ├── Conflict         the name is taken, or the state does not allow it
    └── EngineFault      the engine failed (5xx)
"""

from __future__ import annotations

import errno
import os
import ssl

from ophion_agent.plugin import OphionError


class EngineError(OphionError):
    """Base of all errors of the engine client."""


class EngineUnavailable(EngineError):  # noqa: N818 - what happened, like NotFound and Conflict
    """No engine can be reached at the address; the message says why and what to do."""


class EngineTimeout(EngineError):  # noqa: N818 - what happened, like NotFound and Conflict
    """The engine did not answer in time; whether it did as asked is not known."""


class EngineAnswer(EngineError):  # noqa: N818 - what happened, like NotFound and Conflict
    """The engine refused what was asked."""

    def __init__(self, call: str, status: int, message: str) -> None:
        super().__init__(f"{call}: {message or 'no reason given'} (HTTP {status})")
        self.status = status
        self.reason = message


class NotFound(EngineAnswer):
    """What the call names does not exist, or not any more."""


class Conflict(EngineAnswer):
    """A name is taken, or the state of the container does not allow the call."""


class EngineFault(EngineAnswer):
    """The engine itself failed."""


def answer_error(call: str, status: int, message: str) -> EngineAnswer:
    """Return the error for an HTTP status of 400 or more."""
    if status == 404:
        return NotFound(call, status, message)
    if status == 409:
        return Conflict(call, status, message)
    return (EngineFault if status >= 500 else EngineAnswer)(call, status, message)


def connection_error(address: str, error: BaseException) -> EngineUnavailable:
    """Return the error for a connection that could not be made or broke, with the remedy."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLError):
        return EngineUnavailable(
            f"engine at {address}: TLS: {cause}; check DOCKER_CERT_PATH and the certificates in it"
        )
    code = cause.errno if isinstance(cause, OSError) else None
    what = f"{type(error).__name__}: {error}" if code is None else os.strerror(code)
    return EngineUnavailable(f"engine at {address}: {what}{_remedy(code)}")


def _remedy(code: int | None) -> str:
    if code in (errno.ENOENT, errno.ENOTDIR):
        return "; start the engine, or set `endpoint` to its socket"
    if code in (errno.EACCES, errno.EPERM):
        return f"; let the agent's user (id {os.geteuid()}) use the socket: add it to the group that owns it (docker)"
    if code == errno.ECONNREFUSED:
        return "; the engine does not run, start it"
    return ""
