"""/api/users: admins manage the users of their tenant, admins of `default` those of every tenant."""

from collections.abc import Sequence
from typing import Final

from ophion_agent.server import Call, Permission, Reply, Route
from ophion_auth import models
from ophion_auth.accounts import Accounts, OpenedAccounts
from ophion_auth.records import chosen_tenant

_TAG: Final = "users"


class UserRoutes:
    """Handlers of /api/users."""

    def __init__(self, opened: OpenedAccounts) -> None:
        self._opened = opened

    @property
    def _accounts(self) -> Accounts:
        return self._opened()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/users", self.listed, Permission.ADMIN, query=models.TenantQuery,
                answer=list[models.UserAnswer], summary="List users", tag=_TAG,
            ),
            Route(
                "POST", "/api/users", self.create, Permission.ADMIN, body=models.NewUser, answer=models.CreatedUser,
                status=201, summary="Add a user", tag=_TAG, errors=(403, 404, 409, 422, 503),
            ),
            Route(
                "GET", "/api/users/{username}", self.get, Permission.ADMIN, answer=models.UserAnswer,
                summary="Get a user", tag=_TAG, errors=(404,),
            ),
            Route(
                "PATCH", "/api/users/{username}", self.change, Permission.ADMIN, body=models.ChangedUser,
                answer=models.UserAnswer, summary="Change role, state or password of a user", tag=_TAG,
                errors=(404, 409, 422, 503),
            ),
            Route(
                "DELETE", "/api/users/{username}", self.remove, Permission.ADMIN, status=204,
                summary="Remove a user with sessions and API keys", tag=_TAG, errors=(404, 409),
            ),
        ]  # fmt: skip

    async def listed(self, call: Call) -> list[models.UserAnswer]:
        """Answer the users of a tenant."""
        users = await self._accounts.users.of_tenant(chosen_tenant(call.principal, call.query.tenant))
        return [models.UserAnswer(**models.user_answer(user)) for user in users]

    async def create(self, call: Call) -> models.CreatedUser:
        """Add a user."""
        body: models.NewUser = call.body
        tenant = chosen_tenant(call.principal, body.tenant)
        password = body.password.get_secret_value() if body.password is not None else None
        user, generated = await self._accounts.users.create(
            call.principal, body.username, password, body.role, tenant, call.client
        )
        return models.CreatedUser(**models.user_answer(user), password=generated)

    async def get(self, call: Call) -> models.UserAnswer:
        """Answer one user."""
        user = await self._accounts.users.seen_by(call.principal, call.path["username"])
        return models.UserAnswer(**models.user_answer(user))

    async def change(self, call: Call) -> models.UserAnswer:
        """Change a user, all of it or nothing."""
        body: models.ChangedUser = call.body
        users = self._accounts.users
        user = await users.seen_by(call.principal, call.path["username"])
        password = body.password.get_secret_value() if body.password is not None else None
        prepared = await users.prepare_password(user, password) if password is not None else None
        async with self._accounts.store.session():
            if body.role is not None or body.disabled is not None:
                await users.change(call.principal, user, role=body.role, disabled=body.disabled, client=call.client)
            if prepared is not None:
                await users.store_password(call.principal, user, prepared, client=call.client)
                await self._accounts.logins.unlock(user.name)
        self._accounts.identities.forget()
        changed = await users.seen_by(call.principal, user.name)
        return models.UserAnswer(**models.user_answer(changed))

    async def remove(self, call: Call) -> Reply:
        """Remove a user."""
        user = await self._accounts.users.seen_by(call.principal, call.path["username"])
        await self._accounts.users.remove(call.principal, user, call.client)
        self._accounts.identities.forget()
        return Reply(status=204)
