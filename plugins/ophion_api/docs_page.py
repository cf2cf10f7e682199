"""The documentation page: the OpenAPI document as HTML, without scripts and without anything from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any, Final

from ophion_api.samples import curl_line, sample_of, type_of

_METHODS: Final = ("get", "post", "put", "patch", "delete")
Document = Mapping[str, Any]


def docs_page(document: Document) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    operations = sorted(operations_of(document), key=lambda found: (found[2].get("tags", [""])[0], found[1]))
    groups = [(tag, list(found)) for tag, found in groupby(operations, key=lambda found: found[2].get("tags", [""])[0])]
    index = "".join(f'<li><a href="#tag-{escape(tag)}">{escape(tag or "other")}</a></li>' for tag, _ in groups)
    body = "".join(_group(document, tag, found) for tag, found in groups)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="stylesheet" href="docs/style.css"></head><body>'
        f"<header><h1>{escape(info['title'])} API</h1><p>Version {escape(info['version'])}. "
        'The same as an <a href="openapi.json">OpenAPI document</a>.</p></header>'
        f"<nav><ul>{index}</ul></nav><main>{body}{_schemas(document)}</main></body></html>\n"
    )


def operations_of(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method (upper case), path and operation of everything in the document."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def _group(document: Document, tag: str, operations: list[tuple[str, str, dict[str, Any]]]) -> str:
    sections = "".join(_operation(document, *found) for found in operations)
    return f'<section id="tag-{escape(tag)}"><h2>{escape(tag or "other")}</h2>{sections}</section>'


def _operation(document: Document, method: str, path: str, operation: dict[str, Any]) -> str:
    permission = operation.get("x-permission")
    needs = f"Needs the permission <code>{escape(permission)}</code>." if permission else "Public."
    parts = [
        f"<p>{escape(operation.get('description', ''))} {needs}</p>",
        _parameters(operation),
        _body(document, operation),
        _answers(document, operation),
        f"<h4>Example</h4><pre>{escape(curl_line(document, method, path, operation))}</pre>",
    ]
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b class="{method.lower()}">{method}</b> '
        f"<code>{escape(path)}</code> {escape(operation.get('summary', ''))}</summary>{''.join(parts)}</details>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        _row(
            f"<code>{escape(one['name'])}</code>",
            one["in"],
            _typed(one["schema"]),
            "yes" if one.get("required") else "",
            _text(one.get("description", "")),
        )
        for one in operation.get("parameters", ())
    )
    return f"<h4>Parameters</h4>{_table(('name', 'in', 'type', 'required', 'meaning'), rows)}" if rows else ""


def _body(document: Document, operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    parts = [f"<h4>Body</h4>{_content(document, kind, media)}" for kind, media in content.items()]
    return "".join(parts)


def _answers(document: Document, operation: Mapping[str, Any]) -> str:
    parts = ["<h4>Answers</h4>"]
    errors = []
    for status, answer in operation["responses"].items():
        if status >= "400":
            errors.append(f"<code>{status}</code> {escape(answer['description'])}")
            continue
        parts.append(f"<p><code>{status}</code> {escape(answer['description'])}</p>")
        parts += [_content(document, kind, media) for kind, media in answer.get("content", {}).items()]
    return "".join(parts) + (f"<p>Errors: {', '.join(errors)}.</p>" if errors else "")


def _content(document: Document, media_type: str, media: Mapping[str, Any]) -> str:
    schema = media.get("schema")
    if not schema:
        return f"<p><code>{escape(media_type)}</code></p>"
    sample = json.dumps(sample_of(document, schema), indent=2, ensure_ascii=False)
    return f"<p><code>{escape(media_type)}</code>: {_typed(schema)}</p><pre>{escape(sample)}</pre>"


def _schemas(document: Document) -> str:
    schemas = document["components"]["schemas"]
    sections = "".join(_schema(name, schema) for name, schema in schemas.items())
    return f"<section><h2>Schemas</h2>{sections}</section>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        _row(
            f"<code>{escape(key)}</code>",
            _typed(field),
            "yes" if key in required else "",
            _text(field.get("description", "")),
        )
        for key, field in schema.get("properties", {}).items()
    )
    table = _table(("field", "type", "always", "meaning"), rows) if rows else f"<p>{_typed(schema)}</p>"
    about = f"<p>{_text(schema.get('description', ''))}</p>"
    return f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>{about}{table}</details>'


def _typed(schema: Mapping[str, Any]) -> str:
    """Return the type in words, with a link where it names a schema."""
    text, name = type_of(schema)
    return f'<a href="#schema-{escape(name)}">{escape(text)}</a>' if name else escape(text)


def _text(text: str) -> str:
    return escape(" ".join(text.split()))


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _table(names: tuple[str, ...], rows: str) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
