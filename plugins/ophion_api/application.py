"""The routes of every plugin in one aiohttp application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from ophion_agent.plugin import Context, OphionError
from ophion_agent.server import Authorizer, PageSource, Route
from ophion_api.builtin import is_probe
from ophion_api.clients import Clients
from ophion_api.config import ApiConfig
from ophion_api.endpoint import Endpoint, Shared, Slots
from ophion_api.exchange import Faults, Observer, middleware
from ophion_api.pages import PageResource, first_part
from ophion_api.sending import Sender

_HEAD: Final = "HEAD"


class Application:
    """An aiohttp application (`web`) and the routes mounted in it."""

    def __init__(self, config: ApiConfig, context: Context, authorizer: Authorizer) -> None:
        faults = Faults(context)
        observer = Observer(context, config, Clients(config), faults)
        self.routes: list[Route] = []
        self.web = web.Application(middlewares=[middleware(observer)])
        self.web.on_response_prepare.append(observer.add_headers)
        self._shared = Shared(
            config,
            context,
            authorizer,
            faults,
            Slots(context, config.max_concurrent_requests),
            Sender(context.clock, config.write_timeout, faults),
        )
        context.gauge("ophion_api_requests_in_flight", lambda: observer.in_flight)

    def mount(self, routes: Sequence[Route]) -> None:
        """Serve the routes; raises OphionError when two answer the same method and path."""
        for route in routes:
            self._refuse_double(route)
            endpoint = Endpoint(route, self._shared, is_probe=is_probe(route))
            self.web.router.add_route(route.method, route.path, endpoint.answer)
            if route.method == "GET":
                self.web.router.add_route(_HEAD, route.path, endpoint.answer)
            self.routes.append(route)

    def mount_pages(self, sources: Sequence[PageSource]) -> None:
        """Serve pages at the paths that no route mounted so far has to do with."""
        taken = {first_part(route.path) for route in self.routes}
        for source in sources:
            self.web.router.register_resource(PageResource(source, taken, self._shared.sender))

    def _refuse_double(self, route: Route) -> None:
        if any((other.method, other.path) == (route.method, route.path) for other in self.routes):
            where = f"{route.method} {route.path}"
            raise OphionError(f"api: {where} is offered by two plugins; remove one of the extensions that offer it")
