"""The options of the telemetry store."""

from typing import Literal

from pydantic import Field, model_validator

from ophion_agent.plugin import ByteSize, Config, Duration, Secret
from ophion_agent.server import check_tenant
from ophion_agent.tls import TLSClientConfig

GIB = 1 << 30


class RetentionConfig(Config):
    """How many days telemetry is kept after it arrived; 0 keeps it for ever."""

    traces: int = Field(14, ge=0, le=3650, description="Days that spans are kept.")
    metrics: int = Field(90, ge=0, le=3650, description="Days that samples and histograms are kept.")
    logs: int = Field(14, ge=0, le=3650, description="Days that log records are kept.")


class QueryConfig(Config):
    """What queries may use."""

    timeout: Duration = Field(30.0, gt=0, description="Longest time of one query.")
    memory: ByteSize = Field(GIB // 2, gt=0, description="Most memory of one query.")
    rows: int = Field(1_000_000, gt=0, description="Most rows in the result of one query.")
    concurrency: int = Field(4, ge=1, le=256, description="Queries that run at the same time; others wait their turn.")
    threads: int = Field(2, ge=1, le=256, description="Threads of one query.")
    queue_timeout: Duration = Field(10.0, gt=0, description="Longest wait of a query for its turn.")


class ClickHouseConfig(Config):
    """A ClickHouse server or cluster instead of the embedded engine."""

    urls: list[str] = Field(
        min_length=1, description="HTTP addresses, such as https://ch-1.example.com:8443; tried in turn."
    )
    user: str = Field("default", description="User name.")
    password: Secret | None = Field(None, description="Password.")
    connect_timeout: Duration = Field(5.0, gt=0, description="Time limit to connect.")
    insert_timeout: Duration = Field(60.0, gt=0, description="Time limit of one insert.")
    tls: TLSClientConfig = Field(TLSClientConfig(), description="How to check the server, and a client certificate.")
    replicated: bool = Field(False, description="Create replicated tables; needs a cluster with Keeper.")


class StoreConfig(Config):
    """Where telemetry is kept."""

    engine: Literal["embedded", "clickhouse"] = Field(
        "embedded", description="`embedded` keeps everything in `directory`; `clickhouse` uses the server below."
    )
    directory: str = Field("./var/telemetry", description="Directory of the embedded engine; one process may use it.")
    memory: ByteSize = Field(
        2 * GIB, ge=GIB // 4, description="Most memory of the embedded engine, queries and merges."
    )
    clickhouse: ClickHouseConfig | None = Field(None, description="The server that `engine: clickhouse` uses.")
    retention: RetentionConfig = Field(RetentionConfig(), description="How long telemetry is kept.")
    tenants: dict[str, RetentionConfig] = Field({}, description="Retention of single tenants, instead of the above.")
    query: QueryConfig = Field(QueryConfig(), description="Limits of queries.")
    promote_resource_attributes: list[str] = Field(
        [
            "service.name",
            "service.namespace",
            "service.version",
            "deployment.environment.name",
            "host.name",
            "container.name",
            "container.id",
            "k8s.cluster.name",
            "k8s.namespace.name",
            "k8s.node.name",
            "k8s.pod.name",
            "k8s.container.name",
            "k8s.deployment.name",
        ],
        description="Resource attributes that become labels of every series, beside `job` and `instance`.",
    )

    @model_validator(mode="after")
    def _engine_has_its_options(self) -> "StoreConfig":
        if (self.engine == "clickhouse") != (self.clickhouse is not None):
            raise ValueError("`engine: clickhouse` and the section `clickhouse` belong together; give both or neither")
        for tenant in self.tenants:
            check_tenant(tenant)
        return self
