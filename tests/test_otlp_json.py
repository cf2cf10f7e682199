import base64
import json
import math
import re
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ophion_agent.errors import PermanentError
from ophion_agent.otlp_json import MAX_MESSAGE_DEPTH, decode, encode, to_wire
from strategies import any_request

relaxed = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
_IDS = {"traceId", "spanId", "parentSpanId"}


def same(left: Message, right: Message) -> bool:
    """Compare by encoding: NaN equals NaN and a negative zero differs from zero."""
    return left.SerializeToString(deterministic=True) == right.SerializeToString(deterministic=True)


def ids_as_base64(document: Any) -> Any:
    """Rewrite hexadecimal ids the way plain proto3 JSON has them."""
    if isinstance(document, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in _IDS else ids_as_base64(item)
            for key, item in document.items()
        }
    return [ids_as_base64(item) for item in document] if isinstance(document, list) else document


@relaxed
@given(any_request())
def test_every_message_survives_encode_and_decode(message: Message) -> None:
    document = encode(message)
    assert b"\n" not in document
    assert same(decode(document, type(message)), message)
    assert same(type(message).FromString(to_wire(document, type(message))), message)


@relaxed
@given(any_request())
def test_agrees_with_proto3_json_but_for_hexadecimal_ids(message: Message) -> None:
    ours = ids_as_base64(json.loads(encode(message)))
    assert same(json_format.ParseDict(ours, type(message)()), message)
    assert ours == json_format.MessageToDict(message, use_integers_for_enums=True)


@relaxed
@given(any_request().filter(lambda message: not re.search(rb"\"(traceId|spanId|parentSpanId)\"", encode(message))))
def test_reads_what_proto3_json_writes_with_original_names_and_enum_names(message: Message) -> None:
    document = json_format.MessageToJson(message, preserving_proto_field_name=True)
    assert same(decode(document.encode(), type(message)), message)


def decode_span(fields: Any) -> Span:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}
    return decode(orjson.dumps(document), ExportTraceServiceRequest).resource_spans[0].scope_spans[0].spans[0]


def decode_value(fields: Any) -> AnyValue:
    return decode_span({"attributes": [{"key": "a", "value": fields}]}).attributes[0].value


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"traceId": "5B8EFFF798038103D269B633813FC60C"},
            {"trace_id": bytes.fromhex("5b8efff798038103d269b633813fc60c")},
        ),
        ({"trace_id": "00ff", "traceId": None}, {"trace_id": b"\x00\xff"}),
        ({"traceId": ""}, {"trace_id": b""}),
        ({"startTimeUnixNano": "1544712660000000000"}, {"start_time_unix_nano": 1544712660000000000}),
        ({"startTimeUnixNano": 18446744073709551615}, {"start_time_unix_nano": 2**64 - 1}),
        ({"startTimeUnixNano": 1.5e18}, {"start_time_unix_nano": 15 * 10**17}),
        ({"kind": 2}, {"kind": Span.SPAN_KIND_SERVER}),
        ({"kind": "SPAN_KIND_SERVER"}, {"kind": Span.SPAN_KIND_SERVER}),
        ({"kind": "2"}, {"kind": Span.SPAN_KIND_SERVER}),
        ({"name": None, "nobody": {"knows": ["this"]}}, {}),
    ],
)
def test_accepts_the_forms_a_span_may_have(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert decode_span(fields) == Span(**expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stringValue": ""}, AnyValue(string_value="")),
        ({"boolValue": False}, AnyValue(bool_value=False)),
        ({"intValue": 0}, AnyValue(int_value=0)),
        ({"intValue": "-9223372036854775808"}, AnyValue(int_value=-(2**63))),
        ({"doubleValue": 0}, AnyValue(double_value=0)),
        ({"doubleValue": "1e3"}, AnyValue(double_value=1000)),
        ({"doubleValue": "-Infinity"}, AnyValue(double_value=-math.inf)),
        ({"bytesValue": "_-8"}, AnyValue(bytes_value=b"\xff\xef")),
        ({"bytesValue": "/+8="}, AnyValue(bytes_value=b"\xff\xef")),
        ({"arrayValue": {}}, AnyValue(array_value={})),
        ({"stringValue": None}, AnyValue()),
        ({"stringValue": None, "intValue": 3}, AnyValue(int_value=3)),
        ({}, AnyValue()),
    ],
)
def test_keeps_which_kind_of_value_was_sent(fields: dict[str, Any], expected: AnyValue) -> None:
    value = decode_value(fields)
    assert value == expected
    assert value.WhichOneof("value") == expected.WhichOneof("value")


def test_reads_a_nan_double() -> None:
    assert math.isnan(decode_value({"doubleValue": "NaN"}).double_value)


SPAN = "resourceSpans[0].scopeSpans[0].spans[0]"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([], f"{SPAN}: must be an object, got []"),
        ({"attributes": {}}, f"{SPAN}.attributes: must be a list, got {{}}"),
        ({"attributes": [None]}, f"{SPAN}.attributes[0]: must be an object, got None"),
        ({"attributes": [{"key": "a"}, {"key": 5}]}, f"{SPAN}.attributes[1].key: must be a string, got 5"),
        ({"traceId": "xyz"}, f"{SPAN}.traceId: must be hexadecimal digits in pairs, got 'xyz'"),
        ({"traceId": "0"}, f"{SPAN}.traceId: must be hexadecimal digits in pairs, got '0'"),
        ({"spanId": "é1"}, f"{SPAN}.spanId: must be hexadecimal digits in pairs, got 'é1'"),
        ({"spanId": 12}, f"{SPAN}.spanId: must be a string, got 12"),
        ({"startTimeUnixNano": -1}, f"{SPAN}.startTimeUnixNano: must be between 0 and 18446744073709551615, got -1"),
        ({"startTimeUnixNano": 1.5}, f"{SPAN}.startTimeUnixNano: must be an integer, got 1.5"),
        ({"startTimeUnixNano": "1_0"}, f"{SPAN}.startTimeUnixNano: must be an integer, got '1_0'"),
        ({"startTimeUnixNano": True}, f"{SPAN}.startTimeUnixNano: must be an integer, got True"),
        ({"flags": 2**32}, f"{SPAN}.flags: must be between 0 and 4294967295, got 4294967296"),
        ({"status": {"code": "OK"}}, f"{SPAN}.status.code: must be an integer or one of STATUS_CODE_UNSET, "),
    ],
)
def test_refuses_a_malformed_span_and_says_where(fields: Any, message: str) -> None:
    with pytest.raises(PermanentError, match=re.escape(f"OTLP/JSON: {message}")):
        decode_span(fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"boolValue": 1}, "must be true or false, got 1"),
        ({"doubleValue": "1e999"}, "must be a number within the range of a double"),
        ({"doubleValue": "nan"}, "must be a number within the range of a double"),
        ({"doubleValue": False}, "must be a number within the range of a double"),
        ({"bytesValue": "a"}, "must be base64, got 'a'"),
        ({"bytesValue": "ab c"}, "must be base64, got 'ab c'"),
        ({"bytesValue": "!" * 99}, "!!!..."),
        ({"intValue": "9223372036854775808"}, "must be between -9223372036854775808 and 9223372036854775807"),
        ({"intValue": 1, "stringValue": "1"}, "must have only one of intValue, stringValue, got 2 of them"),
    ],
)
def test_refuses_a_malformed_attribute_value(fields: Any, reason: str) -> None:
    with pytest.raises(PermanentError, match=re.escape(reason)):
        decode_value(fields)


@pytest.mark.parametrize("number", ["-9223372036854775809", "9223372036854775808", "1e30"])
def test_integers_of_more_than_64_bits_are_not_rounded_into_range(number: str) -> None:
    document = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":' + number + "}}]}]}]}"
    with pytest.raises(PermanentError, match=r"logRecords\[0\]\.body\.intValue: must be"):
        decode(document.encode(), ExportLogsServiceRequest)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"a":NaN}',
        b'{"resourceSpans":"\\ud800"}',
        b'{"resourceSpans":1e999}',
        b"{}x",
    ],
)
def test_refuses_what_is_not_a_json_object(document: bytes) -> None:
    with pytest.raises(PermanentError, match="OTLP/JSON: "):
        decode(document, ExportTraceServiceRequest)


def test_an_empty_request_is_fine() -> None:
    assert decode(b"{}", ExportMetricsServiceRequest) == ExportMetricsServiceRequest()
    assert encode(ExportMetricsServiceRequest()) == b"{}"


def nested_lists(depth: int) -> ExportLogsServiceRequest:
    """Nest lists in a body; the innermost value is `5 + 2 * depth` messages deep when the request counts as one."""
    request = ExportLogsServiceRequest()
    value = request.resource_logs.add().scope_logs.add().log_records.add().body
    for _ in range(depth):
        value = value.array_value.values.add()
    value.int_value = 1
    return request


def test_nests_as_deep_as_the_wire_format_and_no_deeper() -> None:
    deepest = nested_lists((MAX_MESSAGE_DEPTH - 4) // 2)
    assert decode(encode(deepest), ExportLogsServiceRequest) == deepest
    with pytest.raises(PermanentError, match="nested deeper than 100 messages"):
        decode(encode(nested_lists((MAX_MESSAGE_DEPTH - 4) // 2 + 1)), ExportLogsServiceRequest)


@pytest.mark.parametrize("depth", [250, 900, 5_000, 200_000])
def test_refuses_absurd_nesting(depth: int) -> None:
    body = b'{"arrayValue":{"values":[' * depth + b"]}}" * depth
    document = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + body + b"}]}]}]}"
    with pytest.raises(PermanentError):
        decode(document, ExportLogsServiceRequest)


def test_does_not_write_what_no_parser_would_read() -> None:
    deep = nested_lists(400)
    with pytest.raises(PermanentError, match="nested deeper"):
        encode(deep)
    record = deep.resource_logs[0].scope_logs[0].log_records[0]
    record.attributes.add(key="deep").value.CopyFrom(record.body)
    record.ClearField("body")
    with pytest.raises(PermanentError, match="nested deeper"):
        encode(deep)


def test_reads_and_writes_responses() -> None:
    response = ExportTraceServiceResponse(partial_success={"rejected_spans": 3, "error_message": "no"})
    assert encode(response) == b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}'
    assert decode(encode(response), ExportTraceServiceResponse) == response


def test_reads_and_writes_a_status_with_details() -> None:
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay={"seconds": 7}))
    status = Status(code=14, message="busy", details=[detail])
    assert json.loads(encode(status))["details"][0]["retryDelay"] == "7s"
    assert decode(encode(status), Status) == status
    assert Status.FromString(to_wire(encode(status), Status)) == status


@pytest.mark.parametrize("document", [b"[]", b'{"code":"x"}', b"{", b'{"details":[{"@type":"who/knows"}]}'])
def test_refuses_a_malformed_status(document: bytes) -> None:
    with pytest.raises(PermanentError, match="OTLP/JSON: Status: "):
        decode(document, Status)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a JSON document."""
    if isinstance(document, dict):
        children: Any = document.items()
    elif isinstance(document, list):
        children = enumerate(document)
    else:
        return [path]
    return [path, *(place for key, item in children for place in places(item, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)


@relaxed
@given(st.data(), any_request())
def test_values_of_the_wrong_type_are_refused_or_read_never_a_crash(data: st.DataObject, message: Message) -> None:
    document = json.loads(encode(message))
    place = data.draw(st.sampled_from(places(document)))
    mutated = orjson.dumps(replaced(document, place, data.draw(junk)))
    try:
        result = decode(mutated, type(message))
    except PermanentError:
        return
    assert same(decode(encode(result), type(message)), result)


@relaxed
@given(st.data(), any_request())
def test_mutated_text_is_refused_or_read_never_a_crash(data: st.DataObject, message: Message) -> None:
    document = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(document) - 1))
        document[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3) | st.just(b"null"))
        if not document:
            break
    try:
        result = decode(bytes(document), type(message))
    except PermanentError:
        return
    assert same(decode(encode(result), type(message)), result)


def test_strategies_reach_values_points_and_references() -> None:
    seen: set[str] = set()

    @settings(relaxed, max_examples=300, database=None, derandomize=True)
    @given(any_request())
    def collect(message: Message) -> None:
        seen.update(re.findall(r"(\w+) [{]", str(message)))

    collect()
    assert seen >= {"array_value", "kvlist_value", "entity_refs", "exponential_histogram", "exemplars", "links", "body"}
