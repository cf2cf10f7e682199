import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ophion_agent.errors import OphionError
from ophion_agent.log import Log, Repeats, agent_logger, configure
from ophion_agent.settings import LogSettings
from ophion_agent.testing import ManualClock


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    logger = agent_logger()
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def written(tmp_path: Path, **settings: object) -> str:
    path = tmp_path / "agent.log"
    handlers = configure(LogSettings.model_validate({"output_paths": [str(path)], **settings}))
    log = Log(agent_logger(), {"component": "otlp"})
    log.debug("hidden")
    log.bind(kind="exporter").warning("queue_refuses", error='a "quoted" reason', size=3)
    try:
        raise ValueError("bug")
    except ValueError:
        log.exception("task_crashed")
    for handler in handlers:
        agent_logger().removeHandler(handler)
        handler.close()
    return path.read_text()


def test_console_lines_name_the_component_the_event_and_the_facts(tmp_path: Path) -> None:
    lines = written(tmp_path).splitlines()
    stamp, rest = lines[0].split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == r'warn  otlp queue_refuses kind=exporter error="a \"quoted\" reason" size=3'
    assert lines[-1] == "ValueError: bug"


def test_json_lines_hold_the_facts_as_they_are(tmp_path: Path) -> None:
    text = written(tmp_path, encoding="json", initial_fields={"host": "a"}, level="warn")
    first, second = map(json.loads, text.splitlines())
    assert {key: first[key] for key in ("level", "event", "component", "size", "host")} == {
        "level": "warn",
        "event": "queue_refuses",
        "component": "otlp",
        "size": 3,
        "host": "a",
    }
    assert second["exception"].endswith("ValueError: bug")


def test_a_file_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    before = list(agent_logger().handlers)
    with pytest.raises(OphionError, match=r"output_paths: cannot write .*; choose stderr or another file"):
        configure(LogSettings(output_paths=[str(tmp_path / "missing" / "agent.log")]))
    assert agent_logger().handlers == before
    assert logging.getLogger("ophion") is agent_logger()


async def test_an_event_that_repeats_is_let_through_once_in_a_while() -> None:
    clock = ManualClock()
    repeats = Repeats(clock, 60)
    assert [repeats.due(), repeats.due()] == [True, False]
    await clock.advance(60)
    assert [repeats.due(), repeats.due()] == [True, False]
