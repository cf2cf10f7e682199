"""The text behind `file:` and `http(s):` references and configuration sources."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from ophion_agent.errors import OphionError

MAX_BYTES = 4 * 1024 * 1024
TIMEOUT_SECONDS = 10.0


class ProviderError(OphionError):
    """Says in one phrase why a reference or source gave no text."""


def read_file(path: str | Path) -> str:
    """Return the text of a file, given as a path or as what follows `file:`, relative to the working directory."""
    target = Path(str(path).removeprefix("//"))
    try:
        with target.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ProviderError("no such file") from None
    except IsADirectoryError:
        raise ProviderError("is a directory") from None
    except (OSError, ValueError) as error:
        raise ProviderError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _decoded(content)


def fetch_url(url: str) -> str:
    """Return the text at an http or https URL. Blocks for at most the timeout per wait; redirects stay on http(s)."""
    try:
        # The stdlib follows redirects to http, https and ftp only; a request object also refuses other schemes here.
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise ProviderError(f"answered {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ProviderError(f"cannot be fetched: {getattr(error, 'reason', None) or error}") from None
    return _decoded(content)


def _decoded(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise ProviderError(f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProviderError(f"is not UTF-8 text (byte {error.start})") from None
