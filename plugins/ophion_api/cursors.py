"""Cursors: where a page ended, as text that callers hand back and never read.

A cursor holds times, ids and counts only. It is not signed, for it gives no rights: whatever is in it is bound as a
parameter of a query inside the caller's own tenant.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import orjson

from ophion_agent.server import BadRequest

_LONGEST: Final = 2_000


def encode_cursor(kind: str, *values: int | str) -> str:
    """Return a cursor of a kind of page."""
    return urlsafe_b64encode(orjson.dumps([kind, *values])).decode().rstrip("=")


def decode_cursor(cursor: str, kind: str, *types: type) -> tuple[Any, ...]:
    """Return the values of a cursor that `encode_cursor` made for the same kind; raises BadRequest for any other."""
    try:
        if len(cursor) > _LONGEST:
            raise ValueError(cursor)
        found, *values = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, AttributeError):
        raise _wrong() from None
    if found != kind or [type(value) for value in values] != list(types):
        raise _wrong()
    if any(isinstance(value, int) and not -(2**63) <= value < 2**64 for value in values):
        raise _wrong()
    return tuple(values)


def _wrong() -> BadRequest:
    return BadRequest("cursor: does not belong to this search; begin again without it", status=422)
