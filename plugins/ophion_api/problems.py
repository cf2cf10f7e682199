"""Errors as they are sent: RFC 9457 problem documents, and what becomes of each exception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ophion_agent.compression import BodyTooLargeError, CompressionError, UnsupportedEncodingError
from ophion_agent.plugin import PermanentError, RetryableError, Unauthenticated
from ophion_agent.server import BadRequest, Overloaded, Problem, Reply, Unauthorized

PROBLEM_TYPE: Final = "application/problem+json"
_SHOWN_CHARACTERS: Final = 200
_SHOWN_ERRORS: Final = 50
_SECRET_WORDS: Final = ("password", "secret", "token", "key")
# aiohttp's words for what never reaches a handler, with what would help.
_REMEDIES: Final = {
    404: "there is nothing at this path; GET /api/docs lists what there is",
    405: "this path does not take the method; the Allow header names those it takes",
}


def problem_reply(problem: Problem, path: str) -> Reply:
    """Return the problem as a document for the path that was asked for."""
    document = problem.document(path)
    try:
        body = orjson.dumps(document, default=str)
    except TypeError:
        # Text that is not UTF-8 stands escaped.
        body = json.dumps(document, default=str).encode()
    return Reply(body, PROBLEM_TYPE, status=problem.code, headers=problem.headers)


def error_response(request: web.Request, status: int, message: str) -> web.StreamResponse:
    """Answer what never reaches a route: unknown paths and methods, and the `auth` option's refusals."""
    if status == 405 and request.method == "OPTIONS":
        return web.Response(status=204)
    reply = problem_reply(Problem(_REMEDIES.get(status, message), status=status), request.path)
    return web.Response(body=reply.body, status=status, content_type=PROBLEM_TYPE)


def as_problem(error: Exception) -> Problem | None:
    """Return what the client is told of an error that was raised on purpose, None for a fault of ours."""
    match error:
        case Problem():
            return error
        case BodyTooLargeError():
            return Problem(str(error), status=413)
        case UnsupportedEncodingError():
            return Problem(str(error), status=415)
        case CompressionError() | PermanentError():
            return BadRequest(str(error))
        case RetryableError():
            return Overloaded(str(error), error.retry_after_seconds or 1.0)
        case Unauthenticated():
            return Unauthorized(str(error), error.challenge)
    return None


def invalid(error: ValidationError, place: str) -> Problem:
    """Return the problem for input in `place` (query or body): 400 for what is no JSON, 422 with a list otherwise."""
    details = error.errors(include_url=False, include_context=False)
    if details[0]["type"] == "json_invalid":
        return BadRequest(f"{place}: {details[0]['msg']}; send a JSON document")
    return invalid_input([_entry(detail, place) for detail in details[:_SHOWN_ERRORS]], len(details))


def invalid_input(entries: Sequence[dict[str, Any]], count: int) -> Problem:
    """Return the 422 for the given entries of `errors`, each with location, message and input."""
    first = f"{entries[0]['location']}: {entries[0]['message']}"
    more = f" (and {count - 1} more in `errors`)" if count > 1 else ""
    return BadRequest(f"{first}{more}", status=422, extra={"errors": list(entries)})


def _entry(detail: ErrorDetails, place: str) -> dict[str, Any]:
    location = ".".join([place, *(str(part) for part in detail["loc"])])
    entry: dict[str, Any] = {"location": location, "message": _message(detail)}
    value = detail["input"]
    is_secret = any(word in location.lower() for word in _SECRET_WORDS)
    if isinstance(value, str | int | float | None) and not is_secret:
        entry["input"] = _shown(value)
    return entry


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "there is no such field; the documentation at /api/docs lists those there are"
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(value: object) -> object:
    """Return `value` short enough to be sent back, and such that JSON can hold it."""
    if isinstance(value, bool) or value is None:
        return value
    text = value if isinstance(value, str) else str(value)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
