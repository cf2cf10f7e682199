"""A query of the log language as SQL. Words and phrases use the text index on the bodies.

The index holds lower-case tokens: runs of ASCII letters and digits and of everything beyond ASCII. Its functions are
only used below AND, OR and NOT, where the engine reads the index; inside other functions they would compare case.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ophion_agent.hints import nearest
from ophion_agent.server import BadRequest
from ophion_api.search_terms import Every, Field, Not, Phrase, Some, Term, Word
from ophion_api.sql_parts import Binder, attribute_condition, column_condition, conjunction, disjunction

_TOKEN: Final = re.compile(r"[A-Za-z0-9\x80-\U0010ffff]+")
_LOWER: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_LIKE: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_ID: Final = re.compile(r"[0-9a-fA-F]*")
_COLUMNS: Final = {"service": "service_name", "event": "event_name", "severity_text": "severity_text"}
_IDS: Final = {"trace_id": 32, "span_id": 16}
# The first number of each range of OpenTelemetry's SeverityNumber.
SEVERITIES: Final = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
_SEVERITY_ALIASES: Final = {"warning": "warn", "err": "error", "critical": "fatal", "information": "info"}


def search_condition(binder: Binder, term: Term) -> str:
    """Return SQL for the tree of a query; raises BadRequest for a field that cannot be asked so."""
    match term:
        case Word(text, is_prefix):
            return _prefix(binder, text) if is_prefix else _words(binder, text)
        case Phrase(text):
            return _words(binder, text)
        case Field():
            return _field(binder, term)
        case Not(inner):
            return f"NOT ({search_condition(binder, inner)})"
        case Every(terms):
            return conjunction(search_condition(binder, inner) for inner in terms)
        case Some(terms):
            return disjunction(search_condition(binder, inner) for inner in terms)


def _words(binder: Binder, text: str) -> str:
    """Return SQL for one word, or several in their order; punctuation between them counts."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        return _substring(binder, text)
    if len(tokens) == 1 and tokens[0] == text:
        return f"hasAllTokens(body, {binder.text(text.translate(_LOWER))})"
    phrase = f"hasPhrase(body, {binder.text(' '.join(tokens).translate(_LOWER))})"
    if text == " ".join(tokens):
        return phrase
    return f"{phrase} AND {_substring(binder, text)}"


def _substring(binder: Binder, text: str) -> str:
    return f"positionCaseInsensitive(body, {binder.text(text)}) > 0"


def _prefix(binder: Binder, text: str) -> str:
    """Return SQL for words that begin with a text: the index narrows by the letters, the expression finds the place."""
    beginning = re.sub(r"[^\w\s]", lambda found: "\\" + found[0] if found[0].isascii() else found[0], text)
    boundary = "(?:^|[^A-Za-z0-9])" if _TOKEN.match(text) else ""
    like = binder.text(f"%{text.translate(_LIKE)}%")
    return f"body ILIKE {like} AND match(body, {binder.regex(f'(?i){boundary}{beginning}')})"


def _field(binder: Binder, field: Field) -> str:
    name = field.name.lower()
    if name in ("severity", "level"):
        return _severity(binder, field)
    if name in _IDS:
        return _id(binder, field, name)
    if name in _COLUMNS:
        return column_condition(binder, _COLUMNS[name], field.operator, field.value)
    if name == "body":
        return _body(binder, field)
    key, scope = field.name, "any"
    if key.startswith("resource."):
        key, scope = key.removeprefix("resource."), "resource"
    elif key.startswith("attributes."):
        key, scope = key.removeprefix("attributes."), "own"
    return attribute_condition(binder, key, field.operator, field.value, scope)  # type: ignore[arg-type]


def _body(binder: Binder, field: Field) -> str:
    if field.operator == "=":
        return _words(binder, field.value)
    if field.operator == "prefix":
        return _prefix(binder, field.value)
    return column_condition(binder, "body", field.operator, field.value)


def _severity(binder: Binder, field: Field) -> str:
    if field.operator not in ("=", ">", ">=", "<", "<="):
        raise BadRequest(f"query: {field.name}: takes : > >= < <= and a level, such as {field.name}:error", status=422)
    number = severity_number(field.name, field.value)
    column = "severity_number"
    if field.operator == "=":
        last = number + 3 if not field.value.isdigit() else number
        return f"{column} BETWEEN {binder.bind(number, 'Int32')} AND {binder.bind(last, 'Int32')}"
    # Above a level is above its whole range; up to a level includes it.
    edge = number + 3 if field.operator in (">", "<=") and not field.value.isdigit() else number
    return f"{column} {field.operator} {binder.bind(edge, 'Int32')}"


def severity_number(where: str, text: str) -> int:
    """Return the first SeverityNumber of a level such as `warn`, or the number itself; raises BadRequest."""
    level = text.lower()
    level = _SEVERITY_ALIASES.get(level, level)
    if level in SEVERITIES:
        return SEVERITIES[level]
    if level.isascii() and level.isdigit() and len(level) < 3 and 0 <= int(level) <= 24:
        return int(level)
    hint = nearest(level[:20], SEVERITIES)
    raise BadRequest(f'{where}: must be a level or a number from 0 to 24, got "{text[:50]}"; {hint}', status=422)


def _id(binder: Binder, field: Field, name: str) -> str:
    if field.operator == "exists":
        return f"{name} != ''"
    if field.operator != "=" or not is_id(field.value, _IDS[name]):
        raise BadRequest(
            f'query: {name}: takes : and {_IDS[name]} hexadecimal digits, got "{field.value[:50]}"', status=422
        )
    return f"{name} = unhex({binder.text(field.value)})"


def is_id(text: Any, digits: int) -> bool:
    """Tell whether a text is a trace id (32 digits) or a span id (16)."""
    return isinstance(text, str) and len(text) == digits and _ID.fullmatch(text) is not None
