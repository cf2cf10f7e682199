"""A `systemctl` for one unit in a folder, for hosts without systemd: starts it as Type=notify does and waits for READY.

    SERVICE_ROOT=/folder python service_manager.py restart ophion-agent

Reads the real unit file; what systemd would isolate is not isolated.
"""

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

START_SECONDS = 60.0


class UnitFile(RawConfigParser):
    """The `[Service]` section; of a key that repeats, the last counts, which is enough here."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment]
        self.read_string(path.read_text())


class Manager:
    """Starts and stops the service of a unit file below `root`."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.unit = root / f"etc/systemd/system/{name}.service"
        self.run = root / "run"
        self.pid_file = self.run / "pid"
        self.enabled = self.run / "enabled"

    def pid(self) -> int | None:
        """The process of the service, if it runs."""
        try:
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        return pid

    def stop(self) -> None:
        """Send SIGTERM and wait for the end."""
        pid = self.pid()
        if pid is not None:
            watched = os.pidfd_open(pid)
            signal.pidfd_send_signal(watched, signal.SIGTERM)
            select.select([watched], [], [], START_SECONDS)
            os.close(watched)
        self.pid_file.unlink(missing_ok=True)

    def start(self) -> bool:
        """Start the service; return whether it said that it is ready."""
        command = shlex.split(UnitFile(self.unit)["Service"]["ExecStart"])
        command = [part.replace("/etc/", f"{self.root}/etc/").replace("/opt/", f"{self.root}/opt/") for part in command]
        address = self.run / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications, (self.run / "log").open("ab") as log:
            notifications.bind(str(address))
            process = subprocess.Popen(
                command, env=self.environment(address), stdout=log, stderr=log, cwd="/", start_new_session=True
            )
            self.pid_file.write_text(str(process.pid))
            return became_ready(notifications, process.pid)

    def environment(self, notify: Path) -> dict[str, str]:
        """What systemd sets for the service."""
        state, runtime = self.root / "var/lib/ophion-agent", self.run / "service"
        runtime.mkdir(exist_ok=True)
        own = {"NOTIFY_SOCKET": str(notify), "STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(runtime)}
        return {"PATH": os.defpath, **own}


def became_ready(notifications: socket.socket, pid: int) -> bool:
    """Wait until the process says READY=1, or ends."""
    process = os.pidfd_open(pid)
    try:
        while True:
            readable, _, _ = select.select([notifications.fileno(), process], [], [], START_SECONDS)
            if notifications.fileno() in readable and b"READY=1" in notifications.recv(4096).splitlines():
                return True
            if not readable or process in readable:
                return False
    finally:
        os.close(process)


def main(arguments: list[str]) -> int:
    """Do what `systemctl` does for the commands that install.sh uses."""
    command, *rest = arguments
    names = [argument for argument in rest if not argument.startswith("-")]
    if command == "daemon-reload":
        return 0
    manager = Manager(Path(os.environ["SERVICE_ROOT"]), names[0])
    if command == "enable":
        manager.enabled.touch()
    elif command == "disable":
        manager.enabled.unlink(missing_ok=True)
        if "--now" in rest:
            manager.stop()
    elif command == "restart":
        manager.stop()
        return 0 if manager.start() else 1
    else:
        raise SystemExit(f"systemctl stand-in: unknown command {command}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
