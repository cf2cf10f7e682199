"""Hashing off the event loop, in a bounded pool."""

import asyncio
import threading

import pytest

from ophion_agent.server import Overloaded
from ophion_auth.config import PasswordHashing
from ophion_auth.passwords import Passwords, new_password

CHEAP = {"time_cost": 1, "memory": 8 << 10, "parallelism": 1}


@pytest.fixture
async def passwords():
    passwords = Passwords(PasswordHashing(**CHEAP, workers=1, queue_size=2))
    await passwords.start()
    yield passwords
    passwords.stop()


async def test_a_password_fits_its_hash_alone(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "wrong horse")
    assert not await passwords.verify(None, "correct horse")
    assert not await passwords.verify("no hash at all", "correct horse")


async def test_the_way_of_typing_makes_no_difference(passwords: Passwords) -> None:
    assert await passwords.verify(await passwords.hash("cafe\u0301 au lait"), "caf\u00e9 au lait")


async def test_more_than_fits_the_queue_is_refused(passwords: Passwords) -> None:
    release, loop = threading.Event(), asyncio.get_running_loop()
    running = [loop.create_task(passwords._off_the_loop(release.wait)) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="too many logins at once; try again later"):
        await passwords.hash("correct horse")

    running[0].cancel()  # Nobody waits, and the thread is busy all the same.
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await passwords.hash("correct horse")
    release.set()
    await asyncio.gather(*running, return_exceptions=True)
    await passwords.hash("correct horse")


async def test_refuses_work_after_the_end(passwords: Passwords) -> None:
    passwords.stop()

    with pytest.raises(Overloaded, match="the server is stopping"):
        await passwords.hash("correct horse")


def test_generated_passwords_are_random() -> None:
    assert len({new_password() for _ in range(100)}) == 100
    assert all(len(new_password()) == 24 for _ in range(10))
