"""The command line as a client of a server's HTTP API: where it is, which key opens it, and what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from ophion_agent.plugin import OphionError

if TYPE_CHECKING:
    import aiohttp

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 150.0
# A server writes into live streams every 15 seconds.
_SILENCE_SECONDS: Final = 60.0
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PIECE: Final = 1 << 16


class UsageError(OphionError):
    """What was typed cannot be: exit code 2."""


class Unreachable(OphionError):  # noqa: N818 - a state of a server
    """No server answers at the address."""


class Refused(OphionError):  # noqa: N818 - what a server did
    """A server answered with an error; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is asked, and with which key."""
    parser.add_argument("--url", metavar="URL", help="the server; $OPHION_URL, or http://localhost:8080 by default")
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        help="file with an API key; by default $OPHION_KEY, and for a server on this host its own key file",
    )


@dataclass(frozen=True, slots=True)
class Client:
    """A server and the key to it. `problem` says what to do about a missing key."""

    url: str
    key: str

    @classmethod
    def of(cls, options: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Client:
        """Return the client that options and environment name; raises UsageError."""
        environ = os.environ if environ is None else environ
        default = f"http://localhost:{environ.get('API_PORT') or 8080}"
        url = (options.url or environ.get("OPHION_URL") or default).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            # An address with credentials is not repeated.
            raise UsageError("--url: must be like https://ophion.example.com or http://localhost:8080, without a key")
        key = read_key(options.key_file, environ, is_local=parts.hostname in _LOCAL)
        return cls(url, key)

    async def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer; raises OphionError."""
        return await self.ask("GET", path, params=_query(parameters))

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON answer to any request; raises OphionError."""
        async with self.open(method, path, seconds=_ANSWER_SECONDS, **options) as response:
            body = await response.read()
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise OphionError(f"{self.url}{path}: did not answer with JSON; check --url") from None

    async def events(
        self, path: str, parameters: Mapping[str, Any], last_id: str
    ) -> AsyncIterator[tuple[str, str, Any]]:
        """Iterate over (id, name, data) of server-sent events until the server ends them; raises OphionError."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with self.open("GET", path, params=_query(parameters), headers=headers) as response:
            fields: dict[str, str] = {}
            async for raw in _lines(response):
                name, _, value = raw.partition(":")
                if raw:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields:
                    yield fields.get("id", ""), fields.get("event", "message"), orjson.loads(fields["data"])
                fields = {}

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        seconds: float | None = None,
        silence: float | None = _SILENCE_SECONDS,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield the response once its status is good; raises OphionError with the remedy."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS, sock_read=silence)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= options.pop("headers", {})
        try:
            async with (
                # A record of a log can be long: the line it is in has no limit of its own here.
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.request(method, self.url + path, headers=headers, allow_redirects=False, **options) as response,
            ):
                if response.status >= 300:
                    raise self._error(response.status, response.headers, await response.content.read(_PIECE))
                yield response
        except aiohttp.ClientSSLError as error:
            remedy = "name the server as its certificate does, and its authority by SSL_CERT_FILE"
            raise OphionError(f"{self.url}: no TLS connection: {error}; {remedy}") from error
        except aiohttp.ClientConnectorError as error:
            reason = error.strerror or str(error)
            raise Unreachable(
                f"{self.url}: no server answers: {reason}; start one, or name it with --url or OPHION_URL"
            ) from error
        except TimeoutError as error:
            raise OphionError(f"{self.url}: did not answer in time; ask for less, or look at the server") from error
        except aiohttp.ClientError as error:
            raise OphionError(
                f"{self.url}: the connection broke: {error or type(error).__name__}; try again"
            ) from error

    def _error(self, status: int, headers: Mapping[str, str], body: bytes) -> OphionError:
        detail = _detail(body)
        if status in (400, 422):
            return UsageError(detail or f"{self.url}: the request is wrong ({status})")
        if 300 <= status < 400:
            reason = f"redirects to {headers.get('Location', '')[:200]}; give that address to --url"
        elif status == 401:
            sent = "the key is not accepted" if self.key else "a key is needed"
            reason = f"{sent}; give one with --key-file or OPHION_KEY; `ophion-agent server key create` makes one"
        elif status == 403:
            reason = f"the key may not do this: {detail}"
        elif status == 429:
            reason = f"too many requests; try again in {headers.get('Retry-After', '1')} s"
        elif status == 503:
            reason = f"the server is busy: {detail}"
        else:
            reason = detail or "no reason given"
        return Refused(f"{self.url}: {reason} ({status})", status)


def read_key(key_file: str | None, environ: Mapping[str, str], *, is_local: bool) -> str:
    """Return the key to send, "" for none; the key file of this host's server is for this host alone."""
    if key_file:
        return _key_in(Path(key_file))
    if environ.get("OPHION_KEY"):
        return environ["OPHION_KEY"].strip()
    folders = [environ.get("STATE_DIRECTORY", ""), "./var"]
    for path in (Path(folder, "control", "cli.key") for folder in folders if folder):
        if is_local and path.exists():
            return _key_in(path)
    return ""


def _key_in(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise UsageError(
            f"{path}: the key cannot be read: {reason}; run as the server's user, or name another"
        ) from error
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{path}: must hold a key on one line; `ophion-agent server key create` makes one")
    return key


def _query(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    given = {name: value for name, value in (parameters or {}).items() if value not in (None, "")}
    return {name: str(value) for name, value in given.items()}


def _detail(body: bytes) -> str:
    """Return what a problem document or a Prometheus error says."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:200].decode(errors="replace").strip()
    return str(document.get("detail") or document.get("error") or "") if isinstance(document, dict) else ""


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    buffer = b""
    async for piece in response.content.iter_any():
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").removesuffix("\r")


def write(text: str) -> None:
    """Write a line for whoever reads the output."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Write a line for the person at the terminal."""
    sys.stderr.write(f"ophion-agent: {text}\n")
