"""Examples made from schemas: a value, a type in words, a line for curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from ophion_api.schemas import REFERENCE

# How many references are followed: a schema may refer to itself.
_DEEPEST: Final = 4
_FORMATS: Final = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "ada@example.com",
    "uri": "https://example.com",
}
_SIMPLE: Final[Mapping[str, Any]] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
_Schema = Mapping[str, Any]


def sample_of(document: _Schema, schema: _Schema, depth: int = 0) -> Any:
    """Return a value that the schema allows in form; its own examples and defaults come first."""
    if (name := _reference(schema)) and depth < _DEEPEST:
        return sample_of(document, document["components"]["schemas"][name], depth + 1)
    for found in (schema.get("examples"), schema.get("enum")):
        if found:
            return found[0]
    for key in ("example", "default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample_of(document, schema[key][0], depth)
    return _by_type(document, schema, depth)


def _by_type(document: _Schema, schema: _Schema, depth: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
        return [sample_of(document, items, depth)] if items and depth < _DEEPEST else []
    if kind == "object":
        return {name: sample_of(document, field, depth) for name, field in schema.get("properties", {}).items()}
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "text")
    if kind in ("integer", "number"):
        return schema.get("minimum", _SIMPLE[kind])
    return _SIMPLE.get(kind or "", {})


def type_of(schema: _Schema) -> tuple[str, str]:
    """Return the type in words, and the name of the schema that it refers to or ""."""
    if name := _reference(schema):
        return name, name
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            found = [type_of(choice) for choice in schema[key]]
            return " or ".join(dict.fromkeys(text for text, _ in found)), next((name for _, name in found if name), "")
    if "enum" in schema:
        return ", ".join(json.dumps(value) for value in schema["enum"]), ""
    if "const" in schema:
        return json.dumps(schema["const"]), ""
    return _typed_by_name(schema)


def _typed_by_name(schema: _Schema) -> tuple[str, str]:
    kind = schema.get("type", "any")
    if kind == "array":
        text, name = type_of(schema.get("items", {}))
        return f"list of {text}", name
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        text, name = type_of(schema["additionalProperties"])
        return f"map of {text}", name
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    limits = [
        f"{word} {schema[key]}" for key, word in (("minimum", "at least"), ("maximum", "at most")) if key in schema
    ]
    return ", ".join([text, *limits]), ""


def curl_line(document: _Schema, method: str, path: str, operation: _Schema) -> str:
    """Return a command that calls the operation; KEY stands for an API key."""
    url, query = path, []
    for parameter in operation.get("parameters", ()):
        value = str(sample_of(document, parameter["schema"]))
        if parameter["in"] == "path":
            url = url.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
        elif parameter.get("required"):
            query.append(f"{quote(parameter['name'], safe='')}={quote(value, safe='')}")
    server = document["servers"][0]["url"].removesuffix("/") or "http://localhost:8080"
    words = ["curl"]
    if method != "GET":
        words += ["-X", method]
    if operation.get("x-permission"):
        words += ["-H", "Authorization: Bearer KEY"]
    words += _data(document, operation)
    return " ".join(map(shlex.quote, [*words, f"{server}{url}{'?' if query else ''}{'&'.join(query)}"]))


def _data(document: _Schema, operation: _Schema) -> list[str]:
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        if media_type == "application/json":
            sample = json.dumps(sample_of(document, media["schema"]), ensure_ascii=False)
            return ["-H", f"Content-Type: {media_type}", "-d", sample]
        if "schema" not in media:
            return ["--data-binary", "@FILE"]
        form = sample_of(document, media["schema"])
        needed = media["schema"].get("required", ())
        return [word for name in needed for word in ("--data-urlencode", f"{name}={form[name]}")]
    return []


def _reference(schema: _Schema) -> str:
    reference = schema.get("$ref", "")
    return reference.removeprefix(REFERENCE) if isinstance(reference, str) else ""
