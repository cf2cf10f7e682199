import pytest
from google.rpc.error_details_pb2 import DebugInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from ophion_agent.compression import BodyTooLargeError, CorruptDataError, UnsupportedEncodingError
from ophion_agent.plugin import OphionError, PermanentError, RetryableError, Unauthenticated
from ophion_otlp.status import code_of_http, error_of_rpc, refusal_of, retry_after_header, status_of, wait_of

# opentelemetry.io/docs/specs/otlp/#failures: the table of codes.
NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}


@pytest.mark.parametrize("code", range(1, 17))
def test_follows_the_table_of_codes(code: int) -> None:
    error = error_of_rpc(code, NAMES[code], "why", None)
    assert type(error) is (RetryableError if NAMES[code] in RETRYABLE else PermanentError)
    assert str(error) == f"{NAMES[code]}: why"


@pytest.mark.parametrize("code", [8, 14])
def test_takes_the_delay_from_retry_info(code: int) -> None:
    error = error_of_rpc(code, NAMES[code], "busy", status_of(code, "busy", 2.5).SerializeToString())
    assert isinstance(error, RetryableError)
    assert error.retry_after_seconds == 2.5


def test_retry_info_does_not_make_final_codes_retryable() -> None:
    details = status_of(3, "bad", 1).SerializeToString()
    assert isinstance(error_of_rpc(3, "INVALID_ARGUMENT", "bad", details), PermanentError)


def test_exhausted_with_other_details_is_final() -> None:
    status = Status(code=8)
    status.details.add().Pack(DebugInfo(detail="x"))
    assert wait_of(status.SerializeToString()) is None
    assert isinstance(error_of_rpc(8, "RESOURCE_EXHAUSTED", "", status.SerializeToString()), PermanentError)


@given(st.binary(max_size=200))
def test_reads_any_details_without_failing(details: bytes) -> None:
    wait = wait_of(details)
    assert wait is None or wait >= 0


def test_shortens_what_a_destination_says() -> None:
    assert len(str(error_of_rpc(13, "INTERNAL", "x" * 100_000, None))) < 1100


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (PermanentError("x"), (3, 400, None)),
        (CorruptDataError("x"), (3, 400, None)),
        (RetryableError("x"), (14, 503, None)),
        (RetryableError("x", 3), (14, 503, 3)),
        (RetryableError("x", admission=True), (8, 429, 1.0)),
        (RetryableError("x", 9, admission=True), (8, 429, 9)),
        (Unauthenticated("x"), (16, 401, None)),
        (BodyTooLargeError("x"), (8, 413, None)),
        (UnsupportedEncodingError("x"), (12, 415, None)),
        (OphionError("x"), (3, 400, None)),
    ],
)
def test_every_error_has_its_answer(error: OphionError, answer: tuple[int, int, float | None]) -> None:
    assert refusal_of(error) == answer


def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    assert [retry_after_header(wait) for wait in (None, 0, 0.2, 1, 1.2)] == ["1", "1", "1", "1", "2"]


def test_bodies_of_http_errors_carry_a_code() -> None:
    assert [code_of_http(status) for status in (400, 401, 413, 429, 503, 500)] == [3, 16, 8, 8, 14, 13]
