"""Exporters to the console, to files and to Prometheus."""

from ophion_agent.plugin import Components, Removed, hookimpl
from ophion_exporters.debug import DebugExporter
from ophion_exporters.file import FileExporter
from ophion_exporters.prometheus import PrometheusExporter


@hookimpl
def ophion_components() -> Components:
    """Register the exporters, and what replaced those that otelcol has dropped."""
    return [
        DebugExporter,
        FileExporter,
        PrometheusExporter,
        Removed("exporter", "jaeger", "use `otlp`: Jaeger takes OTLP on port 4317"),
        Removed("exporter", "jaeger_thrift", "use `otlp`: Jaeger takes OTLP on port 4317"),
        Removed("exporter", "loki", "use `otlphttp`: Loki takes OTLP at /otlp"),
        Removed("exporter", "opencensus", "use `otlp`"),
    ]
