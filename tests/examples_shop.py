"""Builds the applications of `examples/` and runs them.

shop = build("nodejs")
async with running(shop, tmp_path, {"OTEL_SERVICE_NAME": "till"}) as process:
    await process.get("/order")

A build is kept in the cache of the tests until a file of the example changes.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from agent_process import eventually, free_port
from requirement import require, unavailable
from tests.plugins.docker.instrument_images import build_once

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
GO_NEEDED = (1, 24)
GO_TOOLCHAIN = "1.24.13"
# Commands that fail where no registry can be reached; any other has to succeed.
FETCHES = ("ci", "-m", "--batch-mode", "mod")
_MADE = {"node_modules", "target", ".venv", "__pycache__"}
_KINDS = {"spans": "Spans", "logRecords": "Logs", "metrics": "Metrics"}


@dataclass(frozen=True)
class Shop:
    """A built example: the command that starts it, and variables that it needs."""

    command: list[str]
    environ: dict[str, str] = field(default_factory=dict)


def build(language: str) -> Shop:
    """Return an example, built; a test without the toolchain or a registry is skipped."""
    return _BUILDERS[language](EXAMPLES / f"otel-{language}")


def files_of(example: Path) -> list[Path]:
    """Return the files of an example without those that a build makes."""
    return sorted(path for path in example.rglob("*") if path.is_file() and _MADE.isdisjoint(path.parts))


def _built(example: Path, *commands: list[str], environ: Mapping[str, str] | None = None) -> Path:
    """Return a copy of an example in which the commands were run."""
    digest = hashlib.sha256()
    for path in files_of(example):
        digest.update(str(path.relative_to(example)).encode() + path.read_bytes())

    def make(folder: Path) -> None:
        shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_MADE))
        for command in commands:
            _run(command, folder, environ or {})

    return build_once(f"example-{example.name}-{digest.hexdigest()[:16]}", make)


def _run(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=280, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or (command[1] in FETCHES and "COMPILATION ERROR" not in said), said
    if done.returncode != 0:
        unavailable(f"{' '.join(command)}: needs a package registry: {said[-1500:]}")
    return done.stdout


def _nodejs(example: Path) -> Shop:
    node, npm = (require(name, "apt-get install -y nodejs npm") for name in ("node", "npm"))
    folder = _built(example, [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    return Shop([node, str(folder / "shop.js")])


def _python(example: Path) -> Shop:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", "packages"]
    folder = _built(example, [*install, "-r", "requirements.txt"])
    return Shop([sys.executable, str(folder / "shop.py")], {"PYTHONPATH": str(folder / "packages")})


def _java(example: Path) -> Shop:
    java = require("java", "apt-get install -y openjdk-17-jdk-headless")
    maven = require("mvn", "apt-get install -y maven")
    folder = _built(example, [maven, "--batch-mode", "--quiet", "package"])
    return Shop([java, "-jar", str(folder / "target/shop.jar")])


def _go(example: Path) -> Shop:
    go = str(go_program())
    commands = [go, "mod", "download"], [go, "build", "-o", "shop", "."]
    folder = _built(example, *commands, environ={"GOTOOLCHAIN": "local"})
    return Shop([str(folder / "shop")])


_BUILDERS: Mapping[str, Callable[[Path], Shop]] = {"nodejs": _nodejs, "python": _python, "java": _java, "go": _go}


def go_program() -> Path:
    """Return Go: this host's when it is new enough, or else the one that its own `go` takes from the module proxy."""
    installed = require("go", "apt-get install -y golang-go")
    found = re.search(r"go(\d+)\.(\d+)", _run([installed, "version"], EXAMPLES, {}))
    assert found, "go version names no version"
    if (int(found[1]), int(found[2])) >= GO_NEEDED:
        return Path(installed)

    def fetch(folder: Path) -> None:
        system, machine = _run([installed, "env", "GOOS", "GOARCH"], EXAMPLES, {}).split()
        module = f"golang.org/toolchain@v0.0.1-go{GO_TOOLCHAIN}.{system}-{machine}"
        downloaded = json.loads(_run([installed, "mod", "download", "-json", module], folder, {}))
        shutil.copytree(downloaded["Dir"], folder, dirs_exist_ok=True)
        _make_usable(folder)

    return build_once(f"go-{GO_TOOLCHAIN}", fetch) / "bin/go"


def _make_usable(toolchain: Path) -> None:
    """Files of modules come read-only, and none can be executed."""
    for path in (toolchain, *toolchain.rglob("*")):
        programs = path.is_dir() or path.parent.name == "bin" or "pkg/tool/" in path.as_posix()
        path.chmod(0o755 if programs else 0o644)


@dataclass
class RunningShop:
    """A started example."""

    process: asyncio.subprocess.Process
    url: str
    log: Path

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of an answer."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()

    async def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        self.process.terminate()
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def running(shop: Shop, folder: Path, environ: Mapping[str, str]) -> AsyncIterator[RunningShop]:
    """Start an example and wait until it listens; it is killed on leaving when it still runs."""
    port = free_port()
    # Of the tests' own environment nothing may reach the SDK.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    log = folder / "shop.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *shop.command,
            env={**inherited, **shop.environ, **environ, "PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    started = RunningShop(process, f"http://127.0.0.1:{port}", log)
    try:
        await eventually(lambda: _listens(started, port), lambda: f"listening; its log:\n{log.read_text()}", 20)
        yield started
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _listens(shop: RunningShop, port: int) -> bool:
    assert shop.process.returncode is None, f"ended with {shop.process.returncode}:\n{shop.log.read_text()}"
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        return True
    return False


def plain(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return attributes of OTLP-JSON as a dict of their values, integers as text."""
    return {item["key"]: next(iter(item["value"].values())) for item in attributes}


@dataclass(frozen=True)
class Received:
    """What an agent wrote to a file of OTLP-JSON lines."""

    file: Path

    def pairs(self, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield (resource attributes, item) of all `spans`, `logRecords` or `metrics`."""
        for line in self.file.read_text().splitlines() if self.file.exists() else ():
            for group in json.loads(line).get(f"resource{_KINDS[kind]}", ()):
                resource = plain(group["resource"]["attributes"])
                for scope in group[f"scope{_KINDS[kind]}"]:
                    yield from ((resource, item) for item in scope[kind])

    def spans(self) -> dict[str, dict[str, Any]]:
        """Return the spans by name."""
        return {span["name"]: span for _, span in self.pairs("spans")}

    def logs(self) -> dict[str, dict[str, Any]]:
        """Return the log records by body."""
        return {record["body"]["stringValue"]: record for _, record in self.pairs("logRecords")}

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return the newest report of each metric by name."""
        return {metric["name"]: metric for _, metric in self.pairs("metrics")}

    def resources(self) -> list[dict[str, Any]]:
        """Return the resource of every item of every signal."""
        return [resource for kind in _KINDS for resource, _ in self.pairs(kind)]
