"""Remote write: what is taken, how it is kept, and what is refused."""

import math
import struct

import pytest

from benchmarks.remote_write import HEADERS, Series, snappy, write_request
from ophion_agent.server import BadRequest, Problem
from ophion_agent.testing import ManualClock
from ophion_promql.remote_write import RemoteWrite, decompressed
from tests.plugins.promql.conftest import STALE, Asked
from tests.plugins.promql.store import ChdbStore

NOW = 1_700_100_000_000
SENT = {name.lower(): value for name, value in HEADERS.items()}

pytest.importorskip("cramjam")


@pytest.fixture
def receiver(store: ChdbStore) -> RemoteWrite:
    return RemoteWrite(store, ManualClock(NOW * 1_000_000))


def request(*series: Series) -> bytes:
    return snappy(write_request(series))


async def test_stores_series_and_samples(store: ChdbStore, receiver: RemoteWrite) -> None:
    labels = {"__name__": "sent", "job": "x", "empty": ""}
    await receiver.store(request(Series(labels, [(NOW - 1000, 1.5), (NOW, 2.5)])), SENT, "default")

    columns = await store.query(
        "SELECT metric_name, labels, kind, toString(day) AS day FROM series WHERE metric_name = 'sent'",
        tenant="default",
    )
    assert columns.dicts() == [{"metric_name": "sent", "labels": {"job": "x"}, "kind": "unknown", "day": "2023-11-16"}]
    asked = Asked(store)
    found = await asked.range("sent", (NOW - 1_700_000_000_000) / 1000 - 1, (NOW - 1_700_000_000_000) / 1000, 1)
    assert list(found["__name__=sent,job=x"].values()) == [1.5, 2.5]
    received = await store.query(
        "SELECT DISTINCT toUnixTimestamp(received) AS at, toString(kind) AS kind FROM samples "
        "WHERE series_id IN (SELECT series_id FROM series WHERE metric_name = 'sent')",
        tenant="default",
    )
    assert received.rows() == [(NOW // 1000, "remote")]


async def test_keeps_the_bits_of_stale_markers(store: ChdbStore, receiver: RemoteWrite) -> None:
    await receiver.store(request(Series({"__name__": "gone"}, [(NOW, STALE), (NOW + 1, math.nan)])), SENT, "default")

    columns = await store.query(
        "SELECT hex(reinterpretAsUInt64(value)) AS bits FROM samples "
        "WHERE series_id IN (SELECT series_id FROM series WHERE metric_name = 'gone') ORDER BY time",
        tenant="default",
    )
    nan = struct.pack(">d", math.nan).hex().upper()
    assert columns["bits"] == ["7FF0000000000002", nan]


async def test_introduces_a_series_once_a_day(store: ChdbStore, receiver: RemoteWrite) -> None:
    body = request(Series({"__name__": "often"}, [(NOW, 1.0)]))
    for _ in range(3):
        await receiver.store(body, SENT, "default")

    counted = await store.query("SELECT count() AS c FROM series WHERE metric_name = 'often'", tenant="default")
    assert counted["c"] == [1]


async def test_takes_an_empty_request(receiver: RemoteWrite) -> None:
    await receiver.store(request(), SENT, "default")


async def test_refuses_broken_messages(receiver: RemoteWrite) -> None:
    with pytest.raises(BadRequest, match=r"must be a prometheus\.WriteRequest, got a message that is broken"):
        await receiver.store(snappy(b"\x0a\x05ab"), SENT, "default")


async def test_refuses_version_2_and_other_compression(receiver: RemoteWrite) -> None:
    version_2 = {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
    with pytest.raises(Problem, match="only version 1 is supported") as refused:
        await receiver.store(b"", version_2, "default")
    assert refused.value.code == 415
    with pytest.raises(Problem, match="must be compressed with snappy, got zstd"):
        await receiver.store(b"", {"content-encoding": "zstd"}, "default")


def test_refuses_what_snappy_cannot_read_or_is_too_large() -> None:
    with pytest.raises(BadRequest, match="must be compressed in snappy's block format"):
        decompressed(b"\x05\xff\xff")
    with pytest.raises(BadRequest, match="must be at most 67108864 bytes, got 268435455; send smaller requests"):
        decompressed(b"\xff\xff\xff\x7f")
