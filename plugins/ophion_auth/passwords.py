"""Argon2id hashes of passwords, made off the event loop by a bounded pool of threads."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from ophion_agent.server import BadRequest, Overloaded
from ophion_auth.config import PasswordHashing

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")
SHORTEST: Final = 12
LONGEST_BYTES: Final = 1024
_RETRY_SECONDS: Final = 2.0


class Passwords:
    """Hashes and verifies. An unknown user costs as much as a known one: a hash is verified for both."""

    def __init__(self, config: PasswordHashing) -> None:
        self._config = config
        self._pool: ThreadPoolExecutor | None = None
        self._hasher: PasswordHasher | None = None
        self._nobody = ""
        self._running = 0

    async def start(self) -> None:
        """Start the threads."""
        from argon2 import PasswordHasher, Type

        config = self._config
        self._hasher = PasswordHasher(config.time_cost, config.memory >> 10, config.parallelism, type=Type.ID)
        self._pool = ThreadPoolExecutor(config.workers, thread_name_prefix="ophion-passwords")
        self._nobody = await self.hash(secrets.token_urlsafe(32))

    def stop(self) -> None:
        """End the threads once their hash is done; what waits is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    async def hash(self, password: str) -> str:
        """Return the hash to store."""
        data = _bytes(password)
        return await self._off_the_loop(lambda: self._ready().hash(data))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password fits the hash; None, for an unknown user, takes as long and is never right."""
        from argon2.exceptions import InvalidHashError, VerificationError

        data = _bytes(password)

        def work() -> bool:
            try:
                return self._ready().verify(stored or self._nobody, data)
            except (VerificationError, InvalidHashError):
                return False

        right = await self._off_the_loop(work)
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Tell whether the hash was made with other costs than are configured now."""
        return self._ready().check_needs_rehash(stored)

    def _ready(self) -> "PasswordHasher":
        if self._hasher is None:
            raise RuntimeError("passwords: must be started first")
        return self._hasher

    async def _off_the_loop(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            raise Overloaded("passwords: the server is stopping; try again later", _RETRY_SECONDS)
        if self._running >= self._config.workers + self._config.queue_size:
            raise Overloaded("passwords: too many logins at once; try again later", _RETRY_SECONDS)
        self._running += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # Counted until the thread is done, also where nobody waits any more.
        future.add_done_callback(self._finished)
        return await asyncio.shield(future)

    def _finished(self, future: "asyncio.Future[T]") -> None:
        self._running -= 1
        if not future.cancelled():
            future.exception()


def check_password(password: str, user: str) -> str:
    """Return a password that is fit to be set; raises BadRequest with the rule otherwise (NIST SP 800-63B, 5.1.1)."""
    if len(password) < SHORTEST:
        detail = f"password: must have at least {SHORTEST} characters, got {len(password)}; use a longer one"
        raise BadRequest(detail, status=422)
    if len(_bytes(password)) > LONGEST_BYTES:
        raise BadRequest(f"password: must have at most {LONGEST_BYTES} bytes; use a shorter one", status=422)
    if password.casefold() == user.casefold() or len(set(password)) < 4:
        raise BadRequest("password: must not be the user's name or one character again and again", status=422)
    return password


def new_password() -> str:
    """Return a random password of 144 bits."""
    return secrets.token_urlsafe(18)


def _bytes(password: str) -> bytes:
    """Return what is hashed: one form for all ways of typing the same characters (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
