"""OTLP in and out, over gRPC and HTTP."""

from ophion_agent.plugin import Components, hookimpl
from ophion_otlp.grpc_exporter import OTLPExporter
from ophion_otlp.http_exporter import OTLPHTTPExporter
from ophion_otlp.receiver import OTLPReceiver


@hookimpl
def ophion_components() -> Components:
    """Register the OTLP receiver and exporters."""
    return [OTLPReceiver, OTLPExporter, OTLPHTTPExporter]
