import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from pydantic import ValidationError

from ophion_agent.log import ConsoleFormatter, fields_of
from ophion_agent.otlp_json import decode
from ophion_agent.plugin import Batch, Logs, Metrics, Traces
from ophion_agent.testing import (
    ManualClock,
    check_component,
    make_batch,
    make_component,
    make_logs,
    make_metrics,
    make_traces,
)
from ophion_exporters.debug import DebugConfig, DebugExporter, counts_of
from ophion_exporters.debug_detailed import detailed_text
from ophion_exporters.debug_normal import normal_text
from ophion_exporters.debug_values import enum_name, fixed_float, hex_id, plain_float, time_text, typed_text
from strategies import any_request

TESTDATA = Path(__file__).parents[2] / "testdata" / "debug"
SIGNALS: list[type[Batch]] = [Traces, Metrics, Logs]


def batch_of(message: Any) -> Any:
    """Return the batch of a request of any signal."""
    signal = next(signal for signal in SIGNALS if signal.request_type is type(message))
    return signal.from_message(message)


def sample(signal: type[Batch]) -> Any:
    """Return the request that the expected outputs in testdata show."""
    return batch_of(decode((TESTDATA / f"{signal.signal}.json").read_bytes(), signal.request_type))


def messages(records: list[Any]) -> list[str]:
    return [record.getMessage() for record in records]


async def test_keeps_the_contract() -> None:
    await check_component(DebugExporter)
    await check_component(DebugExporter, {"verbosity": "detailed", "sampling_initial": 0})


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(("verbosity", "text_of"), [("normal", normal_text), ("detailed", detailed_text)])
def test_prints_what_the_collector_prints(signal: type[Batch], verbosity: str, text_of: Any) -> None:
    # The files hold the output of otelcol 0.159.0 for the requests beside them.
    expected = (TESTDATA / f"{signal.signal}.{verbosity}.txt").read_text()
    assert text_of(sample(signal)) == expected.rstrip("\n")


@pytest.mark.parametrize(
    ("batch", "message", "counts"),
    [
        (make_traces(2), "Traces", {"resource spans": 1, "spans": 2}),
        (make_metrics(3), "Metrics", {"resource metrics": 1, "metrics": 1, "data points": 3}),
        (make_logs(4), "Logs", {"resource logs": 1, "log records": 4}),
    ],
)
async def test_basic_logs_the_counts_of_a_batch(
    batch: Any, message: str, counts: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await make_component(DebugExporter, {}).export(batch)
    [record] = caplog.records
    assert record.getMessage() == message
    assert counts.items() <= fields_of(record).items()
    assert message in ConsoleFormatter().format(record)


async def test_basic_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise AssertionError("decoded")

    for signal in SIGNALS:
        batch = signal.trusted(make_batch(signal, 2).payload)
        monkeypatch.setattr(signal, "_decoded", refuse)
        await make_component(DebugExporter, {}).export(batch)  # type: ignore[arg-type]


async def test_other_verbosities_log_the_counts_and_the_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    batch = make_logs(2)
    for verbosity, text in (("normal", normal_text(batch)), ("detailed", detailed_text(batch))):
        caplog.clear()
        await make_component(DebugExporter, {"verbosity": verbosity}).export(batch)
        assert messages(caplog.records) == ["Logs", text]


async def test_writes_to_standard_output_when_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    batch = make_traces()
    await make_component(DebugExporter, {"verbosity": "Normal", "use_internal_logger": False}).export(batch)
    assert capsys.readouterr().out == f'Traces\t{{"resource spans": 1, "spans": 1}}\n{normal_text(batch)}\n'


@pytest.mark.parametrize(
    ("initial", "thereafter", "shown"), [(2, 1, 10), (2, 4, 4), (3, 0, 3), (0, 5, 2), (0, 0, 0), (20, 0, 10)]
)
async def test_samples_within_each_second(
    initial: int, thereafter: int, shown: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = ManualClock()
    options = {"sampling_initial": initial, "sampling_thereafter": thereafter}
    exporter = make_component(DebugExporter, options, clock=clock)
    for expected in (shown, 2 * shown):
        for _ in range(10):
            await exporter.export(make_logs())
        assert len(caplog.records) == expected
        await clock.advance(1)


async def test_takes_the_level_of_the_old_logging_exporter_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    for key, level, verbosity in (("loglevel", "debug", "detailed"), ("logLevel", "INFO", "basic")):
        caplog.clear()
        exporter = make_component(DebugExporter, {key: level})
        await exporter.start()
        assert exporter.config.effective_verbosity == verbosity
        assert messages(caplog.records) == ["loglevel_is_deprecated"]
        assert fields_of(caplog.records[0])["use"] == f"verbosity: {verbosity}"
    assert "logging" in DebugExporter.aliases


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loglevel": "debug", "verbosity": "normal"}, "loglevel: cannot stand beside verbosity; remove loglevel"),
        ({"verbosity": "loud"}, "Input should be 'basic', 'normal' or 'detailed'"),
        ({"sampling_initial": -1}, "greater than or equal to 0"),
    ],
)
def test_refuses_a_config_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        DebugConfig.model_validate(options)


def test_delivers_without_queue_and_retry_by_default() -> None:
    config = DebugConfig()
    assert (config.sending_queue.enabled, config.retry_on_failure.enabled, config.timeout) == (False, False, 0)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(any_request())
def test_shows_any_valid_request(message: Any) -> None:
    batch = batch_of(message)
    assert isinstance(normal_text(batch), str)
    assert isinstance(detailed_text(batch), str)
    assert counts_of(batch)


@pytest.mark.parametrize(
    ("value", "plain", "fixed"),
    [
        (0.0, "0", "0.000000"),
        (-2.5, "-2.5", "-2.500000"),
        (999999.0, "999999", "999999.000000"),
        (1e6, "1e+06", "1000000.000000"),
        (-123456789.0, "-1.23456789e+08", "-123456789.000000"),
        (0.00001234, "1.234e-05", "0.000012"),
        (1e-4, "0.0001", "0.000100"),
        (1e100, "1e+100", f"{1e100:f}"),
        (math.inf, "+Inf", "+Inf"),
        (-math.inf, "-Inf", "-Inf"),
        (math.nan, "NaN", "NaN"),
    ],
)
def test_numbers_read_as_in_go(value: float, plain: str, fixed: str) -> None:
    assert (plain_float(value), fixed_float(value)) == (plain, fixed)


def test_values_read_as_in_go() -> None:
    assert typed_text(AnyValue()) == "Empty()"
    assert typed_text(AnyValue(double_value=math.nan)) == "Double(NaN)"
    assert time_text(2**64 - 1) == "1969-12-31 23:59:59.999999999 +0000 UTC"
    assert time_text(2**63 - 1) == "2262-04-11 23:47:16.854775807 +0000 UTC"
    assert (hex_id(b""), hex_id(bytes(16)), hex_id(b"\x0a")) == ("", "", "0a")
    assert enum_name(("a", "b"), 5) == enum_name(("a", "b"), -1) == ""
