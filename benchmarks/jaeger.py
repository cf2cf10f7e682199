"""Jaeger 2 with its Badger store, as a peer of trace searches: the binary that the variable JAEGER names."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from benchmarks.process import BenchmarkError, Measured, free_port

KEPT = "72h"


@dataclass(frozen=True)
class Jaeger:
    """A running Jaeger."""

    grpc: int
    query: int
    process: Measured

    def get(self, path: str, **parameters: object) -> Any:
        """The `data` of a GET of its API."""
        line = http.client.HTTPConnection("127.0.0.1", self.query, timeout=300)
        try:
            line.request("GET", f"{path}?{urlencode(parameters)}")
            response = line.getresponse()
            body = response.read()
        finally:
            line.close()
        if response.status != 200:
            raise BenchmarkError(f"jaeger: {path}: {response.status}: {body[:300]!r}")
        return json.loads(body)["data"]


def configuration(directory: Path, grpc: int, query: int, spare: int) -> dict[str, Any]:
    """OTLP in, Badger on the disk, the query API."""
    folders = {"keys": str(directory / "keys"), "values": str(directory / "values")}
    badger = {"directories": folders, "ephemeral": False, "ttl": {"spans": KEPT}}
    return {
        "extensions": {
            "jaeger_storage": {"backends": {"store": {"badger": badger}}},
            "jaeger_query": {
                "storage": {"traces": "store"},
                "http": {"endpoint": f"127.0.0.1:{query}"},
                "grpc": {"endpoint": f"127.0.0.1:{spare}"},
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{grpc}", "max_recv_msg_size_mib": 64}}}},
        "processors": {"batch": {}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "store"}},
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
    }


@contextmanager
def jaeger(directory: Path) -> Iterator[Jaeger | None]:
    """A Jaeger with an empty store; None without JAEGER in the environment."""
    binary = os.environ.get("JAEGER", "")
    if not binary:
        print("- (JAEGER names no Jaeger binary: left out)", flush=True)
        yield None
        return
    directory.mkdir(parents=True, exist_ok=True)
    grpc, query, spare = (free_port() for _ in range(3))
    config = directory / "jaeger.yaml"
    config.write_text(yaml.safe_dump(configuration(directory, grpc, query, spare)))
    with Measured([binary, "--config", str(config)], directory / "jaeger.log") as process:
        process.wait_for_port(query)
        process.wait_for_port(grpc)
        yield Jaeger(grpc, query, process)
