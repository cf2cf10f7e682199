import asyncio
from typing import Any

from ophion_agent.plugin import Attempt, Traces
from ophion_agent.self_metrics import SelfMetrics
from ophion_agent.testing import ManualClock, Sink, make_component, make_traces
from ophion_extensions.self_receiver import SelfReceiver


async def test_makes_spans_of_deliveries_but_not_of_its_own(agent: Any) -> None:
    clock, metrics, sink = ManualClock(), SelfMetrics(), Sink()
    receiver = make_component(SelfReceiver, clock=clock, metrics=metrics, agent=agent)
    receiver.connect({Traces: sink})
    await receiver.start()
    (listener,) = metrics.attempt_listeners
    listener(Attempt("otlp", make_traces(3), 1, 5, ""))
    listener(Attempt("otlp", make_traces(2), 6, 7, "refused"))
    await clock.advance(0)
    (batch,) = sink.batches
    good, bad = batch.view().records()
    assert (good.name, good.start_time_unix_nano, good.end_time_unix_nano) == ("exporter/otlp", 1, 5)
    assert {one.key: one.value.int_value for one in good.attributes}["items"] == 3
    assert (bad.status.code, bad.status.message) == (2, "refused")
    assert good.status.code == 0
    listener(Attempt("otlp", batch, 8, 9, ""))
    await clock.advance(5)
    assert len(sink.batches) == 1
    await receiver.stop()
    assert metrics.attempt_listeners == []
    await receiver.context.close()


async def test_real_agent_traces_its_deliveries_without_an_echo(run_agent: Any, tmp_path: Any) -> None:
    running = await run_agent(
        {
            "receivers": {"self": {"traces": {"flush_interval": "1ms"}}},
            "exporters": {"file": {"path": str(tmp_path / "out.json")}},
            "service": {"pipelines": {"traces": {"receivers": ["self"], "exporters": ["file"]}}},
        }
    )
    passing = running.tap("traces/in")
    spans: list[str] = []
    async with asyncio.timeout(10):
        for items in (1, 2):
            waiting = asyncio.ensure_future(anext(passing))
            await asyncio.sleep(0)
            await running._graph().edge("traces/in").target.consume(make_traces(items))
            spans += [record.name for record in (await waiting).view().records()]
    assert spans == ["exporter/file", "exporter/file"]
