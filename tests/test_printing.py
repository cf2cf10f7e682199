from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
import yaml
from pydantic import Field

from ophion_agent.config import check
from ophion_agent.loading import load
from ophion_agent.plugin import Batch, Config, Exporter, Secret
from ophion_agent.printing import REDACTED, effective_yaml, plain, schema_of
from ophion_agent.registry import load_registry
from ophion_agent.settings import ServiceSettings
from parts import check_text, plan_of

OTELCOL = sorted((Path(__file__).parent / "testdata" / "otelcol").glob("*.yaml"))
INVALID = sorted((Path(__file__).parent / "testdata" / "invalid").glob("*.yaml"))
ENVIRON = yaml.safe_load((Path(__file__).parent / "testdata" / "otelcol" / "env.json").read_text())


class Login(Config):
    """Credentials."""

    user: str = Field("", description="Name.")
    password: Secret = Field(Secret.__origin__(""), description="Password.")  # type: ignore[attr-defined]


class GuardedConfig(Config):
    """Secrets in every place where one can stand."""

    key: Secret | None = Field(None, description="A secret or nothing.")
    headers: dict[str, Secret] = Field({}, description="Secrets in a mapping.")
    keys: list[Secret] = Field([], description="Secrets in a list.")
    pair: tuple[Secret, int] | None = Field(None, description="A secret in a tuple.")
    login: Login | None = Field(None, description="A secret in a model.")
    logins: dict[str, list[Login]] = Field({}, description="Secrets deep down.")
    either: Annotated[Login | Secret | None, Field(description="A union.")] = None
    alias: Secret | None = Field(None, alias="a-lias", description="Under another name.")


class Guarded(Exporter[GuardedConfig, Batch]):
    """Holds secrets."""

    type_name = "guarded"


SECRETS: dict[str, Any] = {
    "key": "hunter2",
    "headers": {"authorization": "hunter2", "x-key": "hunter2"},
    "keys": ["hunter2", "hunter2"],
    "pair": ["hunter2", 7],
    "login": {"user": "ada", "password": "hunter2"},
    "logins": {"eu": [{"user": "bob", "password": "hunter2"}]},
    "either": "hunter2",
    "a-lias": "hunter2",
}


@pytest.mark.parametrize("defaults", [False, True])
def test_no_secret_is_ever_printed(defaults: bool) -> None:
    config = GuardedConfig.model_validate(SECRETS)
    printed = plain(config, defaults=defaults)
    assert "hunter2" not in repr(printed)
    assert "*" not in repr(printed)
    assert printed["headers"] == {"authorization": REDACTED, "x-key": REDACTED}
    assert printed["keys"] == [REDACTED, REDACTED]
    assert printed["pair"] == [REDACTED, 7]
    assert printed["login"] == {"user": "ada", "password": REDACTED}
    assert printed["logins"] == {"eu": [{"user": "bob", "password": REDACTED}]}
    assert (printed["key"], printed["either"], printed["a-lias"]) == (REDACTED,) * 3


def test_an_effective_config_shows_what_was_written_or_with_defaults_everything() -> None:
    text = """
receivers: {relay: , relay/unused: }
exporters: {scripted: {timeout: 1m30s, sending_queue: {max_bytes: 1MiB}}}
service: {pipelines: {traces: {receivers: [relay], exporters: [scripted]}}}
"""
    plan = plan_of(text)
    assert yaml.safe_load(effective_yaml(plan)) == {
        "receivers": {"relay": {}},
        "exporters": {"scripted": {"timeout": "1m30s", "sending_queue": {"max_bytes": "1MiB"}}},
        "service": {"pipelines": {"traces": {"receivers": ["relay"], "exporters": ["scripted"]}}},
    }
    full = yaml.safe_load(effective_yaml(plan, defaults=True))
    assert full["exporters"]["scripted"]["retry_on_failure"]["max_elapsed_time"] == "5m"
    assert full["service"]["telemetry"]["metrics"]["level"] == "normal"


@pytest.mark.parametrize("defaults", [False, True], ids=["written", "defaults"])
@pytest.mark.parametrize("path", OTELCOL, ids=lambda path: path.stem)
def test_what_is_printed_is_a_configuration_again(path: Path, defaults: bool) -> None:
    registry = load_registry()
    loaded = load([path], environ=ENVIRON)
    checked = check(loaded.tree, loaded.origins, registry)
    assert checked.plan is not None, checked.problems
    printed = effective_yaml(checked.plan, defaults=defaults)
    for secret in (ENVIRON["BASIC_AUTH_PASSWORD"],):
        assert secret not in printed
    again = load([f"yaml:{printed.replace('$', '$$')}"], environ={})
    rechecked = check(again.tree, again.origins, registry)
    assert rechecked.problems == []
    assert rechecked.plan is not None
    assert effective_yaml(rechecked.plan, defaults=defaults) == printed


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    registry = load_registry()
    schema = schema_of([registered.component for registered in registry.components()], ServiceSettings)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", OTELCOL, ids=lambda path: path.stem)
def test_the_schema_takes_real_configurations(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    tree = load([path], environ=ENVIRON).tree
    assert [error.message for error in validator.iter_errors(tree)] == []


@pytest.mark.parametrize("name", ["unknown_keys", "bad_values"])
def test_the_schema_refuses_unknown_keys_and_wrong_types(name: str, validator: jsonschema.Draft202012Validator) -> None:
    path = next(path for path in INVALID if path.stem == name)
    tree = load([path], environ=ENVIRON).tree
    wrong = {".".join(map(str, error.absolute_path)) for error in validator.iter_errors(tree)}
    expected = {
        "unknown_keys": {"", "receivers.otlp", "processors.batch", "processors", "exporters.debug"},
        "bad_values": {"processors.batch", "processors.batch/words", "processors.batch/number", "exporters.debug"},
    }
    assert expected[name] <= wrong


def test_every_part_of_the_schema_says_what_it_is(validator: jsonschema.Draft202012Validator) -> None:
    definitions = validator.schema["$defs"]
    undescribed = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, option in definition.get("properties", {}).items()
        if "description" not in option and "$ref" not in option
    ]
    assert undescribed == []


def test_check_text_keeps_the_tree_as_it_was_written() -> None:
    text = "receivers: {relay: }\nexporters: {scripted: }\n"
    text += "service: {pipelines: {traces: {receivers: [relay], exporters: [scripted]}}}"
    plan = check_text(text, Guarded).plan
    assert plan is not None
    assert plan.tree["receivers"] == {"relay": None}
