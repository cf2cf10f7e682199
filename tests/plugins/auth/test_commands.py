"""`ophion-agent server user|key|tenant`, as people call them."""

import argparse
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ophion_auth.commands import add_commands, server_group

from .conftest import CHEAP_HASHING

CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:0"}}}}
exporters: {debug: }
service: {extensions: [auth, control_store], pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
"""
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on a new store and return what it prints as JSON."""
    folder = str(tmp_path / "control")
    auth = {"directory": folder, "cli_key_file": f"{folder}/cli.key", "password_hashing": CHEAP_HASHING}
    config = yaml.safe_load(CONFIG) | {"extensions": {"control_store": {"directory": folder}, "auth": auth}}
    (tmp_path / "server.yaml").write_text(yaml.safe_dump(config))

    def run(*arguments: str, as_json: bool = True) -> Any:
        parser = argparse.ArgumentParser()
        add_commands(parser.add_subparsers())
        extra = ["--config", str(tmp_path / "server.yaml"), *(["--json"] if as_json else [])]
        options = parser.parse_args(["server", *arguments, *extra])
        capsys.readouterr()
        assert options.command(options) == 0
        printed = capsys.readouterr().out
        return json.loads(printed) if as_json else printed

    return run


def test_manages_users(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from ophion_agent.server import Conflict, NotFound

    added = run("user", "add", "ada", "--role", "admin")
    monkeypatch.setattr("sys.stdin", io.StringIO("a password of my own\n"))
    run("user", "add", "bob", "--password-stdin")

    assert len(added["password"]) == 24
    listed = {user["username"]: (user["role"], user["password_generated"]) for user in run("user", "list")}
    assert listed == {"admin": ("admin", True), "ada": ("admin", True), "bob": ("viewer", False)}
    assert len(run("user", "password", "bob")["password"]) == 24
    run("user", "remove", "admin")
    with pytest.raises(Conflict, match="last admin"):
        run("user", "remove", "ada")
    with pytest.raises(NotFound, match="user: there is none"):
        run("user", "remove", "nobody")
    assert run("user", "list", as_json=False).splitlines()[0].split()[:2] == ["username", "role"]


def test_manages_keys(run: Run) -> None:
    made = run("key", "create", "the fleet", "--kind", "ingest", "--expires-days", "30")
    reader = run("key", "create", "grafana", "--scope", "telemetry:read")

    assert made["key"].startswith(f"ophi_{made['id']}_")
    assert reader["scopes"] == "telemetry:read"
    listed = run("key", "list")
    assert {key["name"] for key in listed} >= {"the fleet", "grafana"}
    assert all("secret" not in field and "key" not in field for key in listed for field in key)
    run("key", "revoke", made["id"])
    assert made["id"] not in run("key", "list", as_json=False)


def test_makes_a_key_of_each_scope_that_its_help_offers(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("key", "create", "--help")
    [offered] = re.findall(r"what an API key may do: (.*?);", " ".join(capsys.readouterr().out.split()))

    for scope in offered.split(", "):
        assert run("key", "create", scope, "--scope", scope)["scopes"] == scope
    assert (
        run("key", "create", "sender", "--kind", "ingest", "--scope", "telemetry:write")["scopes"] == "telemetry:write"
    )


def test_names_the_scopes_that_a_key_can_have(run: Run) -> None:
    from ophion_agent.server import BadRequest

    for arguments, answer in (
        (
            ["--scope", "telemetry:write"],
            r"api key \(admin, operate, telemetry:read\), got telemetry:write; .*ingest key$",
        ),
        (["--scope", "everything"], r"api key \(admin, operate, telemetry:read\), got everything; leave them out$"),
        (["--kind", "ingest", "--scope", "admin"], r"ingest key \(telemetry:write\), got admin; leave them out$"),
    ):
        with pytest.raises(BadRequest, match=rf"scopes: must be among those of an {answer}"):
            run("key", "create", "a key", *arguments)


def test_manages_tenants(run: Run) -> None:
    from ophion_agent.plugin import OphionError

    run("tenant", "add", "acme", "--traces-days", "7")
    run("user", "add", "ada", "--role", "admin", "--tenant", "acme")

    assert [tenant["name"] for tenant in run("tenant", "list")] == ["acme", "default"]
    assert [user["username"] for user in run("user", "list", "--tenant", "acme")] == ["ada"]
    run("tenant", "remove", "acme", "--yes")
    assert run("user", "list", "--tenant", "acme") == []
    with pytest.raises(OphionError, match=r"tenant: days must be 1-36500, got \[0\]; choose others"):
        run("tenant", "add", "acme", "--logs-days", "0")


class Terminal(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


def test_asks_before_a_tenant_is_removed(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ophion_agent.plugin import OphionError

    run("tenant", "add", "acme")
    for typed, answer in (
        (io.StringIO("acme\n"), "acme: its removal must be confirmed, and there is no terminal to ask; give --yes"),
        (Terminal("yes\n"), 'acme: its name must be typed to remove it, got "yes"; nothing was changed'),
        (Terminal(""), 'acme: its name must be typed to remove it, got ""; nothing was changed'),
    ):
        monkeypatch.setattr("sys.stdin", typed)
        with pytest.raises(OphionError, match=f"tenant {answer}"):
            run("tenant", "remove", "acme")
    assert "The users, keys and telemetry of acme cannot be brought back." in capsys.readouterr().err
    assert "acme" in run("tenant", "list", as_json=False)

    monkeypatch.setattr("sys.stdin", Terminal("acme\n"))
    assert run("tenant", "remove", "acme") == {"removed": "acme"}
    assert "acme" not in run("tenant", "list", as_json=False)


def test_shares_the_group_with_other_families() -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    add_commands(commands)
    server_group(commands).add_parser("backup")

    assert set(server_group(commands).choices) == {"user", "key", "tenant", "backup"}
