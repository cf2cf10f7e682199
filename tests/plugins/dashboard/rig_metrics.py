"""Back-dated metrics of the shop's hosts, containers and services, as OTLP requests.

A point every `STEP_SECONDS` over the last two hours, under the names that the agent's own receivers use:

- hosts web-1 to web-3: `system.cpu.time` of two cores, `system.memory.usage` of 8 GiB, `system.filesystem.usage`,
  load, network and disk; the host `BUSY_HOST` is busy in `BUSY_MINUTES`.
- the five containers: `container.*` as `docker_stats` reports them.
- services: the histogram `http.server.request.duration` with exemplars (the trace `SLOW` is one of `payment`), the
  counter `shop.orders.placed` by `shop.region`, the gauge `shop.carts.open`.
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.payloads import CUMULATIVE, attribute
from tests.plugins.dashboard.rig_plan import (
    BUSY_HOST,
    BUSY_MINUTES,
    HOSTS,
    INSTANCES,
    REGIONS,
    SECOND,
    SLOW,
    WINDOW_SECONDS,
    Instance,
    Value,
    number_at,
    started_ns,
    trace_id,
    trace_plan,
)

STEP_SECONDS = 30
POINTS = WINDOW_SECONDS // STEP_SECONDS + 1
MIB, GIB = 2**20, 2**30
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
ROUTES = (
    ("frontend", "GET", "/products", 200, 6.0),
    ("frontend", "POST", "/checkout", 201, 2.8),
    ("frontend", "POST", "/checkout", 502, 0.2),
    ("checkout", "POST", "/orders", 201, 2.8),
    ("payment", "POST", "/charges", 201, 2.8),
    ("payment", "POST", "/charges", 402, 0.2),
    ("inventory", "GET", "/stock", 200, 6.0),
)
Figure = Callable[[int], float]


def wave(seed: str, low: float, high: float, minutes: float = 40.0) -> Figure:
    """Return a figure that swings between `low` and `high` with some noise; of a step's number."""
    rng = random.Random(seed)
    phase = rng.random() * 6.28
    noise = [rng.uniform(-1, 1) for _ in range(POINTS)]

    def at(step: int) -> float:
        swing = math.sin(phase + 6.28 * step * STEP_SECONDS / 60 / minutes)
        return max(0.0, (low + high) / 2 + (high - low) / 2 * (0.75 * swing + 0.25 * noise[step]))

    return at


def total(rate: Figure) -> Figure:
    """Return the counter that grows by `rate` per second."""
    sums = [0.0]
    for step in range(1, POINTS):
        sums.append(sums[-1] + rate(step) * STEP_SECONDS)
    return sums.__getitem__


class Resource:
    """Adds metrics under one resource."""

    def __init__(self, request: ExportMetricsServiceRequest, now_ns: int, attributes: Mapping[str, Value]) -> None:
        group = request.resource_metrics.add()
        group.resource.attributes.extend(attribute(key, value) for key, value in attributes.items())
        self._scope = group.scope_metrics.add()
        self._scope.scope.name = "shop"
        self.times = [now_ns - (POINTS - 1 - step) * STEP_SECONDS * SECOND for step in range(POINTS)]
        self._metrics: dict[str, Any] = {}

    def metric(self, name: str, unit: str) -> Any:
        """Return the metric of this name."""
        if name not in self._metrics:
            self._metrics[name] = self._scope.metrics.add(name=name, unit=unit, description=f"{name} of the shop.")
        return self._metrics[name]

    def gauge(self, name: str, unit: str, figure: Figure, **labels: Value) -> None:
        """Add a series of a gauge."""
        self._numbers(self.metric(name, unit).gauge, figure, labels)

    def sum(self, name: str, unit: str, figure: Figure, *, monotonic: bool = True, **labels: Value) -> None:
        """Add a series of a cumulative sum."""
        data = self.metric(name, unit).sum
        data.aggregation_temporality, data.is_monotonic = CUMULATIVE, monotonic
        self._numbers(data, figure, labels)

    def _numbers(self, data: Any, figure: Figure, labels: Mapping[str, Value]) -> None:
        attributes = [attribute(key, value) for key, value in labels.items()]
        for step, time_ns in enumerate(self.times):
            data.data_points.add(
                attributes=attributes,
                start_time_unix_nano=self.times[0],
                time_unix_nano=time_ns,
                as_double=round(figure(step), 6),
            )


def host_request(now_ns: int) -> bytes:
    """Return the metrics of the hosts."""
    request = ExportMetricsServiceRequest()
    for host in HOSTS:
        _host(Resource(request, now_ns, {"host.name": host, "os.type": "linux", "host.arch": "amd64"}), host)
    return request.SerializeToString()


def _busy(host: str) -> Figure:
    """How much of a core a host's programs take."""
    usual = wave(f"{host} cpu", 0.12, 0.45)
    first, last = (POINTS - 1 - minutes * 60 // STEP_SECONDS for minutes in BUSY_MINUTES)
    return lambda step: 0.97 if host == BUSY_HOST and first <= step <= last else usual(step)


def _host(add: Resource, host: str) -> None:
    busy, memory = _busy(host), wave(f"{host} memory", 0.35, 0.7, 90)
    for core in ("cpu0", "cpu1"):
        for state, share in (("user", 0.7), ("system", 0.25), ("iowait", 0.05)):
            add.sum("system.cpu.time", "s", total(lambda step, s=share: s * busy(step)), cpu=core, state=state)
        add.sum("system.cpu.time", "s", total(lambda step: 1 - busy(step)), cpu=core, state="idle")
    parts: dict[str, Figure] = {
        "used": lambda step: memory(step) * 8 * GIB,
        "free": lambda step: (0.8 - memory(step)) * 8 * GIB,
        "cached": lambda _: 1.2 * GIB,
        "buffered": lambda _: 0.4 * GIB,
    }
    for state, figure in parts.items():
        add.sum("system.memory.usage", "By", figure, monotonic=False, state=state)
    for mountpoint, used in (("/", 0.42), ("/var", 0.83)):
        place: dict[str, Value] = {"device": f"/dev/sd{mountpoint[-1]}1", "mode": "rw", "type": "ext4"}
        for state, share in (("used", used), ("free", 1 - used)):
            size = share * 100 * GIB
            add.sum(
                "system.filesystem.usage", "By", lambda _, size=size: size, monotonic=False,
                mountpoint=mountpoint, state=state, **place,
            )  # fmt: skip
    for minutes in (1, 5, 15):
        add.gauge(f"system.cpu.load_average.{minutes}m", "{thread}", lambda step: 2.2 * busy(step))
    for direction in ("receive", "transmit"):
        bytes_of = total(wave(f"{host} net {direction}", 2e5, 2e6))
        add.sum("system.network.io", "By", bytes_of, device="eth0", direction=direction)
    for direction in ("read", "write"):
        add.sum("system.disk.io", "By", total(wave(f"{host} {direction}", 1e4, 9e5)), device="sda", direction=direction)


def container_request(now_ns: int) -> bytes:
    """Return the metrics of the containers."""
    request = ExportMetricsServiceRequest()
    for instance in INSTANCES:
        attributes: dict[str, Value] = {
            "container.id": instance.container_id,
            "container.name": instance.container,
            "container.hostname": instance.container_id[:12],
            "container.image.name": f"shop/{instance.service}",
            "container.runtime": "docker",
            "host.name": instance.host,
        }
        _container(Resource(request, now_ns, attributes), instance.container)
    return request.SerializeToString()


def _container(add: Resource, name: str) -> None:
    cores, memory = wave(f"{name} cpu", 0.02, 0.5), wave(f"{name} memory", 120, 400, 75)
    for part, share in (("total", 1.0), ("usermode", 0.8), ("kernelmode", 0.2)):
        add.sum(f"container.cpu.usage.{part}", "ns", total(lambda step, s=share: s * cores(step) * 1e9))
    add.gauge("container.cpu.utilization", "1", lambda step: 100 * cores(step))
    add.gauge("container.memory.percent", "1", lambda step: memory(step) / 5.12)
    add.sum("container.memory.usage.total", "By", lambda step: memory(step) * MIB, monotonic=False)
    add.sum("container.memory.usage.limit", "By", lambda _: 512 * MIB, monotonic=False)
    add.sum("container.memory.file", "By", lambda _: 30 * MIB, monotonic=False)
    add.sum("container.pids.count", "{pids}", lambda step: round(8 + cores(step) * 10), monotonic=False)
    for direction in ("rx", "tx"):
        rate = wave(f"{name} {direction}", 1e4, 4e5)
        add.sum(f"container.network.io.usage.{direction}_bytes", "By", total(rate), interface="eth0")
        add.sum(f"container.network.io.usage.{direction}_dropped", "{packets}", lambda _: 0.0, interface="eth0")
    for operation in ("read", "write"):
        device: dict[str, Value] = {"device_major": "8", "device_minor": "0", "operation": operation}
        written = total(wave(f"{name} {operation}", 0, 2e5))
        add.sum("container.blockio.io_service_bytes_recursive", "By", written, **device)
    add.gauge("container.uptime", "s", lambda step: 86_400 + step * STEP_SECONDS)
    add.sum("container.restarts", "{restarts}", lambda _: 2.0 if name == "shop-payment-1" else 0.0)


def service_request(now_ns: int) -> bytes:
    """Return the metrics that the shop's services measure themselves."""
    request = ExportMetricsServiceRequest()
    for instance in INSTANCES:
        add = Resource(request, now_ns, instance.attributes())
        for service, method, route, status, rate in ROUTES:
            if service == instance.service:
                _durations(add, instance, (method, route, status), rate)
        if instance.service == "checkout":
            for region in REGIONS:
                placed = total(wave(f"{instance.container} {region}", 0.2, 1.4))
                labels: dict[str, Value] = {"shop.region": region}
                add.sum("shop.orders.placed", "{order}", lambda step, f=placed: round(f(step)), **labels)
            carts = wave(f"{instance.container} carts", 5, 90)
            add.gauge("shop.carts.open", "{cart}", lambda step, f=carts: round(f(step)))
    return request.SerializeToString()


def _durations(add: Resource, instance: Instance, key: tuple[str, str, int], rate: float) -> None:
    method, route, status = key
    labels: dict[str, Value] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    data = add.metric("http.server.request.duration", "s").histogram
    data.aggregation_temporality = CUMULATIVE
    rng, counts, sum_seconds = random.Random(f"{instance.container} {key}"), [0] * (len(BOUNDS) + 1), 0.0
    load, attributes = wave(f"{key} load", 0.4 * rate, 1.6 * rate), [attribute(k, v) for k, v in labels.items()]
    for step, time_ns in enumerate(add.times):
        for bucket, share in _SHARES:
            counts[bucket] += round(load(step) * STEP_SECONDS * share + rng.random() - 0.5)
        sum_seconds += load(step) * STEP_SECONDS * 0.06
        point = data.data_points.add(
            attributes=attributes, start_time_unix_nano=add.times[0], time_unix_nano=time_ns, count=sum(counts),
            sum=sum_seconds, bucket_counts=counts, explicit_bounds=BOUNDS,
        )  # fmt: skip
        _exemplar(point, instance, step, time_ns, add.times[-1])


_SHARES = ((2, 0.1), (3, 0.35), (4, 0.25), (5, 0.15), (6, 0.1), (7, 0.03), (9, 0.015), (11, 0.005))


def _exemplar(point: Any, instance: Instance, step: int, time_ns: int, now_ns: int) -> None:
    """Name the trace that was served at that time."""
    number = number_at(time_ns, now_ns)
    if instance.service == "payment" and 0 < time_ns - started_ns(SLOW, now_ns) - 5 * SECOND <= STEP_SECONDS * SECOND:
        number = SLOW
    if number < 0 or (step % 4 and number != SLOW):
        return
    seconds = trace_plan(number).milliseconds / 1000
    found = point.exemplars.add(time_unix_nano=time_ns - SECOND, as_double=seconds)
    found.trace_id = bytes.fromhex(trace_id(number))
