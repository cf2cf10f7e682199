"""Passwords as Apache's htpasswd writes them."""

import hmac
from collections.abc import Callable, Mapping
from typing import Final

from ophion_agent.plugin import OphionError

_SCHEMES: Final = ("bcrypt", "apr_md5_crypt", "ldap_sha1", "ldap_salted_sha1", "sha256_crypt", "sha512_crypt")
_REMEDY: Final = "make one with `htpasswd -nB USER`"
# bcrypt looks at no more than this, and the library refuses what Apache cuts off.
_BCRYPT_BYTES: Final = 72

Check = Callable[[bytes], bool]


class PasswordEntries:
    """Users and their passwords. `has_plain_text` tells whether any password is not hashed."""

    def __init__(self, checks: Mapping[str, Check], has_plain_text: bool) -> None:
        self._checks = checks
        self.has_plain_text = has_plain_text

    def __len__(self) -> int:
        return len(self._checks)

    def overridden_by(self, other: "PasswordEntries") -> "PasswordEntries":
        """Return the entries of both; for a user in both, those of `other`."""
        return PasswordEntries({**self._checks, **other._checks}, self.has_plain_text or other.has_plain_text)

    def verify(self, user: str, password: bytes) -> bool:
        """Tell whether the password is the user's; slow on purpose, so to be called in a thread."""
        check = self._checks.get(user)
        if check is None:
            # An unknown user costs what a known one does, so that the time does not tell who exists.
            for other in self._checks.values():
                other(password)
                break
            return False
        return check(password)


def parse_htpasswd(text: str, where: str, *, plain_text: bool) -> PasswordEntries:
    """Return the entries of `user:hash` lines: bcrypt, apr1, {SHA}, {SSHA}, sha256 and sha512 crypt.

    `plain_text` allows passwords that are not hashed. Raises OphionError with the line, never with the password.
    """
    checks: dict[str, Check] = {}
    has_plain_text = False
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        user, colon, password = entry.partition(":")
        if not colon or not user or not password:
            raise OphionError(f"{where}, line {number}: must be user:password, got something else; {_REMEDY}")
        check = _hash_check(password)
        if check is None:
            if password.startswith(("$", "{")) or not plain_text:
                raise OphionError(f"{where}, line {number}: unknown form of password hash for {user!r}; {_REMEDY}")
            has_plain_text = True
            check = _plain_check(password)
        checks[user] = check
    return PasswordEntries(checks, has_plain_text)


def _hash_check(encoded: str) -> Check | None:
    from passlib.context import CryptContext

    context = CryptContext(list(_SCHEMES))
    scheme = context.identify(encoded)
    if scheme is None:
        return None

    def check(password: bytes) -> bool:
        return bool(context.verify(password[:_BCRYPT_BYTES] if scheme == "bcrypt" else password, encoded))

    return check


def _plain_check(known: str) -> Check:
    return lambda password: hmac.compare_digest(password, known.encode())
