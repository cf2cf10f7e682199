"""A server from `configs/all-in-one.yaml` in a directory of its own, and its API as a client on this host uses it."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.harness import script
from benchmarks.payloads import Signal
from benchmarks.process import BenchmarkError, Helper, Measured, free_port, machine, wait_until
from benchmarks.systems import installed_program

CONFIG = Path(__file__).parent.parent / "configs" / "all-in-one.yaml"
# Without metrics of the host, what is stored is what was sent.
ONLY_OTLP = ("service.pipelines.metrics.receivers=[otlp]",)
READY_SECONDS = 120.0
TABLES: Mapping[Signal, str] = {"traces": "spans", "logs": "logs", "metrics": "samples"}
SENT: Mapping[Signal, str] = {"traces": "spans", "logs": "log_records", "metrics": "metric_points"}
Parameters = Mapping[str, object]


class Server:
    """The process, on fixed ports, in a directory that outlives it."""

    def __init__(self, directory: Path, *, core: int | None = None, sets: Sequence[str] = ()) -> None:
        self.directory = directory
        self.core = core
        self.grpc, self.http, self.api, self.metrics = (free_port() for _ in range(4))
        self._env = {
            "OTLP_GRPC_PORT": str(self.grpc),
            "OTLP_HTTP_PORT": str(self.http),
            "API_PORT": str(self.api),
            "DASHBOARD_PORT": "0",
            "STATE_DIRECTORY": str(directory / "var"),
        }
        self._sets = [
            "extensions.health_check.endpoint=127.0.0.1:0",
            "extensions.zpages.endpoint=127.0.0.1:0",
            # Query clients of a benchmark are one caller.
            "extensions.auth.rate_limits={caller: null, address: null, anonymous: null}",
            f"extensions.auth.cli_key_file={directory / 'cli.key'}",
            f"service.telemetry.metrics.address=127.0.0.1:{self.metrics}",
            f"service.control.socket={directory / 'control.sock'}",
            *sets,
        ]
        self.ready_seconds = 0.0
        self._process: Measured | None = None
        self._line: http.client.HTTPConnection | None = None

    @property
    def process(self) -> Measured:
        """The running process."""
        if self._process is None:
            raise BenchmarkError("server: is not running")
        return self._process

    @property
    def key(self) -> str:
        """The API key of the command line on this host."""
        return (self.directory / "cli.key").read_text().strip()

    def start(self) -> None:
        """Start the process and return when it is ready; `ready_seconds` tells how long that took."""
        command = [installed_program("ophion-agent"), "run", "--config", str(CONFIG)]
        command += [part for override in self._sets for part in ("--set", override)]
        log = self.directory / "server.log"
        self._process = Measured(command, log, self._env, cwd=self.directory, core=self.core)
        self._process.wait_for_port(self.api, READY_SECONDS)
        wait_until(self._is_ready, READY_SECONDS, "the server ready", 0.02)
        self._process.wait_for_port(self.grpc, READY_SECONDS)
        self.ready_seconds = time.monotonic() - self._process.started

    def _is_ready(self) -> bool:
        self.process.check()
        try:
            return self.ask("GET", "/-/ready")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        """End the process, which may finish its queue."""
        self._hang_up()
        if self._process is not None:
            self._process.stop(60)
            self._process = None

    def kill(self) -> None:
        """End the process as a crash would."""
        self._hang_up()
        self.process.kill()
        self._process = None

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def ask(
        self, method: str, path: str, query: Parameters | None = None, body: object = None, *, seconds: float = 120
    ) -> tuple[int, bytes]:
        """Status and body of one request; OSError when the server cannot be reached."""
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        headers = {"Content-Type": "application/json"}
        if not path.startswith("/-/"):
            headers["Authorization"] = f"Bearer {self.key}"
        payload = None if body is None else json.dumps(body)
        reused = self._line is not None
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self.api, timeout=seconds)
        try:
            self._line.request(method, target, payload, headers)
            response = self._line.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            # The server closes connections on which nothing is asked for a while.
            if reused and isinstance(error, ConnectionError):
                return self.ask(method, path, query, body, seconds=seconds)
            raise OSError(f"{path}: {error}") from error

    def get(self, path: str, **query: object) -> Any:
        """The JSON answer of a GET; BenchmarkError for any status but 200."""
        return self._json("GET", path, query, None)

    def post(self, path: str, body: object) -> Any:
        """The JSON answer of a POST; BenchmarkError for any status but 200."""
        return self._json("POST", path, None, body)

    def _json(self, method: str, path: str, query: Parameters | None, body: object) -> Any:
        status, answer = self.ask(method, path, query, body)
        if status != 200:
            raise BenchmarkError(f"server: {method} {path} {query or body}: {status}: {answer[:500]!r}")
        return json.loads(answer)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Rows and bytes of each table, by name."""
        return {table["table"]: table for table in self.get("/api/store")["tables"]}

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.tables().get(table, {"rows": 0})["rows"])

    def figure(self, name: str) -> float:
        """The sum of the server's own series of this name."""
        line = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=30)
        try:
            line.request("GET", "/metrics")
            text = line.getresponse().read().decode()
        finally:
            line.close()
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def exported(self, signal: Signal) -> int:
        """How many items the exporter has written into the store since the start; cheaper than counting rows."""
        return int(self.figure(f"otelcol_exporter_sent_{SENT[signal]}"))

    def wait_stored(self, table: str, rows: int, seconds: float, every: float = 0.25) -> None:
        """Return when a table has at least `rows` rows; BenchmarkError after `seconds`."""
        found = 0

        def is_there() -> bool:
            nonlocal found
            self.process.check()
            found = self.rows(table)
            return found >= rows

        try:
            wait_until(is_there, seconds, f"{rows:,} rows in {table}", every)
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}: {found:,} are there") from None

    def settle(self, table: str, seconds: float) -> None:
        """Return when a table's size has not changed for ten seconds, which is when merges rest, or after `seconds`."""
        deadline, last, since = time.monotonic() + seconds, -1, time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < 10:
            size = self.tables()[table]["bytes"]
            if size != last:
                last, since = size, time.monotonic()
            time.sleep(1)

    def generator(self, signal: Signal, protocol: str, *more: str, items: int = 512, core: int | None = None) -> Helper:
        """A load generator of fresh requests."""
        target = f"127.0.0.1:{self.grpc if protocol == 'grpc' else self.http}"
        aim = ("--protocol", protocol, "--target", target, "--signal", signal, "--items", str(items), "--fresh")
        return Helper("benchmarks.loadgen", *aim, *more, core=core)


@contextlib.contextmanager
def running(options: argparse.Namespace, *, core: int | None = None, sets: Sequence[str] = ()) -> Iterator[Server]:
    """A server in a directory that is removed afterwards, unless `--keep` names one."""
    scratch = Path(options.keep or tempfile.mkdtemp(prefix="ophion-bench-", dir=options.scratch or None)).resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    server = Server(scratch, core=core, sets=[*sets, *options.sets])
    try:
        server.start()
        yield server
    finally:
        server.stop()
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """The options that every script has which starts a server."""
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="PATH=VALUE", help="override")
    parser.add_argument("--scratch", default="", help="where the server's directory is made and removed; /tmp")
    parser.add_argument("--keep", default="", metavar="DIRECTORY", help="the server's directory, which stays")
    parser.add_argument("--quick", action="store_true", help="a small load, to see that the script works")


def title(name: str, *facts: str) -> None:
    """Print what is measured and where."""
    lines = "".join(f"- {fact}\n" for fact in (machine(), *facts))
    print(f"\n## {name}\n\n{lines}", flush=True)


def header(*names: str) -> str:
    """The head of a table with these columns."""
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def verdict(*, met: bool) -> str:
    """How a goal is judged in a table."""
    return "met" if met else "MISSED"


def program(name: str, install: str) -> str:
    """The path of a program; BenchmarkError with the command that installs it."""
    found = shutil.which(name)
    if found is None:
        raise BenchmarkError(f"{name}: not on this machine; {install}")
    return found


def output(command: Sequence[str]) -> str:
    """What a command prints; a search that finds nothing ends with 1."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise BenchmarkError(f"{command[0]}: {done.stderr[:500]}")
    return done.stdout


def main_of(description: str, options: Callable[[argparse.ArgumentParser], None], body: Callable[..., None]) -> int:
    """Parse the command line of a server script and run it."""
    parser = argparse.ArgumentParser(description=description)
    options(parser)
    add_server_options(parser)
    return script(parser, body)
