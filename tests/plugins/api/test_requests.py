"""What a request must be before a handler sees it, and what it sees."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from api_serving import FakeAuthorizer
from ophion_agent.plugin import PermanentError, RetryableError
from ophion_agent.server import BadRequest, Call, Conflict, Permission, Problem, Reply, Route
from parts import captured_events

READ, OPERATE = Permission.READ, Permission.OPERATE
JSON = {"Content-Type": "application/json"}
FORM_TYPE = "application/x-www-form-urlencoded"
FORM, TEXT, BROTLI = {"Content-Type": FORM_TYPE}, {"Content-Type": "text/plain"}, {"Content-Encoding": "br"}


class Search(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=100)
    match: list[str] = Field([], alias="match[]")
    service: tuple[str, ...] | None = None
    start: float | None = Field(None, validation_alias=AliasChoices("start", "from"))


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    sizes: list[int] = []
    password: str = ""


class Seen:
    """A handler that keeps its calls and answers with `answer`."""

    def __init__(self, answer: Any = None) -> None:
        self.calls: list[Call] = []
        self.answer = answer

    async def __call__(self, call: Call) -> Any:
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def call(self) -> Call:
        return self.calls[-1]


@pytest.fixture
def seen() -> Seen:
    return Seen({"done": True})


def searching(handler: Any, **options: Any) -> Route:
    return Route("GET", "/api/things/{kind}", handler, READ, query=Search, answer=dict[str, bool], **options)


def changing(handler: Any, **options: Any) -> Route:
    return Route("POST", "/api/things", handler, OPERATE, answer=dict[str, bool], **{"body": Thing, **options})


async def test_asks_anonymous_callers_for_credentials(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get("/api/things/cup")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "this needs credentials; sign in, or send an API key as `Authorization: Bearer KEY`",
        "instance": "/api/things/cup",
    }
    assert seen.calls == []


async def test_refuses_callers_without_the_permission(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen), changing(seen)])
    answer = await server.post("/api/things", key="reader", json={"name": "cup"})
    assert answer.status == 403
    assert answer.json()["detail"] == 'this needs the permission "operate"; ask an administrator for it'
    assert (await server.get("/api/things/cup", key="reader")).status == 200


async def test_refuses_unknown_credentials_and_counts_them_against_the_address(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    assert (await server.get("/api/things/cup", key="stolen")).status == 401
    assert server.authorizer.admitted == [("anonymous", "127.0.0.1")]


async def test_limits_the_rate_and_names_the_wait(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)], FakeAuthorizer(limit=1))
    assert (await server.get("/api/things/cup", key="reader")).status == 200
    answer = await server.get("/api/things/cup", key="reader")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert server.metrics.total("ophion_api_refused", reason="rate_limit") == 1


async def test_never_asks_who_calls_a_public_route(api_server: Any, seen: Seen) -> None:
    server = await api_server([Route("POST", "/api/login", seen, None, answer=dict[str, bool])])
    assert (await server.post("/api/login", key="stale")).status == 200
    assert server.authorizer.asked == []
    assert server.authorizer.admitted == [("anonymous", "127.0.0.1")]
    assert seen.call.principal.kind == "anonymous"


async def test_hands_the_authorizer_headers_cookies_client_and_method(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    await server.request("HEAD", "/api/things/cup", headers={"X-CSRF-Token": "t", "Cookie": "session=abc; other=1"})
    headers, cookies, client, method = server.authorizer.asked[0]
    assert headers["x-csrf-token"] == "t"
    assert dict(cookies) == {"session": "abc", "other": "1"}
    assert (client, method) == ("127.0.0.1", "HEAD")


async def test_handler_sees_path_query_headers_client_and_principal(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get("/api/things/a%2Fb%20c?limit=3&match[]=x&match[]=y&service=s&from=1.5", key="reader")
    assert answer.json() == {"done": True}
    call = seen.call
    assert call.path == {"kind": "a/b c"}
    assert call.query == Search(**{"limit": 3, "match[]": ["x", "y"], "service": ("s",), "start": 1.5})
    assert (call.client, call.secure, call.tenant, call.principal.subject) == ("127.0.0.1", False, "default", "reader")
    assert call.headers["authorization"] == "Bearer reader"


async def test_joins_headers_that_come_several_times(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    await server.session.get(
        server.url + "/api/things/cup", headers=[("Authorization", "Bearer reader"), ("X-A", "1"), ("X-A", "2")]
    )
    assert seen.call.headers["x-a"] == "1, 2"


async def test_lists_every_wrong_query_parameter(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get("/api/things/cup?limit=0&color=red&start=now", key="reader")
    assert answer.status == 422
    assert answer.json()["detail"] == (
        "query.limit: input should be greater than or equal to 1 (and 2 more in `errors`)"
    )
    assert answer.json()["errors"] == [
        {"location": "query.limit", "message": "input should be greater than or equal to 1", "input": "0"},
        {
            "location": "query.start",
            "message": "input should be a valid number, unable to parse string as a number",
            "input": "now",
        },
        {
            "location": "query.color",
            "message": "there is no such field; the documentation at /api/docs lists those there are",
            "input": "red",
        },
    ]


async def test_refuses_a_repeated_parameter_that_is_no_list(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get("/api/things/cup?limit=1&limit=2", key="reader")
    assert answer.status == 422
    assert [error["location"] for error in answer.json()["errors"]] == ["query.limit"]


async def test_shortens_what_it_sends_back(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get(f"/api/things/cup?limit={'9' * 3000}x", key="reader")
    assert answer.json()["errors"][0]["input"] == "9" * 200 + "..."


async def test_refuses_nul_in_a_path(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen)])
    answer = await server.get("/api/things/a%00b", key="reader")
    assert answer.status == 400
    assert answer.json()["detail"] == "path.kind: must not hold a NUL character; remove it"


async def test_checks_json_bodies(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen)])
    assert (await server.post("/api/things", key="admin", json={"name": "cup", "sizes": [1]})).status == 200
    assert seen.call.body == Thing(name="cup", sizes=[1])
    answer = await server.post("/api/things", key="admin", json={"sizes": [1, "x"]})
    assert answer.status == 422
    assert [(error["location"], error.get("input")) for error in answer.json()["errors"]] == [
        ("body.name", None),
        ("body.sizes.1", "x"),
    ]


async def test_never_sends_secrets_back(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen)])
    answer = await server.post("/api/things", key="admin", json={"name": 1, "password": 424242})
    assert answer.status == 422
    assert b"424242" not in answer.body


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        (b"{", JSON, 400, "body: Invalid JSON: EOF while parsing an object at line 1 column 1; send a JSON document"),
        (b"\xff", JSON, 400, "body: Invalid JSON: expected value at line 1 column 1; send a JSON document"),
        (b"", JSON, 400, "the body is missing; send a JSON document"),
        (b"{}", TEXT, 415, 'the body must be JSON, got "text/plain"; send Content-Type: application/json'),
        (b"{}", {"Content-Type": ""}, 415, None),
        (b"x" * 3000, JSON, 413, "the body is larger than 2000 bytes; send smaller requests or raise the limit"),
        (b"x", {**JSON, **BROTLI}, 415, "content encoding 'br' is not served; use one of: gzip, zstd, zlib, deflate"),
        (b"x", {**JSON, "Content-Encoding": "gzip"}, 400, None),
        (gzip.compress(b" " * 3000, mtime=0), {**JSON, "Content-Encoding": "gzip"}, 413, None),
    ],
)  # fmt: skip
async def test_refuses_bodies(
    api_server: Any, seen: Seen, body: bytes, headers: dict[str, str], status: int, detail: str | None
) -> None:
    server = await api_server([changing(seen, max_body_bytes=2000)])
    answer = await server.post("/api/things", key="admin", data=body, headers=headers)
    assert answer.status == status
    assert detail is None or answer.json()["detail"] == detail
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert seen.calls == []


async def test_takes_compressed_json(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen)])
    body = gzip.compress(json.dumps({"name": "cup"}).encode(), mtime=0)
    answer = await server.post("/api/things", key="admin", data=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, seen.call.body) == (200, Thing(name="cup"))


async def test_hands_raw_bodies_on_as_they_came(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen, body=bytes)])
    answer = await server.post("/api/things", key="admin", data=b"\x00\xff", headers={"Content-Encoding": "snappy"})
    assert (answer.status, seen.call.raw, seen.call.body) == (200, b"\x00\xff", b"\x00\xff")


async def test_takes_no_body_where_none_is_needed(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen, body=Thing | None)])
    assert (await server.post("/api/things", key="admin")).status == 200
    assert seen.call.body is None


async def test_merges_form_fields_into_the_query(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen, body=None, query=Search, form=True)])
    answer = await server.post("/api/things?match[]=a", key="admin", data=b"match[]=b%20c&limit=5", headers=FORM)
    assert (answer.status, seen.call.query) == (200, Search(**{"match[]": ["a", "b c"], "limit": 5}))
    assert (await server.post("/api/things?limit=7", key="admin")).status == 200
    assert seen.call.query.limit == 7


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        (b"{}", JSON, 415, f'the body must be a form, got "application/json"; send Content-Type: {FORM_TYPE}'),
        (b"&".join([b"a=b"] * 1001), FORM, 400, "body: must be a UTF-8 form of at most 1000 fields; send fewer"),
        (b"\xff=1", FORM, 400, "body: must be a UTF-8 form of at most 1000 fields; send fewer"),
    ],
)  # fmt: skip
async def test_refuses_forms(
    api_server: Any, seen: Seen, body: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    server = await api_server([changing(seen, body=None, query=Search, form=True)])
    answer = await server.post("/api/things", key="admin", data=body, headers=headers)
    assert (answer.status, answer.json()["detail"]) == (status, detail)


async def test_refuses_a_body_that_does_not_arrive(api_server: Any, seen: Seen) -> None:
    server = await api_server([changing(seen)], config={"read_timeout": "50ms"})
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        b"POST /api/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n"
        b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    assert head.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (Conflict("there is one already; choose another name"), 409, {}),
        (Problem("gone", status=410, headers={"X-Gone": "yes"}), 410, {"X-Gone": "yes"}),
        (RetryableError("queue is full", 4.2), 503, {"Retry-After": "4"}),
        (PermanentError("never"), 400, {}),
    ],
)
async def test_answers_errors_raised_on_purpose(
    api_server: Any, error: Exception, status: int, header: dict[str, str]
) -> None:
    server = await api_server([searching(Seen(error))])
    answer = await server.get("/api/things/cup", key="reader")
    assert (answer.status, answer.json()["detail"]) == (status, str(error))
    assert header.items() <= dict(answer.headers).items()
    assert server.metrics.total("ophion_api_faults") == 0


async def test_hides_faults_and_logs_them_once(api_server: Any) -> None:
    server = await api_server([searching(Seen(ZeroDivisionError("insides")))])
    with captured_events() as events:
        answer = await server.get("/api/things/cup", key="reader", headers={"X-Request-Id": "req-1"})
    document = answer.json()
    assert answer.status == 500
    assert document["detail"] == "the server made a mistake; its log says more under this error_id"
    assert b"insides" not in answer.body
    logged = [facts for event, facts in events if event == "request_failed"]
    assert [(facts["error_id"], facts["route"], facts["request_id"]) for facts in logged] == [
        (document["error_id"], "/api/things/{kind}", "req-1")
    ]
    assert server.metrics.total("ophion_api_faults", route="/api/things/{kind}") == 1


async def test_route_may_have_its_own_form_of_errors(api_server: Any) -> None:
    def own(problem: Problem) -> Reply:
        return Reply(json.dumps({"status": "error", "error": problem.detail}).encode(), status=problem.code)

    server = await api_server([searching(Seen(BadRequest("bad query")), problem_reply=own)])
    answer = await server.get("/api/things/cup", key="reader")
    assert (answer.status, answer.json()) == (400, {"status": "error", "error": "bad query"})
    answer = await server.get("/api/things/cup?limit=0", key="reader")
    assert (answer.status, answer.json()["status"]) == (422, "error")
    assert (await server.get("/api/things/cup")).json()["status"] == "error"


async def test_names_what_is_there_for_unknown_paths_and_methods(api_server: Any, seen: Seen) -> None:
    server = await api_server([searching(seen), changing(seen)])
    missing = await server.get("/api/nothing")
    assert (missing.status, missing.json()["instance"]) == (404, "/api/nothing")
    wrong = await server.request("PUT", "/api/things/cup")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD")
    assert wrong.headers["Content-Type"] == "application/problem+json"
    options = await server.request("OPTIONS", "/api/things")
    assert (options.status, options.headers["Allow"], options.body) == (204, "POST", b"")
