"""Every route of every bundled plugin: nobody gets in without credentials but where docs/security.md says so."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api_serving import Server, serve
from ophion_agent.errors import OphionError
from ophion_agent.registry import load_registry
from ophion_agent.server import Route
from ophion_api.openapi import openapi_document
from ophion_api.schemas import path_parameters
from scripts.generate_api_docs import bundled_routes, page, route_sources

ROOT = Path(__file__).resolve().parents[3]
# Values for path parameters, of which each pattern takes one.
VALUES = ("a", "1", "0" * 16, "0" * 32, "1.5", "00000000-0000-4000-8000-000000000000")
PUBLIC_ROW = re.compile(r"^\| *`?([A-Z]+)`? *\| *`?(/[^` |]*)`? *\| *(\S.*?) *\|$", re.MULTILINE)


def public_table() -> set[tuple[str, str]]:
    """Return method and path of each row of the table `| Method | Path | Why |`."""
    docs = ROOT / "docs" / "security.md"
    text = docs.read_text(encoding="utf-8") if docs.is_file() else ""
    table = re.search(r"^\| *Method *\| *Path *\| *Why *\|\n(\|.*\n)+", text, re.MULTILINE)
    assert table, "docs/security.md: must have the table of public routes, `| Method | Path | Why |`"
    return {(method, path) for method, path, _ in PUBLIC_ROW.findall(table[0])}


def name_of(route: Route) -> tuple[str, str]:
    return route.method, path_parameters(route.path)[0]


def url_of(route: Route) -> str:
    path, parameters = path_parameters(route.path)
    for name, pattern in parameters:
        value = next(value for value in VALUES if not pattern or re.fullmatch(pattern.strip("^$"), value))
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    return bundled_routes(load_registry())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve(route_sources(load_registry())) as running:
        yield running


def test_public_routes_are_those_of_the_table(routes: list[Route]) -> None:
    assert {name_of(route) for route in routes if route.access is None} == public_table()


async def test_every_other_route_asks_for_credentials_and_for_its_permission(
    routes: list[Route], server: Server
) -> None:
    private = [route for route in routes if route.access is not None]
    for route in private:
        for method in [route.method, "HEAD"] if route.method == "GET" else [route.method]:
            anonymous = await server.request(method, url_of(route))
            assert (anonymous.status, "WWW-Authenticate" in anonymous.headers) == (401, True), name_of(route)
            assert (await server.request(method, url_of(route), key="stolen")).status == 401, name_of(route)
            assert (await server.request(method, url_of(route), key="nobody")).status == 403, name_of(route)


def test_every_route_says_what_it_is(routes: list[Route]) -> None:
    documented = [route for route in routes if route.documented]
    assert [name_of(route) for route in documented if not (route.summary and route.tag)] == []
    assert [name_of(route) for route in documented if route.query and not described(route)] == []


def described(route: Route) -> bool:
    assert route.query is not None
    return all(field.description for field in route.query.model_fields.values())


def test_the_page_of_the_api_is_current() -> None:
    script = ROOT / "scripts" / "generate_api_docs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_names_the_source_that_has_no_routes_before_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def routes(self) -> list[Route]:
            raise OphionError("closed: is not open")

    monkeypatch.setattr("scripts.generate_api_docs.route_sources", lambda _: {"closed": Closed()})
    with pytest.raises(OphionError) as caught:
        bundled_routes(load_registry())
    assert str(caught.value) == (
        "closed: has no routes before its start (closed: is not open); "
        "routes() must only describe; let the handlers look up what start() makes"
    )


def test_page_names_method_path_permission_parameters_and_answer() -> None:
    from api_sample import sample_routes

    document: dict[str, Any] = openapi_document(sample_routes(), "")
    lines = page(document).splitlines()
    assert (
        "| GET | `/api/things` | `telemetry:read` | List things | `kind`*, `limit`, `match[]`, `before` | 200 Things |"
        in lines
    )
    assert "| POST | `/api/things` | `operate` | Make a thing | body: Thing | 201 Thing |" in lines
    assert "| GET | `/api/public` | public |  |  | 204 |" in lines
    assert "| GET | `/api/things.csv` | `telemetry:read` | Things as a table |  | 200 `text/csv` |" in lines
