"""Series that were found are remembered: while the table stays as it was, for one tenant, and not too many."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ophion_promql import selecting
from ophion_promql.errors import FailedQuery
from ophion_promql.nodes import Matcher
from ophion_promql.series_cache import SeriesCache
from tests.plugins.promql.conftest import START
from tests.plugins.promql.store import ChdbStore, Row
from tests.telemetry_store import running_store


def row(series_id: int, name: str, **labels: str) -> Row:
    return series_id, name, labels, [(START, 1.0)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChdbStore]:
    pytest.importorskip("chdb")
    store = ChdbStore(tmp_path / "engine")
    store.load([row(1, "one", a="x"), row(2, "two", a="x"), row(3, "two", a="y"), row(4, "three", a="x")])
    yield store
    store.close()


class Counting:
    """A store that counts how often series are looked for, and the questions whether they are still the same."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.searches = self.checks = 0

    async def query_bytes(self, sql: str, *arguments: Any, **options: Any) -> bytes:
        if "_part" in sql:
            self.checks += 1
        else:
            self.searches += 1
        return bytes(await self._store.query_bytes(sql, *arguments, **options))


def cache_of(store: Any, most: int = 100) -> tuple[SeriesCache, Counting]:
    counting = Counting(store)
    return SeriesCache(counting, dot_is_all=True, most=most), counting  # type: ignore[arg-type]


def named(name: str) -> tuple[Matcher, ...]:
    return (Matcher("__name__", "=", name),)


async def found(cache: SeriesCache, *names: str, tenant: str = "default", since: int = START) -> list[list[int]]:
    """Return the ids of the series of each name."""
    wanted = {named(name): since for name in names}
    selected = await cache.find(wanted, tenant, 100)
    return [sorted(selected[matchers].ids) for matchers in wanted]


async def test_looks_for_series_once_while_they_stay_the_same(store: ChdbStore) -> None:
    cache, counting = cache_of(store)

    assert [await found(cache, "one", "two") for _ in range(3)] == [[[1], [2, 3]]] * 3
    assert (counting.searches, counting.checks) == (2, 3)


async def test_a_new_series_is_in_the_next_answer(store: ChdbStore) -> None:
    cache, _ = cache_of(store)
    assert await found(cache, "two", "later") == [[2, 3], []]

    store.load([row(5, "two", a="z"), row(6, "later")])

    assert await found(cache, "two", "later") == [[2, 3, 5], [6]]


async def test_a_series_that_is_gone_is_not_in_the_next_answer(store: ChdbStore) -> None:
    cache, _ = cache_of(store)
    assert await found(cache, "two") == [[2, 3]]

    store.execute("ALTER TABLE series DELETE WHERE series_id = 3 SETTINGS mutations_sync = 1")

    assert await found(cache, "two") == [[2]]


async def test_an_earlier_day_is_looked_for_anew(store: ChdbStore) -> None:
    cache, _ = cache_of(store)
    later = START + 3 * 86_400_000

    assert await found(cache, "one", since=later) == [[]]
    assert await found(cache, "one") == [[1]]
    assert await found(cache, "one", since=later) == [[]]


async def test_refuses_too_many_series_that_a_wider_limit_has_found(store: ChdbStore) -> None:
    cache, _ = cache_of(store)
    await found(cache, "two")

    with pytest.raises(FailedQuery, match="the selector matches more than 1 series; add label matchers or raise"):
        await cache.find({named("two"): START}, "default", 1)


async def test_remembers_no_more_series_than_it_may(store: ChdbStore) -> None:
    cache, counting = cache_of(store, most=2)

    for name in ("one", "three", "nothing", "two", "one"):
        await found(cache, name)
        assert cache.size <= 2
    before = counting.searches
    await found(cache, "one")

    assert counting.searches == before


async def test_forgets_first_what_was_asked_for_longest_ago(store: ChdbStore) -> None:
    cache, counting = cache_of(store, most=2)
    for name in ("one", "three", "one", "nothing"):
        await found(cache, name)
    before = counting.searches

    await found(cache, "one", "nothing")
    assert counting.searches == before
    await found(cache, "three")
    assert counting.searches == before + 1


async def test_does_not_remember_a_selection_beyond_the_bound(store: ChdbStore) -> None:
    cache, counting = cache_of(store, most=1)

    await found(cache, "two")
    await found(cache, "two")

    assert (cache.size, counting.searches) == (0, 2)


async def labels_of(store: ChdbStore, name: str) -> Any:
    selected = await cache_of(store)[0].find({named(name): START}, "default", 100)
    return selected[named(name)].labels


async def test_labels_in_another_order_are_left_to_the_engine(store: ChdbStore) -> None:
    assert await labels_of(store, "one") == {1: (("__name__", "one"), ("a", "x"))}

    for number, labels in ((8, "map('b', '1', 'a', '1')"), (9, "map('a', '1', 'b', '1')")):
        store.execute(
            f"INSERT INTO series SELECT toDate('2023-11-14'), {number}, 'mixed', {labels}, 'gauge', '', '', {number}"
        )

    assert await labels_of(store, "mixed") is None


async def test_a_name_that_comes_twice_is_left_to_the_engine(store: ChdbStore) -> None:
    store.execute("INSERT INTO series SELECT toDate('2023-11-14'), 8, 'n', map('__name__', 'm'), 'gauge', '', '', 8")

    assert await labels_of(store, "n") is None


async def test_very_many_series_are_left_to_the_engine(store: ChdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "MOST_LABELLED", 1)

    assert await labels_of(store, "one") is not None
    assert await labels_of(store, "two") is None


async def test_asks_nothing_for_an_expression_without_selectors(store: ChdbStore) -> None:
    cache, counting = cache_of(store)

    assert await cache.find({}, "default", 100) == {}
    assert (counting.searches, counting.checks) == (0, 0)


async def test_a_tenant_never_gets_the_series_of_another(tmp_path: Path) -> None:
    columns = ("day", "series_id", "metric_name", "labels", "kind")
    # What is older than the store's retention would be gone at once.
    now = datetime.now(UTC)
    since = int(now.timestamp() * 1000)
    async with running_store(tmp_path) as store:
        # The tables of both look alike from outside: as many rows, in parts of the same names.
        for tenant, series_id in (("red", 1), ("blue", 2)):
            line = {
                "day": now.date().isoformat(),
                "series_id": series_id,
                "metric_name": "one",
                "labels": {"owner": tenant},
                "kind": "gauge",
            }
            await store.insert(
                "series", json.dumps(line).encode(), tenant=tenant, input_format="JSONEachRow", columns=columns
            )
        cache, counting = cache_of(store)

        answers = [await found(cache, "one", tenant=tenant, since=since) for tenant in ("red", "blue", "red", "blue")]

    assert answers == [[[1]], [[2]], [[1]], [[2]]]
    assert counting.searches == 2
