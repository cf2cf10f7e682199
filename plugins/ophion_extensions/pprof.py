"""Shows where a running agent spends its time and memory; costs nothing until it is asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from ophion_agent.plugin import Context, Endpoint, Extension, OphionError
from ophion_agent.web import HTTPServerConfig, WebServer, server_auth
from ophion_extensions.browser_guard import guard
from ophion_extensions.pprof_flamegraph import STYLE, flamegraph
from ophion_extensions.pprof_format import collapsed, pprof
from ophion_extensions.pprof_reports import heap_report, stacks_report
from ophion_extensions.pprof_sampling import Profile, Sampler

if TYPE_CHECKING:
    from aiohttp import web

_DEFAULT_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 120.0
_SWITCH_SECONDS: Final = 0.0005
_FORMATS: Final = ("pprof", "collapsed", "html")
_INDEX: Final = """/debug/pprof/profile    where time goes; ?seconds=10&format=pprof|collapsed|html
/debug/pprof/heap       what is in memory
/debug/pprof/goroutine  the stacks of tasks and threads

go tool pprof -http=: 'http://{host}/debug/pprof/profile?seconds=10'
"""


class PprofConfig(HTTPServerConfig):
    """Where the profiles are served."""

    endpoint: Endpoint = Field("localhost:1777", description="Address to listen on.")
    block_profile_fraction: int = Field(0, description="Accepted for otelcol's sake; Go only.")
    mutex_profile_fraction: int = Field(0, description="Accepted for otelcol's sake; Go only.")
    save_to_file: str = Field(
        "", description="Sample from start to stop, and write the pprof profile here at the end; costs about 1 % CPU."
    )


class Pprof(Extension[PprofConfig]):
    """Profiles the agent on demand: `/debug/pprof/profile`, `/heap` and `/goroutine`."""

    type_name = "pprof"

    def __init__(self, config: PprofConfig, context: Context) -> None:
        super().__init__(config, context)
        self._server: WebServer | None = None
        self._running = False
        self._stopping = asyncio.Event()
        self._whole_run: Sampler | None = None

    async def start(self) -> None:
        """Listen; raise OphionError when the address is taken or `save_to_file` cannot be written."""
        from aiohttp import web

        if self.config.save_to_file:
            await asyncio.to_thread(_save, self.config.save_to_file, b"")
        app = web.Application(middlewares=[guard(self.config.endpoint, _POLICY)])
        routes = {"": self._index, "profile": self._profile, "heap": self._heap, "goroutine": self._stacks}
        for name, handler in routes.items():
            app.router.add_get(f"/debug/pprof/{name}", handler)
        app.router.add_get("/", self._index)
        self._server = WebServer(self.config, app, auth=server_auth(self.config, self.context), shutdown_seconds=2.0)
        await self._server.start()
        if self.config.save_to_file:
            self._whole_run = Sampler()
            self._whole_run.start()

    async def stop(self) -> None:
        """End a profile that runs, stop listening, and save the profile of the whole run."""
        self._stopping.set()
        server, self._server = self._server, None
        sampler, self._whole_run = self._whole_run, None
        if server is not None:
            await server.stop()
        if sampler is not None:
            profile = await asyncio.to_thread(sampler.stop)
            await asyncio.to_thread(_save, self.config.save_to_file, pprof(profile))

    def addresses(self) -> list[str]:
        """Return the URL of the list of profiles."""
        return [f"{self._server.url}/debug/pprof/"] if self._server is not None else []

    async def _index(self, request: web.Request) -> web.Response:
        return _response(_INDEX.format(host=request.host))

    async def _heap(self, _: web.Request) -> web.Response:
        return _response(await asyncio.to_thread(heap_report))

    async def _stacks(self, _: web.Request) -> web.Response:
        return _response(stacks_report())

    async def _profile(self, request: web.Request) -> web.Response:
        form = request.query.get("format", "pprof")
        if form not in _FORMATS:
            return _response(f"format: must be one of {', '.join(_FORMATS)}, got another\n", 400)
        seconds = _seconds(request.query.get("seconds", ""))
        if seconds is None:
            return _response(f"seconds: must be a number above 0 and up to {_LONGEST_SECONDS:.0f}\n", 400)
        if self._running:
            return _response("a profile is being taken; ask again when it is done\n", 409)
        self._running = True
        try:
            profile = await self._sample(seconds)
        finally:
            self._running = False
        return await asyncio.to_thread(_rendered, profile, form)

    async def _sample(self, seconds: float) -> Profile:
        sampler = Sampler()
        # The event loop works in bursts shorter than the interpreter's usual 5 ms, which would all be missed.
        usual_seconds = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        sampler.start()
        try:
            with contextlib.suppress(TimeoutError):
                await self.context.clock.wait_for(self._stopping.wait(), seconds)
        finally:
            sys.setswitchinterval(usual_seconds)
            sampler.end()
        return await asyncio.to_thread(sampler.stop)


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text) if text else _DEFAULT_SECONDS
    except ValueError:
        return None
    return seconds if 0 < seconds <= _LONGEST_SECONDS else None


def _rendered(profile: Profile, form: str) -> web.Response:
    from aiohttp import web

    if form == "collapsed":
        return _response(collapsed(profile))
    if form == "html":
        return web.Response(text=flamegraph(profile), content_type="text/html")
    headers = {"Content-Disposition": 'attachment; filename="profile.pb.gz"'}
    return web.Response(body=pprof(profile), content_type="application/octet-stream", headers=headers)


def _response(text: str, status: int = 200) -> web.Response:
    from aiohttp import web

    return web.Response(text=text, status=status)


def _save(path: str, profile: bytes) -> None:
    try:
        Path(path).write_bytes(profile)
    except OSError as error:
        raise OphionError(f"save_to_file {path}: cannot be written: {error.strerror}; choose another path") from error


_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"
