"""Include and exclude matches by properties, as otelcol's internal/filter reads them.

Within one match every property given must hold; a property that lists several names holds when one of them matches.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, model_validator

from ophion_agent.plugin import Config
from ophion_processors.actions import AttributeValue
from ophion_processors.patterns import compile_pattern
from ophion_processors.values import find, to_python, to_text

MatchType = Literal["strict", "regexp"]
TextTest = Callable[[str], bool]
GroupTest = Callable[[Any], bool]
RecordTest = Callable[[Any], bool]

SPAN_KINDS = ("INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
SPAN_KIND_NAMES = ("SPAN_KIND_UNSPECIFIED", *(f"SPAN_KIND_{kind}" for kind in SPAN_KINDS))


class AttributeMatch(Config):
    """An attribute to look for."""

    key: Annotated[str, Field(validation_alias=AliasChoices("key", "Key"))] = Field(
        min_length=1, description="Name of the attribute."
    )
    value: Annotated[AttributeValue, Field(validation_alias=AliasChoices("value", "Value"))] = Field(
        None, description="Value it must have; without one any value will do."
    )


class LibraryMatch(Config):
    """An instrumentation scope to look for."""

    name: str = Field(description="Name of the instrumentation scope.")
    version: str | None = Field(None, description="Version it must have; without one any version will do.")


class RegexpOptions(Config):
    """Options of otelcol's pattern cache, accepted and without effect: compiled patterns are always kept."""

    cacheenabled: bool = Field(False, description="Without effect.")
    cachemaxnumentries: int = Field(0, description="Without effect.")


class SeverityMatch(Config):
    """Severity numbers to look for."""

    min: int = Field(0, ge=0, le=24, description="Lowest severity number that matches; 9 is INFO.")
    match_undefined: bool = Field(False, description="Whether records without a severity match.")


class MatchConfig(Config):
    """Properties that a record must have to match."""

    match_type: MatchType = Field(description="How names and values are compared: `strict` or `regexp`.")
    regexp: RegexpOptions | None = Field(None, description="Without effect: compiled patterns are always kept.")
    services: list[str] = Field([], description="Values of service.name (spans only).")
    resources: list[AttributeMatch] = Field([], description="Resource attributes, all of which must match.")
    libraries: list[LibraryMatch] = Field([], description="Instrumentation scopes, one of which must match.")
    span_names: list[str] = Field([], description="Span names.")
    span_kinds: list[str] = Field([], description="Span kinds, such as SPAN_KIND_SERVER.")
    log_bodies: list[str] = Field([], description="Bodies of log records that are text.")
    log_severity_texts: list[str] = Field([], description="Severity texts of log records.")
    log_severity_number: SeverityMatch | None = Field(None, description="Severity numbers of log records.")
    metric_names: list[str] = Field([], description="Metric names.")
    attributes: list[AttributeMatch] = Field([], description="Attributes of the record, all of which must match.")

    @model_validator(mode="after")
    def _is_complete(self) -> "MatchConfig":
        if not self.model_fields_set - {"match_type", "regexp"}:
            raise ValueError("matches nothing: give services, resources, libraries, attributes or names")
        if self.match_type == "strict":
            unknown = [kind for kind in self.span_kinds if kind not in SPAN_KIND_NAMES]
            if unknown:
                raise ValueError(f"span_kinds: unknown {unknown[0]!r}; valid: {', '.join(SPAN_KIND_NAMES)}")
        check_patterns(self.match_type, _texts(self), [*self.resources, *self.attributes])
        return self


def _texts(config: MatchConfig) -> list[str]:
    versions = [library.version for library in config.libraries if library.version is not None]
    names = [library.name for library in config.libraries]
    lists = (config.services, config.span_names, config.span_kinds, config.log_bodies, config.log_severity_texts)
    return [*names, *versions, *config.metric_names, *(text for texts in lists for text in texts)]


def check_patterns(match_type: str, texts: Iterable[str], attributes: Iterable[AttributeMatch]) -> None:
    """Raise ValueError when a match by regular expression holds something that is not one."""
    if match_type != "regexp":
        return
    for text in texts:
        compile_pattern(text)
    for attribute in attributes:
        if attribute.value is not None and not isinstance(attribute.value, str):
            raise ValueError(f"{attribute.key}: match_type regexp needs text as value, got {attribute.value!r}")
        compile_pattern(attribute.value or "")


def text_test(match_type: str, texts: Sequence[str]) -> TextTest:
    """Return a test of whether a text equals one of `texts`, or is matched by one of them as a regular expression."""
    if match_type == "strict":
        return frozenset(texts).__contains__
    searches = [compile_pattern(text).search for text in texts]
    return lambda text: any(search(text) for search in searches)


def attributes_test(match_type: str, wanted: Sequence[AttributeMatch]) -> Callable[[Any], bool]:
    """Return a test of whether a list of attributes holds every wanted one."""
    tests = [(attribute.key, _value_test(match_type, attribute.value)) for attribute in wanted]
    return lambda attributes: all(test(find(attributes, key)) for key, test in tests)


def _value_test(match_type: str, wanted: Any) -> Callable[[Any], bool]:
    if wanted is None:
        return lambda value: value is not None
    if match_type == "strict":
        return lambda value: value is not None and _same(to_python(value), wanted)
    search = compile_pattern(wanted).search
    return lambda value: _is_scalar(to_python(value)) and search(to_text(to_python(value))) is not None


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


class Match:
    """A compiled match: what it asks of the resource, of the scope and of the record."""

    def __init__(self, config: MatchConfig) -> None:
        kind = config.match_type
        resources = attributes_test(kind, config.resources)
        services = _service_test(kind, config.services)
        self.resource: GroupTest = lambda resource: services(resource.attributes) and resources(resource.attributes)
        self.scope: GroupTest = _scope_test(kind, config.libraries)
        self._records = _record_tests(config)

    def record(self, record: Any) -> bool:
        """Return whether a span, log record or metric has the wanted properties of its own."""
        return all(test(record) for test in self._records)

    @property
    def reads_records(self) -> bool:
        """Whether resource and scope do not decide alone."""
        return bool(self._records)


def _service_test(match_type: str, services: Sequence[str]) -> Callable[[Any], bool]:
    if not services:
        return lambda _attributes: True
    test = text_test(match_type, services)
    return lambda attributes: test(to_text(to_python(find(attributes, "service.name"))))


def _scope_test(match_type: str, libraries: Sequence[LibraryMatch]) -> GroupTest:
    if not libraries:
        return lambda _scope: True
    tests = [
        (
            text_test(match_type, [library.name]),
            text_test(match_type, [library.version]) if library.version is not None else None,
        )
        for library in libraries
    ]
    return lambda scope: any(name(scope.name) and (not version or version(scope.version)) for name, version in tests)


def _record_tests(config: MatchConfig) -> list[RecordTest]:
    kind = config.match_type
    kinds, bodies = text_test(kind, config.span_kinds), text_test(kind, config.log_bodies)
    severity = config.log_severity_number
    tests: list[tuple[object, str, Callable[[Any], bool]]] = [
        (config.span_names, "name", text_test(kind, config.span_names)),
        (config.metric_names, "name", text_test(kind, config.metric_names)),
        (config.span_kinds, "kind", lambda number: kinds(_kind_name(number))),
        (config.log_severity_texts, "severity_text", text_test(kind, config.log_severity_texts)),
        (config.log_bodies, "body", lambda body: body.HasField("string_value") and bodies(body.string_value)),
        (severity, "severity_number", lambda number: severity is not None and _severe(severity, number)),
        (config.attributes, "attributes", attributes_test(kind, config.attributes)),
    ]
    return [_field_test(field, test) for given, field, test in tests if given]


def _field_test(field: str, test: Callable[[Any], bool]) -> RecordTest:
    """Return a test of one field; a record of a signal without that field does not match."""
    return lambda record: hasattr(record, field) and test(getattr(record, field))


def _kind_name(kind: int) -> str:
    return SPAN_KIND_NAMES[kind] if 0 <= kind < len(SPAN_KIND_NAMES) else ""


def _severe(wanted: SeverityMatch, severity: int) -> bool:
    return wanted.match_undefined if severity == 0 else severity >= wanted.min


class Selection:
    """Include and exclude together: what is chosen is included and not excluded."""

    def __init__(self, include: MatchConfig | None, exclude: MatchConfig | None) -> None:
        self._include = Match(include) if include else None
        self._exclude = Match(exclude) if exclude else None

    @property
    def reads_records(self) -> bool:
        """Whether resource and scope do not always decide alone."""
        return any(match.reads_records for match in (self._include, self._exclude) if match)

    def records_of(self, resource: Any, scope: Any) -> RecordTest | bool:
        """Return True or False where resource and scope decide, or else the test for the records of that scope."""
        include, exclude = self._include, self._exclude
        if include and not (include.resource(resource) and include.scope(scope)):
            return False
        if exclude and not (exclude.resource(resource) and exclude.scope(scope)):
            exclude = None
        if exclude and not exclude.reads_records:
            return False
        wanted = include.record if include and include.reads_records else None
        unwanted = exclude.record if exclude else None
        if wanted is None and unwanted is None:
            return True
        return lambda record: (wanted is None or wanted(record)) and not (unwanted is not None and unwanted(record))
