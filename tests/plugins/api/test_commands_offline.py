"""`ophion-agent server backup|restore|check|export` on the files of a stopped server, and archives."""

import asyncio
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from api_serving import serve
from command_line import Done, Part, run_command
from ophion_agent.plugin import OphionError
from ophion_api.archive import HEAD, MANIFEST, ArchiveWriter, unpack, written
from telemetry_sample import logs_request
from telemetry_store import ingest, running_store

STOPPED = ("--url", "http://127.0.0.1:1")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def config_of(folder: Path) -> str:
    """Write the configuration of a server whose files are in `folder`."""
    document = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:0"}}}},
        "exporters": {"clickhouse": None},
        "extensions": {
            "telemetry_store": {"directory": str(folder / "telemetry")},
            "control_store": {"directory": str(folder / "control")},
        },
        "service": {
            "extensions": ["telemetry_store", "control_store"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["clickhouse"]}},
        },
    }
    folder.mkdir(exist_ok=True)
    path = folder / "server.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


async def test_restores_into_a_stopped_server_what_a_stopped_server_had(tmp_path: Path) -> None:
    async with running_store(tmp_path / "first") as store:
        await ingest(store, "logs", logs_request().SerializeToString())
    first, second = config_of(tmp_path / "first"), config_of(tmp_path / "second")
    archive = str(tmp_path / "backup.tar.zst")

    def run(*arguments: str) -> Done:
        done = run_command("server", *arguments)
        assert done.code == 0, done.err
        return done

    def commands() -> tuple[Done, ...]:
        backed_up = run("backup", "--config", first, "--output", archive, *STOPPED)
        restored = run("restore", "--config", second, archive)
        checked = run("check", "--config", second, *STOPPED)
        folder = str(tmp_path / "export")
        exported = run("export", "--config", second, "--output", folder, "--signal", "logs", *STOPPED)
        again = run_command("server", "restore", "--config", second, archive, "--only", "telemetry_store")
        forced = run("restore", "--config", second, archive, "--only", "telemetry_store", "--force")
        return backed_up, restored, checked, exported, again, forced

    backed_up, restored, checked, exported, again, forced = await asyncio.to_thread(commands)

    assert "no server answers" in backed_up.err
    assert "working on its files" in backed_up.err
    assert restored.out == "control_store: restored\ntelemetry_store: restored\n"
    assert checked.out == "no damage found\n"
    assert sum(int(line.rpartition(": ")[2].split()[0]) for line in exported.lines) == 206
    assert again.code == 1
    assert "must have no telemetry of the tenants to be restored, got some of default" in again.err
    assert forced.out == "telemetry_store: restored\n"


def test_says_that_a_stopped_server_needs_its_configuration(tmp_path: Path) -> None:
    done = run_command("server", "check", *STOPPED)

    assert done.code == 1
    assert "; give --config to work on a server that is stopped" in done.err


async def test_says_that_the_server_lacks_the_extension() -> None:
    async with serve([]) as server:
        done = await asyncio.to_thread(run_command, "server", "check", "--url", server.url)

    assert done.code == 1
    assert "the server needs the extension `server_admin` for this" in done.err


# ---- archives


async def archive_of(tmp_path: Path, *parts: Part) -> Path:
    path = tmp_path / "archive.tar.zst"
    sources = {part.type_name: part for part in parts}
    pieces = [piece async for piece in written(sources, {"ophion_version": "9.9"}, tmp_path / "work")]
    await asyncio.to_thread(path.write_bytes, b"".join(pieces))
    return path


async def test_an_archive_is_a_tar_that_other_programs_read(tmp_path: Path) -> None:
    archive = await archive_of(tmp_path, Part("a"), Part("b", b""))

    plain = zstandard.ZstdDecompressor().stream_reader(archive.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    assert names == [HEAD, "a/deep/file", "b/deep/file", MANIFEST]
    assert manifest["files"]["b/deep/file"]["bytes"] == 0
    assert manifest["parts"] == ["a", "b"]


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def repacked(*entries: tuple[str, bytes]) -> Callable[[bytes], bytes]:
    def pack(_: bytes) -> bytes:
        writer = ArchiveWriter({})
        return b"".join(writer._entry(name, content) for name, content in entries) + writer._zstd.flush()

    return pack


def head(**values: Any) -> tuple[str, bytes]:
    return HEAD, json.dumps({"format": "ophion-backup", "version": 1, "ophion_version": "9.9", **values}).encode()


def manifest(**values: Any) -> tuple[str, bytes]:
    return MANIFEST, head(files={}, parts=[], **values)[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_off, "is damaged or no backup|has no manifest, so it was cut off"),
        (flip, "is damaged or no backup|is missing or not as it was written|has no manifest"),
        (lambda _: b"", "is damaged or no backup|has no manifest"),
        (lambda _: b"plain text", "is damaged or no backup: .*; use another"),
        (repacked(head()), "has no manifest, so it was cut off; use another"),
        (repacked(head(), ("a/file", b"x"), manifest()), "a/file is missing or not as it was written; use another"),
        (repacked(head(version=2)), r"must be of version 1 or older, got 2; install the version of ophion-agent that"),
        (repacked(head(format="zip")), "is damaged or no backup: it says so itself; use another"),
        (repacked(head(), ("../evil", b"x"), manifest()), "holds '../evil', which no backup does; use another"),
        (repacked(head(), ("/evil", b"x"), manifest()), "holds '/evil', which no backup does; use another"),
    ],
    ids=["cut", "flipped", "empty", "text", "no manifest", "extra file", "newer", "foreign", "up", "absolute"],
)
async def test_refuses_an_archive_that_is_not_whole(
    tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    archive = await archive_of(tmp_path, Part("a", bytes(range(256)) * 4000))
    await asyncio.to_thread(archive.write_bytes, change(archive.read_bytes()))
    config = config_of(tmp_path / "server")

    done = await asyncio.to_thread(run_command, "server", "restore", "--config", config, str(archive))

    assert done.code == 1
    with pytest.raises(OphionError, match=message):
        unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "server" / "telemetry").exists(), "nothing is written before the archive is checked"
    assert [name for name in names_in(tmp_path) if name.startswith("ophion-restore-")] == []


async def test_restore_refuses_parts_that_are_not_there(tmp_path: Path) -> None:
    archive = str(await archive_of(tmp_path, Part("a")))
    config = config_of(tmp_path / "server")

    only = await asyncio.to_thread(run_command, "server", "restore", "--config", config, archive, "--only", "b")
    none = await asyncio.to_thread(run_command, "server", "restore", "--config", config, str(tmp_path / "none" / "x"))

    assert (only.code, none.code) == (2, 2)
    assert "--only: the archive holds a, got b; choose one of them" in only.err
    assert "cannot be unpacked: No such file or directory; name an archive that is there" in none.err
