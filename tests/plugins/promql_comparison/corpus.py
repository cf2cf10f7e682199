"""The queries of the comparison, the ways in which each is asked, and the differences that are known."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).parent
QUERIES: Final = HERE / "queries.promql"
NEWER: Final = HERE / "newer.promql"
KNOWN: Final = HERE / "known_differences.txt"
KNOWN_BY_DEFAULT: Final = HERE / "known_differences_by_default.txt"

Mode = Literal["instant", "beside", "range", "between"]
MODES: Final[tuple[Mode, ...]] = ("instant", "beside", "range", "between")
# Ways in which no window has a sample on its left edge, so that it does not matter whether windows have one.
OFF_GRID: Final[tuple[Mode, ...]] = ("beside", "between")
# Seconds after the start of the data. `instant` is a moment of the grid, `beside` is none and lies in a gap.
MOMENTS: Final[Mapping[Mode, float]] = {"instant": 5400, "beside": 3723.456}
# Start, end and step. `range` lies on the grid of the samples; `between` beside it, and where no counter is young:
# Prometheus 3 extrapolates those in another way.
RANGES: Final[Mapping[Mode, tuple[float, float, float]]] = {
    "range": (-300, 7500, 60),
    "between": (4330.109, 4760, 30),
}
_MARKS: Final[Mapping[str, tuple[Mode, ...]]] = {
    "refused": ("instant",),
    "beside": ("instant", "beside", "range"),
    "": ("instant", "range"),
}
_GROUP: Final = re.compile(r"# == (.*?)(?: \((refused|beside)\))?")
_ORDERED: Final = re.compile(r"(sort|sort_desc|topk|bottomk)\(")


@dataclass(frozen=True)
class Query:
    """One line of a corpus; `mark` is that of its group."""

    group: str
    text: str
    mark: str = ""

    @property
    def refused(self) -> bool:
        """Whether it must fail."""
        return self.mark == "refused"

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways in which it is asked."""
        return _MARKS[self.mark]

    @property
    def ordered(self) -> bool:
        """Whether the order of an instant answer counts."""
        return bool(_ORDERED.match(self.text)) and not re.search(r"\)\s*(and|or|unless|[-+*/])", self.text)


@dataclass(frozen=True)
class Case:
    """A query asked in one way."""

    query: Query
    mode: Mode

    def request(self, anchor: int) -> tuple[str, dict[str, str]]:
        """Return the path below /api/v1 and the parameters; `anchor` is the start of the data in Unix milliseconds."""
        base = anchor // 1000
        text = re.sub(r"\bT0\+([0-9.]+)", lambda found: f"{base + float(found[1]):.3f}", self.query.text)
        if self.mode in RANGES:
            start, end, step = RANGES[self.mode]
            times = {"start": f"{base + start:.3f}", "end": f"{base + end:.3f}", "step": str(step)}
            return "query_range", {"query": text, **times}
        return "query", {"query": text, "time": f"{base + MOMENTS[self.mode]:.3f}"}


def read_queries(path: Path = QUERIES) -> list[Query]:
    """Return the queries of a file in their order; ValueError for one that comes twice."""
    queries: dict[str, Query] = {}
    group = mark = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := _GROUP.fullmatch(line):
            group, mark = found[1], found[2] or ""
        elif line and not line.startswith("#"):
            if line in queries:
                raise ValueError(f"{path.name}: {line} comes twice; leave one of them out")
            queries[line] = Query(group, line, mark)
    return list(queries.values())


def cases(queries: Iterable[Query], modes: Iterable[Mode] = MODES) -> list[Case]:
    """Return every query in each of its ways that is among `modes`."""
    wanted = tuple(modes)
    return [Case(query, mode) for query in queries for mode in query.modes if mode in wanted]


def off_grid(queries: Iterable[Query]) -> list[Case]:
    """Return what can be asked of a server whose windows leave their left edge out, as those of Prometheus 3 do."""
    wanted = [query for query in queries if not query.refused and "grid" not in query.text]
    return [Case(query, mode) for query in wanted for mode in OFF_GRID]


def one_way_each(every: Iterable[Case]) -> list[Case]:
    """Return one case of each query; their ways take turns."""
    by_query: dict[Query, list[Case]] = {}
    for case in every:
        by_query.setdefault(case.query, []).append(case)
    return [ways[number % len(ways)] for number, ways in enumerate(by_query.values())]


def read_known(path: Path = KNOWN) -> dict[tuple[str, Mode], str]:
    """Return the reason of every known difference by query and way.

    A block begins with `= reason`; below it stand lines of ways and a query: `instant,range: rate(up[5m])`.
    """
    known: dict[tuple[str, Mode], str] = {}
    for reason, line in _known_lines(path.read_text(encoding="utf-8")):
        ways, _, text = line.partition(": ")
        for way in ways.split(","):
            mode = next((mode for mode in MODES if mode == way.strip()), None)
            if mode is None or not reason:
                raise ValueError(f"{path.name}: must be `ways: query` below `= reason`, got {line}; ways: {MODES}")
            known[text, mode] = reason
    return known


def _known_lines(text: str) -> Iterator[tuple[str, str]]:
    reason = ""
    for line in text.splitlines():
        if line.startswith("= "):
            reason = line.removeprefix("= ")
        elif line.strip() and not line.startswith("#"):
            yield reason, line
