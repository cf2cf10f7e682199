"""The load generator and the figures of `benchmarks.instrument_overhead`; a run itself takes minutes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import docker_stats, instrument_overhead
from benchmarks.http_load import Load, content_length
from benchmarks.instrument_overhead import COLUMNS, Figures, table_rows
from benchmarks.process import BenchmarkError

ROUND = Figures(
    ready_seconds=0.5, idle_rss=30, rss=40, anonymous=20, rate=1000, cpu_ms=1.0, paced_cpu_ms=2.0, p50=1, p99=9, spans=0
)


class Application(BaseHTTPRequestHandler):
    """Answers `/` with a 200 and anything else with a 500."""

    def do_GET(self) -> None:
        status = 200 if self.path == "/" else 500
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class KeepingAlive(Application):
    """Takes several requests on a connection."""

    protocol_version = "HTTP/1.1"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def load_of(port: int, path: str = "/") -> Load:
    return Load("127.0.0.1", port, f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode(), 4)


@pytest.mark.parametrize("handler", [Application, KeepingAlive])
async def test_load_counts_answers_with_and_without_keeping_connections(handler: type[Application]) -> None:
    with serving(handler) as port:
        found = await load_of(port).run(0.2, 0)
    assert found["errors"] == 0
    assert found["requests"] > 4
    assert 0 < found["p50"] <= found["p99"] <= found["max"]


async def test_load_keeps_to_its_rate() -> None:
    with serving(KeepingAlive) as port:
        found = await load_of(port).run(0.5, 100)
    assert found["errors"] == 0
    assert 10 <= found["requests"] <= 54


async def test_load_counts_failed_requests() -> None:
    with serving(Application) as port:
        assert (await load_of(port, "/elsewhere").run(0.1, 0))["errors"] > 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        found = await load_of(nobody.getsockname()[1]).run(0.1, 0)
    assert (found["requests"], found["errors"] > 0) == (0, True)


def test_length_of_an_answer_is_found_in_its_head() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\nX-Length: 9\r\ncontent-length: 5") == 5
    assert content_length(b"HTTP/1.1 200 OK") is None


def test_rows_show_median_spread_and_ratio() -> None:
    before = [replace(ROUND, rate=rate) for rate in (900.0, 1100.0, 1000.0)]
    after = [replace(ROUND, rate=rate, spans=1.0) for rate in (800.0, 700.0, 750.0)]
    rows = [row.strip("| ").split(" | ") for row in table_rows("shop", before, after)]
    column = 2 + list(COLUMNS).index("rate")
    assert [row[:2] for row in rows] == [["shop", "before"], ["shop", "instrumented"], ["shop", "ratio"]]
    assert [row[column] for row in rows] == ["1,000 (900-1,100)", "750 (700-800)", "0.75 x"]


def test_one_round_shows_no_spread_and_nothing_has_no_ratio() -> None:
    rows = table_rows("shop", [ROUND], [replace(ROUND, spans=1.0)])
    assert "| 0.50 | 30 | 40 |" in rows[0]
    assert rows[2].endswith("1.00 x |  |")


def test_every_figure_has_a_column() -> None:
    assert list(COLUMNS) == list(Figures.__dataclass_fields__)


def test_unknown_application_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["instrument_overhead", "--applications", "cobol"])
    assert instrument_overhead.main() == 1
    assert "FAILED: cobol: unknown; of: flask, gunicorn, node" in capsys.readouterr().out


def test_what_the_machine_lacks_is_a_failure_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BenchmarkError, match=r"docker: needs dockerd: apt-get install -y docker\.io"):
        docker_stats.running_docker().__enter__()
    with pytest.raises(BenchmarkError, match=r"absent: No module named 'absent'; pip install -r requirements/dev\.txt"):
        docker_stats.of_tests("absent")
