"""Child processes of a benchmark: started, asked through stdin, measured in CPU time and memory, and stopped."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


class BenchmarkError(Exception):
    """A part of the benchmark did not start, did not answer in time, or lost items."""


def cpu_clock(pid: int) -> float:
    """User and system time of all threads of a process, seconds, in nanoseconds; /proc counts in 10 ms ticks.

    The clock id is that of clock_getcpuclockid(3) on Linux: the inverted pid and CPUCLOCK_SCHED.
    """
    return time.clock_gettime((~pid << 3) | 2)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every: float = 0.01) -> float:
    """Seconds until `condition()` held; raises BenchmarkError naming `what` after `seconds`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise BenchmarkError(f"{what}: not within {seconds:g} s")
        time.sleep(every)
    return time.monotonic() - started


def pin(pid: int, core: int | None) -> None:
    """Keep a process that has just started, and the threads it will start, on one core; None leaves it free."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """`p50`, `p95`, `p99` and `max` of what was measured; zeros of nothing."""
    ordered = sorted(values) or [0.0]
    last = len(ordered) - 1
    return {name: ordered[round(last * share)] for name, share in QUANTILES.items()}


def machine() -> str:
    """One line naming the processor, the cores, the memory and the Python of this machine."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor() or platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


class Measured:
    """A running system under test: its whole process tree in CPU-seconds, and its memory."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        core: int | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._stream = log.open("ab")
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            self.command, stdout=self._stream, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd
        )
        self.process = psutil.Process(self.popen.pid)
        pin(self.popen.pid, core)

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants that are alive."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of the tree since it started, children that ended included, seconds."""
        ended = self.process.cpu_times()
        return sum(cpu_clock(process.pid) for process in self.tree()) + ended.children_user + ended.children_system

    def rss(self) -> int:
        """Resident memory of the tree, bytes."""
        return sum(process.memory_info().rss for process in self.tree())

    def peak_rss(self) -> int:
        """The highest resident memory that the kernel saw for the main process, bytes."""
        return self.status_kib("VmHWM") * 1024

    def status_kib(self, field: str) -> int:
        """A figure of the kernel's status of the main process, KiB."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:"))

    def check(self) -> None:
        """Raise BenchmarkError with the end of its log when the process is gone."""
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{self.command[0]}: exited with {self.popen.returncode}; its log ends:\n{tail}")

    def wait_for_port(self, port: int, seconds: float = 30.0) -> float:
        """Seconds since the start until 127.0.0.1:`port` accepted a connection."""

        def ready() -> bool:
            self.check()
            return accepts(port)

        wait_until(ready, seconds, f"{self.command[0]} listening on {port}", 0.005)
        return time.monotonic() - self.started

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, no chance to flush."""
        self.popen.kill()
        self.popen.wait()
        self._stream.close()

    def stop(self, seconds: float = 20.0) -> None:
        """End it with SIGTERM, and with SIGKILL when it takes longer than `seconds`."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Helper:
    """One of the benchmark's own processes (`benchmarks.sink`, `benchmarks.loadgen`): commands in, JSON lines out."""

    def __init__(self, module: str, *arguments: str, core: int | None = None) -> None:
        self.module = module
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pin(self.popen.pid, core)
        self.hello = self.read()

    def read(self) -> dict[str, Any]:
        """The next answer."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self.module}: ended with {self.popen.wait()} instead of answering")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def send(self, command: str) -> None:
        """Give a command without waiting for its answer."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(command + "\n")
        self.popen.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command and return its answer."""
        self.send(command)
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        assert self.popen.stdout is not None
        self.popen.stdout.close()
