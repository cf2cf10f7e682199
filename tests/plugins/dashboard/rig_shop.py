"""The shop of `rig_plan` as an application with the OpenTelemetry Python SDK: its traces and logs, over OTLP gRPC.

python -m tests.plugins.dashboard.rig_shop ENDPOINT NOW_NS FIRST PREFIX

Sends the traces from number FIRST on, with the times that they had before NOW_NS; service names get the PREFIX. A
program of its own, because the SDK's threads would live on in the process of the tests. Prints what it sent as JSON:
`{"spans": 1, "traces": 1, "lines": {"info": 1, ...}}`.
"""

import json
import random
import sys
from collections import Counter
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode

from tests.plugins.dashboard.rig_plan import (
    INSTANCES,
    TRACES,
    Instance,
    Line,
    Step,
    instance_of,
    started_ns,
    trace_id,
    trace_plan,
)

KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "internal": SpanKind.INTERNAL,
}
LEVELS = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warn": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}
_QUEUE = {"max_queue_size": 100_000, "max_export_batch_size": 4096, "schedule_delay_millis": 1000}


class CardDeclined(Exception):  # noqa: N818 - the name stands in the spans
    """What the shop's payments fail with."""


class Ids(IdGenerator):
    """Ids that are the same at every run; the trace's is set by whoever begins it."""

    def __init__(self, seed: int) -> None:
        self.trace = 0
        self._random = random.Random(seed)

    def generate_trace_id(self) -> int:
        """Return the id of the trace that was begun."""
        return self.trace

    def generate_span_id(self) -> int:
        """Return a new id."""
        return self._random.getrandbits(63) + 1


class Shop:
    """The processes of the shop, all in this one."""

    def __init__(self, endpoint: str, prefix: str, seed: int) -> None:
        self.ids, self._prefix = Ids(seed), prefix
        self.spans, self.lines = 0, Counter[str]()
        options: dict[str, Any] = {"endpoint": endpoint, "insecure": True}
        self._span_processor = BatchSpanProcessor(OTLPSpanExporter(**options), **_QUEUE)
        self._log_processor = BatchLogRecordProcessor(OTLPLogExporter(**options), **_QUEUE)
        self._tracers: dict[str, trace.Tracer] = {}
        self._loggers: dict[str, Any] = {}
        for instance in INSTANCES:
            self._add(instance)

    def _add(self, instance: Instance) -> None:
        attributes = instance.attributes()
        resource = Resource.create({**attributes, "service.name": f"{self._prefix}{instance.service}"})
        tracing = TracerProvider(resource=resource, id_generator=self.ids, shutdown_on_exit=False)
        tracing.add_span_processor(self._span_processor)
        logging = LoggerProvider(resource=resource, shutdown_on_exit=False)
        logging.add_log_record_processor(self._log_processor)
        self._tracers[instance.container] = tracing.get_tracer("shop.http", "1.4.0")
        self._loggers[instance.container] = logging.get_logger(f"shop.{instance.service}")

    def serve(self, number: int, now_ns: int) -> None:
        """Play one trace."""
        self.ids.trace = int(trace_id(number, self._prefix), 16)
        self._play(trace_plan(number), number, started_ns(number, now_ns), otel_context.Context())

    def _play(self, step: Step, number: int, start_ns: int, parent: otel_context.Context) -> None:
        container = instance_of(step.service, number).container
        end_ns = start_ns + int(step.milliseconds * 1e6)
        span = self._tracers[container].start_span(
            step.name, parent, kind=KINDS[step.kind], attributes=dict(step.attributes), start_time=start_ns
        )
        self.spans += 1
        context = trace.set_span_in_context(span, parent)
        child_ns = start_ns + int(step.own_ms * 0.4e6)
        for child in step.children:
            self._play(child, number, child_ns, context)
            child_ns += 0 if step.parallel else int(child.milliseconds * 1e6)
        for line in step.lines:
            self._write(container, line, start_ns + int((end_ns - start_ns) * line.late), context)
        if step.exception:
            span.record_exception(CardDeclined(step.exception), timestamp=end_ns - 100_000)
        if step.error:
            span.set_status(Status(StatusCode.ERROR, step.error))
        span.end(end_ns)

    def _write(self, container: str, line: Line, time_ns: int, context: otel_context.Context) -> None:
        self.lines[line.level] += 1
        self._loggers[container].emit(
            LogRecord(
                timestamp=time_ns,
                observed_timestamp=time_ns,
                context=context,
                severity_number=LEVELS[line.level],
                severity_text=line.level.upper(),
                body=line.body,
                attributes=dict(line.attributes),
            )
        )

    def close(self) -> bool:
        """Send what is left; False when something was not taken."""
        taken = [processor.force_flush() for processor in (self._span_processor, self._log_processor)]
        self._span_processor.shutdown()
        self._log_processor.shutdown()
        return all(taken)


def main() -> int:
    """Play the traces."""
    endpoint, now, first, prefix = sys.argv[1:]
    shop = Shop(endpoint, prefix, int(first))
    for number in range(int(first), TRACES):
        shop.serve(number, int(now))
    is_taken = shop.close()
    json.dump({"spans": shop.spans, "traces": TRACES - int(first), "lines": shop.lines}, sys.stdout)
    return 0 if is_taken else 1


if __name__ == "__main__":
    sys.exit(main())
