"""The systems under test: how each is configured for a job, and the command that starts it."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

Protocol = Literal["grpc", "http"]
Compression = Literal["none", "gzip", "zstd"]
ROOT = Path(__file__).parent
ATTRIBUTE = ("benchmark.region", "eu-central-1")


@dataclass(frozen=True)
class Ports:
    """Where the system listens and where it sends, all on 127.0.0.1."""

    grpc_in: int
    http_in: int
    grpc_out: int
    http_out: int


@dataclass(frozen=True)
class Job:
    """What the system does with what it receives."""

    protocol: Protocol = "grpc"
    compression: Compression = "none"
    insert_attribute: bool = False
    durable: bool = False
    batch: Literal["processor", "exporter", "off"] = "processor"
    queue: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)
    memory_limit_mib: int = 0


@dataclass(frozen=True)
class Launch:
    """A command line and the environment it needs."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """A named program that can be started for a job in a scratch directory."""

    name: str
    launch: Callable[[Job, Ports, Path], Launch]


def collector_config(job: Job, ports: Ports, scratch: Path) -> dict[str, Any]:
    """The job as an OpenTelemetry Collector configuration; ours and otelcol run the same one."""
    exporter_id = "otlp" if job.protocol == "grpc" else "otlphttp"
    endpoint = f"127.0.0.1:{ports.grpc_out}" if job.protocol == "grpc" else f"http://127.0.0.1:{ports.http_out}"
    exporter: dict[str, Any] = {"endpoint": endpoint, "tls": {"insecure": True}, "compression": job.compression}
    if job.retry:
        exporter["retry_on_failure"] = dict(job.retry)
    queue: dict[str, Any] = dict(job.queue)
    if job.batch == "exporter":
        queue["batch"] = {"flush_timeout": "200ms", "min_size": 8192, "sizer": "items"}
    processors: dict[str, Any] = {}
    if job.memory_limit_mib:
        processors["memory_limiter"] = {"check_interval": "100ms", "limit_mib": job.memory_limit_mib}
    if job.insert_attribute:
        processors["attributes"] = {"actions": [{"key": ATTRIBUTE[0], "value": ATTRIBUTE[1], "action": "insert"}]}
    if job.batch == "processor":
        processors["batch"] = {}
    pipeline = {"receivers": ["otlp"], "processors": list(processors), "exporters": [exporter_id]}
    service: dict[str, Any] = {
        "pipelines": {signal: dict(pipeline) for signal in ("traces", "metrics", "logs")},
        "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
    }
    config: dict[str, Any] = {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{ports.grpc_in}", "max_recv_msg_size_mib": 64},
                    "http": {"endpoint": f"127.0.0.1:{ports.http_in}"},
                }
            }
        },
        "processors": processors,
        "exporters": {exporter_id: exporter},
        "service": service,
    }
    if job.durable:
        (scratch / "queue").mkdir(exist_ok=True)
        config["extensions"] = {"file_storage": {"directory": str(scratch / "queue"), "fsync": True}}
        queue["storage"] = "file_storage"
        service["extensions"] = ["file_storage"]
    if queue:
        exporter["sending_queue"] = queue
    return config


def _write(config: dict[str, Any], scratch: Path, name: str) -> str:
    path = scratch / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return str(path)


def installed_program(name: str) -> str:
    """The path of a program that this environment's packages installed."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def _ophion(job: Job, ports: Ports, scratch: Path) -> Launch:
    return Launch(
        [
            installed_program("ophion-agent"),
            "run",
            "--config",
            _write(collector_config(job, ports, scratch), scratch, "ophion"),
        ]
    )


def otelcol_binary() -> Path:
    """Where `benchmarks/peers/build.sh` leaves the collector."""
    return ROOT / "peers" / "build" / "otelcol" / "otelcol-bench"


def _otelcol(job: Job, ports: Ports, scratch: Path) -> Launch:
    return Launch(
        [str(otelcol_binary()), "--config", _write(collector_config(job, ports, scratch), scratch, "otelcol")]
    )


def rotel_binary() -> Path:
    """The agent inside PyPI's `rotel` package."""
    return Path(sysconfig.get_path("purelib")) / "rotel" / "rotel-agent"


ROTEL_PROCESSOR = """
from rotel_sdk.open_telemetry.common.v1 import AnyValue, KeyValue

def process_spans(resource_spans):
    for scope in resource_spans.scope_spans:
        for span in scope.spans:
            span.attributes.append(KeyValue({key!r}, AnyValue({value!r})))
"""


def _rotel(job: Job, ports: Ports, scratch: Path) -> Launch:
    """Rotel with the same batch size (8192 spans, 200 ms) and protocol.

    It has no zstd, and gzips what it sends even when told `none`.
    """
    if job.compression == "zstd" or job.durable:
        raise ValueError("rotel: has no zstd and no durable queue")
    out = f"http://127.0.0.1:{ports.grpc_out if job.protocol == 'grpc' else ports.http_out}"
    command = [
        *(
            str(rotel_binary()),
            "start",
            "--pid-file",
            str(scratch / "rotel.pid"),
            "--log-file",
            str(scratch / "rotel.log"),
        ),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{ports.grpc_in}", "--otlp-http-endpoint", f"127.0.0.1:{ports.http_in}"),
        *("--otlp-grpc-max-recv-msg-size-mib", "64", "--exporter", "otlp", "--otlp-exporter-endpoint", out),
        *("--otlp-exporter-protocol", job.protocol, "--otlp-exporter-compression", job.compression),
    ]
    if job.batch != "processor":
        command.append("--disable-batching")
    if job.insert_attribute:
        processor = scratch / "insert.py"
        processor.write_text(ROTEL_PROCESSOR.format(key=ATTRIBUTE[0], value=ATTRIBUTE[1]))
        command += ["--otlp-with-trace-processor", str(processor)]
    return Launch(command)


OPHION = System("ophion", _ophion)
ROTEL = System("rotel", _rotel)
OTELCOL = System("otelcol", _otelcol)


def bare_hop(way: str) -> System:
    """One of the ways of `benchmarks.bare_hop` as a system."""

    def launch(job: Job, ports: Ports, scratch: Path) -> Launch:
        listen, target = f"127.0.0.1:{ports.grpc_in}", f"127.0.0.1:{ports.grpc_out}"
        command = ["-m", "benchmarks.bare_hop", "--serve", way, "--listen", listen, "--target", target]
        return Launch([sys.executable, *command])

    return System(way, launch)


def installed(system: System) -> bool:
    """Whether the program of this system is on the machine."""
    programs = {
        OPHION.name: Path(installed_program("ophion-agent")),
        ROTEL.name: rotel_binary(),
        OTELCOL.name: otelcol_binary(),
    }
    binary = programs.get(system.name)
    return binary is None or binary.exists()
