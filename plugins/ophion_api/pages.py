"""Pages for people, at the paths that no route has to do with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aiohttp import web

from ophion_agent.server import PageSource
from ophion_api.exchange import exchange_of
from ophion_api.problems import error_response
from ophion_api.sending import Sender

_METHODS: Final = ("GET", "HEAD")
# Pages are one series of the request counters: their paths are made up by whoever asks.
_COUNTED_AS: Final = "pages"


def first_part(path: str) -> str:
    """Return what stands before the second slash: `api` of `/api/traces`."""
    return path.removeprefix("/").partition("/")[0]


class PageResource(web.DynamicResource):
    """Matches what its source has a page for, so that unknown paths and methods are refused as without it."""

    def __init__(self, source: PageSource, taken: Collection[str], sender: Sender) -> None:
        super().__init__("/{path:.*}")
        self._source = source
        self._taken = frozenset(taken)
        self._sender = sender
        for method in _METHODS:
            self.add_route(method, self._answer)

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """Return a match where there is a page, else none and no method that would do."""
        if request.method not in _METHODS or first_part(request.path) in self._taken or not self._has(request):
            return None, set()
        return await super().resolve(request)

    def _has(self, request: web.Request) -> bool:
        return self._source.page(request.path, request.headers) is not None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        exchange_of(request).route = _COUNTED_AS
        reply = self._source.page(request.path, request.headers)
        return error_response(request, 404, "") if reply is None else await self._sender.send(request, reply)
