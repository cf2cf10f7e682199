"""No route lets a caller reach another tenant: each is asked for something of the tenant `victim` by its neighbours."""

import itertools
from typing import Any

import pytest

from ophion_agent.server import Forbidden, NotFound, Problem

from .conftest import Permission, Server

SECRETS = ("victim-admin", "victim-viewer", "victim key")


@pytest.fixture
async def neighbours(server: Server) -> Server:
    for tenant in ("victim", "acme"):
        await server.call("POST", "/api/tenants", {"name": tenant, "logs_days": 77}, headers=server.root)
        await server.add_user(f"{tenant}-admin", "admin", tenant)
        await server.add_user(f"{tenant}-viewer", "viewer", tenant)
        await server.add_key(name=f"{tenant} key", tenant=tenant)
    await server.add_user("default-viewer", "viewer")
    return server


async def state(server: Server) -> Any:
    """Return all that there is about the tenant `victim`."""
    users = (await server.call("GET", "/api/users", headers=server.root, tenant="victim")).value
    keys = (await server.call("GET", "/api/keys", headers=server.root, tenant="victim")).value
    return users, keys, (await server.call("GET", "/api/tenants/victim", headers=server.root)).value


async def test_no_route_crosses_tenants(neighbours: Server) -> None:
    before = await state(neighbours)
    [key] = before[1]
    attackers = [await neighbours.bearer(name) for name in ("acme-admin", "acme-viewer", "default-viewer")]
    attackers.append({"x-api-key": (await neighbours.add_key(attackers[0]))["key"]})
    values = {"username": "victim-admin", "id": key["id"], "name": "victim"}
    bodies: dict[tuple[str, str], list[Any]] = {
        ("POST", "/api/users"): [{"username": "spy", "role": "admin", "tenant": "victim"}],
        ("PATCH", "/api/users/{username}"): [{"role": "viewer"}, {"disabled": True}, {"password": "long enough to be"}],
        ("POST", "/api/keys"): [
            {"name": "spy", "tenant": "victim"},
            {"name": "s", "kind": "ingest", "tenant": "victim"},
        ],
        ("POST", "/api/tenants"): [{"name": "victim"}],
        ("PATCH", "/api/tenants/{name}"): [{"logs_days": 1}],
    }
    asked = 0
    for route, headers in itertools.product(neighbours.auth.routes(), attackers):
        if route.access is None or route.path.startswith("/api/auth/"):
            continue
        path = route.path.format_map(values)
        query = {"tenant": "victim", "confirm": "victim"} if route.query is not None else {}
        for body in bodies.get((route.method, route.path), [None]):
            with pytest.raises((Forbidden, NotFound)) as refused:
                await neighbours.call(route.method, path, body, headers=headers, **query)
            assert not any(secret in str(refused.value) for secret in SECRETS)
            asked += 1

    assert asked > 60
    assert await state(neighbours) == before


async def test_lists_without_a_tenant_show_the_callers_own(neighbours: Server) -> None:
    for user in ("acme-admin", "default-viewer", "acme-viewer"):
        headers = await neighbours.bearer(user)
        for path in ("/api/users", "/api/keys", "/api/audit"):
            try:
                shown = str((await neighbours.call("GET", path, headers=headers)).value)
            except Problem as refused:
                shown = str(refused)
            assert "victim" not in shown


async def test_every_route_but_login_and_refresh_needs_credentials(server: Server) -> None:
    public = [(route.method, route.path) for route in server.auth.routes() if route.access is None]

    assert public == [("POST", "/api/auth/login"), ("POST", "/api/auth/refresh")]
    for route in server.auth.routes():
        if route.path.startswith(("/api/users", "/api/tenants", "/api/audit")):
            assert route.access is Permission.ADMIN
