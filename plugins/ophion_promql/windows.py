"""The samples that a selector, a range or a sub-query brings to each time of a grid, and functions over them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ophion_promql.grid import Grid
from ophion_promql.keyed import Keyed, Labels, relabelled, without_name
from ophion_promql.selecting import Selected
from ophion_promql.sql import EMPTY, EMPTY_KEYED, NO_VALUE, STALE, WITHOUT_NAME, Binder, Vector, merged, rebuilt, time


@dataclass(frozen=True, slots=True)
class Source:
    """Where samples come from: what follows FROM, the expression of the `key`, further `columns`, `arguments` as the
    engine's grid functions take them, `points` as an expression of Array(Tuple(time, value)); `outer` finishes
    `SELECT key, values`.

    Where the labels of all keys are known, `keyed` is the same with numbers for keys, and their `labels`.
    """

    table: str
    key: str
    columns: str
    arguments: str
    points: str
    outer: Callable[[str], str]
    one_name: bool
    labels: Mapping[int, Labels] | None = None
    keyed: "Source | None" = None

    @property
    def rows(self) -> str:
        """Return the statement of rows `key` and the columns."""
        return f"SELECT {self.key} AS key, {self.columns} FROM {self.table}"

    def grouped(self, values: str) -> str:
        """Return the statement of an aggregate expression for each key."""
        return f"SELECT {self.key} AS key, {values} AS values FROM {self.table} GROUP BY key"


@dataclass(frozen=True, slots=True)
class Window:
    """Samples of a range before each time of `grid`, whose times are where the data is looked for.

    `before` leading times lie before 1970 and have no samples; `repeat` is how many times a single evaluation (that
    of `@`) stands for. `shift` is how much later than the grid's times the evaluation itself is.
    """

    source: Source | None
    grid: Grid
    range: int
    closed: bool
    before: int = 0
    repeat: int = 0

    def call(self, function: str, arguments: str = "", *more: str) -> str:
        """Return a call of one of the engine's `timeSeries...ToGrid` functions; `more` are further parameters."""
        seconds, rest = divmod(self.range, 1000)
        # The engine's windows are open on the left. Samples have whole milliseconds, so a nanosecond more closes one.
        width = f"toDecimal64('{seconds}.{rest:03d}00000{int(self.closed)}', 9)"
        step = f"toDecimal64('{self.grid.step // 1000}.{self.grid.step % 1000:03d}', 9)"
        parameters = ", ".join((time(self.grid.start), time(self.grid.last), step, width, *more))
        return f"{function}({parameters})({arguments or self._source.arguments})"

    @property
    def _source(self) -> Source:
        assert self.source is not None
        return self.source

    def vector(self, values: str) -> Vector:
        """Return the vector of an expression of `call`s; series keep their names."""
        return self._vector(lambda source: source.grouped(self._placed(values)))

    def _vector(self, grouped: Callable[[Source], str]) -> Vector:
        if self.source is None:
            return Vector(EMPTY, True, EMPTY_KEYED)
        by_number = self.source if self.source.labels is not None else self.source.keyed
        keyed = None
        if by_number is not None and by_number.labels is not None:
            keyed = Keyed(grouped(by_number), by_number.labels)
        return Vector(self.source.outer(grouped(self.source)), self.source.one_name, keyed)

    def exploded(self, value: str, aggregated: str = "", *steps: str) -> Vector:
        """Return the vector of an aggregate expression over `p.1` (time) and `p.2` (value) of each window's samples.

        Where `aggregated` names columns of aggregates, `steps` name further columns made of those before, and `value`
        is an expression of them and of `i`, the window's index. Each sample is copied into every window that has it,
        so this is for functions that the engine does not have.
        """
        return self._vector(lambda source: self._exploded(source, value, aggregated, *steps))

    def _exploded(self, source: Source, value: str, aggregated: str, *steps: str) -> str:
        points = f"SELECT key, arrayJoin({source.points}) AS p FROM ({source.rows}) GROUP BY key"
        spread = f"SELECT key, p, arrayJoin({indexes('p.1', self.grid, self.range, self.closed)}) AS i FROM ({points})"
        single = f"SELECT key, i, {aggregated or f'{value} AS r'} FROM ({spread}) GROUP BY key, i"
        for step_columns in steps:
            single = f"SELECT *, {step_columns} FROM ({single})"
        if aggregated:
            single = f"SELECT key, i, {value} AS r FROM ({single})"
        count = self.grid.count
        placed = (
            f"arrayMap((r, there) -> if(there, r, NULL), groupArrayInsertAt(nan, {count})(assumeNotNull(r), i), "
            f"groupArrayInsertAt(toUInt8(0), {count})(toUInt8(isNotNull(r)), i))"
        )
        return f"SELECT key, {self._placed(placed)} AS values FROM ({single}) GROUP BY key"

    def _placed(self, values: str) -> str:
        if self.repeat:
            return f"arrayWithConstant({self.repeat}, ({values})[1])"
        if self.before:
            return f"arrayConcat(arrayWithConstant({self.before}, {NO_VALUE}), {values})"
        return values


def indexes(at: str, grid: Grid, width: int, closed: bool) -> str:
    """Return the indexes of those windows of `width` before the times of a grid that have a sample taken `at`."""
    nanos = f"toUnixTimestamp64Nano({at})"
    start, step = grid.start * 1_000_000, grid.step * 1_000_000
    wide = width * 1_000_000 + int(closed)
    first = f"greatest(0, intDiv({nanos} - {start} + {step - 1}, {step}))"
    end = f"least({grid.count}, intDiv({nanos} + {wide} - {start} + {step - 1}, {step}))"
    return f"range(toUInt32({first}), toUInt32(greatest(0, {end})))"


def within(grid: Grid, width: int, closed: bool) -> str:
    """Return the condition on `time` of what windows of `width` before the times of a grid can need."""
    return f"time {'>=' if closed else '>'} {time(max(0, grid.start - width))} AND time <= {time(grid.last)}"


def key_of(selected: Selected, column: str, binder: Binder) -> str:
    """Return the expression of the id that stands for all with the labels of one."""
    if not selected.aliases:
        return column
    old = binder.bind(list(selected.aliases), "Array(UInt64)")
    new = binder.bind(list(selected.aliases.values()), "Array(UInt64)")
    return f"transform({column}, {old}, {new}, {column})"


def stored(
    selected: Selected, one_name: bool, grid: Grid, width: int, closed: bool, binder: Binder, keep_stale: bool
) -> Source:
    """Return the stored samples of selected series that windows of `width` before the times of `grid` can need."""
    ids = binder.bind(list(selected.ids), "Array(UInt64)")
    # Left to itself, the engine would read the values of every series to tell which are stale.
    stale = "" if keep_stale else f" WHERE reinterpretAsUInt64(value) != {STALE}"
    return Source(
        f"samples PREWHERE series_id IN {ids} AND {within(grid, width, closed)}{stale}",
        key_of(selected, "series_id", binder),
        "time, value",
        "time, value",
        "timeSeriesGroupArray(time, value)",
        _labelled(selected, binder),
        one_name,
        selected.labels,
    )


def labels_of(selected: Selected, binder: Binder) -> str:
    """Return rows `key` and `labels` of selected series."""
    ids = binder.bind(selected.standing, "Array(UInt64)")
    whole = (
        "mapSort(mapConcat(map('__name__', toString(any(series.metric_name))), "
        "mapFilter((k, v) -> v != '', CAST(any(series.labels), 'Map(String, String)'))))"
    )
    return (
        f"SELECT series_id AS key, {whole} AS labels FROM series "
        f"WHERE day >= {binder.bind(selected.day.isoformat(), 'Date')} "
        f"AND metric_name IN {binder.texts(selected.names)} AND series_id IN {ids} GROUP BY series_id"
    )


def _labelled(selected: Selected, binder: Binder) -> Callable[[str], str]:
    labels = labels_of(selected, binder)
    return lambda sql: (
        f"SELECT s.labels AS labels, d.values AS values FROM ({sql}) AS d INNER JOIN ({labels}) AS s ON d.key = s.key"
    )


def evaluated(vector: Vector, inner: Grid) -> Source:
    """Return the results of a sub-query's expression as samples."""
    step = f"toDecimal64('{inner.step // 1000}.{inner.step % 1000:03d}', 9)"

    def points(values: str) -> str:
        return f"timeSeriesFromGrid({time(inner.start)}, {time(inner.last)}, {step}, {values})"

    arguments, found, keyed = points("t.values"), f"any({points('vs')})", None
    if vector.keyed is not None:
        table = f"({vector.keyed.sql}) AS t"
        keyed = Source(
            table, "t.key", "t.values AS vs", arguments, found, lambda sql: sql, vector.one_name, vector.keyed.labels
        )
    return Source(
        f"({vector.sql}) AS t",
        "t.labels",
        "t.values AS vs",
        arguments,
        found,
        lambda sql: f"SELECT d.key AS labels, d.values AS values FROM ({sql}) AS d",
        vector.one_name,
        keyed=keyed,
    )


def nameless(vector: Vector) -> Vector:
    """Return the vector without metric names; two series that had only these to tell them apart are an error."""
    sql = rebuilt(vector, labels=WITHOUT_NAME)
    keyed = relabelled(vector.keyed, vector.values_sql, without_name)
    return Vector(sql if vector.one_name else merged(sql, whole=True), True, keyed)
