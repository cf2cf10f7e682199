"""OpenTelemetry for this process: traces, metrics and logs over OTLP/HTTP.

What is left open here is read from OTEL_* variables: the endpoint (http://localhost:4318), the sampler, the intervals.
"""

import logging

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

DEFAULTS = {"service.name": "shop-python", "service.version": "1.0.0", "deployment.environment.name": "example"}


class Telemetry:
    """The three providers, registered for the whole process."""

    def __init__(self) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the defaults.
        resource = Resource.create(DEFAULTS).merge(OTELResourceDetector().detect())

        # Each ends by `shut_down`, in an order of ours, rather than by an exit handler of its own.
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(self.traces)

        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self.metrics = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(self.metrics)

        self.logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
        set_logger_provider(self.logs)

        # Every record of `logging` goes to the console and to OpenTelemetry, with the trace and span that are active.
        console = logging.StreamHandler()
        # Of this handler alone: the other one would send the formatted text as the message.
        console.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        for handler in (console, LoggingHandler(logger_provider=self.logs)):
            logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.INFO)

    def shut_down(self) -> None:
        """Send what is still buffered; a process that ends without this loses its last seconds."""
        self.traces.shutdown()
        self.metrics.shutdown()
        self.logs.shutdown()
