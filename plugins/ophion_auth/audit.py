"""The audit log: who changed what, when and from where. Rows are only ever added, and removed when they are too old."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, insert, select

from ophion_agent.plugin import Clock
from ophion_agent.server import ControlStore, Principal
from ophion_auth.records import days_ms, now_ms
from ophion_auth.tables import AUDIT

_LONGEST_DETAIL: Final = 20_000


class Audit:
    """Implements AUDIT_LOG; inside a session of the caller the record shares the fate of the change."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def record(
        self, principal: Principal, action: str, target: str, detail: Mapping[str, Any] | None = None, client: str = ""
    ) -> None:
        """Append one record."""
        text = _encodable(json.dumps(dict(detail or {}), default=str, ensure_ascii=False))
        values = {
            "at_ms": now_ms(self._clock),
            "tenant": principal.tenant,
            "principal": _fitting(principal.subject, 100),
            "kind": principal.kind,
            "action": _fitting(action, 100),
            "target": _fitting(target, 300),
            # A cut JSON text could not be read again.
            "detail": text if len(text) <= _LONGEST_DETAIL else json.dumps({"too_long_for_the_log": len(text)}),
            "client": _fitting(client, 64),
        }
        async with self._store.session() as session:
            await session.execute(insert(AUDIT).values(values))

    async def page(
        self, filters: Mapping[str, str], *, since_ms: int | None, until_ms: int | None, before: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Return records, newest first, of which the columns in `filters` are equal and the id is below `before`."""
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
        query = query.where(*(AUDIT.c[column] == value for column, value in filters.items()))
        if since_ms is not None:
            query = query.where(AUDIT.c.at_ms >= since_ms)
        if until_ms is not None:
            query = query.where(AUDIT.c.at_ms < until_ms)
        if before is not None:
            query = query.where(AUDIT.c.id < before)
        async with self._store.session() as session:
            rows = (await session.execute(query)).mappings().all()
        return [{**row, "detail": json.loads(row["detail"])} for row in rows]

    async def prune(self, retention_days: int) -> None:
        """Remove what is older than the retention."""
        oldest = now_ms(self._clock) - days_ms(retention_days)
        async with self._store.session() as session:
            await session.execute(delete(AUDIT).where(AUDIT.c.at_ms < oldest))


def _fitting(text: str, length: int) -> str:
    """Return text that both databases take: PostgreSQL has no NUL and no lone surrogates."""
    return _encodable(text).replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
