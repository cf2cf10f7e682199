"""`ophion-agent server backup|check|export` by a running server, and `server import`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api_serving import serve
from command_line import CommandShop, Part, command_shop, run_command
from ophion_agent.otlp_json import decode
from ophion_agent.plugin import OphionError
from ophion_agent.server import Call, Overloaded, Permission, Route
from ophion_api.archive import unpack
from ophion_api.otlp_export import Export
from telemetry_sample import NOW, SECOND, traces_request

REQUESTS = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CommandShop]:
    async with command_shop(tmp_path_factory.mktemp("backup")) as running:
        yield running


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- a running server


@module_loop
async def test_backup_of_a_running_server_holds_every_part(shop: CommandShop, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar.zst"

    done = await shop.run("server", "backup", "--output", str(target))

    assert done.code == 0, done.err
    assert done.out.startswith(f"{target}: ")
    assert target.stat().st_mode & 0o777 == 0o600
    unpacked = unpack(target, tmp_path / "unpacked")
    assert unpacked.parts == ["control_store", "telemetry_store"]
    assert unpacked.manifest["ophion_version"]
    assert (tmp_path / "unpacked" / "control_store" / "deep" / "file").read_bytes() == b"x" * 3_000_000
    assert shop.audit.records[-1] == ("admin", "backup.create", "control_store, telemetry_store")
    assert names_in(shop.keys / "backups") == []
    assert names_in(tmp_path) == ["backup.tar.zst", "unpacked"]


@module_loop
async def test_backup_never_overwrites(shop: CommandShop, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")

    done = await shop.run("server", "backup", "--output", str(tmp_path / "there"))
    nowhere = await shop.run("server", "backup", "--output", str(tmp_path / "none" / "there"))

    assert (done.code, nowhere.code) == (2, 2)
    assert f"--output: {tmp_path / 'there'} exists; choose another name" in done.err
    assert "cannot be written: No such file or directory; choose another place" in nowhere.err
    assert (tmp_path / "there").read_text() == "precious"


@module_loop
async def test_backup_that_fails_leaves_no_file(
    shop: CommandShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_self: Part, _directory: Path) -> None:
        raise OphionError("the disk is full")

    monkeypatch.setattr(Part, "backup", fail)
    done = await shop.run("server", "backup", "--output", str(tmp_path / "new"))

    assert done.code == 1
    assert "the connection broke" in done.err
    assert names_in(tmp_path) == []


@module_loop
async def test_check_tells_damage_by_its_exit_code(shop: CommandShop, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await shop.run("server", "check")
    monkeypatch.setattr(shop.parts[0], "problems", ["part 7 is damaged"])
    damaged = await shop.run("server", "check")

    assert (whole.code, whole.out) == (0, "no damage found\n")
    assert (damaged.code, damaged.out) == (1, "part 7 is damaged\n")


@module_loop
@pytest.mark.parametrize("command", ["backup", "check", "export"])
async def test_administration_is_for_administrators_of_the_default_tenant(
    shop: CommandShop, tmp_path: Path, command: str
) -> None:
    more = {"check": [], "export": ["--output", str(tmp_path)], "backup": ["--output", str(tmp_path / "x")]}[command]
    reader = await shop.run("server", command, *more, key="reader")
    stranger = await shop.run("server", command, *more, key="stranger")

    assert (reader.code, stranger.code) == (1, 1)
    assert 'this needs the permission "admin"' in reader.err
    assert "only administrators of the tenant default may do this" in stranger.err


@module_loop
async def test_one_backup_at_a_time(shop: CommandShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_self: Part, _directory: Path) -> None:
        begun.set()
        await go_on.wait()

    monkeypatch.setattr(Part, "backup", wait)
    first = asyncio.create_task(shop.run("server", "backup", "--output", str(tmp_path / "first")))
    await asyncio.wait_for(begun.wait(), 30)
    second = await shop.run("server", "check")
    go_on.set()

    assert (await first).code == 0
    assert second.code == 1
    assert "a backup or a check runs already; wait until it ends (409)" in second.err


@module_loop
@pytest.mark.parametrize("form", ["proto", "json"])
async def test_export_writes_a_file_per_signal_and_day_that_holds_everything(
    shop: CommandShop, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ophion_api.otlp_export._PAGE_ITEMS", 50)

    done = await shop.run("server", "export", "--output", str(tmp_path), "--format", form)

    assert done.code == 0, done.err
    files = [tmp_path / name for name in names_in(tmp_path)]
    assert len(done.lines) == len(files)
    assert {path.name.partition("-")[0] for path in files} == {"traces", "metrics", "logs"}
    spans = [item for path in files for request in requests_in(path) for item in spans_of(request)]
    assert len(spans) == 160
    assert sorted(map(canonical, spans)) == sorted(map(canonical, spans_of(traces_request())))
    assert sum(len(list(requests_in(path))) for path in files if path.name.startswith("traces")) > 3
    records = sum(
        len(scope.log_records)
        for path in files
        for request in requests_in(path)
        if isinstance(request, ExportLogsServiceRequest)
        for group in request.resource_logs
        for scope in group.scope_logs
    )
    assert records == 206


def requests_in(path: Path) -> Iterator[Any]:
    kind = REQUESTS[path.name.partition("-")[0]]
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        yield from (decode(line, kind) for line in data.splitlines())
        return
    while data:
        length = int.from_bytes(data[:4], "big")
        yield kind.FromString(data[4 : 4 + length])
        data = data[4 + length :]


def canonical(span: Any) -> bytes:
    """Return the span's bytes; a status without anything in it is as good as none."""
    if not span.status.ByteSize():
        span.ClearField("status")
    data: bytes = span.SerializeToString(deterministic=True)
    return data


def spans_of(request: Any) -> list[Any]:
    if not isinstance(request, ExportTraceServiceRequest):
        return []
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


@module_loop
async def test_export_of_a_range_and_a_tenant(shop: CommandShop, tmp_path: Path) -> None:
    none = await shop.run(
        "server", "export", "--output", str(tmp_path), "--signal", "logs", "--from", "now-90d", "--to", "now-80d"
    )
    unknown = await shop.run("server", "export", "--output", str(tmp_path), "--tenant", "nobody")
    backwards = await shop.run("server", "export", "--output", str(tmp_path), "--from", "now", "--to", "now-1h")
    wrong = await shop.run("server", "export", "--output", str(tmp_path), "--tenant", "../x")

    assert (none.code, none.out) == (0, "")
    assert unknown.code == 1
    assert "tenant nobody: has no telemetry; choose another" in unknown.err
    assert (backwards.code, wrong.code) == (2, 2)
    assert "--from: must be before --to, got now and now-1h" in backwards.err
    assert "--tenant: must be 1-40 of a-z, 0-9 and _" in wrong.err


@module_loop
async def test_a_single_instant_that_is_larger_than_a_page_is_exported_whole(
    shop: CommandShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ophion_api.otlp_export._PAGE_ITEMS", 2)
    export = Export(shop.store, "default", "logs")
    instant = NOW - 3100 * SECOND

    data = b"".join([piece async for piece in export.records(instant - 1, instant + 1, "proto")])

    request = ExportLogsServiceRequest.FromString(data[4:])
    assert [record.body.string_value for record in request.resource_logs[0].scope_logs[0].log_records] == [
        "the same"
    ] * 5


# ---- import


class Receiver:
    """Takes OTLP, after it was busy once."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str]] = []
        self.is_busy = True

    def routes(self) -> list[Route]:
        return [Route("POST", f"/v1/{signal}", self._take, Permission.INGEST, body=bytes) for signal in REQUESTS]

    async def _take(self, call: Call) -> None:
        if self.is_busy:
            self.is_busy = False
            raise Overloaded("busy")
        self.taken.append((call.headers["content-type"], call.raw, call.principal.subject))


async def test_import_sends_what_export_wrote(tmp_path: Path) -> None:
    payload = traces_request().SerializeToString()
    (tmp_path / "traces-2026-01-31.otlp.pb").write_bytes(len(payload).to_bytes(4, "big") + payload)
    (tmp_path / "logs-2026-01-31.otlp.jsonl").write_bytes(b'{"resourceLogs": []}\n\n{}\n')
    (tmp_path / "notes.txt").write_text("not telemetry")
    (tmp_path / "key").write_text("writer")
    receiver = Receiver()

    async with serve(receiver.routes()) as server:
        arguments = ("server", "import", str(tmp_path), "--endpoint", server.url, "--key-file", str(tmp_path / "key"))
        done = await asyncio.to_thread(run_command, *arguments)

    assert done.code == 0, done.err
    assert [line.partition(": ")[2] for line in done.lines] == ["2 requests sent", "1 requests sent"]
    assert [(kind, len(body)) for kind, body, _ in receiver.taken] == [
        ("application/json", 21),
        ("application/json", 3),
        ("application/x-protobuf", len(payload)),
    ]
    assert {subject for *_, subject in receiver.taken} == {"writer"}


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("data.bin", b"", 2, "must be an export, such as traces-2026-01-31.otlp.pb"),
        ("logs-2026-01-31.otlp.pb", b"\0\0\0\x05abc", 1, "is damaged after 7 bytes; export it again"),
        ("logs-2026-01-31.otlp.pb", b"\xff\xff\xff\xffabc", 1, "is damaged after 4 bytes; export it again"),
    ],
)
def test_import_refuses_what_is_no_export(tmp_path: Path, name: str, content: bytes, code: int, message: str) -> None:
    (tmp_path / name).write_bytes(content)

    done = run_command("server", "import", str(tmp_path / name), "--endpoint", "http://127.0.0.1:1")

    assert done.code == code
    assert message in done.err
