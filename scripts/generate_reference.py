"""Write the option tables of docs/configuration.md from the config models.

python scripts/generate_reference.py            # rewrite the file
python scripts/generate_reference.py --check    # fail when it is out of date
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ophion_agent.component import Component
from ophion_agent.delivery import ExporterConfig
from ophion_agent.fields import format_byte_size, format_duration
from ophion_agent.registry import Registry, load_registry
from ophion_agent.services import Provides
from ophion_agent.settings import ServiceSettings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
FORMATTERS = {format_duration: ("duration", format_duration), format_byte_size: ("size", format_byte_size)}


def main(arguments: list[str]) -> int:
    """Rewrite the page, or with --check say whether it is up to date."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    wanted = f"{before}{BEGIN}\n{reference(load_registry())}{END}{after}"
    if "--check" in arguments:
        if wanted != page:
            sys.stderr.write(f"{PAGE} is out of date; run python scripts/generate_reference.py\n")
        return int(wanted != page)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def reference(registry: Registry) -> str:
    """Return the tables of the service section, the sending stack and every bundled component."""
    parts = [
        "\n## service\n\n" + _table(ServiceSettings),
        "\n## Options of every exporter\n\nDefaults that an exporter changes are listed with it.\n\n"
        + _table(ExporterConfig),
    ]
    kind = ""
    for registered in registry.components():
        component = registered.component
        if component.kind != kind:
            kind = component.kind
            parts.append(f"\n## {kind.capitalize()}s\n")
        parts.append(_section(component))
    return "".join(parts)


def _section(component: type[Component[Any]]) -> str:
    names = ", ".join(f"`{alias}`" for alias in component.aliases)
    signals = ", ".join(sorted(signal.signal for signal in component.handles))
    facts = [f"Signals: {signals}." if signals else "", f"Also known as {names}." if names else ""]
    doc = " ".join((component.__doc__ or "").split())
    text = f"\n### {component.type_name}\n\n{doc} {' '.join(fact for fact in facts if fact)}".rstrip()
    rows = _table(component.config_type, inherited=ExporterConfig if component.kind == "exporter" else None)
    return f"{text}\n\n{rows}" if rows else f"{text}\n\nNo options.\n"


def _table(model: type[BaseModel], inherited: type[BaseModel] | None = None) -> str:
    rows = list(_rows(model, "", inherited, ()))
    if not rows:
        return ""
    header = "| option | type | default | meaning |\n|---|---|---|---|\n"
    return header + "".join(f"| `{path}` | {kind} | {default} | {text} |\n" for path, kind, default, text in rows)


def _rows(
    model: type[BaseModel], prefix: str, inherited: type[BaseModel] | None, seen: tuple[type[BaseModel], ...]
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        if inherited and name in inherited.model_fields and field.default == inherited.model_fields[name].default:
            continue
        path = f"{prefix}{field.alias or name}"
        nested, many = _nested(field.annotation)
        yield path, _type(field), _default(field), (field.description or "").replace("|", "\\|").replace("\n", " ")
        if nested and nested not in seen and not (inherited and name in inherited.model_fields):
            yield from _rows(nested, f"{path}{many}.", None, (*seen, nested))


def _nested(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _nested(arguments[0])
    if origin in (Union, UnionType):
        found = [nested for argument in arguments if (nested := _nested(argument))[0]]
        return found[0] if found else (None, "")
    if origin in (list, tuple) and arguments:
        return _nested(arguments[0])[0], "[]"
    if origin is dict:
        return _nested(arguments[1])[0], ".NAME"
    return None, ""


def _type(field: FieldInfo) -> str:
    for marker in field.metadata:
        if isinstance(marker, Provides):
            return "extension id"
        if getattr(marker, "func", None) in FORMATTERS:
            return FORMATTERS[marker.func][0]
    return _type_name(field.annotation)


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for marker in arguments[1:]:
            if getattr(marker, "func", None) in FORMATTERS:
                return FORMATTERS[marker.func][0]
        return _type_name(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, UnionType):
        names = dict.fromkeys(_type_name(argument) for argument in arguments if argument is not type(None))
        return " or ".join(names)
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type_name(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"map of {_type_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    simple = {str: "text", int: "integer", float: "number", bool: "true/false", SecretStr: "secret"}
    return simple.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    for marker in field.metadata:
        if getattr(marker, "func", None) in FORMATTERS and value is not None:
            return f"`{FORMATTERS[marker.func][1](value)}`"
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, BaseModel):
        written = value.model_dump(mode="json", exclude_unset=True)
        scalars = ", ".join(
            f"{name}: {json.dumps(item)}" for name, item in written.items() if not isinstance(item, dict)
        )
        return f"`{{{scalars}}}`" if scalars else ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value != "" else "empty"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
