"""Asks a Prometheus and an Ophion that hold the same samples the same questions, and tells where the answers differ.

python -m tests.plugins.promql_comparison.compare http://127.0.0.1:8080 --load http://127.0.0.1:8080/api/v1/write
"""

import argparse
import asyncio
import itertools
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.remote_write import remote_write, slices
from tests.plugins.promql_comparison.corpus import MODES, RANGES, Case, Mode, cases, read_queries
from tests.plugins.promql_comparison.dataset import dataset, latest_anchor

RELATIVE: Final = 1e-6
# What is left of a difference of equal numbers depends on the order of additions.
NEAR_ZERO: Final = 1e-12
ANSWER_SECONDS: Final = 60.0
TOGETHER: Final = 2
SHOWN: Final = 300


@dataclass(frozen=True)
class Answer:
    """What a server said: `data` of the Prometheus API, or `error`; `status` is of HTTP, 0 without an answer."""

    status: int
    data: Any = None
    error: str = ""

    def shown(self) -> str:
        """The answer in one line."""
        if self.data is None:
            return f"HTTP {self.status}: {self.error[:SHOWN]}"
        result = self.data["result"]
        return f"{self.data['resultType']} of {len(result)}: {json.dumps(result, ensure_ascii=False)[:SHOWN]}"


@dataclass(frozen=True)
class Result:
    """One case and what is different about Ophion's answer; None when nothing is."""

    case: Case
    expected: Answer
    got: Answer
    difference: str | None


class Server:
    """The Prometheus HTTP API at a base URL."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self._session = session
        self._url = base_url.rstrip("/")
        self._headers = dict(headers or {})

    async def ask(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Return the answer to one GET below /api/v1."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        url = f"{self._url}/api/v1/{path}"
        try:
            async with self._session.get(url, params=parameters, headers=self._headers, timeout=timeout) as response:
                return read_answer(response.status, await response.text())
        except (TimeoutError, aiohttp.ClientError) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}")


def read_answer(status: int, body: str) -> Answer:
    """Return an answer of the Prometheus API, or what came in its place."""
    try:
        document = json.loads(body)
        if document["status"] == "success":
            return Answer(status, data=document["data"])
        return Answer(status, error=f"{document['errorType']}: {document['error']}")
    except (ValueError, KeyError, TypeError):
        return Answer(status, error=f"not an answer of the Prometheus API: {body[:SHOWN]}")


def difference(expected: Answer, got: Answer, *, ordered: bool = False) -> str | None:
    """Say what is different about `got` in one line, or None."""
    if got.data is None and not 400 <= got.status < 500:
        return f"no answer: {got.shown()}"
    if expected.data is None or got.data is None:
        if expected.data is not None:
            return f"refused: {got.shown()}"
        return f"answered, must be refused: {got.shown()}" if got.data is not None else None
    kinds = expected.data["resultType"], got.data["resultType"]
    if kinds[0] != kinds[1]:
        return f"type {kinds[1]} instead of {kinds[0]}"
    if kinds[0] in ("scalar", "string"):
        return _sample_difference(expected.data["result"], got.data["result"], exact=kinds[0] == "string")
    return _series_difference(expected.data["result"], got.data["result"], ordered)


def _series_difference(expected: Sequence[Any], got: Sequence[Any], ordered: bool) -> str | None:
    wanted, found = _by_labels(expected), _by_labels(got)
    if len(found) < len(got):
        return f"{len(got) - len(found)} label sets come twice"
    if missing := [labels for labels in wanted if labels not in found]:
        surplus = [labels for labels in found if labels not in wanted]
        also = f"; surplus {_named(surplus)}" if surplus else ""
        return f"missing {_named(missing)}{also}"
    if surplus := [labels for labels in found if labels not in wanted]:
        return f"surplus {_named(surplus)}"
    for labels, samples in wanted.items():
        if text := _samples_difference(samples, found[labels]):
            return f"{_named([labels])}: {text}"
    if ordered and (text := _order_difference(expected, got)):
        return text
    return None


def _by_labels(series: Iterable[Any]) -> dict[tuple[tuple[str, str], ...], list[Any]]:
    return {tuple(sorted(each["metric"].items())): each.get("values", [each.get("value")]) for each in series}


def _named(labels: Sequence[tuple[tuple[str, str], ...]]) -> str:
    first = "{" + ", ".join(f"{name}={value!r}" for name, value in labels[0]) + "}"
    return first if len(labels) == 1 else f"{len(labels)} series such as {first}"


def _samples_difference(expected: Sequence[Any], got: Sequence[Any]) -> str | None:
    wanted, found = {time for time, _ in expected}, {time for time, _ in got}
    if wanted != found:
        lacking, more = sorted(wanted - found), sorted(found - wanted)
        first = (lacking or more)[0]
        return f"{len(lacking)} samples missing, {len(more)} surplus, of {len(wanted)}; the first at {first}"
    pairs = zip(expected, got, strict=True)
    return next((text for pair in pairs if (text := _sample_difference(*pair))), None)


def _sample_difference(expected: Sequence[Any], got: Sequence[Any], *, exact: bool = False) -> str | None:
    if expected[0] != got[0]:
        return f"time {got[0]} instead of {expected[0]}"
    same = expected[1] == got[1] if exact else same_number(float(expected[1]), float(got[1]))
    return None if same else f"{got[1]} instead of {expected[1]} at {expected[0]}"


def same_number(expected: float, got: float) -> bool:
    """Whether two values count as equal: NaN equals NaN, the rest to one in a million."""
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    if expected == got:
        return True
    if 0.0 in (expected, got):
        return abs(expected - got) <= NEAR_ZERO
    return math.isclose(expected, got, rel_tol=RELATIVE)


def _order_difference(expected: Sequence[Any], got: Sequence[Any]) -> str | None:
    """Compare values in their order: equal ones have none among themselves."""
    for position, (one, other) in enumerate(zip(expected, got, strict=True)):
        if not same_number(float(one["value"][1]), float(other["value"][1])):
            return f"order: {other['value'][1]} instead of {one['value'][1]} at position {position}"
    return None


async def compare(reference: Server, tested: Server, wanted: Iterable[Case], anchor: int) -> list[Result]:
    """Return one result for each case, in their order."""
    gate = asyncio.Semaphore(TOGETHER)

    async def one(case: Case) -> Result:
        async with gate:
            request = case.request(anchor)
            expected, got = await asyncio.gather(reference.ask(*request), tested.ask(*request))
        ordered = case.mode not in RANGES and case.query.ordered
        return Result(case, expected, got, difference(expected, got, ordered=ordered))

    return list(await asyncio.gather(*(one(case) for case in wanted)))


def percentage(results: Sequence[Result]) -> float:
    """Return how many of a hundred cases are answered alike."""
    return 100 * sum(result.difference is None for result in results) / len(results)


def table(results: Sequence[Result]) -> str:
    """Return a line for each group, and one for all."""
    asked = Counter(result.case.query.group for result in results)
    different = Counter(result.case.query.group for result in results if result.difference)
    rows = [f"| {group} | {asked[group]} | {different[group]} |" for group in asked]
    total = f"| all | {len(results)} | {different.total()} |\n\n{percentage(results):.2f} % answered alike"
    return "\n".join(["| group | asked | different |", "|---|---|---|", *rows, total])


def report(results: Sequence[Result]) -> str:
    """Return the table and, by group, every different answer beside the expected one."""
    parts = [table(results)]
    failed = [result for result in results if result.difference]
    for group, members in itertools.groupby(failed, key=lambda result: result.case.query.group):
        parts.append(f"\n## {group}\n")
        for result in members:
            parts.append(f"- {result.case.mode}: `{result.case.query.text}`\n  - {result.difference}")
            parts.append(f"  - expected {result.expected.shown()}\n  - got {result.got.shown()}")
    return "\n".join(parts) + "\n"


async def run(base_url: str, load_url: str, token: str, modes: Sequence[Mode]) -> list[Result]:
    """Start a Prometheus, load it, and the server at `load_url` where given, and compare it with `base_url`."""
    # The tests' helpers lie in their folder, which only pytest knows of.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from prometheus_server import running_prometheus

    anchor = latest_anchor()
    pieces = list(slices(dataset(anchor)))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with tempfile.TemporaryDirectory() as directory:
        async with running_prometheus(Path(directory), [], features=["remote-write-receiver"]) as prometheus:
            await remote_write(f"{prometheus.url}/api/v1/write", pieces)
            if load_url:
                await remote_write(load_url, pieces, headers)
            async with aiohttp.ClientSession() as session:
                servers = Server(session, prometheus.url), Server(session, base_url, headers)
                return await compare(*servers, cases(read_queries(), modes), anchor)


def main(
    base_url: str, load_url: str = "", token: str = "", modes: Sequence[Mode] = MODES, report_path: str = ""
) -> int:
    """Print the table of the server at `base_url`, write the report where wanted; 1 when an answer differs."""
    results = asyncio.run(run(base_url, load_url, token, modes))
    sys.stdout.write(table(results) + "\n")
    if report_path:
        Path(report_path).write_text(report(results), encoding="utf-8")
    return int(any(result.difference for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compares the answers of a server with those of a Prometheus.")
    parser.add_argument("base_url", help="what stands before /api/v1 of the server under test")
    parser.add_argument("--load", default="", metavar="URL", help="remote-write URL of the server under test")
    parser.add_argument("--token", default="", help="bearer token of the server under test")
    parser.add_argument("--modes", default=",".join(MODES), help="comma-separated ways of asking")
    parser.add_argument("--report", default="", metavar="FILE", help="where to write every difference")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    chosen = [mode for mode in MODES if mode in options.modes.split(",")]
    sys.exit(main(options.base_url, options.load, options.token, chosen, options.report))
