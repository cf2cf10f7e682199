"""Patterns and selections, and what is known of a container."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ophion_docker.matching import Selection, Selector, chosen_labels, glob_regex, pattern_test
from ophion_docker.metadata import (
    Container,
    container_of,
    cpu_limit,
    cpuset_size,
    resource_attributes,
    seconds_text,
    split_image,
    time_ns,
)


@pytest.mark.parametrize(
    ("item", "text", "matches"),
    [
        ("nginx", "nginx", True),
        ("nginx", "nginx:1", False),
        ("!nginx", "nginx:1", True),
        ("nginx*", "nginx:1", True),
        ("*/nginx:?", "registry/x/nginx:1", True),
        ("{a,b*}c", "bxc", True),
        ("[ab]c", "bc", True),
        ("[!ab]c", "bc", False),
        ("a\\*b*", "a*bx", True),
        ("a.c*", "abc", False),
        ("/ngin.:/", "my-nginx:2", True),
        ("/^ngin/", "my-nginx:2", False),
        ("!/^ngin/", "my-nginx:2", True),
        ("a[b", "a[b", True),
    ],
)
def test_patterns_are_names_globs_and_regular_expressions(item: str, text: str, matches: bool) -> None:
    assert pattern_test(item)(text) is matches


@given(st.text(alphabet="ab*?[]{},!\\", max_size=12))
def test_any_text_is_a_pattern_or_refused(item: str) -> None:
    # Any other error than that of an unreadable pattern fails the test.
    with suppress(ValueError):
        assert pattern_test(item)("abba") is not pattern_test(f"!{item.removeprefix('!')}")("abba") or item[:1] == "!"


@given(st.text(max_size=20).filter(lambda text: not set(text) & set("*?[]{}\\")))
def test_a_glob_without_special_characters_means_itself(text: str) -> None:
    assert pattern_test(f"{text}*")(text + "x")
    assert glob_regex(text) == glob_regex(text + "*").removesuffix(".*")


def test_refuses_patterns_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match=r"must be a name, a glob or a /regex/, got '/\(/'"):
        Selection.model_validate({"images": ["/(/"]})


def test_a_selection_needs_every_kind_that_it_names() -> None:
    selector = Selector(Selection(images=["nginx:*", "redis"], names=["web-*"], labels={"team": "a*"}))
    assert selector.matches("nginx:1", "web-1", {"team": "abc"})
    assert selector.matches("redis", "web-1", {"team": "abc"})
    assert not selector.matches("nginx:1", "db", {"team": "abc"})
    assert not selector.matches("nginx:1", "web-1", {})
    assert not selector.empty
    assert Selector(Selection()).empty
    assert Selector(Selection()).matches("x", "y", {})


def test_labels_are_chosen_by_name() -> None:
    tests = [pattern_test("a.*"), pattern_test("b")]
    assert chosen_labels(tests, {"a.x": "1", "b": "2", "c": "3"}) == {"a.x": "1", "b": "2"}
    assert chosen_labels([], {"a": "1"}) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00.000000007+01:00", 7),
        ("2026-11-22T02:47:51.467554169Z", 1_795_315_671_467_554_169),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        ("1970-13-01T00:00:01Z", 0),
        ("yesterday", 0),
    ],
)
def test_reads_the_engines_times(text: str, expected: int) -> None:
    assert time_ns(text) == expected


@given(st.integers(0, 2**62))
def test_times_survive_a_round_trip_as_query_text(moment: int) -> None:
    seconds, _, fraction = seconds_text(moment).partition(".")
    assert int(seconds) * 10**9 + int(fraction) == moment
    assert len(fraction) == 9


@pytest.mark.parametrize(
    ("host", "cpus"),
    [
        ({"NanoCpus": 1_500_000_000, "CpusetCpus": "0"}, 1.5),
        ({"CpusetCpus": "0-2,7"}, 4),
        ({"CpuQuota": 50_000}, 0.5),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, 2),
        ({"CpuQuota": -1}, 0),
        ({}, 0),
    ],
)
def test_finds_the_cpu_limit(host: dict[str, object], cpus: float) -> None:
    assert cpu_limit(host) == cpus


def test_an_unreadable_cpuset_is_no_limit() -> None:
    assert cpuset_size("0-x") == cpuset_size("a") == 0


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("nginx", ("nginx", "")),
        ("nginx:1.2", ("nginx", "1.2")),
        ("host:5000/a/b", ("host:5000/a/b", "")),
        ("host:5000/a/b:x@sha256:00", ("host:5000/a/b", "x")),
        ("sha256:00ff", ("sha256", "00ff")),
    ],
)
def test_splits_images(image: str, parts: tuple[str, str]) -> None:
    assert split_image(image) == parts


@pytest.mark.parametrize(
    ("environment", "labels", "service"),
    [
        ({"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, {}, "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "x=y, service.name=my%20shop"}, {"com.docker.compose.service": "c"}, "my shop"),
        ({}, {"com.docker.compose.service": "c"}, "c"),
        ({}, {"com.docker.swarm.service.name": "d"}, "d"),
        ({}, {}, "name"),
    ],
)
def test_finds_the_service_name(environment: dict[str, str], labels: dict[str, str], service: str) -> None:
    assert Container("id", "name", environment=environment, labels=labels).service_name == service


def test_reads_an_inspect_that_lacks_everything() -> None:
    assert container_of({}) == Container("", status="")
    found = container_of({"Id": "x", "Config": None, "State": None, "HostConfig": None})
    assert resource_attributes(found) == {"container.id": "x", "container.runtime": "docker"}
