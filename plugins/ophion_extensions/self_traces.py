"""Makes spans of the agent's deliveries."""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable

from ophion_agent.plugin import Attempt, Context, Traces
from ophion_extensions.self_encoding import SCOPE, Resource, put_all

_MOST_WAITING = 2048


class AttemptTap:
    """Keeps the attempts of exporters until they are taken; deliveries of own telemetry alone are left out.

    Otherwise every delivery of a span would cause the next span.
    """

    def __init__(self, context: Context, instance_id: str) -> None:
        self._listeners = context.metrics.attempt_listeners
        self._dropped = context.counter("ophion_self_dropped_spans")
        self._instance_id = instance_id
        self._attempts: deque[Attempt] = deque()
        self._arrived = asyncio.Event()

    def attach(self) -> None:
        """Begin to listen."""
        self._listeners.append(self.note)

    def detach(self) -> None:
        """Listen no more; safe twice."""
        if self.note in self._listeners:
            self._listeners.remove(self.note)

    def note(self, attempt: Attempt) -> None:
        """Keep the attempt, or drop and count it when too many wait."""
        if all(self._is_own(resource) for resource in attempt.batch.resources()):
            return
        if len(self._attempts) >= _MOST_WAITING:
            self._dropped.add()
            return
        self._attempts.append(attempt)
        self._arrived.set()

    def _is_own(self, resource: object) -> bool:
        attributes = getattr(resource, "attributes", ())
        return any(
            one.key == "service.instance.id" and one.value.string_value == self._instance_id for one in attributes
        )

    async def take(self) -> list[Attempt]:
        """Wait for attempts and return all that wait."""
        while not self._attempts:
            self._arrived.clear()
            await self._arrived.wait()
        attempts = list(self._attempts)
        self._attempts.clear()
        return attempts


def encode_attempts(attempts: Iterable[Attempt], resource: Resource) -> Traces:
    """Return one span per attempt, each a trace of its own."""
    batch = Traces.from_message(Traces.request_type())
    group = batch.edit().message.resource_spans.add()
    put_all(group.resource, resource)
    scope = group.scope_spans.add()
    scope.scope.name = SCOPE
    for attempt in attempts:
        span = scope.spans.add(
            name=f"exporter/{attempt.exporter}",
            kind=3,  # client
            trace_id=secrets.token_bytes(16),
            span_id=secrets.token_bytes(8),
            start_time_unix_nano=attempt.started_ns,
            end_time_unix_nano=attempt.ended_ns,
        )
        facts = {"exporter": attempt.exporter, "data_type": attempt.batch.signal, "items": len(attempt.batch)}
        put_all(span, facts)
        if attempt.error:
            span.status.code, span.status.message = 2, attempt.error
    return batch
