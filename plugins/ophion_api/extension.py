"""The `api` extension: collects the routes of every plugin and serves them."""

from __future__ import annotations

from ophion_agent.plugin import Context, Extension
from ophion_agent.server import AUTHORIZER, HTTP_ROUTES, PAGES, Route
from ophion_agent.web import WebServer, server_auth
from ophion_api.config import ApiConfig


class Api(Extension[ApiConfig]):
    """Serves the routes and pages of every plugin, with OpenAPI document, documentation page and health answers."""

    type_name = "api"
    requires = (AUTHORIZER,)
    gathers = (HTTP_ROUTES, PAGES)

    def __init__(self, config: ApiConfig, context: Context) -> None:
        super().__init__(config, context)
        self._server: WebServer | None = None

    async def start(self) -> None:
        """Mount the routes and listen; raise OphionError for a taken address or two routes in one place."""
        from ophion_api.application import Application
        from ophion_api.builtin import builtin_routes
        from ophion_api.problems import error_response

        context = self.context
        routes: list[Route] = [route for source in context.services(HTTP_ROUTES) for route in source.routes()]
        application = Application(self.config, context, context.service(AUTHORIZER))
        application.mount([*builtin_routes(context, lambda: application.routes, self.config.public_url), *routes])
        application.mount_pages(context.services(PAGES))
        server = WebServer(
            self.config,
            application.web,
            auth=server_auth(self.config, context),
            error_response=error_response,
            cancel_with_client=True,
            additional_endpoints=self.config.additional_endpoints,
            report=lambda message: self.log.warning("tls_files_unusable", reason=message),
        )
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stop listening; requests that run get some seconds to end."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def addresses(self) -> list[str]:
        """Return the URL of the API, and those of its further addresses."""
        if self._server is None:
            return []
        return [self.config.public_url or self._server.url, *self._server.urls[1:]]
