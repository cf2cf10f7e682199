"""Which containers are meant: by image, name and label, in the notation of otelcol's docker_stats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ophion_agent.plugin import Config

_GLOB_CHARACTERS = frozenset("*?[]{}")

_SET_SPECIAL = re.compile(r"[\\\[\]^&~|]")

Test = Callable[[str], bool]


def pattern_test(item: str) -> Test:
    """Return the test of one item: a name as it is, `/regex/`, or a glob with any of `*?[]{}`; `!` before it negates.

    Raises ValueError for a pattern that cannot be read.
    """
    negated, body = item.startswith("!"), item.removeprefix("!")
    if len(body) > 1 and body.startswith("/") and body.endswith("/"):
        found = _compiled(body[1:-1], item).search
    elif _GLOB_CHARACTERS & set(body):
        found = _compiled(glob_regex(body), item).fullmatch
    else:
        return lambda text: (text == body) != negated
    return lambda text: (found(text) is not None) != negated


def glob_regex(glob: str) -> str:
    """Return the regular expression of a glob: `*`, `?`, `[a-z]`, `[!a-z]`, `{one,two}`; `\\` quotes the next one."""
    out, position, depth = "", 0, 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "[" and (end := glob.find("]", position + 1)) > 0:
            negated = glob[position] == "!"
            inside, position = glob[position + negated : end], end + 1
            out += f"[{'^' if negated else ''}{_SET_SPECIAL.sub(_quoted, inside)}]"
        elif character == "\\" and position < len(glob):
            out, position = out + re.escape(glob[position]), position + 1
        elif character in "{}":
            depth += 1 if character == "{" else -1
            out += "(?:" if character == "{" else ")"
        elif character == "," and depth:
            out += "|"
        else:
            out += {"*": ".*", "?": "."}.get(character, re.escape(character))
    return out


def _quoted(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def _compiled(pattern: str, item: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"must be a name, a glob or a /regex/, got {item!r}: {error}") from error


def _check(items: list[str]) -> list[str]:
    for item in items:
        pattern_test(item)
    return items


Patterns = Annotated[list[str], AfterValidator(_check)]
"""Names, globs and /regexes/, each with `!` before it for the opposite."""


class Selection(Config):
    """Containers by image, name and label; each list that is not empty must have an item that matches."""

    images: Patterns = Field([], description="Images, as the container was created with: `nginx:*`, `/^registry/`.")
    names: Patterns = Field([], description="Container names, without the leading slash.")
    labels: dict[str, str] = Field(
        {}, description="Labels and patterns of their values, all of which must match; `*` for any value."
    )


class Selector:
    """The compiled form of a selection."""

    def __init__(self, selection: Selection) -> None:
        self._images = [pattern_test(item) for item in selection.images]
        self._names = [pattern_test(item) for item in selection.names]
        self._labels = {label: pattern_test(item) for label, item in selection.labels.items()}

    @property
    def empty(self) -> bool:
        """True when the selection says nothing."""
        return not (self._images or self._names or self._labels)

    def matches(self, image: str, name: str, labels: Mapping[str, str]) -> bool:
        """True when the container fits everything that the selection says."""
        return (
            matches_any(self._images, image)
            and matches_any(self._names, name)
            and all(label in labels and test(labels[label]) for label, test in self._labels.items())
        )


def matches_any(tests: Sequence[Test], text: str) -> bool:
    """True when one of the tests is met, or there are none."""
    return not tests or any(test(text) for test in tests)


def chosen_labels(tests: Sequence[Test], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the labels whose names meet a test; none without tests."""
    return {name: value for name, value in labels.items() if any(test(name) for test in tests)}
