"""The host whose figures are read: which operating system, and where its /proc and root filesystem are mounted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CHUNK = 65536


class Host:
    """Reads files of one host, the machine itself or one mounted below `root_path`.

    psutil keeps its /proc path in module state, so on Linux the scrapers read `<root_path>/proc` through this object
    and instances with different roots do not disturb one another. Elsewhere they ask psutil.
    """

    def __init__(self, root_path: str = "", platform: str = sys.platform) -> None:
        self.root = root_path.rstrip("/")
        self.platform = platform
        self.proc = f"{self.root}/proc"

    @property
    def linux(self) -> bool:
        """True when figures come from /proc; else they come from psutil."""
        return self.platform == "linux"

    def read(self, name: str) -> bytes:
        """The whole content of `<root>/proc/<name>`. Raises OSError."""
        fd = os.open(f"{self.proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # seq_file answers at most a page or so at a time, whatever is asked for.
            chunks = []
            while chunk := os.read(fd, _CHUNK):
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            os.close(fd)

    def read_short(self, name: str) -> bytes:
        """The content of a file below `<root>/proc` that fits in one read, such as `<pid>/stat`. Raises OSError."""
        fd = os.open(f"{self.proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 4096)
        finally:
            os.close(fd)

    def read_net(self, name: str) -> bytes:
        """`/proc/net/<name>` of the host.

        /proc/net is the reader's own network namespace, so under a root_path that of the host's first process is read.
        """
        if self.root:
            try:
                return self.read(f"1/net/{name}")
            except OSError:
                return self.read(f"net/{name}")
        return self.read(f"net/{name}")

    def counters(self, name: str) -> dict[bytes, int]:
        """Lines of `name value ...` (vmstat, meminfo) by name, without a trailing colon. Raises OSError."""
        rows = (line.split() for line in self.read(name).splitlines())
        return {row[0].rstrip(b":"): int(row[1]) for row in rows if len(row) > 1}

    def pids(self) -> list[int]:
        """Ids of the processes that exist now."""
        return [int(name) for name in os.listdir(self.proc) if name.isdigit()]

    def sys(self, name: str) -> Path:
        """The path of `/sys/<name>` on this host."""
        return Path(f"{self.root}/sys/{name}")

    def boot_time_ns(self) -> int:
        """When the host booted, in Unix nanoseconds. Raises OSError or ValueError."""
        if not self.linux:
            import psutil

            return int(psutil.boot_time() * 1e9)
        for line in self.read("stat").splitlines():
            if line.startswith(b"btime "):
                return int(line.split()[1]) * 1_000_000_000
        raise ValueError(f"{self.proc}/stat: no btime line; is it a Linux /proc?")
