"""Errors of queries in Prometheus' own form.

BadRequest
├── BadQuery        400 bad_data: the expression or a parameter is wrong
└── FailedQuery     422 execution: well-formed, but what it met in the data, or its size, made it fail
Overloaded
└── QueryTimeout    503 timeout
"""

import json
import re
from http import HTTPStatus
from typing import ClassVar, Final

from ophion_agent.server import BadRequest, Overloaded, Problem, Reply

# Every check inside a statement raises with `throwIf(..., '<<promql:message>>')`, so that the message survives whatever
# the engine and the store put around it.
_MARK: Final = re.compile(r"<<promql:(.*?)>>", re.DOTALL)
_CODE: Final = re.compile(r"(?:Code: |\(code )(\d+)")
_BAD_REGEXP: Final = 427
_TOO_SLOW: Final = frozenset({159, 160, 209})
_TOO_DEEP: Final = frozenset({162, 167, 168, 306})
_TYPES: Final = {400: "bad_data", 404: "not_found", 406: "not_acceptable", 422: "execution", 503: "unavailable"}


class BadQuery(BadRequest):
    """The expression or a parameter of the request is wrong."""

    error_type: ClassVar[str] = "bad_data"


class FailedQuery(BadRequest):
    """The expression is well-formed and cannot be evaluated over what is stored."""

    status = 422
    error_type: ClassVar[str] = "execution"


class QueryTimeout(Overloaded):
    """The evaluation took longer than its deadline."""

    error_type: ClassVar[str] = "timeout"


def raised_by_statement(error: Exception) -> Problem | None:
    """Return what a check inside a statement raised, or None for any other fault of the store."""
    text = str(error)
    if mark := _MARK.search(text):
        return FailedQuery(mark[1])
    code = _CODE.search(text)
    number = int(code[1]) if code else 0
    if number == _BAD_REGEXP:
        return BadQuery("error parsing regexp: the expression is not valid RE2")
    if number in _TOO_SLOW:
        return QueryTimeout("query timed out in expression evaluation")
    if number in _TOO_DEEP:
        return BadQuery("the expression is nested too deeply; record parts of it as series of their own")
    return None


def prometheus_reply(problem: Problem) -> Reply:
    """Return a problem as the Prometheus API says it; what its Go client and Grafana read."""
    kind = getattr(problem, "error_type", None) or _TYPES.get(problem.code) or _by_class(problem.code)
    body = {"status": "error", "errorType": kind, "error": problem.detail}
    return Reply(json.dumps(body).encode(), status=problem.code, headers=problem.headers)


def _by_class(code: int) -> str:
    return HTTPStatus(code).phrase.lower().replace(" ", "_") if code < 500 else "internal"
