"""The `filter` processor: drops spans, span events, metrics, data points and log records that meet a condition."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ophion_agent.plugin import (
    Context,
    Logs,
    Metrics,
    PermanentError,
    Processor,
    Traces,
    View,
    points_of,
)
from ophion_processors.condition_compiler import Condition, EvaluationError, compile_condition
from ophion_processors.condition_paths import Level, Place
from ophion_processors.filter_config import DEEPEST, FilterConfig, MetricMatchConfig
from ophion_processors.matching import RecordTest, Selection, attributes_test, text_test
from ophion_processors.wire import (
    RECORD_TYPES,
    WORTH_DECODING_ALL,
    Items,
    RecordType,
    Search,
    rewrite_scopes,
    search_any,
)

Records = Traces | Metrics | Logs
Test = Callable[[Place], bool]


class FilterProcessor(Processor[FilterConfig, Traces | Metrics | Logs]):
    """Drops what meets one of the conditions of its signal, or what `include` and `exclude` do not choose.

    What looks only at resource or scope decodes no records. Conditions that compare a text of spans or log records are
    asked only of those in whose bytes the text occurs; the others stay encoded, as everything does that passes.
    """

    type_name = "filter"

    def __init__(self, config: FilterConfig, context: Context) -> None:
        super().__init__(config, context)
        self._plans = {Traces: self._traces_plan(), Metrics: self._metrics_plan(), Logs: self._logs_plan()}
        self._filtered = {
            signal: context.counter(f"otelcol_processor_filter_{name}.filtered")
            for signal, name in ((Traces, "spans"), (Metrics, "datapoints"), (Logs, "logs"))
        }
        self._reported: set[str] = set()

    async def process(self, batch: Records) -> Records | None:
        """Return what is left of the batch, or None when that is nothing."""
        plan = self._plans[type(batch)]
        if plan.is_empty or (plan.looks_at_resources_only and not self._drops_a_resource(plan, batch)):
            return batch
        before = len(batch)
        left = self._filtered_batch(plan, batch)
        self._filtered[type(batch)].add(before - len(left))
        return left if len(left) else None

    def _filtered_batch(self, plan: "_Plan", batch: Records) -> Records:
        record_type = RECORD_TYPES.get(type(batch))
        if record_type is None or plan.parts or (plan.reads_records and plan.needles is None):
            return self._decoded(plan, batch)
        hits = sum(map(batch.payload.count, plan.needles or ()))
        if hits == 0 and plan.looks_at_records_only:
            return batch
        if hits > len(batch) * WORTH_DECODING_ALL:
            return self._decoded(plan, batch)
        return self._encoded(plan, batch, record_type)

    def _decoded(self, plan: "_Plan", batch: Records) -> Records:
        view = batch.edit()
        _Walk(plan, self._meets).run(view)
        view.prune()
        return batch

    def _encoded(self, plan: "_Plan", batch: Records, record_type: RecordType) -> Records:
        """Filter without decoding what cannot meet a condition, and without encoding what stays."""
        search = search_any(sorted(plan.needles or ()))
        keep = _Walk(plan, self._meets).encoded(record_type.message.FromString, search)
        payload = rewrite_scopes(batch.payload, keep, prune=True)
        return type(batch).trusted(payload, metadata=batch.metadata)

    def _drops_a_resource(self, plan: "_Plan", batch: Records) -> bool:
        conditions = plan.at(Level.RESOURCE)
        return any(self._meets(conditions, Place(resource=resource)) for resource in batch.resources())

    def _meets(self, conditions: Iterable[Condition], place: Place) -> bool:
        return any(self._ask(condition, place) for condition in conditions)

    def _ask(self, condition: Condition, place: Place) -> bool:
        try:
            return condition.test(place)
        except EvaluationError as error:
            if self.config.error_mode == "propagate":
                message = f"filter {self.context.id}: {condition.text}: {error}; error_mode: ignore skips such records"
                raise PermanentError(message) from error
            if self.config.error_mode == "ignore" and condition.text not in self._reported:
                self._reported.add(condition.text)
                self.log.warning("condition_failed", condition=condition.text, error=str(error))
            return False

    def _traces_plan(self) -> "_Plan":
        filters, spans = self.config.traces, self.config.spans
        conditions = _compiled(resource=filters.resource, span=filters.span)
        events = _compiled(spanevent=filters.spanevent)
        for condition in _prefixed(self.config.trace_conditions, "traces"):
            (events if condition.level is Level.EVENT else conditions).append(condition)
        selection = Selection(spans.include, spans.exclude) if spans.include or spans.exclude else None
        return _Plan(conditions, events, selection)

    def _metrics_plan(self) -> "_Plan":
        filters = self.config.metrics
        # Points that are dropped for their metric or above are all of its points: the metric goes as a whole.
        all_conditions = _compiled(resource=filters.resource, metric=filters.metric, datapoint=filters.datapoint)
        all_conditions += _prefixed(self.config.metric_conditions, "metrics")
        conditions = [condition for condition in all_conditions if condition.level < Level.RECORD]
        points = [condition for condition in all_conditions if condition.level is Level.RECORD]
        conditions += _match_conditions(filters.include, drop_matching=False)
        conditions += _match_conditions(filters.exclude, drop_matching=True)
        return _Plan(conditions, points, None)

    def _logs_plan(self) -> "_Plan":
        filters = self.config.logs
        conditions = _compiled(resource=filters.resource, log=filters.log_record)
        conditions += _prefixed(self.config.log_conditions, "logs")
        include = filters.include.as_match() if filters.include else None
        exclude = filters.exclude.as_match() if filters.exclude else None
        return _Plan(conditions, [], Selection(include, exclude) if include or exclude else None)


def _compiled(**texts_of: Sequence[str]) -> list[Condition]:
    return [compile_condition(text, context) for context, texts in texts_of.items() for text in texts]


def _prefixed(texts: Sequence[str], signal: str) -> list[Condition]:
    return [compile_condition(text, DEEPEST[signal], prefixed=True) for text in texts]


def _match_conditions(match: MetricMatchConfig | None, *, drop_matching: bool) -> list[Condition]:
    """Return an include or exclude of metrics as conditions; resource attributes and names each drop by themselves."""
    if match is None:
        return []
    conditions: list[Condition] = []
    if match.resource_attributes:
        resources = attributes_test(match.match_type, match.resource_attributes)
        test: Test = lambda place: resources(place.resource.attributes) is drop_matching  # noqa: E731
        conditions.append(Condition("resource_attributes", Level.RESOURCE, test))
    if match.metric_names:
        names = text_test(match.match_type, match.metric_names)
        test = lambda place: names(place.metric.name) is drop_matching  # noqa: E731
        conditions.append(Condition("metric_names", Level.METRIC, test))
    return conditions


class _Plan:
    """What is asked of one signal: of resource, scope and record, of the parts of a record, and by properties."""

    def __init__(self, conditions: list[Condition], parts: list[Condition], selection: Selection | None) -> None:
        self._by_level = {level: [each for each in conditions if each.level is level] for level in Level}
        self.parts = parts
        self.selection = selection
        self.records = [*self.at(Level.METRIC), *self.at(Level.RECORD)]
        self.is_empty = not conditions and not parts and selection is None
        self.reads_records = bool(self.records or (selection and selection.reads_records))
        self.needles = None if selection and selection.reads_records else _needles_of(self.records)
        self.looks_at_records_only = len(self.records) == len(conditions) and not parts and selection is None
        self.looks_at_resources_only = not parts and not selection and len(self.at(Level.RESOURCE)) == len(conditions)

    def at(self, level: Level) -> list[Condition]:
        """Return the conditions that look exactly as deep as `level`."""
        return self._by_level[level]


def _needles_of(conditions: list[Condition]) -> frozenset[bytes] | None:
    known = [condition.needles for condition in conditions if condition.needles is not None]
    return frozenset().union(*known) if len(known) == len(conditions) else None


class _Walk:
    """Removes from one request what its plan drops."""

    def __init__(self, plan: _Plan, meets: Callable[[Iterable[Condition], Place], bool]) -> None:
        self._plan = plan
        self._meets = meets
        self._place = Place()

    def run(self, view: View[Any, Any, Any]) -> None:
        for group in view.groups():
            self._place.resource = group.resource
            scopes = getattr(group, view.scope_field)
            if self._meets(self._plan.at(Level.RESOURCE), self._place):
                del scopes[:]
            for scope in scopes:
                self._filter_scope(scope, getattr(scope, view.record_field))

    def encoded(self, decode: Callable[[bytes], Any], search: Search | None) -> Callable[[Any, Any, Items], Items]:
        """Return what keeps the encoded records of one scope; those that `search` does not find are kept unseen."""

        def keep(resource: Any, scope: Any, items: Items) -> Items:
            self._place.resource = resource
            selected = not self._meets(self._plan.at(Level.RESOURCE), self._place) and self._selected(scope)
            if isinstance(selected, bool) and (not selected or not self._plan.records):
                return items if selected else []
            return [item for item in items if not (search and search(item)) or self._keeps(decode(item), selected)]

        return keep

    def _selected(self, scope: Any) -> RecordTest | bool:
        """Return False where the scope is dropped, True where properties choose all of it, or else the test to make."""
        place, plan = self._place, self._plan
        place.scope = scope
        selected = plan.selection.records_of(place.resource, scope) if plan.selection else True
        return False if selected is False or self._meets(plan.at(Level.SCOPE), place) else selected

    def _filter_scope(self, scope: Any, records: Any) -> None:
        selected = self._selected(scope.scope)
        if selected is False:
            del records[:]
        elif self._plan.records or self._plan.parts or selected is not True:
            _keep(records, lambda record: self._keeps(record, selected))

    def _keeps(self, record: Any, selected: RecordTest | bool) -> bool:
        place = self._place
        place.record = place.metric = record
        if (selected is not True and callable(selected) and not selected(record)) or self._meets(
            self._plan.records, place
        ):
            return False
        if self._plan.parts:
            self._filter_parts(record)
        return True

    def _filter_parts(self, record: Any) -> None:
        place, meets, conditions = self._place, self._meets, self._plan.parts
        is_span = hasattr(record, "events")

        def keeps(part: Any) -> bool:
            if is_span:
                place.event = part
            else:
                place.record = part
            return not meets(conditions, place)

        _keep(record.events if is_span else points_of(record), keeps)


def _keep(repeated: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [entry for entry in repeated if wanted(entry)]
    if len(kept) != len(repeated):
        del repeated[:]
        repeated.extend(kept)
