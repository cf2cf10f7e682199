"""Regular expressions as collector configurations write them (Go's RE2), compiled by Python's engine."""

import re

_REWRITES = (
    (re.compile(r"\(\?<(?=[A-Za-z_])"), "(?P<"),
    (re.compile(r"(?<!\\)\\z"), r"\\Z"),
)
_POSIX_CLASSES = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:ascii:]": r"\x00-\x7f",
    "[:blank:]": r"\t ",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:space:]": r"\t\n\v\f\r ",
    "[:upper:]": "A-Z",
    "[:word:]": "0-9A-Za-z_",
    "[:xdigit:]": "0-9A-Fa-f",
}


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern; raise ValueError, which says where it is wrong.

    `\\d`, `\\w` and `\\s` match ASCII only, as in RE2. Matching is by `search`: patterns are not anchored.
    """
    rewritten = pattern
    for search, replacement in _REWRITES:
        rewritten = search.sub(replacement, rewritten)
    for name, characters in _POSIX_CLASSES.items():
        rewritten = rewritten.replace(name, characters)
    try:
        return re.compile(rewritten, re.ASCII)
    except re.error as error:
        raise ValueError(f"invalid regular expression {pattern!r}: {error}") from error
