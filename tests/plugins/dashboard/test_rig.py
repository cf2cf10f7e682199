"""The rig itself: what it watches for is noticed, and the data that tests of pages count on are there."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser

from agent_process import eventually
from tests.plugins.dashboard.rig_axe import serious_findings
from tests.plugins.dashboard.rig_browser import Watch, context_options
from tests.plugins.dashboard.rig_hostile import HOSTILE_TENANT
from tests.plugins.dashboard.rig_plan import CALLS, FAILED, HOSTS, SERVICES, SLOW, TRACES, trace_id, trace_plan
from tests.plugins.dashboard.rig_server import Dashboard

FAULTS = {
    "refused: 401 GET /api/users": "fetch('/api/users')",
    "other origin: GET http://127.0.0.1:1/x": "location = 'http://127.0.0.1:1/x'",
    "failed: GET http://127.0.0.1:1/x": "location = 'http://127.0.0.1:1/x'",
    "console: CSP violation: connect-src": "fetch('https://example.invalid/x').catch(() => 0)",
    "console: CSP violation: script-src": "document.body.insertAdjacentHTML('beforeend', '<b onclick=a()>')",
    "console: something is wrong": "console.error('something is wrong')",
    "page error: thrown": "setTimeout(() => { throw new Error('thrown') }, 0)",
    "dialog: alert hello": "alert('hello')",
}


SOCKETS = """
import errno, socket
for family in socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK:
    try:
        socket.socket(family).close()
    except OSError as error:
        print(family.name, errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("problem", FAULTS)
async def test_watch_notices(problem: str, dashboard: Dashboard, browser: Browser) -> None:
    # A watch of the test's own: the fixture's would fail the test, as it should.
    watch = Watch(dashboard.url)
    context = await browser.new_context(**context_options(dashboard.url))
    await watch.attach(context)
    page = await context.new_page()
    await page.goto("/")

    await page.evaluate(f"() => {{ {FAULTS[problem]} }}")

    def is_noticed() -> bool:
        return any(problem in found for found in watch.unexpected())

    await eventually(is_noticed, lambda: f"{problem} among {watch.problems}", 10)
    await context.close()
    watch.allow("")
    assert watch.unexpected() == []


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the filter knows no other machine")
def test_program_hears_of_no_network_and_has_its_other_sockets() -> None:
    starter = Path(__file__).with_name("rig_no_netlink.py")

    done = subprocess.run([sys.executable, starter, sys.executable, "-c", SOCKETS], capture_output=True, check=True)

    assert done.stdout.decode().split() == ["AF_NETLINK", "EAFNOSUPPORT"]


async def test_axe_finds_what_is_serious(dashboard: Dashboard, browser: Browser) -> None:
    page = await browser.new_page(base_url=dashboard.url)
    await page.goto("/-/healthy")
    await page.set_content("<html lang=en><title>t</title><main><h1>t</h1><button></button></main>")

    [found] = await serious_findings(page)

    assert found.startswith("critical button-name: Buttons must have discernible text: button: <button></button>")
    await page.close()


async def test_shop_is_what_the_plan_says(dashboard: Dashboard) -> None:
    server, since = dashboard.server, {"from": "now-3h"}
    services = (await server.ask("GET", "/api/services", params=since))["services"]
    drawn = (await server.ask("GET", "/api/services/map", params=since))["edges"]
    hosts = (await server.ask("GET", "/api/hosts", params=since))["hosts"]
    slow = await server.ask("GET", f"/api/traces/{dashboard.slow_trace}")
    failed = await server.ask("GET", f"/api/traces/{trace_id(FAILED)}")

    assert set(SERVICES) <= {service["name"] for service in services}
    assert set(CALLS) <= {(edge["caller"], edge["callee"]) for edge in drawn}
    assert set(HOSTS) <= {host["name"] for host in hosts}
    assert len(slow["spans"]) == sum(1 for _ in trace_plan(SLOW).walk())
    assert any("card declined" in str(span) for span in failed["spans"])
    assert dashboard.at(SLOW) == dashboard.now_ns - (TRACES - SLOW) * 6 * 10**9


async def test_hostile_telemetry_stays_in_its_tenant(dashboard: Dashboard) -> None:
    await dashboard.add_hostile()

    mine = await dashboard.server.ask("GET", "/api/services")
    theirs = await dashboard.server.ask("GET", "/api/services", key=await dashboard.key_of(HOSTILE_TENANT))

    assert "pwned" not in str(mine)
    assert "pwned" in str(theirs)
