"""Errors that a route answers with: RFC 9457 problem details.

Problem
├── BadRequest          400, or 422 for input that is well-formed and still wrong
├── Unauthorized        401, with a challenge
├── Forbidden           403
├── NotFound            404
├── Conflict            409
├── TooManyRequests     429, with the wait in Retry-After
└── Overloaded          503, with the wait in Retry-After
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from ophion_agent.errors import OphionError


class Problem(OphionError):  # noqa: N818 - RFC 9457's word
    """A request that cannot be answered as asked. `detail` says what is wrong and what would help.

    `extra` holds further members of the problem document, such as `errors` with one entry per wrong field.
    """

    status: ClassVar[int] = 500

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = status or self.status
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def document(self, instance: str = "") -> dict[str, Any]:
        """Return the members of the problem document; `instance` is the path that was asked for."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.code).phrase,
            "status": self.code,
            "detail": self.detail,
        }
        if instance:
            document["instance"] = instance
        return {**document, **self.extra}


class BadRequest(Problem):
    """The request is wrong; `status=422` for one that is well-formed."""

    status = 400


class Unauthorized(Problem):
    """Nobody, or nobody known, is asking."""

    status = 401

    def __init__(self, detail: str, challenge: str = "Bearer") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class Forbidden(Problem):
    """The caller is known and may not do this."""

    status = 403


class NotFound(Problem):
    """There is no such thing, or it belongs to another tenant."""

    status = 404


class Conflict(Problem):
    """The request contradicts what is there."""

    status = 409


class _Later(Problem):
    def __init__(self, detail: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after_seconds)))})


class TooManyRequests(_Later):
    """The caller has used up what they may ask for in this time."""

    status = 429


class Overloaded(_Later):
    """The server cannot answer now."""

    status = 503
