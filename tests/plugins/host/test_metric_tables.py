import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from ophion_host.catalog import SCRAPERS
from ophion_host.config import ScrapersConfig, metric_tables
from ophion_host.metric import Metric

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "testdata" / "host" / "otelcol_metrics.json").read_text()
)
TABLES = metric_tables()


def described(metric: Metric) -> dict[str, Any]:
    return {
        "unit": metric.unit,
        "description": metric.description,
        "kind": metric.kind,
        "value": metric.value,
        "monotonic": metric.monotonic,
        "attributes": list(metric.attributes),
        "enabled": metric.enabled,
    }


@pytest.mark.parametrize("scraper", GOLDEN)
def test_table_is_otelcols(scraper: str) -> None:
    assert {metric.name: described(metric) for metric in TABLES[scraper]} == GOLDEN[scraper]


def test_every_scraper_has_a_configuration_of_its_name() -> None:
    assert {cls.name for cls in SCRAPERS} == set(ScrapersConfig.model_fields) == set(ScrapersConfig.order)


@pytest.mark.parametrize("scraper", [name for name in TABLES if name != "process"])
def test_encoded_metrics_have_the_shape_of_the_table(scraper: str, runner: Any) -> None:
    instance = runner(scraper, enable="all")
    instance.scrape()
    metrics = instance.scrape().metrics()
    assert set(metrics) == {metric.name for metric in TABLES[scraper]}
    for expected in TABLES[scraper]:
        assert_shape(metrics[expected.name], expected)


def test_encoded_process_metrics_have_the_shape_of_the_table(runner: Any) -> None:
    instance = runner("process", {"include": {"match_type": "regexp", "names": ["odd"]}}, enable="all")
    instance.scrape()
    _, metrics = instance.scrape(now_ns=1_700_200_000_000_000_000).processes()[42]
    reported = [metric for metric in TABLES["process"] if "linux" in metric.platforms]
    assert set(metrics) == {metric.name for metric in reported}
    for expected in reported:
        assert_shape(metrics[expected.name], expected)


def assert_shape(metric: Any, expected: Metric) -> None:
    assert metric.WhichOneof("data") == expected.kind
    assert (metric.unit, metric.description) == (expected.unit, expected.description)
    data = getattr(metric, expected.kind)
    if expected.kind == "sum":
        assert data.is_monotonic == expected.monotonic
        assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    for point in data.data_points:
        assert [pair.key for pair in point.attributes] == list(expected.attributes)
        assert point.WhichOneof("value") == ("as_int" if expected.value == "int" else "as_double")
        assert point.time_unix_nano > 0
        assert (point.start_time_unix_nano > 0) == (expected.kind == "sum")
