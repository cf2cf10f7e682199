"""The built files: a fixed table in memory, made at the start. No request ever becomes a path of the file system."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ophion_agent.server import Reply

INDEX: Final = "index.html"
# Compressed once when they are built: `file.js.br` and `file.js.gz` beside `file.js`.
ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_OTHER_TYPE: Final = "application/octet-stream"
# A name in assets/ holds a hash of what is in the file.
_IMMUTABLE: Final = "public, max-age=31536000, immutable"
_REVALIDATE: Final = "no-cache"
# Pictures and scripts opened on their own must not run anything.
FILE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file in each of its encodings; the plain one is named ""."""

    bodies: Mapping[str, bytes]
    media_type: str
    digest: str
    cache_control: str

    def reply(self, headers: Mapping[str, str]) -> Reply:
        """Return the file as the client takes it, or 304 where it has it already."""
        # Weak: it stands for the file in any encoding.
        etag = f'W/"{self.digest}"'
        sent = {
            "ETag": etag,
            "Cache-Control": self.cache_control,
            "Content-Security-Policy": FILE_POLICY,
            "Vary": "Accept-Encoding",
        }
        if _has_it(headers.get("If-None-Match", ""), etag):
            return Reply(status=304, media_type=self.media_type, headers=sent)
        encoding = _chosen(self.bodies, headers.get("Accept-Encoding", ""))
        if encoding:
            sent["Content-Encoding"] = encoding
        return Reply(self.bodies[encoding], self.media_type, headers=sent)


def asset(body: bytes, suffix: str, *, is_immutable: bool = False, encoded: Mapping[str, bytes] | None = None) -> Asset:
    """Return the asset of a body; `suffix` is its file name's, which decides the media type."""
    return Asset(
        bodies={"": body, **(encoded or {})},
        media_type=_MEDIA_TYPES.get(suffix.lower(), _OTHER_TYPE),
        digest=hashlib.sha256(body).hexdigest()[:32],
        cache_control=_IMMUTABLE if is_immutable else _REVALIDATE,
    )


def read_assets(folder: Path) -> dict[str, Asset]:
    """Return URL path -> asset of every built file but the page itself; empty where nothing was built."""
    return dict(_assets(folder)) if folder.is_dir() else {}


def _assets(folder: Path) -> Iterator[tuple[str, Asset]]:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        is_shown = file.suffix not in ENCODINGS.values() and not any(part.startswith(".") for part in name.parts)
        if file.is_file() and is_shown and name.as_posix() != INDEX:
            is_immutable = name.parts[0] == "assets"
            yield (
                f"/{name.as_posix()}",
                asset(file.read_bytes(), file.suffix, is_immutable=is_immutable, encoded=_encoded(file)),
            )


def _encoded(file: Path) -> dict[str, bytes]:
    beside = {encoding: file.with_name(file.name + suffix) for encoding, suffix in ENCODINGS.items()}
    return {encoding: path.read_bytes() for encoding, path in beside.items() if path.is_file()}


def _chosen(bodies: Mapping[str, bytes], accepted: str) -> str:
    """Return the smallest encoding that the client takes; one with weight 0 is refused (RFC 9110, 12.4.2)."""
    taken = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "").rstrip("0") not in ("q=", "q=0."):
            taken.add(name.strip())
    return min((name for name in bodies if not name or name in taken), key=lambda name: len(bodies[name]))


def _has_it(if_none_match: str, etag: str) -> bool:
    known = [one.strip() for one in if_none_match.split(",")]
    return known == ["*"] or any(one.removeprefix("W/") == etag.removeprefix("W/") for one in known)
