"""Where the container engine listens: DOCKER_HOST, the usual sockets, Podman's."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ophion_docker.engine_errors import EngineUnavailable

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
_TLS_PORT = 2376
_PLAIN_PORT = 2375


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """One engine: `text` as people write it, and a socket path or the base URL of its HTTP server."""

    text: str
    unix_path: str = ""
    url: str = "http://engine"
    certificates: Path | None = None

    @property
    def local(self) -> bool:
        """True when the engine runs on this host, so that its containers are below this host's /proc and cgroups."""
        return bool(self.unix_path)


def parse_address(text: str, environment: Mapping[str, str] | None = None) -> EngineAddress:
    """Return the address of `unix:///path`, `/path`, `tcp://host:port`, `http://...` or `https://...`.

    DOCKER_TLS_VERIFY and DOCKER_CERT_PATH in `environment` mean what they mean to the docker command.
    Raises ValueError.
    """
    environment = os.environ if environment is None else environment
    scheme, separator, rest = text.partition("://")
    if text.startswith("/"):
        return EngineAddress(f"unix://{text}", text)
    if not separator or scheme not in ("unix", "tcp", "http", "https") or not rest:
        raise ValueError(f"must be unix:///path, tcp://host:port or https://host:port, got {text!r}")
    if scheme == "unix":
        return EngineAddress(text, rest)
    tls = scheme == "https" or (scheme == "tcp" and bool(environment.get("DOCKER_TLS_VERIFY")))
    host = rest.rstrip("/")
    if ":" not in host.rpartition("]")[2]:
        host = f"{host}:{_TLS_PORT if tls else _PLAIN_PORT}"
    folder = environment.get("DOCKER_CERT_PATH") or "~/.docker"
    return EngineAddress(
        text, url=f"{'https' if tls else 'http'}://{host}", certificates=Path(folder).expanduser() if tls else None
    )


def find_address(
    endpoint: str = "",
    environment: Mapping[str, str] | None = None,
    is_socket: Callable[[str], bool] | None = None,
) -> EngineAddress:
    """Return the engine that `endpoint` names or, where it is empty, DOCKER_HOST or the first socket that exists.

    Looked for in this order: Docker's socket, that of a rootless Docker, that of the user's Podman, that of the
    system's Podman. Without any, Docker's is returned, and connecting to it says that it is not there.
    """
    environment = os.environ if environment is None else environment
    named = endpoint or environment.get("DOCKER_HOST", "")
    if named:
        return parse_address(named, environment)
    exists = is_socket or _is_socket
    for path in usual_sockets(environment):
        if exists(path):
            return EngineAddress(f"unix://{path}", path)
    return parse_address(DEFAULT_ENDPOINT, environment)


def usual_sockets(environment: Mapping[str, str]) -> list[str]:
    """Return where Docker and Podman put their sockets for this user."""
    runtime = environment.get("XDG_RUNTIME_DIR", "").rstrip("/")
    own = [f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"] if runtime else []
    return ["/var/run/docker.sock", *own, "/run/podman/podman.sock"]


def client_context(address: EngineAddress) -> ssl.SSLContext | None:
    """Return the TLS context with `ca.pem`, `cert.pem` and `key.pem` of the certificates' folder; None without TLS.

    Raises EngineUnavailable for files that cannot be used.
    """
    folder = address.certificates
    if folder is None:
        return None
    try:
        ca = folder / "ca.pem"
        context = ssl.create_default_context(cafile=str(ca) if ca.exists() else None)
        if (folder / "cert.pem").exists():
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except (OSError, ssl.SSLError) as error:
        raise EngineUnavailable(
            f"engine at {address.text}: certificates in {folder} cannot be used: {error}; correct DOCKER_CERT_PATH"
        ) from error
    return context


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
