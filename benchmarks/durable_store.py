"""What a durable sending queue costs on this machine: SQLite (WAL, FULL), LMDB and the segment log, in one run.

Every store gets the same records from the same number of concurrent asyncio appenders, commits them in groups (one
durable commit for all that wait), then hands them all out and acknowledges them. Printed per store and record size:
append MB/s, read+ack MB/s, CPU-seconds (user and system) per million spans of 370 bytes and its ratio to the segment
log, and what the files hold after everything was acknowledged. `our queue` is the segment log with all that makes it a
queue: it hands out and takes back record by record, where the bare stores move groups. `hop` appends and delivers at
the same time, as a sending queue does whose destination keeps up; a memory queue gives the floor.

    python benchmarks/durable_store.py [--megabytes 256] [--appenders 32] [--directory DIR] [--crash] [--corruption]

`--directory` must be on the disk to be judged (not tmpfs). `--crash` kills a writer with SIGKILL per store and looks
for acknowledged records that are gone; `--corruption` flips bits inside each store's file and counts what is still
readable. LMDB is skipped when missing (`pip install lmdb`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SPAN_BYTES = 370
SIZES = (4_000, 40_000, 200_000)
GROUP_BYTES = 4 << 20


class Silent:
    """A logger that keeps quiet."""

    def warning(self, event: str, **fields: Any) -> None:
        """Drop the event."""


class Store(Protocol):
    """A synchronous store, used from one thread at a time."""

    def commit(self, records: list[bytes]) -> None:
        """Make the records durable, in order."""

    def read(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Return the next records after those already read."""

    def ack(self, positions: list[int]) -> None:
        """Forget delivered records durably."""

    def close(self) -> None:
        """Release the files."""


class SqliteStore:
    """One table of blobs; WAL with an fsync per commit."""

    def __init__(self, directory: Path) -> None:
        self._db = sqlite3.connect(directory / "queue.db", check_same_thread=False, isolation_level=None)
        for pragma in ("page_size=16384", "auto_vacuum=INCREMENTAL", "journal_mode=WAL"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS q (id INTEGER PRIMARY KEY, record BLOB NOT NULL)")
        self._last = 0

    def commit(self, records: list[bytes]) -> None:
        """Insert the group in one transaction."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO q(record) VALUES (?)", [(record,) for record in records])
        self._db.execute("COMMIT")

    def read(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Walk the primary key."""
        found: list[tuple[int, bytes]] = []
        rows = self._db.execute("SELECT id, record FROM q WHERE id > ? ORDER BY id", (self._last,))
        while limit_bytes > 0 and (row := rows.fetchone()):
            found.append(row)
            limit_bytes -= len(row[1])
        rows.close()
        if found:
            self._last = found[-1][0]
        return found

    def ack(self, positions: list[int]) -> None:
        """Delete a range and give the pages back."""
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM q WHERE id BETWEEN ? AND ?", (positions[0], positions[-1]))
        self._db.execute("COMMIT")
        # execute() would step the pragma once, which frees one page.
        self._db.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Checkpoint and close."""
        self._db.close()


class LmdbStore:
    """One B+tree keyed by sequence number; every commit is an msync."""

    def __init__(self, directory: Path) -> None:
        import lmdb

        self._env = lmdb.open(str(directory), map_size=8 << 30, sync=True, metasync=True)
        with self._env.begin() as view:
            self._next = view.stat()["entries"]
        self._last = -1

    def commit(self, records: list[bytes]) -> None:
        """Append the group in one write transaction."""
        with self._env.begin(write=True) as change:
            for record in records:
                change.put(self._next.to_bytes(8, "big"), record, append=True)
                self._next += 1

    def read(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Walk the keys with a cursor."""
        found: list[tuple[int, bytes]] = []
        with self._env.begin() as view, view.cursor() as cursor:
            there = cursor.set_range((self._last + 1).to_bytes(8, "big"))
            while there and limit_bytes > 0:
                record = bytes(cursor.value())
                found.append((int.from_bytes(cursor.key(), "big"), record))
                limit_bytes -= len(record)
                there = cursor.next()
        if found:
            self._last = found[-1][0]
        return found

    def ack(self, positions: list[int]) -> None:
        """Delete the keys in one write transaction."""
        with self._env.begin(write=True) as change:
            for position in positions:
                change.delete(position.to_bytes(8, "big"))

    def close(self) -> None:
        """Close the map."""
        self._env.close()


class LogStore:
    """The segment files of the durable queue, without the queue."""

    def __init__(self, directory: Path) -> None:
        from ophion_agent.durable.acked import Acked
        from ophion_agent.durable.segments import Segment, SegmentWriter

        self._directory = directory
        self._writer = SegmentWriter(directory, 0, 16 << 20)
        self._segments: deque[Segment] = deque()
        self._acked = Acked()
        self._offset = self._next = 0

    def commit(self, records: list[bytes]) -> None:
        """Append the group with one flush."""
        written = self._writer.write(records)
        if not self._segments or self._segments[-1] is not written.segment:
            self._segments.append(written.segment)
        written.segment.next = written.first + len(records)
        written.segment.end = written.offsets[-1]

    def read(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Read ahead in the oldest file."""
        from ophion_agent.durable.format import FILE_HEADER_BYTES
        from ophion_agent.durable.segments import read_segment

        segment = self._segments[0]
        offset = self._offset or FILE_HEADER_BYTES
        chunk = read_segment(segment, offset, self._next, segment.end, limit_bytes)
        self._offset, self._next = chunk.offset, chunk.position
        return chunk.frames

    def ack(self, positions: list[int]) -> None:
        """Store the delivered set and remove the file that it covers."""
        from ophion_agent.durable.segments import persist

        self._acked.add(positions[0], positions[-1] + 1)
        finished = [self._segments.popleft()] if self._acked.cursor >= self._segments[0].next else []
        self._offset = 0 if finished else self._offset
        persist(self._directory, self._acked.encode(), finished)

    def close(self) -> None:
        """Seal the newest file."""
        self._writer.close()


class Queue(Protocol):
    """What the harness drives."""

    async def append(self, record: bytes) -> None:
        """Return when durable."""

    async def drain(self, count: int) -> None:
        """Take and acknowledge `count` records."""

    async def close(self) -> None:
        """Release everything."""


class GroupCommit:
    """A `Store` behind asyncio appenders: whoever waits while a commit runs shares the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def append(self, record: bytes) -> None:
        """Join the next group."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._running is None:
            self._running = asyncio.create_task(self._commit())
        await done

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._store.commit, [record for record, _ in group])
            for _, done in group:
                done.set_result(None)
        self._running = None

    async def drain(self, count: int) -> None:
        """Read and acknowledge in groups."""
        loop = asyncio.get_running_loop()
        while count > 0:
            found = await loop.run_in_executor(self._thread, self._store.read, GROUP_BYTES)
            await loop.run_in_executor(self._thread, self._store.ack, [position for position, _ in found])
            count -= len(found)

    async def close(self) -> None:
        """Stop the thread and the store."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()


class MemoryQueue:
    """The floor: a deque."""

    def __init__(self) -> None:
        self._records: deque[bytes] = deque()

    async def append(self, record: bytes) -> None:
        """Keep a reference."""
        self._records.append(record)

    async def drain(self, count: int) -> None:
        """Drop references."""
        for _ in range(count):
            self._records.popleft()

    async def close(self) -> None:
        """Nothing to release."""


class Durable:
    """The queue that Ophion uses."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    @classmethod
    async def open(cls, directory: Path) -> Durable:
        """Open the queue in a directory."""
        from ophion_agent.durable import DurableQueue

        return cls(await DurableQueue.open(directory, max_bytes=8 << 30, log=Silent()))

    async def append(self, record: bytes) -> None:
        """Join the next group."""
        await self._queue.append(record)

    async def drain(self, count: int) -> None:
        """Take and mark as done, one by one, as a sending queue does."""
        for _ in range(count):
            await self._queue.done(await self._queue.take())

    async def close(self) -> None:
        """Close the queue."""
        await self._queue.close()


async def open_memory(directory: Path) -> Queue:
    """Open the floor."""
    return MemoryQueue()


async def open_sqlite(directory: Path) -> Queue:
    """Open SQLite behind group commit."""
    return GroupCommit(SqliteStore(directory))


async def open_log(directory: Path) -> Queue:
    """Open segment files behind group commit."""
    return GroupCommit(LogStore(directory))


async def open_lmdb(directory: Path) -> Queue:
    """Open LMDB behind group commit."""
    return GroupCommit(LmdbStore(directory))


STORES: dict[str, Callable[[Path], Awaitable[Queue]]] = {
    "memory": open_memory,
    "segment log": open_log,
    "lmdb": open_lmdb,
    "sqlite": open_sqlite,
    "our queue": Durable.open,
}


@dataclass(slots=True)
class Cost:
    """Wall and CPU seconds (user and system, all threads) of one phase."""

    wall: float = 0.0
    cpu: float = 0.0


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Fill in the cost of the body."""
    cost, wall, cpu = Cost(), time.perf_counter(), time.process_time()
    yield cost
    cost.wall, cost.cpu = time.perf_counter() - wall, time.process_time() - cpu


async def append_all(queue: Queue, record: bytes, count: int, appenders: int) -> None:
    """Append `count` records from several tasks, each waiting for its own before the next."""
    numbers = iter(range(count))

    async def appender() -> None:
        for _ in numbers:
            await queue.append(record)

    await asyncio.gather(*(appender() for _ in range(appenders)))


async def run_hop(queue: Queue, record: bytes, count: int, appenders: int) -> None:
    """Append and deliver at the same time: what a sending queue does while its destination keeps up."""
    await asyncio.gather(append_all(queue, record, count, appenders), queue.drain(count))


def stored_megabytes(directory: Path) -> float:
    """Return the size of all files."""
    return sum(path.stat().st_size for path in directory.iterdir()) / 1e6


async def measure(name: str, size: int, total: int, appenders: int, parent: Path) -> list[float]:
    """Return append MB/s, read MB/s, CPU-seconds per million spans for append, read and hop, and MB left on disk."""
    directory = Path(tempfile.mkdtemp(dir=parent))
    count, record = max(total // size, appenders), os.urandom(size)
    spans = count * size / SPAN_BYTES / 1e6
    try:
        queue = await STORES[name](directory)
        with measured() as append:
            await append_all(queue, record, count, appenders)
        with measured() as read:
            await queue.drain(count)
        hop = Cost()
        if isinstance(queue, Durable):
            with measured() as hop:
                await run_hop(queue, record, count, appenders)
        await queue.close()
        left = stored_megabytes(directory)
    finally:
        shutil.rmtree(directory)
    nbytes = count * size / 1e6
    return [nbytes / append.wall, nbytes / read.wall, append.cpu / spans, read.cpu / spans, hop.cpu / spans, left]


def print_costs(total: int, appenders: int, parent: Path) -> None:
    """Print the table of costs."""
    head = ("append", "read+ack", "append", "read+ack", "sum", "x log", "hop", "left MB")
    print(f"{'':22}{'MB/s':>20}{'CPU-s per million spans of ' + str(SPAN_BYTES) + ' B':>44}")
    print(f"{'record':>8}  {'store':12}" + "".join(f"{title:>10}" for title in head))
    for size in SIZES:
        rows = {name: asyncio.run(measure(name, size, total, appenders, parent)) for name in available()}
        base = sum(rows["segment log"][2:4])
        for name, (append, read, append_cpu, read_cpu, hop, left) in rows.items():
            both = append_cpu + read_cpu
            hop_text = f"{hop:10.3f}" if hop else f"{'':10}"
            print(
                f"{size:>8}  {name:12}{append:10.0f}{read:10.0f}{append_cpu:10.3f}{read_cpu:10.3f}"
                f"{both:10.3f}{both / base:10.2f}{hop_text}{left:10.1f}"
            )


def available() -> list[str]:
    """Return the stores that can run here."""
    return [name for name in STORES if name != "lmdb" or find_spec("lmdb")]


CONTENDERS = [name for name in ("lmdb", "sqlite") if name in available()]


# ---- crash and corruption


async def write_numbers(name: str, directory: Path) -> None:
    """Append numbered records for ever and print each number when it is acknowledged."""
    queue = await STORES[name](directory)

    async def appender(lane: int) -> None:
        for number in range(1 << 40):
            key = b"%d-%d" % (lane, number)
            await queue.append(key.ljust(4000, b"."))
            os.write(1, key + b"\n")

    await asyncio.gather(*(appender(lane) for lane in range(8)))


async def read_back(name: str, directory: Path) -> set[bytes]:
    """Return every record that the store still yields."""
    if name == "our queue":
        return await read_log(directory)
    store: Store = SqliteStore(directory) if name == "sqlite" else LmdbStore(directory)
    found: set[bytes] = set()
    while records := store.read(GROUP_BYTES):
        found.update(record for _, record in records)
    store.close()
    return found


async def read_log(directory: Path) -> set[bytes]:
    """Return every record that the segment log yields; the count shrinks when reading meets damage."""
    from ophion_agent.durable import DurableQueue

    queue = await DurableQueue.open(directory, max_bytes=8 << 30, log=Silent())
    found: set[bytes] = set()
    while len(found) < queue.records:
        entry = queue.take_nowait()
        if entry is None:
            await asyncio.sleep(0)
        else:
            found.add(entry.record)
    await queue.close()
    return found


def kill_writer(name: str, directory: Path, acknowledgements: int) -> set[bytes]:
    """Kill a writing process after some acknowledgements; returns the keys that it acknowledged."""
    command = [sys.executable, __file__, "--write", name, "--directory", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledgements)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    return {line[:-1] for line in lines if line.endswith(b"\n")}


def print_crashes(parent: Path, rounds: int = 5) -> None:
    """Print how many acknowledged records were missing after kill -9."""
    for name in ("our queue", *CONTENDERS):
        acknowledged = missing = 0
        for number in range(rounds):
            directory = Path(tempfile.mkdtemp(dir=parent))
            keys = kill_writer(name, directory, 500 + 700 * number)
            found = {record.rstrip(b".") for record in asyncio.run(read_back(name, directory))}
            acknowledged, missing = acknowledged + len(keys), missing + len(keys - found)
            shutil.rmtree(directory)
        print(f"kill -9   {name:12} {rounds} rounds, {acknowledged} acknowledged, {missing} of them missing")


async def write_some(name: str, directory: Path, records: list[bytes]) -> None:
    """Store the records and close."""
    queue = await STORES[name](directory)
    await asyncio.gather(*(queue.append(record) for record in records))
    await queue.close()


def damaged_read(name: str, directory: Path) -> bytes:
    """Read a damaged store in a process of its own, which may die; prints its records as hex."""
    command = [sys.executable, __file__, "--read", name, "--directory", str(directory)]
    return subprocess.run(command, capture_output=True, check=False).stdout


def print_corruption(parent: Path, rounds: int = 12) -> None:
    """Flip 8 bits in the largest file and print what of 1000 records comes back intact, altered or not at all."""
    for name in ("our queue", *CONTENDERS):
        generator = random.Random(7)
        records = [generator.randbytes(4000) for _ in range(1000)]
        intact, altered, nothing = 0, 0, 0
        for _ in range(rounds):
            directory = Path(tempfile.mkdtemp(dir=parent))
            asyncio.run(write_some(name, directory, records))
            path = max(directory.iterdir(), key=lambda file: file.stat().st_size)
            content = bytearray(path.read_bytes())
            for _ in range(8):
                content[generator.randrange(min(len(content), 4_000_000))] ^= 1 << generator.randrange(8)
            path.write_bytes(content)
            found = {bytes.fromhex(line.decode()) for line in damaged_read(name, directory).split()}
            intact, altered = intact + len(found & set(records)), altered + len(found - set(records))
            nothing += not found
            shutil.rmtree(directory)
        print(
            f"bit rot   {name:12} {rounds} stores of 1000 records, 8 flips each: on average {intact / rounds:.1f} "
            f"intact, {altered / rounds:.1f} silently altered; {nothing} stores gave nothing"
        )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="What a durable sending queue costs here.")
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--appenders", type=int, default=32)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--crash", action="store_true", help="kill a writer with SIGKILL per store")
    parser.add_argument("--corruption", action="store_true", help="flip bits in each store")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        asyncio.run(write_numbers(options.write, options.directory))
    elif options.read:
        for record in asyncio.run(read_back(options.read, options.directory)):
            print(record.hex())
    else:
        print(
            f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, "
            f"{options.appenders} appenders"
        )
        print_costs(options.megabytes * 1_000_000, options.appenders, options.directory)
        if options.crash:
            print_crashes(options.directory)
        if options.corruption:
            print_corruption(options.directory)


if __name__ == "__main__":
    main()
