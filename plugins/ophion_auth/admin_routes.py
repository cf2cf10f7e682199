"""/api/tenants, for admins of the tenant `default`, and /api/audit, for the admins of each tenant."""

from collections.abc import Sequence
from typing import Final

from ophion_agent.server import DEFAULT_TENANT, BadRequest, Call, Forbidden, Permission, Reply, Route
from ophion_auth import models
from ophion_auth.accounts import Accounts, OpenedAccounts
from ophion_auth.records import chosen_tenant, is_platform_admin

_TAG: Final = "tenants"


class AdminRoutes:
    """Handlers of /api/tenants and /api/audit."""

    def __init__(self, opened: OpenedAccounts) -> None:
        self._opened = opened

    @property
    def _accounts(self) -> Accounts:
        return self._opened()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "GET", "/api/tenants", self.listed, Permission.ADMIN, answer=list[models.TenantAnswer],
                summary="List tenants", tag=_TAG, errors=(403,),
            ),
            Route(
                "POST", "/api/tenants", self.create, Permission.ADMIN, body=models.NewTenant,
                answer=models.TenantAnswer, status=201, summary="Add a tenant", tag=_TAG, errors=(403, 409, 422),
            ),
            Route(
                "GET", "/api/tenants/{name}", self.get, Permission.ADMIN, answer=models.TenantAnswer,
                summary="Get a tenant", tag=_TAG, errors=(403, 404),
            ),
            Route(
                "PATCH", "/api/tenants/{name}", self.change, Permission.ADMIN, body=models.ChangedTenant,
                answer=models.TenantAnswer, summary="Change a tenant's retention", tag=_TAG, errors=(403, 404),
            ),
            Route(
                "DELETE", "/api/tenants/{name}", self.remove, Permission.ADMIN, query=models.RemoveTenant, status=204,
                summary="Remove a tenant with its users, keys and telemetry", tag=_TAG, errors=(403, 404, 409, 422),
            ),
            Route(
                "GET", "/api/audit", self.audit, Permission.ADMIN, query=models.AuditQuery, answer=models.AuditPage,
                summary="List changes, newest first", tag="audit", errors=(403,),
            ),
        ]  # fmt: skip

    async def listed(self, call: Call) -> list[models.TenantAnswer]:
        """Answer all tenants."""
        _only_platform_admins(call)
        return [models.tenant_answer(tenant) for tenant in await self._accounts.tenants.listed()]

    async def create(self, call: Call) -> models.TenantAnswer:
        """Add a tenant."""
        _only_platform_admins(call)
        body: models.NewTenant = call.body
        return models.tenant_answer(
            await self._accounts.tenants.create(call.principal, body.name, body.days(), call.client)
        )

    async def get(self, call: Call) -> models.TenantAnswer:
        """Answer one tenant."""
        _only_platform_admins(call)
        return models.tenant_answer(await self._accounts.tenants.find(call.path["name"]))

    async def change(self, call: Call) -> models.TenantAnswer:
        """Change a tenant's retention."""
        _only_platform_admins(call)
        days = call.body.days()
        changed = await self._accounts.tenants.change(call.principal, call.path["name"], days, call.client)
        return models.tenant_answer(changed)

    async def remove(self, call: Call) -> Reply:
        """Remove a tenant; its telemetry is deleted soon after."""
        _only_platform_admins(call)
        name, confirmed = call.path["name"], call.query.confirm
        if confirmed != name:
            raise BadRequest(
                f'confirm: must be the name of the tenant to remove, got "{confirmed}"; say it', status=422
            )
        await self._accounts.tenants.remove(call.principal, name, call.client)
        self._accounts.identities.forget()
        return Reply(status=204)

    async def audit(self, call: Call) -> models.AuditPage:
        """Answer one page of the audit log."""
        query: models.AuditQuery = call.query
        filters = {"tenant": chosen_tenant(call.principal, query.tenant)}
        wanted = {"principal": query.principal, "action": query.action, "target": query.target}
        filters |= {column: value for column, value in wanted.items() if value is not None}
        rows = await self._accounts.audit.page(
            filters,
            since_ms=models.ms_of(query.since) if query.since is not None else None,
            until_ms=models.ms_of(query.until) if query.until is not None else None,
            before=int(query.cursor) if query.cursor is not None else None,
            limit=query.limit + 1,
        )
        records = [models.AuditEntry(at=models.moment(row.pop("at_ms")), **row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return models.AuditPage(records=records, next_cursor=str(records[-1].id) if more else None)


def _only_platform_admins(call: Call) -> None:
    if not is_platform_admin(call.principal):
        raise Forbidden(f"tenants are managed by admins of the tenant {DEFAULT_TENANT}; ask one")
