"""Dashboards as code: the documented example, mistakes with their lines, a folder that changes while it is shown."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from pydantic import ValidationError

from ophion_agent.errors import OphionError
from ophion_agent.health import Status
from ophion_dashboard.model import Dashboard, DashboardFile
from ophion_dashboard.templates_folder import TEMPLATES, templates
from ophion_dashboard.yaml_format import InvalidDashboardError, read_dashboard, read_dashboard_file, write_dashboard
from tests.plugins.dashboard.dashboards import Dashboards, dashboards, sample

ROOT = Path(__file__).resolve().parents[3]
PAGE = "title: {title}\npanels:\n  - {{id: 1, kind: text, text: hello}}\n"


def documented() -> DashboardFile:
    """Return the example of docs/dashboards.md."""
    text = (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```yml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return read_dashboard(example, "docs/dashboards.md")


def test_the_documented_example_has_one_of_everything() -> None:
    example = documented()
    assert {variable.kind for variable in example.variables} == {"query", "custom", "interval", "text"}
    assert {query.kind for panel in example.panels for query in panel.queries} == {"promql", "logs", "traces"}
    said = example.model_dump(exclude_defaults=True, by_alias=True)
    assert set(said) >= set(Dashboard.model_fields) - {"time"}


def test_what_is_written_reads_as_it_was() -> None:
    for dashboard in [documented().dashboard(), Dashboard.model_validate(sample()), Dashboard(title="Bare")]:
        read = read_dashboard(write_dashboard("some-uid", dashboard), "written.yaml")
        assert (read.uid, read.dashboard()) == ("some-uid", dashboard)


def test_markup_in_a_dashboard_stays_text() -> None:
    evil = "<img src=x onerror=alert(1)> & {{constructor}} ${env:HOME}"
    dashboard = Dashboard.model_validate(sample(evil, description=evil, folder=evil))
    read = read_dashboard(write_dashboard("x", dashboard), "x.yaml")
    assert (read.title, read.description, read.folder) == (evil, evil, evil)


@pytest.mark.parametrize("name", ["agent", "container", "host", "service"])
def test_templates_say_what_they_show(name: str) -> None:
    template = templates()[name]
    assert template.description
    assert template.tags == [name]
    assert all(panel.title for panel in template.panels)
    assert "uid" not in yaml.safe_load((TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8"))


def test_every_expression_of_the_templates_is_promql() -> None:
    for name, template in templates().items():
        for query in (query for panel in template.panels for query in panel.queries if query.kind == "promql"):
            expression = re.sub(r"\$[a-z]+", "x", query.expression)
            assert promql_parser.parse(expression), f"{name}: {query.expression}"


def test_panels_of_templates_do_not_lie_on_one_another() -> None:
    for name, template in templates().items():
        cells = [
            (x, y)
            for panel in template.panels
            for x in range(panel.position.x, panel.position.x + panel.position.w)
            for y in range(panel.position.y, panel.position.y + panel.position.h)
        ]
        assert len(cells) == len(set(cells)), name


def _variable(**changes: Any) -> dict[str, Any]:
    return sample(variables=[{"name": "host", "kind": "text", **changes}])


def _panel(**changes: Any) -> dict[str, Any]:
    panel = {"id": 1, "kind": "stat", "queries": [{"expression": "up"}], **changes}
    return {"title": "x", "panels": [panel]}


def _options(**changes: Any) -> dict[str, Any]:
    return _panel(options=changes)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_variable(name="1st"), 'must be letters, digits and _, not beginning with a digit, got "1st"'),
        (_variable(kind="query"), "query must be label_values(label) or label_values(selector, label), got nothing"),
        (
            _variable(kind="query", query="up"),
            'query must be label_values(label) or label_values(selector, label), got "up"',
        ),
        (_variable(query="label_values(a)"), "query is for variables of kind query, this one is of kind text"),
        (_variable(kind="custom"), "values must list at least one, as the variable is of kind custom"),
        (_variable(values=["a"]), "values are for kinds custom and interval, this one is of kind text; leave them out"),
        (_variable(kind="interval", values=["soon"]), 'must be a duration such as 30s, 5m or 1h30m, got "soon"'),
        (_variable(multi=True), "multi is for kinds query and custom, this one is of kind text; leave it out"),
        (_variable(include_all=True), "include_all needs multi: true"),
        (_variable(default=["a", "b"]), "default must be one value without multi: true, got 2"),
        (_variable(kind="custom", values=["a"], default=["b"]), 'default must be among values, got "b"'),
        (
            sample(variables=[{"name": "host", "kind": "text"}] * 2),
            "variables: each needs name of its own, got host twice",
        ),
        (sample(panels=[{"id": 1, "kind": "text"}] * 2), "panels: each needs id of its own, got 1 twice"),
        (sample(variables=[]), 'panel 1: repeat must name a variable, got "host"; there are: none'),
        (sample(time={"from": "yesterday"}), "must be a time such as now-1h, now/d or 2026-01-31T08:00:00Z"),
        (sample(refresh="often"), 'must be a duration such as 30s, 5m or 1h30m, got "often"'),
        (sample("two\nlines"), "must be one line without control characters"),
        (sample(description="\x00"), "must hold no control characters but tabs and line ends"),
        (sample("\ud800"), "must be text that UTF-8 can hold, got half a surrogate pair"),
        (_panel(position={"x": 20, "w": 5}), "x + w must be at most 24, got 20 + 5"),
        (_panel(kind="text"), "a text panel asks nothing; leave queries out"),
        (_panel(text="# Hello"), "text is for panels of kind text, this one is of kind stat; leave it out"),
        (_panel(queries=[]), "queries must hold at least one, as the panel is of kind stat"),
        (_panel(queries=[{"expression": " "}]), "expression must be PromQL, got nothing"),
        (_panel(queries=[{"kind": "logs"}]), "queries of a stat panel must be of kind promql, got logs"),
        (_panel(kind="logs"), "queries of a logs panel must be of kind logs, got promql"),
        (
            _options(thresholds=[{"color": "url(x)"}]),
            "must be green, yellow, orange, red, blue, purple, gray or #rrggbb",
        ),
        (_options(links=[{"title": "x", "url": "javascript:alert(1)"}]), "must begin with http://, https:// or /, got"),
        (_options(links=[{"title": "x", "url": "//evil.example"}]), "must begin with http://, https:// or /, got"),
        (_options(links=[{"title": "x", "url": "/\\evil.example"}]), "must begin with http://, https:// or /, got"),
        (_options(min=2, max=1), "min must be below max, got 2 and 1"),
        (_options(max=float("inf")), "finite number"),
    ],
)
def test_refuses_what_makes_no_sense(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Dashboard.model_validate(body)
    assert message in str(caught.value)


@pytest.mark.parametrize("uid", ["home", "import", "snapshots", "templates"])
def test_refuses_a_uid_that_has_a_meaning_of_its_own(uid: str) -> None:
    with pytest.raises(InvalidDashboardError, match=f'a.yaml:1: uid: must not be "{uid}", which has a meaning'):
        read_dashboard(f"uid: {uid}\ntitle: x\n", "a.yaml")


def test_a_mistake_is_told_with_file_and_line() -> None:
    text = "title: x\npanels:\n  - id: 1\n    kind: stat\n    queries:\n      - expresion: up\n"
    with pytest.raises(InvalidDashboardError) as caught:
        read_dashboard(text, "shop.yaml")
    assert "shop.yaml:6: panels[0].queries[0].expresion: unknown option" in str(caught.value)


def test_many_mistakes_are_told_in_short() -> None:
    text = "title: x\n" + "".join(f"field{number}: 1\n" for number in range(40))
    with pytest.raises(InvalidDashboardError) as caught:
        read_dashboard(text, "x.yaml")
    assert (len(caught.value.problems), caught.value.problems[-1]) == (21, "and 20 more")


def test_refuses_aliases_that_multiply() -> None:
    lines = ["a: &a0 [x, x]"] + [f"b{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    with pytest.raises(InvalidDashboardError, match="aliases that multiply"):
        read_dashboard("\n".join(lines), "bomb.yaml")


def test_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"title: caf\xe9")
    for name, reason in [("none.yaml", "cannot be read: No such file or directory"), ("latin.yaml", "must be UTF-8")]:
        with pytest.raises(InvalidDashboardError) as caught:
            read_dashboard_file(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"


# ---- a folder of files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one dashboard."""
    made = tmp_path / "dashboards"
    (made / "shop").mkdir(parents=True)
    (made / "shop" / "over view.yaml").write_text(PAGE.format(title="Overview"), encoding="utf-8")
    (made / ".hidden.yaml").write_text("nothing", encoding="utf-8")
    (made / "README.md").write_text("nothing", encoding="utf-8")
    return made


@pytest.fixture
async def server(folder: Path, tmp_path: Path) -> AsyncIterator[Dashboards]:
    async with dashboards(tmp_path, {"dashboards_directory": str(folder)}) as running:
        yield running


async def _scanned(server: Dashboards) -> dict[str, str]:
    scanned = asyncio.Event()
    folder = server.extension._opened()._folder
    assert folder is not None
    scan = folder.scan

    async def noted() -> bool:
        try:
            return await scan()
        finally:
            asyncio.get_running_loop().call_soon(scanned.set)

    folder.scan = noted  # type: ignore[method-assign]
    await server.clock.advance(30)
    async with asyncio.timeout(10):
        await scanned.wait()
    folder.scan = scan  # type: ignore[method-assign]
    return {one["uid"]: one["title"] for one in await server.ask("GET", "/api/dashboards", key="vera")}


async def test_files_are_shown_and_cannot_be_changed(server: Dashboards) -> None:
    [listed] = await server.ask("GET", "/api/dashboards", key="vera")
    assert (listed["uid"], listed["title"], listed["provisioned"]) == ("over-view", "Overview", True)
    assert (listed["file"], listed["created_by"]) == ("shop/over view.yaml", "files")
    shown = await server.ask("GET", "/api/dashboards/over-view", key="root")
    assert (shown["may_edit"], shown["may_delete"]) == (False, False)
    reason = "dashboard over-view: the file shop/over view.yaml describes it; change it there, or save a copy"
    for method, path, body in [
        ("PUT", "", {"version": 1, "dashboard": sample()}),
        ("DELETE", "", None),
        ("POST", "/versions/1/restore", None),
    ]:
        assert await server.refused(method, f"/api/dashboards/over-view{path}", body, key="root", expect=409) == reason
    taken = {"uid": "over-view", "dashboard": sample()}
    assert await server.refused("POST", "/api/dashboards", taken, key="root", expect=409) == reason
    [version] = await server.ask("GET", "/api/dashboards/over-view/versions")
    assert (version["version"], version["saved_by"]) == (1, "files")
    assert (await server.ask("GET", "/api/dashboards/over-view/versions/1"))["dashboard"]["title"] == "Overview"
    assert await server.refused("GET", "/api/dashboards/over-view/versions/2", expect=404) == (
        "dashboard over-view: there is no version 2; its file has but one"
    )
    await server.ask("PUT", "/api/dashboards/over-view/star", key="vera", expect=204)


async def test_files_belong_to_one_tenant(server: Dashboards) -> None:
    assert await server.ask("GET", "/api/dashboards", key="eve") == []
    await server.refused("GET", "/api/dashboards/over-view", key="eve", expect=404)


async def test_changes_of_files_are_seen(server: Dashboards, folder: Path) -> None:
    file = folder / "new.yml"
    file.write_text(f"uid: fresh\n{PAGE.format(title='New')}", encoding="utf-8")
    assert await _scanned(server) == {"over-view": "Overview", "fresh": "New"}
    file.write_text(f"uid: fresh\n{PAGE.format(title='Newer')}", encoding="utf-8")
    assert (await _scanned(server))["fresh"] == "Newer"
    os.remove(file)
    assert await _scanned(server) == {"over-view": "Overview"}


async def test_a_broken_file_is_named_and_the_others_are_shown(
    server: Dashboards, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "bad.yaml").write_text("title: x\ncolour: red\n", encoding="utf-8")
    for _ in range(2):
        assert await _scanned(server) == {"over-view": "Overview"}
    health = server.extension.context.health
    assert health.status is Status.DEGRADED
    assert health.reason.startswith(f"{folder}/bad.yaml:2: colour: unknown option")
    assert len([record for record in caplog.records if "dashboard_file_broken" in record.getMessage()]) == 1
    (folder / "bad.yaml").write_text(PAGE.format(title="Good"), encoding="utf-8")
    assert await _scanned(server) == {"over-view": "Overview", "bad": "Good"}
    assert server.extension.context.health.status is Status.OK


async def test_two_files_with_one_uid_are_told(server: Dashboards, folder: Path) -> None:
    (folder / "zz.yaml").write_text(f"uid: over-view\n{PAGE.format(title='Other')}", encoding="utf-8")
    assert await _scanned(server) == {"over-view": "Overview"}
    assert server.extension.context.health.reason == (
        f'{folder}/zz.yaml: uid: "over-view" is that of shop/over view.yaml too; give it another one'
    )


@pytest.mark.parametrize("name", ["home", "new", "snapshots"])
async def test_a_file_named_as_a_page_needs_a_uid_of_its_own(server: Dashboards, folder: Path, name: str) -> None:
    file = folder / f"{name}.yaml"
    file.write_text(PAGE.format(title="Ours"), encoding="utf-8")
    assert await _scanned(server) == {"over-view": "Overview"}
    assert server.extension.context.health.reason == (
        f'{file}: uid: is "{name}" by the file\'s name, which has a meaning of its own; write another one'
    )
    file.write_text(f"uid: ours\n{PAGE.format(title='Ours')}", encoding="utf-8")
    assert await _scanned(server) == {"over-view": "Overview", "ours": "Ours"}


async def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    async with dashboards(tmp_path, {"dashboards_directory": str(tmp_path / "none")}) as server:
        assert await server.ask("GET", "/api/dashboards") == []
        assert server.extension.context.health.reason == (
            f"{tmp_path}/none: is not a folder; make it, or change dashboards_directory"
        )


async def test_a_file_stands_before_what_was_saved_under_its_uid(tmp_path: Path, folder: Path) -> None:
    async with dashboards(tmp_path) as server:
        await server.ask("POST", "/api/dashboards", {"uid": "over-view", "dashboard": sample()}, expect=201)
    async with dashboards(tmp_path, {"dashboards_directory": str(folder)}) as server:
        assert [one["title"] for one in await server.ask("GET", "/api/dashboards")] == ["Overview"]
        assert (await server.ask("GET", "/api/dashboards/over-view"))["provisioned"] is True


async def test_nothing_is_answered_before_the_start(tmp_path: Path) -> None:
    async with dashboards(tmp_path) as server:
        await server.extension.stop()
        with pytest.raises(OphionError, match="dashboard: is not open; it opens at the server's start"):
            server.extension._opened()
