"""Find the series that a selector means."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ophion_agent.server import Storage
from ophion_promql.errors import FailedQuery
from ophion_promql.grid import EARLIEST, LATEST
from ophion_promql.keyed import Labels
from ophion_promql.nodes import Matcher
from ophion_promql.sql import Binder

_FIRST_DAY: Final = date(1970, 1, 1)
# The series of an exponential histogram's stream itself; those derived from it have ids of their own.
_NATIVE: Final = "kind = 'histogram' AND series_id = stream_id"
_DELTA: Final = 1
# Beyond this the engine works with labels faster than this process, in which other requests would wait.
MOST_LABELLED: Final = 2_500
_SETTINGS: Final = {"output_format_json_quote_64bit_integers": 0, "output_format_json_validate_utf8": 0}
# Name, whether it is a native histogram, the id that stands for all, all ids, and pairs of labels.
_Row = tuple[str, int, int, list[int], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Selected:
    """The series of a selector. `aliases` maps ids to the id that stands for all with the same labels.

    `natives` are those of native histograms, whose ids are in no table of samples; `deltas` are the ids among these
    whose points count what came since the point before. `labels` are those of all ids that stand for themselves, or
    None where they do not tell these apart as the engine would, and where they are too many.
    """

    ids: Sequence[int]
    aliases: dict[int, int]
    names: Sequence[str]
    day: date
    natives: "Selected | None" = None
    deltas: Sequence[int] = ()
    labels: Mapping[int, Labels] | None = None

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
        f"SELECT metric_name, {_NATIVE} AS native, min(series_id) AS stands, groupUniqArray(series_id) AS ids, "
        "mapFilter((k, v) -> v != '', labels) AS own "
        f"FROM series WHERE day >= {binder.bind(day.isoformat(), 'Date')} "
        f"AND {condition(matchers, binder, dot_is_all=dot_is_all)} "
        f"GROUP BY metric_name, native, own LIMIT {limit + 1}"
    )
    lines = await storage.query_bytes(
        sql, binder.values, tenant=tenant, output_format="JSONCompactEachRow", settings=_SETTINGS
    )
    rows = _read(lines)
    if len(rows) > limit:
        raise FailedQuery(f"the selector matches more than {limit} series; add label matchers or raise `max_series`")
    floats = _grouped([row for row in rows if not row[1]], day)
    natives = [row for row in rows if row[1]]
    return replace(floats, natives=await _native(storage, tenant, _grouped(natives, day))) if natives else floats


def _read(lines: bytes) -> list[_Row]:
    # What is no UTF-8 keeps its bytes, to be written out as they are.
    text = lines.decode("utf-8", "surrogateescape").rstrip("\n").replace("\n", ",")
    rows: list[_Row] = json.loads(f"[{text}]", object_pairs_hook=tuple)
    return rows


def _grouped(rows: Sequence[_Row], day: date) -> Selected:
    ids = [one for _, _, _, group, _ in rows for one in group]
    aliases = {one: stands for _, _, stands, group, _ in rows if len(group) > 1 for one in group if one != stands}
    names = sorted({name for name, _, _, _, _ in rows})
    told_apart = len(rows) <= MOST_LABELLED and len(set(ids)) == len(ids)
    return Selected(ids, aliases, names, day, labels=_labels_of(rows) if told_apart else None)


def _labels_of(rows: Sequence[_Row]) -> dict[int, Labels] | None:
    labels = {stands: tuple(sorted((("__name__", name), *own))) for name, _, stands, _, own in rows}
    distinct = len(set(labels.values())) == len(rows)
    return labels if distinct and all(len(dict(own)) == len(own) for own in labels.values()) else None


async def _native(storage: Storage, tenant: str, found: Selected) -> Selected:
    binder = Binder()
    sql = (
        "SELECT DISTINCT stream_id AS id FROM streams "
        f"WHERE toDate(received) >= {binder.bind(found.day.isoformat(), 'Date')} "
        f"AND stream_id IN {binder.bind(list(found.ids), 'Array(UInt64)')} AND temporality = {_DELTA}"
    )
    columns = await storage.query(sql, binder.values, tenant=tenant)
    return replace(found, deltas=tuple(columns.get("id", [])))
