"""The configuration as YAML that may be shown to anybody: secrets redacted, defaults left out or filled in."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import BeforeValidatorFunctionSchema

from ophion_agent.component import Component, Config
from ophion_agent.config import SECTIONS, Plan
from ophion_agent.config_tree import dump_yaml
from ophion_agent.delivery import null_is_default
from ophion_agent.fields import ConfigJsonSchema
from ophion_agent.settings import null_is_empty_list

REDACTED = "[REDACTED]"


def effective_yaml(plan: Plan, *, defaults: bool = False) -> str:
    """Return the configuration of a plan; with `defaults` every option is shown, else those that were written."""
    tree: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        bodies = {
            component.id: plain(component.config, defaults=defaults)
            for component in plan.components.values()
            if component.kind == kind
        }
        if bodies:
            tree[section] = bodies
    tree["service"] = plain(plan.service, defaults=defaults)
    return dump_yaml(tree)


def plain(model: BaseModel, *, defaults: bool) -> Any:
    """Return a config model as the mapping a user would write, secrets redacted."""
    dumped = model.model_dump(mode="json", by_alias=True, exclude_unset=not defaults, exclude_none=True)
    return _redact(dumped, model)


def _redact(dumped: Any, model: Any) -> Any:
    """Follow the model beside its dump and put REDACTED wherever the model holds a secret."""
    if isinstance(model, SecretStr):
        return REDACTED
    if isinstance(model, BaseModel) and isinstance(dumped, dict):
        names = {field.alias or name: name for name, field in type(model).model_fields.items()}
        return {key: _redact(value, getattr(model, names.get(key, ""), None)) for key, value in dumped.items()}
    if isinstance(model, Mapping) and isinstance(dumped, dict):
        return {key: _redact(value, model.get(key)) for key, value in dumped.items()}
    if isinstance(model, list | tuple) and isinstance(dumped, list):
        return [_redact(value, item) for value, item in zip(dumped, model, strict=False)]
    return dumped


def schema_of(components: list[type[Component[Any]]], service: type[Config]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a whole configuration made of these components."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        patterns: dict[str, Any] = {}
        for component in components:
            if component.kind == kind:
                names = "|".join([component.type_name, *component.aliases])
                patterns[f"^({names})(/.+)?$"] = {
                    "anyOf": [_inline(component.config_type, definitions), {"type": "null"}]
                }
        properties[section] = {"type": ["object", "null"], "patternProperties": patterns, "additionalProperties": False}
    properties["service"] = _inline(service, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ophion agent configuration",
        "type": "object",
        "properties": properties,
        "required": ["service"],
        "additionalProperties": False,
        "$defs": definitions,
    }


class _NullableSections(ConfigJsonSchema):
    """Lets a section be empty (`batch:`) where its validator reads null as the defaults."""

    def function_before_schema(self, schema: BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Return the schema of what follows the validator, or null."""
        inner = super().function_before_schema(schema)
        if schema["function"]["function"] in (null_is_default, null_is_empty_list):
            return {"anyOf": [inner, {"type": "null"}]}
        return inner


def _inline(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Add the schema of a model to `definitions`, prefixed by its module, and return a reference to it."""
    prefix = f"{model.__module__}."
    template = f"#/$defs/{prefix}{{model}}"
    schema = model.model_json_schema(ref_template=template, by_alias=True, schema_generator=_NullableSections)
    for name, definition in schema.pop("$defs", {}).items():
        definitions[prefix + name] = definition
    definitions[prefix + model.__name__] = schema
    return {"$ref": f"#/$defs/{prefix}{model.__name__}"}
