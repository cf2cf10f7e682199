"""What a handler returned, as bytes: encoded by the route's answer model and compressed as the client asks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import TypeAdapter

from ophion_agent.compression import compress
from ophion_agent.server import Reply, Route, Stream

_COMPRESS_BYTES: Final = 1024
# Below this, handing the work to a thread takes longer than doing it.
_THREAD_BYTES: Final = 64 << 10
_ENCODINGS: Final = ("zstd", "gzip")
_PLAIN_TYPES: Final = (Any, str, int, float, bool, NoneType, dict, list)
_COMPRESSIBLE: Final = ("application/json", "application/javascript", "application/xml", "application/x-ndjson")


class Answers:
    """Turns what the handler of one route returns into a Reply or a Stream."""

    def __init__(self, route: Route) -> None:
        self._status = route.status
        self._media_type = route.media_type.partition(",")[0].strip()
        # orjson is several times faster than pydantic where there is no model to ask.
        self._is_plain = route.answer is None or is_plain(route.answer)
        self._adapter: TypeAdapter[Any] = TypeAdapter(Any if route.answer is None else route.answer)
        # The adapter of a union takes three times as long: it tries which of the members a value is.
        members = get_args(route.answer) if get_origin(route.answer) in (Union, UnionType) else ()
        self._members = {member: TypeAdapter(member) for member in members if isinstance(member, type)}
        self._has_answer = route.answer is not None

    def of(self, value: Any) -> Reply | Stream:
        """Return the answer for what the handler returned; None without an answer model is 204, No Content."""
        if isinstance(value, Stream):
            return value
        if isinstance(value, Reply):
            return value if value.value is None else replace(value, body=self._encode(value.value), value=None)
        if value is None and not self._has_answer:
            return Reply(status=204)
        return Reply(self._encode(value), self._media_type, status=self._status)

    def _encode(self, value: Any) -> bytes:
        if self._is_plain:
            try:
                return orjson.dumps(value)
            except TypeError:
                # Integers beyond 64 bits, keys that are no text.
                pass
        return self._members.get(type(value), self._adapter).dump_json(value, by_alias=True)


def is_plain(answer: Any) -> bool:
    """Tell whether values of the type are JSON as they are, whatever their depth."""
    origin = get_origin(answer)
    if origin is None:
        return answer in _PLAIN_TYPES
    if origin is Annotated or origin not in (dict, list, Union, UnionType):
        return False
    return all(is_plain(member) for member in get_args(answer))


async def response_of(reply: Reply, accepted: str) -> web.Response:
    """Return the response; `accepted` is the request's Accept-Encoding."""
    response = web.Response(status=reply.status)
    headers = response.headers
    headers.update(reply.headers)
    if reply.status in (204, 304):
        return _with_cookies(response, reply)
    headers.setdefault("Content-Type", content_type(reply.media_type))
    body = reply.body
    if _may_compress(reply, body):
        headers["Vary"] = "Accept-Encoding"
        if encoding := choose_encoding(accepted):
            headers["Content-Encoding"] = encoding
            body = await _compressed(body, encoding)
    response.body = body
    return _with_cookies(response, reply)


def _with_cookies(response: web.Response, reply: Reply) -> web.Response:
    for cookie in reply.set_cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


def content_type(media_type: str) -> str:
    """Return the Content-Type value: text without a charset is UTF-8."""
    is_bare_text = media_type.startswith("text/") and "charset=" not in media_type
    return f"{media_type}; charset=utf-8" if is_bare_text else media_type


def _may_compress(reply: Reply, body: bytes) -> bool:
    # The size of a compressed answer tells about secrets that stand in it beside what a client sent (BREACH).
    if len(body) <= _COMPRESS_BYTES or reply.set_cookies or "Content-Encoding" in reply.headers:
        return False
    media_type = reply.media_type.partition(";")[0]
    return media_type.startswith("text/") or media_type.endswith("+json") or media_type in _COMPRESSIBLE


def choose_encoding(accepted: str) -> str:
    """Return the encoding that the client likes best (RFC 9110, 12.5.3), "" for none; zstd wins among equals."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights[name] = _weight(parameters)
    everything = weights.get("*", 0.0)
    weight, encoding = max(
        ((weights.get(name, everything), name) for name in _ENCODINGS), key=lambda found: (found[0], found[1] == "zstd")
    )
    return encoding if weight > 0 else ""


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


async def _compressed(body: bytes, encoding: str) -> bytes:
    if len(body) < _THREAD_BYTES:
        return compress(body, encoding)
    return await asyncio.to_thread(compress, body, encoding)
