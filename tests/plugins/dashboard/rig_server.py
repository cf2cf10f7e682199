"""The server whose pages are driven: the real one, with the shop's two hours in it and a user of every role.

    async with running_dashboard(directory) as dashboard:
        dashboard.url, dashboard.users["viewer"], dashboard.password("admin")

What the data are: `rig_plan` (traces, logs), `rig_metrics`, `rig_hostile`, and `benchmarks.dashboard_payloads` (large).
Hostile and large data come on demand, each into a tenant of its own, so that nothing of them shows in other pages.
"""

import asyncio
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_process import eventually, execute, free_port
from benchmarks import dashboard_payloads as large
from server_process import UNLIMITED, ServerProcess
from tests.plugins.dashboard import rig_hostile, rig_metrics
from tests.plugins.dashboard.rig_plan import SLOW, TRACES, started_ns, trace_id, trace_plan

ROOT = Path(__file__).parents[3]
LARGE_TENANT = "large"
# Sees the dashboards of the folder `dashboards`; nobody else does.
FILES_TENANT = "files"
FILE = """
format: 1
uid: kept-in-git
title: Kept in git
tags: [git]
panels:
  - id: 1
    title: Hello
    kind: text
    position: {x: 0, y: 0, w: 12, h: 4}
    text: written in a file
"""
ROLES = ("viewer", "operator", "admin")
PASSWORD = "correct horse battery"
# Rates of this host need two measurements, and a page should not wait for them.
_SETS = (UNLIMITED, "receivers.hostmetrics.collection_interval=5s", "receivers.hostmetrics.initial_delay=0s")
_VISIBLE_SECONDS = 120.0
# Steps of charts begin with a minute or a part of one. The data lie in them the same way in every run, and not so close
# to an end that a click, which is exact to a pixel, may meet the step beside it.
_SECOND_OF_NOW = 23


@dataclass
class Dashboard:
    """A running server with the shop's data, and what to expect of it."""

    server: ServerProcess
    now_ns: int
    """When the data was made; the last trace began some seconds before it."""
    tenants: dict[str, str] = field(default_factory=dict)
    """Ingest keys of the tenants that were added."""
    filled: set[str] = field(default_factory=set)
    """Tenants whose hostile or large data were sent; a tenant may be there without them."""

    @property
    def url(self) -> str:
        """Where the pages are, without a slash at the end."""
        return self.server.url

    @property
    def spans(self) -> int:
        """How many spans the shop has sent."""
        return sum(1 for number in range(TRACES) for _ in trace_plan(number).walk())

    @property
    def slow_trace(self) -> str:
        """The id of the slow checkout."""
        return trace_id(SLOW)

    def at(self, number: int) -> int:
        """When a trace began, in Unix nanoseconds."""
        return started_ns(number, self.now_ns)

    async def play_shop(self, first: int = 0, prefix: str = "", now_ns: int = 0) -> dict[str, Any]:
        """Send the shop's traces from number `first` on, by the SDK; return what `rig_shop` says that it sent."""
        endpoint = f"http://127.0.0.1:{self.server.grpc_port}"
        program = [sys.executable, "-m", "tests.plugins.dashboard.rig_shop"]
        done = await execute(*program, endpoint, str(now_ns or self.now_ns), str(first), prefix, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        sent: dict[str, Any] = json.loads(done.stdout)
        return sent

    async def send_metrics(self) -> None:
        """Send the metrics of the shop's hosts, containers and services."""
        for make in (rig_metrics.host_request, rig_metrics.container_request, rig_metrics.service_request):
            await self.send("metrics", make(self.now_ns))

    async def send(self, signal: str, request: bytes, tenant: str = "") -> None:
        """Send an encoded OTLP request to a tenant."""
        # aiohttp warns of bytes beyond a MiB, which hold up the loop for as long as it takes to hand them on.
        body: Any = io.BytesIO(request)
        answer = await self.server.send(signal, body, key=self.tenants.get(tenant, ""))
        assert answer.status == 200, answer.text

    # ---- users and tenants

    async def add_users(self, tenant: str = "default") -> None:
        """Add a user of every role: `viewer`, `operator`, `chief` (an admin); of other tenants `viewer-TENANT` ..."""
        for role in ROLES:
            body = {"username": user_name(role, tenant), "password": PASSWORD, "role": role, "tenant": tenant}
            await self.server.ask("POST", "/api/users", body, expect=201)

    async def add_tenant(self, tenant: str) -> None:
        """Add a tenant with users and an ingest key; nothing where it is there."""
        if tenant in self.tenants:
            return
        await self.server.ask("POST", "/api/tenants", {"name": tenant}, expect=201)
        self.tenants[tenant] = await self.server.make_key(f"sender of {tenant}", kind="ingest", tenant=tenant)
        await self.add_users(tenant)

    async def key_of(self, tenant: str) -> str:
        """Return an access token of the tenant's viewer."""
        return await self.server.login(user_name("viewer", tenant), PASSWORD)

    async def add_hostile(self) -> None:
        """Put hostile telemetry into the tenant `HOSTILE_TENANT`, once."""
        if rig_hostile.HOSTILE_TENANT in self.filled:
            return
        self.filled.add(rig_hostile.HOSTILE_TENANT)
        await self.add_tenant(rig_hostile.HOSTILE_TENANT)
        for signal, request in rig_hostile.requests(time.time_ns()).items():
            await self.send(signal, request, rig_hostile.HOSTILE_TENANT)
        await self.wait_for_trace(rig_hostile.HOSTILE_TRACE, len(rig_hostile.PAYLOADS), rig_hostile.HOSTILE_TENANT)

    async def add_large(self) -> None:
        """Put the trace of 10,000 spans and the series of 100,000 points into the tenant `LARGE_TENANT`, once."""
        if LARGE_TENANT in self.filled:
            return
        self.filled.add(LARGE_TENANT)
        await self.add_tenant(LARGE_TENANT)
        now = time.time_ns()
        await self.send("traces", large.large_trace(now), LARGE_TENANT)
        await self.send("metrics", large.long_series(now), LARGE_TENANT)
        await self.wait_for_trace(large.LARGE_TRACE, large.LARGE_SPANS, LARGE_TENANT)
        key = await self.key_of(LARGE_TENANT)

        async def is_there() -> bool:
            found = await self.server.promql("count(rig_wave)", key=key)
            return bool(found) and float(found[0]["value"][1]) == large.SERIES

        await eventually(is_there, "the long series", _VISIBLE_SECONDS)

    # ---- waiting

    async def wait_for_trace(self, identity: str, spans: int, tenant: str = "default") -> None:
        """Return once a trace has this many spans."""
        key = None if tenant == "default" else await self.key_of(tenant)

        async def is_whole() -> bool:
            answer = await self.server.get(f"/api/traces/{identity}", key=key, format="otlp")
            return answer.status == 200 and _spans_of(answer.json()) >= spans

        await eventually(is_whole, f"{spans} spans of trace {identity}", _VISIBLE_SECONDS)

    async def wait_for_shop(self) -> None:
        """Return once everything that the shop sent can be found."""
        await self.wait_for_trace(trace_id(TRACES - 1), sum(1 for _ in trace_plan(TRACES - 1).walk()))

        async def is_there() -> bool:
            found = await self.server.ask("GET", "/api/services", params={"from": "now-3h"})
            # Spans that a service serves are its requests.
            return {entry["name"] for entry in found["services"]} >= {"frontend", "payment"}

        await eventually(is_there, "the shop's services", _VISIBLE_SECONDS)

    # ---- lines that keep coming

    @asynccontextmanager
    async def flood(self, lines_per_second: int, tenant: str = "default") -> AsyncIterator[None]:
        """Send log lines of the service `flood` from a process of its own while the block runs."""
        await (asyncio.sleep(0) if tenant == "default" else self.add_tenant(tenant))
        program = [sys.executable, "-m", "benchmarks.dashboard_payloads", self.server.otlp_url, str(lines_per_second)]
        key = [self.tenants[tenant]] if tenant in self.tenants else []
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*program, *key, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            yield
            assert process.returncode is None, (await process.communicate())[1].decode()
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the sender's standard input, which ends it, and kill it where it does not."""
    try:
        await asyncio.wait_for(process.communicate(b"\n"), 10)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _spans_of(trace: dict[str, Any]) -> int:
    document = trace.get("trace", trace)
    groups = document.get("resourceSpans", [])
    return sum(len(scope["spans"]) for group in groups for scope in group["scopeSpans"])


def user_name(role: str, tenant: str = "default") -> str:
    """Return the name of the rig's user; `admin` itself is the user whose password the first start prints."""
    name = "chief" if role == "admin" else role
    return name if tenant == "default" else f"{name}-{tenant}"


def _other_build(directory: Path) -> dict[str, str]:
    """Return the environment of a server with the pages of `OPHION_DASHBOARD_STATIC`, where that names a build."""
    static = os.environ.get("OPHION_DASHBOARD_STATIC")
    if not static:
        return {}
    family = directory / "other_build" / "ophion_dashboard"
    family.mkdir(parents=True)
    for entry in (ROOT / "plugins" / "ophion_dashboard").iterdir():
        if entry.name not in ("static", "ui", "__pycache__"):
            (family / entry.name).symlink_to(entry)
    (family / "static").symlink_to(Path(static).resolve())
    return {"PYTHONPATH": str(family.parent)}


@asynccontextmanager
async def running_dashboard(directory: Path) -> AsyncIterator[Dashboard]:
    """Run a server in a directory, put the shop into it, and stop it at the end."""
    environ = {"DASHBOARD_PORT": str(free_port()), **_other_build(directory)}
    folder = directory / "dashboards"
    folder.mkdir(parents=True)
    (folder / "git.yaml").write_text(FILE)
    files = (f"dashboards_directory={folder}", f"dashboards_tenant={FILES_TENANT}")
    sets = (*_SETS, *(f"extensions.dashboard.{setting}" for setting in files))
    async with ServerProcess(directory, sets=sets, environ=environ) as server:
        dashboard = Dashboard(server, _now_ns())
        async with asyncio.TaskGroup() as group:
            group.create_task(dashboard.play_shop())
            group.create_task(dashboard.send_metrics())
            group.create_task(dashboard.add_users())
        await dashboard.wait_for_shop()
        yield dashboard


def _now_ns() -> int:
    minute = int(time.time() - _SECOND_OF_NOW) // 60
    return (minute * 60 + _SECOND_OF_NOW) * 10**9


async def _stay() -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with running_dashboard(Path(directory)) as dashboard:
            names = ", ".join(map(user_name, ROLES))
            sys.stdout.write(f"{dashboard.url} users {names}, password {PASSWORD!r}; Ctrl-C ends it\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_stay())
