"""What a browser makes of the pages: first load, navigation, and telemetry of a size that is hard to draw.

Chromium without a window and without a graphics card draws 60 frames a second at most; a frame is dropped when the
next one comes more than 25 ms later. The server, the sender and the browser share the machine's cores.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import dashboard_payloads as payloads
from benchmarks.process import BenchmarkError
from benchmarks.server_process import Server, header, main_of, running, title, verdict

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
PROGRAMS = (os.environ.get("OPHION_CHROMIUM", ""), "/usr/bin/chromium", "/usr/bin/chromium-browser")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
FIRST_LOAD_KB = 250.0
NAVIGATION_MS = 100.0
WATERFALL_MS = 1000.0
FRAMES_PER_SECOND = 50.0
LINES_PER_SECOND = 1000
DROPPED_MS = 25.0
PATIENCE_MS = 60_000
PAGES = {
    "Overview": "/",
    "Services": "/services",
    "Service map": "/map",
    "Hosts": "/hosts",
    "Containers": "/containers",
    "Traces": "/traces",
    "Logs": "/logs",
    "Metrics": "/metrics",
    "Dashboards": "/dashboards",
}

# Frames while something happens; `each` is called before every one of them.
_FRAMES = """(milliseconds, each) => new Promise((done) => {
  const times = [], end = performance.now() + milliseconds
  const tick = (time) => {
    times.push(time)
    each?.()
    if (time < end) requestAnimationFrame(tick); else done(times)
  }
  requestAnimationFrame(tick)
})"""
# When the page stopped changing after `begin`, and when its last answer had come; both in the page's clock.
_SETTLE = """(begin) => new Promise((done) => {
  let changed = performance.now(), looked = changed, held = changed
  const observer = new MutationObserver(() => { changed = performance.now() })
  observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true })
  const look = () => {
    const isWaiting = document.querySelector('[data-testid=skeleton]') !== null
    const now = performance.now()
    // A script that held up the page changes it when it is done.
    if (now - looked > 100) held = now
    looked = now
    if (isWaiting || now - Math.max(changed, held) < 400) { setTimeout(look, 20); return }
    observer.disconnect()
    // What is asked for later keeps the page up to date.
    const answers = performance.getEntriesByType('resource').filter((entry) =>
      entry.startTime >= begin && entry.startTime < begin + 500 && entry.responseEnd <= changed)
    done({ changed, answered: Math.max(begin, ...answers.map((entry) => entry.responseEnd)) })
  }
  look()
})"""
# From a click on a link to the first frame in which the waterfall has answered to a key. All of it within the page: the
# driver takes a quarter of a second to look and to press.
_INTERACTIVE = """(path) => new Promise((done) => {
  const begin = performance.now(), grid = () => document.querySelector('[role=treegrid]')
  const active = () => grid().getAttribute('aria-activedescendant')
  const press = () => {
    const before = active()
    grid().focus()
    grid().dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true, cancelable: true }))
    const moved = () => requestAnimationFrame(active() === before ? moved : () => done(performance.now() - begin))
    moved()
  }
  const drawn = () => {
    if ((grid()?.querySelectorAll('[role=row]').length ?? 0) > 5) press(); else requestAnimationFrame(drawn)
  }
  history.pushState({}, '', path)
  dispatchEvent(new PopStateEvent('popstate'))
  drawn()
})"""
_ANSWER_MS = """async (path) => {
  const begin = performance.now()
  await (await fetch(path)).text()
  return performance.now() - begin
}"""
_POINTER = """() => {
  const over = document.querySelector('.u-over'), box = over.getBoundingClientRect()
  const x = box.left + box.width * (0.5 + 0.4 * Math.sin(performance.now() / 300)), y = box.top + box.height / 2
  over.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: x, clientY: y }))
}"""


@dataclass(frozen=True)
class Frames:
    """Times of frames, in milliseconds."""

    times: Sequence[float]

    @property
    def per_second(self) -> float:
        """Frames a second."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0]) * 1000

    @property
    def dropped(self) -> int:
        """Gaps that are longer than a frame and a half."""
        return sum(1 for gap in self._gaps() if gap > DROPPED_MS)

    @property
    def longest_ms(self) -> float:
        """The longest gap."""
        return max(self._gaps())

    def _gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def __str__(self) -> str:
        return f"{self.per_second:.0f} frames/s, {self.dropped} dropped, longest {self.longest_ms:.0f} ms"


def frames(page: Page, milliseconds: int, each: str = "null") -> Frames:
    """The frames of a page over some time, while the JavaScript function `each` runs before each of them."""
    return Frames(page.evaluate(f"({_FRAMES})({milliseconds}, {each})"))


@contextmanager
def signed_in(server: Server) -> Iterator[Page]:
    """A page of a browser, signed in as the user whose password the first start printed."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BenchmarkError("playwright: is not installed; pip install 'ophion-agent[dev]'") from None
    program = next((found for found in PROGRAMS if found and shutil.which(found)), None)
    if program is None:
        raise BenchmarkError("chromium: not on this machine; apt-get install -y chromium")
    password = (server.directory / "var/control/initial-admin-password").read_text().strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = browser.new_page(
            base_url=f"http://127.0.0.1:{server.api}", locale="en-US", viewport={"width": 1440, "height": 900}
        )
        page.set_default_timeout(PATIENCE_MS)
        answer = page.request.post("/api/auth/login", data={"username": "admin", "password": password})
        if not answer.ok:
            raise BenchmarkError(f"login: {answer.status}: {answer.text()[:200]}")
        yield page
        browser.close()


def send(server: Server, signal: str, request: bytes) -> None:
    """Send an encoded OTLP request."""
    line = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
    line.request("POST", f"/v1/{signal}", request, {"Content-Type": "application/x-protobuf"})
    response = line.getresponse()
    if response.status != 200:
        raise BenchmarkError(f"otlp: {signal}: {response.status}: {response.read()[:200]!r}")
    line.close()


def fill(server: Server) -> None:
    """Two hours of the shop that the tests of pages use, the large trace and the long series."""
    now = time.time_ns()
    shop = [
        sys.executable,
        "-m",
        "tests.plugins.dashboard.rig_shop",
        f"http://127.0.0.1:{server.grpc}",
        str(now),
        "0",
        "",
    ]
    subprocess.run(shop, cwd=ROOT, check=True, capture_output=True)
    send(server, "traces", payloads.large_trace(now))
    send(server, "metrics", payloads.long_series(now))
    server.wait_stored("spans", payloads.LARGE_SPANS + 7000, 60)
    server.wait_stored("samples", payloads.SERIES * payloads.SERIES_POINTS, 60)


# ---- the figures


def first_load(page: Page) -> tuple[float, float]:
    """Kilobytes of script, style and markup that the overview takes, by gzip, and milliseconds until its heading."""
    begin = time.monotonic()
    page.goto("/")
    page.get_by_role("heading", level=1).wait_for()
    shown = (time.monotonic() - begin) * 1000
    files = page.evaluate(
        "() => performance.getEntriesByType('resource').map((entry) => entry.name)"
        ".filter((name) => /\\.(js|css|svg|woff2?)$/.test(new URL(name).pathname))"
    )
    bodies = [page.request.get(file).body() for file in [page.url, *files]]
    return sum(len(gzip.compress(body, 6)) for body in bodies) / 1000, shown


def navigations(page: Page, rounds: int) -> dict[str, float]:
    """Milliseconds from a click, or from the last answer of the API if that is later, until a page stands; medians."""
    found: dict[str, list[float]] = {name: [] for name in PAGES}
    links = page.get_by_role("navigation", name="Pages")
    for _ in range(rounds + 1):
        for name in PAGES:
            # The browser keeps the times of 250 requests and no more.
            begin = page.evaluate("() => { performance.clearResourceTimings(); return performance.now() }")
            links.get_by_role("link", name=name, exact=True).click()
            page.wait_for_function(
                "name => document.querySelector('nav a[aria-current]')?.innerText.trim() === name", arg=name
            )
            times = page.evaluate(_SETTLE, begin)
            found[name].append(times["changed"] - times["answered"])
    # The first round also loads the code of each page.
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def rows(server: Server, page: Page, options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """What, the figure, and the goal with its verdict."""
    kilobytes, shown = first_load(page)
    yield (
        "first load, gzip",
        f"{kilobytes:.0f} KB",
        f"<= {FIRST_LOAD_KB:g} KB {verdict(met=kilobytes <= FIRST_LOAD_KB)}",
    )
    yield "first load until the heading stands", f"{shown:.0f} ms", ""
    times = navigations(page, 1 if options.quick else options.rounds)
    slowest = max(times, key=times.__getitem__)
    goal = f"<= {NAVIGATION_MS:g} ms {verdict(met=times[slowest] <= NAVIGATION_MS)}"
    yield "going to a page, after its data, median", f"{statistics.median(times.values()):.0f} ms", ""
    yield f"the slowest of them, {slowest}", f"{times[slowest]:.0f} ms", goal
    yield from trace_rows(page, options)
    yield from chart_rows(page)
    yield from tail_rows(server, page, options)


def interactive(page: Page) -> float:
    """Milliseconds until the waterfall of the large trace is drawn and answers to a key."""
    page.goto("/traces")
    page.get_by_role("heading", level=1).wait_for()
    return float(page.evaluate(_INTERACTIVE, f"/traces/{payloads.LARGE_TRACE}"))


def trace_rows(page: Page, options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """The trace of 10,000 spans."""
    times = [interactive(page) for _ in range(1 if options.quick else options.rounds)]
    middle = statistics.median(times)
    answered = page.evaluate(_ANSWER_MS, f"/api/traces/{payloads.LARGE_TRACE}")
    goal = f"<= {WATERFALL_MS:g} ms {verdict(met=middle <= WATERFALL_MS)}"
    yield f"trace of {payloads.LARGE_SPANS:,} spans: waterfall interactive", f"{middle:.0f} ms", goal
    yield "of that the API's answer", f"{answered:.0f} ms", ""
    yield "bare animation frames of that page", str(frames(page, 2000)), ""
    scrolled = frames(page, options.watch * 1000, "() => document.querySelector('[role=treegrid]').scrollBy(0, 130)")
    goal = f">= {FRAMES_PER_SECOND:g} frames/s {verdict(met=scrolled.per_second >= FRAMES_PER_SECOND)}"
    yield "scrolling it by five rows a frame", str(scrolled), goal


def chart_rows(page: Page) -> Iterator[tuple[str, str, str]]:
    """The chart of 100,000 points."""
    step = f"{payloads.SERIES_STEP_SECONDS}s"
    page.goto(f"/metrics?q=rig_wave&from=now-{payloads.SERIES_POINTS * payloads.SERIES_STEP_SECONDS}s&step={step}")
    page.get_by_role("figure").locator("canvas").wait_for()
    times = page.evaluate(_SETTLE, 0)
    points = payloads.SERIES * payloads.SERIES_POINTS
    yield (
        f"chart of {points:,} points: from the answer to the drawing",
        f"{times['changed'] - times['answered']:.0f} ms",
        "",
    )
    canvas = page.get_by_role("figure").locator("canvas")
    box = canvas.bounding_box()
    if box is None:
        raise BenchmarkError("metrics: shows no chart")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    moved = frames(page, 3000, _POINTER)
    yield "the pointer moving over it", str(moved), ""


def tail_rows(server: Server, page: Page, options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """The live tail."""
    page.goto("/logs?live=true&q=service:flood")
    page.get_by_text("Following").wait_for()
    program = [sys.executable, "-m", "benchmarks.dashboard_payloads", f"http://127.0.0.1:{server.http}"]
    command = [*program, str(LINES_PER_SECOND)]
    sender = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        page.get_by_role("listbox").get_by_role("option").first.wait_for()
        shown = frames(page, options.watch * 1000)
        is_short = page.get_by_text("came too quickly").is_visible()
    finally:
        sender.communicate(b"\n", timeout=30)
    goal = f"no dropped frame {verdict(met=shown.dropped == 0)}"
    yield f"live tail of {LINES_PER_SECOND:,} lines/s", str(shown), goal
    yield "lines that it left out", "some" if is_short else "none", ""


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    title(
        "Dashboard in headless Chromium",
        "configs/all-in-one.yaml with two hours of a small shop; 1440 x 900 pixels, no graphics card",
        f"server, sender and browser on the same cores; medians of {options.rounds} rounds",
    )
    print(header("what", "figure", "goal"))
    sets = ["extensions.api.additional_endpoints=[]", "receivers.hostmetrics.collection_interval=2s"]
    with running(options, sets=sets) as server, signed_in(server) as page:
        fill(server)
        for what, figure, goal in rows(server, page, options):
            print(f"| {what} | {figure} | {goal} |", flush=True)


def options_of(parser: argparse.ArgumentParser) -> None:
    """The options of this script."""
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of what is over at once")
    parser.add_argument("--watch", type=int, default=10, help="seconds for which frames are counted")


def main() -> int:
    """Parse the command line and run."""
    return main_of("Speed of the dashboard's pages in a browser.", options_of, run)


if __name__ == "__main__":
    raise SystemExit(main())
