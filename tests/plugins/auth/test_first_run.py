"""The first start on an empty store, and those after it."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from ophion_agent.plugin import OphionError
from ophion_agent.server import Unauthorized
from ophion_agent.testing import ManualClock, check_component, make_component
from ophion_auth.auth import Auth
from ophion_auth.tables import METADATA
from ophion_control.store import ControlStoreExtension

from .conftest import Server, make_auth


async def test_keeps_the_contract(config: dict[str, Any], store: ControlStoreExtension) -> None:
    class WithStore(Auth):
        """The extension as the framework connects it."""

        type_name = "auth"

        def __init__(self, config: Any, context: Any) -> None:
            context._provided = {"control store": "control_store"}
            super().__init__(config, context)

    await check_component(WithStore, config, services={"control_store": store})


async def test_the_scripts_make_the_tables_that_the_code_uses(server: Server, store: ControlStoreExtension) -> None:
    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name.startswith("auth_")}
        )
        return list(compare_metadata(context, METADATA))

    assert store._engine is not None
    async with store._engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_admin_gets_a_generated_password_that_is_shown_once(
    config: dict[str, Any], store: ControlStoreExtension, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auth = make_auth(config, store, ManualClock())
    await auth.start()
    first = capsys.readouterr().err
    await auth.stop()
    await auth.start()

    file = tmp_path / "auth" / "initial-admin-password"
    password = file.read_text().strip()
    assert f"log in as admin with the password {password}\n" in first
    assert capsys.readouterr().err == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(password) == 24
    user = await auth.accounts.identities.log_in("admin", password, "")
    assert user.role == "admin"
    await auth.stop()
    await auth.context.close()


async def test_the_password_file_goes_with_the_password(server: Server) -> None:
    file = server.folder / "initial-admin-password"
    password = file.read_text().strip()
    headers = await server.bearer("admin", password)
    assert file.exists()
    body = {"current_password": password, "new_password": "a password of my own"}

    await server.call("POST", "/api/auth/password", body, headers=headers)

    assert not file.exists()


async def test_the_password_file_goes_at_a_login_when_somebody_else_changed_the_password(server: Server) -> None:
    await server.call("PATCH", "/api/users/admin", {"password": "a password of my own"}, headers=server.root)

    await server.log_in("admin", "a password of my own")

    assert not (server.folder / "initial-admin-password").exists()


async def test_several_first_starts_at_once_make_one_admin(
    config: dict[str, Any], store: ControlStoreExtension
) -> None:
    servers = [make_auth(config, store, ManualClock()) for _ in range(3)]

    await asyncio.gather(*(server.start() for server in servers))

    assert [user.name for user in await servers[0].accounts.users.of_tenant("default")] == ["admin"]
    tokens = {server.accounts.signer.csrf("session") for server in servers}
    assert len(tokens) == 1, "all servers sign with the same secret"
    for server in servers:
        await server.stop()
        await server.context.close()


async def test_the_command_line_has_a_key(server: Server) -> None:
    file = server.folder / "cli.key"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    me = (await server.call("GET", "/api/auth/me", headers=server.root)).value
    assert (me["kind"], me["tenant"], "admin" in me["permissions"]) == ("api_key", "default", True)


async def test_the_command_lines_key_is_kept_and_replaced_when_it_is_of_no_use(
    server: Server, config: dict[str, Any], store: ControlStoreExtension, clock: ManualClock
) -> None:
    old = server.root

    async def restart() -> None:
        auth = make_auth(config, store, clock)
        await auth.start()
        await auth.stop()
        await auth.context.close()

    await restart()
    assert server.root == old
    (server.folder / "cli.key").write_text("damaged")
    await restart()
    server.accounts.identities.forget()
    assert server.root != old
    await server.call("GET", "/api/auth/me", headers=server.root)
    with pytest.raises(Unauthorized):
        await server.call("GET", "/api/auth/me", headers=old)


async def test_starts_without_a_place_for_the_command_lines_key(
    config: dict[str, Any], store: ControlStoreExtension, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    auth = make_auth({**config, "cli_key_file": str(tmp_path / "file" / "cli.key")}, store, ManualClock())

    await auth.start()

    assert await auth.accounts.keys.listed("default", None) == []
    await auth.stop()
    await auth.context.close()


async def test_says_where_the_password_could_not_be_written(
    config: dict[str, Any], store: ControlStoreExtension, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    auth = make_auth({**config, "directory": str(tmp_path / "file")}, store, ManualClock())

    with pytest.raises(
        OphionError, match=r"auth: must be able to write .*initial-admin-password, got .*; choose a folder"
    ):
        await auth.start()

    await auth.stop()
    await auth.context.close()


async def test_refuses_an_example_secret_at_the_start(config: dict[str, Any], store: ControlStoreExtension) -> None:
    auth = make_auth({**config, "secret": "changeme"}, store, ManualClock())

    with pytest.raises(OphionError, match=r"API_SECRET.* make one with `openssl rand -hex 32`"):
        await auth.start()

    await auth.stop()


async def test_a_configured_secret_signs_and_an_empty_one_counts_as_none(
    config: dict[str, Any], store: ControlStoreExtension
) -> None:
    signed = []
    for secret in ("f3b1c5d7e9a0b2c4f3b1c5d7e9a0b2c4", "", " "):
        auth = make_auth({**config, "secret": secret}, store, ManualClock())
        await auth.start()
        signed.append(auth.accounts.signer.csrf("session"))
        await auth.stop()
        await auth.context.close()

    assert signed[0] != signed[1] == signed[2]


async def test_anonymous_senders_get_in_only_where_a_tenant_is_named(
    config: dict[str, Any], store: ControlStoreExtension
) -> None:
    from ophion_agent.plugin import Unauthenticated

    auth = make_auth({**config, "anonymous_tenant": "default"}, store, ManualClock())
    await auth.start()

    assert await auth.authenticate({}) == {"subject": "anonymous", "tenant": "default"}
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"x-api-key": ["wrong"]})
    await auth.stop()
    await auth.context.close()


async def test_refuses_work_before_the_start() -> None:
    auth = make_component(Auth)

    with pytest.raises(OphionError, match="auth: is not open"):
        await auth.identify({}, {}, client="", method="GET")
