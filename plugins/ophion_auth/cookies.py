"""Set-Cookie values of a session (RFC 6265bis)."""

from ophion_auth.credentials import CSRF_COOKIE, SECURE_PREFIX, SESSION_COOKIE


def session_cookies(session: str, csrf: str, *, secure: bool, max_age_seconds: float) -> list[str]:
    """Return the cookies of a new session: its secret, which no script can read, and the CSRF token, which pages read.

    The session's is Lax and not Strict, so that a link to the dashboard opens it; every change needs the CSRF token.
    """
    age = f"Max-Age={int(max_age_seconds)}"
    return [
        _cookie(SESSION_COOKIE, session, secure, "HttpOnly", "SameSite=Lax", age),
        _cookie(CSRF_COOKIE, csrf, secure, "SameSite=Strict", age),
    ]


def expired_cookies(*, secure: bool) -> list[str]:
    """Return what makes a browser forget its session."""
    return [
        _cookie(SESSION_COOKIE, "", secure, "HttpOnly", "SameSite=Lax", "Max-Age=0"),
        _cookie(CSRF_COOKIE, "", secure, "SameSite=Strict", "Max-Age=0"),
    ]


def _cookie(name: str, value: str, secure: bool, *attributes: str) -> str:
    prefix, flag = (SECURE_PREFIX, ("Secure",)) if secure else ("", ())
    return "; ".join([f"{prefix}{name}={value}", "Path=/", *attributes, *flag])
