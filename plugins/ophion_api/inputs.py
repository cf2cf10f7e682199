"""What a route takes, read from a request: query parameters, urlencoded forms and JSON bodies, checked by pydantic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import AliasChoices, BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ophion_agent.compression import check_encoding, inflate
from ophion_agent.server import BadRequest, Problem, Route
from ophion_agent.web import read_body
from ophion_api.config import ApiConfig
from ophion_api.problems import invalid

FORM_TYPE: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 1000
_LISTS: Final = (list, tuple, set, frozenset, Sequence)


class Inputs:
    """Reads and checks what one route takes."""

    def __init__(self, route: Route, config: ApiConfig) -> None:
        self._route = route
        self._limit = min(route.max_body_bytes, config.body_limit)
        self._read_seconds = config.read_timeout
        self._encodings = config.encodings
        self._listed = list_fields(route.query) if route.query else frozenset()
        self._is_raw = route.body is bytes
        self._body: TypeAdapter[Any] | None = None
        if route.body is not None and not self._is_raw:
            self._body = TypeAdapter(route.body)

    @property
    def takes_body(self) -> bool:
        """Whether the route reads what the client sends beside the URL."""
        return self._is_raw or self._body is not None or self._route.form

    async def read(self, request: web.Request) -> bytes:
        """Return the body: inflated for JSON and forms, as it came for `bytes`; raises Problem or CompressionError."""
        if not self.takes_body:
            return b""
        try:
            raw = await read_body(request, self._limit, self._read_seconds)
        except TimeoutError:
            remedy = "send it faster or in smaller requests"
            raise Problem(f"the body did not arrive within {self._read_seconds:g} s; {remedy}", status=408) from None
        if self._is_raw or not raw:
            return raw
        return inflate(raw, check_encoding(request.headers.get("Content-Encoding", ""), self._encodings), self._limit)

    def query(self, request: web.Request, raw: bytes) -> BaseModel | None:
        """Return the query parameters, and with `form` the fields of the body, as the route's model."""
        model = self._route.query
        if model is None:
            return None
        pairs: list[tuple[str, str]] = list(request.query.items())
        if self._route.form and raw:
            pairs += _form_fields(request, raw)
        try:
            return model.model_validate(gather(pairs, self._listed))
        except ValidationError as error:
            raise invalid(error, "query") from None

    def body(self, request: web.Request, raw: bytes) -> Any:
        """Return the body as the route's model, or the bytes for a route that takes them."""
        if self._is_raw:
            return raw
        if self._body is None:
            return None
        if not raw:
            return self._no_body()
        media_type = request.content_type if "Content-Type" in request.headers else ""
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise Problem(f'the body must be JSON, got "{media_type}"; send Content-Type: application/json', status=415)
        try:
            # Strict: JSON has types of its own, and 0 is no false.
            return self._body.validate_json(raw, strict=True)
        except ValidationError as error:
            raise invalid(error, "body") from None

    def _no_body(self) -> Any:
        assert self._body is not None
        try:
            return self._body.validate_python(None)
        except ValidationError:
            raise BadRequest("the body is missing; send a JSON document") from None


def gather(pairs: Iterable[tuple[str, str]], listed: frozenset[str]) -> dict[str, Any]:
    """Return name -> value, a list for each name in `listed` and for what came more than once."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values if name in listed or len(values) > 1 else values[0] for name, values in found.items()}


def list_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return every name under which a query may carry a field that holds several values."""
    return frozenset(
        name for own, field in model.model_fields.items() if _is_list(field.annotation) for name in names_of(own, field)
    )


def names_of(own: str, field: FieldInfo) -> list[str]:
    """Return the names that a field is taken from; the first is the documented one."""
    alias = field.validation_alias if field.validation_alias is not None else field.alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)] + [own]
    return [alias, own] if isinstance(alias, str) else [own]


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    if origin is Annotated:
        return _is_list(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_is_list(member) for member in get_args(annotation))
    return origin in _LISTS


def _form_fields(request: web.Request, raw: bytes) -> list[tuple[str, str]]:
    if request.content_type != FORM_TYPE or "Content-Type" not in request.headers:
        got = request.headers.get("Content-Type", "")
        raise Problem(f'the body must be a form, got "{got}"; send Content-Type: {FORM_TYPE}', status=415)
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise BadRequest(f"body: must be a UTF-8 form of at most {_MOST_FIELDS} fields; send fewer") from None


def plain_path(match: Mapping[str, str]) -> dict[str, str]:
    """Return the path parameters; raises BadRequest for what no name can hold."""
    for name, value in match.items():
        if "\0" in value:
            raise BadRequest(f"path.{name}: must not hold a NUL character; remove it")
    return dict(match)
