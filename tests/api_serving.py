"""The `api` extension on a free port with the routes of a test: real sockets, a scripted authorizer.

async with serve([Route(...)]) as server:
    answer = await server.get("/api/things", key="reader")
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp

from ophion_agent.clock import Clock
from ophion_agent.context import Context
from ophion_agent.health import Readiness
from ophion_agent.info import ComponentInfo
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.server import (
    ANONYMOUS,
    AUTHORIZER,
    HTTP_ROUTES,
    PAGES,
    Permission,
    Principal,
    Route,
    TooManyRequests,
    Unauthorized,
)
from ophion_api.config import ApiConfig
from ophion_api.extension import Api

EVERYTHING = frozenset(Permission)
KEYS: Mapping[str, Principal] = {
    "nobody": Principal("nobody", "api_key", "default", frozenset()),
    "reader": Principal("reader", "api_key", "default", frozenset({Permission.READ})),
    "writer": Principal("writer", "ingest_key", "default", frozenset({Permission.INGEST})),
    "admin": Principal("admin", "user", "default", EVERYTHING),
}


@dataclass
class FakeAuthorizer:
    """Knows the callers by their bearer key; `limit` is how many requests are admitted."""

    keys: Mapping[str, Principal] = field(default_factory=lambda: dict(KEYS))
    limit: int = 1_000_000
    asked: list[tuple[Mapping[str, str], Mapping[str, str], str, str]] = field(default_factory=list)
    admitted: list[tuple[str, str]] = field(default_factory=list)

    async def identify(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, client: str, method: str
    ) -> Principal:
        """Return the caller of the key in the Authorization header."""
        self.asked.append((headers, cookies, client, method))
        given = headers.get("authorization", "")
        if not given:
            return ANONYMOUS
        principal = self.keys.get(given.removeprefix("Bearer "))
        if principal is None:
            raise Unauthorized("unknown key; create one")
        return principal

    def admit(self, principal: Principal, client: str) -> None:
        """Remember the request, and refuse it once the limit is used up."""
        self.admitted.append((principal.subject, client))
        if len(self.admitted) > self.limit:
            raise TooManyRequests("too many requests; wait", 7)


@dataclass
class FakeAgent:
    """What `context.agent` shows."""

    version: str = "1.2.3"
    started_ns: int = 0
    running: list[ComponentInfo] = field(default_factory=list)

    def readiness(self) -> Readiness:
        """Return that everything works."""
        return Readiness(True, ())

    def components(self) -> Sequence[ComponentInfo]:
        """Return what the test set."""
        return self.running


@dataclass(frozen=True)
class Source:
    """Offers fixed routes."""

    offered: Sequence[Route]

    def routes(self) -> Sequence[Route]:
        """Return them."""
        return self.offered


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    raw: aiohttp.ClientResponse

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        import json

        return json.loads(self.body)


@dataclass
class Server:
    """A running API."""

    url: str
    api: Api
    authorizer: Any
    metrics: SelfMetrics
    agent: FakeAgent
    session: aiohttp.ClientSession

    async def request(
        self, method: str, path: str, *, key: str = "", headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Send a request; `key` goes into the Authorization header."""
        sent = dict(headers or {})
        if key:
            sent["Authorization"] = f"Bearer {key}"
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, self.url + path, headers=sent, **options) as response:
            return Answer(response.status, response.headers.copy(), await response.read(), response)

    async def get(self, path: str, **options: Any) -> Answer:
        """Send a GET request."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """Send a POST request."""
        return await self.request("POST", path, **options)


def make_api(
    sources: Mapping[str, Any],
    authorizer: Any,
    config: Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    metrics: SelfMetrics | None = None,
    agent: Any = None,
) -> Api:
    """Return the extension, not started; `sources` are the providers of routes by their id."""
    context = Context(
        "extension",
        "api",
        clock=clock or Clock(),
        metrics=metrics or SelfMetrics(),
        services={**sources, "authorizer of the test": authorizer},
        provided={AUTHORIZER.name: "authorizer of the test"},
        gathered={
            HTTP_ROUTES.name: list(sources),
            PAGES.name: [name for name, source in sources.items() if hasattr(source, "page")],
        },
        agent=agent or cast(Any, FakeAgent()),
    )
    return Api(ApiConfig.model_validate({"endpoint": "127.0.0.1:0", **(config or {})}), context)


@asynccontextmanager
async def serve(
    routes: Sequence[Route] | Mapping[str, Any] = (),
    authorizer: Any = None,
    config: Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    verify_tls: bool = True,
) -> AsyncIterator[Server]:
    """Run the extension with the routes, or with several sources of routes by their id, and a client for it."""
    sources = routes if isinstance(routes, Mapping) else {"source": Source(routes)}
    authorizer, metrics, agent = authorizer or FakeAuthorizer(), SelfMetrics(), FakeAgent()
    api = make_api(sources, authorizer, config, clock=clock, metrics=metrics, agent=agent)
    await api.start()
    try:
        # The client must not ask for compression, so that sizes are those that were sent.
        headers = {"Accept-Encoding": "identity"}
        connector = aiohttp.TCPConnector(ssl=verify_tls)
        async with aiohttp.ClientSession(connector=connector, headers=headers, auto_decompress=False) as session:
            yield Server(api.addresses()[0], api, authorizer, metrics, agent, session)
    finally:
        await api.stop()
        await api.context.close()
