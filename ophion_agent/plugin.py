"""Everything a plugin author imports.

from ophion_agent.plugin import Components, Config, Logs, Processor, hookimpl
"""

from ophion_agent.attempts import Attempt
from ophion_agent.batch import (
    NO_METADATA,
    SENDER_PREFIX,
    SIGNALS,
    Batch,
    Logs,
    Metadata,
    Metrics,
    Traces,
    sender_metadata,
)
from ophion_agent.clock import Clock
from ophion_agent.component import (
    Component,
    Components,
    Config,
    Connector,
    Consumer,
    Exporter,
    Extension,
    Gate,
    Processor,
    Receiver,
    Removed,
)
from ophion_agent.context import Context
from ophion_agent.delivery import (
    DeadLetterConfig,
    ExporterConfig,
    QueueBatchConfig,
    QueueConfig,
    RetryConfig,
    null_is_default,
)
from ophion_agent.durable import DirectoryInUse, DurableQueue
from ophion_agent.errors import OphionError, PermanentError, RetryableError, Unauthenticated
from ophion_agent.fields import ByteSize, Duration, Endpoint, Secret, SignedDuration, Text, parse_endpoint
from ophion_agent.health import Health, Readiness, Status
from ophion_agent.hints import nearest
from ophion_agent.hookspecs import hookimpl
from ophion_agent.info import AgentInfo, ComponentInfo, EdgeInfo, PipelineInfo, QueueInfo
from ophion_agent.log import Log, agent_logger, fields_of
from ophion_agent.self_metrics import Counter, Sample
from ophion_agent.services import (
    CLIENT_AUTH,
    QUEUE_STORAGE,
    SERVER_AUTH,
    ClientAuth,
    Provides,
    QueueStorage,
    ServerAuth,
    ServiceKey,
)
from ophion_agent.views import LogsView, MetricsView, TracesView, View, points_of

__all__ = [
    "CLIENT_AUTH",
    "NO_METADATA",
    "QUEUE_STORAGE",
    "SENDER_PREFIX",
    "SERVER_AUTH",
    "SIGNALS",
    "AgentInfo",
    "Attempt",
    "Batch",
    "ByteSize",
    "ClientAuth",
    "Clock",
    "Component",
    "ComponentInfo",
    "Components",
    "Config",
    "Connector",
    "Consumer",
    "Context",
    "Counter",
    "DeadLetterConfig",
    "DirectoryInUse",
    "DurableQueue",
    "Duration",
    "EdgeInfo",
    "Endpoint",
    "Exporter",
    "ExporterConfig",
    "Extension",
    "Gate",
    "Health",
    "Log",
    "Logs",
    "LogsView",
    "Metadata",
    "Metrics",
    "MetricsView",
    "OphionError",
    "PermanentError",
    "PipelineInfo",
    "Processor",
    "Provides",
    "QueueBatchConfig",
    "QueueConfig",
    "QueueInfo",
    "QueueStorage",
    "Readiness",
    "Receiver",
    "Removed",
    "RetryConfig",
    "RetryableError",
    "Sample",
    "Secret",
    "ServerAuth",
    "ServiceKey",
    "SignedDuration",
    "Status",
    "Text",
    "Traces",
    "TracesView",
    "Unauthenticated",
    "View",
    "agent_logger",
    "fields_of",
    "hookimpl",
    "nearest",
    "null_is_default",
    "parse_endpoint",
    "points_of",
    "sender_metadata",
]
