"""One panel of a dashboard: what it asks, how it shows the answer, and where it stands."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

COLUMNS: Final = 24
PanelKind = Literal["timeseries", "stat", "table", "heatmap", "logs", "traces", "text", "gauge", "bar"]
QueryKind = Literal["promql", "logs", "traces"]
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_OF_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COLOR: Final = re.compile(r"(green|yellow|orange|red|blue|purple|gray|#[0-9A-Fa-f]{6})\Z")
_LINK: Final = re.compile(r"(https?://|/(?![/\\]))\S*\Z")


def _sentence(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must be one line without control characters")
    return _storable(value)


def _text(value: str) -> str:
    if _CONTROL_OF_TEXT.search(value):
        raise ValueError("must hold no control characters but tabs and line ends")
    return _storable(value)


def _storable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text that UTF-8 can hold, got half a surrogate pair") from None
    return value


def _color(value: str) -> str:
    if not _COLOR.match(value):
        raise ValueError(f'must be green, yellow, orange, red, blue, purple, gray or #rrggbb, got "{value}"')
    return value


def _url(value: str) -> str:
    if not _LINK.match(value):
        raise ValueError(f'must begin with http://, https:// or /, got "{value[:80]}"')
    return value


Sentence = Annotated[str, AfterValidator(_sentence)]
Text = Annotated[str, AfterValidator(_text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PanelPosition(_Part):
    """Place and size in cells of the grid, which is 24 columns wide; a row is about 30 pixels high."""

    x: int = Field(0, ge=0, lt=COLUMNS, description="Column of the left edge.")
    y: int = Field(0, ge=0, le=2000, description="Row of the upper edge.")
    w: int = Field(12, ge=1, le=COLUMNS, description="Columns.")
    h: int = Field(8, ge=1, le=60, description="Rows.")

    @model_validator(mode="after")
    def _is_on_the_grid(self) -> Self:
        if self.x + self.w > COLUMNS:
            raise ValueError(f"x + w must be at most {COLUMNS}, got {self.x} + {self.w}")
        return self


class PanelQuery(_Part):
    """One question to the store; expressions may name variables as `$name`."""

    kind: QueryKind = Field("promql", description="promql, or a search in logs or traces.")
    expression: Text = Field("", max_length=10_000, description='PromQL, or the words of a search; "" finds all.')
    legend: Sentence = Field(
        "", max_length=300, description="Name of each series, such as `{{host_name}}`; its labels by default."
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.kind == "promql" and not self.expression.strip():
            raise ValueError("expression must be PromQL, got nothing")
        return self


class PanelThreshold(_Part):
    """A colour from a value on."""

    value: float | None = Field(None, allow_inf_nan=False, description="Where it begins; null for below all others.")
    color: Annotated[str, AfterValidator(_color)] = Field(description="green, yellow, orange, red, ... or #rrggbb.")


class PanelLink(_Part):
    """Where a panel's title leads; the URL may name variables."""

    title: Annotated[Sentence, Field(min_length=1, max_length=100)] = Field(description="What people see.")
    url: Annotated[Sentence, Field(max_length=2000), AfterValidator(_url)] = Field(
        description="A page of the dashboard (/...) or another site (https://...)."
    )


class PanelOptions(_Part):
    """How a panel shows what it got; what a kind has no use for is ignored."""

    unit: Sentence = Field("", max_length=30, description="UCUM or short name: By, s, ms, %, 1, req/s, ...")
    decimals: int | None = Field(None, ge=0, le=10, description="Digits after the point; null for as many as it takes.")
    min: float | None = Field(None, allow_inf_nan=False, description="Lower end of the axis.")
    max: float | None = Field(None, allow_inf_nan=False, description="Upper end of the axis.")
    thresholds: list[PanelThreshold] = Field([], max_length=20, description="Colours by value.")
    stacking: Literal["none", "normal", "percent"] = Field("none", description="Whether series lie on one another.")
    fill: int = Field(0, ge=0, le=100, description="How much of the area under a line is filled, in percent.")
    legend: Literal["hidden", "list", "table"] = Field("list", description="How series are named below the panel.")
    nulls: Literal["gap", "connect", "zero"] = Field("gap", description="What stands where a series has no value.")
    reduce: Literal["last", "mean", "min", "max", "sum"] = Field("last", description="Of a series as one value.")
    limit: int = Field(100, ge=1, le=1000, description="Most rows of logs, traces and tables.")
    links: list[PanelLink] = Field([], max_length=10, description="Where the title leads.")

    @model_validator(mode="after")
    def _has_an_axis(self) -> Self:
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min must be below max, got {self.min:g} and {self.max:g}")
        return self


class Panel(_Part):
    """A chart, a number, a list or a text."""

    id: int = Field(ge=1, le=1_000_000, description="Tells the panel from the others of the dashboard.")
    title: Sentence = Field("", max_length=200, description="What stands above it; may name variables.")
    description: Text = Field("", max_length=2000, description="What it shows, for people.")
    kind: PanelKind = Field(description="How it is drawn.")
    position: PanelPosition = Field(PanelPosition(), description="Where it stands.")
    queries: list[PanelQuery] = Field([], max_length=20, description="What it asks.")
    text: Text = Field("", max_length=20_000, description="Of kind `text`: Markdown, which may name variables.")
    options: PanelOptions = Field(PanelOptions(), description="How it shows the answer.")
    repeat: str | None = Field(None, max_length=40, description="Variable for each value of which the panel is shown.")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "text" and self.queries:
            raise ValueError("a text panel asks nothing; leave queries out")
        if self.kind != "text" and self.text:
            raise ValueError(f"text is for panels of kind text, this one is of kind {self.kind}; leave it out")
        if self.kind != "text" and not self.queries:
            raise ValueError(f"queries must hold at least one, as the panel is of kind {self.kind}")
        wanted = self.kind if self.kind in ("logs", "traces") else "promql"
        wrong = next((query.kind for query in self.queries if query.kind != wanted), None)
        if wrong is not None:
            raise ValueError(f"queries of a {self.kind} panel must be of kind {wanted}, got {wrong}")
        return self
