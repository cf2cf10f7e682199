"""Everything that is found out about a container before it is touched. Raises Refused, and changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ophion_docker.engine import Engine
from ophion_docker.engine_errors import NotFound
from ophion_docker.instrument.agent import Agent
from ophion_docker.instrument.bundle import Bundle
from ophion_docker.instrument.detect import Runtime, choose, detect
from ophion_docker.instrument.errors import Refused
from ophion_docker.instrument.layer import lost_paths
from ophion_docker.instrument.procfs import PROC, Process, descendants
from ophion_docker.instrument.reach import find_endpoint
from ophion_docker.instrument.refuse import check_container, check_foreign_agent, container_name
from ophion_docker.instrument.verify import PATIENCE, Patience

_SHOWN_PATHS = 5
_START_SECONDS = 5.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """How to instrument. `language` empty: the only one found. `port` 0: the agent's own OTLP/HTTP port.

    `commit_changes` keeps what the container wrote into its own layer by making an image of it, `force` tries again
    after a roll-back.
    """

    bundles: Path
    language: str = ""
    port: int = 0
    commit_changes: bool = False
    force: bool = False
    patience: Patience = PATIENCE
    proc: Path = PROC


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found: enough to instrument, and to say what would be done."""

    inspect: Mapping[str, Any]
    runtime: Runtime
    endpoint: str
    bundle: Bundle
    moved_image: str
    lost: tuple[str, ...]

    @property
    def name(self) -> str:
        """The container's name."""
        return container_name(self.inspect)


async def survey(engine: Engine, agent: Agent, inspect: Mapping[str, Any], options: Options) -> Survey:
    """Look at a container; raises Refused with the reason and the remedy, BundleError without a bundle."""
    name = container_name(inspect)
    check_container(inspect, await _all_containers(engine))
    runtime = await asyncio.to_thread(_runtime, inspect, options)
    await asyncio.to_thread(check_foreign_agent, runtime, name)
    lost = await written_paths(engine, inspect, options.proc)
    if lost and not options.commit_changes:
        raise Refused(f"{name}: {written_text(lost)}; move them to a volume, or keep them with --commit-changes")
    port = options.port or await agent.otlp_port()
    endpoint = await find_endpoint(inspect, port, options.proc, await agent.otlp_hosts(port))
    bundle = Bundle.load(options.bundles, runtime.language)
    return Survey(inspect, runtime, endpoint, bundle, await moved_image(engine, inspect), lost)


async def _all_containers(engine: Engine) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for summary in await engine.containers(every=True):
        with suppress(NotFound):
            found.append(await engine.inspect(str(summary["Id"])))
    return found


def _runtime(inspect: Mapping[str, Any], options: Options) -> Runtime:
    name, pid = container_name(inspect), int(inspect["State"]["Pid"])
    _wait_for_program(Process(pid, options.proc))
    processes = descendants(pid, options.proc)
    if not (options.proc / str(pid)).exists():
        raise Refused(
            f"{name}: its process {pid} is not in {options.proc}; run on the engine's host, or name its /proc"
        )
    if not any(process.executable for process in processes):
        raise Refused(f"{name}: its processes cannot be read; run as root, a container with SYS_PTRACE")
    return choose(detect(processes), options.language, name)


def _wait_for_program(process: Process) -> None:
    """Wait until a container that was started just now runs its own program: runtimes are Go programs themselves."""
    deadline = time.monotonic() + _START_SECONDS
    while process.is_starting and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        process = Process(process.pid, process.proc)


async def written_paths(engine: Engine, inspect: Mapping[str, Any], proc: Path) -> tuple[str, ...]:
    """Return what would be lost with the container's writable layer."""
    changes = await engine.changes(str(inspect["Id"]))
    mounts = [str(mount["Destination"]) for mount in inspect.get("Mounts") or ()]
    mounts += list(inspect["HostConfig"].get("Tmpfs") or {})
    root = proc / str(inspect["State"].get("Pid") or 0) / "root"
    return tuple(await asyncio.to_thread(lost_paths, changes, mounts, root))


def written_text(paths: tuple[str, ...]) -> str:
    """Say which files would be lost."""
    more = f" and {len(paths) - _SHOWN_PATHS} more" if len(paths) > _SHOWN_PATHS else ""
    return f"it wrote files that would be lost: {', '.join(paths[:_SHOWN_PATHS])}{more}"


async def moved_image(engine: Engine, inspect: Mapping[str, Any]) -> str:
    """Return the id of the container's image where its name means another one by now, or nothing."""
    try:
        current = (await engine.image(str(inspect["Config"]["Image"])))["Id"]
    except NotFound:
        current = ""
    return "" if current == inspect["Image"] else str(inspect["Image"])
