"""What an attacker types is data everywhere: no parameter, field or header of any route reaches the engine as SQL.

Each parameter gets some payloads, chosen by a fixed seed; OPHION_TEST_HOSTILE=all sends every payload to every one.
"""

import asyncio
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
import pytest_asyncio

from agent_process import eventually
from server_process import ONLY_OTLP, UNLIMITED, Answer, ServerProcess
from telemetry_sample import logs_request, metrics_request, traces_request

SEND_ALL = os.environ.get("OPHION_TEST_HOSTILE") == "all"
PAYLOADS_EACH = 3
AT_ONCE = 6
# No request may take as long as the sleep that it tries to start.
SLEEP_SECONDS = 3
# An answer that holds this computed what a payload told it to; no payload says it.
COMPUTED = str(7919 * 104729)
PRODUCT = "7919*104729"

SQL = (
    "'", '"', "`", "\\", "\\'", "''", "');--", "' OR '1'='1", "' OR 1=1 -- ", '" OR ""="', "1 OR 1=1", "x' /*", "*/ x",
    f"' UNION ALL SELECT toString({PRODUCT}) -- ", f"') UNION ALL SELECT {PRODUCT},{PRODUCT} FORMAT JSON -- ",
    f"1) UNION SELECT name, {PRODUCT} FROM system.tables -- ", "'; DROP TABLE spans; -- ", "; TRUNCATE TABLE logs",
    "x'; ALTER TABLE logs DELETE WHERE 1; SELECT '", "'; CREATE DATABASE zqinjected; -- ",
    f"' AND sleep({SLEEP_SECONDS}) AND '1'='1", f"1 AND sleep({SLEEP_SECONDS})", f"(SELECT sleep({SLEEP_SECONDS}))",
    f"' || (SELECT sleepEachRow(1) FROM numbers({SLEEP_SECONDS})) || '", f"'; SELECT pg_sleep({SLEEP_SECONDS}); -- ",
    "' AND (SELECT * FROM url('http://127.0.0.1:1/', CSV)) -- ", "' UNION SELECT * FROM file('/etc/passwd') -- ",
    "' AND throwIf(1, 'zqinjected') -- ", "{x:Identifier}", "{p0:String}", "{p0:Identifier}", "$$x$$", "x FORMAT Null",
    "SETTINGS max_execution_time=0", "' INTO OUTFILE '/tmp/zqinjected' -- ", "0x31303235343830056", "1e309",
    "-1", "nan",
)  # fmt: skip
TEXTS = (
    "%s%s%s%n", "%d%x", "{0}", "{}", "{self.__class__}", "${jndi:ldap://127.0.0.1/a}", "{{7*7}}", "<script>1</script>",
    "../../../../etc/passwd", "..\\..\\windows", "/etc/passwd", "file:///etc/passwd", "%2e%2e%2f", "\0", "a\0b",
    "\x1b[2J",
    "a\r\nSet-Cookie: zqinjected=1", "\ufeff", "\u202e", "ⅷ", "\uff07 OR 1=1", "İ", "ß", "\ud7ff", "😀" * 50, "e\u0301",
    "a" * 4000, "(" * 500, "[" * 500, "a*" * 200, '{"a":' * 100, "[" * 100 + "]" * 100, "null", "true", '{"$ne":1}',
    "(a+)+$", "9" * 400, "-9223372036854775809", "0", "", " ", "now-999999999w", "1970-01-01T00:00:00Z",
    "__import__('os')",
)  # fmt: skip
PAYLOADS = (*SQL, *TEXTS)
# Payloads inside what the languages of these parameters take, so that they get past the parsers.
WRAPPED: dict[str, tuple[str, ...]] = {
    "/api/v1/": ('{{__name__="{}"}}', '{{__name__=~"{}"}}', '{{state!="{}"}}', 'label_replace(up,"a","{}","b","")',
                 'count_values("{}", up)', 'topk(1,{{x!~"{}"}})'),
    "/api/metrics/query": ('{{__name__="{}"}}', '{{state=~"{}"}}'),
    "/loki/": ('{{service_name="{}"}}', '{{service_name=~".+"}} |= "{}"', '{{service_name=~".+"}} | x="{}"',
               '{{service_name=~".+"}} |~ "{}"', 'sum by (a) (count_over_time({{a="{}"}}[1m]))'),
    "/api/logs": ('"{}"', "field:{}", 'code:"{}"', "body:/{}/", "{}*", "code>={}", "-{}"),
    "/api/traces": ("code={}", "{}=1", "code=~{}", "{}"),
}  # fmt: skip
LANGUAGES = frozenset({"query", "match[]", "log_text", "attr"})
HEADERS = ("X-API-Key", "Authorization", "Cookie", "Accept", "User-Agent", "X-Request-Id", "Last-Event-ID",
           "X-Forwarded-For", "traceparent", "Content-Type", "Accept-Encoding", "Origin", "X-CSRF-Token")  # fmt: skip
# Words of the engine, of databases' drivers and of Python that an answer must not say.
LEAKS = re.compile(
    r"DB::Exception|Code: \d+\. |clickhouse|chdb|SYNTAX_ERROR|UNKNOWN_IDENTIFIER|Traceback|sqlalchemy|sqlite|"
    r"File \"/|\.py\"|/plugins/ophion|site-packages|MergeTree|SELECT .* FROM |psycopg|asyncpg|zqinjected=1;|KeyError|"
    r"root:x:0",
    re.IGNORECASE,
)
# Documented for what the server cannot do now.
BUSY = frozenset({503, 504})
# The server closed the connection instead of answering.
HUNG_UP = 599
# It answers for as long as the client listens; test_server_tenants.py covers it.
ENDLESS = "/api/logs/tail"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(3600 if SEND_ALL else 400)]


@dataclass(frozen=True)
class Attack:
    """One request with a payload in it."""

    method: str
    route: str
    path: str
    payload: str
    where: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Target:
    """A server with telemetry, and what its document says of it."""

    server: ServerProcess
    document: dict[str, Any]

    async def send(self, attack: Attack) -> tuple[Attack, Answer, float]:
        """Send the request and return the answer with the seconds that it took."""
        target = f"{attack.path}?{attack.query}" if attack.query else attack.path
        options: dict[str, Any] = {"data": attack.body} if attack.body else {}
        since = time.monotonic()
        try:
            answer = await self.server.request(
                attack.method, target, headers=attack.headers, is_encoded=True, **options
            )
        except aiohttp.ServerDisconnectedError as error:
            answer = Answer(HUNG_UP, {}, str(error).encode())
        return attack, answer, time.monotonic() - since


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with ServerProcess(tmp_path_factory.mktemp("server"), sets=[UNLIMITED, ONLY_OTLP]) as server:
        sample = {"traces": traces_request(), "logs": logs_request(), "metrics": metrics_request()}
        for signal, request in sample.items():
            assert (await server.send(signal, request.SerializeToString())).status == 200

        async def is_stored() -> bool:
            rows = await rows_of(server)
            return all(rows.get(table, 0) for table in ("spans", "logs", "samples", "series"))

        await eventually(is_stored, "the sample in the store", 30)
        yield Target(server, await server.ask("GET", "/api/openapi.json", key=""))


async def rows_of(server: ServerProcess) -> dict[str, int]:
    """Return the rows of each table."""
    found = await server.ask("GET", "/api/store")
    return {table["table"]: int(table["rows"]) for table in found["tables"]}


def chosen(chooser: random.Random, count: int = PAYLOADS_EACH) -> list[str]:
    return list(PAYLOADS) if SEND_ALL else chooser.sample(SQL, count - 1) + chooser.sample(TEXTS, 1)


def encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def languages(route: str, name: str, chooser: random.Random, *, is_repeat: bool = False) -> Iterator[str]:
    """Yield payloads for a parameter, wrapped where it takes a language; one of each for what was sent another way."""
    is_repeat = is_repeat and not SEND_ALL
    yield from [chooser.choice(SQL)] if is_repeat else chosen(chooser)
    if name not in LANGUAGES:
        return
    for prefix, forms in WRAPPED.items():
        if route.startswith(prefix):
            for form in [chooser.choice(forms)] if is_repeat else forms:
                for payload in chosen(chooser, 2):
                    yield form.format(payload.replace("\\", "\\\\").replace('"', '\\"'))


def attacks(document: Mapping[str, Any]) -> Iterator[Attack]:
    """Yield the requests to every route."""
    chooser = random.Random(20260131)
    for route, methods in document["paths"].items():
        for method, operation in methods.items():
            if route != ENDLESS:
                yield from attacks_on(method.upper(), route, operation, document, chooser)


def attacks_on(
    method: str, route: str, operation: Mapping[str, Any], document: Mapping[str, Any], chooser: random.Random
) -> Iterator[Attack]:
    names = re.findall(r"{(\w+)}", route)
    plain = re.sub(r"{\w+}", "x", route)
    for name in names:
        for payload in chosen(chooser):
            path = re.sub(r"{\w+}", "x", route.replace(f"{{{name}}}", encoded(payload) or "x"))
            body, headers = body_of(operation, document, {})
            yield Attack(method, route, path, payload, f"path {name}", body=body, headers=headers)
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            name = parameter["name"]
            for payload in languages(route, name, chooser):
                pairs = {**required(route), name: payload}
                yield Attack(method, route, plain, payload, f"query {name}", query=urlencode(pairs, errors="replace"))
    # A form has the parameters of the GET on its path, for the same handler.
    is_form = schema_of(operation, document)[0] == "application/x-www-form-urlencoded"
    is_repeat = is_form and "get" in document["paths"][route]
    for name in fields_of(operation, document):
        for payload in languages(route, name, chooser, is_repeat=is_repeat):
            body, headers = body_of(operation, document, {**required(route), name: payload})
            yield Attack(method, route, plain, payload, f"body {name}", body=body, headers=headers)


def required(route: str) -> dict[str, str]:
    """Return what a route needs so that it looks at its other parameters."""
    if route.startswith("/loki/"):
        return {"query": '{service_name="checkout"}'}
    if route.startswith(("/api/v1/query", "/api/metrics/query")):
        return {"query": "system_memory_usage_bytes"}
    return {"service": "checkout"} if route.startswith("/jaeger/api/traces") else {}


def schema_of(operation: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return media type and schema of the body that a route takes."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return media_type, schema
    return "", {}


def fields_of(operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    return list(schema_of(operation, document)[1].get("properties", ()))


def body_of(
    operation: Mapping[str, Any], document: Mapping[str, Any], values: Mapping[str, str]
) -> tuple[bytes, dict[str, str]]:
    """Return a body with these fields, and its headers."""
    media_type, schema = schema_of(operation, document)
    if not media_type:
        return b"", {}
    if media_type == "application/x-www-form-urlencoded":
        body = urlencode(values, errors="replace").encode()
    else:
        known = {name: value for name, value in values.items() if name in schema.get("properties", ())}
        lists = {name for name, found in schema.get("properties", {}).items() if found.get("type") == "array"}
        body = json.dumps({name: [value] if name in lists else value for name, value in known.items()}).encode()
    return body or b" ", {"Content-Type": media_type}


async def run_all(target: Target, found: list[Attack]) -> list[tuple[Attack, Answer, float]]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(attack: Attack) -> tuple[Attack, Answer, float]:
        async with limit:
            return await target.send(attack)

    return list(await asyncio.gather(*map(one, found)))


def said_by_the_server(attack: Attack, answer: Answer) -> str:
    """Return an answer without the payload that it repeats."""
    text = answer.text
    inner = json.dumps(attack.payload)[1:-1]
    for said in (attack.payload, inner, json.dumps(inner)[1:-1], repr(attack.payload)[1:-1], encoded(attack.payload)):
        if said.strip():
            text = text.replace(said, "")
    # Errors repeat the beginning of what was sent; the rest of a long word is no leak either.
    for word in re.findall(r"[\w'/.():]{4,}", attack.payload):
        text = text.replace(word, "")
    return text


async def assert_unharmed(target: Target, before: Mapping[str, int]) -> None:
    after = await rows_of(target.server)
    # What describes series and merges may shrink; nothing that was sent does.
    kept = {table: rows for table, rows in after.items() if table in ("spans", "logs", "samples")}
    assert kept == {table: rows for table, rows in before.items() if table in kept}
    assert len(kept) == 3
    assert set(after) == set(before)
    tenants = await target.server.ask("GET", "/api/tenants")
    assert "zqinjected" not in json.dumps(tenants)
    assert not await asyncio.to_thread(Path("/tmp/zqinjected").exists)
    errors = [event for event in target.server.events() if event.get("exception")]
    assert [(event["event"], event.get("route"), event["exception"][-600:]) for event in errors] == []


async def test_no_parameter_reaches_the_engine_as_sql(target: Target) -> None:
    before = await rows_of(target.server)
    found = list(attacks(target.document))
    assert len(found) > 1000

    answers = await run_all(target, found)

    for attack, answer, _ in answers:
        text = said_by_the_server(attack, answer)
        if attack.route in ("/api/docs", "/api/openapi.json", "/api/store", "/api/v1/status/flags"):
            continue  # Fixed texts, or names of tables for admins.
        assert not LEAKS.search(text), (attack, text[:1500])
        assert COMPUTED not in answer.text, (attack, answer.text[:500])
        assert "zqinjected" not in json.dumps(dict(answer.headers)), (attack, answer.headers)
    faults = [
        (attack.method, attack.path[:200], attack.where, attack.payload[:200], answer.status, answer.text[:300])
        for attack, answer, _ in answers
        if answer.status >= 500 and answer.status not in BUSY
    ]
    assert faults == []
    busy = [attack for attack, answer, _ in answers if answer.status in BUSY]
    assert len(busy) < len(answers) / 50, busy[:5]
    await assert_unharmed(target, before)


async def test_no_payload_makes_the_engine_sleep(target: Target) -> None:
    sleepers = [payload for payload in SQL if "sleep" in payload]
    calm = await target.send(Attack("GET", "", "/api/logs", "", "", query=urlencode({"query": "Payment"})))
    found = [
        Attack("GET", path, path, payload, name, query=urlencode({**required(path), name: form.format(payload)}))
        for payload in sleepers
        for path, name, form in (
            ("/api/logs", "query", '"{}"'),
            ("/api/logs", "service", "{}"),
            ("/api/traces", "attr", "{}=1"),
            ("/api/traces", "operation", "{}"),
            ("/api/attributes", "search", "{}"),
            ("/api/v1/series", "match[]", '{{__name__="{}"}}'),
            ("/api/v1/query", "query", '{{state="{}"}}'),
            ("/loki/api/v1/query_range", "query", '{{service_name="{}"}}'),
            ("/jaeger/api/traces", "operation", "{}"),
        )
    ]

    answers = [await target.send(attack) for attack in found]

    assert {answer.status for _, answer, _ in answers} <= {200, 400, 422}
    assert any(answer.status == 200 for _, answer, _ in answers)
    # A sleeping query would take the whole time at least; a busy machine takes that long by itself only now and then.
    slow = [attack for attack, _, seconds in answers if seconds >= SLEEP_SECONDS + calm[2]]
    still_slow = [attack for attack in slow if (await target.send(attack))[2] >= SLEEP_SECONDS + calm[2]]
    assert still_slow == []


async def test_no_header_is_more_than_text(target: Target) -> None:
    chooser = random.Random(1)
    before = await rows_of(target.server)
    key = target.server.admin_key
    for name in HEADERS:
        for payload in PAYLOADS if SEND_ALL else chosen(chooser, 6):
            value = payload.encode("utf-8", "surrogatepass")
            status, head, body = await raw_request(target.server, name, value, key)
            # Control characters end a header or are refused by the HTTP parser, before any route.
            assert status < 500, (name, payload, status, body)
            assert b"zqinjected" not in head.lower(), (name, payload, head)
            assert not re.search(rb"Traceback|File \"/", body), (name, payload, body)
    await assert_unharmed(target, before)


async def raw_request(server: ServerProcess, name: str, value: bytes, key: str) -> tuple[int, bytes, bytes]:
    """Send a request with a header as no client library would, and return status, head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.api_port)
    try:
        sent = {b"Host": b"localhost", b"Connection": b"close", name.encode(): value}
        if name not in ("Authorization", "X-API-Key"):
            sent[b"Authorization"] = b"Bearer " + key.encode()
        lines = b"".join(header + b": " + text + b"\r\n" for header, text in sent.items())
        writer.write(b"GET /api/services?from=now-1h HTTP/1.1\r\n" + lines + b"\r\n")
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(1 << 20), 30)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3})", head)
    assert found, answer[:200]
    return int(found[1]), head, body


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"query": "x", "where": ' + b'{"all":[' * 3000 + b"]}" * 3000 + b"}",
        b'{"query": "\\u0000"}',
        b'{"query": "\\ud800"}',
        b'\xff\xfe{"query": 1}',
        b'{"query": 1e999999}',
        b'{"limit": 99999999999999999999999999}',
        b'{"__proto__": {"x": 1}}',
        b"null",
        b"",
    ],
    ids=lambda body: body[:20].decode("latin-1").encode("unicode_escape").decode(),
)
async def test_bodies_that_are_no_request_are_refused(target: Target, body: bytes) -> None:
    for path in ("/api/logs/query", "/api/traces/search", "/api/metrics/query", "/api/keys", "/api/auth/login"):
        answer = await target.server.request("POST", path, data=body, headers={"Content-Type": "application/json"})
        assert answer.status in (200, 400, 401, 403, 413, 422), (path, answer.status, answer.text[:300])
        if answer.status == 200:
            # A text of one NUL is one to look for.
            assert b'"query": "\\u' in body, (path, answer.text[:300])
        assert not LEAKS.search(answer.text), answer.text[:500]
