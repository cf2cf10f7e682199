"""A stand-in for a .NET container, with glibc and with musl: no registry has the .NET instrumentation or the runtime.

The application maps a file named libcoreclr.so and loads, as the runtime does, the profiler that CORECLR_* names. What
is proven is what is ours: detection, the payload, the variables, the verification; not OpenTelemetry's .NET packages.
"""

import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from docker_engine import Docker
from ophion_docker.instrument.bundle import build
from ophion_docker.instrument.errors import Refused, RolledBack
from ophion_docker.instrument.verify import Patience
from requirement import require
from tests.plugins.docker.instrument_rig import QUICK, Rig, module_loop, running_rig

pytestmark = module_loop

MUSL_LOADER = Path("/lib/ld-musl-x86_64.so.1")
PROFILER = "OpenTelemetry.AutoInstrumentation.Native.so"
HOOK = "net/OpenTelemetry.AutoInstrumentation.StartupHook.dll"
SOURCE = r"""
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *set(const char *name) { return getenv(name) ? getenv(name) : ""; }

static void report(void) {
    char host[64], body[2048], head[4096];
    int port = 0;
    if (sscanf(set("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://%63[^:]:%d", host, &port) != 2) return;
    snprintf(body, sizeof body,
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"ophion.instrument.id\",\"value\":{\"stringValue\":"
        "\"%s\"}},{\"key\":\"service.name\",\"value\":{\"stringValue\":\"%s\"}}]},\"scopeMetrics\":[{\"metrics\":[{\"name\":"
        "\"dotnet.started\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":\"1\",\"asInt\":\"1\"}]}}]}]}]}",
        set("OPHION_INSTRUMENT_ID"), set("OTEL_SERVICE_NAME"));
    snprintf(head, sizeof head, "POST /v1/metrics HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nContent-Length: %d\r\n\r\n%s", host, (int)strlen(body), body);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0
        && write(connection, head, strlen(head)) > 0)
        while (read(connection, body, sizeof body) > 0) {}
    close(connection);
}

int main(int count, char **arguments) {
    int library = open(arguments[1], O_RDONLY);
    if (library < 0 || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, library, 0) == MAP_FAILED) return 2;
    const char *hook = strrchr(set("DOTNET_STARTUP_HOOKS"), ':');
    hook = hook ? hook + 1 : set("DOTNET_STARTUP_HOOKS");
    if (!strcmp(set("CORECLR_ENABLE_PROFILING"), "1") && access(set("CORECLR_PROFILER_PATH"), R_OK) == 0
        && access(hook, R_OK) == 0)
        report();
    for (;;) pause();
}
"""


def folder_of(version: str) -> str:
    return f"/usr/share/dotnet/shared/Microsoft.NETCore.App/{version}/libcoreclr.so"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("rig")
    release = folder / "release"
    for name in (f"linux-x64/{PROFILER}", f"linux-musl-x64/{PROFILER}", HOOK, "store/x", "AdditionalDeps/x"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text("stand-in")
    build("dotnet", folder / "bundles", release)
    async with running_rig(docker, folder, folder / "bundles") as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def rig(home: Rig, tmp_path: Path) -> AsyncIterator[Rig]:
    async with home.fresh(tmp_path / "state") as rig:
        yield rig


def compiled(folder: Path, options: Sequence[str]) -> Path:
    """Return the application, built in a folder."""
    compiler = require("gcc", "apt-get install -y gcc libc6-dev")
    (folder / "shop.c").write_text(SOURCE)
    command = [compiler, "-O1", "-U_FORTIFY_SOURCE", "-o", folder / "shop", folder / "shop.c", *options]
    subprocess.run(command, check=True, timeout=60)
    return folder / "shop"


async def started(rig: Rig, folder: Path, libc: str, version: str = "8.0.11", *environment: str) -> str:
    """Start the container `net` and return its id."""
    files: dict[str, str | bytes | Path] = {folder_of(one): "\x7fELF" for one in ("8.0.11", "6.0.36")}
    options: list[str] = []
    if libc == "musl":
        require(str(MUSL_LOADER), "apt-get install -y musl")
        files[str(MUSL_LOADER)] = MUSL_LOADER
        # Musl's loader takes itself for every name of the C library.
        options = [f"-Wl,--dynamic-linker={MUSL_LOADER}"]
    files["/app/shop"] = compiled(folder, options)
    image = await rig.docker.image(rig.engine, f"dotnet-{libc}", ["sh"], files=files)
    words = ["/app/shop", folder_of(version)]
    return await rig.docker.run(rig.engine, image, words, "net", StopSignal="SIGKILL", Env=list(environment))


@pytest.mark.parametrize(("libc", "platform"), [("glibc", "linux-x64"), ("musl", "linux-musl-x64")])
async def test_the_variables_of_the_runtime_are_set_for_its_c_library(
    rig: Rig, tmp_path: Path, libc: str, platform: str
) -> None:
    own = ["DOTNET_SHARED_STORE=/own", "PATH=/bin"]
    await started(rig, tmp_path, libc, "8.0.11", *own)
    planned = await rig.instrumentation().plan("net", rig.options())
    assert (planned.runtime.language, planned.runtime.version, planned.runtime.libc) == ("dotnet", "8.0.11", libc)

    outcome = await rig.instrumentation().instrument("net", rig.options())
    assert outcome.language == "dotnet"
    environment = dict(one.split("=", 1) for one in (await rig.engine.inspect("net"))["Config"]["Env"])
    home = "/opt/ophion-instrument"
    expected = {
        "CORECLR_ENABLE_PROFILING": "1",
        "CORECLR_PROFILER": "{918728DD-259F-4A6A-AC2B-B85E1B658318}",
        "CORECLR_PROFILER_PATH": f"{home}/{platform}/{PROFILER}",
        "DOTNET_ADDITIONAL_DEPS": f"{home}/AdditionalDeps",
        "DOTNET_SHARED_STORE": f"/own:{home}/store",
        "DOTNET_STARTUP_HOOKS": f"{home}/{HOOK}",
        "OTEL_DOTNET_AUTO_HOME": home,
        "OTEL_SERVICE_NAME": "net",
    }
    assert {name: environment.get(name) for name in expected} == expected
    resource, _ = await rig.wait_for("metrics", lambda _, metric: metric["name"] == "dotnet.started")
    assert resource["service.name"] == "net"

    await rig.instrumentation().undo("net", patience=QUICK)
    assert (await rig.engine.inspect("net"))["Config"]["Env"] == own


async def test_a_runtime_that_loads_nothing_is_rolled_back(rig: Rig, tmp_path: Path) -> None:
    build("dotnet", tmp_path / "empty", _empty_release(tmp_path))
    original = await started(rig, tmp_path, "glibc")
    options = rig.options(bundles=tmp_path / "empty", patience=Patience(telemetry=1.0))
    with pytest.raises(RolledBack, match=r"net: no telemetry arrived within \d+ s; rolled back, the original runs"):
        await rig.instrumentation().instrument("net", options)
    containers = await rig.engine.containers(every=True)
    assert [(one["Id"], one["State"]) for one in containers] == [(original, "running")]


def _empty_release(folder: Path) -> Path:
    (folder / "release").mkdir()
    (folder / "release/VERSION").write_text("1")
    return folder / "release"


async def test_refuses_an_old_runtime_and_one_that_is_profiled_already(rig: Rig, tmp_path: Path) -> None:
    await started(rig, tmp_path, "glibc", "6.0.36")
    with pytest.raises(Refused, match=r"net: dotnet 6\.0\.36 is not supported, 8 or later is needed"):
        await rig.instrumentation().instrument("net", rig.options())
    await rig.engine.remove("net", force=True)
    await started(rig, tmp_path, "glibc", "8.0.11", "CORECLR_PROFILER={x}")
    with pytest.raises(Refused, match="net: it is instrumented by something else: CORECLR_PROFILER is set"):
        await rig.instrumentation().instrument("net", rig.options())
