"""The loaders as programs of this host, against a real agent that checks what they send."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent_process import AgentProcess, Finished, eventually, execute, free_port
from requirement import require
from tests.plugins.docker.instrument_images import PYTHON, bundles, node_program
from tests.plugins.docker.instrument_rig import agent_config, module_loop, plain

pytestmark = [module_loop, pytest.mark.timeout(300)]  # Bundles are built meanwhile on a new machine.

APPLICATION = """
import logging, os, sqlite3, time
from opentelemetry import metrics, trace
logging.getLogger("shop").warning("sold %d", 3, extra={"items": ["a", "b"]})
meter = metrics.get_meter("shop")
meter.create_counter("sales", unit="1").add(3, {"till": 1})
meter.create_up_down_counter("stock").add(-2)
meter.create_histogram("price").record(2.5)
meter.create_observable_gauge("level", [lambda _: [metrics.Observation(0.5)]])
with trace.get_tracer("shop").start_as_current_span("sale", attributes={"a": 1, "b": [1.5], "c": True}) as span:
    span.add_event("paid", {"by": "card"})
    span.record_exception(ValueError("no"))
    sqlite3.connect(":memory:").cursor().execute("select 1")
print([name for name in os.environ if name.startswith("OTEL_LOGS")])
"""


class Receiver:
    """An agent that writes what it takes."""

    def __init__(self, agent: AgentProcess, output: Path) -> None:
        self.url = agent.endpoint("otlp", "http").replace("0.0.0.0", "127.0.0.1")
        self._output = output
        self._skipped = output.stat().st_size if output.exists() else 0

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment that an instrumented container gives."""
        common = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_SERVICE_NAME": "shop", "OPHION_INSTRUMENT_ID": "mine"}
        return {**common, "OTEL_RESOURCE_ATTRIBUTES": "ophion.instrument.id=mine,team=a%20b", **more}

    def lines(self) -> list[dict[str, Any]]:
        """Return every request taken."""
        if not self._output.exists():
            return []
        return [json.loads(line) for line in self._output.read_bytes()[self._skipped :].splitlines()]

    async def records(self, kind: str, name: str, least: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return (resource attributes, record) of a kind once there are enough."""

        def found() -> list[tuple[dict[str, Any], dict[str, Any]]]:
            pairs = [
                (plain(group["resource"]["attributes"]), record)
                for line in self.lines()
                for group in line.get(f"resource{kind}", ())
                for scope in group[f"scope{kind}"]
                for record in scope[name]
            ]
            return pairs if len(pairs) >= least else []

        records: list[tuple[dict[str, Any], dict[str, Any]]] = await eventually(found, f"{least} {name}")
        return records


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[AgentProcess, Path]]:
    folder = tmp_path_factory.mktemp("loaders")
    output = folder / "received.jsonl"
    async with AgentProcess(folder / "agent", agent_config(output, free_port())) as agent:
        yield agent, output


@pytest.fixture
def receiver(agent: tuple[AgentProcess, Path]) -> Receiver:
    """The agent of this module, of which only what comes from now on is seen."""
    return Receiver(*agent)


def payload(folder: Path, bundle: str) -> Path:
    """Return a payload whose packages for this Python are those of the named bundle; an empty name has none."""
    source = bundles("python") / "python"
    target = folder / "payload"
    target.mkdir()
    for name in ("loader", "ophion_instrument_start.py"):
        (target / name).symlink_to(source / name)
    (target / "loader").unlink()
    (target / "loader").mkdir()
    (target / "loader/sitecustomize.py").write_bytes((source / "loader/sitecustomize.py").read_bytes())
    if bundle:
        (target / "3.10").symlink_to(source / bundle)
    return target


async def python(script: str, environment: Mapping[str, str], folder: Path, *more: Path) -> Finished:
    """Run a script with the loader of a payload and `more` folders on PYTHONPATH."""
    require(str(PYTHON), "apt-get install -y python3")
    path = ":".join(map(str, (folder / "loader", *more)))
    # The bundle is shared with tests that look whether it is what was built; in a container it cannot be written to.
    own = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return await execute(PYTHON, "-c", script, environ={**environment, **own})


@pytest.mark.parametrize("bundle", ["3.8", "3.10"])
async def test_every_signal_arrives_from_either_set_of_packages(
    receiver: Receiver, tmp_path: Path, bundle: str
) -> None:
    folder = await asyncio.to_thread(payload, tmp_path, bundle)
    done = await python(APPLICATION, receiver.environment(), folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "sold 3\n")

    spans = {span["name"]: (resource, span) for resource, span in await receiver.records("Spans", "spans", 3)}
    resource, sale = spans["sale"]
    assert (resource["service.name"], resource["team"], resource["telemetry.sdk.language"]) == ("shop", "a b", "python")
    assert {"a", "b", "c"} <= set(plain(sale["attributes"]))
    assert [event["name"] for event in sale["events"]] == ["paid", "exception"]
    assert "ophion.instrument.ready" in spans
    children = [span for _, span in spans.values() if span.get("parentSpanId") == sale["spanId"]]
    assert [span["kind"] for span in children] == [3]

    metrics = {metric["name"]: metric for _, metric in await receiver.records("Metrics", "metrics", 4)}
    assert metrics["sales"]["sum"]["isMonotonic"]
    assert metrics["sales"]["sum"]["dataPoints"][0]["asInt"] == "3"
    assert not metrics["stock"]["sum"].get("isMonotonic")
    assert metrics["price"]["histogram"]["dataPoints"][0]["sum"] == 2.5
    assert metrics["level"]["gauge"]["dataPoints"][0]["asDouble"] == 0.5
    _, record = (await receiver.records("Logs", "logRecords", 1))[0]
    assert (record["body"], record["severityNumber"]) == ({"stringValue": "sold 3"}, 13)


async def test_the_python_loader_says_why_it_does_nothing(receiver: Receiver, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(payload, tmp_path, "")
    done = await python("import time; time.sleep(1); print('done')", receiver.environment(), folder)
    assert (done.stdout, done.stderr) == ("done\n", "")
    resource, span = (await receiver.records("Spans", "spans", 1))[0]
    assert plain(span["attributes"])["ophion.instrument.error"] == "the payload has no bundle for Python 3.11"
    assert (resource["ophion.instrument.id"], resource["team"]) == ("mine", "a b")


@pytest.mark.parametrize("debug", [{}, {"OPHION_INSTRUMENT_DEBUG": "1"}])
async def test_a_library_that_cannot_be_instrumented_is_named(
    receiver: Receiver, tmp_path: Path, debug: dict[str, str]
) -> None:
    folder = await asyncio.to_thread(payload, tmp_path, "3.10")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sqlite3.py").write_text("raise ImportError('not this one')\n")
    done = await python("import time; time.sleep(1)", receiver.environment(**debug), folder, tmp_path / "own")
    assert done.returncode == 0
    assert done.stderr.count("ImportError: not this one") == len(debug)
    assert debug or not done.stderr
    _, span = (await receiver.records("Spans", "spans", 1))[0]
    attributes = plain(span["attributes"])
    assert attributes["ophion.instrument.failed"] == ["sqlite3: ImportError: not this one"]
    assert "sqlite3" not in attributes["ophion.instrument.libraries"]
    assert attributes["ophion.instrument.libraries"]


@pytest.mark.parametrize("switch", [{"OPHION_INSTRUMENT_DISABLED": "1"}, {"OTEL_SDK_DISABLED": "true"}])
async def test_a_switched_off_python_loader_loads_nothing(tmp_path: Path, switch: dict[str, str]) -> None:
    folder = await asyncio.to_thread(payload, tmp_path, "3.10")
    done = await python("import sys; print('opentelemetry' in sys.modules)", switch, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


async def test_the_applications_sitecustomize_fails_as_it_would_alone(tmp_path: Path) -> None:
    folder = await asyncio.to_thread(payload, tmp_path, "3.10")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sitecustomize.py").write_text("raise RuntimeError('own')\n")
    alone, beside = [
        await execute(PYTHON, "-c", "print('runs')", environ={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})
        for path in (f"{tmp_path}/own", f"{folder}/loader:{tmp_path}/own")
    ]
    assert (beside.stdout, beside.stderr) == (alone.stdout, alone.stderr)
    assert "RuntimeError: own" in beside.stderr


async def test_the_node_loader_says_why_it_does_nothing(receiver: Receiver, tmp_path: Path) -> None:
    register = tmp_path / "register.js"
    register.write_bytes((bundles("nodejs") / "nodejs/register.js").read_bytes())
    environment = receiver.environment(NODE_OPTIONS=f"--require {register}")
    arguments = (node_program("20"), "-e", "setTimeout(() => console.log('done'), 1000)")
    done = await execute(*arguments, environ=environment)
    assert (done.stdout, done.stderr) == ("done\n", "")
    _, span = (await receiver.records("Spans", "spans", 1))[0]
    assert "Cannot find module" in plain(span["attributes"])["ophion.instrument.error"]
    loud = await execute(*arguments, environ={**environment, "OPHION_INSTRUMENT_DEBUG": "1"})
    assert (loud.stdout, loud.returncode) == ("done\n", 0)
    assert "Cannot find module" in loud.stderr


async def test_the_script_hands_its_arguments_to_the_agent_that_it_is_told() -> None:
    script = Path(__file__).parents[3] / "instrument.sh"
    done = await execute(script, "shop", "nodejs", environ={"OPHION_AGENT": "/bin/echo", "PATH": os.environ["PATH"]})
    assert (done.returncode, done.stdout) == (0, "instrument shop nodejs\n")
