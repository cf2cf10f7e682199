from typing import Any

import pytest

from ophion_agent.clock import Clock
from ophion_agent.errors import RetryableError
from ophion_agent.graph import BuildError, Graph, build
from ophion_agent.lifecycle import Running
from ophion_agent.plugin import QUEUE_STORAGE, Extension, Traces
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import make_logs, make_metrics, make_traces
from parts import Count, RelayConfig, plan_of, problems_of_text


class Disk(Extension[RelayConfig]):
    """Provides a queue storage."""

    type_name = "disk"
    provides = (QUEUE_STORAGE,)


class Reader(Extension[RelayConfig]):
    """Requires one."""

    type_name = "reader"
    requires = (QUEUE_STORAGE,)


def graph_of(text: str, *components: Any) -> Graph:
    return build(plan_of(text, *components), Clock(), SelfMetrics(), None)  # type: ignore[arg-type]


def component(graph: Graph, *key: str) -> Any:
    return graph.nodes[key].component


SHARED = """
receivers: {relay: }
processors: {mark: , hold: }
exporters: {scripted: {sending_queue: {enabled: false}}, scripted/2: {sending_queue: {enabled: false}}}
service:
  pipelines:
    traces: {receivers: [relay], processors: [mark, hold], exporters: [scripted]}
    traces/raw: {receivers: [relay], exporters: [scripted, scripted/2]}
    logs: {receivers: [relay], processors: [mark], exporters: [scripted]}
"""


async def test_a_processor_named_in_two_pipelines_has_an_instance_in_each() -> None:
    graph = graph_of(SHARED)
    assert component(graph, "processor", "mark", "traces") is not component(graph, "processor", "mark", "logs")


async def test_a_receiver_and_an_exporter_are_one_instance_for_all_pipelines_and_signals() -> None:
    graph = graph_of(SHARED)
    assert [key for key in graph.nodes if key[0] in ("receiver", "exporter")] == [
        ("receiver", "relay"),
        ("exporter", "scripted"),
        ("exporter", "scripted/2"),
    ]
    relay = component(graph, "receiver", "relay")
    assert {signal.signal for signal in relay.signals} == {"traces", "logs"}
    await relay.emit(make_traces(2))
    await relay.emit(make_logs(3))
    assert [batch.signal for batch in component(graph, "exporter", "scripted").delivered] == ["traces", "logs"]
    assert component(graph, "exporter", "scripted/2").items == 2
    assert component(graph, "processor", "hold", "traces").held[0].resources()[0].attributes[-1].key == "marked"


async def test_what_one_pipeline_edits_is_not_seen_in_the_other() -> None:
    graph = graph_of(SHARED)
    await component(graph, "receiver", "relay").emit(make_traces(1))
    raw = component(graph, "exporter", "scripted").delivered[0]
    assert [attribute.key for attribute in raw.resources()[0].attributes] == ["service.name"]


async def test_a_signal_without_a_pipeline_is_refused_and_counted() -> None:
    graph = graph_of(SHARED)
    relay = component(graph, "receiver", "relay")
    with pytest.raises(RetryableError, match="internal error in the pipeline"):
        await relay.emit(make_metrics(4))
    assert relay.context.metrics.total("otelcol_receiver_failed_metric_points") == 4


async def test_receivers_start_last_and_extensions_first() -> None:
    graph = graph_of(SHARED)
    order = [node.key for node in graph.start_order()]
    assert order[-1] == ("receiver", "relay")
    for pipeline in ("traces", "logs"):
        assert order.index(("exporter", "scripted")) < order.index(("processor", "mark", pipeline))
    assert order.index(("processor", "hold", "traces")) < order.index(("processor", "mark", "traces"))


async def test_receivers_ask_the_gates_of_all_their_pipelines() -> None:
    graph = graph_of(SHARED)
    component(graph, "receiver", "relay").admit(512)
    assert component(graph, "processor", "hold", "traces").asked == [512]


async def test_edges_have_names_and_count_on_the_way() -> None:
    graph = graph_of(SHARED)
    await component(graph, "receiver", "relay").emit(make_traces(2))
    info = {edge.name: edge.items for pipeline in graph.pipelines for edge in pipeline.info().edges}
    assert info == {
        "traces/in": 2,
        "traces/mark": 2,
        "traces/hold": 0,
        "traces/raw/in": 2,
        "logs/in": 0,
        "logs/mark": 0,
    }
    assert graph.edge("traces/out").name == "traces/hold"
    assert graph.edge("traces/raw/out").name == "traces/raw/in"
    with pytest.raises(KeyError):
        graph.edge("traces/nowhere")


async def test_what_processors_take_and_pass_on_is_counted_by_processor_and_signal() -> None:
    graph = graph_of(SHARED)
    relay = component(graph, "receiver", "relay")
    await relay.emit(make_traces(2))
    await relay.emit(make_logs(3))
    metrics = relay.context.metrics
    counted = {
        (name, processor, signal): metrics.total(f"otelcol_processor_{name}_items", processor=processor, signal=signal)
        for name in ("incoming", "outgoing")
        for processor, signal in (("mark", "traces"), ("mark", "logs"), ("hold", "traces"))
    }
    assert counted == {
        ("incoming", "mark", "traces"): 2,
        ("outgoing", "mark", "traces"): 2,
        ("incoming", "hold", "traces"): 2,
        ("outgoing", "hold", "traces"): 0,
        ("incoming", "mark", "logs"): 3,
        ("outgoing", "mark", "logs"): 3,
    }


CONNECTED = """
receivers: {relay: }
connectors: {count: }
exporters: {scripted: {sending_queue: {enabled: false}}, scripted/logs: {sending_queue: {enabled: false}}}
service:
  pipelines:
    traces: {receivers: [relay], exporters: [count, scripted]}
    logs: {receivers: [count], exporters: [scripted/logs]}
"""


async def test_a_connector_ends_one_pipeline_and_begins_another() -> None:
    graph = graph_of(CONNECTED)
    order = [node.key for node in graph.start_order()]
    assert order.index(("exporter", "scripted/logs")) < order.index(("connector", "count")) < len(order) - 1
    await component(graph, "receiver", "relay").emit(make_traces(3))
    assert component(graph, "exporter", "scripted").items == 3
    assert component(graph, "exporter", "scripted/logs").delivered[0].signal == "logs"


async def test_a_failure_behind_a_connector_reaches_the_sender() -> None:
    graph = graph_of(CONNECTED)
    component(graph, "exporter", "scripted/logs").failure = RetryableError("down")
    with pytest.raises(RetryableError, match="down"):
        await component(graph, "receiver", "relay").emit(make_traces(3))


def test_connectors_that_close_a_cycle_are_refused() -> None:
    class Loop(Count):
        type_name = "loop"
        emits = {Traces: frozenset({Traces})}

    text = """
receivers: {relay: }
connectors: {loop/a: , loop/b: }
exporters: {scripted: }
service:
  pipelines:
    traces: {receivers: [relay, loop/b], exporters: [loop/a]}
    traces/2: {receivers: [loop/a], exporters: [loop/b, scripted]}
"""
    assert problems_of_text(text, Loop) == ["service.pipelines: connectors close a cycle: traces -> traces/2 -> traces"]


@pytest.mark.parametrize(
    ("pipelines", "problem"),
    [
        (
            "traces: {receivers: [relay], exporters: [count]}",
            "connectors.count: must end one pipeline and begin another; it is used in traces but in no pipeline as a "
            "receiver",
        ),
        (
            "logs: {receivers: [count], exporters: [scripted]}",
            "connectors.count: must end one pipeline and begin another; it is used in logs but in no pipeline as an "
            "exporter",
        ),
        (
            "{traces: {receivers: [relay], exporters: [count]}, metrics: {receivers: [count], exporters: [scripted]}}",
            "service.pipelines.metrics.receivers[0]: connector 'count' does not handle metrics; it handles logs",
        ),
    ],
)
def test_a_connector_that_does_not_connect_is_refused(pipelines: str, problem: str) -> None:
    text = "receivers: {relay: }\nconnectors: {count: }\nexporters: {scripted: }\nservice:\n  pipelines:\n    "
    assert problems_of_text(text + pipelines) == [problem]


def test_a_connector_needs_an_id_of_its_own() -> None:
    text = """
receivers: {relay: , relay/2: }
connectors: {relay: }
exporters: {scripted: }
service: {pipelines: {traces: {receivers: [relay/2], exporters: [scripted]}}}
"""

    class Relaying(Count):
        type_name = "relay"

    assert problems_of_text(text, Relaying) == [
        "connectors.relay: 'relay' is also the id of a receiver; give one of them a name of its own, as relay/2"
    ]


EXTENSIONS = """
receivers: {{relay: }}
exporters: {{scripted: {{sending_queue: {{storage: {storage}}}}}}}
extensions: {{reader: , disk: , disk/2: , other: }}
service: {{extensions: [{extensions}], pipelines: {{traces: {{receivers: [relay], exporters: [scripted]}}}}}}
"""


class Other(Extension[RelayConfig]):
    """Provides nothing."""

    type_name = "other"


async def test_an_extension_starts_after_the_one_that_it_needs() -> None:
    graph = graph_of(EXTENSIONS.format(storage="disk", extensions="reader, disk"), Disk, Reader, Other)
    order = [node.key for node in graph.start_order()]
    assert order[:2] == [("extension", "disk"), ("extension", "reader")]
    reader, exporter = component(graph, "extension", "reader"), component(graph, "exporter", "scripted")
    assert reader.context.service(QUEUE_STORAGE) is component(graph, "extension", "disk")
    assert exporter.context.service(QUEUE_STORAGE, "disk") is component(graph, "extension", "disk")


@pytest.mark.parametrize(
    ("storage", "extensions", "problems"),
    [
        (
            "disk",
            "other",
            [
                "exporters.scripted.sending_queue.storage: extension 'disk' is configured but not listed in "
                "service.extensions; add it there"
            ],
        ),
        (
            "dsk",
            "disk",
            [
                "exporters.scripted.sending_queue.storage: references extension 'dsk' which is not configured; "
                'did you mean "disk"? valid: disk, disk/2'
            ],
        ),
        (
            "other",
            "disk, other",
            ["exporters.scripted.sending_queue.storage: extension 'other' is not a queue storage; valid: disk, disk/2"],
        ),
        ("disk", "disk, disk", ["service.extensions[1]: 'disk' is listed twice"]),
        (
            "disk",
            "disk, reader, disk/2",
            ["extensions.reader: needs exactly one extension that provides queue storage, got disk, disk/2"],
        ),
    ],
)
def test_references_to_extensions_are_resolved_before_anything_starts(
    storage: str, extensions: str, problems: list[str]
) -> None:
    text = EXTENSIONS.format(storage=storage, extensions=extensions)
    if "reader" not in extensions:
        text = text.replace("reader: ,", "")
    assert problems_of_text(text, Disk, Reader, Other) == problems


def test_a_constructor_that_fails_is_named() -> None:
    text = """
receivers: {relay: {fail: init, error: no such mode}}
exporters: {scripted: }
service: {pipelines: {traces: {receivers: [relay], exporters: [scripted]}}}
"""
    with pytest.raises(BuildError, match="receiver relay: cannot be built: RuntimeError: no such mode"):
        graph_of(text)


async def test_drain_carries_what_a_processor_holds_through_the_pipeline() -> None:
    graph = graph_of(SHARED)
    running = Running(graph, Clock())
    await running.start()
    await component(graph, "receiver", "relay").emit(make_traces(2))
    exporter = component(graph, "exporter", "scripted")
    assert exporter.items == 2
    await running.stop()
    assert exporter.items == 4
