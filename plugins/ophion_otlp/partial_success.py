"""Reads what a destination says of the items it took only in part."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from ophion_agent import otlp_json
from ophion_agent.plugin import Batch, Context, PermanentError


class PartialSuccess(NamedTuple):
    """Items refused out of an accepted request, and the destination's reason or warning."""

    rejected: int
    message: str


def partial_success_of(signal: type[Batch], body: bytes, *, json: bool = False) -> PartialSuccess | None:
    """Return the partial success in an Export*ServiceResponse; None when all was taken or the body is not OTLP's."""
    if not body:
        return None
    try:
        response = otlp_json.decode(body, signal.response_type) if json else signal.response_type.FromString(body)
    except (DecodeError, PermanentError):
        # The status already said success; a body that is not OTLP's takes nothing back.
        return None
    if not response.HasField("partial_success"):
        return None
    partial = response.partial_success
    rejected_field = next(field for field in partial.DESCRIPTOR.fields_by_name if field.startswith("rejected_"))
    found = PartialSuccess(getattr(partial, rejected_field), partial.error_message)
    return found if any(found) else None


def report_partial_success(context: Context, signal: type[Batch], partial: PartialSuccess) -> None:
    """Count and log refused items; they must not be sent again (OTLP, partial success)."""
    if partial.rejected > 0:
        context.counter("otelcol_exporter_partial_rejected_items", signal=signal.signal).add(partial.rejected)
        context.log.warning("partial_success", signal=signal.signal, rejected=partial.rejected, message=partial.message)
    else:
        context.log.warning("destination_warning", signal=signal.signal, message=partial.message)
