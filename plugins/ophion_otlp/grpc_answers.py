"""What a gRPC server says, as HTTP/2 responses (grpc.io: PROTOCOL-HTTP2, compression, statuscodes)."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

from ophion_agent.plugin import OphionError
from ophion_otlp.http2.exchange import Answer
from ophion_otlp.http2.headers import block
from ophion_otlp.status import DETAILS_KEY, refusal_of, status_of

CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
ENCODINGS: Final = (b"grpc-accept-encoding", b"identity,gzip")

SUCCESS: Final = Answer(block(200, [CONTENT_TYPE]), bytes(5), block(0, [(b"grpc-status", b"0")]))
"""An Export*ServiceResponse without partial success encodes to nothing."""

_MESSAGE_BYTES: Final = 1024
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def failure(
    code: int, message: str, wait_seconds: float | None = None, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> Answer:
    """Return an answer of trailers only: status, percent-encoded message, RetryInfo when the sender is to wait."""
    message = message.encode("utf-8", "replace")[:_MESSAGE_BYTES].decode("utf-8", "ignore")
    fields = [CONTENT_TYPE, (b"grpc-status", str(code).encode())]
    if message:
        fields.append((b"grpc-message", quote(message, safe=_PRINTABLE).encode()))
    if wait_seconds is not None:
        status = status_of(code, message, wait_seconds).SerializeToString()
        fields.append((DETAILS_KEY.encode(), base64.b64encode(status).rstrip(b"=")))
    return Answer(block(200, [*fields, *extra]))


def failure_of(error: OphionError) -> Answer:
    """Return the answer that tells the sender of `error`."""
    refusal = refusal_of(error)
    return failure(refusal.grpc_code, str(error), refusal.wait_seconds)


def http_failure(status: int, text: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """Return a plain answer to a request that is not gRPC."""
    body = text.encode() + b"\n"
    fields = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode()), *extra]
    return Answer(block(status, fields), body)
