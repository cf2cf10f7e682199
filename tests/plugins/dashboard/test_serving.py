"""The pages on a real server: what each path is answered with, and what browsers may keep and do."""

import gzip
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl

from api_serving import FakeAuthorizer, Server, serve
from ophion_agent.errors import OphionError
from ophion_agent.server import Permission, Route
from ophion_dashboard import pages
from ophion_dashboard.config import DashboardConfig
from tests.plugins.dashboard.dashboards import dashboards

SCRIPT = b"console.log('hello')\n" * 200
INDEX = """<!doctype html>
<html><head><title>Ophion</title><script type="module" src="/assets/index-1a2b.js"></script></head><body></body></html>
"""
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of built files, which the extension reads in place of the real ones."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX, encoding="utf-8")
    (folder / "assets" / "index-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets" / "index-1a2b.js.br").write_bytes(b"as brotli")
    (folder / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "inter-9f.woff2").write_bytes(b"a font")
    (folder / "favicon.svg").write_text("<svg/>", encoding="utf-8")
    (folder / ".source").write_text("hash", encoding="utf-8")
    monkeypatch.setattr(pages, "STATIC", folder)
    return folder


@asynccontextmanager
async def dashboard(folder: Path, config: Mapping[str, Any] | None = None) -> AsyncIterator[Server]:
    async with dashboards(folder, config) as running:
        yield running.server


@pytest.fixture
async def server(static: Path, tmp_path: Path) -> AsyncIterator[Server]:
    async with dashboard(tmp_path) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/traces", "/traces/0af7651916cd43dd", "/d/home?from=now-1h", "/a.b"])
async def test_every_view_is_the_one_page(server: Server, path: str) -> None:
    answer = await server.get(path, headers=BROWSER)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<script type="module" src="/assets/index-1a2b.js">' in answer.text


async def test_the_root_is_the_page_for_every_client(server: Server) -> None:
    assert '<script type="module"' in (await server.get("/")).text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api/openapi.jsonx", 404),
        ("GET", "/-/nothing", 404),
        ("GET", "/assets/index-0000.js", 404),
        ("POST", "/traces", 404),
        ("DELETE", "/", 404),
        ("POST", "/api/health", 405),
    ],
)
async def test_what_is_no_view_is_refused_as_without_pages(server: Server, method: str, path: str, status: int) -> None:
    answer = await server.request(method, path, headers=BROWSER)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")


async def test_views_are_for_browsers_alone(server: Server) -> None:
    assert (await server.get("/traces")).status == 404
    assert (await server.get("/traces", headers={"Accept": "application/json"})).status == 404


async def test_hashed_files_may_be_kept_for_a_year_and_others_are_asked_for_again(server: Server) -> None:
    script, icon, page = [await server.get(path) for path in ("/assets/index-1a2b.js", "/favicon.svg", "/")]
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert icon.headers["Cache-Control"] == "no-cache"
    assert page.headers["Cache-Control"] == "no-store"
    assert (script.headers["Content-Type"], icon.headers["Content-Type"]) == (
        "text/javascript; charset=utf-8",
        "image/svg+xml",
    )
    assert (await server.get("/assets/inter-9f.woff2")).headers["Content-Type"] == "font/woff2"


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        ("identity", None, SCRIPT),
        ("gzip, deflate, br, zstd", "br", b"as brotli"),
        ("gzip;q=1.0, br;q=0", "gzip", None),
        ("gzip", "gzip", None),
        ("br;q=0.0", None, SCRIPT),
    ],
)
async def test_files_come_in_the_smallest_encoding_that_the_client_takes(
    server: Server, accepted: str, encoding: str | None, body: bytes | None
) -> None:
    answer = await server.get("/assets/index-1a2b.js", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert (answer.body if body else gzip.decompress(answer.body)) == (body or SCRIPT)


async def test_a_file_that_the_client_has_is_not_sent_again(server: Server) -> None:
    first = await server.get("/assets/index-1a2b.js")
    etag = first.headers["ETag"]
    for given in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        again = await server.get("/assets/index-1a2b.js", headers={"If-None-Match": given})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert (await server.get("/assets/index-1a2b.js", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("path", ["/", "/assets/index-1a2b.js"])
async def test_head_tells_what_get_would(server: Server, path: str) -> None:
    head, get = await server.request("HEAD", path), await server.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    "path",
    [
        "/../pages.py",
        "/assets/../../pages.py",
        "/assets/..%2f..%2fpages.py",
        "/%2e%2e/pages.py",
        "/assets/%2e%2e/index.html",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/assets/index-1a2b.js%00",
        "/.source",
        "/index.html",
    ],
)
async def test_no_path_leads_out_of_the_table(server: Server, path: str) -> None:
    answer = await server.get("/", headers={})
    url = yarl.URL(f"{server.url}{path}", encoded=True)
    async with server.session.get(url, allow_redirects=False) as response:
        assert response.status in (400, 404)
        body = await response.read()
    assert b"root:" not in body
    assert answer.body not in body


async def test_the_page_runs_nothing_but_its_own_scripts(server: Server) -> None:
    first, second = await server.get("/"), await server.get("/")
    policies = [
        dict(part.split(" ", 1) for part in one.headers["Content-Security-Policy"].split("; "))
        for one in (first, second)
    ]
    nonces = [re.findall(r'<meta property="csp-nonce" nonce="([^"]+)">', one.text)[0] for one in (first, second)]
    assert nonces[0] != nonces[1]
    for policy, nonce in zip(policies, nonces, strict=True):
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
        assert policy["style-src"] == f"'self' 'nonce-{nonce}'"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["Referrer-Policy"] == "no-referrer"
    assert first.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in first.headers["Permissions-Policy"]


async def test_files_opened_on_their_own_run_nothing(server: Server) -> None:
    policy = (await server.get("/favicon.svg")).headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'")


async def test_pages_use_up_no_caller_s_limit(server: Server) -> None:
    for _ in range(3):
        await server.get("/assets/index-1a2b.js")
    assert server.authorizer.admitted == []


async def test_the_pages_are_counted_as_one_route(server: Server) -> None:
    await server.get("/some/view", headers=BROWSER)
    labels = [dict(one.attributes) for one in server.metrics.samples() if one.name == "ophion_api_requests"]
    assert [one["route"] for one in labels] == ["pages"]


async def test_the_pages_bear_the_configured_name_and_picture(static: Path, tmp_path: Path) -> None:
    logo = tmp_path / "acme.SVG"
    logo.write_text("<svg>acme</svg>", encoding="utf-8")
    async with dashboard(tmp_path, {"title": 'Acme <"Eyes">', "logo_file": str(logo)}) as server:
        page = await server.get("/")
        assert "<title>Acme &lt;&quot;Eyes&quot;&gt;</title>" in page.text
        assert '<meta name="application-name" content="Acme &lt;&quot;Eyes&quot;&gt;">' in page.text
        assert '<meta name="ophion-logo" content="/brand/logo.svg">' in page.text
        brand = (await server.get("/api/dashboard/brand")).json()
        assert brand == {"title": 'Acme <"Eyes">', "logo": "/brand/logo.svg"}
        picture = await server.get(brand["logo"])
        assert (picture.headers["Content-Type"], picture.text) == ("image/svg+xml", "<svg>acme</svg>")


async def test_the_brand_is_the_built_in_one_by_default(server: Server) -> None:
    assert (await server.get("/api/dashboard/brand")).json() == {"title": "Ophion", "logo": None}
    assert "ophion-logo" not in (await server.get("/")).text


async def test_refuses_a_logo_that_is_missing_or_large(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(256 * 1024 + 1))
    for file, message in [
        (
            tmp_path / "none.png",
            f"dashboard: logo_file {tmp_path}/none.png: No such file or directory; name a picture that is there",
        ),
        (large, f"dashboard: logo_file {large}: must be 256 KiB at most; make the picture smaller"),
    ]:
        with pytest.raises(OphionError) as caught:
            async with dashboard(tmp_path, {"logo_file": str(file)}):
                pass
        assert str(caught.value) == message


def test_refuses_a_logo_that_is_no_picture() -> None:
    with pytest.raises(
        ValueError, match=r'must be a picture \(\.svg, \.png, \.webp, \.jpg, \.jpeg\), got "logo\.html"'
    ):
        DashboardConfig.model_validate({"logo_file": "logo.html"})


async def test_says_what_to_do_where_the_pages_were_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pages, "STATIC", tmp_path / "nothing")
    async with dashboard(tmp_path, {"title": "<b>"}) as server:
        answer = await server.get("/hosts", headers=BROWSER)
    assert answer.status == 200
    assert "&lt;b&gt;: the dashboard is missing" in answer.text
    assert "make dashboard" in answer.text
    assert "dashboard_missing" in caplog.text


async def test_the_same_is_served_on_further_addresses(static: Path) -> None:
    async def hello(_: Any) -> str:
        return "hello"

    route = Route("GET", "/api/hello", hello, Permission.READ, answer=str)
    async with serve([route], FakeAuthorizer(), {"additional_endpoints": ["127.0.0.1:0", "localhost:0"]}) as server:
        urls = server.api.addresses()
        assert len(set(urls)) == 3
        for url in urls:
            async with server.session.get(f"{url}/api/hello", headers={"Authorization": "Bearer reader"}) as answer:
                assert await answer.json() == "hello"
    for url in urls:
        with pytest.raises(OSError, match="connect"):
            async with aiohttp.ClientSession() as session:
                await session.get(f"{url}/api/hello")


async def test_names_the_further_address_that_is_taken() -> None:
    async with serve([]) as first:
        taken = first.url.removeprefix("http://")
        with pytest.raises(OphionError) as caught:
            async with serve([], config={"additional_endpoints": [taken]}):
                pass
    remedy = "stop the other program or change `additional_endpoints`"
    assert str(caught.value) == f"cannot listen on {taken}: the address is in use; {remedy}"
