"""What OTLP answers: the framework's errors as gRPC statuses and HTTP responses, and the way back.

Sources: opentelemetry.io/docs/specs/otlp/#failures and #failures-1, google/rpc/error_details.proto.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from ophion_agent.compression import BodyTooLargeError, UnsupportedEncodingError
from ophion_agent.plugin import OphionError, PermanentError, RetryableError, Unauthenticated

OK: Final = 0
INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

RETRYABLE_CODES: Final = frozenset({1, 4, 10, 11, 14, 15})
"""CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS."""

DETAILS_KEY: Final = "grpc-status-details-bin"

_CODE_OF_HTTP: Final = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    404: UNIMPLEMENTED,
    405: UNIMPLEMENTED,
    413: RESOURCE_EXHAUSTED,
    429: RESOURCE_EXHAUSTED,
    503: UNAVAILABLE,
}
_ADMISSION_WAIT_SECONDS: Final = 1.0
_DETAIL_LIMIT: Final = 1024


class Refusal(NamedTuple):
    """One error in both protocols' terms. `wait_seconds` is the delay to ask of the sender, None to ask none."""

    grpc_code: int
    http_status: int
    wait_seconds: float | None


def refusal_of(error: OphionError) -> Refusal:
    """Return how the sender is told of `error`."""
    if isinstance(error, RetryableError):
        if error.admission:
            # RESOURCE_EXHAUSTED is retryable only with RetryInfo, so there is always a delay.
            return Refusal(RESOURCE_EXHAUSTED, 429, error.retry_after_seconds or _ADMISSION_WAIT_SECONDS)
        return Refusal(UNAVAILABLE, 503, error.retry_after_seconds)
    if isinstance(error, Unauthenticated):
        return Refusal(UNAUTHENTICATED, 401, None)
    if isinstance(error, BodyTooLargeError):
        return Refusal(RESOURCE_EXHAUSTED, 413, None)
    if isinstance(error, UnsupportedEncodingError):
        return Refusal(UNIMPLEMENTED, 415, None)
    return Refusal(INVALID_ARGUMENT, 400, None)


def status_of(code: int, message: str, wait_seconds: float | None = None) -> Status:
    """Return a google.rpc.Status, with RetryInfo when the sender is asked to wait."""
    status = Status(code=code, message=message)
    if wait_seconds is not None:
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(round(wait_seconds * 1e9))
        status.details.add().Pack(info)
    return status


def code_of_http(http_status: int) -> int:
    """Return the code for the google.rpc.Status in the body of an HTTP error."""
    return _CODE_OF_HTTP.get(http_status, INTERNAL)


def retry_after_header(wait_seconds: float | None) -> str:
    """Return the value of Retry-After: whole seconds, at least one."""
    return str(max(1, math.ceil(wait_seconds or 0)))


def wait_of(details: bytes) -> float | None:
    """Return the seconds that RetryInfo in an encoded google.rpc.Status asks for; None without one."""
    try:
        status = Status.FromString(details)
        info = RetryInfo()
        for detail in status.details:
            if detail.Unpack(info):
                return max(0.0, float(info.retry_delay.ToNanoseconds()) / 1e9)
    except DecodeError:
        return None
    return None


def error_of_rpc(code: int, name: str, message: str, details: bytes | None) -> OphionError:
    """Return the error for a failed call: RetryableError or PermanentError by OTLP's table of codes."""
    wait = wait_of(details) if details else None
    text = f"{name}: {message[:_DETAIL_LIMIT]}"
    if code in RETRYABLE_CODES or (code == RESOURCE_EXHAUSTED and wait is not None):
        return RetryableError(text, wait)
    return PermanentError(text)
