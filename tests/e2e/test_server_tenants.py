"""Nobody reads or changes what another tenant has: every route is asked for it, with every kind of key."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_process import eventually
from server_process import ONLY_OTLP, UNLIMITED, Answer, ServerProcess
from telemetry_sample import pairs

# In every name and value of the victim's telemetry, and in what the requests ask for.
MARKER = "zqmarker"
# In the victim's telemetry only: no request says it, so no echo holds it.
SECRET = "zqsecret"
NEIGHBOUR = "zqneighbour"
TRACE_ID = "5b8efff798038103d269b633813fc60c"
SPAN_ID = "eee19b7ec3c1b174"
# Headers by which other programs name a tenant.
CLAIMS = {"X-Scope-OrgID": "victim", "auth.tenant": "victim", "X-Tenant": "victim", "tenant": "victim"}
SECONDS_UNTIL_VISIBLE = 30.0
CHEAP_HASHING = "extensions.auth.password_hashing={time_cost: 1, memory: 64KiB, parallelism: 1}"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

SERVICE, SPAN, METRIC, HOST, KEY = (f"{kind}-{MARKER}" for kind in ("service", "span", "metric", "host", "key"))
CONTAINER, BOARD = f"container-{MARKER}", "board-1"
PROMETHEUS_NAME = f"metric_{MARKER}"
SELECTOR = f'{{__name__=~"metric_{MARKER}.*"}}'
STREAMS = f'{{service_name="{SERVICE}"}}'
# What each parameter is filled with, by its name; those of one API come before those of all.
VALUES: dict[str, dict[str, str]] = {
    "": {
        "service": SERVICE, "operation": SPAN, "traceId": TRACE_ID, "trace_id": TRACE_ID, "traceID": TRACE_ID,
        "key": KEY, "search": MARKER, "attr": f"{KEY}=~{MARKER}", "log_text": MARKER, "query": MARKER,
        "metric": PROMETHEUS_NAME, "label": f"{KEY.replace('-', '_')}=x-{MARKER}", "tenant": "victim",
        "principal": "victim-admin", "target": "victim-admin", "action": "user.create", "username": "victim-admin",
        "tag": f"{KEY}:x-{MARKER}", "tags": json.dumps({KEY: f"x-{MARKER}"}), "prefix": "x", "name": "victim",
        "query.serviceName": SERVICE, "query.operationName": SPAN, "targetLabels": "service_name", "match[]": SELECTOR,
        "from": "now-30m", "to": "now", "format": "json", "order": "oldest", "limit": "50", "confirm": "victim",
    },
    "/api/hosts/": {"name": HOST},
    "/api/containers/": {"name": CONTAINER},
    "/api/dashboards": {"uid": BOARD, "version": "1"},
    "/api/services/": {"name": SERVICE},
    "/api/metrics": {"name": PROMETHEUS_NAME, "query": SELECTOR},
    "/api/v1/": {"query": SELECTOR, "name": KEY.replace("-", "_"), "limit": "1000"},
    "/loki/": {"query": STREAMS, "match[]": STREAMS, "name": "service_name", "limit": "100"},
}  # fmt: skip
# Whole requests, for routes that need several parameters at once.
FILLED: dict[str, dict[str, str]] = {
    "/api/v1/query_range": {"query": SELECTOR, "start": "{start}", "end": "{end}", "step": "15"},
    "/api/v1/query_exemplars": {"query": SELECTOR, "start": "{start}", "end": "{end}"},
    "/api/admin/export": {"tenant": "victim", "signal": "logs"},
    "/api/admin/export/days": {"tenant": "victim", "signal": "logs"},
    "/jaeger/api/operations": {"service": SERVICE},
    "/jaeger/api/traces": {"service": SERVICE, "operation": SPAN},
    "/jaeger/api/v3/traces": {
        "query.serviceName": SERVICE, "query.startTimeMin": "{iso_start}", "query.startTimeMax": "{iso_end}",
    },
    "/jaeger/api/v3/traces/{trace_id}": {},
    "/loki/api/v1/query": {"query": f"sum by (service_name) (count_over_time({STREAMS}[30m]))"},
    "/loki/api/v1/detected_field/{name}/values": {"query": STREAMS},
}  # fmt: skip
PATHS: dict[str, dict[str, str]] = {
    "/loki/api/v1/detected_field/{name}/values": {"name": KEY.replace("-", "_")},
    "/api/tenants/{name}": {"name": "victim"},
}
BODIES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("POST", "/api/logs/query"): [{"query": MARKER}, {"service": SERVICE}, {"trace_id": TRACE_ID, "format": "csv"}],
    ("POST", "/api/traces/search"): [
        {"service": [SERVICE]},
        {"where": {"all": [{"attribute": KEY, "op": "exists"}]}},
        {"attr": [f"{KEY}=~{MARKER}"], "format": "ndjson"},
    ],
    ("POST", "/api/metrics/query"): [{"query": SELECTOR}, {"query": SELECTOR, "format": "csv"}],
    ("POST", "/api/users"): [{"username": "spy", "role": "admin", "tenant": "victim"}],
    ("PATCH", "/api/users/{username}"): [{"role": "viewer"}, {"disabled": True}, {"password": "long enough to be one"}],
    ("POST", "/api/keys"): [{"name": "spy", "tenant": "victim"}, {"name": "s", "kind": "ingest", "tenant": "victim"}],
    ("POST", "/api/tenants"): [{"name": "victim"}, {"name": "other"}],
    ("PATCH", "/api/tenants/{name}"): [{"logs_days": 1}],
    ("POST", "/api/dashboards"): [{"dashboard": {"title": "spied"}}],
    ("PUT", "/api/dashboards/{uid}"): [{"dashboard": {"title": "spied"}, "version": 1}],
    ("PUT", "/api/dashboards/home"): [{"uid": BOARD}, {"uid": None}],
    ("POST", "/api/dashboards/snapshots"): [
        {"title": "spied", "dashboard": {"title": "spied"}, "start": "{iso_start}", "end": "{iso_end}", "data": {}}
    ],
    ("POST", "/api/auth/login"): [{"username": "victim-admin", "password": "wrong"}],
    ("POST", "/api/auth/refresh"): [{"refresh_token": "ophr_wrong"}],
    ("POST", "/api/auth/password"): [{"current_password": "wrong", "new_password": "long enough to be one"}],
}
# Routes that show nothing that the victim has named: those of the server and of accounts, figures, fixed label names.
SILENT = re.compile(
    r"/-/|/api/(health|docs|openapi.json|store|agent/|dashboards|dashboard/brand|admin/|users|keys|tenants|audit|auth/|logs/histogram|traces/histogram|logs/tail"
    r"|v1/(format_query|rules|alerts|status/|write))|/loki/(ready|api/v1/(status/|format_query|index/stats|labels|label$|detected_labels))"
)
ECHOES = re.compile(r"/format_query$")


@dataclass
class Tenants:
    """A server with telemetry of two tenants."""

    server: ServerProcess
    operations: list[tuple[str, str, dict[str, Any]]]
    victim_key: str
    victim_ingest_key: str
    neighbour_ingest_key: str = ""
    attackers: dict[str, str] = field(default_factory=dict)
    victim_key_id: str = ""


@dataclass(frozen=True)
class Sent:
    """One request of the walk."""

    method: str
    route: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    form: tuple[tuple[str, str], ...] = ()
    body: str = ""

    @property
    def texts(self) -> list[str]:
        """Everything that the server may repeat in an error."""
        said = [value for _, value in (*self.query, *self.form)] + [self.path, self.body]
        said += re.findall(r'"((?:[^"\\]|\\.)*)"', self.body) + self.path.split("/")
        return sorted({text for text in said if text}, key=len, reverse=True)


def traces(mark: str, secret: str, trace_id: str) -> bytes:
    request: Any = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(
        pairs(
            {
                "service.name": f"service-{mark}",
                "host.name": f"host-{mark}",
                "container.name": f"container-{mark}",
                f"res-{mark}": secret,
            }
        )
    )
    scope = group.scope_spans.add()
    scope.scope.name = f"scope-{mark}"
    now = time.time_ns() - 10**9
    for number, kind in ((1, 2), (2, 3)):
        span = scope.spans.add(name=f"span-{mark}", kind=kind, trace_id=bytes.fromhex(trace_id))
        span.span_id = number.to_bytes(8, "big") if number > 1 else bytes.fromhex(SPAN_ID)
        span.parent_span_id = bytes.fromhex(SPAN_ID) if number > 1 else b""
        span.start_time_unix_nano, span.end_time_unix_nano = now, now + 5 * 10**8
        span.status.code, span.status.message = 2, f"failed {secret}"
        span.attributes.extend(pairs({f"key-{mark}": f"x-{mark}", "note": secret}))
        span.events.add(name=f"event-{secret}", time_unix_nano=now)
    other = request.resource_spans.add()
    other.resource.attributes.extend(pairs({"service.name": f"callee-{mark}", "host.name": f"host-{mark}"}))
    called = other.scope_spans.add().spans.add(name=f"span-{mark}", kind=2, trace_id=bytes.fromhex(trace_id))
    called.span_id, called.parent_span_id = (9).to_bytes(8, "big"), (2).to_bytes(8, "big")
    called.start_time_unix_nano, called.end_time_unix_nano = now, now + 10**8
    encoded: bytes = request.SerializeToString()
    return encoded


def logs(mark: str, secret: str, trace_id: str = "") -> bytes:
    request: Any = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(pairs({"service.name": f"service-{mark}", "host.name": f"host-{mark}"}))
    record = group.scope_logs.add().log_records.add(time_unix_nano=time.time_ns(), severity_number=17)
    record.body.string_value = f"body {mark} {secret}"
    record.attributes.extend(pairs({f"key-{mark}": f"x-{mark}", "note": secret}))
    record.trace_id = bytes.fromhex(trace_id)
    record.span_id = bytes.fromhex(SPAN_ID) if trace_id else b""
    encoded: bytes = request.SerializeToString()
    return encoded


def metrics(mark: str, secret: str, trace_id: str) -> bytes:
    request: Any = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(pairs({"service.name": f"service-{mark}", "host.name": f"host-{mark}"}))
    scope, now = group.scope_metrics.add(), time.time_ns()
    gauge = scope.metrics.add(name=f"metric-{mark}", description=f"help {mark} {secret}")
    point = gauge.gauge.data_points.add(time_unix_nano=now, as_double=42)
    point.attributes.extend(pairs({f"key-{mark}": f"x-{mark}", "note": secret}))
    histogram = scope.metrics.add(name=f"metric-{mark}-seconds", unit="s")
    histogram.histogram.aggregation_temporality = 2
    bucket = histogram.histogram.data_points.add(
        time_unix_nano=now, count=1, sum=0.5, explicit_bounds=[1], bucket_counts=[1, 0]
    )
    bucket.exemplars.add(
        time_unix_nano=now, as_double=0.5, trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(SPAN_ID)
    ).filtered_attributes.extend(pairs({f"key-{mark}": secret}))
    cpu = scope.metrics.add(name="system.cpu.time", unit="s")
    cpu.sum.is_monotonic, cpu.sum.aggregation_temporality = True, 2
    for back in (30, 15, 0):
        used = cpu.sum.data_points.add(time_unix_nano=now - back * 10**9, as_double=100 - back)
        used.attributes.extend(pairs({"state": "user", "cpu": "cpu0"}))
    encoded: bytes = request.SerializeToString()
    return encoded


async def send_everything(
    server: ServerProcess, key: str, mark: str, secret: str, trace_id: str, headers: Mapping[str, str] | None = None
) -> None:
    for signal, make in (("traces", traces), ("logs", logs), ("metrics", metrics)):
        answer = await server.send(signal, make(mark, secret, trace_id), key=key, headers=headers)
        assert answer.status == 200, answer.text


async def user_key(server: ServerProcess, tenant: str, role: str) -> tuple[str, str]:
    """Return the id and the text of an API key of a new user with this role."""
    user = await server.ask(
        "POST", "/api/users", {"username": f"{tenant}-{role}", "role": role, "tenant": tenant}, expect=201
    )
    token = await server.login(user["username"], user["password"])
    made = await server.ask("POST", "/api/keys", {"name": f"{tenant} {role} key"}, expect=201, key=token)
    return str(made["id"]), str(made["key"])


async def wait_until_stored(server: ServerProcess, key: str, mark: str, trace_id: str) -> None:
    async def is_stored() -> bool:
        trace = await server.get(f"/api/traces/{trace_id}", key=key)
        records = await server.ask("GET", "/api/logs", params={"query": mark}, key=key)
        series = await server.promql(f'{{__name__=~"metric_{mark}.*"}}', key=key)
        return trace.status == 200 and bool(records["logs"]) and bool(series)

    await eventually(is_stored, f"the telemetry of {mark}", SECONDS_UNTIL_VISIBLE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenants(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenants]:
    async with ServerProcess(tmp_path_factory.mktemp("server"), sets=[UNLIMITED, ONLY_OTLP, CHEAP_HASHING]) as server:
        for name in ("victim", "neighbour"):
            await server.ask("POST", "/api/tenants", {"name": name}, expect=201)
        key_id, key = await user_key(server, "victim", "admin")
        ingest_key = await server.make_key("victim sender", kind="ingest", tenant="victim")
        document = await server.ask("GET", "/api/openapi.json", key="")
        operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        found = Tenants(server, operations, key, ingest_key, victim_key_id=key_id)
        for role in ("viewer", "operator", "admin"):
            found.attackers[role] = (await user_key(server, "neighbour", role))[1]
        found.neighbour_ingest_key = await server.make_key("neighbour sender", kind="ingest", tenant="neighbour")
        await send_everything(server, found.neighbour_ingest_key, NEIGHBOUR, "of-neighbour", "a" * 32, CLAIMS)
        await send_everything(server, ingest_key, MARKER, SECRET, TRACE_ID)
        await wait_until_stored(server, found.attackers["viewer"], NEIGHBOUR, "a" * 32)
        await wait_until_stored(server, key, MARKER, TRACE_ID)
        board = {"uid": BOARD, "dashboard": {"title": f"board {MARKER}", "description": SECRET}}
        await server.ask("POST", "/api/dashboards", board, expect=201, key=key)
        yield found


def value_of(route: str, name: str) -> str:
    """Return what a parameter is filled with."""
    for prefix, values in VALUES.items():
        if prefix and route.startswith(prefix) and name in values:
            return values[name]
    return VALUES[""].get(name, MARKER)


def times() -> dict[str, str]:
    now = int(time.time())
    iso = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (now - 600, now + 60)]
    return {"start": str(now - 600), "end": str(now + 1), "iso_start": iso[0], "iso_end": iso[1]}


def requests_of(tenants: Tenants, method: str, route: str, operation: Mapping[str, Any]) -> list[Sent]:
    """Return the requests to a route: without parameters, with each one alone, and with those that belong together."""
    path = route
    for name in re.findall(r"{(\w+)}", route):
        value = tenants.victim_key_id if name == "id" else PATHS.get(route, {}).get(name, value_of(route, name))
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    parameters = [found["name"] for found in operation.get("parameters", ()) if found["in"] == "query"]
    content = operation.get("requestBody", {}).get("content", {})
    form_schema = content.get("application/x-www-form-urlencoded", {}).get("schema", {})
    names = parameters or list(form_schema.get("properties", ()))
    sets = [(), *(((name, value_of(route, name)),) for name in names)]
    if route in FILLED:
        sets.append(tuple((name, value.format_map(times()) if value.startswith("{") and value.endswith("}")
                           and "=" not in value else value) for name, value in FILLED[route].items()))  # fmt: skip
    if form_schema:
        return [Sent(method, route, path, form=pairs) for pairs in sets]
    if "application/json" in content:
        bodies = [json.dumps(body) for body in BODIES[method, route]]
        for name, moment in times().items():
            bodies = [body.replace(f"{{{name}}}", moment) for body in bodies]
        return [Sent(method, route, path, body=body) for body in bodies]
    return [Sent(method, route, path, query=pairs) for pairs in sets]


async def answer_to(tenants: Tenants, sent: Sent, key: str, headers: Mapping[str, str] | None = None) -> Answer:
    options: dict[str, Any] = {"params": list(sent.query)} if sent.query else {}
    if sent.form:
        options["data"] = list(sent.form)
    if sent.body:
        options["data"] = sent.body
        headers = {**(headers or {}), "Content-Type": "application/json"}
    return await tenants.server.request(
        sent.method, sent.path, key=key, headers=headers, is_encoded=not options.get("params"), **options
    )


def without_echo(sent: Sequence[str], text: str) -> str:
    """Return an answer without what it repeats of its request."""
    for said in filter(None, sent):
        for form in (said, quote(said), quote_plus(said), json.dumps(said)[1:-1], repr(said)[1:-1]):
            text = text.replace(form, "")
            text = text.replace(json.dumps(form)[1:-1], "")
    return text


def walk(tenants: Tenants) -> list[Sent]:
    return [
        sent
        for method, route, operation in tenants.operations
        if route != "/api/logs/tail"
        for sent in requests_of(tenants, method, route, operation)
    ]


async def state_of_victim(tenants: Tenants) -> dict[str, Any]:
    server = tenants.server
    users = await server.ask("GET", "/api/users", params={"tenant": "victim"})
    keys = await server.ask("GET", "/api/keys", params={"tenant": "victim"})
    for key in keys:
        del key["last_used_at"]
    tenant = await server.ask("GET", "/api/tenants/victim")
    audit = await server.ask("GET", "/api/audit", params={"tenant": "victim", "limit": "100"})
    boards = await server.ask("GET", "/api/dashboards", key=tenants.victim_key)
    board = await server.ask("GET", f"/api/dashboards/{BOARD}", key=tenants.victim_key)
    return {"users": users, "keys": keys, "tenant": tenant, "audit": audit, "boards": boards, "board": board}


async def in_turns(count: int, jobs: Sequence[Any]) -> list[Any]:
    """Return the results of coroutines, of which `count` run at once."""
    limit = asyncio.Semaphore(count)

    async def one(job: Any) -> Any:
        async with limit:
            return await job

    return list(await asyncio.gather(*map(one, jobs)))


async def test_the_victim_sees_its_telemetry_on_every_route_that_shows_any(tenants: Tenants) -> None:
    sent = [request for request in walk(tenants) if not SILENT.match(request.route)]
    # It must not end its own keys.
    sent = [request for request in sent if request.method in ("GET", "POST")]

    answers = await in_turns(8, [answer_to(tenants, request, tenants.victim_key) for request in sent])

    shown: dict[tuple[str, str], bool] = {}
    for request, answer in zip(sent, answers, strict=True):
        assert answer.status < 500, (request, answer.text)
        operation = request.method, request.route
        found = answer.status == 200 and (MARKER in answer.text or SECRET in answer.text)
        shown[operation] = shown.get(operation, False) or found
    assert [operation for operation, found in shown.items() if not found] == []
    assert len(shown) > 50


async def test_no_route_shows_or_changes_anything_of_another_tenant(tenants: Tenants) -> None:
    before = await state_of_victim(tenants)
    # Roles differ in what they may do, not in whose it is: the lower ones need not ask for everything again.
    everything = walk(tenants)
    asked = {"admin": everything, "operator": everything[::3], "viewer": everything[1::3]}
    sent = [(request, role) for role, requests in asked.items() for request in requests]

    answers = await in_turns(
        8, [answer_to(tenants, request, tenants.attackers[role], CLAIMS) for request, role in sent]
    )

    for (request, role), answer in zip(sent, answers, strict=True):
        assert answer.status < 500, (role, request, answer.text)
        head = json.dumps(answer.headers)
        assert SECRET not in answer.text + head, (role, request, answer.text)
        is_echo = answer.status >= 400 or ECHOES.search(request.route)
        # Good answers repeat what the path names, and nothing else.
        text = without_echo(request.texts if is_echo else request.path.split("/"), answer.text)
        assert MARKER not in text + head, (role, request, answer.text)
        assert "victim" not in text, (role, request, answer.text)
        # A star is the caller's own, and taking away one that is not there is no change.
        is_change = request.method in ("PATCH", "DELETE") and not request.route.endswith("/star")
        if is_change or request.route.startswith(("/api/admin/", "/api/tenants")):
            assert answer.status in (403, 404, 422), (role, request, answer.text)
    assert {answer.status for answer in answers} >= {200, 403, 404}
    assert await state_of_victim(tenants) == before


async def test_figures_are_of_the_caller_alone(tenants: Tenants) -> None:
    for path, query, figure in (
        ("/api/logs/histogram", {"query": MARKER}, "total"),
        ("/api/traces/histogram", {"service": SERVICE}, "spans"),
        ("/loki/api/v1/index/stats", {"query": STREAMS}, "entries"),
    ):
        own = await tenants.server.ask("GET", path, params=query, key=tenants.victim_key)
        other = await tenants.server.ask("GET", path, params=query, key=tenants.attackers["admin"])
        assert sum(map(int, re.findall(rf'"{figure}": (\d+)', json.dumps(own)))) > 0, own
        assert sum(map(int, re.findall(rf'"{figure}": (\d+)', json.dumps(other)))) == 0, other


async def test_a_claimed_tenant_changes_nothing_about_whose_telemetry_it_is(tenants: Tenants) -> None:
    for path, query in (("/api/logs", {"query": NEIGHBOUR}), ("/api/traces", {"service": f"service-{NEIGHBOUR}"})):
        own = await tenants.server.get(path, key=tenants.attackers["viewer"], **query)
        other = await tenants.server.get(path, key=tenants.victim_key, **query)
        assert NEIGHBOUR in own.text
        assert other.status == 200
        assert NEIGHBOUR not in other.text
    selector = f'{{__name__="metric_{NEIGHBOUR}"}}'
    assert len(await tenants.server.promql(selector, key=tenants.attackers["viewer"])) == 1
    assert await tenants.server.promql(selector, key=tenants.victim_key) == []
    # Nor does any of it land with senders that have no key.
    assert await tenants.server.promql(selector) == []


async def test_live_tails_show_the_callers_records_alone(tenants: Tenants) -> None:
    tails = {"victim": tenants.victim_key, **tenants.attackers}
    heard = {name: bytearray() for name in tails}
    listening = [asyncio.create_task(listen(tenants.server, key, heard[name])) for name, key in tails.items()]
    try:
        await eventually(lambda: all(heard.values()), "every tail open")
        await send_log(tenants.server, tenants.victim_ingest_key, MARKER, SECRET)
        await eventually(lambda: SECRET.encode() in heard["victim"], "the victim's record in its tail")
        # Whoever hears this later record would have heard that one as well.
        await send_log(tenants.server, tenants.neighbour_ingest_key, NEIGHBOUR, "last-words")
        for name in tenants.attackers:
            await eventually(lambda name=name: b"last-words" in heard[name], f"the last record in the tail of {name}")
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)

    for name in tenants.attackers:
        assert SECRET.encode() not in heard[name]
        assert MARKER.encode() not in heard[name]


async def send_log(server: ServerProcess, key: str, mark: str, secret: str) -> None:
    answer = await server.send("logs", logs(mark, secret), key=key)
    assert answer.status == 200, answer.text


async def listen(server: ServerProcess, key: str, heard: bytearray) -> None:
    """Keep what a live tail of everything says until the task is cancelled."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/api/logs/tail", headers={"Authorization": f"Bearer {key}"}) as response,
    ):
        assert response.status == 200
        async for piece in response.content.iter_any():
            heard += piece
