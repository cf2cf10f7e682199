"""The durable queue: order, group commit, crashes, damage, full disks, bounds."""

import asyncio
import errno
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ophion_agent.durable import (
    DirectoryInUse,
    DiskFull,
    DurableQueue,
    Entry,
    QueueClosed,
    QueueFull,
    RecordTooLarge,
    UnknownFormat,
)
from ophion_agent.durable import acked as durable_acked
from ophion_agent.durable import segments as durable_segments
from ophion_agent.durable.acked import Acked
from ophion_agent.durable.format import FILE_HEADER_BYTES, FRAME_HEADER_BYTES, Label
from requirement import unavailable

MIB = 1 << 20
ROOT = Path(__file__).resolve().parent.parent


class Recorder:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))


@asynccontextmanager
async def opened(directory: Path, log: Recorder | None = None, **options: Any) -> AsyncIterator[DurableQueue]:
    options = {"max_bytes": 256 * MIB, "flush_seconds": 3600.0} | options
    queue = await DurableQueue.open(directory, log=log or Recorder(), **options)
    try:
        yield queue
    finally:
        await queue.close()


async def crash(queue: DurableQueue) -> None:
    """Stop using the queue as a killed process would: what is on the disk stays as it is, the lock goes."""
    await queue._commits.idle()
    await queue._reader.close()
    if queue._flush_timer is not None:
        queue._flush_timer.cancel()
    queue._threads.shutdown()
    if queue._writer._fd >= 0:
        os.close(queue._writer._fd)
    os.close(queue._lock)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds, for what the queue announces to nobody."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def drain(queue: DurableQueue) -> list[bytes]:
    """Take everything that is pending, leaving it taken."""
    return [(await queue.take()).record for _ in range(queue.records)]


async def deliver(queue: DurableQueue) -> list[bytes]:
    """Take everything there is until nothing awaits delivery; damaged records drop out of the count on the way."""
    records: list[bytes] = []
    while queue.records:
        entry = queue.take_nowait()
        if entry is None:
            await asyncio.sleep(0)
        else:
            records.append(entry.record)
            await queue.done(entry)
    return records


def segment_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


async def fill(directory: Path, records: list[bytes], *, sealed: bool = False, **options: Any) -> None:
    """Store the records and crash, so that the last file has no seal, or close."""
    queue = await DurableQueue.open(directory, max_bytes=256 * MIB, log=Recorder(), **options)
    await asyncio.gather(*(queue.append(record) for record in records))
    await (queue.close() if sealed else crash(queue))


def corrupt_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.corrupt"))


# ---- order and bookkeeping


async def test_hands_records_out_in_order_of_append(tmp_path: Path) -> None:
    records = [bytes([i]) * (i * 37 % 500) for i in range(200)]
    async with opened(tmp_path) as queue:
        await asyncio.gather(*(queue.append(record) for record in records))
        assert queue.records == 200
        assert queue.bytes == sum(map(len, records)) + 200 * FRAME_HEADER_BYTES
        assert await drain(queue) == records
        assert queue.take_nowait() is None


async def test_take_waits_for_the_next_append(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        takers = [asyncio.create_task(queue.take()) for _ in range(3)]
        await asyncio.gather(*(queue.append(bytes([i])) for i in range(3)))
        assert {(await taker).record for taker in takers} == {b"\0", b"\1", b"\2"}


async def test_reads_what_outgrew_the_read_ahead_from_disk_across_segments(tmp_path: Path) -> None:
    records = [bytes([i]) * 200_000 for i in range(100)]
    async with opened(tmp_path, segment_bytes=MIB) as queue:
        for record in records:
            await queue.append(record)
        assert len(segment_files(tmp_path)) > 15
        assert await drain(queue) == records


async def test_requeued_entry_comes_before_everything_behind_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        await asyncio.gather(*(queue.append(bytes([i])) for i in range(5)))
        first, second, third = [await queue.take() for _ in range(3)]
        queue.requeue(third)
        queue.requeue(first)
        assert await queue.take() is first
        assert await queue.take() is third
        assert (await queue.take()).record == b"\3"
        await queue.done(second)
        with pytest.raises(ValueError, match="must be taken, got position 1, which is not"):
            await queue.done(second)
        with pytest.raises(ValueError, match="must be taken"):
            queue.requeue(second)


async def test_undelivered_records_survive_close_and_delivered_ones_do_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        await asyncio.gather(*(queue.append(bytes([i])) for i in range(6)))
        entries = [await queue.take() for _ in range(6)]
        for entry in (entries[0], entries[2], entries[5]):
            await queue.done(entry)
    async with opened(tmp_path) as queue:
        assert (queue.records, queue.recovered.records) == (3, 3)
        assert queue.bytes == 3 * (1 + FRAME_HEADER_BYTES)
        assert await drain(queue) == [b"\1", b"\3", b"\4"]


async def test_files_go_when_all_their_records_are_done(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_bytes=64 << 10) as queue:
        for i in range(20):
            await queue.append(bytes([i]) * 20_000)
        stuck, *others = [await queue.take() for _ in range(20)]
        before = len(segment_files(tmp_path))
        for entry in others:
            await queue.done(entry)
        await queue.flush()
        assert before == 7
        assert len(segment_files(tmp_path)) == 2  # that of the stuck entry, and the one being written
        await queue.done(stuck)
    assert segment_files(tmp_path) == []
    async with opened(tmp_path) as queue:
        assert queue.records == queue.bytes == 0
        await queue.append(b"later")
        assert (await queue.take()).position == 20


async def test_flushes_by_itself_after_a_delivery(tmp_path: Path) -> None:
    async with opened(tmp_path, flush_seconds=0.0) as queue:
        await queue.append(b"x")
        await queue.done(await queue.take())
        await until((tmp_path / durable_acked.FILE_NAME).exists)


async def test_concurrent_appends_share_one_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes: list[int] = []
    monkeypatch.setattr(durable_segments, "_sync_data", flushes.append)
    async with opened(tmp_path) as queue:
        await asyncio.gather(*(queue.append(b"x" * 100) for _ in range(400)))
    assert len(flushes) == 1


async def test_cancelled_append_does_not_disturb_its_neighbours(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        tasks = [asyncio.create_task(queue.append(bytes([i]))) for i in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await drain(queue) in ([b"\0", b"\2"], [b"\0", b"\1", b"\2"])
        assert queue._commits.reserved == 0


# ---- bounds


async def test_refuses_record_when_full_and_takes_it_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=3 * (100 + FRAME_HEADER_BYTES)) as queue:
        results = await asyncio.gather(*(queue.append(b"x" * 100) for _ in range(4)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 3 + [QueueFull]
        assert not queue.has_room(100)
        with pytest.raises(
            QueueFull, match="at most 372 bytes may wait, got 372 and 100 more; send it again later"
        ) as full:
            await queue.append(b"x" * 100)
        assert full.value.admission
        await queue.done(await queue.take())
        await queue.append(b"x" * 100)


async def test_refuses_record_that_can_never_fit(tmp_path: Path) -> None:
    async with opened(tmp_path, max_record_bytes=1000) as queue:
        await queue.append(b"x" * 1000)
        with pytest.raises(RecordTooLarge, match="a record must be at most 1000 bytes, got 1001; send smaller batches"):
            await queue.append(b"x" * 1001)
    async with opened(tmp_path / "small", max_bytes=1000) as queue:
        with pytest.raises(RecordTooLarge, match="at most 976 bytes"):
            await queue.append(b"x" * 977)


async def test_memory_does_not_grow_with_the_backlog(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        tracemalloc.start()
        try:
            for _ in range(200):
                await queue.append(os.urandom(256 << 10))
            for _ in range(200):
                await queue.done(await queue.take())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 12 * MIB


# ---- one owner, private files


LOCKER = """
import pathlib, sys
from ophion_agent.durable.segments import lock_directory
lock_directory(pathlib.Path(sys.argv[1]))
"""


def run_python(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


async def test_second_queue_on_the_same_directory_is_refused_with_its_holder(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(DirectoryInUse, match=rf"held by process {os.getpid()}\); stop that process or configure"):
            await DurableQueue.open(tmp_path, max_bytes=MIB, log=Recorder())
        other = await asyncio.to_thread(run_python, LOCKER, str(tmp_path))
        assert f"held by process {os.getpid()}" in other.stderr
    async with opened(tmp_path):
        pass


async def test_files_are_private(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "queue"
    async with opened(directory) as queue:
        await queue.append(b"x")
        await queue.append(b"y")
        await queue.done(await queue.take())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert len(list(directory.iterdir())) == 3


async def test_close_is_safe_twice_and_ends_waiting_callers(tmp_path: Path) -> None:
    queue = await DurableQueue.open(tmp_path, max_bytes=MIB, log=Recorder())
    taker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    append = asyncio.create_task(queue.append(b"last"))
    await asyncio.sleep(0)
    await asyncio.gather(queue.close(), queue.close())
    await queue.close()
    await append
    with pytest.raises(QueueClosed, match="got a take after close"):
        await queue.take()
    with pytest.raises(QueueClosed, match="got a record after close"):
        await queue.append(b"x")
    (result,) = await asyncio.gather(taker, return_exceptions=True)
    assert isinstance(result, QueueClosed | Entry)
    async with opened(tmp_path) as queue:
        assert await drain(queue) == [b"last"]


async def test_cancelled_open_leaves_the_directory_free(tmp_path: Path) -> None:
    opening = asyncio.create_task(DurableQueue.open(tmp_path, max_bytes=MIB, log=Recorder()))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.to_thread(lambda: None)
    async with asyncio.timeout(10):
        while True:
            try:
                async with opened(tmp_path):
                    return
            except DirectoryInUse:
                await asyncio.sleep(0)


def run_in_directory(test: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """Give each example a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(test(Path(directory)))


# ---- against a model

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 3000), min_size=1, max_size=8)),
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("done"), st.integers(0, 20)),
        st.tuples(st.just("requeue"), st.integers(0, 20)),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=40,
)


class Model:
    """What the queue must hold: pending by position, what is taken, and what was done since the last flush."""

    def __init__(self) -> None:
        self.pending: dict[int, bytes] = {}
        self.taken: dict[int, Entry] = {}
        self.unflushed: dict[int, bytes] = {}
        self.next = 0


async def step(queue: DurableQueue, model: Model, action: str, argument: Any, directory: Path) -> DurableQueue:
    if action == "append":
        records = [os.urandom(size) for size in argument]
        await asyncio.gather(*(queue.append(record) for record in records))
        model.pending.update(enumerate(records, model.next))
        model.next += len(records)
    elif action == "take":
        for _ in range(min(argument, len(model.pending) - len(model.taken))):
            entry = await queue.take()
            assert entry.position == min(model.pending.keys() - model.taken.keys())
            assert entry.record == model.pending[entry.position]
            model.taken[entry.position] = entry
    elif action in ("done", "requeue") and model.taken:
        entry = model.taken.pop(sorted(model.taken)[argument % len(model.taken)])
        if action == "done":
            await queue.done(entry)
            model.unflushed[entry.position] = model.pending.pop(entry.position)
        else:
            queue.requeue(entry)
    elif action == "flush":
        await queue.flush()
        model.unflushed.clear()
    elif action in ("reopen", "crash"):
        if action == "reopen":
            await queue.close()
        else:
            await crash(queue)
            model.pending |= model.unflushed
        model.unflushed.clear()
        model.taken.clear()
        queue = await DurableQueue.open(
            directory, max_bytes=64 * MIB, segment_bytes=4096, flush_seconds=3600.0, log=Recorder()
        )
    assert queue.records == len(model.pending)
    assert queue.bytes == sum(map(len, model.pending.values())) + FRAME_HEADER_BYTES * len(model.pending)
    return queue


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_behaves_like_its_model(steps: list[tuple[str, Any]]) -> None:
    async def run(directory: Path) -> None:
        model = Model()
        queue = await step(await _closed(directory), model, "reopen", None, directory)
        for action, argument in steps:
            queue = await step(queue, model, action, argument, directory)
        queue = await step(queue, model, "crash", None, directory)
        assert queue.recovered.quarantined_segments == queue.recovered.truncated_bytes == 0
        assert await drain(queue) == [model.pending[position] for position in sorted(model.pending)]
        await queue.close()

    run_in_directory(run)


async def _closed(directory: Path) -> DurableQueue:
    queue = await DurableQueue.open(directory, max_bytes=MIB, log=Recorder())
    await queue.close()
    return queue


@given(ranges=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=30))
def test_delivered_set_equals_a_set_of_positions(ranges: list[tuple[int, int]]) -> None:
    acked, model = Acked(), set[int]()
    for start, stop in ranges:
        positions = set(range(start, stop))
        assert acked.missing(start, stop) == len(positions - model)
        assert acked.add(start, stop) == len(positions - model)
        model |= positions
    copy = Acked.decode(acked.encode())
    assert copy is not None
    for view in (acked, copy):
        assert {position for position in range(70) if position in view} == model
        assert view.cursor == min(set(range(70)) - model)
        assert view.stop == max(model, default=-1) + 1


# ---- crashes and damage


async def test_torn_tail_is_cut_at_every_byte_of_the_last_record(tmp_path: Path) -> None:
    kept = [b"first" * 5, b"second" * 5]
    await fill(tmp_path / "whole", [*kept, b"torn" * 10])
    (source,) = segment_files(tmp_path / "whole")
    content = source.read_bytes()
    last = len(content) - 40 - FRAME_HEADER_BYTES
    for size in range(last, len(content)):
        for tail in (b"", bytes(300)):
            directory = tmp_path / f"{size}-{len(tail)}"
            directory.mkdir()
            (directory / source.name).write_bytes(content[:size] + tail)
            async with opened(directory) as queue:
                assert await drain(queue) == kept
                assert queue.recovered.truncated_bytes == size - last + len(tail)
                assert queue.recovered.quarantined_segments == 0
                await queue.append(b"new")
                assert (await queue.take()).record == b"new"
            assert (directory / source.name).stat().st_size == last


@pytest.mark.parametrize("content", [b"", bytes(10), bytes(5000)], ids=["empty", "short", "zeros"])
async def test_file_that_was_only_created_is_dropped(tmp_path: Path, content: bytes) -> None:
    await fill(tmp_path, [b"one"])
    (tmp_path / Label(1, 7).file_name).write_bytes(content)
    async with opened(tmp_path) as queue:
        assert queue.recovered.quarantined_segments == 0
        await queue.append(b"two")
        assert await drain(queue) == [b"one", b"two"]


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), sealed=st.booleans())
def test_flipped_bit_invents_nothing_and_spares_everything_else(data: st.DataObject, sealed: bool) -> None:
    records = [bytes([i]) * (300 + 97 * i % 701) for i in range(30)]

    async def run(directory: Path) -> None:
        await fill(directory, records, sealed=sealed, segment_bytes=4096)
        files = segment_files(directory)
        assert len(files) > 3
        path = data.draw(st.sampled_from(files))
        bit = data.draw(st.integers(0, len(path.read_bytes()) * 8 - 1))
        flip(path, bit)
        log = Recorder()
        async with opened(directory, log) as queue:
            await queue.append(b"new")
            found = await deliver(queue)
            assert found[-1] == b"new"
            assert len(found) >= len(records)
            assert found[:-1] == [record for record in records if record in found]
            assert queue.records == queue.bytes == 0
            lost = len(records) - len(found[:-1])
            assert queue.recovered.lost_records == (lost if queue.recovered.quarantined_segments else 0)
            if lost:
                assert log.events
        assert segment_files(directory) == []
        assert len(corrupt_files(directory)) == queue.recovered.quarantined_segments

    run_in_directory(run)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), sealed=st.booleans())
def test_garbage_over_any_range_costs_only_the_records_it_touches(data: st.DataObject, sealed: bool) -> None:
    records = [bytes([i]) * 400 for i in range(30)]

    async def run(directory: Path) -> None:
        await fill(directory, records, sealed=sealed, segment_bytes=4096)
        path = data.draw(st.sampled_from(segment_files(directory)))
        content = path.read_bytes()
        start = data.draw(st.integers(0, len(content)))
        garbage = data.draw(st.one_of(st.binary(max_size=600), st.integers(0, 5000).map(bytes)))
        path.write_bytes(content[:start] + garbage + content[start + len(garbage) :])
        touched = {
            record
            for record in records
            if (at := content.find(record)) >= 0
            and start < at + len(record)
            and at - FRAME_HEADER_BYTES < start + len(garbage)
        }
        async with opened(directory) as queue:
            found = await deliver(queue)
        # Garbage may repeat what it replaces, so a touched record may survive.
        assert found == [record for record in records if record in found]
        assert set(found) | touched == set(records)
        assert segment_files(directory) == []

    run_in_directory(run)


async def test_damaged_segment_is_kept_aside_when_its_intact_records_are_delivered(tmp_path: Path) -> None:
    await fill(tmp_path, [b"a" * 100, b"b" * 100, b"c" * 100])
    (path,) = segment_files(tmp_path)
    flip(path, 8 * path.read_bytes().index(b"bbb"))
    log = Recorder()
    async with opened(tmp_path, log) as queue:
        found = queue.recovered
        assert (found.records, found.lost_records, found.quarantined_segments) == (2, 1, 1)
        assert await deliver(queue) == [b"a" * 100, b"c" * 100]
    assert [event for event, _ in log.events] == ["durable_queue_recovered"]
    assert [entry.name for entry in corrupt_files(tmp_path)] == [path.name + ".corrupt"]
    async with opened(tmp_path) as queue:
        assert queue.records == queue.recovered.quarantined_segments == 0


async def test_damage_in_a_sealed_file_is_met_while_reading(tmp_path: Path) -> None:
    async with opened(tmp_path) as queue:
        for letter in (b"a", b"b", b"c"):
            await queue.append(letter * 100)
    (path,) = segment_files(tmp_path)
    flip(path, 8 * path.read_bytes().index(b"bbb"))
    log = Recorder()
    async with opened(tmp_path, log) as queue:
        assert await deliver(queue) == [b"a" * 100, b"c" * 100]
        assert (queue.recovered.lost_records, queue.recovered.quarantined_segments, queue.bytes) == (1, 1, 0)
    ((event, fields),) = log.events
    assert event == "durable_queue_segment_damaged"
    assert (fields["damaged_bytes"], fields["lost_records"], fields["kept_records"]) == (100 + FRAME_HEADER_BYTES, 1, 2)


async def test_record_that_contains_frames_is_not_mistaken_for_them_after_damage(tmp_path: Path) -> None:
    await fill(tmp_path / "other", [b"forged" * 10] * 3)
    (other,) = segment_files(tmp_path / "other")
    await fill(tmp_path / "queue", [b"a", other.read_bytes(), b"b"])
    (path,) = segment_files(tmp_path / "queue")
    content = bytearray(path.read_bytes())
    content[FILE_HEADER_BYTES + FRAME_HEADER_BYTES + 1] ^= 1
    path.write_bytes(content)
    async with opened(tmp_path / "queue") as queue:
        assert await deliver(queue) == [b"a", b"b"]


async def test_missing_file_costs_only_its_own_records(tmp_path: Path) -> None:
    records = [bytes([i]) * 1500 for i in range(10)]
    await fill(tmp_path, records, segment_bytes=64 << 10)
    files = segment_files(tmp_path)
    await fill(tmp_path, [b"later"])
    files[0].unlink()
    async with opened(tmp_path) as queue:
        assert await drain(queue) == [b"later"]


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(100), Acked([(0, 5)]).encode()[:-1] + b"\0"])
async def test_damaged_delivered_set_means_redelivery(tmp_path: Path, content: bytes) -> None:
    async with opened(tmp_path) as queue:
        await asyncio.gather(*(queue.append(bytes([i])) for i in range(4)))
        await queue.done(await queue.take())
    (tmp_path / durable_acked.FILE_NAME).write_bytes(content)
    log = Recorder()
    async with opened(tmp_path, log) as queue:
        assert queue.recovered.redelivers
        assert await drain(queue) == [b"\0", b"\1", b"\2", b"\3"]
    assert [event for event, _ in log.events] == ["durable_queue_recovered"]


async def test_newer_format_is_refused_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ophion_agent.durable.format.VERSION", 9)
        await fill(tmp_path, [b"future"])
    (path,) = segment_files(tmp_path)
    content = path.read_bytes()
    with pytest.raises(
        UnknownFormat, match="segment format must be 1, got 9; run the version of the program that wrote"
    ):
        await DurableQueue.open(tmp_path, max_bytes=MIB, log=Recorder())
    assert path.read_bytes() == content


async def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.seg").write_text("mine")
    (tmp_path / "delivered.tmp").write_text("half")
    async with opened(tmp_path) as queue:
        assert queue.records == 0
    assert (tmp_path / "README.seg").read_text() == "mine"
    assert not (tmp_path / "delivered.tmp").exists()


WRITER = """
import asyncio, sys
from pathlib import Path
from ophion_agent.durable import DurableQueue

class Log:
    def warning(self, event, **fields): print(event, fields, file=sys.stderr)

async def main(directory, tag):
    queue = await DurableQueue.open(Path(directory), max_bytes=1 << 30, segment_bytes=100_000, flush_seconds=0.001,
                                    log=Log())
    async def appender(lane):
        for number in range(1_000_000):
            name = f"{tag}-{lane}-{number}"
            await queue.append(name.encode().ljust(2000, b"."))
            sys.stdout.write(f"+{name}\\n"); sys.stdout.flush()
    async def consumer():
        while True:
            entry = await queue.take()
            if entry.position % 3:
                sys.stdout.write(f"-{entry.record.rstrip(b'.').decode()}\\n"); sys.stdout.flush()
                await queue.done(entry)
    await asyncio.gather(consumer(), *(appender(lane) for lane in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""


def kill_while_writing(directory: Path, tag: int, acknowledgements: int) -> list[str]:
    """Return what a killed writer told: `+name` for an acknowledged append, `-name` for a delivery."""
    command = [sys.executable, "-c", WRITER, str(directory), str(tag)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        assert process.stderr.read() == ""
    # A line that the kill tore was not received.
    return [line[:-1] for line in lines if line.endswith("\n")]


async def test_kill_loses_no_acknowledged_record(tmp_path: Path) -> None:
    appended, delivered = set[str](), set[str]()
    generator = random.Random(1)
    for tag in range(4):
        lines = await asyncio.to_thread(kill_while_writing, tmp_path, tag, generator.randrange(20, 3000))
        appended |= {line[1:] for line in lines if line[0] == "+"}
        delivered |= {line[1:] for line in lines if line[0] == "-"}
    async with opened(tmp_path) as queue:
        found = [record.rstrip(b".").decode() for record in await deliver(queue)]
        assert queue.recovered.lost_records == queue.recovered.quarantined_segments == 0
    assert len(found) == len(set(found))
    assert appended - delivered <= set(found)
    assert len(appended) > 100


# ---- disks that refuse


async def test_failed_group_is_cut_off_and_later_appends_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev

    def half(fd: int, buffers: list[bytes], offset: int) -> int:
        real(fd, [b"".join(buffers)[:150]], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    queue = await DurableQueue.open(tmp_path, max_bytes=MIB, log=Recorder())
    await queue.append(b"before" * 20)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", half)
        results = await asyncio.gather(*(queue.append(b"failed" * 20) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(result, DiskFull) for result in results)
        with pytest.raises(DiskFull, match="disk must take the record, got No space left on device; make room"):
            await queue.append(b"x")
    await queue.append(b"after")
    assert await drain(queue) == [b"before" * 20, b"after"]
    assert len(segment_files(tmp_path)) == 1
    await crash(queue)
    async with opened(tmp_path) as queue:
        assert queue.recovered.truncated_bytes == 0
        assert await drain(queue) == [b"before" * 20, b"after"]


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "not cut"])
async def test_file_is_left_after_a_failed_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with opened(tmp_path) as queue:
        for attempt in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(durable_segments, "_sync_data", refuse)
                if not cut:
                    patch.setattr(os, "ftruncate", refuse)
                with pytest.raises(DiskFull, match="Input/output error"):
                    await queue.append(b"failed")
            await queue.append(bytes([attempt]))
        assert len(segment_files(tmp_path)) == 2
        await queue.append(b"\2")
    async with opened(tmp_path) as queue:
        assert queue.recovered.quarantined_segments == queue.recovered.lost_records == 0
        assert await drain(queue) == [b"\0", b"\1", b"\2"]


async def test_refused_flush_is_logged_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(directory: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    log = Recorder()
    queue = await DurableQueue.open(tmp_path, max_bytes=MIB, flush_seconds=3600.0, log=log)
    await asyncio.gather(*(queue.append(bytes([i])) for i in range(3)))
    with monkeypatch.context() as patch:
        patch.setattr(durable_acked, "save", refuse)
        for _ in range(2):
            await queue.done(await queue.take())
            await queue.flush()
    assert [event for event, _ in log.events] == ["durable_queue_flush_failed"]
    await queue.flush()
    await crash(queue)
    async with opened(tmp_path) as queue:
        assert await drain(queue) == [b"\2"]


@contextmanager
def small_disk(directory: Path, size: int) -> Iterator[None]:
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        unavailable("mounting a small tmpfs needs root and CAP_SYS_ADMIN: sudo pytest")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


async def test_full_disk_refuses_appends_and_works_again_when_space_returns(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2 * MIB):
        async with opened(tmp_path / "disk" / "queue", segment_bytes=256 << 10) as queue:
            refused: BaseException | None = None
            stored = -1
            while refused is None:
                stored += 1
                append = queue.append(stored.to_bytes(2, "big") * 15_000)
                (refused,) = await asyncio.gather(append, return_exceptions=True)
            assert isinstance(refused, DiskFull)
            assert "No space left on device" in str(refused)
            assert stored > 50
            for i in range(20):
                entry = await queue.take()
                assert entry.record == i.to_bytes(2, "big") * 15_000
                await queue.done(entry)
            await queue.flush()
            await queue.append(b"again")
            assert await drain(queue) == [*(i.to_bytes(2, "big") * 15_000 for i in range(20, stored)), b"again"]
        async with opened(tmp_path / "disk" / "queue") as queue:
            assert queue.recovered.quarantined_segments == 0
            assert queue.records == stored - 20 + 1
