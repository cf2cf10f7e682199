import asyncio
import json
import os
import re
import resource
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from pydantic import ValidationError

from ophion_agent.otlp_json import decode
from ophion_agent.plugin import Logs, OphionError, RetryableError, Traces
from ophion_agent.testing import (
    EPOCH_NS,
    ManualClock,
    check_component,
    make_component,
    make_logs,
    make_metrics,
    make_traces,
)
from ophion_exporters.file import FileConfig, FileExporter
from ophion_exporters.rotation import RotationPolicy, backup_path, outdated_backups


@asynccontextmanager
async def running(path: Path, clock: ManualClock | None = None, **options: Any) -> Any:
    exporter = make_component(FileExporter, {"path": str(path), **options}, clock=clock)
    try:
        await exporter.start()
        yield exporter
    finally:
        await exporter.stop()


def frames(data: bytes) -> list[bytes]:
    """Split length-prefixed records."""
    records = []
    while data:
        size = int.from_bytes(data[:4], "big")
        records.append(data[4 : 4 + size])
        data = data[4 + size :]
    return records


def span_names(path: Path) -> list[str]:
    """Return the name of the first span of each line."""
    requests = [decode(line, Traces.request_type) for line in path.read_bytes().splitlines()]
    return [request.resource_spans[0].scope_spans[0].spans[0].name for request in requests]


def listing(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def named(name: str) -> Traces:
    batch = make_traces()
    next(iter(batch.edit().records())).name = name
    return batch


@contextmanager
def file_size_limit(nbytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond `nbytes`: the kernel writes what fits, then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_keeps_the_contract(tmp_path: Path) -> None:
    await check_component(FileExporter, {"path": str(tmp_path / "out.json")})


async def test_writes_a_json_document_a_line_for_every_signal(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    batches = [make_traces(2), make_metrics(3), make_logs(1)]
    async with running(path) as exporter:
        for batch in batches:
            await exporter.export(batch)
        lines = path.read_bytes().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["resourceSpans", "resourceMetrics", "resourceLogs"]
    for line, batch in zip(lines, batches, strict=True):
        assert decode(line, batch.request_type) == batch.view().message


async def test_writes_length_prefixed_requests_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    batches = [make_traces(2), make_logs(1)]
    async with running(path, format="proto") as exporter:
        for batch in batches:
            await exporter.export(batch)
    assert frames(path.read_bytes()) == [batch.payload for batch in batches]


@pytest.mark.parametrize("record_format", ["json", "proto"])
async def test_compresses_each_request_by_itself(tmp_path: Path, record_format: str) -> None:
    path = tmp_path / "out.zst"
    batch = make_logs(50)
    async with running(path, format=record_format, compression="zstd") as exporter:
        await exporter.export(batch)
        await exporter.export(batch)
    bodies = [zstandard.ZstdDecompressor().decompress(frame) for frame in frames(path.read_bytes())]
    parse = Logs.request_type.FromString if record_format == "proto" else lambda body: decode(body, Logs.request_type)
    assert [parse(body) for body in bodies] == [batch.view().message] * 2


@pytest.mark.parametrize(("options", "kept"), [({}, False), ({"append": True}, True), ({"rotation": None}, True)])
async def test_a_restart_empties_the_file_unless_told_to_keep_it(
    tmp_path: Path, options: dict[str, Any], kept: bool
) -> None:
    path = tmp_path / "out.json"
    for name in ("first", "second"):
        async with running(path, **options) as exporter:
            await exporter.export(named(name))
    assert span_names(path) == (["first", "second"] if kept else ["second"])


async def test_concurrent_batches_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with running(path, fsync=True) as exporter:
        await asyncio.gather(*[exporter.export(named(f"span-{n}")) for n in range(40)])
    assert sorted(span_names(path)) == sorted(f"span-{n}" for n in range(40))


async def test_stop_writes_what_is_under_way(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with running(path) as exporter:
        exports = asyncio.gather(*[exporter.export(named(f"span-{n}")) for n in range(20)])
        await asyncio.sleep(0)
        await exporter.stop()
        await exports
        with pytest.raises(RetryableError, match="not running"):
            await exporter.export(named("late"))
    assert len(span_names(path)) == 20


@pytest.mark.parametrize("record_format", ["json", "proto"])
async def test_a_record_that_does_not_fit_is_taken_back_and_can_be_retried(tmp_path: Path, record_format: str) -> None:
    path = tmp_path / "out"
    small, large = make_logs(1), make_logs(200)
    async with running(path, format=record_format) as exporter:
        await exporter.export(small)
        written = path.read_bytes()
        with file_size_limit(len(written) + 100), pytest.raises(RetryableError, match=r"exporter file: .*out: "):
            await exporter.export(large)
        assert path.read_bytes() == written
        await exporter.export(large)
        assert path.read_bytes().startswith(written)
        assert path.stat().st_size > len(written) + len(large.payload)


async def test_rotates_before_the_limit_and_keeps_the_newest_backups(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    clock = ManualClock(1_767_366_245_000_000_000)
    batch = make_logs(1, padding="x" * 400_000)
    async with running(path, clock, rotation={"max_megabytes": 1, "max_backups": 2}) as exporter:
        for _ in range(9):
            await exporter.export(batch)
            await clock.advance(1)
    backups = [name for name in listing(tmp_path) if name != "out.json"]
    assert backups == ["out-2026-01-02T15-04-11.000.json", "out-2026-01-02T15-04-13.000.json"]
    assert all((tmp_path / name).stat().st_size <= 1024 * 1024 for name in backups)
    assert all(json.loads(line) for name in backups for line in (tmp_path / name).read_bytes().splitlines())


async def test_a_batch_larger_than_the_limit_gets_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with running(path, rotation={"max_megabytes": 1}) as exporter:
        for padding in (10, 2_000_000, 10):
            await exporter.export(make_logs(1, padding="x" * padding))
    assert len(listing(tmp_path)) == 3


def test_names_backups_without_ever_replacing_one(tmp_path: Path) -> None:
    path = tmp_path / "data"
    first = backup_path(path, EPOCH_NS, localtime=False)
    first.touch()
    assert first.name == "data-2023-11-14T22-13-20.000"
    assert backup_path(path, EPOCH_NS, localtime=False).name == "data-2023-11-14T22-13-20.001"


def test_drops_backups_by_age_and_leaves_other_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    for name in ("data-2023-11-11T00-00-00.000.json", "data-2023-11-14T00-00-00.000.json", "data-x.json", "data.json"):
        (tmp_path / name).touch()
    policy = RotationPolicy(max_bytes=1, max_backups=0, max_days=2, localtime=False)
    outdated = outdated_backups(path, policy, EPOCH_NS)
    assert [entry.name for entry in outdated] == ["data-2023-11-11T00-00-00.000.json"]


async def test_a_file_moved_away_by_logrotate_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with running(path) as exporter:
        await exporter.export(named("before"))
        path.rename(tmp_path / "out.json.1")
        await exporter.export(named("after"))
    assert span_names(tmp_path / "out.json.1") == ["before"]
    assert span_names(path) == ["after"]


async def test_a_second_writer_of_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    async with running(path) as exporter:
        await exporter.export(named("kept"))
        with pytest.raises(
            OphionError, match=r"exporters\.file\.path: .*out\.json: is written by another exporter or agent; "
        ):
            async with running(path):
                pass
        assert span_names(path) == ["kept"]


@pytest.mark.parametrize(
    ("tail", "kept"), [(b'{"resourceSpans":[{"sco', b""), (b'{"resourceSpans":[]}', b'{"resourceSpans":[]}\n')]
)
async def test_a_line_left_unfinished_by_a_crash_is_removed(tmp_path: Path, tail: bytes, kept: bytes) -> None:
    path = tmp_path / "out.json"
    path.write_bytes(b'{"resourceLogs":[]}\n' + tail)
    async with running(path, append=True):
        pass
    assert path.read_bytes() == b'{"resourceLogs":[]}\n' + kept


async def test_a_length_prefixed_record_left_unfinished_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    whole = b"\x00\x00\x00\x02ab"
    for tail in (b"\x00", b"\x00\x00\x00\x05abc"):
        path.write_bytes(whole + tail)
        async with running(path, append=True, format="proto"):
            pass
        assert path.read_bytes() == whole


@pytest.mark.parametrize(("record_format", "content"), [("json", b"a\n\x00\x01"), ("proto", b'{"resourceLogs":[]}\n')])
async def test_never_cuts_a_file_that_holds_something_else(tmp_path: Path, record_format: str, content: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(OphionError, match="choose another path"):
        async with running(path, append=True, format=record_format):
            pass
    assert path.read_bytes() == content


async def test_creates_directories_with_the_permissions_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "out.json"
    with pytest.raises(OphionError, match="No such file or directory"):
        async with running(path):
            pass
    async with running(path, create_directory=True, directory_permissions="0700"):
        pass
    assert [oct(directory.stat().st_mode & 0o777) for directory in (path.parent, path.parent.parent)] == ["0o700"] * 2


async def test_writes_to_a_device(tmp_path: Path) -> None:
    async with running(Path("/dev/null")) as exporter:
        await exporter.export(make_logs())
    async with running(Path("/dev/full")) as exporter:
        with pytest.raises(RetryableError, match="exporter file: /dev/full: No space left on device"):
            await exporter.export(make_logs())


async def test_starting_in_a_directory_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OphionError, match="Not a directory"):
        async with running(tmp_path / "file" / "out.json"):
            pass
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path\n  Field required"),
        ({"path": ""}, "must name a file, got nothing"),
        ({"path": "x", "format": "xml"}, "Input should be 'json' or 'proto'"),
        ({"path": "x", "compression": "gzip"}, "Input should be '', 'none' or 'zstd'"),
        (
            {"path": "x", "directory_permissions": "0888"},
            "must be an octal mode in quotes such as \"0755\", got '0888'",
        ),
        ({"path": "x", "directory_permissions": 493}, 'must be an octal mode in quotes such as "0755", got 493'),
        ({"path": "x", "group_by": {"enabled": True}}, "writing one file per resource is not supported; use a file"),
        ({"path": "x", "rotation": {"max_megabytes": -1}}, "greater than or equal to 0"),
    ],
)
def test_refuses_a_config_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        FileConfig.model_validate(options)


def test_null_sections_take_the_defaults() -> None:
    config = FileConfig.model_validate({"path": "x", "rotation": None, "group_by": None})
    assert config.rotation is not None
    assert config.rotation.policy() == RotationPolicy(100 * 1024 * 1024, 100, 0, False)
    assert FileConfig.model_validate({"path": "x"}).rotation is None
