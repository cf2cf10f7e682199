"""A real Docker Engine for tests: a daemon of its own with its own folders, bridge and containerd.

with running_docker() as docker:                    # a test skips without root or the package
    async with docker.client() as engine:
        await docker.image(engine, "shell", ["sh", "sleep"])
        container = await docker.run(engine, "shell", ["sleep", "60"])

No other engine of the machine is touched: the daemon gets its own bridge, containerd namespaces and address pool. On
leaving, its containers, mounts, bridge and folders are removed, also after a failure; when the test process is killed,
the daemon ends too.
"""

import asyncio
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from aiohttp import web

from ophion_docker.engine import Engine
from requirement import require, unavailable

INSTALL = "apt-get install -y docker.io"
READY_SECONDS = 60
STOP_SECONDS = 30
_LIBRARY = re.compile(r"(/\S+) \(0x")


class Docker:
    """A running daemon; `address` is its socket as DOCKER_HOST has it."""

    def __init__(self, folder: Path, bridge: str, gateway: str) -> None:
        self.folder = folder
        self.socket = str(folder / "docker.sock")
        self.address = f"unix://{self.socket}"
        self.bridge = bridge
        self.gateway = gateway
        self._images: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    def client(self, **options: Any) -> Engine:
        """Return a client of this daemon, to be opened."""
        return Engine(self.address, **options)

    def has_image(self, name: str) -> bool:
        """Whether `image` has made an image of this name."""
        return name in self._images

    async def image(
        self,
        engine: Engine,
        name: str,
        programs: Sequence[str | Path] = (),
        *,
        files: Mapping[str, bytes | str | Path] | None = None,
        folders: Iterable[str | Path] = (),
        changes: Sequence[str] = (),
    ) -> str:
        """Make the image `name` of programs of this host, once, and return the name; see `write_root`."""
        if name not in self._images:
            with tempfile.TemporaryFile(dir=self.folder) as tar:
                write_root(tar, programs, files or {}, folders)
                tar.seek(0)
                repository, _, tag = name.partition(":")
                await engine.import_image(repository, tar, tag=tag or "latest", changes=changes)
            self._images.add(name)
        return name

    async def run(
        self, engine: Engine, image: str, command: Sequence[str], name: str | None = None, **body: Any
    ) -> str:
        """Start a container and return its id. `body` is the rest of the request: Env, Labels, HostConfig ..."""
        container = await engine.create(name, {"Image": image, "Cmd": list(command), **body})
        await engine.start(container)
        return container

    def start(self) -> None:
        """Start the daemon and wait until it answers; AssertionError with its log when it does not.

        From the main thread: the daemon ends with the thread that started it.
        """
        arguments = [
            "dockerd", "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec"),
            "-p", str(self.folder / "pid"), "-H", self.address, "--bridge", self.bridge,
            "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
            "--containerd-namespace", f"{self.bridge}-moby", "--containerd-plugins-namespace", f"{self.bridge}-plugins",
            "--default-address-pool", f"base={self.gateway.rsplit('.', 2)[0]}.128.0/17,size=24",
        ]  # fmt: skip
        # Should this process be killed, nobody else would end the daemon.
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"dockerd ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"dockerd is not ready: {self.log.read_text()[-3000:]}"
            time.sleep(0.05)

    @property
    def log(self) -> Path:
        """What the daemon wrote."""
        return self.folder / "dockerd.log"

    def stop(self, *, kill: bool = False) -> None:
        """End the daemon, which ends its containers too; those of a killed one live on, and it cannot start again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop the daemon and start it again on the same folders."""
        self.stop()
        self.start()

    def remove_everything(self) -> None:
        """Remove containers, networks, the daemon, its mounts, bridge and folders, whatever state they are in."""
        if self._process is not None and self._process.poll() is None:
            with suppress(OSError, ValueError, http.client.HTTPException):
                self._remove_containers()
        self.stop()
        self._end_containerd()
        for target in reversed(_mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", target], check=False, capture_output=True, timeout=STOP_SECONDS)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True, timeout=STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_containers(self) -> None:
        for container in self._request("GET", "/containers/json?all=1") or ():
            self._request("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        self._request("POST", "/networks/prune")

    def _end_containerd(self) -> None:
        """End what a killed daemon leaves: its containers' processes, their shims and containerd."""
        containers = self.folder / "data" / "containers"
        ids = [path.name for path in containers.iterdir()] if containers.is_dir() else []
        self._kill(ids)
        for group in (path for one in ids for path in Path("/sys/fs/cgroup").glob(f"**/docker/{one}")):
            with suppress(OSError):
                group.rmdir()

    def _kill(self, ids: Sequence[str]) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while (left := _processes_of(ids, str(self.folder))) and time.monotonic() < deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self._request("GET", "/version")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _request(self, method: str, path: str) -> Any:
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path)
            answer = connection.getresponse().read()
        finally:
            connection.close()
        return json.loads(answer) if answer.strip() else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=STOP_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def running_docker() -> Iterator[Docker]:
    """Start a daemon; a test without root or without the package is skipped."""
    require("dockerd", INSTALL)
    require("ip", "apt-get install -y iproute2")
    if os.geteuid() != 0:
        unavailable("needs root to start a Docker Engine of its own")
    folder = Path(tempfile.mkdtemp(prefix="ophion-docker-"))
    bridge, gateway = _new_bridge()
    docker = Docker(folder, bridge, gateway)
    try:
        docker.start()
        yield docker
    finally:
        docker.remove_everything()


Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def serving(folder: Path, handler: Handler) -> AsyncIterator[Engine]:
    """Give a client of something that answers every request by `handler`, for what a real engine does not do on demand.

    Its deadline is 0.3 s.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        result = handler(request)
        response: web.StreamResponse = await result if asyncio.iscoroutine(result) else result
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    path = str(folder / "engine.sock")
    await web.UnixSite(runner, path).start()
    engine = Engine(path, timeout_seconds=0.3)
    try:
        yield engine
    finally:
        await engine.close()
        await runner.cleanup()


def write_root(
    output: IO[bytes],
    programs: Sequence[str | Path],
    files: Mapping[str, bytes | str | Path],
    folders: Iterable[str | Path] = (),
) -> None:
    """Write the tar of a root filesystem.

    `programs` are names or paths of host programs, each put into /bin (a path: also where it is) with the shared
    libraries it loads; `files` maps paths to contents, or to files of the host; `folders` are copied whole.
    """
    with tarfile.open(fileobj=output, mode="w") as tar:
        for name in ("tmp", "etc", "proc", "sys", "dev", "bin", "root"):
            _add_folder(tar, name, 0o1777 if name == "tmp" else 0o755)
        paths = {program: Path(require(str(program), f"the program {program}")) for program in programs}
        for program, path in paths.items():
            tar.add(path.resolve(), f"bin/{path.name}", recursive=False)
            if (isinstance(program, Path) or "/" in str(program)) and path != Path("/bin", path.name):
                _add_link(tar, str(path).lstrip("/"), f"bin/{path.name}")
        for library in sorted(shared_libraries(*(path.resolve() for path in paths.values()))):
            tar.add(Path(library).resolve(), library.lstrip("/"), recursive=False)
        for folder in folders:
            tar.add(folder, str(folder).lstrip("/"), filter=_without_caches)
        for name, content in files.items():
            _add_file(tar, name, content)


def shared_libraries(*programs: Path) -> set[str]:
    """Return the libraries that programs or libraries load, the loader included; none for what is static."""
    if not programs:
        return set()
    found = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, timeout=30, check=False)
    return set(_LIBRARY.findall(found.stdout))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes | str | Path) -> None:
    if isinstance(content, Path):
        tar.add(content.resolve(), name.lstrip("/"), recursive=False)
        return
    data = content.encode() if isinstance(content, str) else content
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size, entry.mode = len(data), 0o755
    tar.addfile(entry, io.BytesIO(data))


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith(("/__pycache__", "/.git")) else entry


def _new_bridge() -> tuple[str, str]:
    """Make a bridge with an address of its own and return both; what killed runs left is removed first."""
    _remove_stale_bridges()
    problem = "no address is free"
    for _ in range(50):
        name = f"opht{os.getpid()}x{random.randrange(99)}"
        gateway = f"10.{random.randrange(200, 250)}.{random.randrange(1, 127)}.1"
        taken = _ip("-4", "addr").stdout + _ip("route").stdout
        if f"{gateway.rsplit('.', 2)[0]}." in taken:
            continue
        made = _ip("link", "add", "name", name, "type", "bridge")
        if made.returncode == 0:
            _ip("addr", "add", f"{gateway}/24", "dev", name)
            _ip("link", "set", name, "up")
            return name, gateway
        problem = made.stderr
    return unavailable(f"needs permission to make a network bridge: {problem}")


def _remove_stale_bridges() -> None:
    for name, owner in re.findall(r": (opht(\d+)x\d+):", _ip("link").stdout):
        if not Path(f"/proc/{owner}").exists():
            _ip("link", "delete", name)


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=STOP_SECONDS)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


def _processes_of(containers: Sequence[str], folder: str) -> list[int]:
    """Return the processes in the cgroups of these containers, and those whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                group, command = (entry / "cgroup").read_text(), (entry / "cmdline").read_bytes()
                if folder.encode() in command or any(container in group for container in containers):
                    found.append(int(entry.name))
    return found
