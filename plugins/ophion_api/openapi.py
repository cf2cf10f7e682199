"""The OpenAPI 3.1 document of the mounted routes, made from the models that check and encode.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from ophion_agent.server import Route
from ophion_api.inputs import FORM_TYPE
from ophion_api.problems import PROBLEM_TYPE
from ophion_api.schemas import REFERENCE, PathParameter, Schemas, path_parameters, without_null

SESSION_COOKIE: Final = "ophion_session"
_SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A browser's session."},
}
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "about:blank: the status says it all."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "description": "The status."},
        "detail": {"type": "string", "description": "What is wrong, and what would help."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "error_id": {"type": "string", "description": "What to look for in the server's log; with status 500."},
        "errors": {
            "type": "array",
            "description": "Every wrong field; with status 422.",
            "items": {
                "type": "object",
                "required": ["location", "message"],
                "properties": {
                    "location": {"type": "string", "description": "Place of the field, such as query.limit."},
                    "message": {"type": "string", "description": "What is wrong with it."},
                    "input": {"description": "What was sent."},
                },
            },
        },
    },
}


def openapi_document(routes: Iterable[Route], version: str, public_url: str = "") -> dict[str, Any]:
    """Return the document of the documented routes; operation ids are unique and stay the same between starts."""
    documented = [route for route in routes if route.documented]
    schemas = Schemas(documented)
    paths: dict[str, dict[str, Any]] = {}
    for route in documented:
        path, parameters = path_parameters(route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, path, parameters, schemas)
    tags = sorted({route.tag for route in documented if route.tag})
    components = {**schemas.components(paths), "Problem": _PROBLEM_SCHEMA}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ophion",
            "version": version,
            "description": "Traces, metrics and logs: what is stored, and how to ask for it.",
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SECURITY_SCHEMES},
    }


def _operation(route: Route, path: str, in_path: Sequence[PathParameter], schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route.method, path),
        "summary": route.summary,
        "description": route.description,
        "tags": [route.tag] if route.tag else [],
        "parameters": [*map(_path_parameter, in_path), *_query_parameters(route, schemas)],
        "requestBody": _request_body(route, schemas),
        "responses": _responses(route, bool(in_path), schemas),
    }
    described = {name: value for name, value in operation.items() if value}
    if route.access is None:
        return {**described, "security": []}
    security: list[dict[str, list[str]]] = [{name: []} for name in _SECURITY_SCHEMES]
    return {**described, "security": security, "x-permission": str(route.access)}


def operation_id(method: str, path: str) -> str:
    """Return an id made of method and path, such as `get_api_traces_traceId`; other paths have other ids."""
    # Characters that are no letters or digits would fold different paths into one name.
    text = re.sub(r"[^A-Za-z0-9/{}_]", lambda match: f"_x{ord(match[0]):x}_", path)
    return f"{method.lower()}{re.sub(r'[/{}]+', '_', text)}".rstrip("_")


def _path_parameter(parameter: PathParameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if parameter.pattern:
        schema["pattern"] = parameter.pattern
    return {"name": parameter.name, "in": "path", "required": True, "schema": schema}


def _query_parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    # Forms carry the same fields in their body.
    if route.query is None or (route.form and route.method != "GET"):
        return []
    schema = schemas.query(route)
    required = schema.get("required", ())
    return [_query_parameter(name, field, name in required) for name, field in schema.get("properties", {}).items()]


def _query_parameter(name: str, field: Mapping[str, Any], is_required: bool) -> dict[str, Any]:
    schema = without_null(field)
    parameter: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    if description := schema.pop("description", ""):
        parameter["description"] = description
    if is_required:
        parameter["required"] = True
    return parameter


def _request_body(route: Route, schemas: Schemas) -> dict[str, Any]:
    if route.body is bytes:
        return {"content": {"application/octet-stream": {}}}
    if route.body is not None:
        schema = schemas.body(route)
        is_required = {"type": "null"} not in schema.get("anyOf", ())
        return {"required": is_required, "content": {"application/json": {"schema": schema}}}
    if route.form and route.method != "GET" and route.query is not None:
        schema = schemas.query(route)
        fields = {name: _form_field(field) for name, field in schema.get("properties", {}).items()}
        form = {**schema, "properties": fields}
        return {"required": bool(schema.get("required")), "content": {FORM_TYPE: {"schema": form}}}
    return {}


def _form_field(field: Mapping[str, Any]) -> dict[str, Any]:
    schema = without_null(field)
    # A list of one is written like a single value.
    return {"anyOf": [schema, schema["items"]]} if schema.get("type") == "array" and "items" in schema else schema


def _responses(route: Route, has_path_parameters: bool, schemas: Schemas) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.status not in (204, 304):
        success["content"] = {
            kind.strip(): _content(route, kind.strip(), schemas) for kind in route.media_type.split(",")
        }
    errors = {str(status): _error(route, status) for status in sorted(error_statuses(route, has_path_parameters))}
    return {str(route.status): success, **errors}


def _content(route: Route, media_type: str, schemas: Schemas) -> dict[str, Any]:
    is_json = media_type == "application/json" or media_type.endswith("+json")
    return {"schema": schemas.answer(route)} if is_json and route.answer is not None else {}


def error_statuses(route: Route, has_path_parameters: bool) -> set[int]:
    """Return the statuses of errors that the route can answer with: its own and those of the server before it."""
    # 400: what is no HTTP, or a URL of more than 8190 bytes, before any route is looked for.
    statuses = {400, 429, 503, *route.errors}
    if route.access is not None:
        statuses |= {401, 403}
    if has_path_parameters:
        statuses |= {404}
    if route.query is not None:
        statuses |= {422}
    if route.body is not None or route.form:
        statuses |= {408, 413, 415, 422}
    return statuses


def _error(route: Route, status: int) -> dict[str, Any]:
    description = HTTPStatus(status).phrase
    if route.problem_reply is not None:
        # A foreign protocol has its own form of error.
        return {"description": description, "content": {"application/json": {}, "text/plain": {}}}
    content: dict[str, Any] = {PROBLEM_TYPE: {"schema": {"$ref": f"{REFERENCE}Problem"}}}
    if status == HTTPStatus.BAD_REQUEST:
        content["text/plain"] = {}
    return {"description": description, "content": content}
