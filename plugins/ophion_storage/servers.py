"""The addresses of ClickHouse servers that hold the same data, their clients, and what their errors mean."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from ophion_agent.plugin import OphionError
from ophion_agent.tls import Reloading, client_context_of
from ophion_storage.config import ClickHouseConfig
from ophion_storage.engine import EngineError

if TYPE_CHECKING:
    import ssl

    from clickhouse_connect.driver.exceptions import Error
    from clickhouse_connect.driver.httpclient import HttpClient
    from urllib3 import PoolManager

_PORTS: Final = {"http": 8123, "https": 8443}
_DOWN_SECONDS: Final = 10.0
# Settings that the client sends unasked, by which a server would read values in another way than the embedded engine.
_UNASKED: Final = ("date_time_input_format", "cast_string_to_dynamic_use_inference")

_READONLY: Final = 164
_SLOW: Final = 209
_NETWORK: Final = 210
_REFUSED: Final = frozenset({192, 193, 194, 516})
# What a balancer says when no server is behind it.
_STATUS: Final = re.compile(r"HTTP status (\d+)")
_BUSY_STATUS: Final = frozenset({"429", "500", "502", "503", "504"})


class Unreachable(EngineError):  # noqa: N818 - a state of a server
    """A server that cannot be asked now; `sent` says whether it may have got the statement."""

    def __init__(self, where: str, reason: str, *, sent: bool) -> None:
        super().__init__(f"Code: {_NETWORK}. DB::Exception: {where} cannot be reached, {reason}")
        self.sent = sent


@dataclass(slots=True)
class Server:
    """One address and its client, which is made at first use."""

    url: SplitResult
    client: HttpClient | None = None
    down_until: float = 0.0

    @property
    def name(self) -> str:
        """The address as errors show it."""
        return f"{self.url.scheme}://{self.url.netloc}{self.url.path}"


class Servers:
    """The servers of one configuration. Everything that waits for the network is to be called in a thread."""

    def __init__(
        self,
        config: ClickHouseConfig,
        *,
        connections: int,
        read_timeout_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._connections = connections
        self._read_timeout_seconds = read_timeout_seconds
        self._monotonic = monotonic
        self._servers: list[Server] = []
        self._turn = 0
        self._tls: Reloading[ssl.SSLContext] | None = None

    def __repr__(self) -> str:
        return f"Servers({', '.join(server.name for server in self._servers)})"

    async def start(self, executor: Executor) -> None:
        """Connect to all, in threads of `executor`; raises OphionError when none can be used."""
        self._servers = [Server(parse_url(url)) for url in self._config.urls]
        if any(server.url.scheme == "https" for server in self._servers):
            tls = self._config.tls
            self._tls = Reloading(tls, lambda material: client_context_of(tls, material))
        loop = asyncio.get_running_loop()
        tried = [loop.run_in_executor(executor, self._failure, server) for server in self._servers]
        failures = [failure for failure in await asyncio.gather(*tried) if failure is not None]
        if len(failures) == len(self._servers):
            hint = "check `user` and `password`" if failures[0].code in _REFUSED else "check `urls` and `tls`"
            raise OphionError(f"clickhouse: no server can be used; {hint}: " + "; ".join(map(str, failures)))

    def _failure(self, server: Server) -> EngineError | None:
        try:
            self.client(server)
        except EngineError as error:
            self.is_down(server)
            return error
        return None

    def close(self) -> None:
        """Close the connections; those that are in use close when their statement ends."""
        for server in self._servers:
            client, server.client = server.client, None
            if client is not None:
                client.close_connections()

    # ---- which one

    def in_turn(self) -> list[Server]:
        """Return the servers in the order in which to try them: another one first at each call."""
        self._turn += 1
        start = self._turn % max(1, len(self._servers))
        return self._by_health([*self._servers[start:], *self._servers[:start]])

    def in_order(self) -> list[Server]:
        """Return the servers in the order of the configuration, those that could not be reached last."""
        return self._by_health(self._servers)

    def _by_health(self, servers: Sequence[Server]) -> list[Server]:
        now = self._monotonic()
        return sorted(servers, key=lambda server: server.down_until > now)

    def is_down(self, server: Server) -> None:
        """Ask others first for a while."""
        server.down_until = self._monotonic() + _DOWN_SECONDS

    # ---- clients

    def client(self, server: Server) -> HttpClient:
        """Return the server's client, connected; raises EngineError. To be called in a thread."""
        from clickhouse_connect.driver.exceptions import Error

        if server.client is None:
            try:
                server.client = self._connect(server.url)
            except Error as error:
                problem = translated(server, error)
                if problem.code in (_SLOW, _NETWORK):
                    raise Unreachable(server.name, reason_of(error), sent=False) from error
                raise problem from error
        return server.client

    def _connect(self, url: SplitResult) -> HttpClient:
        from clickhouse_connect.driver import create_client
        from clickhouse_connect.driver.httpclient import HttpClient

        config = self._config
        password = config.password.get_secret_value() if config.password else ""
        by_certificate = not password and bool(config.tls.cert_file or config.tls.cert_pem) and url.scheme == "https"
        client = create_client(
            interface=url.scheme,
            host=url.hostname or "",
            port=url.port or _PORTS[url.scheme],
            username="" if by_certificate else config.user,
            password=password,
            headers=_certificate_headers(config.user) if by_certificate else None,
            proxy_path=url.path,
            pool_mgr=self._pool(),
            compress=False,
            query_retries=0,
            connect_timeout=ceil(config.connect_timeout),
            send_receive_timeout=ceil(self._read_timeout_seconds),
            autogenerate_session_id=False,
            autogenerate_query_id=False,
        )
        assert isinstance(client, HttpClient)
        client.http_retries = 0
        for name in _UNASKED:
            client.params.pop(name, None)
        return client

    def _pool(self) -> PoolManager:
        from urllib3 import PoolManager

        if self._tls is None:
            return PoolManager(num_pools=1, maxsize=self._connections)
        name = self._config.tls.server_name_override or None
        return PoolManager(
            num_pools=1,
            maxsize=self._connections,
            ssl_context=self._tls.current,
            assert_hostname=name,
            server_hostname=name,
        )

    def take_renewed_certificates(self) -> None:
        """Make new connections with certificates that were renewed."""
        if self._tls is None or self._tls.renewed() is None:
            return
        for server in self._servers:
            if server.client is not None:
                server.client.close_connections()
                server.client.http = self._pool()


def parse_url(url: str) -> SplitResult:
    """Return the parts of an address; raises OphionError, which never repeats credentials."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = urlsplit(""), False
    if "@" in url:
        raise OphionError("clickhouse.urls: an address must not hold credentials; use `user` and `password`")
    if not usable or parts.query or parts.fragment:
        raise OphionError(f"clickhouse.urls: must be like https://ch-1.example.com:8443, got {url!r}")
    return parts._replace(path=parts.path.rstrip("/"))


def _certificate_headers(user: str) -> dict[str, str]:
    """Return the headers by which the certificate of the connection stands for the user."""
    return {"X-ClickHouse-User": user, "X-ClickHouse-SSL-Certificate-Auth": "on"}


def translated(server: Server, error: Error) -> EngineError:
    """Return what the client's error says, in the engine's words."""
    from clickhouse_connect.driver.exceptions import ProgrammingError
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

    text = str(error).rpartition(" (for url ")[0] or str(error)
    if error.code is not None:
        return EngineError(f"Code: {error.code}. DB::Exception: {text.partition('DB::Exception: ')[2] or text}")
    if isinstance(error, ProgrammingError):
        return EngineError(f"Code: {_READONLY}. DB::Exception: {error}; check the profile of the user")
    cause = _cause(error)
    if isinstance(cause, ReadTimeoutError):
        return EngineError(f"Code: {_SLOW}. DB::Exception: {server.name} did not answer in time")
    status = _STATUS.search(text)
    if cause is None and not (status and status.group(1) in _BUSY_STATUS):
        return EngineError(f"{server.name}: {text}")
    sent = not isinstance(cause, NewConnectionError | ConnectTimeoutError)
    return Unreachable(server.name, reason_of(error), sent=sent)


def _cause(error: BaseException) -> BaseException | None:
    cause = error.__cause__
    return getattr(cause, "reason", None) or cause


def reason_of(error: BaseException) -> str:
    """Return why a server cannot be reached, without the statement, which the client's own message repeats."""
    cause = _cause(error)
    return str(error if cause is None else cause).rpartition(": ")[2]
