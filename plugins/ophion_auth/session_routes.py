"""/api/auth: log in and out, renew tokens, ask who one is, change one's password."""

from collections.abc import Sequence
from typing import Final

from ophion_agent.server import BadRequest, Call, Forbidden, Permission, Reply, Route, Unauthorized
from ophion_auth import models
from ophion_auth.accounts import Accounts, OpenedAccounts
from ophion_auth.cookies import expired_cookies, session_cookies
from ophion_auth.sessions import Opened
from ophion_auth.signing import Claims

_TAG: Final = "auth"
_NO_STORE: Final = {"Cache-Control": "no-store"}


class SessionRoutes:
    """Handlers of /api/auth."""

    def __init__(self, opened: OpenedAccounts) -> None:
        self._opened = opened

    @property
    def _accounts(self) -> Accounts:
        return self._opened()

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route(
                "POST", "/api/auth/login", self.login, None, body=models.Login, answer=models.Tokens,
                summary="Log in with name and password; also sets the session's cookies", tag=_TAG,
                errors=(401, 403, 429, 503),
            ),
            Route(
                "POST", "/api/auth/refresh", self.refresh, None, body=models.Refresh, answer=models.Tokens,
                summary="Exchange a refresh token for new tokens", tag=_TAG, errors=(401,),
            ),
            Route(
                "POST", "/api/auth/logout", self.logout, Permission.READ, status=204,
                summary="End the session", tag=_TAG, errors=(400,),
            ),
            Route(
                "GET", "/api/auth/me", self.me, Permission.READ, answer=models.Me, summary="Tell who is calling",
                tag=_TAG,
            ),
            Route(
                "POST", "/api/auth/password", self.password, Permission.READ, body=models.ChangePassword,
                answer=models.Tokens, summary="Change the caller's password; ends all sessions and opens a new one",
                tag=_TAG, errors=(400, 403, 422, 429, 503),
            ),
        ]  # fmt: skip

    async def login(self, call: Call) -> Reply:
        """Answer tokens and set the cookies of a new session."""
        if call.headers.get("sec-fetch-site", "") == "cross-site":
            raise Forbidden("login: comes from another site's page; log in from your own")
        accounts = self._accounts
        user = await accounts.identities.log_in(call.body.username, call.body.password.get_secret_value(), call.client)
        if not user.password_generated:
            accounts.forget_password_file()
        return self._with_cookies(call, await accounts.sessions.open(user, call.client))

    async def refresh(self, call: Call) -> Reply:
        """Answer the next tokens of a session."""
        try:
            opened = await self._accounts.sessions.refresh(call.body.refresh_token, call.client)
        except Unauthorized:
            # The session may have been ended for a token that came twice.
            self._accounts.identities.forget()
            raise
        return Reply(value=self._tokens(opened), headers=_NO_STORE)

    async def logout(self, call: Call) -> Reply:
        """End the session that the caller uses."""
        if call.principal.session is None:
            raise BadRequest("logout: needs a session, got a key or a password; there is nothing to end")
        await self._accounts.sessions.end(call.principal, call.principal.session, call.client)
        self._accounts.identities.forget()
        return Reply(status=204, set_cookies=expired_cookies(secure=call.secure))

    async def me(self, call: Call) -> models.Me:
        """Answer who calls."""
        return models.me(call.principal)

    async def password(self, call: Call) -> Reply:
        """Change the caller's password, once the old one was given."""
        if call.principal.kind != "user":
            raise BadRequest("password: only users have one, got a key; log in")
        accounts = self._accounts
        current = call.body.current_password.get_secret_value()
        try:
            user = await accounts.identities.log_in(call.principal.subject, current, call.client)
        except Unauthorized:
            # 401 would tell a page that its session has ended.
            raise Forbidden("current_password: is wrong") from None
        prepared = await accounts.users.prepare_password(user, call.body.new_password.get_secret_value())
        await accounts.users.store_password(call.principal, user, prepared, call.client)
        accounts.identities.forget()
        if user.password_generated:
            accounts.forget_password_file()
        return self._with_cookies(call, await accounts.sessions.open(user, call.client))

    def _with_cookies(self, call: Call, opened: Opened) -> Reply:
        cookie = opened.cookie.text if opened.cookie is not None else ""
        csrf = self._accounts.signer.csrf(opened.id)
        age = self._accounts.sessions.cookie_seconds
        cookies = session_cookies(cookie, csrf, secure=call.secure, max_age_seconds=age)
        return Reply(value=self._tokens(opened), headers=_NO_STORE, set_cookies=cookies)

    def _tokens(self, opened: Opened) -> models.Tokens:
        signer, user = self._accounts.signer, opened.user
        return models.Tokens(
            access_token=signer.access_token(Claims(user.id, opened.id)),
            expires_in=int(signer.lifetime_seconds),
            refresh_token=opened.refresh.text,
            csrf_token=signer.csrf(opened.id),
            user=models.me(user.principal(opened.id)),
        )
