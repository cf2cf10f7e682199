"""The `dashboard` extension on a real control store behind a real API, with callers of every role.

async with dashboards(tmp_path) as server:
    made = await server.ask("POST", "/api/dashboards", {"dashboard": sample()}, key="ada", expect=201)
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_serving import Answer, FakeAuthorizer, Server, serve
from ophion_agent.server import (
    AUDIT_LOG,
    CONTROL_STORE,
    ROLE_PERMISSIONS,
    TENANTS,
    Principal,
    Role,
)
from ophion_agent.testing import ManualClock, make_component
from ophion_control.store import ControlStoreExtension
from ophion_dashboard.extension import Dashboard


def _user(name: str, role: Role, tenant: str = "default") -> Principal:
    return Principal(name, "user", tenant, ROLE_PERMISSIONS[role])


CALLERS = {
    "vera": _user("vera", Role.VIEWER),
    "ada": _user("ada", Role.OPERATOR),
    "bob": _user("bob", Role.OPERATOR),
    "root": _user("root", Role.ADMIN),
    "eve": _user("eve", Role.ADMIN, "other"),
}


@dataclass
class Directory:
    """Audit log and tenant directory in one: remembers what it was told."""

    records: list[tuple[str, str, str, Mapping[str, Any]]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    async def record(
        self, principal: Principal, action: str, target: str, detail: Mapping[str, Any] | None = None, client: str = ""
    ) -> None:
        """Remember who did what."""
        assert client
        self.records.append((principal.subject, action, target, dict(detail or {})))

    async def removed_tenants(self) -> Sequence[str]:
        """Return the tenants that the test removed."""
        return self.removed


@dataclass
class Dashboards:
    """A running server."""

    server: Server
    extension: Dashboard
    store: ControlStoreExtension
    directory: Directory
    clock: ManualClock

    async def request(self, method: str, path: str, *, key: str = "ada", **options: Any) -> Answer:
        """Send a request as one of CALLERS."""
        return await self.server.request(method, path, key=key, **options)

    async def ask(self, method: str, path: str, body: Any = None, *, expect: int = 200, **options: Any) -> Any:
        """Return the JSON of an answer with the status `expect`, None where it has no body."""
        if body is not None:
            options["json"] = body
        answer = await self.request(method, path, **options)
        assert answer.status == expect, f"{method} {path}: {answer.status}: {answer.text}"
        return answer.json() if answer.body else None

    async def refused(self, method: str, path: str, body: Any = None, *, expect: int, **options: Any) -> str:
        """Return why a request was refused with the status `expect`."""
        return str((await self.ask(method, path, body, expect=expect, **options))["detail"])


@asynccontextmanager
async def dashboards(
    folder: Path, config: Mapping[str, Any] | None = None, database: Mapping[str, Any] | None = None
) -> AsyncIterator[Dashboards]:
    """Run the extension; what it keeps lies in `folder` and outlives it."""
    clock, directory = ManualClock(), Directory()
    store = make_component(ControlStoreExtension, database or {"directory": str(folder / "control")})
    await store.start()
    extension = make_component(
        Dashboard,
        config,
        clock=clock,
        services={"store": store, "directory": directory},
        provided={CONTROL_STORE.name: "store", AUDIT_LOG.name: "directory", TENANTS.name: "directory"},
    )
    try:
        await extension.start()
        async with serve({"dashboard": extension}, FakeAuthorizer(CALLERS)) as server:
            yield Dashboards(server, extension, store, directory, clock)
    finally:
        await extension.stop()
        await extension.context.close()
        await store.stop()
        await store.context.close()


def sample(title: str = "Hosts", **changes: Any) -> dict[str, Any]:
    """Return a dashboard with one of everything."""
    panel = {
        "id": 1,
        "title": "CPU of $host",
        "kind": "timeseries",
        "position": {"x": 0, "y": 0, "w": 12, "h": 8},
        "queries": [{"kind": "promql", "expression": "rate(system_cpu_time_seconds_total[1m])", "legend": "{{state}}"}],
        "options": {"unit": "1", "thresholds": [{"value": 0.9, "color": "red"}], "stacking": "normal"},
        "repeat": "host",
    }
    variable = {"name": "host", "kind": "query", "query": "label_values(system_cpu_time_seconds_total, host_name)"}
    text = {"id": 2, "kind": "text", "text": "# Read me", "position": {"x": 12, "y": 0, "w": 12, "h": 8}}
    return {
        "title": title,
        "tags": ["host", "linux"],
        "folder": "Infrastructure",
        "variables": [variable],
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "panels": [panel, text],
        **changes,
    }
