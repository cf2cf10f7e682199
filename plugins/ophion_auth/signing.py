"""Everything that the server's secret signs: access tokens (RFC 7519), CSRF tokens and keyed digests."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from ophion_agent.plugin import Clock, OphionError
from ophion_agent.server import Unauthorized

SHORTEST_SECRET: Final = 32
_REMEDY: Final = "make one with `openssl rand -hex 32`"
# What documentation and templates have in the place of a secret.
_EXAMPLES: Final = (
    "change",
    "default",
    "example",
    "insecure",
    "password",
    "placeholder",
    "replace",
    "sample",
    "secret",
    "your-",
    "your_",
)
_FEWEST_CHARACTERS: Final = 8
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "ophion"
_EXPIRED: Final = "access token: has ended; get another one from POST /api/auth/refresh"
_WRONG: Final = "access token: is not one of this server; get one from POST /api/auth/login"


def check_secret(secret: str) -> str:
    """Return a secret that is fit to sign with; OphionError says what is wrong without showing it."""
    if len(secret.encode()) < SHORTEST_SECRET:
        got = f"got {len(secret.encode())}"
        raise OphionError(f"auth: secret (API_SECRET) must have at least {SHORTEST_SECRET} bytes, {got}; {_REMEDY}")
    if any(example in secret.lower() for example in _EXAMPLES) or len(set(secret)) < _FEWEST_CHARACTERS:
        raise OphionError(f"auth: secret (API_SECRET) must be random, got an example value; {_REMEDY}")
    return secret


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says: whose it is, and of which session."""

    user_id: str
    session_id: str


class Signer:
    """Signs with keys that are derived from one secret, so that nothing signed for one use fits another."""

    def __init__(self, secret: str, clock: Clock, lifetime_seconds: float) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self.lifetime_seconds = lifetime_seconds
        self._access_key = self._derived("access token")
        self._csrf_key = self._derived("csrf")
        self._digest_key = self._derived("digest")

    def access_token(self, claims: Claims) -> str:
        """Return a signed token for `lifetime_seconds`."""
        import jwt

        now = self._clock.now_ns() // 1_000_000_000
        payload = {
            "iss": _ISSUER,
            "sub": claims.user_id,
            "sid": claims.session_id,
            "iat": now,
            "exp": now + int(self.lifetime_seconds),
        }
        return jwt.encode(payload, self._access_key, algorithm=_ALGORITHM)

    def claims(self, token: str) -> Claims:
        """Return what a token says; raises Unauthorized when it was not signed here or has ended."""
        import jwt

        try:
            payload = jwt.decode(
                token,
                self._access_key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                # The component's clock judges the time, not the library's.
                options={
                    "require": ["exp", "sub", "sid", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                },
            )
        except (jwt.PyJWTError, ValueError):
            raise Unauthorized(_WRONG, 'Bearer error="invalid_token"') from None
        expires, user_id, session_id = payload["exp"], payload["sub"], payload["sid"]
        if not isinstance(expires, int) or not isinstance(user_id, str) or not isinstance(session_id, str):
            raise Unauthorized(_WRONG, 'Bearer error="invalid_token"')
        if expires <= self._clock.now_ns() // 1_000_000_000:
            raise Unauthorized(_EXPIRED, 'Bearer error="invalid_token"')
        return Claims(user_id, session_id)

    def csrf(self, session_id: str) -> str:
        """Return the CSRF token of a session."""
        return hmac.new(self._csrf_key, session_id.encode(), hashlib.sha256).hexdigest()

    def is_csrf(self, session_id: str, token: str) -> bool:
        """Compare a CSRF token with the session's in constant time."""
        return hmac.compare_digest(self.csrf(session_id).encode(), token.encode("utf-8", "surrogateescape"))

    def digest(self, text: str) -> bytes:
        """Return a digest that tells nothing without the secret: memory holds no password that was sent."""
        return hmac.new(self._digest_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def _derived(self, use: str) -> bytes:
        return hmac.new(self._secret, f"ophion {use}".encode(), hashlib.sha256).digest()
