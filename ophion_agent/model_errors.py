"""Turns pydantic's validation errors into sentences with the place, what was got and what is valid."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, PlainSerializer, ValidationError

from ophion_agent.fields import format_duration
from ophion_agent.hints import nearest
from ophion_agent.origins import ConfigPath

# Every duration field carries the serializer of the Duration type, wherever its limits come from.
_DURATION_SERIALIZER = PlainSerializer(format_duration, return_type=str)

_TEMPLATES = {
    "missing": "is required",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping of options",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}


def problems_of(error: ValidationError, model: type[BaseModel], base: ConfigPath) -> list[tuple[ConfigPath, str]]:
    """Return (path, sentence) for each error of a config model; `base` is where the model's body stands."""
    found: dict[tuple[ConfigPath, str], None] = {}
    for item in error.errors(include_url=False):
        place = _place(model, item["loc"])
        found[(*base, *place), _sentence(item, model, place)] = None
    return list(found)


def _sentence(item: Any, model: type[BaseModel], place: ConfigPath) -> str:
    if item["type"] == "extra_forbidden":
        owner = _model_at(model, place[:-1])
        return f"unknown option; {nearest(str(place[-1]), _option_names(owner))}"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    template = _TEMPLATES.get(item["type"])
    if template is None and " got " in item["msg"]:
        return str(item["msg"])
    if template is None:
        return f"{_lower_first(item['msg'])}, got {_shown(item['input'])}"
    message = template.format(**_limits(item.get("ctx", {}), _is_duration(model, place)))
    return message if item["type"] == "missing" else f"{message}, got {_shown(item['input'])}"


def _limits(context: dict[str, Any], duration: bool) -> dict[str, Any]:
    return {key: format_duration(value) if duration else value for key, value in context.items()}


def _is_duration(model: type[BaseModel], place: ConfigPath) -> bool:
    owner = _model_at(model, place[:-1])
    field = owner.model_fields.get(str(place[-1])) if owner and place else None
    return field is not None and _DURATION_SERIALIZER in field.metadata


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _place(model: type[BaseModel], location: tuple[str | int, ...]) -> ConfigPath:
    """Drop the parts of a pydantic location that name union branches and validators rather than keys."""
    place: list[str | int] = []
    annotation: Any = model
    for part in location:
        following = _step(annotation, part)
        if following is not None:
            place.append(part)
            annotation = following
        elif part == location[-1] and not _is_branch(part):
            place.append(part)
    return tuple(place)


def _is_branch(part: str | int) -> bool:
    names = ("function-", "constrained-", "str", "int", "float", "bool", "dict[", "list[", "none", "literal[", "is-")
    return isinstance(part, str) and part.lower().startswith(names)


def _step(annotation: Any, part: str | int) -> Any:
    """Return the annotation that `part` leads to inside `annotation`, or None when it is no key of it."""
    for candidate in _alternatives(annotation):
        origin = get_origin(candidate)
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            for name, field in candidate.model_fields.items():
                if part in (name, field.alias, field.validation_alias):
                    return field.annotation
        elif origin in (list, tuple, set) and isinstance(part, int):
            return get_args(candidate)[0]
        elif origin is dict and isinstance(part, str):
            return get_args(candidate)[1]
    return None


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _model_at(model: type[BaseModel], place: ConfigPath) -> type[BaseModel] | None:
    annotation: Any = model
    for part in place:
        annotation = _step(annotation, part)
    models = [c for c in _alternatives(annotation) if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def _option_names(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []
