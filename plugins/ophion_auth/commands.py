"""`ophion-agent server user|key|tenant`: administration on the server's host, while the server runs and while not."""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ophion_agent.plugin import OphionError
from ophion_agent.server import DEFAULT_TENANT, ROLE_PERMISSIONS, Principal, Role
from ophion_agent.server.commands import command_group, server_group

if TYPE_CHECKING:
    from ophion_auth.accounts import Accounts

    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]

Work = Callable[["Accounts", Principal, argparse.Namespace], Awaitable[None]]
_LONGEST_PASSWORD: Final = 4096


def add_commands(commands: "Parsers") -> None:
    """Add the groups `user`, `key` and `tenant` to `server`."""
    server = server_group(commands)
    _add_user_commands(command_group(server, "user", "users of the server"))
    _add_key_commands(command_group(server, "key", "API keys and ingest keys"))
    _add_tenant_commands(command_group(server, "tenant", "tenants"))


def _add_user_commands(group: "Parsers") -> None:
    add = _command(group, "add", _add_user, "add a user; without --password-stdin a password is generated and printed")
    add.add_argument("name")
    add.add_argument("--role", choices=[role.value for role in Role], default=Role.VIEWER.value)
    password = _command(group, "password", _set_password, "set or generate a password, and unlock the account")
    password.add_argument("name")
    for parser in (add, password):
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    listing = _command(group, "list", _list_users, "list the users of a tenant")
    _command(group, "remove", _remove_user, "remove a user with sessions and API keys").add_argument("name")
    for parser in (add, listing):
        _tenant_option(parser)


def _add_key_commands(group: "Parsers") -> None:
    create = _command(group, "create", _create_key, "make a key and print it; it is shown only here")
    create.add_argument("name")
    create.add_argument("--kind", choices=["api", "ingest"], default="api", help="ingest keys may only send telemetry")
    scopes = sorted(ROLE_PERMISSIONS[Role.ADMIN])
    create.add_argument(
        "--scope", action="append", default=[], metavar="SCOPE",
        help=f"what an API key may do: {', '.join(scopes)}; all by default",
    )  # fmt: skip
    create.add_argument("--expires-days", type=int, metavar="N", help="days until it ends; never by default")
    listing = _command(group, "list", _list_keys, "list the keys of a tenant")
    _command(group, "revoke", _revoke_key, "revoke a key").add_argument("id")
    for parser in (create, listing):
        _tenant_option(parser)


def _add_tenant_commands(group: "Parsers") -> None:
    add = _command(group, "add", _add_tenant, "add a tenant")
    add.add_argument("name")
    for signal in ("traces", "metrics", "logs"):
        add.add_argument(f"--{signal}-days", type=int, metavar="N", help=f"days that {signal} are kept")
    _command(group, "list", _list_tenants, "list the tenants")
    remove = _command(group, "remove", _remove_tenant, "remove a tenant with its users, keys and telemetry")
    remove.add_argument("name")
    remove.add_argument("--yes", action="store_true", help="do not ask; what is removed cannot be brought back")


def _command(group: "Parsers", name: str, work: Work, text: str) -> argparse.ArgumentParser:
    parser = group.add_parser(name, help=text, description=text)
    parser.add_argument("--config", action="append", required=True, metavar="FILE", help="configuration of the server")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", dest="sets", help="override one option"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=lambda options: asyncio.run(_run(work, options)))
    return parser


def _tenant_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", default=DEFAULT_TENANT, help=f"the tenant; {DEFAULT_TENANT} unless told otherwise")


async def _run(work: Work, options: argparse.Namespace) -> int:
    from ophion_agent.server.offline import open_extensions
    from ophion_auth.auth import ACCOUNTS

    async with open_extensions(options.config, options.sets, [ACCOUNTS]) as services:
        await work(services.get(ACCOUNTS).accounts, _operator(), options)
    return 0


def _operator() -> Principal:
    """Return the person at the command line: whoever can read the control store may do everything."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as in containers.
        name = "unknown"
    return Principal(f"command line: {name}", "user", DEFAULT_TENANT, ROLE_PERMISSIONS[Role.ADMIN])


async def _add_user(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    password = _password(options)
    user, generated = await accounts.users.create(operator, options.name, password, Role(options.role), options.tenant)
    _print({"username": user.name, "role": user.role, "tenant": user.tenant, "password": generated}, options)


async def _set_password(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    user = await accounts.users.seen_by(operator, options.name)
    prepared = await accounts.users.prepare_password(user, _password(options))
    async with accounts.store.session():
        await accounts.users.store_password(operator, user, prepared)
        await accounts.logins.unlock(user.name)
    _print({"username": user.name, "password": prepared.generated}, options)


async def _list_users(accounts: "Accounts", _operator: Principal, options: argparse.Namespace) -> None:
    from ophion_auth.models import user_answer

    columns = ("username", "role", "disabled", "created_at", "password_changed_at")
    _print_table(columns, [user_answer(user) for user in await accounts.users.of_tenant(options.tenant)], options)


async def _remove_user(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    await accounts.users.remove(operator, await accounts.users.seen_by(operator, options.name))
    _print({"removed": options.name}, options)


async def _create_key(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    from ophion_auth.keys import key_scopes
    from ophion_auth.records import days_ms, now_ms

    days = options.expires_days
    record, token = await accounts.keys.create(
        operator,
        options.name,
        kind=options.kind,
        tenant=options.tenant,
        scopes=key_scopes(options.kind, options.scope),
        expires_ms=None if days is None else now_ms(accounts.clock) + days_ms(days),
    )
    _print({"id": record.id, "scopes": " ".join(sorted(record.scopes)), "key": token.text}, options)


async def _list_keys(accounts: "Accounts", _operator: Principal, options: argparse.Namespace) -> None:
    from ophion_auth.models import key_answer

    columns = ("id", "name", "kind", "scopes", "created_by", "expires_at", "last_used_at")
    _print_table(columns, [key_answer(key) for key in await accounts.keys.listed(options.tenant, None)], options)


async def _revoke_key(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    await accounts.keys.revoke(operator, options.id, None)
    _print({"revoked": options.id}, options)


async def _add_tenant(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    from ophion_auth.models import NewTenant

    named = {name: value for name, value in vars(options).items() if name.endswith("_days") and value is not None}
    try:
        body = NewTenant.model_validate({"name": options.name, **named})
    except ValueError as error:
        raise OphionError(f"tenant: days must be 1-36500, got {sorted(named.values())}; choose others") from error
    tenant = await accounts.tenants.create(operator, body.name, body.days())
    _print({"name": tenant.name, **tenant.days}, options)


async def _list_tenants(accounts: "Accounts", _operator: Principal, options: argparse.Namespace) -> None:
    from ophion_auth.models import tenant_answer

    columns = ("name", "created_at", "traces_days", "metrics_days", "logs_days")
    rows = [tenant_answer(tenant).model_dump() for tenant in await accounts.tenants.listed()]
    _print_table(columns, rows, options)


async def _remove_tenant(accounts: "Accounts", operator: Principal, options: argparse.Namespace) -> None:
    if not options.yes:
        _confirm(options.name)
    await accounts.tenants.remove(operator, options.name)
    _print({"removed": options.name}, options)


def _confirm(tenant: str) -> None:
    """Let the person at the terminal type the name of what is to be removed; raises OphionError for anything else."""
    if not sys.stdin.isatty():
        raise OphionError(
            f"tenant {tenant}: its removal must be confirmed, and there is no terminal to ask; give --yes"
        )
    sys.stderr.write(f"The users, keys and telemetry of {tenant} cannot be brought back. Its name, to remove it: ")
    sys.stderr.flush()
    typed = sys.stdin.readline(_LONGEST_PASSWORD).strip()
    if typed != tenant:
        raise OphionError(f'tenant {tenant}: its name must be typed to remove it, got "{typed}"; nothing was changed')


def _password(options: argparse.Namespace) -> str | None:
    return sys.stdin.readline(_LONGEST_PASSWORD).rstrip("\r\n") if options.password_stdin else None


def _print(facts: dict[str, Any], options: argparse.Namespace) -> None:
    shown = {name: value for name, value in facts.items() if value is not None}
    if options.json:
        sys.stdout.write(json.dumps(shown, default=str) + "\n")
        return
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in shown.items()))


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(json.dumps(list(rows), default=str, indent=2) + "\n")
        return
    lines = [list(columns), *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(value)
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value)
