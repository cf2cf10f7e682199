"""HTTP to a container engine: version negotiation, deadlines, typed errors, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, Final, Self

from ophion_docker.engine_address import EngineAddress, client_context, find_address
from ophion_docker.engine_errors import EngineTimeout, EngineUnavailable, answer_error, connection_error

if TYPE_CHECKING:
    from types import TracebackType

    import aiohttp

LOWEST_VERSION: Final = "1.24"
HIGHEST_VERSION: Final = "1.47"
"""What this client was written against; an engine that has more still speaks this."""

DEFAULT_SECONDS: Final = 30.0
_STREAM_BUFFER: Final = 256 << 10
_LARGEST_REASON: Final = 2000

Query = Mapping[str, Any]
Body = bytes | IO[bytes] | AsyncIterable[bytes]


def version_key(text: str) -> tuple[int, int]:
    """Return an API version such as `1.41` as numbers that compare."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def choose_version(lowest: str, highest: str) -> str:
    """Return the version to speak with an engine that has `lowest` to `highest`; ValueError when there is none."""
    chosen = min(version_key(highest), version_key(HIGHEST_VERSION))
    if chosen < version_key(LOWEST_VERSION) or chosen < version_key(lowest or LOWEST_VERSION):
        raise ValueError(
            f"speaks API versions {lowest or '?'} to {highest}, this agent {LOWEST_VERSION} to {HIGHEST_VERSION}"
        )
    return f"{chosen[0]}.{chosen[1]}"


class EngineConnection:
    """A connection pool to one engine; `open` before use, `close` after it, also as `async with`.

    Every call has a deadline: `timeout_seconds`, or the call's own `seconds`. Calls raise EngineUnavailable,
    EngineTimeout or EngineAnswer.
    """

    def __init__(
        self,
        address: EngineAddress | str = "",
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
        api_version: str = "",
    ) -> None:
        self.address = find_address(address) if isinstance(address, str) else address
        self.timeout_seconds = timeout_seconds
        self.api_version = api_version
        self.runtime = "docker"
        self.engine_version = ""
        self._pinned = api_version
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._negotiated = False
        self._negotiating = asyncio.Lock()

    async def open(self) -> Self:
        """Connect and agree on a version. Raises EngineError; may be called again after it did."""
        await self._negotiate()
        return self

    async def close(self) -> None:
        """Close every connection, streams included."""
        sessions, self._sessions, self._negotiated = self._sessions, {}, False
        for session in sessions.values():
            await session.close()

    async def __aenter__(self) -> Self:
        try:
            return await self.open()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def renegotiate(self) -> None:
        """Ask for the version again at the next call: another engine may answer at this address."""
        self._negotiated = False

    def at_least(self, version: str) -> bool:
        """True when the version spoken is `version` or later."""
        return version_key(self.api_version or LOWEST_VERSION) >= version_key(version)

    async def get_json(self, path: str, query: Query | None = None, *, seconds: float | None = None) -> Any:
        """Return the JSON answer to a GET."""
        return _decoded(await self.call("GET", path, query, seconds=seconds))

    async def post_json(
        self, path: str, body: Any = None, query: Query | None = None, *, seconds: float | None = None
    ) -> Any:
        """Return the JSON answer to a POST of JSON, or None for an empty answer."""
        return _decoded(await self.call("POST", path, query, body, seconds=seconds))

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        seconds: float | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Return the answer's body. `body` is sent as JSON, or as it is with another `content_type`."""
        deadline = self.timeout_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(deadline), self._response(method, path, query, body, content_type) as response:
                return await response.read()
        except TimeoutError as error:
            raise EngineTimeout(f"{method} {path}: no answer from {self.address.text} in {deadline:g} s") from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        seconds: float | None = None,
        unframed: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give a response whose body is read as it comes; the deadline holds for its headers only.

        Not reading stops the engine from sending. A connection that breaks in the block raises EngineUnavailable.
        `unframed` asks by HTTP/1.0: the engine puts every line into an HTTP chunk of its own, which costs several times
        what the line costs; without chunks a connection that breaks ends the body like one that is complete.
        """
        import aiohttp

        deadline = self.timeout_seconds if seconds is None else seconds
        begun = False
        try:
            async with asyncio.timeout(deadline) as limit:
                async with self._response(method, path, query, body, "application/json", unframed) as response:
                    limit.reschedule(None)
                    begun = True
                    yield response
        except TimeoutError as error:
            if begun:
                raise
            raise EngineTimeout(f"{method} {path}: no answer from {self.address.text} in {deadline:g} s") from error
        except aiohttp.ClientError as error:
            raise connection_error(self.address.text, error) from error

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, query: Query | None, body: Any, content_type: str, unframed: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._negotiate()
        target = f"/v{self.api_version}{path}"
        async with self._exchange(method, target, query, body, content_type, unframed) as response:
            if response.status >= 400:
                raise answer_error(f"{method} {path}", response.status, _reason(await response.read()))
            yield response

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "",
        unframed: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        data, headers = _payload(body, content_type)
        try:
            response = await self._opened(unframed).request(
                method, f"{self.address.url}{path}", params=_parameters(query), data=data, headers=headers
            )
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise connection_error(self.address.text, error) from error
        try:
            yield response
        except aiohttp.ClientError as error:
            raise connection_error(self.address.text, error) from error
        finally:
            # A stream that was not read to its end cannot be used again.
            response.close()

    def _opened(self, unframed: bool) -> aiohttp.ClientSession:
        import aiohttp

        if unframed not in self._sessions:
            unix, tls = self.address.unix_path, client_context(self.address)
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(unix, limit=0)
                if unix
                else aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls)
            )
            self._sessions[unframed] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "ophion-agent"},
                read_bufsize=_STREAM_BUFFER,
                version=aiohttp.HttpVersion10 if unframed else aiohttp.HttpVersion11,
            )
        return self._sessions[unframed]

    async def _negotiate(self) -> None:
        if self._negotiated:
            return
        async with self._negotiating:
            if not self._negotiated:
                await self._ask_version()
                self._negotiated = True

    async def _ask_version(self) -> None:
        try:
            async with asyncio.timeout(self.timeout_seconds), self._exchange("GET", "/version") as response:
                text = await response.read()
        except TimeoutError as error:
            raise EngineTimeout(
                f"GET /version: no answer from {self.address.text} in {self.timeout_seconds:g} s"
            ) from error
        try:
            found = json.loads(text)
            self.api_version = self._pinned or choose_version(found.get("MinAPIVersion", ""), found["ApiVersion"])
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            reason = f"it {error}" if str(error).startswith("speaks") else "this is no container engine"
            raise EngineUnavailable(f"engine at {self.address.text}: {reason}; check `endpoint`") from error
        names = [str(part.get("Name", "")) for part in found.get("Components") or ()]
        self.runtime = "podman" if any("podman" in name.lower() for name in names) else "docker"
        self.engine_version = str(found.get("Version", ""))


def _payload(body: Any, content_type: str) -> tuple[Body | None, dict[str, str]]:
    if body is None:
        return None, {}
    if content_type == "application/json":
        return json.dumps(body).encode(), {"Content-Type": content_type}
    return body, {"Content-Type": content_type}


def _parameters(query: Query | None) -> list[tuple[str, str]]:
    """Return a query as the engine reads it.

    Booleans are 0 and 1, maps and lists (filters) JSON, a tuple is a parameter that repeats, None is left out.
    """
    pairs = [(name, value) for name, value in (query or {}).items() if value is not None]
    return [
        (name, _parameter(each)) for name, value in pairs for each in (value if isinstance(value, tuple) else (value,))
    ]


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _decoded(answer: bytes) -> Any:
    return json.loads(answer) if answer.strip() else None


def _reason(answer: bytes) -> str:
    text = answer[:_LARGEST_REASON].decode("utf-8", "replace").strip()
    try:
        found = json.loads(answer)
    except ValueError:
        return text
    # Podman puts the cause beside the message.
    return str(found.get("message") or found.get("cause") or text) if isinstance(found, dict) else text
