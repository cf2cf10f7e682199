"""What a server plugin offers over HTTP: typed routes, without any web framework in them.

A route names what it takes and what it answers as pydantic models, so that one description checks requests, encodes
answers and becomes the OpenAPI document:

    Route("GET", "/api/greetings/{name}", greet, Permission.READ, answer=Greeting, summary="Greet somebody")

    async def greet(call: Call) -> Greeting:
        return Greeting(text=f"hello {call.path['name']}")
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from ophion_agent.server.principals import ANONYMOUS, Permission, Principal
from ophion_agent.server.problems import Problem

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: `query` and `body` are instances of the route's models.

    `raw` is the body as it came, for routes with `body=bytes`. Header names are lower case.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    raw: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    secure: bool = False
    principal: Principal = ANONYMOUS

    @property
    def tenant(self) -> str:
        """The tenant whose data this call may see."""
        return self.principal.tenant


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is encoded already, or one with a status or headers of its own.

    `set_cookies` are whole Set-Cookie values. `value`, where given, is encoded by the route's answer model.
    """

    body: bytes = b""
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    set_cookies: Sequence[str] = ()
    value: Any = None


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is sent piece by piece; the iterator is closed when the client goes away."""

    chunks: AsyncIterator[bytes]
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    answer: Any = None
    query: type[BaseModel] | None = None
    body: Any = None
    status: int = 200
    media_type: str = "application/json"
    summary: str = ""
    description: str = ""
    tag: str = ""
    errors: tuple[int, ...] = ()
    form: bool = False
    documented: bool = True
    max_body_bytes: int = 1 << 20
    problem_reply: Callable[[Problem], Reply] | None = None


@dataclass(frozen=True, slots=True)
class Route(_Described):
    """One method on one path.

    `access` is the permission that a caller needs; None lets everybody in and belongs into the table of public routes
    of docs/security.md. `body` is a model for JSON or `bytes`; with `form` the fields of `query` are also taken from a
    urlencoded body. `answer` is anything pydantic can describe. `errors` names the statuses that the handler itself
    answers with. `problem_reply` replaces problem documents where a foreign protocol has its own form of error.
    """

    method: Method
    path: str
    handler: Handler
    access: Permission | None
