"""docker_stats without an engine: encoding, cgroups of both versions, the API's answer, options."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from pydantic import ValidationError

from ophion_agent import otlp_writing as wire
from ophion_agent.clock import Clock
from ophion_agent.measured_metric import MeasuredMetric
from ophion_agent.plugin import OphionError
from ophion_agent.testing import Sink, check_component, make_component
from ophion_docker import stats_metrics as m
from ophion_docker.cgroup import CgroupTree
from ophion_docker.cgroup_figures import record_cgroup, record_network
from ophion_docker.metadata import Container
from ophion_docker.stats import DockerStatsReceiver
from ophion_docker.stats_api import CpuReading, record_api_stats
from ophion_docker.stats_config import DockerStatsConfig
from ophion_docker.stats_metrics import TABLE
from ophion_docker.stats_places import Places
from ophion_docker.stats_recorder import StatsRecorder

ID = "0123456789abcdef" * 4
NOW = 1_795_315_671_000_000_000

# name: (unit, kind, value type, on by default), from the metadata of otelcol's receiver.
OTELCOL = {
    "container.blockio.io_service_bytes_recursive": ("By", "counter", "int", True),
    "container.blockio.io_wait_time_recursive": ("ns", "counter", "int", False),
    "container.cpu.limit": ("{cpus}", "gauge", "double", False),
    "container.cpu.logical.count": ("{cpus}", "gauge", "int", False),
    "container.cpu.shares": ("1", "gauge", "int", False),
    "container.cpu.throttling_data.throttled_time": ("ns", "counter", "int", False),
    "container.cpu.usage.kernelmode": ("ns", "counter", "int", True),
    "container.cpu.usage.percpu": ("ns", "counter", "int", False),
    "container.cpu.usage.total": ("ns", "counter", "int", True),
    "container.cpu.usage.usermode": ("ns", "counter", "int", True),
    "container.cpu.utilization": ("1", "gauge", "double", True),
    "container.memory.fails": ("{fails}", "counter", "int", False),
    "container.memory.file": ("By", "updown", "int", True),
    "container.memory.percent": ("1", "gauge", "double", True),
    "container.memory.total_cache": ("By", "updown", "int", True),
    "container.memory.total_pgfault": ("{faults}", "counter", "int", False),
    "container.memory.usage.limit": ("By", "updown", "int", True),
    "container.memory.usage.max": ("By", "updown", "int", False),
    "container.memory.usage.total": ("By", "updown", "int", True),
    "container.network.io.usage.rx_bytes": ("By", "counter", "int", True),
    "container.network.io.usage.rx_dropped": ("{packets}", "counter", "int", True),
    "container.network.io.usage.rx_errors": ("{errors}", "counter", "int", False),
    "container.network.io.usage.tx_bytes": ("By", "counter", "int", True),
    "container.network.io.usage.tx_dropped": ("{packets}", "counter", "int", True),
    "container.pids.count": ("{pids}", "updown", "int", False),
    "container.restarts": ("{restarts}", "counter", "int", False),
    "container.status": ("{status}", "gauge", "int", False),
    "container.uptime": ("s", "gauge", "double", False),
}


def test_the_metrics_are_those_of_otelcol() -> None:
    kinds = {None: "gauge", True: "counter", False: "updown"}
    table = {metric.name: (metric.unit, kinds[metric.monotonic], metric.value, metric.enabled) for metric in TABLE}
    assert {name: table[name] for name in OTELCOL} == OTELCOL
    assert {name for name, facts in table.items() if facts[3]} == {name for name, facts in OTELCOL.items() if facts[3]}
    assert len(table) == len(TABLE) == 72


def recorder(metrics: Iterable[MeasuredMetric] = TABLE) -> StatsRecorder:
    found = StatsRecorder(metrics, "scope", "1")
    found.begin(NOW - 1000, NOW)
    return found


def points(out: StatsRecorder) -> dict[str, Any]:
    """The values of a recorder: by name, or by name and attributes."""
    request = ExportMetricsServiceRequest.FromString(out.finish(wire.resource({"container.id": ID})))
    found: dict[str, Any] = {}
    for group in request.resource_metrics:
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            data = metric.sum if metric.HasField("sum") else metric.gauge
            for point in data.data_points:
                labels = ",".join(pair.value.string_value for pair in point.attributes)
                value = point.as_int if point.HasField("as_int") else point.as_double
                found[metric.name.removeprefix("container.") + (f"[{labels}]" if labels else "")] = value
    return found


def test_encodes_what_the_table_declares() -> None:
    out = recorder()
    for metric in TABLE:
        if metric.attributes:
            out.add_with(metric, 3, *(["x"] * len(metric.attributes)))
        else:
            out.add(metric, 3)
    assert out.count == len(TABLE)
    [group] = ExportMetricsServiceRequest.FromString(out.finish(wire.resource({"a": "b"}))).resource_metrics
    [scope] = group.scope_metrics
    assert group.resource.attributes[0].value.string_value == "b"
    encoded = {metric.name: metric for metric in scope.metrics}
    for metric in TABLE:
        found = encoded[metric.name]
        data = found.sum if metric.kind == "sum" else found.gauge
        [point] = data.data_points
        assert (found.unit, found.description) == (metric.unit, metric.description)
        assert (point.as_int if metric.value == "int" else point.as_double) == 3
        assert (point.time_unix_nano, point.start_time_unix_nano) == (NOW, NOW - 1000 if metric.kind == "sum" else 0)
        assert [pair.key for pair in point.attributes] == list(metric.attributes)
        if metric.kind == "sum":
            assert (found.sum.is_monotonic, found.sum.aggregation_temporality) == (metric.monotonic, 2)


def test_a_start_in_the_future_is_now_and_counts_beyond_64_bits_are_cut() -> None:
    out = StatsRecorder([m.CPU_TOTAL], "s", "1")
    out.begin(NOW + 5, NOW)
    out.add(m.CPU_TOTAL, 2**64 - 1)
    [group] = ExportMetricsServiceRequest.FromString(out.finish(b"")).resource_metrics
    [point] = group.scope_metrics[0].metrics[0].sum.data_points
    assert (point.start_time_unix_nano, point.as_int) == (NOW, 2**63 - 1)
    out.begin(NOW, NOW)
    out.add(m.CPU_USER, 1)
    assert (out.count, out.finish(b"")) == (0, b"")


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


NET = """Inter-|   Receive   |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0        0
  eth0:    1446      21    1    2    0     0          0         0       50       3    4    5    0     0       0        0
"""


def host_v2(root: Path, name: str = f"system.slice/docker-{ID}.scope") -> Path:
    top = root / "sys/fs/cgroup"
    write(top, cgroup__controllers="cpu memory io pids")
    folder = top / name
    write(
        folder,
        cpu__stat="usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 4\nnr_throttled 3\nthrottled_usec 2\n",
        memory__current="1000\n", memory__max="max\n", memory__peak="2000\n", memory__events="low 0\noom 6\n",
        memory__stat="anon 100\nfile 300\ninactive_file 200\npgfault 9\n",
        io__stat="8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
        pids__current="7\n", pids__max="max\n", cgroup__procs="42\n43\n",
    )  # fmt: skip
    return folder


def host_v1(root: Path) -> None:
    top, name = root / "sys/fs/cgroup", f"docker/{ID}"
    write(
        top / "cpuacct" / name,
        cpuacct__usage="3000\n", cpuacct__stat="user 2\nsystem 1\n", cpuacct__usage_percpu="1000 2000 \n",
    )  # fmt: skip
    write(top / "cpu" / name, cpu__stat="nr_periods 4\nnr_throttled 3\nthrottled_time 2\n")
    write(
        top / "memory" / name,
        memory__usage_in_bytes="1000\n", memory__limit_in_bytes="9223372036854771712\n", memory__failcnt="6\n",
        memory__max_usage_in_bytes="2000\n", memory__stat="cache 5\ntotal_cache 6\ntotal_inactive_file 200\n",
        cgroup__procs="42\n",
    )  # fmt: skip
    blkio = "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n"
    write(top / "blkio" / name, blkio__throttle__io_service_bytes_recursive=blkio)
    write(top / "pids" / name, pids__current="7\n", pids__max="50\n")


def proc(root: Path, cgroup: str = "") -> None:
    write(root / "proc/42/net", dev=NET)
    write(root / "proc/42", stat="42 (a (b) c) S " + " ".join(["0"] * 18) + " 200 0\n", cgroup=cgroup)
    write(root / "proc", stat="cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1\ncpu1 1\nbtime 1795000000\n")
    write(root / "proc", meminfo="MemTotal:       4 kB\nMemFree: 1 kB\n")


def test_reads_cgroups_of_version_2(tmp_path: Path) -> None:
    host_v2(tmp_path)
    [found] = CgroupTree(str(tmp_path)).find().values()
    assert (found.id, found.runtime) == (ID, "docker")
    out = recorder()
    assert record_cgroup(found.cgroup, 4000, out) == 3_000_000
    assert points(out) == {
        "cpu.usage.total": 3_000_000, "cpu.usage.usermode": 2_000_000, "cpu.usage.kernelmode": 1_000_000,
        "cpu.throttling_data.periods": 4, "cpu.throttling_data.throttled_periods": 3,
        "cpu.throttling_data.throttled_time": 2000,
        "memory.usage.total": 800, "memory.usage.limit": 4000, "memory.percent": 20.0, "memory.usage.max": 2000,
        "memory.fails": 6, "memory.anon": 100, "memory.file": 300, "memory.inactive_file": 200, "memory.pgfault": 9,
        "blockio.io_service_bytes_recursive[8,0,read]": 10, "blockio.io_service_bytes_recursive[8,0,write]": 20,
        "blockio.io_serviced_recursive[8,0,read]": 1, "blockio.io_serviced_recursive[8,0,write]": 2,
        "pids.count": 7,
    }  # fmt: skip


def test_reads_cgroups_of_version_1(tmp_path: Path) -> None:
    host_v1(tmp_path)
    [found] = CgroupTree(str(tmp_path)).find().values()
    assert found.runtime == "docker"
    out = recorder()
    assert record_cgroup(found.cgroup, 4000, out) == 3000
    assert points(out) == {
        "cpu.usage.total": 3000, "cpu.usage.usermode": 20_000_000, "cpu.usage.kernelmode": 10_000_000,
        "cpu.usage.percpu[cpu0]": 1000, "cpu.usage.percpu[cpu1]": 2000,
        "cpu.throttling_data.periods": 4, "cpu.throttling_data.throttled_periods": 3,
        "cpu.throttling_data.throttled_time": 2,
        "memory.usage.total": 800, "memory.usage.limit": 4000, "memory.percent": 20.0, "memory.usage.max": 2000,
        "memory.fails": 6, "memory.cache": 5, "memory.total_cache": 6, "memory.total_inactive_file": 200,
        "blockio.io_service_bytes_recursive[8,0,read]": 10, "blockio.io_service_bytes_recursive[8,0,write]": 20,
        "blockio.io_service_bytes_recursive[8,0,total]": 30,
        "pids.count": 7, "pids.limit": 50,
    }  # fmt: skip


def test_reads_the_network_without_loopback() -> None:
    out = recorder()
    record_network(NET.encode(), out)
    names = "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"
    expected = dict(zip(names, (1446, 21, 1, 2, 50, 3, 4, 5), strict=True))
    assert points(out) == {f"network.io.usage.{name}[eth0]": value for name, value in expected.items()}


@given(st.lists(st.sampled_from(["1", "20", "x", "-1"]), max_size=14))
def test_a_line_of_the_network_counts_whole_or_not_at_all(words: list[str]) -> None:
    out = recorder()
    record_network(f"head\nhead\n eth0: {' '.join(words)}\n".encode(), out)
    assert out.count == (8 if len(words) >= 12 and all(word.isdigit() for word in words[:12]) else 0)


@given(st.text(alphabet="08: \nusermx=-rbyté", max_size=60))
def test_files_that_hold_something_else_never_end_a_look(content: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for make in (host_v1, host_v2):
            make(root / make.__name__)
            for file in (root / make.__name__ / "sys").rglob("*.*"):
                if file.is_file():
                    file.write_text(content)
            [found] = CgroupTree(str(root / make.__name__)).find().values()
            assert record_cgroup(found.cgroup, 4000, recorder()) >= -1


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        (f"docker/{ID}", "docker"),
        (f"system.slice/docker-{ID}.scope", "docker"),
        (f"machine.slice/libpod-{ID}.scope", "podman"),
        (f"libpod_parent/libpod-{ID}", "podman"),
        (f"kubepods.slice/kubepods-burstable.slice/pod1.slice/cri-containerd-{ID}.scope", "containerd"),
        (f"kubepods.slice/pod1.slice/crio-{ID}.scope", "cri-o"),
        (f"kubepods/burstable/pod1/{ID}", "containerd"),
        (f"elsewhere/{ID}", ""),
    ],
)
def test_knows_containers_of_every_runtime_by_their_cgroups(tmp_path: Path, name: str, runtime: str) -> None:
    host_v2(tmp_path, name)
    (tmp_path / "sys/fs/cgroup" / f"machine.slice/libpod-conmon-{ID}.scope").mkdir(parents=True)
    assert {found.id: found.runtime for found in CgroupTree(str(tmp_path)).find().values()} == {ID: runtime}


def test_finds_the_place_of_a_container_by_its_process_or_its_name(tmp_path: Path) -> None:
    folder = host_v2(tmp_path)
    proc(tmp_path, f"0::/system.slice/docker-{ID}.scope\n")
    places = Places(CgroupTree(str(tmp_path)))
    container = Container(ID, "x", pid=42)
    place = places.of(container)
    assert place is not None
    assert places.of(container) is place
    assert places.network_table(place) == NET.encode()
    # Inside a namespace of its own an agent sees paths that lead out of it.
    proc(tmp_path, f"0::/../docker-{ID}.scope\n")
    other = Container(ID, "renamed", pid=42)
    place = places.of(other)
    assert place is not None
    assert place.container is other
    (folder / "cgroup.procs").unlink()
    assert places.of(Container("f" * 64, pid=43)) is None


def test_a_host_network_is_not_the_containers(tmp_path: Path) -> None:
    host_v2(tmp_path)
    proc(tmp_path)
    for pid in (1, 42):
        (tmp_path / f"proc/{pid}/ns").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/ns/net").symlink_to("net:[1]")
    places = Places(CgroupTree(str(tmp_path)))
    for container in (Container(ID, pid=42), Container(ID, pid=42, network_mode="host")):
        place = places.of(container)
        assert place is not None
        assert places.network_table(place) == b""


@pytest.mark.parametrize("make", [host_v1, host_v2])
async def test_reports_by_id_only_without_an_engine(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    proc(tmp_path)
    sink = Sink()
    config = {
        "endpoint": str(tmp_path / "none.sock"),
        "root_path": str(tmp_path),
        "metrics": {"container.uptime": {"enabled": True}},
    }
    receiver = make_component(DockerStatsReceiver, {**config, "initial_delay": "10ms"}, sink=sink, clock=Clock())
    await receiver.start()
    await sink.wait_for_items(8)
    assert "figures come from cgroups only: engine at unix:///" in receiver.context.health.reason
    await receiver.stop()
    await receiver.context.close()
    [group] = sink.batches[0].view().message.resource_metrics
    assert {pair.key: pair.value.string_value for pair in group.resource.attributes} == {
        "container.id": ID, "container.runtime": "docker",
    }  # fmt: skip
    names = {metric.name: metric for metric in group.scope_metrics[0].metrics}
    assert {"container.cpu.usage.total", "container.network.io.usage.rx_bytes", "container.uptime"} <= set(names)
    [point] = names["container.cpu.usage.total"].sum.data_points
    assert point.start_time_unix_nano == 1795000000 * 10**9 + 2 * 10**9


API = {
    "cpu_stats": {
        "cpu_usage": {"total_usage": 30, "percpu_usage": [10, 20], "usage_in_kernelmode": 4, "usage_in_usermode": 5},
        "system_cpu_usage": 900, "online_cpus": 2,
        "throttling_data": {"periods": 1, "throttled_periods": 2, "throttled_time": 3},
    },
    "memory_stats": {"usage": 1000, "max_usage": 2000, "limit": 4000, "failcnt": 1,
                     "stats": {"total_inactive_file": 200, "rss": 7, "unknown": 1}},
    "blkio_stats": {"io_service_bytes_recursive": [{"major": 8, "minor": 0, "op": "Read", "value": 5}],
                    "io_queue_recursive": None},
    "networks": {"eth0": {"rx_bytes": 1, "tx_dropped": 2}},
    "pids_stats": {"current": 1, "limit": 18446744073709551615},
}  # fmt: skip


def test_reads_the_engines_answer() -> None:
    out = recorder()
    assert record_api_stats(API, out) == CpuReading(30, 900, 2)
    found = points(out)
    assert {name: value for name, value in found.items() if not name.startswith("network")} == {
        "cpu.usage.total": 30, "cpu.usage.kernelmode": 4, "cpu.usage.usermode": 5, "cpu.usage.system": 900,
        "cpu.usage.percpu[cpu0]": 10, "cpu.usage.percpu[cpu1]": 20, "cpu.logical.count": 2,
        "cpu.throttling_data.periods": 1, "cpu.throttling_data.throttled_periods": 2,
        "cpu.throttling_data.throttled_time": 3,
        "memory.usage.total": 800, "memory.usage.limit": 4000, "memory.percent": 20.0, "memory.usage.max": 2000,
        "memory.fails": 1, "memory.total_inactive_file": 200, "memory.rss": 7,
        "blockio.io_service_bytes_recursive[8,0,read]": 5, "pids.count": 1,
    }  # fmt: skip
    assert (found["network.io.usage.rx_bytes[eth0]"], found["network.io.usage.tx_dropped[eth0]"]) == (1, 2)


def test_cpu_use_needs_two_readings_in_order() -> None:
    before = CpuReading(10**9, 10**10)
    assert CpuReading(3 * 10**9, 11 * 10**9).percent_since(before) == 200.0
    assert CpuReading(10**9 + 5, 10**10 + 20, 4).percent_since(before) == 100.0
    assert CpuReading(10**9, 11 * 10**9).percent_since(before) == 0.0
    for unusable in (None, CpuReading(2 * 10**9, 0), CpuReading(0, 12 * 10**9)):
        assert CpuReading(10**9, 11 * 10**9).percent_since(unusable) is None
    assert CpuReading(0, 11 * 10**9).percent_since(before) is None
    assert CpuReading(2 * 10**9, 10**10).percent_since(before) is None


def test_resource_attributes_are_otelcols_and_those_asked_for() -> None:
    container = Container(
        ID, "shop", "nginx:1", "sha256:x", "host", "run it", labels={"team": "a"}, environment={"V": "2", "E": ""}
    )
    plain = DockerStatsConfig().resource_of(container)
    assert plain == {
        "container.hostname": "host", "container.id": ID, "container.image.name": "nginx:1", "container.name": "shop",
        "container.runtime": "docker",
    }  # fmt: skip
    chosen = DockerStatsConfig.model_validate(
        {
            "resource_attributes": {"container.hostname": {"enabled": False}, "service.name": {"enabled": True}},
            "container_labels_to_metric_labels": {"team": "owner", "none": "x"},
            "env_vars_to_metric_labels": {"V": "version", "E": "empty"},
        }
    ).resource_of(container)
    assert chosen["service.name"] == "shop"
    assert (chosen["owner"], chosen["version"]) == ("a", "2")
    assert not {"container.hostname", "x", "empty"} & set(chosen)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"metrics": {"container.cpu.usage.totl": {}}},
            'unknown metric "container.cpu.usage.totl"; did you mean "container.cpu.usage.total"?',
        ),
        ({"resource_attributes": {"x": {}}}, 'unknown resource attribute "x"'),
        ({"endpoint": "docker"}, "must be unix:///path, tcp://host:port or https://host:port, got 'docker'"),
        ({"api_version": "2"}, "must be a version such as \"1.41\", got '2'"),
        ({"excluded_images": ["/(/"]}, "must be a name, a glob or a /regex/"),
        ({"source": "guess"}, "Input should be 'auto', 'cgroup' or 'api'"),
    ],
)  # fmt: skip
def test_refuses_wrong_options(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        DockerStatsConfig.model_validate(given)
    assert says in str(raised.value)


def test_takes_otelcols_configuration() -> None:
    config = DockerStatsConfig.model_validate(
        {
            "endpoint": "http://example.com/", "collection_interval": "2s", "timeout": "20s", "api_version": 1.24,
            "container_labels_to_metric_labels": {"my.container.label": "my-metric-label"},
            "env_vars_to_metric_labels": {"MY_ENVIRONMENT_VARIABLE": "my-metric-label"},
            "excluded_images": ["undesired-container", "another-*-container"],
            "provide_per_core_cpu_metrics": True,
            "metrics": {
                "container.cpu.usage.system": {"enabled": False}, "container.memory.total_rss": {"enabled": True},
                "container.uptime": None,
            },
        }
    )  # fmt: skip
    names = {metric.name for metric in config.enabled_metrics()}
    assert {"container.memory.total_rss", "container.cpu.usage.percpu"} <= names
    assert "container.uptime" not in names
    assert config.api_version == "1.24"


async def test_names_what_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = make_component(DockerStatsReceiver, {"source": "cgroup", "root_path": str(tmp_path)})
    with pytest.raises(OphionError, match=r"source: no cgroups below .*/sys/fs/cgroup; set `root_path` or `source`"):
        await receiver.start()
    await receiver.stop()
    monkeypatch.setenv("DOCKER_HOST", "nonsense")
    with pytest.raises(OphionError, match=r"DOCKER_HOST: must be unix:///path.*; correct it, or set `endpoint`"):
        await make_component(DockerStatsReceiver).start()


async def test_keeps_the_contract(tmp_path: Path) -> None:
    await check_component(DockerStatsReceiver, {"endpoint": str(tmp_path / "none.sock"), "initial_delay": 0})
