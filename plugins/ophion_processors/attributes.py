"""The `attributes` processor: changes attributes of spans, log records and data points."""

from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from pydantic import Field

from ophion_agent.plugin import (
    Config,
    Context,
    Logs,
    Metadata,
    Metrics,
    Processor,
    Traces,
    View,
    points_of,
)
from ophion_processors.actions import ActionConfig, ActionList
from ophion_processors.matching import MatchConfig, Selection
from ophion_processors.wire import (
    RECORD_TYPES,
    WORTH_DECODING_ALL,
    Items,
    KeyHits,
    KeySearch,
    RecordType,
    encoded_attributes,
    rewrite_scopes,
)

Records = Traces | Metrics | Logs


class AttributesConfig(Config):
    """Options of the attributes processor."""

    actions: list[ActionConfig] = Field(min_length=1, description="Actions, run in this order on every record.")
    include: MatchConfig | None = Field(None, description="Act only on records that match.")
    exclude: MatchConfig | None = Field(None, description="Leave records that match as they are.")


class AttributesProcessor(Processor[AttributesConfig, Traces | Metrics | Logs]):
    """Changes the attributes of every span, log record and data point that `include` and `exclude` choose.

    Spans and log records that hold none of the actions' keys stay encoded.
    """

    type_name = "attributes"

    def __init__(self, config: AttributesConfig, context: Context) -> None:
        super().__init__(config, context)
        self._actions = ActionList(config.actions)
        self._search = KeySearch(self._actions.keys) if self._actions.keys is not None else None
        self._selection = Selection(config.include, config.exclude)

    async def process(self, batch: Records) -> Records:
        """Return the batch with its attributes changed; records without any wanted key are not decoded."""
        if self._search is None:
            return self._edit(batch)
        hits = self._search.within(batch.payload)
        additions = self._actions.additions(batch.metadata)
        if hits is None and not additions:
            return batch
        record_type = RECORD_TYPES.get(type(batch))
        if record_type is None or (hits and hits.count > len(batch) * WORTH_DECODING_ALL):
            return self._edit(batch)
        rewriter = _Rewriter(self._actions, record_type, hits, additions, batch.metadata)
        payload = rewrite_scopes(batch.payload, rewriter.choosing(self._selection))
        return type(batch).trusted(payload, len(batch), batch.metadata)

    def _edit(self, batch: Records) -> Records:
        apply, metadata = self._actions.apply, batch.metadata
        for record in self._chosen(batch.edit()):
            for attributes in attributes_of(record):
                apply(attributes, metadata)
        return batch

    def _chosen(self, view: View[Any, Any, Any]) -> Iterator[Any]:
        for group in view.groups():
            for scope in getattr(group, view.scope_field):
                test = self._selection.records_of(group.resource, scope.scope)
                records = getattr(scope, view.record_field)
                if test is True:
                    yield from records
                elif test is not False:
                    yield from filter(test, records)


class _Rewriter:
    """Runs the actions on encoded records of one batch."""

    def __init__(
        self,
        actions: ActionList,
        record_type: RecordType,
        hits: KeyHits | None,
        additions: list[KeyValue],
        metadata: Metadata,
    ) -> None:
        self._actions = actions
        self._type = record_type
        self._hits = hits
        self._suffix = encoded_attributes(additions, record_type)
        self._metadata = metadata

    def choosing(self, selection: Selection) -> Callable[[Any, Any, Items], Items]:
        """Return the rewrite of one scope's records, limited to those that `selection` chooses."""

        def rewrite(resource: Any, scope: Any, items: Items) -> Items:
            test = selection.records_of(resource, scope)
            if test is True:
                return self._rewritten(items)
            if test is False:
                return items
            decode = self._type.message.FromString
            return [self._rewritten([item])[0] if test(decode(item)) else item for item in items]

        return rewrite

    def _rewritten(self, items: Items) -> Items:
        suffix = self._suffix
        if self._hits is None:
            return [item + suffix for item in items]
        may_be_in = self._hits.may_be_in
        return [self._decoded(item) if may_be_in(item) else item + suffix for item in items]

    def _decoded(self, item: bytes) -> bytes:
        record = self._type.message.FromString(item)
        self._actions.apply(record.attributes, self._metadata)
        encoded: bytes = record.SerializeToString()
        return encoded


def attributes_of(record: Any) -> list[Any]:
    """Return the attribute lists of a record: its own, or those of every data point of a metric."""
    if hasattr(record, "attributes"):
        return [record.attributes]
    return [point.attributes for point in points_of(record)]
