"""What to say about a name that is not valid: the nearest one that is, and all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that `name` most resembles, or None when none is near."""
    by_lower = {choice.lower().replace("-", "_"): choice for choice in sorted(valid)}
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `did you mean "timeout"? valid: a, b, c`, or only the valid names when none is near."""
    choices = sorted(valid)
    if not choices:
        return "valid: none"
    listed = f"valid: {', '.join(choices)}"
    match = closest(name, choices)
    return listed if match is None else f'did you mean "{match}"? {listed}'
