"""A Java container for real, with the published agent: idle, it reports by its metrics; a request makes a span."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from docker_engine import Docker, shared_libraries
from requirement import require
from tests.plugins.docker.instrument_rig import Rig, build_once, bundles, running_rig

SOURCE = """
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
MODULES = "java.base,jdk.httpserver,java.logging,java.instrument,java.management,jdk.unsupported,java.naming,java.sql"


@pytest.fixture
async def rig(docker: Docker, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_rig(docker, tmp_path, bundles("java")) as rig:
        yield rig


def java_application() -> Path:
    """Return a folder with a small Java runtime in `jre` and the compiled application."""
    for tool in ("javac", "jlink"):
        require(tool, "apt-get install -y openjdk-17-jdk-headless")

    def build(folder: Path) -> None:
        (folder / "Shop.java").write_text(SOURCE)
        subprocess.run(["javac", "Shop.java"], cwd=folder, timeout=120, check=True)
        link = ["jlink", "--add-modules", MODULES, "--strip-debug", "--no-man-pages", "--output", "jre"]
        subprocess.run(link, cwd=folder, timeout=120, check=True)

    return build_once("java-application", build)


def foreign_libraries(application: Path) -> dict[str, Path]:
    """Return the libraries that the runtime loads from outside of its folder and that a shell does not."""
    programs = [application / "jre/bin/java", *application.rglob("*.so")]
    libraries = {library for path in programs for library in shared_libraries(path)}
    libraries -= shared_libraries(Path(require("sh", "a shell")).resolve())
    return {library: Path(library) for library in sorted(libraries) if not library.startswith(str(application))}


@pytest.mark.timeout(300)
async def test_java_reports_when_idle_and_traces_requests(rig: Rig) -> None:
    application = java_application()
    files = foreign_libraries(application)
    image = await rig.docker.image(rig.engine, "java", ["sh"], files=files, folders=[application])
    java = str(application / "jre/bin/java")
    await rig.docker.run(rig.engine, image, [java, "-cp", str(application), "Shop"], "till", StopTimeout=2)
    assert await rig.get("till", "/hello") == "hello"

    done = await rig.cli("till", "--wait-span", "0", "--timeout", "90")
    assert done.returncode == 0, done.stdout + done.stderr + await rig.logs("till")
    assert "found java 17." in done.stdout

    assert await rig.get("till", "/hello") == "hello"
    resource, span = await rig.wait_for("spans", lambda _, span: span["name"].startswith("GET"))
    assert resource["service.name"] == "till"
    _, record = await rig.wait_for("logRecords", lambda _, record: record["body"] == {"stringValue": "greeting"})
    assert record["traceId"] == span["traceId"]

    undone = await rig.cli("--undo", "till")
    assert undone.returncode == 0, undone.stderr
