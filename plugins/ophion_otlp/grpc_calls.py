"""The OTLP services on the HTTP/2 server: which call a request's headers ask for, and how it is run."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ophion_agent.plugin import (
    NO_METADATA,
    SIGNALS,
    Batch,
    Metadata,
    OphionError,
    RetryableError,
    ServerAuth,
    Unauthenticated,
    sender_metadata,
)
from ophion_otlp.grpc_answers import ENCODINGS, SUCCESS, failure, failure_of, http_failure
from ophion_otlp.http2.exchange import Answer, Trouble
from ophion_otlp.http2.headers import Head
from ophion_otlp.status import INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED

Take = Callable[[type[Batch], bytes, str, Metadata, bool], Awaitable[None]]

DEADLINE_EXCEEDED: Final = 4

_GZIP_MAGIC: Final = b"\x1f\x8b"
"""No protobuf message begins so (the first byte would be wire type 7): whoever forgets the flag is still understood."""

_NOT_METADATA: Final = frozenset((b"te", b"content-type", b"content-length", b"grpc-encoding", b"grpc-accept-encoding"))
_TROUBLES: Final = {
    Trouble.INCOMPLETE: (INTERNAL, "the request ended before its message did"),
    Trouble.NOT_ONE_MESSAGE: (UNIMPLEMENTED, "the method takes exactly one message"),
    Trouble.SLOW: (DEADLINE_EXCEEDED, "the message did not arrive in time"),
    Trouble.DEADLINE: (DEADLINE_EXCEEDED, "the client's deadline is over"),
}


@dataclass(frozen=True, slots=True)
class Service:
    """What the calls of one server share; see `GrpcServer` for the functions."""

    auth: ServerAuth | None
    take: Take
    serves: Callable[[type[Batch]], bool]
    refuse: Callable[[type[Batch]], None]
    failed: Callable[[Exception], None]
    include_metadata: bool
    max_bytes: int

    def call_of(self, head: Head) -> ExportCall | RefusedCall:
        """Return the call that the headers ask for."""
        if head.method != b"POST":
            return RefusedCall(http_failure(405, "gRPC is served here: use POST", ((b"allow", b"POST"),)))
        content_type = head.value(b"content-type").partition(b";")[0].strip().lower()
        if content_type not in (b"application/grpc", b"application/grpc+proto"):
            return RefusedCall(http_failure(415, "gRPC is served here: send application/grpc"))
        signal = _signals().get(head.path)
        if signal is None:
            path = head.path[:200].decode("utf-8", "replace")
            return RefusedCall(failure(UNIMPLEMENTED, f"unknown method {path}; there are {_methods()}"))
        return ExportCall(self, signal, head)


class RefusedCall:
    """A call that its headers already decide."""

    def __init__(self, refusal: Answer) -> None:
        self.refusal: Answer | None = refusal
        self._refusal = refusal

    def check(self, flag: int, length: int) -> Answer | None:
        """Return the refusal."""
        return self._refusal

    def give_up(self, trouble: Trouble) -> Answer:
        """Return the refusal."""
        return self._refusal

    async def run(self, flag: int, message: bytes) -> Answer:
        """Return the refusal."""
        return self._refusal


class ExportCall:
    """One of the three Export methods with one set of headers."""

    def __init__(self, service: Service, signal: type[Batch], head: Head) -> None:
        self._service = service
        self._signal = signal
        self._encoding = head.value(b"grpc-encoding").strip().lower()
        self._headers = NO_METADATA
        if service.auth is not None or service.include_metadata:
            self._headers = _metadata(head.fields)
        self._metadata = sender_metadata(self._headers, {}) if service.include_metadata else NO_METADATA
        self.refusal: Answer | None = None

    def check(self, flag: int, length: int) -> Answer | None:
        """Refuse what is too large or compressed in a way that is not served."""
        if length > self._service.max_bytes:
            text = f"the message is larger than {self._service.max_bytes} bytes; send smaller ones or raise the limit"
            return self._refused(RESOURCE_EXHAUSTED, text)
        if not flag:
            return None
        if flag != 1 or self._encoding in (b"", b"identity"):
            return self._refused(INTERNAL, "the message is marked as compressed, but grpc-encoding names nothing")
        if self._encoding != b"gzip":
            name = self._encoding[:20].decode("ascii", "replace")
            return self._refused(UNIMPLEMENTED, f"grpc-encoding {name} is not served; use identity or gzip", ENCODINGS)
        return None

    def give_up(self, trouble: Trouble) -> Answer:
        """Count the request and return the answer."""
        if trouble is Trouble.BUSY:
            self._service.refuse(self._signal)
            return failure_of(RetryableError("too many bytes are under way on this connection", admission=True))
        return self._refused(*_TROUBLES[trouble])

    async def run(self, flag: int, message: bytes) -> Answer:
        """Authenticate the sender and hand the message on."""
        service, signal = self._service, self._signal
        try:
            metadata = self._metadata
            if service.auth is not None:
                metadata = sender_metadata(metadata, await self._authenticate(service.auth))
            if not service.serves(signal):
                return failure(UNIMPLEMENTED, f"no pipeline takes {signal.signal} from this receiver")
            encoding = "gzip" if flag or message[:2] == _GZIP_MAGIC else ""
            await service.take(signal, message, encoding, metadata, False)
        except OphionError as error:
            return failure_of(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender must get an answer
            service.failed(error)
            # Retryable: the sender still has the data.
            return self._refused(UNAVAILABLE, f"internal error: {type(error).__name__}")
        return SUCCESS

    async def _authenticate(self, auth: ServerAuth) -> Mapping[str, str]:
        try:
            return await auth.authenticate(self._headers)
        except Unauthenticated:
            self._service.refuse(self._signal)
            raise

    def _refused(self, code: int, message: str, *extra: tuple[bytes, bytes]) -> Answer:
        self._service.refuse(self._signal)
        return failure(code, message, extra=extra)


def service_and_method(signal: type[Batch]) -> tuple[str, str]:
    """Return ("opentelemetry.proto.collector.trace.v1.TraceService", "Export") of Traces."""
    service = next(iter(signal.request_type.DESCRIPTOR.file.services_by_name.values()))
    return service.full_name, service.methods[0].name


@functools.cache
def _signals() -> Mapping[bytes, type[Batch]]:
    return {"/{}/{}".format(*service_and_method(signal)).encode(): signal for signal in SIGNALS.values()}


def _methods() -> str:
    return ", ".join(path.decode() for path in _signals())


def _metadata(fields: Mapping[bytes, list[bytes]]) -> Metadata:
    """Return the sender's own headers as text; binary ones (`-bin`) are left out."""
    return {
        name.decode(): tuple(value.decode("utf-8", "replace") for value in values)
        for name, values in fields.items()
        if name not in _NOT_METADATA and not name.endswith(b"-bin")
    }
