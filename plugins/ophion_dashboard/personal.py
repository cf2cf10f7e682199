"""What each user chose for themselves: stars, and the dashboard they see first."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from ophion_agent.server import ControlStore, Principal
from ophion_dashboard.tables import HOMES, STARS


class Personal:
    """The choices of all users."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def stars(self, principal: Principal) -> set[str]:
        """Return the uids of the dashboards that the caller starred."""
        query = select(STARS.c.uid).where(STARS.c.tenant == principal.tenant, STARS.c.subject == principal.subject)
        async with self._store.session() as session:
            return set((await session.execute(query)).scalars())

    async def star(self, principal: Principal, uid: str, *, is_starred: bool) -> None:
        """Star a dashboard, or take the star away; harmless twice."""
        place = {"tenant": principal.tenant, "subject": principal.subject, "uid": uid}
        async with self._store.session() as session:
            await session.execute(delete(STARS).filter_by(**place))
            if is_starred:
                await session.execute(insert(STARS).values(place))

    async def home(self, principal: Principal) -> str | None:
        """Return the uid of the dashboard that the caller sees first, None for the overview."""
        query = select(HOMES.c.uid).where(HOMES.c.tenant == principal.tenant, HOMES.c.subject == principal.subject)
        async with self._store.session() as session:
            found: str | None = (await session.execute(query)).scalar()
        return found

    async def set_home(self, principal: Principal, uid: str | None) -> None:
        """Choose the dashboard that the caller sees first; None for the overview."""
        place = {"tenant": principal.tenant, "subject": principal.subject}
        async with self._store.session() as session:
            await session.execute(delete(HOMES).filter_by(**place))
            if uid is not None:
                await session.execute(insert(HOMES).values(**place, uid=uid))
