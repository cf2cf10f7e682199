"""The extension `auth` on a real control store, and its routes called as the API server calls them."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from ophion_agent.clock import Clock
from ophion_agent.server import (
    ANONYMOUS,
    DEFAULT_TENANT,
    Call,
    Forbidden,
    Permission,
    Principal,
    Reply,
    Route,
    Unauthorized,
)
from ophion_agent.testing import ManualClock, make_component
from ophion_auth.auth import Auth
from ophion_control.store import ControlStoreExtension
from postgres_server import Postgres, running_postgres

CHEAP_HASHING = {"time_cost": 1, "memory": "8KiB", "parallelism": 1}
PASSWORD = "correct horse battery"
CLIENT = "192.0.2.7"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@dataclass
class Answer:
    """What a route answered, encoded and decoded again."""

    status: int
    value: Any
    cookies: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)


class Server:
    """Does with a request what the API server does, without HTTP in between."""

    def __init__(self, auth: Auth, clock: ManualClock, folder: Path) -> None:
        self.auth = auth
        self.clock = clock
        self.folder = folder
        self.accounts = auth.accounts

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        client: str = CLIENT,
        secure: bool = False,
        **query: Any,
    ) -> Answer:
        """Ask a route; problems are raised."""
        route, parameters = self._route(method, path)
        headers = dict(headers or {})
        principal = await self._admitted(route, headers, cookies or {}, client)
        call = Call(
            path=parameters,
            query=route.query.model_validate(query) if route.query else None,
            body=route.body.model_validate(body) if route.body else None,
            headers=headers,
            cookies=cookies or {},
            client=client,
            secure=secure,
            principal=principal,
        )
        answer = await route.handler(call)
        reply = answer if isinstance(answer, Reply) else Reply(value=answer, status=route.status)
        encoded = TypeAdapter(route.answer).dump_json(reply.value) if reply.value is not None else b"null"
        status = route.status if reply.status == 200 else reply.status
        return Answer(status, json.loads(encoded), list(reply.set_cookies), reply.headers)

    async def _admitted(
        self, route: Route, headers: Mapping[str, str], cookies: Mapping[str, str], client: str
    ) -> Principal:
        if route.access is None:
            self.auth.admit(ANONYMOUS, client)
            return ANONYMOUS
        principal = await self.auth.identify(headers, cookies, client=client, method=route.method)
        self.auth.admit(principal, client)
        if principal == ANONYMOUS:
            raise Unauthorized("nobody")
        if not principal.may(route.access):
            raise Forbidden("not permitted")
        return principal

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        asked = path.split("/")
        for route in self.auth.routes():
            pattern = route.path.split("/")
            if route.method == method and len(pattern) == len(asked):
                pairs = list(zip(pattern, asked, strict=True))
                if all(part == given or part.startswith("{") for part, given in pairs):
                    return route, {part[1:-1]: given for part, given in pairs if part.startswith("{")}
        raise LookupError(f"{method} {path}")

    async def log_in(self, username: str, password: str = PASSWORD, **options: Any) -> Answer:
        """Log in as a user."""
        return await self.call("POST", "/api/auth/login", {"username": username, "password": password}, **options)

    async def bearer(self, username: str, password: str = PASSWORD) -> dict[str, str]:
        """Return the headers of a logged-in user."""
        answer = await self.log_in(username, password)
        return {"authorization": f"Bearer {answer.value['access_token']}"}

    async def add_user(self, username: str, role: str = "viewer", tenant: str = DEFAULT_TENANT) -> None:
        """Add a user with the usual password."""
        body = {"username": username, "password": PASSWORD, "role": role, "tenant": tenant}
        await self.call("POST", "/api/users", body, headers=self.root)

    async def add_key(self, headers: Mapping[str, str] | None = None, **body: Any) -> dict[str, Any]:
        """Make a key and return the answer."""
        answer = await self.call("POST", "/api/keys", {"name": "a key", **body}, headers=headers or self.root)
        created: dict[str, Any] = answer.value
        return created

    @property
    def root(self) -> dict[str, str]:
        """The headers of the command line on this host: an admin of the tenant `default`."""
        return {"x-api-key": (self.folder / "cli.key").read_text().strip()}

    async def audit(self, **query: Any) -> list[dict[str, Any]]:
        """Return the newest audit records."""
        answer = await self.call("GET", "/api/audit", headers=self.root, **query)
        records: list[dict[str, Any]] = answer.value["records"]
        return records


@pytest.fixture(params=["sqlite", "postgresql"])
def store_config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The configuration of an empty store."""
    config: dict[str, Any] = {"directory": str(tmp_path / "control")}
    if request.param == "sqlite":
        yield config
        return
    with request.getfixturevalue("postgres").database() as url:
        yield {**config, "url": url}


@pytest.fixture
async def store(store_config: dict[str, Any]) -> AsyncIterator[ControlStoreExtension]:
    store = make_component(ControlStoreExtension, store_config, clock=Clock())
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """The configuration of `auth`; tests change it before they ask for `server`."""
    folder = tmp_path / "auth"
    return {
        "directory": str(folder),
        "cli_key_file": str(folder / "cli.key"),
        "password_hashing": dict(CHEAP_HASHING),
        "rate_limits": {"caller": None, "address": None, "anonymous": None},
    }


def make_auth(config: Mapping[str, Any], store: ControlStoreExtension, clock: Clock) -> Auth:
    """Return the extension as the framework would make it."""
    services, provided = {"control_store": store}, {"control store": "control_store"}
    return make_component(Auth, config, services=services, provided=provided, clock=clock)


@pytest.fixture
async def server(
    config: dict[str, Any], store: ControlStoreExtension, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Server]:
    auth = make_auth(config, store, clock)
    await auth.start()
    yield Server(auth, clock, tmp_path / "auth")
    await auth.stop()
    await auth.context.close()


__all__ = ["CLIENT", "PASSWORD", "Permission", "Server", "make_auth"]
