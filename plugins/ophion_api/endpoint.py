"""What happens to a request for one route, from the caller's identity to the answer. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from ophion_agent.plugin import Context
from ophion_agent.server import (
    ANONYMOUS,
    Authorizer,
    Call,
    Forbidden,
    Overloaded,
    Permission,
    Principal,
    Problem,
    Reply,
    Route,
    Stream,
    Unauthorized,
)
from ophion_api.answers import Answers
from ophion_api.config import ApiConfig
from ophion_api.exchange import Exchange, Faults, exchange_of
from ophion_api.inputs import Inputs, plain_path
from ophion_api.problems import as_problem, problem_reply
from ophion_api.sending import Begun, Sender, begin


@dataclass(slots=True)
class Slots:
    """How many requests are answered at once; what is beyond the limit is refused and counted."""

    context: Context
    limit: int
    taken: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot; raises Overloaded when there is none."""
        if self.taken >= self.limit:
            self.context.counter("ophion_api_refused", reason="concurrency").add()
            raise Overloaded(f"the server answers {self.limit} requests already; try again later")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(frozen=True, slots=True)
class Shared:
    """What all routes of the server have in common."""

    config: ApiConfig
    context: Context
    authorizer: Authorizer
    faults: Faults
    slots: Slots
    sender: Sender


class Endpoint:
    """Answers the requests for one route. `is_probe` routes answer even when the server has no slot to spare."""

    def __init__(self, route: Route, shared: Shared, *, is_probe: bool = False) -> None:
        self._route = route
        self._shared = shared
        self._is_probe = is_probe
        self._inputs = Inputs(route, shared.config)
        self._answers = Answers(route)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer the request; whatever goes wrong becomes a problem document."""
        exchange_of(request).route = self._route.path
        sender = self._shared.sender
        try:
            if self._is_probe:
                return await sender.send(request, await self._reply(request))
            with self._shared.slots.one():
                return await sender.send(request, await self._reply(request))
        except Overloaded as problem:
            return await sender.send(request, self._problem(problem, request))

    async def _reply(self, request: web.Request) -> Reply | Begun:
        started, limit = self._shared.context.clock.monotonic(), self._shared.config.request_timeout
        try:
            return await self._shared.context.clock.wait_for(self._handle(request), limit)
        except Exception as error:  # noqa: BLE001 - what is no answer on purpose is logged, counted and told as a 500
            is_late = isinstance(error, TimeoutError) and self._shared.context.clock.monotonic() - started >= limit
            if is_late:
                self._shared.context.counter("ophion_api_refused", reason="timeout").add()
                remedy = "ask for less at once, or raise `request_timeout`"
                error = Overloaded(f"the answer took longer than {limit:g} s; {remedy}")
            return self._problem(as_problem(error) or self._shared.faults.problem(request), request)

    async def _handle(self, request: web.Request) -> Reply | Begun:
        exchange = exchange_of(request)
        headers = _headers(request)
        principal = await self._principal(request, exchange, headers)
        raw = await self._inputs.read(request)
        call = Call(
            path=plain_path(request.match_info),
            query=self._inputs.query(request, raw),
            body=self._inputs.body(request, raw),
            raw=raw,
            headers=headers,
            cookies=request.cookies,
            client=exchange.client.address,
            secure=exchange.client.secure,
            principal=principal,
        )
        answer = self._answers.of(await self._route.handler(call))
        return await begin(answer) if isinstance(answer, Stream) else answer

    async def _principal(self, request: web.Request, exchange: Exchange, headers: Mapping[str, str]) -> Principal:
        """Return who calls, if they may; callers of public routes are not asked, so a stale cookie locks nobody out."""
        client, authorizer = exchange.client.address, self._shared.authorizer
        permission = self._route.access
        if permission is None:
            self._admit(ANONYMOUS, client)
            return ANONYMOUS
        try:
            principal = await authorizer.identify(headers, request.cookies, client=client, method=request.method)
        except Unauthorized:
            # Somebody who tries credentials uses up the limit of the address.
            self._admit(ANONYMOUS, client)
            raise
        exchange.subject = principal.subject
        self._admit(principal, client)
        check_permission(principal, permission)
        return principal

    def _admit(self, principal: Principal, client: str) -> None:
        try:
            self._shared.authorizer.admit(principal, client)
        except Problem:
            self._shared.context.counter("ophion_api_refused", reason="rate_limit").add()
            raise

    def _problem(self, problem: Problem, request: web.Request) -> Reply:
        own: Callable[[Problem], Reply] | None = self._route.problem_reply
        if own is not None:
            return own(problem)
        return problem_reply(problem, request.path)


def check_permission(principal: Principal, permission: Permission) -> None:
    """Raise Unauthorized for an anonymous caller and Forbidden for one without the permission."""
    if principal.kind == "anonymous":
        raise Unauthorized("this needs credentials; sign in, or send an API key as `Authorization: Bearer KEY`")
    if not principal.may(permission):
        raise Forbidden(f'this needs the permission "{permission}"; ask an administrator for it')


def _headers(request: web.Request) -> dict[str, str]:
    """Return lower-case name -> value; the values of a header that came several times are joined (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
