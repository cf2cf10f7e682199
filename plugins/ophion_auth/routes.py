"""The routes of this family."""

from collections.abc import Sequence

from ophion_agent.server import Route
from ophion_auth.accounts import OpenedAccounts
from ophion_auth.admin_routes import AdminRoutes
from ophion_auth.key_routes import KeyRoutes
from ophion_auth.session_routes import SessionRoutes
from ophion_auth.user_routes import UserRoutes


def routes(accounts: OpenedAccounts) -> Sequence[Route]:
    """Return every route: sessions, users, keys, tenants, audit log. `accounts` is asked at each call only."""
    groups = (SessionRoutes(accounts), UserRoutes(accounts), KeyRoutes(accounts), AdminRoutes(accounts))
    return [route for group in groups for route in group.routes()]
