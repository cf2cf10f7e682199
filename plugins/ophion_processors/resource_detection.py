"""The `resourcedetection` processor: adds what is known of this host to the resource of everything that passes."""

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from ophion_agent.plugin import Config, Context, Duration, Logs, Metrics, Processor, Traces, null_is_default
from ophion_processors.actions import ActionConfig, ActionList
from ophion_processors.detect_docker import DOCKER_ATTRIBUTES, detect_docker
from ophion_processors.detect_env import detect_env
from ophion_processors.detect_system import SYSTEM_ATTRIBUTES, detect_system

DETECTORS = ("env", "system", "docker")
# fmt: off
_NOT_INCLUDED = frozenset((
    "akamai", "aks", "alibaba_ecs", "azure", "azurecontainerapps", "consul", "digitalocean", "dynatrace", "ec2",
    "ecs", "eks", "elastic_beanstalk", "gce", "gcp", "gke", "heroku", "hetzner", "ibmcloud_classic",
    "ibmcloud_vpc", "k8s_api", "k8snode", "kubeadm", "lambda", "nova", "openshift", "oraclecloud", "scaleway",
    "tencent_cvm", "upcloud", "vultr",
))
# fmt: on


def _known_detector(name: str) -> str:
    if name in DETECTORS:
        return name
    known = "is a detector of otelcol that is not included here" if name in _NOT_INCLUDED else "is unknown"
    raise ValueError(f"detector {name!r} {known}; valid: {', '.join(DETECTORS)}")


class ToggleConfig(Config):
    """One attribute of a detector."""

    enabled: bool = Field(description="Whether the attribute is added.")


Toggles = dict[str, ToggleConfig]


def _known_attributes(valid: dict[str, bool]) -> Any:
    def check(toggles: Toggles) -> Toggles:
        unknown = sorted(set(toggles) - set(valid))
        if unknown:
            raise ValueError(f"unknown attribute {unknown[0]!r}; valid: {', '.join(sorted(valid))}")
        return toggles

    return AfterValidator(check)


def _enabled(defaults: dict[str, bool], toggles: Toggles) -> frozenset[str]:
    chosen = defaults | {name: toggle.enabled for name, toggle in toggles.items()}
    return frozenset(name for name, enabled in chosen.items() if enabled)


class EnvDetectorConfig(Config):
    """Options of the env detector."""

    allowlist: list[str] | None = Field(None, description="Only these attributes are taken; by default all are.")


class SystemDetectorConfig(Config):
    """Options of the system detector."""

    hostname_sources: list[Literal["dns", "os", "cname", "lookup"]] = Field(
        ["dns", "os"], description="Where host.name is taken from: the first source that has it."
    )
    resource_attributes: Annotated[Toggles, _known_attributes(SYSTEM_ATTRIBUTES)] = Field(
        {}, description="Attributes to add or leave out, as `host.id: {enabled: true}`."
    )


class DockerDetectorConfig(Config):
    """Options of the docker detector."""

    endpoint: str = Field("", description="Address of the engine; by default DOCKER_HOST or /var/run/docker.sock.")
    resource_attributes: Annotated[Toggles, _known_attributes(DOCKER_ATTRIBUTES)] = Field(
        {}, description="Attributes to add or leave out, as `os.type: {enabled: false}`."
    )


class DetectionRetryConfig(Config):
    """Retry of a detector that fails; it goes on in the background until the detector succeeds."""

    enabled: bool = Field(True, description="Retry at all.")
    initial_interval: Duration = Field(1.0, gt=0, description="Wait before the first retry.")
    randomization_factor: float = Field(0.5, ge=0, le=1, description="Without effect: one agent asks its own host.")
    multiplier: float = Field(2.0, ge=1, description="Factor from one wait to the next.")
    max_interval: Duration = Field(30.0, gt=0, description="Longest wait between two tries.")
    max_elapsed_time: Duration = Field(0.0, ge=0, description="Give up after this long; 0 is never.")


class ResourceDetectionConfig(Config):
    """Options of the resourcedetection processor."""

    detectors: list[Annotated[str, AfterValidator(_known_detector)]] = Field(
        ["env"], description="Detectors to run: env, system, docker. Of two that give an attribute the first one wins."
    )
    override: bool = Field(True, description="Replace attributes that the resource has already.")
    timeout: Duration = Field(5.0, gt=0, description="Time limit of one run of a detector.")
    attributes: list[str] | None = Field(None, description="Add only these attributes (deprecated).")
    refresh_interval: Duration = Field(0.0, ge=0, description="Detect again this often; 0 is once.")
    fail_on_missing_metadata: bool = Field(False, description="Do not start when a detector fails.")
    retry: Annotated[DetectionRetryConfig, BeforeValidator(null_is_default)] = Field(
        DetectionRetryConfig(), description="Retry of detectors that fail."
    )
    env: Annotated[EnvDetectorConfig, BeforeValidator(null_is_default)] = Field(
        EnvDetectorConfig(), description="Options of the env detector."
    )
    system: Annotated[SystemDetectorConfig, BeforeValidator(null_is_default)] = Field(
        SystemDetectorConfig(), description="Options of the system detector."
    )
    docker: Annotated[DockerDetectorConfig, BeforeValidator(null_is_default)] = Field(
        DockerDetectorConfig(), description="Options of the docker detector."
    )

    @field_validator("detectors", mode="after")
    @classmethod
    def _is_not_empty(cls, detectors: list[str]) -> list[str]:
        if not detectors:
            raise ValueError(f"must name at least one detector; valid: {', '.join(DETECTORS)}")
        return detectors


class ResourceDetection(Processor[ResourceDetectionConfig, Traces | Metrics | Logs]):
    """Adds attributes of this host to every resource; the records below stay encoded.

    Detectors run at the start, each under the timeout. One that fails is logged and tried again in the background;
    until it succeeds, its attributes are missing and the component is degraded.
    """

    type_name = "resourcedetection"
    aliases = ("resource_detection",)

    def __init__(self, config: ResourceDetectionConfig, context: Context) -> None:
        super().__init__(config, context)
        self._found: dict[str, dict[str, object]] = {}
        self._actions = ActionList([])

    async def start(self) -> None:
        """Run every detector once; failures are retried in the background unless fail_on_missing_metadata is set."""
        failed = await self._detect(self.config.detectors)
        if failed and self.config.fail_on_missing_metadata:
            raise RuntimeError(f"resourcedetection: detectors failed: {', '.join(failed)}")
        if failed and self.config.retry.enabled:
            self.context.spawn("retry", lambda: self._retry(failed))
        if self.config.refresh_interval:
            self.context.spawn("refresh", self._refresh)

    async def process(self, batch: Traces | Metrics | Logs) -> Traces | Metrics | Logs:
        """Return the batch with the detected attributes on every resource."""
        if self._found:
            for resource in batch.edit_resources():
                self._actions.apply(resource.attributes, batch.metadata)
        return batch

    async def _refresh(self) -> None:
        while True:
            await self.context.clock.sleep(self.config.refresh_interval)
            await self._detect(self.config.detectors)

    async def _retry(self, failed: Sequence[str]) -> None:
        retry, clock = self.config.retry, self.context.clock
        began, wait = clock.monotonic(), retry.initial_interval
        while failed and not 0 < retry.max_elapsed_time <= clock.monotonic() - began:
            await clock.sleep(wait)
            wait = min(wait * retry.multiplier, retry.max_interval)
            failed = await self._detect(failed)

    async def _detect(self, detectors: Sequence[str]) -> list[str]:
        """Run the detectors, take over what they find, and return those that failed."""
        outcomes = await asyncio.gather(*(self._run(name) for name in detectors))
        failed = {name: reason for name, reason in zip(detectors, outcomes, strict=True) if reason}
        for name, reason in failed.items():
            self.log.warning("detector_failed", detector=name, error=reason)
        self._merge()
        if failed:
            self.context.health.degraded("; ".join(f"detector {name}: {reason}" for name, reason in failed.items()))
        else:
            self.context.health.ok()
        return list(failed)

    async def _run(self, name: str) -> str:
        """Run one detector and keep what it finds; return why it failed, or nothing."""
        try:
            found = await self.context.clock.wait_for(self._detector(name), self.config.timeout)
        except TimeoutError:
            return f"no answer within {self.config.timeout:g}s"
        except Exception as error:  # noqa: BLE001 - a detector meets whatever host it runs on
            return f"{type(error).__name__}: {error}"
        self._found[name] = found
        return ""

    async def _detector(self, name: str) -> dict[str, object]:
        config = self.config
        if name == "docker":
            enabled = _enabled(DOCKER_ATTRIBUTES, config.docker.resource_attributes)
            return await detect_docker(enabled, config.timeout, config.docker.endpoint)
        if name == "system":
            enabled = _enabled(SYSTEM_ATTRIBUTES, config.system.resource_attributes)
            return await asyncio.to_thread(detect_system, enabled, config.system.hostname_sources)
        allowed, found = config.env.allowlist, detect_env(os.environ)
        return found if allowed is None else {name: value for name, value in found.items() if name in allowed}

    def _merge(self) -> None:
        merged: dict[str, object] = {}
        for name in reversed(self.config.detectors):
            merged |= self._found.get(name, {})
        wanted = self.config.attributes
        action = "upsert" if self.config.override else "insert"
        self._actions = ActionList(
            ActionConfig.model_validate({"key": key, "value": value, "action": action})
            for key, value in merged.items()
            if wanted is None or key in wanted
        )
