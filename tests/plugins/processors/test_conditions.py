"""OTTL conditions: what parses, what each condition answers, and what a bad one is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ophion_processors.condition_compiler import EvaluationError, compile_condition
from ophion_processors.condition_paths import Level, Place, valid_paths
from ophion_processors.conditions import Comparison, ConditionError, Junction, Literal, Not, Path, parse
from strategies import messages


def place() -> Place:
    resource = Resource()
    resource.attributes.add(key="host.name").value.string_value = "web-1"
    span = Span(name="GET /health", kind=Span.SPAN_KIND_SERVER, trace_id=bytes(range(16)), span_id=bytes(8))
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "timed out"
    span.attributes.add(key="route").value.string_value = "/health"
    span.attributes.add(key="code").value.int_value = 200
    span.attributes.add(key="ok").value.bool_value = True
    span.attributes.add(key="load").value.double_value = 0.5
    span.attributes.add(key="tags").value.array_value.values.add().string_value = "a"
    span.attributes.add(key="map").value.kvlist_value.values.add(key="in").value.string_value = "deep"
    return Place(resource, InstrumentationScope(name="lib", version="1.2"), span)


def ask(text: str, context: str = "span", where: Place | None = None) -> bool:
    return compile_condition(text, context).test(where or place())


@pytest.mark.parametrize(
    "text",
    [
        'attributes["route"] == "/health"',
        'attributes["route"] != "/other"',
        'attributes["absent"] == nil',
        'attributes["route"] != nil',
        'attributes["code"] >= 200 and attributes["code"] < 300.5',
        'attributes["code"] == 200.0',
        'attributes["ok"] == true and attributes["ok"] != 1',
        'attributes["ok"]',
        'attributes["load"] > -1 and attributes["load"] <= .5',
        'attributes["tags"][0] == "a" and attributes["tags"][5] == nil',
        'attributes["map"]["in"] == "deep" and attributes["route"]["in"] == nil',
        'attributes["route"] == 5 or name == "GET /health"',
        'not (name == "a" or name == "b") and not false',
        'not not IsMatch(name, "^GET")',
        'IsMatch(attributes["code"], "^2..$") and not IsMatch(attributes["absent"], ".*")',
        'IsMatch(name, attributes["route"])',
        'HasPrefix(name, "GET") and HasSuffix(name, "health")',
        'resource.attributes["host.name"] == "web-1"',
        'instrumentation_scope.name == "lib" and scope.version == "1.2"',
        "kind == SPAN_KIND_SERVER and kind != SPAN_KIND_INTERNAL",
        'kind.string == "Server"',
        'status.code == STATUS_CODE_ERROR and status.message == "timed out"',
        'trace_id.string == "000102030405060708090a0b0c0d0e0f"',
        "trace_id == TraceID(0x000102030405060708090a0b0c0d0e0f)",
        'span_id == SpanID("0000000000000000") and span.span_id == 0x0000000000000000',
        "IsRootSpan()",
        'Len(name) == 11 and Len(attributes["tags"]) == 1',
        'Int("12") == 12 and Double("1.5") == 1.5 and String(5) == "5" and Int("x") == nil',
        'ToUpperCase("ab") == "AB" and ToLowerCase(name) == "get /health"',
        'IsString(name) and IsInt(attributes["code"]) and IsDouble(attributes["load"]) and IsBool(attributes["ok"])',
        'IsMap(attributes["map"]) and IsList(attributes["tags"]) and not IsInt(attributes["ok"])',
        'name < "H" and name > "A" and "GET /health" == name',
    ],
)
def test_condition_holds(text: str) -> None:
    assert ask(text)
    assert not ask(f"not ({text})")


@pytest.mark.parametrize(
    "text",
    ['attributes["absent"] < 5', 'attributes["absent"] >= 5', "name > 5", 'attributes["tags"] < attributes["tags"]'],
)
def test_values_of_different_or_unordered_types_are_never_less_or_greater(text: str) -> None:
    assert not ask(text)


def test_log_paths_read_the_record() -> None:
    record = LogRecord(severity_number=9, severity_text="INFO")
    record.body.string_value = "debug: x"
    where = Place(Resource(), InstrumentationScope(), record)
    assert ask('severity_number < SEVERITY_NUMBER_WARN and log.severity_text == "INFO"', "log", where)
    assert ask('IsMatch(body, ".*debug.*") and body == "debug: x" and body.string == body', "log", where)
    record.body.kvlist_value.values.add(key="level").value.string_value = "low"
    assert ask('body["level"] == "low" and body.string == nil and IsMatch(body, "low")', "log", where)


def test_metric_paths_read_the_metric_and_its_points() -> None:
    metric = Metric(name="requests", unit="1", description="d")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2  # type: ignore[assignment]
    point = metric.sum.data_points.add(as_int=5)
    point.attributes.add(key="a").value.string_value = "x"
    where = Place(Resource(), InstrumentationScope())
    where.metric = where.record = metric
    assert ask('name == "requests" and type == METRIC_DATA_TYPE_SUM and is_monotonic', "metric", where)
    assert ask("aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE", "metric", where)
    assert ask('HasAttrKeyOnDatapoint("a") and HasAttrOnDatapoint("a", "x")', "metric", where)
    assert not ask('HasAttrKeyOnDatapoint("b") or HasAttrOnDatapoint("a", "y")', "metric", where)
    where.record = point
    assert ask('metric.name == "requests" and attributes["a"] == "x" and value == 5', "datapoint", where)
    assert ask("value_int == 5 and value_double == nil and count == nil", "datapoint", where)
    assert ask("is_monotonic == nil", "metric", where) is False


@pytest.mark.parametrize(
    ("text", "context", "level"),
    [
        ('resource.attributes["a"] == "b"', "span", Level.RESOURCE),
        ('scope.name == "b" and resource.attributes["a"] == "b"', "log", Level.SCOPE),
        ('metric.name == "b"', "datapoint", Level.METRIC),
        ('resource.attributes["a"] == name', "span", Level.RECORD),
        ('span.name == "b"', "spanevent", Level.RECORD),
        ('name == "b" or span.name == "b"', "spanevent", Level.EVENT),
        ("IsRootSpan()", "span", Level.RECORD),
    ],
)
def test_level_is_the_deepest_that_a_condition_looks(text: str, context: str, level: Level) -> None:
    assert compile_condition(text, context).level is level


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "the condition is empty"),
        ('name = "x"', 6, "unexpected '='; write =="),
        ("name == 'x'", 9, "texts in double quotes"),
        ('name == "x', 9, "text without a closing quote"),
        ('name == "x" && true', 13, "write ==, !=, and, or, not"),
        ("name ==", 8, "expected a value, got 'the end'"),
        ('(name == "x"', 13, "expected ')' to close the parenthesis"),
        ('name == "x" name', 13, "expected an operator, `and`, `or` or the end, got 'name'"),
        ("kind + 1 == 2", 6, "arithmetic is not supported"),
        ("kind -1 == 2", 6, "arithmetic is not supported"),
        ('attributes[a] == "x"', 12, 'expected a key such as ["name"]'),
        ("status. == 1", 9, "expected a name after '.'"),
        ("trace_id == 0x123", 13, "even number of hexadecimal digits"),
        ("trace_id == TraceID(0x12)", 13, "TraceID: expected 16 bytes"),
        ('nam == "x"', 1, "unknown path 'nam'; valid: attributes"),
        ("true and status.cod == 1", 10, "unknown path 'status.cod'; valid: "),
        ('name["x"] == 1', 1, "'name' takes no key; only attributes and body do"),
        ('IsMtch(name, "x")', 1, "unknown function 'IsMtch'; valid: Double, HasPrefix"),
        ("IsMatch(name)", 1, "IsMatch takes 2 arguments, got 1"),
        ('IsMatch(name, "(")', 15, "invalid regular expression '('"),
        ("IsMatch(name, 5)", 15, "IsMatch needs a regular expression as text, got 5"),
        ("kind == SPAN_KIND_SERVR", 9, "unknown constant 'SPAN_KIND_SERVR'; valid: SPAN_KIND_UNSPECIFIED"),
    ],
)
def test_bad_condition_names_the_column_and_the_remedy(text: str, column: int, problem: str) -> None:
    with pytest.raises(ConditionError) as refused:
        compile_condition(text, "span")
    assert refused.value.column == column
    assert f"column {column}: " in str(refused.value)
    assert problem in str(refused.value)


def test_unprefixed_path_is_refused_where_the_context_is_not_given() -> None:
    assert compile_condition('span.name == "x"', "spanevent", prefixed=True)
    with pytest.raises(ConditionError, match="'name': say what it belongs to, such as "):
        compile_condition('name == "x"', "spanevent", prefixed=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('HasPrefix(attributes["absent"], "a")', "HasPrefix: expected text, got nil"),
        ('HasSuffix(name, attributes["code"])', "HasSuffix: expected text, got 200"),
        ('Len(attributes["code"]) == 1', "Len: expected text, bytes, a list or a map, got 200"),
        ("name", "expected true or false, got 'GET /health'"),
        ("TraceID(name) == trace_id", "TraceID: 'GET /health' is not hexadecimal"),
        ('IsMatch(name, attributes["code"])', "IsMatch: expected text, got 200"),
    ],
)
def test_condition_that_a_record_does_not_fit_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        ask(text)
    assert problem in str(failed.value)


def test_and_binds_tighter_than_or() -> None:
    tree = parse("true or not false and nil == 1")
    assert isinstance(tree, Junction)
    assert tree.word == "or"
    inner = tree.operands[1]
    assert isinstance(inner, Junction)
    assert (inner.word, type(inner.operands[0]), type(inner.operands[1])) == ("and", Not, Comparison)


def test_escapes_in_texts_are_read_and_unknown_ones_kept() -> None:
    assert parse(r'"a\"b\n\\\d"') == Literal(1, 'a"b\n\\\\d')
    assert parse('resource.attributes["a.b"][1]') == Path(1, ("resource", "attributes"), ("a.b", 1))


def column_of_error(text: str) -> int:
    try:
        parse(text)
    except ConditionError as error:
        return error.column
    return 1


@given(st.text(max_size=30) | st.text(alphabet='ab"\\()[]=!<>.,1 -x', max_size=30))
def test_any_text_parses_or_is_refused_with_a_column(text: str) -> None:
    assert 1 <= column_of_error(text) <= len(text) + 1


@given(span=messages(Span), path=st.sampled_from(valid_paths("span")))
def test_every_path_can_be_read_from_any_span(span: Any, path: str) -> None:
    where = Place(Resource(), InstrumentationScope(), span)
    text = path.replace("...", "a")
    assert isinstance(ask(f"{text} == nil", "span", where), bool)


@pytest.mark.parametrize("context", ["resource", "log", "metric", "datapoint", "spanevent"])
def test_every_listed_path_is_accepted(context: str) -> None:
    for path in valid_paths(context):
        compile_condition(f"{path} == nil", context)
