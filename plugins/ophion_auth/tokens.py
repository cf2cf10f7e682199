"""Random tokens: API keys, ingest keys, refresh tokens and session cookies, all of one form.

`oph_<id>_<secret>`: the id finds the row, and the secret's SHA-256 is compared with the row's in constant time. The
secret has 256 random bits, so a plain hash is enough. The prefix lets scanners find keys published by accident.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

API_KEY: Final = "oph"
INGEST_KEY: Final = "ophi"
REFRESH: Final = "ophr"
SESSION: Final = "ophs"
_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_TOKEN: Final = re.compile(r"(oph|ophi|ophr|ophs)_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token in parts."""

    kind: str
    id: str
    secret: str

    @property
    def text(self) -> str:
        """The token as it is given out."""
        return f"{self.kind}_{self.id}_{self.secret}"

    @property
    def secret_hash(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.secret.encode()).digest()

    def fits(self, secret_hash: bytes) -> bool:
        """Compare with a stored hash in constant time."""
        return hmac.compare_digest(self.secret_hash, secret_hash)

    def __repr__(self) -> str:
        return f"{self.kind}_{self.id}_..."


def new_id() -> str:
    """Return a random id of 16 hexadecimal digits."""
    return secrets.token_hex(8)


def new_token(kind: str, token_id: str = "") -> Token:
    """Return a random token, of a given id where there is one."""
    return Token(kind, token_id or new_id(), secrets.token_urlsafe(32))


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a token."""
    return _ID.fullmatch(text) is not None


def parse_token(text: str, *kinds: str) -> Token | None:
    """Return the token of one of `kinds` that `text` is, else None."""
    match = _TOKEN.fullmatch(text)
    return Token(*match.groups()) if match is not None and match[1] in kinds else None
