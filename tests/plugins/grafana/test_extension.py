"""The extension as a whole: its options, its routes, and odd input on every one of them."""

import re
from pathlib import Path

import pytest

from grafana_shop import Grafana, make_apis
from ophion_agent.server import Permission
from ophion_grafana.extension import GrafanaApisConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = (Path(__file__).parents[3] / "docs/grafana.md").read_text()
LOKI = ("/loki/api/v1/query_range", "/loki/api/v1/query", "/loki/api/v1/index/volume_range", "/loki/api/v1/labels")
JAEGER = ("/jaeger/api/traces", "/jaeger/api/dependencies", "/jaeger/api/v3/traces")
ODD = {
    "query": [
        '{a="\\x00\\u00e9"}',
        '{a=~"' + "x" * 3000 + '"}',
        'rate({a="b"}[1ns])',
        '{a="b"} | json | a_b_c_d_e_f_g_h=1',
    ],
    "start": ["0", "9223372036854775807", "1e999", "-1", "9999-12-31T23:59:59Z", "\0"],
    "end": ["0", "9223372036854775807", "99999999999999999999"],
    "step": ["1ns", "1e30", "nan", "-5", "100y"],
    "limit": ["999999999", "00", "1.5"],
    "time": ["9223372036854775807", "0.1"],
    "interval": ["1e18", "-1s"],
    "service": ["", "é\0", "x" * 2000],
    "tags": ['{"a":1}', "[]", '{"\\ud800":"x"}', '{"a":"9223372036854775808"}', '{"a":"nan"}'],
    "minDuration": ["1h", "nan", "999999999h"],
    "traceID": ["f" * 33, "0", "g"],
    "endTs": ["9" * 18, "x"],
    "lookback": ["9" * 18, "1h"],
    "query.start_time_min": ["0001-01-01T00:00:00Z", "2023-01-01T00:00:00+23:59"],
    "query.start_time_max": ["9999-12-31T23:59:59.999999999Z"],
}


async def test_every_option_is_in_the_docs() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE))

    assert rows == {name: field.description for name, field in GrafanaApisConfig.model_fields.items()}


async def test_every_route_asks_for_permission_to_read(grafana: Grafana) -> None:
    routes = make_apis(grafana.store).routes()

    assert {route.access for route in routes} == {Permission.READ}
    assert len({(route.method, route.path) for route in routes}) == len(routes)


@pytest.mark.parametrize("name", ODD)
async def test_answers_odd_input_without_an_error_of_its_own(grafana: Grafana, name: str) -> None:
    loki = name in ("query", "start", "end", "step", "limit", "time", "interval")
    for path in LOKI if loki else JAEGER:
        for value in ODD[name]:
            usual = {"query": 'count_over_time({a="b"}[1m])' if "query" in path else '{a="b"}', "service": "a"}
            answer = await grafana.ask(path, **{**usual, name: value})
            assert answer.status in (200, 400, 404), (path, value, answer.text)
