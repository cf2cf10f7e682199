"""Ophion's answers to the whole corpus beside those of a real Prometheus with the same samples.

Every query is asked in one of its ways, and every third one with default windows; with OPHION_TEST_COMPARISON=all in
the environment each is asked in all ways of both, which takes minutes.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from benchmarks.remote_write import remote_write, slices
from prometheus_server import running_prometheus
from tests.plugins.promql_comparison.compare import Result, Server, compare
from tests.plugins.promql_comparison.corpus import (
    KNOWN,
    KNOWN_BY_DEFAULT,
    NEWER,
    Case,
    Mode,
    cases,
    off_grid,
    one_way_each,
    read_known,
    read_queries,
)
from tests.plugins.promql_comparison.dataset import dataset, latest_anchor
from tests.plugins.promql_comparison.ophion import running_ophion

LEAST_PERCENT = 98.0
LEAST_PERCENT_BY_DEFAULT = 95.0
SHOWN = 5


@pytest.fixture
def anchor() -> int:
    return latest_anchor()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def prometheus(tmp_path: Path, session: aiohttp.ClientSession, anchor: int) -> AsyncIterator[Server]:
    async with running_prometheus(tmp_path, [], features=["remote-write-receiver"]) as server:
        await remote_write(f"{server.url}/api/v1/write", slices(dataset(anchor)))
        yield Server(session, server.url)


@pytest.fixture
def boundaries() -> str:
    return "prometheus2"


@pytest.fixture
async def ophion(tmp_path: Path, session: aiohttp.ClientSession, anchor: int, boundaries: str) -> AsyncIterator[Server]:
    async with running_ophion(tmp_path / "ophion", anchor, boundaries) as url:
        # The newest first, and the newest once more: samples come late and twice.
        pieces = list(slices(dataset(anchor)))[::-1]
        await remote_write(f"{url}/api/v1/write", [*pieces, pieces[0]])
        yield Server(session, url)


def key(result: Result) -> tuple[str, Mode]:
    return result.case.query.text, result.case.mode


def shown(result: Result) -> str:
    return f"{result.case.mode}: {result.case.query.text}: {result.difference}"


def first_lines(texts: list[str]) -> str:
    return "\n".join([f"{len(texts)} of them:", *texts[:SHOWN]])


def everything() -> bool:
    return os.environ.get("OPHION_TEST_COMPARISON") == "all"


async def check(prometheus: Server, ophion: Server, asked: list[Case], anchor: int, known_differences: Path) -> None:
    """Ask both sides and hold what differs against the list of what may."""
    results = await compare(prometheus, ophion, asked, anchor)
    known = read_known(known_differences)
    unknown = [shown(result) for result in results if result.difference and key(result) not in known]
    settled = [shown(result) for result in results if not result.difference and key(result) in known]

    assert not unknown, f"differences that {known_differences.name} does not name, {first_lines(unknown)}"
    assert not settled, f"known differences that are none any more, {first_lines(settled)}"


@pytest.mark.timeout(900)
async def test_answers_as_prometheus_does_but_for_the_known_differences(
    prometheus: Server, ophion: Server, anchor: int
) -> None:
    every = cases(read_queries())
    await check(prometheus, ophion, every if everything() else one_way_each(every), anchor, KNOWN)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("boundaries", ["prometheus3"])
async def test_default_windows_differ_from_those_of_prometheus_2_at_their_edges_only(
    prometheus: Server, ophion: Server, anchor: int
) -> None:
    every = off_grid(read_queries())
    await check(prometheus, ophion, every if everything() else one_way_each(every)[::3], anchor, KNOWN_BY_DEFAULT)


def test_known_differences_are_few() -> None:
    queries = read_queries()

    assert 100 * len(read_known()) <= (100 - LEAST_PERCENT) * len(cases(queries))
    assert 100 * len(read_known(KNOWN_BY_DEFAULT)) <= (100 - LEAST_PERCENT_BY_DEFAULT) * len(off_grid(queries))


async def test_prometheus_takes_the_corpus_as_it_is_meant(prometheus: Server, anchor: int) -> None:
    for query in read_queries():
        answers = [await prometheus.ask(*case.request(anchor)) for case in cases([query])]
        refusals = [answer.data is None for answer in answers]

        assert all(refusals) if query.refused else not all(refusals), (query.text, answers[0].shown())


async def test_answers_what_later_versions_of_prometheus_know(ophion: Server, anchor: int) -> None:
    answers = [(query, await ophion.ask(*Case(query, "instant").request(anchor))) for query in read_queries(NEWER)]
    refused = [f"{query.text}: {answer.shown()}" for query, answer in answers if answer.data is None]

    assert not refused, first_lines(refused)
