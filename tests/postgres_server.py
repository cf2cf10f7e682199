"""A real PostgreSQL for tests: Debian's, on a free port with its own directory.

with running_postgres() as postgres:
    url = postgres.new_database()
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from requirement import unavailable

INSTALL = "apt-get install -y postgresql"
SECONDS = 60
USER = "postgres"
PASSWORD = "only-for-tests"


class Postgres:
    """A running server."""

    def __init__(self, port: int, binaries: Path) -> None:
        self.port = port
        self._binaries = binaries
        self._numbers = count()
        self._free: list[str] = []

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._run("createdb", name)
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database, which is emptied and used again: each takes 7 MB and a while to make."""
        url = self._free.pop() if self._free else self.new_database()
        yield url
        self._run("psql", "-q", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public", url.rpartition("/")[2])
        self._free.append(url)

    def _run(self, program: str, *arguments: str) -> None:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        _run([str(self._binaries / program), *address, *arguments], environment)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server that keeps its data in a folder of its own; tests without the package are skipped."""
    binaries = _binaries()
    # Not below pytest's folders: those are closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="ophion-postgres-") as folder:
        yield from _serve(binaries, Path(folder))


def _serve(binaries: Path, directory: Path) -> Iterator[Postgres]:
    port = _free_port()
    data = directory / "data"
    data.mkdir()
    password = directory / "password"
    password.write_text(PASSWORD)
    for path in (directory, data, password):
        _give(path)
    control = [*_as_owner(), str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", str(SECONDS)]
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -k '' -c fsync=off -c max_connections=60"
    _run([*_as_owner(), str(binaries / "initdb"), "-D", str(data), "-U", USER, "--no-sync", "-E", "UTF8",
          "--auth=scram-sha-256", f"--pwfile={password}"])  # fmt: skip
    _run([*control, "-l", str(data / "log"), "-o", settings, "start"])
    try:
        yield Postgres(port, binaries)
    finally:
        _run([*control, "-m", "immediate", "stop"])


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    # Debian keeps them out of PATH, a folder per version.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if not versions:
        unavailable(f"needs PostgreSQL: {INSTALL}")
    return versions[-1].parent


def _as_owner() -> list[str]:
    """Return what goes before a command: the server refuses to run as root."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []


def _give(path: Path) -> None:
    if os.getuid() == 0:
        owner = pwd.getpwnam(USER)
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    # A file and no pipe: the server inherits it, and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, env=environment, cwd="/", stdout=output, stderr=output, timeout=SECONDS, check=False
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}: {said}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
