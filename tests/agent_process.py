"""The real agent for tests: `ophion-agent run` in a process of its own, on free ports, in a directory of its own.

    async with AgentProcess(tmp_path / "agent", config) as agent:
        url = agent.endpoint("otlp", "http")
        await agent.wait_for_metric("otelcol_receiver_accepted_spans", 1)

Ports that the configuration leaves at 0 are read from the agent's log. A killed agent can be started again: it keeps
its directory, and its ports where the configuration names them (`free_port`).
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

READY_SECONDS = 110.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on and that the kernel gives to no outgoing connection."""
    for port in random.sample(range(10_000, 32_000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port found between 10000 and 32000")


async def eventually(
    condition: Callable[[], Awaitable[Any]] | Callable[[], Any], what: str | Callable[[], str], seconds: float = 30.0
) -> Any:
    """Return the first true value of `condition`; AssertionError with `what` when none came in time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                if isinstance(value, Awaitable):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}") from None


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `ophion-agent` with these arguments, run by the Python of the tests."""
    return [sys.executable, "-m", "ophion_agent.cli", *map(str, arguments)]


class Finished:
    """A command that has ended."""

    def __init__(self, returncode: int, stdout: bytes, stderr: bytes) -> None:
        self.returncode = returncode
        self.stdout = stdout.decode()
        self.stderr = stderr.decode()


async def execute(
    *arguments: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None, seconds: float = 60.0
) -> Finished:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, stdout, stderr)


class AgentProcess:
    """One agent with a directory of its own: `agent.yaml`, `agent.log`, the control socket, whatever it writes."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | str,
        *,
        sets: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.config_file = directory / "agent.yaml"
        self.log_file = directory / "agent.log"
        self.socket = directory / "control.sock"
        metrics_port = free_port()
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self._sets = [
            "service.telemetry.logs.encoding=json",
            f"service.telemetry.metrics.address=127.0.0.1:{metrics_port}",
            f"service.control.socket={self.socket}",
            *sets,
        ]
        self._environ = dict(environ or {})
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0
        directory.mkdir(parents=True, exist_ok=True)
        self.configure(config)

    # ---- run

    def configure(self, config: Mapping[str, Any] | str) -> None:
        """Write the configuration file; a running agent reads it at `reload`."""
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False)
        self.config_file.write_text(text, encoding="utf-8")

    async def start(self) -> Self:
        """Start the process and return once it is ready; AssertionError with its log when it ends instead."""
        await self.launch()
        await self._alive(lambda: " is running\n" in self.log(), "the banner", READY_SECONDS)
        return self

    async def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        sets = [argument for override in self._sets for argument in ("--set", override)]
        with self.log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command("run", "--config", self.config_file, *sets),
                cwd=self.directory,
                env={**os.environ, **self._environ},
                stdout=output,
                stderr=output,
            )

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process, running or ended."""
        assert self._process is not None, "the agent was not started"
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.returncode is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """End the process as a crash would."""
        if self.is_running:
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """End the process with SIGTERM and return its exit code; it is killed, and the test fails, when it hangs."""
        if self.is_running:
            self.send_signal(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        """Return the exit code once the process has ended by itself."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"the agent did not end within {STOP_SECONDS:g} s:\n{self.log()}") from None

    async def reload(self) -> dict[str, Any]:
        """Send SIGHUP and return the event that says how it went."""
        outcomes = ("reloaded", "reload_refused", "reload_failed")
        seen = sum(len(self.events(outcome)) for outcome in outcomes)
        self.send_signal(signal.SIGHUP)

        def outcome() -> dict[str, Any] | None:
            found = [event for name in outcomes for event in self.events(name)]
            return max(found, key=lambda event: event["ts"]) if len(found) > seen else None

        event: dict[str, Any] = await self._alive(outcome, "the outcome of a reload")
        return event

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self._end()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        if self.is_running:
            await self.stop()

    # ---- what it says

    def log(self) -> str:
        """Return what the process has written since its last start."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_bytes()[self._log_start :].decode(errors="replace")

    def events(self, name: str = "", **facts: Any) -> list[dict[str, Any]]:
        """Return the log events of the last start with this name and these facts."""
        lines = [line for line in self.log().splitlines(keepends=True) if line.startswith("{") and line.endswith("}\n")]
        events = [json.loads(line) for line in lines]
        wanted = {**({"event": name} if name else {}), **facts}
        return [event for event in events if wanted.items() <= event.items()]

    async def wait_for_event(self, name: str, seconds: float = 30.0, **facts: Any) -> dict[str, Any]:
        """Return the last event of this name and these facts once there is one."""
        events = await self._alive(lambda: self.events(name, **facts), f"event {name} {facts}", seconds)
        last: dict[str, Any] = events[-1]
        return last

    async def _alive(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        def checked() -> Any:
            value = condition()
            assert value or self.is_running, f"the agent ended with {self.process.returncode}:\n{self.log()}"
            return value

        return await eventually(checked, lambda: f"{what}; the agent's log:\n{self.log()}", seconds)

    def port(self, component: str, protocol: str = "") -> int:
        """Return the port that a component listens on."""
        facts = {"protocol": protocol} if protocol else {}
        for event in reversed(self.events(component=component, **facts)):
            if "port" in event:
                return int(event["port"])
            if "url" in event:
                return int(re.findall(r":(\d+)", event["url"])[-1])
        raise AssertionError(f"{component} {protocol} tells of no port; the agent's log:\n{self.log()}")

    def endpoint(self, component: str, protocol: str) -> str:
        """Return where a receiver listens: `127.0.0.1:PORT` for grpc, `http://127.0.0.1:PORT` for http."""
        scheme = "http://" if protocol == "http" else ""
        return f"{scheme}127.0.0.1:{self.port(component, protocol)}"

    def address(self, component: str) -> str:
        """Return the URL that the agent's banner shows for a component."""
        shown = re.findall(rf"^  {re.escape(component)} +(\S+)$", self.log(), re.MULTILINE)
        assert shown, f"the banner has no {component}; the agent's log:\n{self.log()}"
        return str(shown[-1])

    def peak_rss_bytes(self) -> int:
        """Return the most resident memory that the process had; Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the agent's own series of this name whose labels include the given ones."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics_url) as response:
            text = await response.text()
        return sum(
            float(value)
            for found, facts, value in _SAMPLE.findall(text)
            if found == name and labels.items() <= dict(_LABEL.findall(facts)).items()
        )

    async def wait_for_metric(self, name: str, least: float, **labels: str) -> float:
        """Return the value of `metric` once it is at least `least`."""

        async def reached() -> float | None:
            value = await self.metric(name, **labels)
            return value if value >= least else None

        value: float = await eventually(reached, lambda: f"{name} {labels} >= {least}; log:\n{self.log()}")
        return value
