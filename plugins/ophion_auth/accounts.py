"""Everything behind the extension, made once at its start: the parts and the steps that need several of them."""

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from ophion_agent.plugin import Context, OphionError
from ophion_agent.server import (
    CONTROL_STORE,
    DEFAULT_TENANT,
    ROLE_PERMISSIONS,
    Conflict,
    ControlStore,
    Principal,
    Role,
)
from ophion_auth.audit import Audit
from ophion_auth.config import AuthConfig
from ophion_auth.identity import Identities
from ophion_auth.keys import Keys
from ophion_auth.limits import RequestLimits
from ophion_auth.logins import Logins
from ophion_auth.passwords import Passwords
from ophion_auth.private_file import read_private, remove, write_private
from ophion_auth.sessions import Sessions
from ophion_auth.signing import Signer, check_secret
from ophion_auth.tables import SETTINGS, USERS
from ophion_auth.tenants import Tenants
from ophion_auth.tokens import API_KEY, parse_token
from ophion_auth.users import Users

FIRST_ADMIN: Final = "admin"
SYSTEM: Final = Principal("system", "user", DEFAULT_TENANT, ROLE_PERMISSIONS[Role.ADMIN])
_SECRET: Final = "secret"


class Accounts:
    """Users, keys, sessions, tenants, limits and the audit log of one control store."""

    def __init__(self, config: AuthConfig, context: Context) -> None:
        self._config = config
        self._log = context.log
        self.store: ControlStore = context.service(CONTROL_STORE)
        self.clock = context.clock
        self.passwords = Passwords(config.password_hashing)
        self.audit = Audit(self.store, self.clock)
        self.limits = RequestLimits(config.rate_limits, self.clock)
        self.logins = Logins(config.login_limits, self.store, self.clock)
        self.tenants = Tenants(self.store, self.audit, self.clock)
        self.users = Users(self.store, self.passwords, self.audit, self.clock)
        self.keys = Keys(self.store, self.audit, self.clock)
        self.sessions = Sessions(config, self.store, self.audit, self.clock)
        self.signer: Signer
        self.identities: Identities

    async def start(self) -> str:
        """Bring the tables up to date and make what a first run needs; return the password of a new admin, else ""."""
        configured = self._config.secret.get_secret_value().strip() if self._config.secret is not None else ""
        if configured:
            check_secret(configured)
        await self.store.migrate("auth", Path(__file__).parent / "migrations")
        self.signer = Signer(configured or await self._own_secret(), self.clock, self._config.access_token_lifetime)
        self.identities = Identities(
            self._config, self.users, self.keys, self.sessions, self.logins, self.passwords, self.signer,
            self.clock,
        )  # fmt: skip
        await self.passwords.start()
        await self.tenants.ensure_default()
        password = await self._first_admin()
        await self._command_line_key()
        return password

    def stop(self) -> None:
        """End the threads."""
        self.passwords.stop()

    async def prune(self) -> None:
        """Remove what has ended."""
        await self.audit.prune(self._config.audit_retention_days)
        await self.sessions.prune()
        await self.logins.prune()

    @property
    def password_file(self) -> Path:
        """Where the first admin's password is until it is changed."""
        return self._config.directory / "initial-admin-password"

    def forget_password_file(self) -> None:
        """Remove the file with the first admin's password."""
        remove(self.password_file)

    async def _own_secret(self) -> str:
        """Return the secret of the control store, made by the first server that starts on it."""
        query = select(SETTINGS.c.value).where(SETTINGS.c.name == _SECRET)
        try:
            async with self.store.session() as session:
                kept = (await session.execute(query)).scalar_one_or_none()
                if kept is None:
                    values = {"name": _SECRET, "value": secrets.token_hex(32)}
                    await session.execute(insert(SETTINGS).values(values))
        except IntegrityError:
            pass  # Another server was faster; its secret counts.
        async with self.store.session() as session:
            return str((await session.execute(query)).scalar_one())

    async def _first_admin(self) -> str:
        async with self.store.session() as session:
            if (await session.execute(select(USERS.c.id).limit(1))).first() is not None:
                return ""
        try:
            _, password = await self.users.create(SYSTEM, FIRST_ADMIN, None, Role.ADMIN, DEFAULT_TENANT)
        except Conflict:
            return ""  # Another server was faster, and shows the password.
        write_private(self.password_file, f"{password}\n")
        return password or ""

    async def _command_line_key(self) -> None:
        """Let the command line on this host in, by a key that only the server's user can read."""
        path = self._config.cli_key_file
        if path is None:
            return
        token = parse_token(read_private(path).strip(), API_KEY)
        record = await self.keys.find(token.id) if token is not None else None
        if token is not None and record is not None and token.fits(record.secret_hash):
            return
        name = f"command line on {socket.gethostname()}"[:100]
        try:
            async with self.store.session():
                await self.keys.remove_named(name, DEFAULT_TENANT)
                _, made = await self.keys.create(SYSTEM, name, kind="api", tenant=DEFAULT_TENANT)
                write_private(path, f"{made.text}\n")
        except OphionError as error:
            # The server is of use without it.
            self._log.warning("cli_key_not_written", path=str(path), error=str(error), pid=os.getpid())


OpenedAccounts = Callable[[], Accounts]
