"""Debian's Chromium, driven by Playwright, and a watch over everything that a page must not do."""

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    Page,
    Request,
    Response,
    WebError,
    async_playwright,
    expect,
)

from requirement import unavailable
from tests.plugins.dashboard.rig_server import PASSWORD

# The shell is Chromium without a window around the page, which costs a third of the time even where nobody sees it.
PROGRAMS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium", "/usr/bin/chromium-browser")
INSTALL = "apt-get install -y chromium-headless-shell, or chromium, or name one in OPHION_CHROMIUM"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
# Two cores are shared with a server and another browser.
EXPECT_MILLISECONDS = 15_000
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
Size = Literal["desktop", "phone"]
_ARTEFACTS = Path(__file__).parents[3] / "build" / "screenshots"
# A page may begin something that its own navigation or a newer query makes void.
_VOID = ("net::ERR_ABORTED",)
_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) => {
  console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)
})
"""


def chromium() -> str:
    """Return the path of Chromium; the test is skipped, or fails where all parts are required, without one."""
    named = os.environ.get("OPHION_CHROMIUM", "")
    found = next((program for program in (named, *PROGRAMS) if program and shutil.which(program)), None)
    return found or unavailable(f"needs Chromium: {INSTALL}")


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    program = chromium()
    expect.set_options(timeout=EXPECT_MILLISECONDS)
    with tempfile.TemporaryDirectory() as directory:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=_undisturbed(program, Path(directory)), args=ARGUMENTS, headless=True
            )
            try:
                yield browser
            finally:
                await browser.close()


def _undisturbed(program: str, directory: Path) -> Path:
    """Return a program that runs Chromium so that it takes no notice of changes of the machine's networks."""
    starter = directory / "chromium"
    words = [sys.executable, str(Path(__file__).with_name("rig_no_netlink.py")), program]
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    starter.chmod(0o755)
    return starter


def context_options(url: str, *, size: Size = "desktop", dark: bool = False, **more: Any) -> dict[str, Any]:
    """Return how the rig opens contexts: English, a zone that is not UTC, no animation, a fixed size."""
    width, height = SIZES[size]
    return {
        "base_url": url,
        "locale": "en-US",
        "timezone_id": "Europe/Berlin",
        "reduced_motion": "reduce",
        "color_scheme": "dark" if dark else "light",
        "viewport": {"width": width, "height": height},
        "has_touch": size == "phone",
        "service_workers": "block",
        **more,
    }


async def session_of(browser: Browser, url: str, name: str) -> Any:
    """Return the storage state of a user of the rig who has signed in."""
    context = await browser.new_context(base_url=url)
    answer = await context.request.post("/api/auth/login", data={"username": name, "password": PASSWORD})
    assert answer.status == 200, await answer.text()
    state = await context.storage_state()
    await context.close()
    return state


async def take_completion(page: Page, name: str) -> None:
    """Take what an editor offers.

    CodeMirror takes no Enter within 75 ms of its list's appearance, lest it takes one that was meant for the text.
    """
    await expect(page.get_by_role("option", name=name)).to_have_attribute("aria-selected", "true")
    await page.wait_for_timeout(100)
    await page.keyboard.press("Enter")


@dataclass
class Watch:
    """Collects what pages must not do: errors, refused or failed requests, violations of the policy, other origins.

    `allow(...)` names by regular expression what a test brings about itself, such as the 403 of a refused action.
    """

    url: str
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Every URL that was asked for."""
    dialogs: list[str] = field(default_factory=list)
    _allowed: list[re.Pattern[str]] = field(default_factory=list)

    def allow(self, *patterns: str) -> None:
        """Let pass problems that match one of the regular expressions."""
        self._allowed.extend(map(re.compile, patterns))

    async def attach(self, context: BrowserContext) -> None:
        """Watch a context."""
        await context.add_init_script(_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", self._page_error)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)
        context.on("dialog", self._dialog)

    def unexpected(self) -> list[str]:
        """Return the problems that no test allowed."""
        return [text for text in self.problems if not any(allowed.search(text) for allowed in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        # What Chromium says of a refused request is known from the response, with its path.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _page_error(self, error: WebError) -> None:
        self.problems.append(f"page error: {error.error}")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        if request.url.split(":")[0] not in ("data", "blob") and self._origin(request.url) != self._origin(self.url):
            self.problems.append(f"other origin: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure not in _VOID:
            self.problems.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            path = response.url.removeprefix(self.url)
            self.problems.append(f"refused: {response.status} {response.request.method} {path}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        self.problems.append(f"dialog: {dialog.type} {dialog.message}")
        await dialog.dismiss()

    @staticmethod
    def _origin(url: str) -> tuple[str, str]:
        return urlsplit(url)[:2]


def artefacts() -> Path:
    """Return the folder of screenshots: `OPHION_TEST_ARTEFACTS`, or build/screenshots."""
    folder = Path(os.environ.get("OPHION_TEST_ARTEFACTS") or _ARTEFACTS)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def take_screenshot(page: Page, name: str, *, full: bool = False) -> Path:
    """Write what a page shows to `NAME.png` among the artefacts and return where."""
    file = artefacts() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-')}.png"
    await page.screenshot(path=file, full_page=full)
    return file


async def keep_failure(pages: Sequence[Page], test: str) -> None:
    """Write what pages showed when a test failed, and their HTML."""
    for number, page in enumerate(pages):
        try:
            file = await take_screenshot(page, f"failed-{test}-{number}")
            file.with_suffix(".html").write_text(await page.content(), encoding="utf-8")
        except Error:
            # A page that was closed or has crashed shows nothing; the test has failed already.
            continue


async def settled(page: Page) -> None:
    """Return once a page has its heading and nothing on it waits for data any more."""
    await expect(page.get_by_role("heading", level=1).first).to_be_visible()
    await expect(page.get_by_test_id("skeleton").locator("visible=true")).to_have_count(0)
