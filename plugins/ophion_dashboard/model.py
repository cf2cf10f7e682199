"""A dashboard: what its YAML file, its row in the store and the API say of it."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ophion_dashboard.panels import Panel, Sentence, Text

UID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,40}$"
MAX_BODY_BYTES: Final = 512 << 10
# Paths of the API, and of the pages, that stand where a uid would.
RESERVED: Final = frozenset({"home", "import", "new", "snapshots", "templates"})
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}\Z")
_LABEL_VALUES: Final = re.compile(r"label_values\(\s*(?:(?P<selector>.+),\s*)?(?P<label>[A-Za-z_][A-Za-z0-9_]*)\s*\)\Z")
_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,5}(ms|s|m|h|d|w))+\Z")
_RELATIVE: Final = re.compile(r"now(-[1-9][0-9]{0,5}[smhdw])?(/[smhdw])?\Z")
_ABSOLUTE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)\Z")
VariableKind = Literal["query", "custom", "text", "interval"]


def _uid(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f'must not be "{value}", which has a meaning of its own; choose another uid')
    return value


def _variable_name(value: str) -> str:
    if not _VARIABLE.match(value):
        raise ValueError(f'must be letters, digits and _, not beginning with a digit, got "{value}"')
    return value


def _moment(value: str) -> str:
    if not (_RELATIVE.match(value) or _ABSOLUTE.match(value)):
        raise ValueError(f'must be a time such as now-1h, now/d or 2026-01-31T08:00:00Z, got "{value}"')
    return value


def _interval(value: str) -> str:
    if not _INTERVAL.match(value):
        raise ValueError(f'must be a duration such as 30s, 5m or 1h30m, got "{value}"')
    return value


Uid = Annotated[str, Field(pattern=UID_PATTERN), AfterValidator(_uid)]
Tag = Annotated[Sentence, Field(min_length=1, max_length=50)]
Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
Interval = Annotated[str, Field(max_length=20), AfterValidator(_interval)]
VariableName = Annotated[str, AfterValidator(_variable_name)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DashboardVariable(_Part):
    """A value that people choose above the panels; expressions name it as `$name` or `${name}`."""

    name: VariableName = Field(description="What expressions call it.")
    label: Sentence = Field("", max_length=100, description="What people see; the name by default.")
    kind: VariableKind = Field(
        description="`query` offers the values of a label, `custom` and `interval` a list, `text` a field."
    )
    query: Text = Field(
        "", max_length=2000, description="Of kind `query`: label_values(label) or label_values(selector, label)."
    )
    values: list[Annotated[Sentence, Field(max_length=500)]] = Field(
        [], max_length=200, description="Of kinds `custom` and `interval`: what can be chosen."
    )
    multi: bool = Field(False, description="Whether several values can be chosen.")
    include_all: bool = Field(False, description="Whether all values can be chosen at once; needs `multi`.")
    default: list[Annotated[Sentence, Field(max_length=500)]] = Field(
        [], max_length=200, description="What is chosen at first; the first value, or all, by default."
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "query" and not _LABEL_VALUES.match(self.query.strip()):
            given = f'got "{self.query}"' if self.query else "got nothing"
            raise ValueError(f"query must be label_values(label) or label_values(selector, label), {given}")
        if self.kind != "query" and self.query:
            raise ValueError(f"query is for variables of kind query, this one is of kind {self.kind}; leave it out")
        self._check_values()
        self._check_choice()
        return self

    def _check_values(self) -> None:
        has_list = self.kind in ("custom", "interval")
        if has_list and not self.values:
            raise ValueError(f"values must list at least one, as the variable is of kind {self.kind}")
        if not has_list and self.values:
            raise ValueError(
                f"values are for kinds custom and interval, this one is of kind {self.kind}; leave them out"
            )
        for value in self.values if self.kind == "interval" else ():
            _interval(value)

    def _check_choice(self) -> None:
        if self.multi and self.kind in ("text", "interval"):
            raise ValueError(f"multi is for kinds query and custom, this one is of kind {self.kind}; leave it out")
        if self.include_all and not self.multi:
            raise ValueError("include_all needs multi: true")
        if len(self.default) > 1 and not self.multi:
            raise ValueError(f"default must be one value without multi: true, got {len(self.default)}")
        unknown = [value for value in self.default if self.values and value not in self.values]
        if unknown:
            raise ValueError(f'default must be among values, got "{unknown[0]}"')


class TimeRange(_Part):
    """The time that a dashboard shows at first."""

    from_: Moment = Field("now-1h", alias="from", description="Begin: now-1h, now/d, or RFC 3339.")
    to: Moment = Field("now", description="End, of the same form.")


class Dashboard(_Part):
    """Panels on a grid of 24 columns, with the variables that their expressions name."""

    title: Annotated[Sentence, Field(min_length=1, max_length=200)] = Field(description="What it is called.")
    description: Text = Field("", max_length=2000, description="What it shows, for people.")
    tags: list[Tag] = Field([], max_length=20, description="Words to find it by.")
    folder: Sentence = Field("", max_length=100, description="Where the list shows it.")
    variables: list[DashboardVariable] = Field([], max_length=30, description="What people choose above the panels.")
    time: TimeRange = Field(TimeRange(), description="The time shown at first.")
    refresh: Interval | None = Field(None, description="Time between two updates, such as 30s; null for none.")
    panels: list[Panel] = Field([], max_length=100, description="What it shows.")

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        _refuse_double("variables", [variable.name for variable in self.variables])
        _refuse_double("panels", [str(panel.id) for panel in self.panels])
        names = {variable.name for variable in self.variables}
        for panel in self.panels:
            if panel.repeat and panel.repeat not in names:
                known = ", ".join(sorted(names)) or "none"
                raise ValueError(
                    f'panel {panel.id}: repeat must name a variable, got "{panel.repeat}"; there are: {known}'
                )
        return self


class DashboardFile(Dashboard):
    """A dashboard as a YAML file: with the uid under which links find it."""

    format: Literal[1] = Field(1, description="Version of this format.")
    uid: Uid | None = Field(None, description="What links and saved pages call it; the file's name by default.")

    def dashboard(self) -> Dashboard:
        """Return the dashboard without what only the file says."""
        return Dashboard.model_validate(self.model_dump(by_alias=True, exclude={"format", "uid"}))


def _refuse_double(place: str, names: list[str]) -> None:
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        word = "name" if place == "variables" else "id"
        raise ValueError(f"{place}: each needs {word} of its own, got {double} twice")
