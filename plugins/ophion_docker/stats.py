"""The `docker_stats` receiver: CPU, memory, block I/O, network and PIDs of all containers, in one look an interval."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

from ophion_agent import otlp_writing as wire
from ophion_agent.plugin import Context, Metrics, OphionError, Receiver
from ophion_docker import stats_metrics as m
from ophion_docker.cgroup import CgroupTree
from ophion_docker.cgroup_figures import record_cgroup, record_network
from ophion_docker.engine import Engine
from ophion_docker.engine_errors import EngineError, NotFound
from ophion_docker.matching import pattern_test
from ophion_docker.metadata import Container
from ophion_docker.stats_api import CpuReading, record_api_stats
from ophion_docker.stats_config import DockerStatsConfig
from ophion_docker.stats_places import HostFigures, Place, Places
from ophion_docker.stats_recorder import StatsRecorder
from ophion_docker.watching import ContainerWatch

_SCOPE = "ophion_docker.stats"
# The engine answers with its next sample, so an answer takes up to a second and costs next to nothing.
_ASKED_AT_ONCE = 50


class DockerStatsReceiver(Receiver[DockerStatsConfig, Metrics]):
    """Reports the resources that containers use, from their cgroups or from the engine."""

    type_name = "docker_stats"

    def __init__(self, config: DockerStatsConfig, context: Context) -> None:
        super().__init__(config, context)
        self._excluded = [pattern_test(item) for item in config.excluded_images]
        self._resources: dict[str, tuple[Container, bytes]] = {}
        self._readings: dict[str, CpuReading] = {}
        self._problems: dict[str, str] = {}
        self._engine: Engine | None = None
        self._watch: ContainerWatch | None = None
        self._places: Places | None = None
        self._recorder = StatsRecorder((), "", "")
        self._scraped = context.counter("otelcol_scraper_scraped_metric_points", scraper=self.type_name)
        self._errored = context.counter("otelcol_scraper_errored_metric_points", scraper=self.type_name)
        self._skipped = context.counter("ophion_receiver_skipped_scrapes")

    async def start(self) -> None:
        """Begin to look. Without an engine the containers are found by their cgroups until there is one.

        Raises OphionError when DOCKER_HOST cannot be read.
        """
        try:
            self._engine = self.config.engine()
        except ValueError as error:
            raise OphionError(f"DOCKER_HOST: {error}; correct it, or set `endpoint`") from error
        metrics = self.config.enabled_metrics()
        self._recorder = StatsRecorder(metrics, _SCOPE, agent_version(self.context))
        self._watch = ContainerWatch(self._engine, self.context.clock, self.log)
        if self.config.source != "api" and self._engine.address.local:
            tree = await asyncio.to_thread(CgroupTree, self.config.root_path)
            self._places = Places(tree) if tree.version else None
        if self._places is None and self.config.source == "cgroup":
            raise OphionError(
                f"source: no cgroups below {self.config.root_path}/sys/fs/cgroup; set `root_path` or `source`"
            )
        self.context.spawn("watch", self._watch.run)
        self.context.spawn("scrape", self._run)

    async def stop(self) -> None:
        """Close the connections to the engine."""
        await self.context.cancel_tasks()
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()

    async def _run(self) -> None:
        clock, interval = self.context.clock, self.config.collection_interval
        await clock.sleep(self.config.initial_delay)
        assert self._watch is not None
        await self._watch.tried.wait()
        due = clock.monotonic()
        while True:
            await self.scrape()
            late = int((clock.monotonic() - due) / interval)
            self._skipped.add(late)
            due += (late + 1) * interval
            await clock.sleep(due - clock.monotonic())

    async def scrape(self) -> None:
        """Look at every container once and emit what was found."""
        containers = await self._containers()
        parts, points, missing = await asyncio.to_thread(self._read_cgroups, containers)
        if self.config.source != "cgroup":
            asked, more = await self._ask_engine(missing)
            parts, points = parts + asked, points + more
        self._forget({container.id for container in containers})
        self._scraped.add(points)
        self._judge(bool(containers))
        if not points:
            return
        try:
            await self.emit(Metrics.trusted(b"".join(parts), points))
        except OphionError as error:
            self._problem("emit", f"{points} points were not taken: {error}")
        else:
            self._problem("emit", "")

    async def _containers(self) -> list[Container]:
        assert self._watch is not None
        if self._watch.ready.is_set() or self._places is None:
            # While the engine is away nobody can start more, and those that end lose their cgroups.
            containers = list(self._watch.running.values())
        else:
            containers = await asyncio.to_thread(self._places.unnamed)
        return [container for container in containers if not self._is_excluded(container)]

    def _is_excluded(self, container: Container) -> bool:
        return bool(container.image) and any(test(container.image) for test in self._excluded)

    # From cgroups, in a thread

    def _read_cgroups(self, containers: Sequence[Container]) -> tuple[list[bytes], int, list[Container]]:
        """Return encoded resources with their number of points, and the containers whose cgroup was not found."""
        places = self._places
        if places is None:
            return [], 0, list(containers)
        host, walk = places.host(), cache(places.tree.find)
        parts: list[bytes] = []
        missing: list[Container] = []
        points = 0
        for container in containers:
            place = places.of(container, walk)
            if place is None:
                missing.append(container)
                continue
            encoded, count = self._read_place(places, place, host)
            parts.append(encoded)
            points += count
        return parts, points, missing

    def _read_place(self, places: Places, place: Place, host: HostFigures) -> tuple[bytes, int]:
        out, container, clock = self._recorder, place.container, self.context.clock
        now_ns = clock.now_ns()
        out.begin(container.started_ns or now_ns, now_ns)
        used_ns = record_cgroup(place.cgroup, host.memory, out)
        reading = CpuReading(used_ns, round(clock.monotonic() * 1e9)) if used_ns >= 0 else None
        record_network(places.network_table(place), out)
        out.add(m.CPU_SYSTEM, host.cpu_ns)
        out.add(m.CPU_COUNT, host.cores)
        if not place.cgroup.exists():
            # It ended while it was read: half of its figures would be zero.
            places.forget(container.id)
            out.drop()
            return b"", 0
        return self._finish(container, reading, now_ns)

    # From the engine

    async def _ask_engine(self, containers: Sequence[Container]) -> tuple[list[bytes], int]:
        assert self._watch is not None
        if not containers or not self._watch.connected:
            return [], 0
        limit = asyncio.Semaphore(_ASKED_AT_ONCE)
        answers = await asyncio.gather(*(self._ask(container, limit) for container in containers))
        return [encoded for encoded, _ in answers], sum(count for _, count in answers)

    async def _ask(self, container: Container, limit: asyncio.Semaphore) -> tuple[bytes, int]:
        assert self._engine is not None
        try:
            async with limit:
                stats = await self._engine.stats(container.id)
        except NotFound:
            return b"", 0
        except EngineError as error:
            self._errored.add(1)
            self._problem("engine", str(error))
            return b"", 0
        self._problem("engine", "")
        out, now_ns = self._recorder, self.context.clock.now_ns()
        out.begin(container.started_ns or now_ns, now_ns)
        return self._finish(container, record_api_stats(stats, out), now_ns)

    # Both

    def _finish(self, container: Container, reading: CpuReading | None, now_ns: int) -> tuple[bytes, int]:
        out = self._recorder
        if reading is not None:
            percent = reading.percent_since(self._readings.get(container.id))
            self._readings[container.id] = reading
            if percent is not None:
                out.add(m.CPU_UTILIZATION, percent)
        if container.name:
            out.add(m.CPU_SHARES, container.cpu_shares)
            out.add(m.RESTARTS, container.restarts)
            out.add_with(m.STATUS, 1, container.status)
            if container.cpu_limit:
                out.add(m.CPU_LIMIT, container.cpu_limit)
        if 0 < container.started_ns < now_ns:
            out.add(m.UPTIME, (now_ns - container.started_ns) / 1e9)
        count = out.count
        return out.finish(self._resource(container)), count

    def _resource(self, container: Container) -> bytes:
        known = self._resources.get(container.id)
        if known is None or known[0] is not container:
            known = self._resources[container.id] = (container, wire.resource(self.config.resource_of(container)))
        return known[1]

    def _forget(self, present: set[str]) -> None:
        for kept in (self._readings, self._resources):
            for gone in kept.keys() - present:
                del kept[gone]
        if self._places is not None:
            self._places.keep_only(present)

    def _judge(self, any_container: bool) -> None:
        assert self._watch is not None
        problem = self._watch.problem
        if not problem:
            self.context.health.ok()
        elif any_container:
            self.context.health.degraded(f"figures come from cgroups only: {problem}")
        else:
            self.context.health.degraded(problem)

    def _problem(self, kind: str, message: str) -> None:
        """Log what begins and what ends to fail, and nothing while it lasts; an empty message ends it."""
        before = self._problems.get(kind, "")
        if message and not before:
            self.log.error("stats_failed", kind=kind, error=message)
        elif before and not message:
            self.log.info("stats_recovered", kind=kind, error=before)
        self._problems[kind] = message


def agent_version(context: Context) -> str:
    """Return the version of the agent, for the scope of what is emitted; empty outside an agent."""
    try:
        return context.agent.version
    except RuntimeError:
        return ""
