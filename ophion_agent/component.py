"""The plugin contract: receivers, processors, exporters, connectors and extensions.

A component is a config model, a `type_name` and an implementation. The type parameters of its class say which config it
takes and which signals it handles: `class Foo(Receiver[FooConfig, Metrics])`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from ophion_agent.batch import Batch, Logs, Metrics, Traces
from ophion_agent.context import Context
from ophion_agent.errors import OphionError, PermanentError, RetryableError
from ophion_agent.self_metrics import Counter
from ophion_agent.services import ServiceKey

ALL_SIGNALS: frozenset[type[Batch]] = frozenset({Traces, Metrics, Logs})


class Config(BaseModel):
    """What the user writes for a component. Unknown keys are refused; every field has a description."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


C = TypeVar("C", bound=Config)
S = TypeVar("S", bound=Batch)


class Consumer(Protocol):
    """Takes batches: the next processor, an exporter's queue, or a fan-out to several."""

    async def consume(self, batch: Any, /) -> None:
        """Take the batch, which then belongs to the consumer; raise RetryableError or PermanentError when not taken."""


class Component(Generic[C]):
    """Base of all components. `__init__` does no I/O and starts no task; `start` does."""

    kind: ClassVar[str] = ""
    type_name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    config_type: ClassVar[type[Config]] = Config
    handles: ClassVar[frozenset[type[Batch]]] = frozenset()
    provides: ClassVar[tuple[ServiceKey[Any], ...]] = ()
    requires: ClassVar[tuple[ServiceKey[Any], ...]] = ()
    # Services of which every provider is wanted, none included: `context.services(KEY)`. They start before this one.
    gathers: ClassVar[tuple[ServiceKey[Any], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        arguments = _component_arguments(cls)
        if not arguments or any(isinstance(argument, TypeVar) for argument in arguments):
            return
        cls.config_type = arguments[0]
        if len(arguments) > 1:
            cls.handles = _signals_of(arguments[1])
        if not cls.type_name:
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: needs a type_name, such as `type_name = 'my_{cls.kind}'`"
            )

    def __init__(self, config: C, context: Context) -> None:
        self.config = config
        self.context = context
        self.log = context.log

    async def start(self) -> None:
        """Open sockets and files, start tasks with `context.spawn`. An exception stops the agent's start."""

    async def stop(self) -> None:
        """Close everything; called after a drain, safe without a start and safe twice."""

    def addresses(self) -> list[str]:
        """Return where a started component can be reached, such as `http://localhost:4318`, to be shown to people."""
        return []


def _component_arguments(cls: type) -> tuple[Any, ...]:
    for base in cls.__dict__.get("__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Component):
            return get_args(base)
    return ()


def _signals_of(argument: Any) -> frozenset[type[Batch]]:
    members = get_args(argument) if get_origin(argument) in (Union, UnionType) else (argument,)
    return ALL_SIGNALS if Batch in members else frozenset(members)


class Unconnected:
    """The consumer before the framework connects the real one."""

    async def consume(self, batch: Any, /) -> None:
        raise RuntimeError("this component is not part of a pipeline; the framework or a test connects it first")


class _Emitter(Component[C], Generic[C, S]):
    """What receivers and connectors have in common: a consumer per signal."""

    def __init__(self, config: C, context: Context) -> None:
        super().__init__(config, context)
        self._outputs: Mapping[type[Batch], Consumer] = {}

    @property
    def signals(self) -> frozenset[type[Batch]]:
        """The signals that configured pipelines take from this component."""
        return frozenset(self._outputs)

    def connect(self, outputs: Mapping[type[Batch], Consumer]) -> None:
        """Set the consumer of each signal; called by the framework before `start`, and again at a reload."""
        self._outputs = outputs


@dataclass(slots=True)
class _Counts:
    accepted: Counter
    refused: Counter
    failed: Counter


class Receiver(_Emitter[C, S], Generic[C, S]):
    """Brings telemetry into pipelines."""

    kind = "receiver"

    def __init__(self, config: C, context: Context) -> None:
        super().__init__(config, context)
        self._gates: Sequence[Callable[[int], None]] = ()
        self._counts: dict[tuple[type[Batch], str], _Counts] = {}

    def guard(self, gates: Sequence[Callable[[int], None]]) -> None:
        """Set the admission gates of the pipelines downstream; called by the framework."""
        self._gates = gates

    def admit(self, nbytes: int) -> None:
        """Ask every memory limiter downstream whether `nbytes` may come in; raise RetryableError when not.

        To be called before anything is decoded.
        """
        for gate in self._gates:
            gate(nbytes)

    async def emit(self, batch: S, transport: str = "") -> None:
        """Pass a batch on; return when every exporter has delivered it or taken responsibility for it.

        Raises RetryableError or PermanentError for the sender to be told.
        """
        counts = self._counts_of(type(batch), transport)
        items = len(batch)
        try:
            await self._outputs[type(batch)].consume(batch)
        except OphionError:
            counts.refused.add(items)
            raise
        except Exception as error:
            counts.failed.add(items)
            self.log.exception("pipeline_failed", signal=batch.signal, items=items)
            raise RetryableError(f"receiver {self.context.id}: internal error in the pipeline: {error!r}") from error
        counts.accepted.add(items)

    def refuse(self, signal: type[Batch], items: int = 0, transport: str = "") -> None:
        """Count input that was refused before it became a batch; `items` is 0 where it could not be counted."""
        self._counts_of(signal, transport).refused.add(items)
        attributes = {"transport": transport} if transport else {}
        self.context.counter("ophion_receiver_refused_requests", signal=signal.signal, **attributes).add()

    def _counts_of(self, signal: type[Batch], transport: str) -> _Counts:
        key = (signal, transport)
        if key not in self._counts:
            attributes = {"transport": transport} if transport else {}
            counters = (
                self.context.counter(f"otelcol_receiver_{outcome}_{signal.item_name}", **attributes)
                for outcome in ("accepted", "refused", "failed")
            )
            self._counts[key] = _Counts(*counters)
        return self._counts[key]


class Processor(Component[C], Generic[C, S]):
    """Changes, drops, buffers or regroups batches of one pipeline. Each pipeline has its own instance."""

    kind = "processor"

    def __init__(self, config: C, context: Context) -> None:
        super().__init__(config, context)
        self.next: Consumer = Unconnected()
        # Whether senders may be answered only once `next` took their data. The framework sets it to False where every
        # exporter downstream queues in memory: data that a processor buffers is then as safe as data they queue.
        self.must_wait = True

    async def process(self, batch: S) -> S | None:
        """Return the batch to pass on, or None to drop it; edit by `batch.edit()` or `batch.edit_resources()`."""
        raise NotImplementedError(f"{type(self).__qualname__}: override process() or consume()")

    async def consume(self, batch: S, /) -> None:
        """Process and pass on. Override this instead of `process` to buffer, split or regroup, and use `self.next`."""
        processed = await self.process(batch)
        if processed is not None:
            await self.next.consume(processed)

    def hurry(self) -> None:
        """Stop waiting for more: the agent is stopping, and senders may wait for what is buffered here.

        Called before receivers stop, so batches still come in.
        """

    async def drain(self) -> None:
        """Pass on what is buffered; called once everything upstream has stopped."""


class Gate(Protocol):
    """A processor with this method is asked by receivers before they decode a request."""

    def admit(self, nbytes: int) -> None:
        """Raise RetryableError when `nbytes` more may not come in now."""


class Exporter(Component[C], Generic[C, S]):
    """Delivers batches. Queue, batching, retry, timeout and dead letters are the framework's (`ExporterConfig`)."""

    kind = "exporter"

    async def export(self, batch: S) -> None:
        """Try once to deliver the batch.

        Raise RetryableError when a later try may succeed and PermanentError when none can; any other exception counts
        as retryable and is logged as a fault of the exporter.
        """
        raise NotImplementedError(f"{type(self).__qualname__}: override export()")


class Connector(_Emitter[C, S], Generic[C, S]):
    """Ends some pipelines and begins others. `emits` maps each signal it takes to those it may emit."""

    kind = "connector"
    emits: ClassVar[Mapping[type[Batch], frozenset[type[Batch]]]] = {}

    async def consume(self, batch: S, /) -> None:
        """Take a batch from a pipeline that this connector ends."""
        raise NotImplementedError(f"{type(self).__qualname__}: override consume()")

    async def emit(self, batch: Batch) -> None:
        """Pass a batch on to the pipelines that this connector begins."""
        await self._outputs[type(batch)].consume(batch)

    async def drain(self) -> None:
        """Pass on what is buffered; called once every pipeline upstream has stopped."""


class Extension(Component[C], Generic[C]):
    """Works beside the pipelines: health checks, status pages, storage, authentication."""

    kind = "extension"


@dataclass(frozen=True, slots=True)
class Removed:
    """A component that the field knows and that is gone; `instead` says what replaced it."""

    kind: str
    type_name: str
    instead: str


Components = Sequence[type[Component[Any]] | Removed]


def as_ophion_error(error: Exception, where: str) -> OphionError:
    """Return the error itself if it is one for the data path, else a RetryableError that names `where`."""
    if isinstance(error, RetryableError | PermanentError):
        return error
    return RetryableError(f"{where}: {type(error).__name__}: {error}")


def component_class(candidate: object) -> type[Component[Any]]:
    """Return `candidate` as a component class; raise TypeError with what it is otherwise."""
    if isinstance(candidate, type) and issubclass(candidate, Component) and candidate.type_name:
        return candidate
    raise TypeError(f"ophion_components() must list component classes, got {candidate!r}")
