"""HTTP out: one aiohttp session from otelcol's client keys, and one meaning of what servers answer.

Exporters that speak HTTP mix `HTTPClientConfig` into their config and post through `HTTPClient`, which compresses,
authenticates, and raises RetryableError or PermanentError as the sending stack expects.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import Field, field_validator, model_validator

from ophion_agent.component import Config
from ophion_agent.compression import check_encoding, compress
from ophion_agent.errors import PermanentError, RetryableError
from ophion_agent.fields import ByteSize, Duration, Secret, parse_endpoint
from ophion_agent.services import CLIENT_AUTH, ClientAuth, Provides
from ophion_agent.tls import Reloading, TLSClientConfig, client_context_of

if TYPE_CHECKING:
    import ssl

    import aiohttp

    from ophion_agent.context import Context

RETRYABLE_STATUSES: Final = frozenset({429, 502, 503, 504})
"""Every other error status means that the same request cannot succeed (OTLP, retryable response codes)."""

_LARGEST_RESPONSE: Final = 4 << 20
_LARGE_BODY: Final = 1 << 20
_EXCERPT: Final = 512


class ClientAuthReference(Config):
    """Names the extension that adds credentials to requests."""

    authenticator: Annotated[str, Provides(CLIENT_AUTH)] = Field(
        description="Id of an extension that adds credentials."
    )


class CompressionParams(Config):
    """How hard to compress."""

    level: int | None = Field(None, description="Level of the algorithm; unset takes a fast one.")


def as_client_options(value: Any) -> Any:
    """Return client options without the null ones, which mean the default (`tls:`).

    ValueError names the two common mistakes and how to write it instead.
    """
    if not isinstance(value, dict):
        return value
    if "insecure" in value:
        raise ValueError("`insecure` belongs under `tls`; write `tls: {insecure: true}`")
    if isinstance(value.get("headers"), list):
        raise ValueError("`headers` must be a map, got a list; write `headers: {name: value}`")
    return {name: option for name, option in value.items() if option is not None}


class HTTPClientConfig(Config):
    """otelcol's keys of an HTTP client."""

    endpoint: str = Field("", description="URL to send to: http://host:port, https://host:port or unix:/path.")
    tls: TLSClientConfig = Field(TLSClientConfig(), description="How to speak TLS to an https endpoint.")
    headers: dict[str, Secret] = Field({}, description="Headers added to every request.")
    compression: str = Field("gzip", description="Encoding of request bodies: gzip, zstd, zlib, deflate or none.")
    compression_params: CompressionParams = Field(CompressionParams(), description="How hard to compress.")
    proxy_url: str = Field("", description="Proxy to send through; without it the environment's proxy settings hold.")
    auth: ClientAuthReference | None = Field(None, description="Extension that adds credentials.")
    read_buffer_size: ByteSize = Field(64 << 10, ge=0, description="Bytes of a response buffered at most.")
    write_buffer_size: ByteSize = Field(64 << 10, ge=0, description="Accepted for compatibility.")
    max_idle_conns: int = Field(100, ge=0, description="Accepted for compatibility; `idle_conn_timeout` bounds them.")
    max_idle_conns_per_host: int = Field(0, ge=0, description="Accepted for compatibility.")
    max_conns_per_host: int = Field(0, ge=0, description="Most connections to one host; 0 for no limit.")
    idle_conn_timeout: Duration = Field(90.0, ge=0, description="Close a connection unused for this long.")
    disable_keep_alives: bool = Field(False, description="Open a connection for every request.")
    force_attempt_http2: bool = Field(True, description="Accepted for compatibility; HTTP/1.1 is spoken.")
    http2_read_idle_timeout: Duration = Field(0.0, ge=0, description="Accepted for compatibility.")
    http2_ping_timeout: Duration = Field(0.0, ge=0, description="Accepted for compatibility.")

    @model_validator(mode="before")
    @classmethod
    def _usual_forms(cls, value: Any) -> Any:
        return as_client_options(value)

    @field_validator("compression")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return check_encoding(value)
        except PermanentError as exc:
            raise ValueError(f"{exc}, or none") from exc


class Response(NamedTuple):
    """A 2xx answer."""

    status: int
    body: bytes
    content_type: str


def client_auth(reference: ClientAuthReference | None, context: Context) -> ClientAuth | None:
    """Return the authenticator that a config names, or None when it names none."""
    return context.service(CLIENT_AUTH, reference.authenticator) if reference else None


class HTTPClient:
    """Posts bodies while started."""

    def __init__(
        self,
        config: HTTPClientConfig,
        *,
        auth: ClientAuth | None = None,
        user_agent: str = "ophion-agent",
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._auth = auth
        self._monotonic = monotonic
        self._now = now
        self._report = report
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}
        self._tls: Reloading[ssl.SSLContext] | None = None
        self._headers = {"User-Agent": user_agent}
        self._headers |= {name: value.get_secret_value() for name, value in config.headers.items()}

    async def start(self) -> None:
        """Make the session; nothing is sent. Raises TLSError for files that cannot be used."""
        import aiohttp

        config = self._config
        if not config.tls.insecure:
            self._tls = Reloading(
                config.tls, lambda material: client_context_of(config.tls, material), self._monotonic, self._report
            )
        options: dict[str, Any] = {"limit": 0, "limit_per_host": config.max_conns_per_host}
        if config.disable_keep_alives:
            options["force_close"] = True
        else:
            options["keepalive_timeout"] = config.idle_conn_timeout or None
        unix_path = _unix_path(config.endpoint)
        connector = aiohttp.UnixConnector(unix_path, **options) if unix_path else aiohttp.TCPConnector(**options)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            # The sending stack limits each try.
            timeout=aiohttp.ClientTimeout(total=None),
            # aiohttp would read netrc and the environment again at every request.
            trust_env=False,
            read_bufsize=config.read_buffer_size or 64 << 10,
        )

    async def stop(self) -> None:
        """Close the session and its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self,
        url: str,
        body: bytes,
        content_type: str,
        metadata: Mapping[str, tuple[str, ...]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the 2xx answer to `body`, which is compressed on its way.

        `metadata` is that of the batch, for the authenticator. Raises RetryableError (no connection, 429, 502, 503,
        504, with the server's delay) or PermanentError (every other answer).
        """
        import aiohttp

        if self._session is None:
            raise RetryableError(f"{url}: the client is not started")
        encoding = self._config.compression
        sent = {"Content-Type": content_type, **(headers or {})}
        if encoding:
            sent["Content-Encoding"] = encoding
            body = compress(body, encoding, self._config.compression_params.level)
        sent["Content-Length"] = str(len(body))
        if self._auth is not None:
            sent.update(await self._auth.headers(metadata or {}))
        try:
            async with self._session.post(
                url,
                # aiohttp sends bytes in one write, and warns of large ones; an iterator goes out in pieces.
                data=_pieces(body) if len(body) > _LARGE_BODY else body,
                headers=sent,
                ssl=self._ssl(),
                proxy=self._proxy_of(url),
                allow_redirects=False,
            ) as response:
                answer = await _read_answer(response)
                if response.status < 300:
                    return Response(response.status, answer, response.content_type)
                raise error_of_status(url, response.status, response.headers, answer, self._now())
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as exc:
            raise PermanentError(f"{url}: not an http or https URL; check `endpoint`") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise RetryableError(f"{url}: {_reason(exc)}") from exc

    def _proxy_of(self, url: str) -> str | None:
        """Return the configured proxy, or that of the environment (HTTP_PROXY, NO_PROXY ...), looked up once a URL."""
        if self._config.proxy_url:
            return self._config.proxy_url
        if url not in self._proxies:
            parts = urlsplit(url)
            bypassed = bool(proxy_bypass(parts.hostname or ""))
            self._proxies[url] = None if bypassed else getproxies().get(parts.scheme)
        return self._proxies[url]

    def _ssl(self) -> ssl.SSLContext | bool:
        if self._tls is None:
            return True
        self._tls.renewed()
        return self._tls.current


def error_of_status(
    url: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime
) -> RetryableError | PermanentError:
    """Return the error that an answer which is not 2xx means, with an excerpt of its body."""
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    text = f"{url}: HTTP {status} {reason}".rstrip()
    if 300 <= status < 400:
        return PermanentError(f"{text}: redirects are not followed; send to {headers.get('Location', 'its target')}")
    excerpt = body[:_EXCERPT].decode("utf-8", "replace").strip()
    if excerpt and excerpt.isprintable():
        text = f"{text}: {excerpt}"
    if status in RETRYABLE_STATUSES:
        return RetryableError(text, retry_after_seconds(headers.get("Retry-After", ""), now))
    return PermanentError(text)


def retry_after_seconds(value: str, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or an HTTP-date); None when it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _LARGE_BODY):
        yield body[start : start + _LARGE_BODY]


def _reason(error: Exception) -> str:
    """Say why no answer came; aiohttp's own words for a failed connection name its TLS context object."""
    cause = getattr(error, "os_error", error)
    return f"{type(error).__name__}: {getattr(cause, 'strerror', None) or cause}"


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or its first 4 MiB: answers are small, and a hostile one must not fill the memory."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > _LARGEST_RESPONSE:
            response.close()
            break
    return b"".join(parts)


def _unix_path(endpoint: str) -> str | None:
    return parse_endpoint(endpoint).unix_path if endpoint.startswith("unix") else None
