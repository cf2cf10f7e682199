from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent import otlp_json
from ophion_agent.plugin import Batch, Logs, Metrics, Traces
from ophion_agent.testing import make_context
from ophion_otlp.partial_success import PartialSuccess, partial_success_of, report_partial_success

REJECTED = [(Traces, "rejected_spans"), (Metrics, "rejected_data_points"), (Logs, "rejected_log_records")]


@pytest.mark.parametrize(("signal", "field"), REJECTED)
def test_reads_every_signal_in_both_encodings(signal: type[Batch], field: str) -> None:
    response: Any = signal.response_type()
    setattr(response.partial_success, field, 7)
    response.partial_success.error_message = "too old"
    expected = PartialSuccess(7, "too old")
    assert partial_success_of(signal, response.SerializeToString()) == expected
    assert partial_success_of(signal, otlp_json.encode(response), json=True) == expected


@pytest.mark.parametrize("body", [b"", b"\x0a\x00"])
def test_full_success_is_nothing_to_tell(body: bytes) -> None:
    assert partial_success_of(Traces, body) is None


@given(body=st.binary(max_size=100), json=st.booleans())
def test_any_body_is_still_success(body: bytes, json: bool) -> None:
    partial = partial_success_of(Logs, body, json=json)
    assert partial is None or any(partial)


@pytest.mark.parametrize(
    ("partial", "counted", "event"),
    [
        (PartialSuccess(3, "why"), 3, "partial_success"),
        (PartialSuccess(0, "careful"), 0, "destination_warning"),
        (PartialSuccess(-5, "odd"), 0, "destination_warning"),
    ],
)
def test_counts_refused_items_and_logs_warnings(
    partial: PartialSuccess, counted: int, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = make_context("exporter", "otlp")
    report_partial_success(context, Traces, partial)
    assert context.metrics.total("otelcol_exporter_partial_rejected_items", exporter="otlp") == counted
    assert [record.getMessage() for record in caplog.records] == [event]
