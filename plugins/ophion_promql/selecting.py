"""Find the series that a selector means."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ophion_agent.server import Storage
from ophion_promql.errors import FailedQuery
from ophion_promql.grid import EARLIEST, LATEST
from ophion_promql.nodes import Matcher
from ophion_promql.sql import Binder

_FIRST_DAY: Final = date(1970, 1, 1)
# The series of an exponential histogram's stream itself; those derived from it have ids of their own.
_NATIVE: Final = "kind = 'histogram' AND series_id = stream_id"
_DELTA: Final = 1


@dataclass(frozen=True, slots=True)
class Selected:
    """The series of a selector. `aliases` maps ids to the id that stands for all with the same labels.

    `natives` are those of native histograms, whose ids are in no table of samples; `deltas` are the ids among these
    whose points count what came since the point before.
    """

    ids: Sequence[int]
    aliases: dict[int, int]
    names: Sequence[str]
    day: date
    natives: "Selected | None" = None
    deltas: Sequence[int] = ()

    @property
    def standing(self) -> list[int]:
        """The ids that stand for themselves."""
        return [one for one in self.ids if one not in self.aliases]


def first_day(milliseconds: int) -> date:
    """Return the first day whose rows of `series` can belong to samples since a time.

    A row's day is the day on which samples arrived: never much before their time, and possibly long after.
    """
    inside = min(max(milliseconds, EARLIEST), LATEST) / 1000
    return max(_FIRST_DAY, datetime.fromtimestamp(inside, UTC).date() - timedelta(days=1))


def condition(matchers: Sequence[Matcher], binder: Binder, *, dot_is_all: bool = True) -> str:
    """Return the condition on `series` that matchers mean; a label that a series lacks is empty.

    `dot_is_all`: a dot in a pattern matches a line's end too, as since Prometheus 3.
    """
    return " AND ".join(_one(matcher, binder, dot_is_all) for matcher in matchers) or "1"


def _one(matcher: Matcher, binder: Binder, dot_is_all: bool) -> str:
    left = "metric_name" if matcher.name == "__name__" else f"labels[{binder.text(matcher.name)}]"
    if matcher.op in ("=", "!="):
        return f"{left} {matcher.op} {binder.text(matcher.value)}"
    found = f"match({left}, {binder.text(anchored(matcher.value, dot_is_all))})"
    return found if matcher.op == "=~" else f"NOT {found}"


def anchored(pattern: str, dot_is_all: bool) -> str:
    """Return a pattern that has to match all of a value."""
    return f"^(?{'s' if dot_is_all else '-s'}:{pattern})$"


async def select(
    storage: Storage, tenant: str, matchers: Sequence[Matcher], since: int, limit: int, *, dot_is_all: bool = True
) -> Selected:
    """Return the series that match and may have samples since a time; raises FailedQuery beyond `limit` of them."""
    binder = Binder()
    day = first_day(since)
    sql = (
        f"SELECT metric_name, {_NATIVE} AS native, min(series_id) AS stands, groupUniqArray(series_id) AS ids "
        f"FROM series WHERE day >= {binder.bind(day.isoformat(), 'Date')} "
        f"AND {condition(matchers, binder, dot_is_all=dot_is_all)} "
        f"GROUP BY metric_name, native, mapFilter((k, v) -> v != '', labels) LIMIT {limit + 1}"
    )
    columns = await storage.query(sql, binder.values, tenant=tenant)
    if len(columns.get("ids", [])) > limit:
        raise FailedQuery(f"the selector matches more than {limit} series; add label matchers or raise `max_series`")
    rows = list(zip(*(columns.get(name, []) for name in ("metric_name", "native", "stands", "ids")), strict=True))
    floats = _grouped([row for row in rows if not row[1]], day)
    natives = [row for row in rows if row[1]]
    return replace(floats, natives=await _native(storage, tenant, _grouped(natives, day))) if natives else floats


def _grouped(rows: Sequence[tuple[str, int, int, list[int]]], day: date) -> Selected:
    ids = [one for _, _, _, group in rows for one in group]
    aliases = {one: stands for _, _, stands, group in rows if len(group) > 1 for one in group if one != stands}
    return Selected(ids, aliases, sorted({name for name, _, _, _ in rows}), day)


async def _native(storage: Storage, tenant: str, found: Selected) -> Selected:
    binder = Binder()
    sql = (
        "SELECT DISTINCT stream_id AS id FROM streams "
        f"WHERE toDate(received) >= {binder.bind(found.day.isoformat(), 'Date')} "
        f"AND stream_id IN {binder.bind(list(found.ids), 'Array(UInt64)')} AND temporality = {_DELTA}"
    )
    columns = await storage.query(sql, binder.values, tenant=tenant)
    return replace(found, deltas=tuple(columns.get("id", [])))
