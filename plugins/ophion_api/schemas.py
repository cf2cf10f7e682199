"""JSON schemas of what routes take and answer, with one name for each model in the whole document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from ophion_agent.server import Route

REFERENCE: Final = "#/components/schemas/"
_TEMPLATE: Final = REFERENCE + "{model}"
# aiohttp's form of a path parameter: {name} or {name:regular expression}.
_PARAMETER: Final = re.compile(r"\{(?P<name>[_a-zA-Z]\w*)(?::(?P<pattern>(?:[^{}]|\{[^{}]*\})+))?\}")

_Use = Literal["query", "body", "answer"]
_Input = tuple[str, Literal["validation", "serialization"], TypeAdapter[Any]]


class PathParameter(NamedTuple):
    """A part of a path that varies; `pattern` is "" where anything but a slash will do."""

    name: str
    pattern: str


def path_parameters(path: str) -> tuple[str, list[PathParameter]]:
    """Return the path as OpenAPI writes it, and its parameters."""
    found = [
        PathParameter(match["name"], f"^(?:{match['pattern']})$" if match["pattern"] else "")
        for match in _PARAMETER.finditer(path)
    ]
    return _PARAMETER.sub(lambda match: f"{{{match['name']}}}", path), found


class Schemas:
    """The schemas of all routes; equal names of different models are told apart by pydantic."""

    def __init__(self, routes: Sequence[Route]) -> None:
        inputs: list[_Input] = [entry for route in routes for entry in _inputs(route)]
        self._found, definitions = TypeAdapter.json_schemas(
            inputs, ref_template=_TEMPLATE, schema_generator=GenerateJsonSchema
        )
        self._definitions: dict[str, Any] = definitions.get("$defs", {})

    def query(self, route: Route) -> dict[str, Any]:
        """Return the schema of the query model itself, not a reference to it."""
        schema = self._schema(route, "query")
        name = schema.get("$ref", "").removeprefix(REFERENCE)
        return dict(self._definitions[name]) if name else schema

    def body(self, route: Route) -> dict[str, Any]:
        """Return the schema of the JSON body."""
        return self._schema(route, "body")

    def answer(self, route: Route) -> dict[str, Any]:
        """Return the schema of the answer."""
        return self._schema(route, "answer")

    def components(self, document: Any) -> dict[str, Any]:
        """Return the named schemas that `document` refers to, directly or through others."""
        wanted: dict[str, Any] = {}
        waiting = list(references(document))
        while waiting:
            name = waiting.pop()
            if name not in wanted and name in self._definitions:
                wanted[name] = self._definitions[name]
                waiting += references(wanted[name])
        return wanted

    def _schema(self, route: Route, use: _Use) -> dict[str, Any]:
        return dict(self._found[_key(route, use), "serialization" if use == "answer" else "validation"])


def _inputs(route: Route) -> Iterator[_Input]:
    if route.query is not None:
        yield _key(route, "query"), "validation", TypeAdapter(route.query)
    if route.body is not None and route.body is not bytes:
        yield _key(route, "body"), "validation", TypeAdapter(route.body)
    if route.answer is not None:
        yield _key(route, "answer"), "serialization", TypeAdapter(route.answer)


def _key(route: Route, use: _Use) -> str:
    return f"{route.method} {route.path} {use}"


def references(schema: Any) -> set[str]:
    """Return the names of the components that a part of the document refers to."""
    return {name.removeprefix(REFERENCE) for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema))}


def without_null(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a query field as a URL can carry it: absence takes the place of null."""
    schema = {name: value for name, value in field.items() if not (name == "default" and value is None)}
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if choices and len(choices) < len(schema["anyOf"]):
        del schema["anyOf"]
        schema = {**schema, **choices[0]} if len(choices) == 1 else {**schema, "anyOf": choices}
    return schema
