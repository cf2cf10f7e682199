"""From a plan to connected components. Building is pure: nothing is opened and nothing runs before the start."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from ophion_agent.batch import Batch
from ophion_agent.clock import Clock
from ophion_agent.component import Component, Connector, Consumer, Exporter, Extension, Processor, Receiver
from ophion_agent.config import ComponentPlan, PipelinePlan, Plan
from ophion_agent.context import Context
from ophion_agent.edges import Edge, fan_out
from ophion_agent.errors import OphionError
from ophion_agent.info import AgentInfo, PipelineInfo
from ophion_agent.references import extension_needs
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.sending import Sender

NodeKey = tuple[str, ...]


class BuildError(OphionError):
    """A component could not be constructed."""


@dataclass
class Node:
    """One component of the graph with the nodes that must run before it does: those it sends to."""

    key: NodeKey
    component: Component[Any]
    sender: Sender | None = None
    needs: list[NodeKey] = field(default_factory=list)


@dataclass
class Pipeline:
    """A pipeline with its edges: the first is behind the receivers, the others each behind a processor."""

    plan: PipelinePlan
    edges: list[Edge]
    processors: list[NodeKey]

    def info(self) -> PipelineInfo:
        """Return what has passed the pipeline."""
        plan = self.plan
        edges = tuple(edge.info() for edge in self.edges)
        return PipelineInfo(plan.id, plan.signal.signal, plan.receivers, plan.processors, plan.exporters, edges)


@dataclass
class Graph:
    """Everything that runs for one plan."""

    plan: Plan
    nodes: dict[NodeKey, Node]
    pipelines: list[Pipeline]

    def start_order(self) -> list[Node]:
        """Return the nodes so that each comes after all it sends to: extensions first, receivers last."""
        order = TopologicalSorter({key: node.needs for key, node in self.nodes.items()}).static_order()
        return [self.nodes[key] for key in order]

    def senders(self) -> Iterator[Sender]:
        """Iterate over the sending stacks of all exporters."""
        return (node.sender for node in self.nodes.values() if node.sender)

    def edge(self, name: str) -> Edge:
        """Return an edge by name; `PIPELINE/out` is the last one. KeyError when there is none."""
        for pipeline in self.pipelines:
            if name == f"{pipeline.plan.id}/out":
                return pipeline.edges[-1]
            for edge in pipeline.edges:
                if edge.name == name:
                    return edge
        raise KeyError(name)


def build(plan: Plan, clock: Clock, metrics: SelfMetrics, agent: AgentInfo) -> Graph:
    """Construct and connect every component of a plan; raise BuildError when the code of one fails."""
    return _Builder(plan, clock, metrics, agent).build()


class _Builder:
    def __init__(self, plan: Plan, clock: Clock, metrics: SelfMetrics, agent: AgentInfo) -> None:
        self.plan = plan
        self.clock = clock
        self.metrics = metrics
        self.agent = agent
        self.services: dict[str, Any] = {}
        self.nodes: dict[NodeKey, Node] = {}
        self.pipelines: list[Pipeline] = []

    def build(self) -> Graph:
        for extension_id in self.plan.service.extensions:
            node = self._add(("extension", extension_id), self.plan.components["extension", extension_id])
            self.services[extension_id] = node.component
        for key, plan in self.plan.components.items():
            if plan.kind in ("receiver", "exporter", "connector"):
                self._add(key, plan)
        self.pipelines = [self._pipeline(plan) for plan in self.plan.pipelines]
        for node in list(self.nodes.values()):
            if isinstance(node.component, Receiver | Connector):
                self._connect(node, node.component)
        self._need_extensions()
        return Graph(self.plan, self.nodes, self.pipelines)

    def _add(self, key: NodeKey, plan: ComponentPlan) -> Node:
        context = Context(
            plan.kind,
            plan.id,
            clock=self.clock,
            metrics=self.metrics,
            services=self.services,
            provided=self._provided(plan.component),
            gathered=self._gathered(plan.component),
            agent=self.agent,
        )
        try:
            component = plan.component(plan.config, context)
        except Exception as error:
            raise BuildError(f"{plan.kind} {plan.id}: cannot be built: {type(error).__name__}: {error}") from error
        sender = Sender(component) if isinstance(component, Exporter) else None
        self.nodes[key] = node = Node(key, component, sender)
        return node

    def _provided(self, component: type[Component[Any]]) -> dict[str, str]:
        """Return which extension provides each service that the component requires without naming one."""
        extensions = {name: self.plan.components["extension", name] for name in self.plan.service.extensions}
        return {
            key.name: name
            for key in component.requires
            for name, extension in extensions.items()
            if key in extension.component.provides
        }

    def _gathered(self, component: type[Component[Any]]) -> dict[str, list[str]]:
        """Return all extensions that provide each service that the component gathers."""
        extensions = [(name, self.plan.components["extension", name]) for name in self.plan.service.extensions]
        return {
            key.name: [name for name, extension in extensions if key in extension.component.provides]
            for key in component.gathers
        }

    def _pipeline(self, plan: PipelinePlan) -> Pipeline:
        """Build a pipeline from its end to its beginning."""
        targets = [self._end(plan, component_id) for component_id in plan.exporters]
        needs = [key for key, _ in targets]
        consumer = fan_out([target for _, target in targets])
        must_wait = not all(isinstance(target, Sender) and target.queues_in_memory for _, target in targets)
        edges: list[Edge] = []
        keys: list[NodeKey] = []
        for component_id in reversed(plan.processors):
            key = ("processor", component_id, plan.id)
            node = self._add(key, self.plan.components["processor", component_id])
            node.needs += needs
            assert isinstance(node.component, Processor)
            node.component.must_wait = must_wait
            counters = [node.component.context.counter("otelcol_processor_outgoing_items", signal=plan.signal.signal)]
            edge = Edge(f"{plan.id}/{component_id}", consumer, counters)
            node.component.next = edge
            edges.append(edge)
            keys.append(key)
            consumer, needs = node.component, [key]
        incoming = [self._incoming(plan, component_id) for component_id in plan.processors[:1]]
        edges.append(Edge(f"{plan.id}/in", consumer, incoming))
        edges.reverse()
        self._count_between(plan, edges)
        return Pipeline(plan, edges, keys[::-1])

    def _incoming(self, plan: PipelinePlan, component_id: str) -> Any:
        attributes = {"processor": component_id, "signal": plan.signal.signal}
        return self.metrics.counter("otelcol_processor_incoming_items", **attributes)

    def _count_between(self, plan: PipelinePlan, edges: list[Edge]) -> None:
        """What leaves one processor comes into the next: count it as both."""
        for edge, component_id in zip(edges[1:], plan.processors[1:], strict=False):
            edge.add_counter(self._incoming(plan, component_id))

    def _end(self, plan: PipelinePlan, component_id: str) -> tuple[NodeKey, Consumer]:
        exporter = self.nodes.get(("exporter", component_id))
        if exporter is not None and exporter.sender is not None:
            return exporter.key, exporter.sender
        node = self.nodes["connector", component_id]
        assert isinstance(node.component, Connector)
        return node.key, node.component

    def _connect(self, node: Node, component: Receiver[Any, Any] | Connector[Any, Any]) -> None:
        """Connect a receiver or connector to the pipelines that name it."""
        fed = [pipeline for pipeline in self.pipelines if component.context.id in pipeline.plan.receivers]
        outputs: dict[type[Batch], list[Edge]] = {}
        for pipeline in fed:
            outputs.setdefault(pipeline.plan.signal, []).append(pipeline.edges[0])
            node.needs += self._first_nodes(pipeline)
        component.connect({signal: fan_out(edges) for signal, edges in outputs.items()})
        if isinstance(component, Receiver):
            component.guard([gate for pipeline in fed for gate in self._gates(pipeline)])

    def _first_nodes(self, pipeline: Pipeline) -> list[NodeKey]:
        if pipeline.processors:
            return pipeline.processors[:1]
        return [self._end(pipeline.plan, component_id)[0] for component_id in pipeline.plan.exporters]

    def _gates(self, pipeline: Pipeline) -> Iterable[Any]:
        for key in pipeline.processors:
            gate = getattr(self.nodes[key].component, "admit", None)
            if gate is not None:
                yield gate

    def _need_extensions(self) -> None:
        extensions = [key for key, node in self.nodes.items() if isinstance(node.component, Extension)]
        for node in self.nodes.values():
            if not isinstance(node.component, Extension):
                node.needs += extensions
        for name, needed in extension_needs(self.plan.service.extensions, self.plan.components).items():
            self.nodes["extension", name].needs += [("extension", other) for other in needed]
