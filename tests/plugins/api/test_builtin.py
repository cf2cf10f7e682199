"""Health, probes, the OpenAPI document and the documentation page."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from api_sample import sample_routes
from ophion_agent.info import ComponentInfo
from ophion_agent.server import Call, Route
from ophion_api.openapi import openapi_document, operation_id
from ophion_api.samples import sample_of, type_of
from ophion_api.schemas import path_parameters

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&"


async def nothing(_: Call) -> None:
    return None


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document(sample_routes(), "1.2.3")


@pytest.mark.parametrize(
    ("statuses", "overall", "ready"),
    [
        ([], "ok", 200),
        (["ok", "degraded"], "degraded", 200),
        (["starting", "ok"], "starting", 503),
        (["degraded", "failed", "starting"], "failed", 503),
    ],
)
async def test_tells_how_the_server_is(api_server: Any, statuses: list[str], overall: str, ready: int) -> None:
    server = await api_server()
    server.agent.running = [ComponentInfo("exporter", f"e{n}", one, "secret", 0) for n, one in enumerate(statuses)]
    health = (await server.get("/api/health")).json()
    assert (health["status"], health["version"]) == (overall, "1.2.3")
    assert health["components"] == [
        {"kind": "exporter", "id": f"e{n}", "status": one} for n, one in enumerate(statuses)
    ]
    assert (await server.get("/-/ready")).status == ready
    assert (await server.get("/-/healthy")).text == "Ophion is healthy.\n"


async def test_serves_the_document_of_everything_mounted(api_server: Any) -> None:
    server = await api_server(sample_routes())
    served = (await server.get("/api/openapi.json")).json()
    assert {"/api/things/{thingId}", "/api/health", "/-/ready", "/api/docs"} <= served["paths"].keys()
    assert served["info"]["version"] == "1.2.3"
    assert "/api/docs/style.css" not in served["paths"]


def test_document_keeps_openapi_31(document: dict[str, Any]) -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31

    errors = [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(document)]
    assert errors == []
    Draft202012Validator.check_schema({"$defs": document["components"]["schemas"]})


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    named = set(re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(document)))
    assert named == document["components"]["schemas"].keys()


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    assert operation_id("GET", "/api/traces/{traceId}") == "get_api_traces_traceId"
    assert operation_id("GET", "/a-b") != operation_id("GET", "/a.b")


def test_document_says_who_may_call(document: dict[str, Any]) -> None:
    change = document["paths"]["/api/things"]["post"]
    assert (change["x-permission"], change["security"]) == (
        "operate",
        [{"bearer": []}, {"apiKey": []}, {"session": []}],
    )
    assert document["paths"]["/api/public"]["get"]["security"] == []
    assert "x-permission" not in document["paths"]["/api/public"]["get"]


def test_document_declares_errors_as_problems(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/things"]["post"]["responses"]
    assert set(responses) == {"201", "400", "401", "403", "408", "409", "413", "415", "422", "429", "503"}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert all(responses[status]["content"] == problem for status in responses if status > "400")
    # What is no HTTP is refused before there is a route whose form of errors could count.
    assert responses["400"]["content"] == {**problem, "text/plain": {}}
    assert "400" in document["paths"]["/api/things"]["get"]["responses"]
    foreign = document["paths"]["/foreign/query"]["post"]["responses"]["422"]["content"]
    assert set(foreign) == {"application/json", "text/plain"}


def test_query_parameters_are_those_of_a_url(document: dict[str, Any]) -> None:
    parameters = {one["name"]: one for one in document["paths"]["/api/things"]["get"]["parameters"]}
    assert parameters["limit"] == {
        "name": "limit",
        "in": "query",
        "description": "Most things returned.",
        "schema": {"default": 10, "maximum": 100, "minimum": 1, "title": "Limit", "type": "integer"},
    }
    assert parameters["before"]["schema"] == {"title": "Before", "type": "number"}
    assert parameters["match[]"]["schema"]["type"] == "array"
    assert parameters["kind"]["required"] is True


def test_form_fields_stand_in_the_body(document: dict[str, Any]) -> None:
    post, get = (document["paths"]["/foreign/query"][method] for method in ("post", "get"))
    assert "parameters" not in post
    form = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert (form["required"], post["requestBody"]["required"]) == (["kind"], True)
    assert "kind" in {one["name"] for one in get["parameters"]}


@pytest.mark.parametrize(
    ("path", "written", "parameters"),
    [
        ("/a/{b}/c", "/a/{b}/c", [("b", "")]),
        ("/a/{id:[0-9a-f]{32}}", "/a/{id}", [("id", "^(?:[0-9a-f]{32})$")]),
        ("/a", "/a", []),
    ],
)
def test_writes_paths_as_openapi_does(path: str, written: str, parameters: list[tuple[str, str]]) -> None:
    assert path_parameters(path) == (written, parameters)


class Recursive(BaseModel):
    children: list["Recursive"] = []


def test_makes_samples_that_fit_their_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator({**schema, "components": {"schemas": schemas}}).validate(sample_of(document, schema))
    schema = openapi_document([Route("GET", "/x", nothing, None, answer=Recursive)], "1")
    assert sample_of(schema, {"$ref": "#/components/schemas/Recursive"}) == {"children": []}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "array", "items": {"$ref": "#/components/schemas/T"}}, ("list of T", "T")),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ("string or null", "")),
        ({"enum": ["a", "b"]}, ('"a", "b"', "")),
        ({"const": 1}, ("1", "")),
        ({"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}, ("map of integer, at least 1", "")),  # noqa: E501
        ({}, ("any", "")),
    ],
)  # fmt: skip
def test_says_types_in_words(schema: dict[str, Any], expected: tuple[str, str]) -> None:
    assert type_of(schema) == expected


class Page(HTMLParser):
    """What is in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_page_shows_every_operation_and_needs_nothing_from_elsewhere(api_server: Any) -> None:
    evil = Route("GET", "/evil", nothing, None, status=204, summary=EVIL, description=EVIL, tag=EVIL)
    server = await api_server([*sample_routes(), evil])
    answer = await server.get("/api/docs")
    page = Page(answer.text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in ("/api/things/{thingId}", "Most things returned.", "operate", EVIL, "Thing", "http://localhost:8080/"):
        assert text in page.text
    assert "curl -X POST -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' -d" in page.text
    assert {"script", "img", "style", "iframe"} & set(page.elements) == set()
    assert [name for name, _ in page.attributes if name == "style" or name.startswith("on")] == []
    assert {value for name, value in page.attributes if name == "href" and not (value or "").startswith("#")} == {
        "docs/style.css",
        "openapi.json",
    }
    links = {value for name, value in page.attributes if name == "href" and (value or "").startswith("#")}
    assert {link and link[1:] for link in links} <= {value for name, value in page.attributes if name == "id"}
    style = await server.get("/api/docs/style.css")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "style-src 'self'" in answer.headers["Content-Security-Policy"]
