"""One real engine for all tests of the family, and clients of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from docker_engine import Docker, running_docker
from ophion_docker.engine import Engine


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A running engine that only the tests of this process use."""
    with running_docker() as started:
        yield started


@pytest.fixture
async def engine(docker: Docker) -> AsyncIterator[Engine]:
    """A client of the engine; the containers that a test leaves are removed."""
    async with docker.client() as client:
        yield client
        for container in await client.containers(every=True):
            await client.remove(container["Id"], force=True, volumes=True)


@pytest.fixture
async def shell(docker: Docker, engine: Engine) -> str:
    """The name of an image with a shell."""
    return await docker.image(engine, "shell:1.0", ["sh", "sleep", "cat", "printf", "echo", "seq"])
