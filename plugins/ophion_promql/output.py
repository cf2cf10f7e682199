"""Statements that write results as Prometheus' JSON, or as columns. The engine writes the text, series by series."""

from typing import Final

from ophion_promql.grid import Grid
from ophion_promql.nodes import Aggregate, Call, Node
from ophion_promql.sql import Binder, Scalar, Vector, times
from ophion_promql.windows import Source, Window

# The grid functions are new in the engine, and it asks to be told that they are meant.
SETTINGS: Final = " SETTINGS enable_time_series_aggregate_functions = 1"
_BY_LABELS: Final = "arrayZip(mapKeys(t.labels), mapValues(t.labels))"


def _point(at: str, value: str) -> str:
    return f"concat('[', {at}, ',\"', timeSeriesPrometheusValueToString({value}), '\"]')"


def _stamp(milliseconds: str) -> str:
    """Return the text of a time as seconds, with three decimals or none."""
    rest = f"(abs({milliseconds}) % 1000)"
    whole = f"concat(if({milliseconds} < 0, '-', ''), toString(intDiv(abs({milliseconds}), 1000)))"
    return f"if({rest} = 0, {whole}, concat({whole}, '.', leftPad(toString({rest}), 3, '0')))"


def _stamps(grid: Grid) -> str:
    return f"arrayMap(i -> {_stamp(f'({grid.start} + i * {grid.step})')}, range({grid.count}))"


def matrix_text(vector: Vector, grid: Grid, limit: int) -> str:
    """Return the statement that writes one line of JSON for each series with samples, in the order of labels."""
    points = f"arrayStringConcat(arrayMap((at, v) -> {_point('at', 'v')}, {_stamps(grid)}, t.values), ',')"
    return (
        f"SELECT concat('{{\"metric\":', toJSONString(t.labels), ',\"values\":[', {points}, ']}}') "
        f"FROM ({vector.sql}) AS t WHERE arrayExists(v -> isNotNull(v), t.values) ORDER BY {_BY_LABELS}"
        f"{_limit(limit)}{SETTINGS}"
    )


def vector_text(vector: Vector, grid: Grid, node: Node, binder: Binder, limit: int) -> str:
    """Return the statement that writes one line of JSON for each sample of an instant query."""
    value = "assumeNotNull(t.values[1])"
    point = f"concat('[', {_stamps(grid)}[1], ',\"', timeSeriesPrometheusValueToString({value}), '\"]')"
    return (
        f"SELECT concat('{{\"metric\":', toJSONString(t.labels), ',\"value\":', {point}, '}}') "
        f"FROM ({vector.sql}) AS t WHERE isNotNull(t.values[1]) ORDER BY {_order(node, binder)}"
        f"{_limit(limit)}{SETTINGS}"
    )


def _limit(limit: int) -> str:
    return f" LIMIT {limit}" if limit else ""


def _order(node: Node, binder: Binder) -> str:
    value = "assumeNotNull(t.values[1])"
    if isinstance(node, Call) and node.name in ("sort", "sort_desc"):
        return f"isNaN({value}), {value} {'DESC' if node.name == 'sort_desc' else 'ASC'}, {_BY_LABELS}"
    if isinstance(node, Call) and node.name in ("sort_by_label", "sort_by_label_desc"):
        way = "DESC" if node.name.endswith("desc") else "ASC"
        names = [argument.value for argument in node.arguments[1:] if hasattr(argument, "value")]
        keys = [f"naturalSortKey(t.labels[{binder.text(str(name))}]) {way}" for name in names]
        return ", ".join((*keys, f"{_BY_LABELS} {way}"))
    if isinstance(node, Aggregate) and node.op in ("topk", "bottomk"):
        own = (
            "1"
            if not node.labels
            else f"mapFilter((k, v) -> has({binder.texts(node.labels)}, k) != {int(node.without)}, t.labels)"
        )
        return f"toString({own}), isNaN({value}), {value} {'DESC' if node.op == 'topk' else 'ASC'}, {_BY_LABELS}"
    return _BY_LABELS


def scalar_text(scalar: Scalar, grid: Grid) -> str:
    """Return the statement that writes the points of a scalar, as the one line of a matrix."""
    points = (
        f"arrayStringConcat(arrayMap((at, v) -> {_point('at', 'v')}, {_stamps(grid)}, {scalar.array(grid.count)}), ',')"
    )
    return f"SELECT concat('[', {points}, ']'){SETTINGS}"


def samples_text(window: Window, limit: int) -> str:
    """Return the statement that writes a range vector's own samples, as an instant query of one answers."""
    source = window.source
    assert isinstance(source, Source)
    millis = "toUnixTimestamp64Milli(p.1)"
    start = window.grid.start - window.range
    inside = f"{millis} {'>=' if window.closed else '>'} {start}"
    grouped = f"SELECT key, arrayFilter(p -> {inside}, {source.points}) AS values FROM ({source.rows}) GROUP BY key"
    point = _point(_stamp(millis), "p.2")
    points = f"arrayStringConcat(arrayMap(p -> {point}, t.values), ',')"
    return (
        f"SELECT concat('{{\"metric\":', toJSONString(t.labels), ',\"values\":[', {points}, ']}}') "
        f"FROM ({source.outer(grouped)}) AS t WHERE notEmpty(t.values) ORDER BY {_BY_LABELS}{_limit(limit)}{SETTINGS}"
    )


def vector_columns(vector: Vector, grid: Grid) -> str:
    """Return the statement that answers `labels` and `points`, pairs of seconds and value, of series with samples."""
    there = f"arrayFilter(p -> isNotNull(p.2), arrayZip({times(grid)}, t.values))"
    return (
        f"SELECT t.labels AS labels, arrayMap(p -> (p.1, assumeNotNull(p.2)), {there}) AS points "
        f"FROM ({vector.sql}) AS t WHERE notEmpty(points) ORDER BY {_BY_LABELS}{SETTINGS}"
    )
