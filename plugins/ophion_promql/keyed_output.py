"""Results whose labels are known here: the engine writes the points of each series, and this puts them together."""

import json
from collections.abc import Iterator
from typing import Final

from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, Labels
from ophion_promql.nodes import Aggregate, Call, Node
from ophion_promql.output import SETTINGS
from ophion_promql.sql import Binder

_THERE: Final = "arrayExists(v -> isNotNull(v), t.values)"
_SORTED: Final = ("sort", "sort_desc", "sort_by_label", "sort_by_label_desc")


def stamp(milliseconds: int) -> str:
    """Return a time as seconds, with three decimals or none."""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{'-' if milliseconds < 0 else ''}{seconds}" + (f".{rest:03d}" if rest else "")


def matrix(keyed: Keyed, grid: Grid, binder: Binder) -> str:
    """Return the statement that writes key and points of each series with samples."""
    stamps = binder.text(",".join(stamp(grid.start + index * grid.step) for index in range(grid.count)))
    point = "concat('[', at, ',\"', timeSeriesPrometheusValueToString(v), '\"]')"
    points = f"arrayStringConcat(arrayMap((at, v) -> {point}, splitByChar(',', {stamps}), t.values), ',')"
    return f"SELECT t.key, {points} FROM ({keyed.sql}) AS t WHERE {_THERE}{SETTINGS}"


def vector(keyed: Keyed, grid: Grid, binder: Binder) -> str:
    """Return the statement that writes key and point of each series that has a sample at the one time."""
    at = binder.text(f'[{stamp(grid.start)},"')
    value = "timeSeriesPrometheusValueToString(assumeNotNull(t.values[1]))"
    return f"SELECT t.key, concat({at}, {value}, '\"]') FROM ({keyed.sql}) AS t WHERE isNotNull(t.values[1]){SETTINGS}"


def columns(keyed: Keyed) -> str:
    """Return the statement that answers `key`, and `there` with `found`: indexes and values of samples."""
    there = "arrayFilter((i, v) -> isNotNull(v), arrayEnumerate(t.values), t.values)"
    found = "arrayMap(v -> assumeNotNull(v), arrayFilter(v -> isNotNull(v), t.values))"
    return f"SELECT t.key AS key, {there} AS there, {found} AS found FROM ({keyed.sql}) AS t WHERE {_THERE}{SETTINGS}"


def is_in_order_of_labels(node: Node) -> bool:
    """Tell whether an instant query's result is in the order of labels, and not of values."""
    if isinstance(node, Call):
        return node.name not in _SORTED
    return not (isinstance(node, Aggregate) and node.op in ("topk", "bottomk"))


def ordered(keyed: Keyed, rows: bytes, limit: int) -> Iterator[tuple[Labels, bytes]]:
    """Yield labels and points in the order of labels, of rows `key` and points."""
    found = [(keyed.labels[int(key)], points) for key, _, points in (row.partition(b"\t") for row in rows.splitlines())]
    found.sort(key=lambda pair: pair[0])
    yield from found[:limit] if limit else found


def array(keyed: Keyed, rows: bytes, limit: int, name: str) -> bytes:
    """Return the result as a JSON array; `name` is that of the points' member, `value` or `values`."""
    opening, closing = (b"[", b"]") if name == "values" else (b"", b"")
    member = b',"' + name.encode() + b'":' + opening
    series = (
        b'{"metric":' + _object(labels) + member + points + closing + b"}"
        for labels, points in ordered(keyed, rows, limit)
    )
    return b"[" + b",".join(series) + b"]"


def _object(labels: Labels) -> bytes:
    # What is no UTF-8 came in as surrogates, and goes out as the bytes that it was.
    text = json.dumps(dict(labels), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")
