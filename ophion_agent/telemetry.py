"""Serves the agent's own metrics under otelcol's names, through the OpenTelemetry SDK.

The data path only adds integers (self_metrics.py); the SDK reads them by observable instruments when somebody collects.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import psutil

from ophion_agent.clock import Clock
from ophion_agent.errors import OphionError
from ophion_agent.rare_http import RareHTTPServer
from ophion_agent.self_metrics import Sample, SelfMetrics
from ophion_agent.settings import PrometheusReader, TelemetrySettings

if TYPE_CHECKING:
    from aiohttp import web
    from opentelemetry.sdk.metrics.export import MetricsData

CONTENT_TYPE = "text/plain; version=0.0.4"


def observe_process(metrics: SelfMetrics, clock: Clock, started_ns: int) -> None:
    """Register uptime (s), CPU time (s) and resident memory (bytes) of this process."""
    process = psutil.Process()

    def cpu_seconds() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    metrics.gauge("otelcol_process_uptime", lambda: (clock.now_ns() - started_ns) / 1e9)
    metrics.gauge("otelcol_process_cpu_seconds", cpu_seconds)
    metrics.gauge("otelcol_process_memory_rss", lambda: process.memory_info().rss)


class SelfTelemetry:
    """The Prometheus endpoints that service.telemetry.metrics asks for."""

    def __init__(self, metrics: SelfMetrics, version: str) -> None:
        self._metrics = metrics
        self._version = version
        self._exit = contextlib.AsyncExitStack()
        self._resource: dict[str, Any] = {}
        self._collect: Callable[[], MetricsData | None] | None = None
        self.addresses: list[str] = []

    async def start(self, settings: TelemetrySettings) -> None:
        """Listen where the settings say; raise OphionError when an address is taken."""
        readers = settings.metrics.prometheus_readers()
        if not readers:
            return
        resource = {"service.name": "ophion-agent", "service.version": self._version, **settings.resource}
        self._resource = {key: value for key, value in resource.items() if value is not None}
        for reader in readers:
            await self._serve(reader)

    async def _serve(self, reader: PrometheusReader) -> None:
        async def scrape(_: "web.BaseRequest") -> "web.StreamResponse":
            from aiohttp import web

            if self._collect is None:
                self._collect = _sdk_collector(self._metrics, self._resource)
            text = exposition(self._collect(), add_total=not reader.without_type_suffix)
            return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

        server = RareHTTPServer({("GET", "/metrics"): scrape})
        self._exit.push_async_callback(server.stop)
        host = None if reader.host in ("", "0.0.0.0") else reader.host.strip("[]")
        try:
            port = await server.listen(host, reader.port)
        except OSError as error:
            where = f"service.telemetry.metrics: cannot listen on {reader.host}:{reader.port}"
            raise OphionError(f"{where}: {error.strerror}; set another port or level: none") from error
        self.addresses.append(f"http://{reader.host or 'localhost'}:{port}/metrics")

    async def stop(self) -> None:
        """Stop listening; safe twice."""
        await self._exit.aclose()
        self._exit = contextlib.AsyncExitStack()
        self._collect = None
        self.addresses.clear()


def _sdk_collector(metrics: SelfMetrics, resource: dict[str, Any]) -> Callable[[], "MetricsData | None"]:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.resources import Resource

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], resource=Resource(resource), shutdown_on_exit=False)
    meter = provider.get_meter("ophion_agent")
    known: set[str] = set()
    snapshot: dict[str, list[Sample]] = {}

    def observe(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [Observation(sample.value, dict(sample.attributes)) for sample in snapshot.get(name, ())]

    def collect() -> "MetricsData | None":
        snapshot.clear()
        for sample in metrics.samples():
            snapshot.setdefault(sample.name, []).append(sample)
        for name in snapshot.keys() - known:
            create = meter.create_observable_counter if snapshot[name][0].monotonic else meter.create_observable_gauge
            create(name, [observe(name)])
            known.add(name)
        return reader.get_metrics_data()

    return collect


def exposition(data: "MetricsData | None", *, add_total: bool) -> str:
    """Return metrics in Prometheus' text format 0.0.4.

    Counters keep their names unless `add_total`: otelcol leaves `_total` off its own metrics by default.
    """
    return "".join(f"{line}\n" for line in _lines(data, add_total))


def _lines(data: "MetricsData | None", add_total: bool) -> Iterator[str]:
    metrics = [
        (group.resource, metric)
        for group in (data.resource_metrics if data else ())
        for scope in group.scope_metrics
        for metric in scope.metrics
    ]
    for _, metric in sorted(metrics, key=lambda pair: pair[1].name):
        is_counter = bool(getattr(metric.data, "is_monotonic", False))
        name = f"{metric.name}_total" if is_counter and add_total else metric.name
        yield f"# TYPE {name} {'counter' if is_counter else 'gauge'}"
        for point in metric.data.data_points:
            labels = ",".join(f'{key}="{_escape(str(value))}"' for key, value in (point.attributes or {}).items())
            yield f"{name}{{{labels}}} {getattr(point, 'value', 0)}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
