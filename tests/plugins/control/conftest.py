"""Control stores on both kinds of database."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ophion_agent.clock import Clock
from ophion_agent.testing import make_component
from ophion_control.store import ControlStoreExtension
from postgres_server import Postgres, running_postgres

SCRIPT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None

def upgrade():
    {body}
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The configuration of an empty store."""
    config: dict[str, Any] = {"directory": str(tmp_path / "control"), "lock_timeout": "5s", "start_timeout": "5s"}
    if request.param == "sqlite":
        yield config
        return
    with request.getfixturevalue("postgres").database() as url:
        yield {**config, "url": url}


OpenStore = Callable[[dict[str, Any]], Awaitable[ControlStoreExtension]]


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    async with AsyncExitStack() as stack:

        async def open_one(config: dict[str, Any]) -> ControlStoreExtension:
            store = make_component(ControlStoreExtension, config, clock=Clock())
            stack.push_async_callback(store.stop)
            await store.start()
            return store

        yield open_one


@pytest.fixture
async def store(config: dict[str, Any], open_store: OpenStore) -> ControlStoreExtension:
    return await open_store(config)


def write_script(scripts: Path, revision: str, before: str | None, body: str) -> None:
    """Add a migration to the scripts of a family."""
    folder = scripts / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n    ".join(body.strip().splitlines())
    (folder / f"{revision}.py").write_text(SCRIPT.format(revision=revision, before=before, body=lines))


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The scripts of a family `notes` with one table."""
    folder = tmp_path / "ophion_notes" / "migrations"
    write_script(
        folder,
        "0001",
        None,
        """op.create_table("notes_note",
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("text", sa.Text, nullable=False, unique=True))""",
    )
    return folder
