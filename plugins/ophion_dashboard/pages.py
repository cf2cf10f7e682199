"""Which page a path gets: a built file, or the one page that shows everything else."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from ophion_agent.plugin import OphionError
from ophion_agent.server import Reply
from ophion_dashboard.assets import INDEX, Asset, asset, read_assets
from ophion_dashboard.brand import logo_path

STATIC: Final = Path(__file__).parent / "static"
# Vite's `html.cspNonce`: what stands for the nonce in the built page.
NONCE: Final = "__CSP_NONCE__"
_NONCE_TAG: Final = f'<meta property="csp-nonce" nonce="{NONCE}">'
_TITLE: Final = re.compile(r"<title>.*?</title>", re.DOTALL)
_HEAD_END: Final = "</head>"
_MAX_LOGO_BYTES: Final = 256 << 10
_PERMISSIONS: Final = ", ".join(
    f"{name}=()" for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "serial", "usb")
)
_MISSING: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><h1>{title}: the dashboard is missing</h1>
<p>The server works, and its pages were not built when it was installed. To add them:</p>
<ul><li>in a working copy, with access to the npm registry: <code>make dashboard</code>; then start the server
again;</li>
<li>elsewhere: install a wheel of <code>ophion-agent</code> that holds them.</li></ul>
<p>The API is there: <a href="/api/docs">/api/docs</a>.</p></body></html>
"""


@dataclass(frozen=True, slots=True)
class Brand:
    """What the pages call themselves; `logo` is the path of the picture, None for the built-in one."""

    title: str
    logo: str | None = None


@dataclass(frozen=True, slots=True)
class Pages:
    """Every page, read once. `is_built` is false where the built files are missing."""

    index: str
    assets: Mapping[str, Asset]
    is_built: bool
    folders: frozenset[str]

    def page(self, path: str, headers: Mapping[str, str]) -> Reply | None:
        """Return the file at the path, or the page itself where a browser asks for a view of it."""
        found = self.assets.get(path)
        if found is not None:
            return found.reply(headers)
        return self._index() if path == "/" or self._is_view(path, headers) else None

    def _is_view(self, path: str, headers: Mapping[str, str]) -> bool:
        is_asset = _folder(path) in self.folders
        return not is_asset and "text/html" in headers.get("Accept", "")

    def _index(self) -> Reply:
        # A nonce is for one answer, so this one page is made anew each time; it is smaller than a question whether it
        # changed. Editors and menus add <style> elements, which take the nonce from the page.
        nonce = secrets.token_urlsafe(16)
        sent = {
            "Content-Security-Policy": _policy(nonce),
            "Permissions-Policy": _PERMISSIONS,
            "Cache-Control": "no-store",
        }
        return Reply(self.index.replace(NONCE, nonce).encode(), "text/html", headers=sent)


def read_pages(brand: Brand, logo: Asset | None = None, folder: Path | None = None) -> Pages:
    """Return the pages of a folder of built files; blocks for the time it takes to read them."""
    folder = folder or STATIC
    assets = read_assets(folder)
    if brand.logo and logo:
        assets[brand.logo] = logo
    folders = frozenset(_folder(path) for path in assets if path.count("/") > 1) | {"assets"}
    built = folder / INDEX
    if not built.is_file():
        return Pages(_MISSING.format(title=escape(brand.title)), assets, False, folders)
    return Pages(_branded(built.read_text(encoding="utf-8"), brand), assets, True, folders)


def read_logo(file: str) -> tuple[str, Asset]:
    """Return the path and the picture of a logo; raises OphionError for one that is missing or too large."""
    source = Path(file)
    try:
        with source.open("rb") as opened:
            body = opened.read(_MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise OphionError(f"dashboard: logo_file {file}: {error.strerror}; name a picture that is there") from error
    if len(body) > _MAX_LOGO_BYTES:
        raise OphionError(f"dashboard: logo_file {file}: must be 256 KiB at most; make the picture smaller")
    return logo_path(file), asset(body, source.suffix)


def _folder(path: str) -> str:
    return path.removeprefix("/").partition("/")[0]


def _branded(html: str, brand: Brand) -> str:
    tags = [] if NONCE in html else [_NONCE_TAG]
    tags.append(f'<meta name="application-name" content="{escape(brand.title)}">')
    if brand.logo:
        tags.append(f'<meta name="ophion-logo" content="{escape(brand.logo)}">')
    titled = _TITLE.sub(lambda _: f"<title>{escape(brand.title)}</title>", html, count=1)
    return titled.replace(_HEAD_END, "".join(tags) + _HEAD_END, 1)


def _policy(nonce: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
