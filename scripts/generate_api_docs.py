"""Write docs/api.md from the OpenAPI document of every bundled plugin.

python scripts/generate_api_docs.py            # rewrite the file
python scripts/generate_api_docs.py --check    # fail when it is out of date
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from ophion_agent.agent import agent_version
from ophion_agent.clock import Clock
from ophion_agent.context import Context
from ophion_agent.errors import OphionError
from ophion_agent.registry import Registry, load_registry
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.server import HTTP_ROUTES, Route
from ophion_agent.services import ServiceKey
from ophion_api.builtin import builtin_routes
from ophion_api.docs_page import operations_of
from ophion_api.openapi import openapi_document
from ophion_api.samples import type_of

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "api.md"
# What an extension must be told before it can be made; nothing is started.
CONFIGS: Final[Mapping[str, Mapping[str, Any]]] = {}
_INTRO: Final = """\
# HTTP API

Everything below is served by the `api` extension, on port 8080 unless its `endpoint` says otherwise. The running server
has the same as a page with examples at `/api/docs`, and as an OpenAPI 3.1 document at `/api/openapi.json`.

- **Credentials**: `Authorization: Bearer KEY` with an API key or access token, `X-API-Key: KEY`, or a browser's session
  cookie. The column "permission" says what they must allow; what is public says so.
- **Errors** are problem documents (RFC 9457, `application/problem+json`): `status`, `title`, `detail`, and with 422 an
  `errors` list of `location`, `message` and `input`. 401 asks for credentials, 403 for a permission, 429 and 503 name
  the wait in `Retry-After`, and 500 has an `error_id` that the server's log knows. Protocols of other programs keep
  their own form of error.
- **Parameters** that are lists are repeated: `?service=a&service=b`. Unknown ones are refused, but where the protocol
  is another program's. A `*` marks what is required.
- **Compression**: answers beyond 1 KiB come as zstd or gzip if `Accept-Encoding` allows it; JSON bodies may be sent
  compressed, with `Content-Encoding`.
- `X-Request-Id` is taken from the request, or made, and stands in the answer and the log.
"""


def main(arguments: list[str]) -> int:
    """Rewrite the page, or with --check say whether it is up to date."""
    wanted = page(openapi_document(bundled_routes(load_registry()), ""))
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    is_current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
    if not is_current:
        sys.stderr.write(f"{PAGE} is out of date; run python scripts/generate_api_docs.py\n")
    return int(not is_current)


def bundled_routes(registry: Registry) -> list[Route]:
    """Return the routes of the server itself and of every registered source, none of which is started."""
    routes = builtin_routes(bare_context("api"), list)
    for name, source in route_sources(registry).items():
        try:
            routes += source.routes()
        except OphionError as error:
            remedy = "routes() must only describe; let the handlers look up what start() makes"
            raise OphionError(f"{name}: has no routes before its start ({error}); {remedy}") from error
    return routes


def route_sources(registry: Registry) -> dict[str, Any]:
    """Return type_name -> an instance, not started, of every extension that offers routes."""
    sources: dict[str, Any] = {}
    for registered in registry.components():
        component: Any = registered.component
        if HTTP_ROUTES in component.provides:
            name = component.type_name
            config = component.config_type.model_validate(CONFIGS.get(name, {}))
            sources[name] = component(config, bare_context(name, component.requires, component.gathers))
    return sources


def bare_context(
    name: str, requires: Iterable[ServiceKey[Any]] = (), gathers: Iterable[ServiceKey[Any]] = ()
) -> Context:
    """Return a context whose services are there and can do nothing: describing a route needs none of them."""
    agent: Any = SimpleNamespace(version=agent_version())
    return Context(
        "extension",
        name,
        clock=Clock(),
        metrics=SelfMetrics(),
        services={"stand-in": None},
        provided={key.name: "stand-in" for key in requires},
        gathered={key.name: () for key in gathers},
        agent=agent,
    )


def page(document: Mapping[str, Any]) -> str:
    """Return the whole page."""
    operations = sorted(operations_of(document), key=lambda found: (_tag(found[2]), found[1], found[0]))
    groups = groupby(operations, key=lambda found: _tag(found[2]))
    return _INTRO + "".join(_group(tag, found) for tag, found in groups)


def _group(tag: str, operations: Iterator[tuple[str, str, dict[str, Any]]]) -> str:
    header = f"\n## {tag}\n\n| method | path | permission | what | parameters | answer |\n|---|---|---|---|---|---|\n"
    return header + "".join(_row(*found) for found in operations)


def _row(method: str, path: str, operation: Mapping[str, Any]) -> str:
    permission = operation.get("x-permission")
    cells = (
        method,
        f"`{path}`",
        f"`{permission}`" if permission else "public",
        operation.get("summary", ""),
        _parameters(operation),
        _answer(operation),
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |\n"


def _parameters(operation: Mapping[str, Any]) -> str:
    found = [
        f"`{one['name']}`{'*' if one.get('required') else ''}"
        for one in operation.get("parameters", ())
        if one["in"] != "path"
    ]
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        schema = media.get("schema", {})
        if media_type == "application/x-www-form-urlencoded":
            needed = schema.get("required", ())
            found += [f"`{name}`{'*' if name in needed else ''}" for name in schema.get("properties", {})]
        else:
            found.append(f"body: {type_of(schema)[0] if schema else f'`{media_type}`'}")
    return ", ".join(found)


def _answer(operation: Mapping[str, Any]) -> str:
    for status, answer in operation["responses"].items():
        kinds = [
            type_of(media["schema"])[0] if "schema" in media else f"`{kind}`"
            for kind, media in answer.get("content", {}).items()
        ]
        return f"{status} {', '.join(kinds)}".strip()
    return ""


def _tag(operation: Mapping[str, Any]) -> str:
    tags: list[str] = operation.get("tags", ["other"])
    return tags[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
