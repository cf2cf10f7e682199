"""/api/keys: users make keys for themselves, admins see and revoke all of their tenant."""

from collections.abc import Sequence
from typing import Final

from ophion_agent.server import Call, Permission, Reply, Route
from ophion_auth import models
from ophion_auth.accounts import Accounts, OpenedAccounts
from ophion_auth.records import KeyRecord, chosen_tenant

_TAG: Final = "keys"


class KeyRoutes:
    """Handlers of /api/keys."""

    def __init__(self, opened: OpenedAccounts) -> None:
        self._opened = opened

    @property
    def _accounts(self) -> Accounts:
        return self._opened()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/keys", self.listed, Permission.READ, query=models.TenantQuery,
                answer=list[models.KeyAnswer], summary="List keys: one's own, or all as an admin", tag=_TAG,
                errors=(403,),
            ),
            Route(
                "POST", "/api/keys", self.create, Permission.READ, body=models.NewKey, answer=models.CreatedKey,
                status=201, summary="Make a key; the answer is the only place that shows it", tag=_TAG,
                errors=(403, 404, 422),
            ),
            Route(
                "DELETE", "/api/keys/{id}", self.revoke, Permission.READ, status=204, summary="Revoke a key", tag=_TAG,
                errors=(404,),
            ),
        ]  # fmt: skip

    async def listed(self, call: Call) -> list[models.KeyAnswer]:
        """Answer the keys that the caller may see."""
        tenant = chosen_tenant(call.principal, call.query.tenant)
        # Machine keys have no user: without the permission to see all, a caller of that kind sees none.
        owner = None if call.principal.may(Permission.ADMIN) else (await self._owner(call) or "-")
        keys = await self._accounts.keys.listed(tenant, owner)
        return [models.KeyAnswer(**models.key_answer(key)) for key in keys]

    async def create(self, call: Call) -> models.CreatedKey:
        """Make a key."""
        body: models.NewKey = call.body
        tenant = chosen_tenant(call.principal, body.tenant)
        parent = await self._calling_key(call)
        ends = [models.ms_of(body.expires_at)] if body.expires_at is not None else []
        # A key that a key makes ends no later than that one.
        ends += [parent.expires_ms] if parent is not None and parent.expires_ms is not None else []
        # A user's own key lives in the user's tenant; for another one it belongs to a machine there.
        owner = await self._owner(call) if tenant == call.tenant else None
        record, token = await self._accounts.keys.create(
            call.principal, body.name, kind=body.kind, tenant=tenant, scopes=body.scopes, user_id=owner,
            expires_ms=min(ends, default=None), client=call.client,
        )  # fmt: skip
        return models.CreatedKey(**models.key_answer(record), key=token.text)

    async def revoke(self, call: Call) -> Reply:
        """Revoke a key."""
        await self._accounts.keys.revoke(call.principal, call.path["id"], await self._owner(call), call.client)
        self._accounts.identities.forget()
        return Reply(status=204)

    async def _owner(self, call: Call) -> str | None:
        """Return the id of the user that the caller is or acts for."""
        if call.principal.kind == "user":
            user = await self._accounts.users.find(call.principal.subject)
            return user.id if user is not None else None
        key = await self._calling_key(call)
        return key.user_id if key is not None else None

    async def _calling_key(self, call: Call) -> KeyRecord | None:
        return await self._accounts.keys.find(call.principal.subject) if call.principal.kind == "api_key" else None
