from typing import Any

import pytest
from pydantic import ValidationError

from ophion_host.config import HostMetricsConfig


def error_of(scrapers: dict[str, Any]) -> tuple[str, str]:
    """Where the only error of a configuration is, and what it says."""
    with pytest.raises(ValidationError) as caught:
        HostMetricsConfig.model_validate({"scrapers": scrapers})
    (error,) = caught.value.errors()
    return ".".join(str(part) for part in error["loc"]), error["msg"]


def test_defaults_are_otelcols() -> None:
    config = HostMetricsConfig.model_validate({})
    assert (config.collection_interval, config.initial_delay, config.root_path) == (60.0, 1.0, "")


@pytest.mark.parametrize("given", [{}, {"scrapers": None}])
def test_without_scrapers_the_host_as_a_whole_is_scraped(given: dict[str, Any]) -> None:
    assert list(HostMetricsConfig.model_validate(given).scrapers.configured()) == [
        "cpu", "load", "memory", "disk", "filesystem", "network", "paging", "processes", "system",
    ]  # fmt: skip


def test_null_body_means_defaults() -> None:
    config = HostMetricsConfig.model_validate({"scrapers": {"cpu": None, "load": {"cpu_average": True}}})
    assert list(config.scrapers.configured()) == ["cpu", "load"]
    assert config.scrapers.cpu is not None
    assert "system.cpu.utilization" not in [metric.name for metric in config.scrapers.cpu.enabled_metrics()]


@pytest.mark.parametrize("exclude_unset", [True, False])
def test_absent_scrapers_stay_absent_in_a_round_trip(exclude_unset: bool) -> None:
    config = HostMetricsConfig.model_validate({"scrapers": {"cpu": None}})
    again = HostMetricsConfig.model_validate(config.model_dump(exclude_unset=exclude_unset))
    assert list(again.scrapers.configured()) == ["cpu"]


def test_metrics_are_switched_on_and_off() -> None:
    metrics = {"system.cpu.time": {"enabled": False}, "system.cpu.utilization": {"enabled": True}}
    config = HostMetricsConfig.model_validate({"scrapers": {"cpu": {"metrics": metrics}}})
    assert config.scrapers.cpu is not None
    assert [metric.name for metric in config.scrapers.cpu.enabled_metrics()] == [
        "system.cpu.utilization",
        "system.cpu.logical.count",
    ]


def test_options_of_otelcol_are_taken() -> None:
    HostMetricsConfig.model_validate(
        {
            "collection_interval": "10s",
            "initial_delay": "0s",
            "root_path": "/hostfs",
            "scrapers": {
                "disk": {"include": {"devices": ["sda"], "match_type": "strict"}},
                "filesystem": {
                    "include_virtual_filesystems": True,
                    "exclude_devices": {"devices": ["loop"], "match_type": "regexp"},
                    "exclude_fs_types": {"fs_types": ["tmpfs"], "match_type": "strict"},
                    "exclude_mount_points": {"mount_points": ["/var/lib/docker/*"], "match_type": "regexp"},
                },
                "network": {"exclude": {"interfaces": ["lo"], "match_type": "strict"}},
                "process": {
                    "include": {"names": ["nginx"], "match_type": "strict"},
                    "mute_process_name_error": True,
                    "mute_process_exe_error": True,
                    "mute_process_io_error": True,
                    "mute_process_user_error": True,
                    "mute_process_cgroup_error": True,
                    "mute_process_all_errors": True,
                    "scrape_process_delay": "30s",
                    "resource_attributes": {"process.cgroup": {"enabled": True}},
                },
            },
        }
    )


def test_unknown_metric_is_refused_with_the_nearest() -> None:
    where, message = error_of({"cpu": {"metrics": {"system.cpu.utilisation": {"enabled": True}}}})
    assert where == "scrapers.cpu.metrics"
    assert message == (
        'Value error, unknown metric "system.cpu.utilisation"; did you mean "system.cpu.utilization"? '
        "valid: system.cpu.time, system.cpu.utilization, system.cpu.frequency, system.cpu.logical.count, "
        "system.cpu.physical.count"
    )


def test_unknown_resource_attribute_is_refused() -> None:
    where, message = error_of({"process": {"resource_attributes": {"process.user": {"enabled": True}}}})
    assert where == "scrapers.process.resource_attributes"
    assert message.startswith('Value error, unknown resource attribute "process.user"; ')


def test_unknown_scraper_is_refused() -> None:
    assert error_of({"gpu": None})[0] == "scrapers.gpu"


def test_empty_scrapers_are_refused() -> None:
    assert error_of({})[1].startswith("Value error, must name at least one scraper; valid: cpu, load, ")


def test_invalid_expression_is_refused() -> None:
    where, message = error_of({"disk": {"exclude": {"devices": ["sd(a"], "match_type": "regexp"}}})
    assert where == "scrapers.disk.exclude"
    assert message == (
        "Value error, devices: invalid regular expression 'sd(a': missing ), unterminated subpattern at position 2; "
        "correct it or use match_type: strict"
    )


@pytest.mark.parametrize("body", [{"devices": ["sda"]}, {"devices": ["sda"], "match_type": "glob"}])
def test_match_type_must_be_given_as_in_otelcol(body: dict[str, Any]) -> None:
    assert error_of({"disk": {"include": body}})[0] == "scrapers.disk.include.match_type"


def test_interval_of_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="collection_interval"):
        HostMetricsConfig.model_validate({"collection_interval": 0})
