"""How long it takes from an acknowledgement until a query finds what was acknowledged."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.payloads import Signal, attribute, resource
from benchmarks.process import BenchmarkError
from benchmarks.server_process import Server

# A poll is a query that the server answers beside the load, so there are few.
POLL_SECONDS = 0.1
PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
SERVICE = "probe"


def probe(signal: Signal, name: str, now_ns: int) -> bytes:
    """An encoded request of one item that only a query for `name`, 32 hexadecimal digits, finds."""
    match signal:
        case "traces":
            traces = ExportTraceServiceRequest()
            spans = traces.resource_spans.add(resource=resource(SERVICE)).scope_spans.add().spans
            times = {"start_time_unix_nano": now_ns, "end_time_unix_nano": now_ns + 1_000_000}
            spans.add(trace_id=bytes.fromhex(name), span_id=os.urandom(8), name="probe", **times)
            return traces.SerializeToString()
        case "logs":
            logs = ExportLogsServiceRequest()
            record = logs.resource_logs.add(resource=resource(SERVICE)).scope_logs.add().log_records.add()
            record.time_unix_nano = now_ns
            record.body.string_value = f"probe {name}"
            return logs.SerializeToString()
        case "metrics":
            metrics = ExportMetricsServiceRequest()
            metric = metrics.resource_metrics.add(resource=resource(SERVICE)).scope_metrics.add().metrics.add()
            metric.name = "benchmark.probe"
            point = metric.gauge.data_points.add(time_unix_nano=now_ns, as_int=1)
            point.attributes.append(attribute("name", name))
            return metrics.SerializeToString()


def is_visible(server: Server, signal: Signal, name: str) -> bool:
    """Whether a query finds the probe."""
    match signal:
        case "traces":
            status, answer = server.ask("GET", f"/api/traces/{name}")
            if status not in (200, 404):
                raise BenchmarkError(f"probe: {status}: {answer[:300]!r}")
            return status == 200
        case "logs":
            return bool(server.post("/api/logs/query", {"query": name, "service": SERVICE, "from": "now-5m"})["logs"])
        case "metrics":
            found = server.get("/api/v1/query", query=f'benchmark_probe{{name="{name}"}}')
            return bool(found["data"]["result"])


class Probes:
    """Sends one probe after the other and waits until each is seen."""

    def __init__(self, server: Server, signal: Signal) -> None:
        self.server = server
        self.signal = signal
        self.milliseconds: list[float] = []
        self.items = 0
        self.failure = ""

    def run(self, done: threading.Event) -> None:
        """Probe until `done`; `failure` says why it ended before."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.http, timeout=30)
        try:
            while not done.wait(PAUSE_SECONDS):
                self.milliseconds.append(self._once(line))
        except (BenchmarkError, OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            self.failure = f"{self.signal}: {error}"
        finally:
            line.close()

    def _once(self, line: http.client.HTTPConnection) -> float:
        name = os.urandom(16).hex()
        body = probe(self.signal, name, time.time_ns())
        line.request("POST", f"/v1/{self.signal}", body, {"Content-Type": "application/x-protobuf"})
        response = line.getresponse()
        answer = response.read()
        if response.status != 200:
            raise BenchmarkError(f"probe: refused with {response.status}: {answer[:300]!r}")
        self.items += 1
        acknowledged = time.perf_counter()
        while not is_visible(self.server, self.signal, name):
            if time.perf_counter() - acknowledged > PATIENCE_SECONDS:
                raise BenchmarkError(f"probe {name}: not seen within {PATIENCE_SECONDS:g} s")
            time.sleep(POLL_SECONDS)
        return (time.perf_counter() - acknowledged) * 1000
