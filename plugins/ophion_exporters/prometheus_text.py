"""The text formats: Prometheus text 0.0.4/1.0.0 and OpenMetrics 1.0.0."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import inf, isfinite

from ophion_agent.prometheus_names import is_legacy_label_name, is_legacy_metric_name
from ophion_exporters.prometheus_buckets import classic_buckets, explicit_buckets
from ophion_exporters.prometheus_exemplars import Exemplar, exemplars_of, latest_per_bucket
from ophion_exporters.prometheus_exposition import Encoding, Entry, Format, escape_labels, plan
from ophion_exporters.prometheus_families import Family
from ophion_exporters.prometheus_series import HistogramSeries, NativeSeries, NumberSeries, Series, SummarySeries

_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


def render_text(families: Iterable[Family], layout: Format) -> Iterator[str]:
    """Iterate over the exposition, one piece for each family."""
    writer = TextWriter(layout)
    for entry in plan(families, layout):
        yield writer.family(entry)
    if layout.encoding is Encoding.OPENMETRICS:
        yield "# EOF\n"


class TextWriter:
    """Writes families in one layout."""

    def __init__(self, layout: Format) -> None:
        self._utf8 = layout.utf8
        self._timestamps = layout.timestamps
        self._openmetrics = layout.encoding is Encoding.OPENMETRICS

    def family(self, entry: Entry) -> str:
        """Return metadata and samples of one family."""
        lines = self._metadata(entry)
        exemplars = self._openmetrics and entry.type_name == "counter"
        seen: set[str] = set()
        for series in list(entry.family.series.values()):
            labels = self._labels(series)
            if labels in seen:
                continue
            seen.add(labels)
            end = self._end(series)
            if isinstance(series, NumberSeries):
                exemplar = self._exemplar(next(exemplars_of(series), None)) if exemplars else ""
                lines.append(f"{_sample(entry.name, labels)} {number(series.value)}{end}{exemplar}")
            elif isinstance(series, HistogramSeries | NativeSeries):
                self._histogram(lines, entry.name, labels, end, series)
            elif isinstance(series, SummarySeries):
                self._summary(lines, entry.name, labels, end, series)
        lines.append("")
        return "\n".join(lines)

    def _metadata(self, entry: Entry) -> list[str]:
        title = entry.title if is_legacy_metric_name(entry.title) else f'"{escape(entry.title)}"'
        lines = [f"# TYPE {title} {entry.type_name}"]
        if entry.family.help:
            text = entry.family.help.replace("\\", "\\\\").replace("\n", "\\n")
            lines.insert(0, f"# HELP {title} " + (text.replace('"', '\\"') if self._openmetrics else text))
        return lines

    def _labels(self, series: Series) -> str:
        if self._utf8:
            if series.text is None:
                series.text = label_text(series.labels)
            return series.text
        if series.escaped_text is None:
            series.escaped_text = label_text(escape_labels(series.labels))
        return series.escaped_text

    def _end(self, series: Series) -> str:
        if not self._timestamps or not series.time:
            return ""
        return f" {seconds(series.time)}" if self._openmetrics else f" {series.time // 1_000_000}"

    def _exemplar(self, exemplar: Exemplar | None) -> str:
        if exemplar is None:
            return ""
        time = f" {seconds(exemplar.time)}" if exemplar.time else ""
        return f" # {{{label_text(exemplar.labels)}}} {number(exemplar.value)}{time}"

    def _histogram(
        self, lines: list[str], name: str, labels: str, end: str, series: HistogramSeries | NativeSeries
    ) -> None:
        if isinstance(series, NativeSeries):
            buckets, total = classic_buckets(series.buckets), series.count
        else:
            buckets = explicit_buckets(series.bounds, series.counts)
            total = max(series.count, sum(series.counts))
        total = max(total, buckets[-1][1] if buckets else 0)
        buckets.append((inf, total))
        bounds = tuple([bound for bound, _ in buckets])
        head = _open_sample(f"{name}_bucket", labels)
        texts = boundaries(bounds, self._openmetrics)
        added = [f'{head}le="{text}"}} {count}{end}' for text, (_, count) in zip(texts, buckets, strict=True)]
        if self._openmetrics and series.exemplars:
            for bound, exemplar in latest_per_bucket(bounds, series).items():
                added[bounds.index(bound)] += self._exemplar(exemplar)
        lines += added
        self._totals(lines, name, labels, end, series.sum, total, negative=bounds[0] < 0)

    def _totals(
        self, lines: list[str], name: str, labels: str, end: str, total: float | None, count: int, negative: bool
    ) -> None:
        # OpenMetrics: no sum where values may be negative, and a count only beside a sum; +Inf tells it there.
        if total is not None and not (self._openmetrics and negative):
            lines.append(f"{_sample(f'{name}_sum', labels)} {number(total)}{end}")
        elif self._openmetrics:
            return
        lines.append(f"{_sample(f'{name}_count', labels)} {count}{end}")

    def _summary(self, lines: list[str], name: str, labels: str, end: str, series: SummarySeries) -> None:
        for quantile, value in series.quantiles:
            text = boundary(quantile, self._openmetrics)
            lines.append(f'{_open_sample(name, labels)}quantile="{text}"}} {number(value)}{end}')
        lines.append(f"{_sample(f'{name}_sum', labels)} {number(series.sum)}{end}")
        lines.append(f"{_sample(f'{name}_count', labels)} {series.count}{end}")


def _sample(name: str, labels: str) -> str:
    if is_legacy_metric_name(name):
        return f"{name}{{{labels}}}" if labels else name
    return f'{{"{escape(name)}",{labels}}}' if labels else f'{{"{escape(name)}"}}'


def _open_sample(name: str, labels: str) -> str:
    head = f"{name}{{" if is_legacy_metric_name(name) else f'{{"{escape(name)}",'
    return f"{head}{labels}," if labels else head


def label_text(labels: Iterable[tuple[str, str]]) -> str:
    """Return `a="x",b="y"`, names in quotes where they need them."""
    return ",".join(
        f'{name}="{escape(text)}"' if is_legacy_label_name(name) else f'"{escape(name)}"="{escape(text)}"'
        for name, text in labels
    )


def escape(text: str) -> str:
    """Return the text as it stands between double quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """Return a sample value: `5`, `0.25`, `NaN`, `+Inf`."""
    text = repr(value)
    return _SPECIAL[text] if text[-1] in "fn" else text


def seconds(unix_nano: int) -> str:
    """Return an OpenMetrics timestamp, in seconds with milliseconds."""
    return f"{unix_nano // 1_000_000_000}.{unix_nano // 1_000_000 % 1000:03d}"


@lru_cache(maxsize=1024)
def boundaries(values: tuple[float, ...], openmetrics: bool) -> tuple[str, ...]:
    """Return bucket bounds as label texts."""
    return tuple(boundary(value, openmetrics) for value in values)


def boundary(value: float, openmetrics: bool) -> str:
    """Return a bucket bound or quantile as Go writes it (`%g`, shortest), so that labels equal other collectors'.

    OpenMetrics wants a decimal point in whole numbers.
    """
    if not isfinite(value):
        return number(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        text = repr(float(value))
        return text if openmetrics else text.removesuffix(".0")
    return next(text for text in (f"{value:.{digits}e}" for digits in range(17)) if float(text) == value)
