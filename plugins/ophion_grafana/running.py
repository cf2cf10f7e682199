"""Run statements on the telemetry store, and say what is wrong where a regular expression is."""

from __future__ import annotations

from ophion_agent.plugin import OphionError
from ophion_agent.server import BadRequest, Columns, Problem, Storage
from ophion_grafana.sql import Binder

_LONGEST_REGEX = 4_000


async def run(storage: Storage, tenant: str, sql: str, binder: Binder) -> Columns:
    """Return the result; raises BadRequest where the engine refuses a regular expression among the parameters."""
    for pattern in binder.regexes:
        if len(pattern) > _LONGEST_REGEX:
            raise BadRequest(f"a regular expression may have {_LONGEST_REGEX} characters, got {len(pattern)}")
    try:
        return await storage.query(sql, binder.values, tenant=tenant)
    except Problem:
        raise
    except OphionError:
        await _check(storage, tenant, binder.regexes)
        raise


async def _check(storage: Storage, tenant: str, patterns: list[str]) -> None:
    for pattern in patterns:
        try:
            await storage.query("SELECT match('', {pattern:String}) AS matched", {"pattern": pattern}, tenant=tenant)
        except Problem:
            raise
        except OphionError:
            shown = pattern.removeprefix("^(?s:").removesuffix(")$").removeprefix("(?-s)")
            raise BadRequest(f"error parsing regexp: {shown[:200]!r} is no RE2 expression; correct it") from None
