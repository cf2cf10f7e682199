"""Finding a word in log lines: the server beside ripgrep and grep over the same lines in plain files.

The files are in the page cache, which is the best case of ripgrep. Times are medians; the server's are those of an HTTP
request, all of it, and of SQL on the engine alone. Counts must agree.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bulk import fill
from benchmarks.log_lines import SERVICES, SPACING_NS, Wanted, chunks, wanted
from benchmarks.process import BenchmarkError, Helper
from benchmarks.server_process import Server, header, main_of, output, program, running, title, verdict

PAGE = 100
LEAST_RATIO = 20.0
HEADER = header(
    "word", "lines", "rg -c, ms", "grep -c, ms", "count by API, ms", "count by SQL, ms", "rg -c / API",
    "rg -m, ms", "page of 100 by API, ms", "rg -m / API", "goal",
)  # fmt: skip
# What /api/logs asks the engine, without the API around it.
COUNT = "SELECT count() AS n FROM logs WHERE hasAllTokens(body, ['{word}'])"
Timed = tuple[float, int]


@dataclass(frozen=True)
class Found:
    """Milliseconds and lines of each way to find a word."""

    wanted: Wanted
    ripgrep: Timed
    grep: Timed
    first: Timed
    count: Timed
    page: Timed


def timed(call: Callable[[], int], repeats: int) -> Timed:
    """Median milliseconds of a call, and what it returned."""
    taken, found = [], 0
    for _ in range(repeats):
        started = time.perf_counter()
        found = call()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken), found


def load(server: Server, files: Path, lines: int, start_ns: int) -> None:
    """Write the lines into files and into the server, and tell how much room they take."""

    def bodies() -> Iterator[bytes]:
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context((files / f"{name}.log").open("w")) for name in SERVICES}
            for chunk in chunks(lines, start_ns):
                chunk.write(opened[chunk.service])
                yield chunk.request()

    seconds = fill(server.grpc, "logs", bodies())
    server.wait_stored("logs", lines, 600)
    if (rows := server.rows("logs")) != lines:
        raise BenchmarkError(f"server: {rows:,} rows of {lines:,} lines")
    text = sum(path.stat().st_size for path in files.iterdir())
    stored = server.tables()["logs"]["bytes"]
    print(f"- {lines:,} lines: {text / lines:.0f} bytes a line in files, {stored / lines:.0f} in the store", flush=True)
    print(f"- made and sent in {seconds:.0f} s, in one process", flush=True)


class Ours:
    """The server's ways to find a word in the range of the lines."""

    def __init__(self, server: Server, start_ns: int, lines: int) -> None:
        self._server = server
        self._range = {"from": str(start_ns), "to": str(start_ns + lines * SPACING_NS)}

    def count(self, word: str) -> int:
        """How many lines have it."""
        answer = self._server.get("/api/logs/histogram", query=word, **self._range)
        return sum(bucket["total"] for bucket in answer["buckets"])

    def page(self, word: str) -> int:
        """How many lines the newest page has."""
        return len(self._server.post("/api/logs/query", {"query": word, "limit": PAGE, **self._range})["logs"])


def counted(command: list[str], word: str, files: Path) -> int:
    """The sum of the counts that rg or grep prints for each file."""
    return sum(int(line.rsplit(":", 1)[-1]) for line in output([*command, word, str(files)]).splitlines())


def printed(command: list[str], word: str, files: Path) -> int:
    """How many lines rg prints."""
    return output([*command, word, str(files)]).count("\n")


def sql_figures(server: Server, words: tuple[Wanted, ...], repeats: int) -> dict[str, Timed]:
    """Median milliseconds and count by SQL on the engine of the stopped server, by word."""
    figures = {}
    with Helper("benchmarks.stored", str(server.directory / "var" / "telemetry")) as engine:
        for one in words:
            answers = [engine.ask(COUNT.format(word=one.word)) for _ in range(repeats + 1)][1:]
            figures[one.word] = (statistics.median(a["ms"] for a in answers), answers[0]["columns"]["n"][0])
    return figures


def run(options: argparse.Namespace) -> None:
    """Print one row per word."""
    lines = 200_000 if options.quick else options.lines
    program("rg", "apt-get install -y ripgrep")
    title("Server: find a word in log lines", f"medians of {options.repeats} tries, files in the page cache")
    start_ns = (int(time.time()) - lines // 1_000 - 60) * 10**9
    with running(options) as server:
        files = server.directory / "lines"
        files.mkdir(exist_ok=True)
        load(server, files, lines, start_ns)
        server.settle("logs", options.settle)
        ours = Ours(server, start_ns, lines)
        found = [search(one, ours, files, options.repeats) for one in wanted(lines)]
        server.stop()
        by_sql = sql_figures(server, wanted(lines), options.repeats)
        shutil.rmtree(files)
    print(f"\n{HEADER}")
    for one in found:
        print(row(one, lines, by_sql[one.wanted.word]), flush=True)


def search(one: Wanted, ours: Ours, files: Path, repeats: int) -> Found:
    """Find a word in every way but SQL."""
    rg, grep = program("rg", "apt-get install -y ripgrep"), program("grep", "apt-get install -y grep")
    return Found(
        one,
        ripgrep=timed(partial(counted, [rg, "-c", "-w"], one.word, files), repeats),
        grep=timed(partial(counted, [grep, "-r", "-c", "-w"], one.word, files), repeats),
        first=timed(partial(printed, [rg, "-w", "-m", str(PAGE)], one.word, files), repeats),
        count=timed(partial(ours.count, one.word), repeats),
        page=timed(partial(ours.page, one.word), repeats),
    )


def row(found: Found, lines: int, by_sql: Timed) -> str:
    """One line of the table; BenchmarkError when the counts do not agree."""
    one, expected = found.wanted, found.wanted.lines(lines)
    counts = {found.ripgrep[1], found.grep[1], found.count[1], by_sql[1]}
    if counts != {expected} or found.page[1] != min(PAGE, expected):
        raise BenchmarkError(f"{one.word}: is in {expected} lines, found {counts} and a page of {found.page[1]}")
    ratio = found.ripgrep[0] / found.count[0]
    return (
        f"| {one.title} | {expected:,} | {found.ripgrep[0]:.0f} | {found.grep[0]:.0f} | {found.count[0]:.1f} "
        f"| {by_sql[0]:.1f} | {ratio:.1f} | {found.first[0]:.0f} | {found.page[0]:.1f} "
        f"| {found.first[0] / found.page[0]:.1f} | >= {LEAST_RATIO:g} x {verdict(met=ratio >= LEAST_RATIO)} |"
    )


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=7, help="tries of each search")
    parser.add_argument("--settle", type=float, default=120.0, help="most seconds to wait for merges")
    parser.set_defaults(scale=1.0)


def main() -> int:
    """Parse the command line and run."""
    return main_of("Find a word in log lines, beside ripgrep.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
