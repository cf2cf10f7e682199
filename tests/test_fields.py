import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from ophion_agent.config_tree import TextInt
from ophion_agent.fields import (
    ByteSize,
    ConfigJsonSchema,
    Duration,
    Endpoint,
    ParsedEndpoint,
    Secret,
    SignedDuration,
    Text,
    format_byte_size,
    format_duration,
    parse_byte_size,
    parse_duration,
    parse_endpoint,
)


class Settings(BaseModel):
    timeout: Duration = 5.0
    offset: SignedDuration = 0.0
    size: ByteSize = 0
    endpoint: Endpoint = "localhost:4317"
    header: Text = ""
    token: Secret | None = None


def refusal(**values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("5s", 5.0),
        ("1m30s", 90.0),
        ("100us", 0.0001),
        ("100µs", 0.0001),
        ("100μs", 0.0001),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("2h45m", 9900.0),
        ("7ns", 7e-9),
        ("0", 0.0),
        ("-1s", -1.0),
        ("+1s", 1.0),
    ],
)
def test_reads_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "must be a duration with a unit, got 5; write 5s"),
        ("5", "must be a duration with a unit, got 5; write 5s"),
        ("1.5", "must be a duration with a unit, got 1.5; write 1.5s"),
        ("five", 'must be a duration such as 200ms, 5s or 1m30s, got "five"'),
        ("1d", 'must be a duration such as 200ms, 5s or 1m30s, got "1d"'),
        ("", 'must be a duration such as 200ms, 5s or 1m30s, got ""'),
        ("-1s", "must not be negative, got -1s"),
        (-2.5, "must not be negative, got -2.5s"),
        (True, "must be a duration such as 200ms, 5s or 1m30s, got true"),
        (float("nan"), "must be a duration such as 200ms, 5s or 1m30s, got nan"),
        (None, "must be a duration such as 200ms, 5s or 1m30s, got nothing"),
        (["5s"], "must be a duration such as 200ms, 5s or 1m30s, got a list"),
        ("9999999h", 'must be at most 292 years, got "9999999h"'),
    ],
)
def test_refuses_what_is_no_duration(value: object, message: str) -> None:
    assert refusal(timeout=value) == message


def test_zero_needs_no_unit_and_floats_are_seconds() -> None:
    assert Settings(timeout=0).timeout == 0.0
    assert Settings(timeout=0.25).timeout == 0.25


def test_negative_durations_pass_where_allowed() -> None:
    assert Settings(offset="-1m").offset == -60.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.2, "200ms"),
        (0.0001, "100us"),
        (0.0015, "1.5ms"),
        (1e-9, "1ns"),
        (1.5, "1.5s"),
        (90, "1m30s"),
        (3600, "1h"),
        (5400, "1h30m"),
        (3601, "1h1s"),
        (-1.5, "-1.5s"),
    ],
)
def test_durations_are_printed_as_users_write_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_a_duration_survives_printing_to_the_nanosecond(nanos: int) -> None:
    assert parse_duration(format_duration(nanos / 1e9)) == nanos / 1e9


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_is_refused_with_a_sentence(text: str) -> None:
    with contextlib.suppress(ValidationError):
        assert isinstance(TypeAdapter(SignedDuration).validate_python(text), float)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("512b", 512),
        ("1kb", 1000),
        ("512KB", 512_000),
        ("1KiB", 1024),
        ("1MiB", 1024**2),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("2 TB", 2 * 1000**4),
    ],
)
def test_reads_byte_sizes(text: str, size: int) -> None:
    assert parse_byte_size(text) == size


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1 parsec", 'must be a size such as 512kb, 1MiB or a number of bytes, got "1 parsec"'),
        ("-1", 'must be a size such as 512kb, 1MiB or a number of bytes, got "-1"'),
        (True, "must be a size such as 512kb, 1MiB or a number of bytes, got true"),
        (1.5, "must be a size such as 512kb, 1MiB or a number of bytes, got 1.5"),
        ({}, "must be a size such as 512kb, 1MiB or a number of bytes, got a mapping"),
        (-1, "must not be negative, got -1"),
        ("0.3b", 'must be a whole number of bytes, got "0.3b"'),
    ],
)
def test_refuses_what_is_no_size(value: object, message: str) -> None:
    assert refusal(size=value) == message


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_survives_printing(size: int) -> None:
    assert parse_byte_size(str(format_byte_size(size))) == size


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("localhost:4317", ParsedEndpoint(host="localhost", port=4317)),
        (":8889", ParsedEndpoint(host="", port=8889)),
        ("0.0.0.0:4318", ParsedEndpoint(host="0.0.0.0", port=4318)),
        ("[::1]:4317", ParsedEndpoint(host="::1", port=4317)),
        ("http://host:4317", ParsedEndpoint("http", "host", 4317)),
        ("HTTPS://host/base/v1?x=1", ParsedEndpoint("https", "host", None, "/base/v1?x=1")),
        ("https://user:pw@host:1/x", ParsedEndpoint("https", "host", 1, "/x")),
        ("https://[::1]:4318", ParsedEndpoint("https", "::1", 4318)),
        ("dns:///host:4317", ParsedEndpoint("dns", "host", 4317)),
        ("unix:///run/x.sock", ParsedEndpoint(unix_path="/run/x.sock")),
        ("unix:run/x.sock", ParsedEndpoint(unix_path="run/x.sock")),
        ("unix-abstract:x", ParsedEndpoint(unix_path="\0x")),
        ("/run/x.sock", ParsedEndpoint(unix_path="/run/x.sock")),
    ],
)
def test_reads_endpoints(text: str, parsed: ParsedEndpoint) -> None:
    assert parse_endpoint(text) == parsed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://host:4317/x", "host:4317"),
        ("[::1]:4317", "[::1]:4317"),
        (":1", ":1"),
        ("https://host", "host"),
        ("unix:///run/x", "unix:/run/x"),
        ("unix-abstract:x", "unix-abstract:x"),
    ],
)
def test_an_endpoint_gives_the_address_to_dial(text: str, address: str) -> None:
    assert parse_endpoint(text).address == address


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "must be host:port, got 'x'"),
        ("", "must be host:port, got ''"),
        ("host:port", "must be host:port, got 'host:port'"),
        ("a b:1", "must be host:port, got 'a b:1'"),
        ("http://:80", "must be host:port, got 'http://:80'"),
        ("http:///x", "must be host:port, got 'http:///x'"),
        ("::1:4317", "must be host:port, got '::1:4317'; write an IPv6 address in brackets: [::1]:4317"),
        ("h:70000", "must have a port of at most 65535, got 'h:70000'"),
        ("unix:", "must name a socket, got 'unix:'; write unix:/run/app.sock"),
        (4317, "must be host:port, got '4317'; write localhost:4317"),
        (None, "must be host:port, got 'nothing'"),
    ],
)
def test_refuses_what_is_no_endpoint(value: object, message: str) -> None:
    assert refusal(endpoint=value) == message


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (True, "true"), (1.5, "1.5"), ("x", "x")])
def test_text_takes_yaml_scalars(value: object, text: str) -> None:
    assert Settings(header=value).header == text  # type: ignore[arg-type]


def test_text_and_secrets_keep_the_leading_zeros_of_a_reference() -> None:
    number = TextInt(83)
    number.text = "0123"
    settings = Settings(header=number, token=number)  # type: ignore[arg-type]
    assert settings.header == "0123"
    assert settings.token is not None
    assert settings.token.get_secret_value() == "0123"


def test_text_refuses_structures() -> None:
    assert refusal(header=["a"]) == "Input should be a valid string"


def test_secrets_are_not_printed() -> None:
    assert "open-sesame" not in repr(Settings(token="open-sesame"))  # type: ignore[arg-type]


def test_values_serialise_to_what_users_write_and_load_again() -> None:
    settings = Settings(timeout="1m30s", offset="-1s", size="1MiB", endpoint=" :8889 ")  # type: ignore[arg-type]
    dumped = settings.model_dump(mode="json")
    assert dumped == {
        "timeout": "1m30s",
        "offset": "-1s",
        "size": "1MiB",
        "endpoint": ":8889",
        "header": "",
        "token": None,
    }
    assert Settings.model_validate(dumped) == settings


def test_the_json_schema_describes_what_users_write() -> None:
    properties = Settings.model_json_schema(schema_generator=ConfigJsonSchema)["properties"]
    assert properties["timeout"]["type"] == ["string", "number"]
    assert properties["size"]["anyOf"][0]["type"] == "integer"
    assert properties["endpoint"]["type"] == "string"
    assert properties["timeout"]["default"] == "5s"
