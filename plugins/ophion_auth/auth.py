"""The extension `auth`: decides who calls the server and what they may do."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ophion_agent.plugin import (
    SERVER_AUTH,
    Context,
    Extension,
    OphionError,
    RetryableError,
    ServiceKey,
    Unauthenticated,
)
from ophion_agent.server import (
    AUDIT_LOG,
    AUTHORIZER,
    CONTROL_STORE,
    HTTP_ROUTES,
    TENANTS,
    NotFound,
    Overloaded,
    Permission,
    Principal,
    Route,
    Unauthorized,
)
from ophion_auth.config import AuthConfig

if TYPE_CHECKING:
    from ophion_auth.accounts import Accounts

ACCOUNTS: "ServiceKey[Auth]" = ServiceKey("accounts")
_EXTRA: Final = "auth: needs SQLAlchemy, Argon2 and PyJWT; pip install 'ophion-agent[server]'"
_PRUNE_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 5.0


class Auth(Extension[AuthConfig]):
    """Signs in users, keys and senders, keeps tenants apart, limits and audits."""

    type_name = "auth"
    provides = (AUTHORIZER, AUDIT_LOG, HTTP_ROUTES, SERVER_AUTH, TENANTS, ACCOUNTS)
    requires = (CONTROL_STORE,)

    def __init__(self, config: AuthConfig, context: Context) -> None:
        super().__init__(config, context)
        self._accounts: Accounts | None = None

    async def start(self) -> None:
        """Open the accounts; raises OphionError for an unfit secret, and says a new admin's password once."""
        try:
            import argon2  # noqa: F401 - a missing extra shows at the start, not at the first login
            import jwt  # noqa: F401

            from ophion_auth.accounts import Accounts
        except ImportError as error:
            raise OphionError(f"{_EXTRA} (missing: {error.name})") from error
        self._accounts = Accounts(self.config, self.context)
        password = await self._accounts.start()
        if password:
            # Not by the log: logs are kept and sent on.
            file = self._accounts.password_file
            print(f"\nFirst start: log in as admin with the password {password}\n({file})\n", file=sys.stderr)  # noqa: T201
        self.context.spawn("prune", self._prune)

    async def stop(self) -> None:
        """End the threads."""
        accounts, self._accounts = self._accounts, None
        if accounts is not None:
            accounts.stop()

    @property
    def accounts(self) -> "Accounts":
        """The parts, for the command line; raises OphionError before the start."""
        if self._accounts is None:
            raise OphionError("auth: is not open; it opens at the server's start and closes at its end")
        return self._accounts

    async def identify(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], *, client: str, method: str
    ) -> Principal:
        """Return who calls, ANONYMOUS without credentials; raises Unauthorized, Forbidden or TooManyRequests."""
        return await self.accounts.identities.identify(headers, cookies, client=client, method=method)

    def admit(self, principal: Principal, client: str) -> None:
        """Count one request against the limits of the caller and the address; raises TooManyRequests."""
        self.accounts.limits.admit(principal, client)

    async def record(
        self, principal: Principal, action: str, target: str, detail: Mapping[str, Any] | None = None, client: str = ""
    ) -> None:
        """Append one record to the audit log, in the caller's transaction where it is in one."""
        await self.accounts.audit.record(principal, action, target, detail, client)

    async def retention(self, tenant: str) -> Mapping[str, int | None]:
        """Return the days that a tenant's signals are kept; nothing for one that is not listed."""
        try:
            days = (await self.accounts.tenants.find(tenant)).days
        except NotFound:
            return {}
        return {signal.removesuffix("_days"): value for signal, value in days.items()}

    async def removed_tenants(self) -> Sequence[str]:
        """Return the tenants whose telemetry has to be deleted."""
        return await self.accounts.tenants.removed()

    async def telemetry_removed(self, tenant: str) -> None:
        """Take note that a removed tenant has no telemetry any more."""
        from ophion_auth.accounts import SYSTEM

        await self.accounts.tenants.note_telemetry_removed(SYSTEM, tenant)

    def routes(self) -> Sequence[Route]:
        """Return the routes of logins, users, keys, tenants and the audit log."""
        from ophion_auth.routes import routes

        return routes(lambda: self.accounts)

    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Return `subject` and `tenant` of a sender of telemetry; raises Unauthenticated, or RetryableError."""
        first = {name: headers[name][0] for name in ("authorization", "x-api-key") if headers.get(name)}
        if not first and self.config.anonymous_tenant is not None:
            return {"subject": "anonymous", "tenant": self.config.anonymous_tenant}
        try:
            principal = await self.accounts.identities.by_ingest_credentials(first)
        except Unauthorized as error:
            raise Unauthenticated(error.detail) from error
        except Overloaded as error:
            raise RetryableError(error.detail, _RETRY_SECONDS) from error
        if not principal.may(Permission.INGEST):
            raise Unauthenticated(f"key {principal.subject}: may not send telemetry; use an ingest key")
        return {"subject": principal.subject, "tenant": principal.tenant}

    async def _prune(self) -> None:
        while True:
            try:
                await self.accounts.prune()
            except Overloaded as error:
                self.log.warning("prune_failed", error=str(error))
            await self.context.clock.sleep(_PRUNE_SECONDS)
