"""The real server for tests: `ophion-agent run` with configs/all-in-one.yaml as it is, on free ports.

    async with ServerProcess(tmp_path / "server") as server:
        answer = await server.get("/api/services", **{"from": "now-5m"})
        key = await server.make_key("sender", kind="ingest")

Everything that it writes lies in its directory, which survives a stop and a kill: `start()` goes on with it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import yarl

from agent_process import AgentProcess, Finished, command, execute, free_port

CONFIG = Path(__file__).parent.parent / "configs" / "all-in-one.yaml"
# Tests ask more than a client may.
UNLIMITED = "extensions.auth.rate_limits={caller: null, address: null, anonymous: null}"
ONLY_OTLP = "service.pipelines.metrics.receivers=[otlp]"
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class ServerProcess(AgentProcess):
    """One server, with a client of its API that uses the key of the command line unless told otherwise."""

    def __init__(self, directory: Path, *, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.api_port, self.grpc_port, self.http_port = free_port(), free_port(), free_port()
        self.state = directory / "var"
        self.environ = {
            "API_PORT": str(self.api_port),
            "DASHBOARD_PORT": "0",
            "OTLP_GRPC_PORT": str(self.grpc_port),
            "OTLP_HTTP_PORT": str(self.http_port),
            "STATE_DIRECTORY": str(self.state),
            **(environ or {}),
        }
        ports = [f"extensions.{name}.endpoint=127.0.0.1:0" for name in ("health_check", "zpages")]
        super().__init__(directory, CONFIG.read_text(encoding="utf-8"), sets=[*ports, *sets], environ=self.environ)
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.otlp_url = f"http://127.0.0.1:{self.http_port}"
        self._session: aiohttp.ClientSession | None = None

    @property
    def admin_key(self) -> str:
        """The key of the command line on the server's host, which may do everything."""
        return (self.state / "control" / "cli.key").read_text(encoding="utf-8").strip()

    async def start(self) -> Self:
        """Start the process and return once it is ready."""
        await super().start()
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        ready = await self.get("/-/ready", key="")
        assert ready.status == 200, ready.text
        return self

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        await super()._end()

    # ---- as a client of the API

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        is_encoded: bool = False,
        **options: Any,
    ) -> Answer:
        """Send a request; `key` is the Bearer token, "" for none. `is_encoded` sends the path as it is written."""
        assert self._session is not None, "the server was not started"
        token = self.admin_key if key is None else key
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        url = yarl.URL(self.url + path, encoded=is_encoded)
        async with self._session.request(method, url, headers=sent, allow_redirects=False, **options) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, *, key: str | None = None, **query: Any) -> Answer:
        """Send a GET request with these query parameters."""
        return await self.request("GET", path, key=key, params=query)

    async def ask(self, method: str, path: str, body: Any = None, *, expect: int = 200, **options: Any) -> Any:
        """Return the JSON of an answer with the status `expect`, None where it has no body."""
        if body is not None:
            options["json"] = body
        answer = await self.request(method, path, **options)
        assert answer.status == expect, f"{method} {path}: {answer.status}: {answer.text[:2000]}"
        return answer.json() if answer.body else None

    async def promql(self, expression: str, *, key: str | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        data = await self.ask("GET", "/api/v1/query", key=key, params={"query": expression})
        found: list[dict[str, Any]] = data["data"]["result"]
        return found

    async def make_key(self, name: str, **body: Any) -> str:
        """Return a new key, made through the API."""
        made = await self.ask("POST", "/api/keys", {"name": name, **body}, expect=201)
        return str(made["key"])

    async def login(self, username: str, password: str) -> str:
        """Return an access token of a user."""
        body = {"username": username, "password": password}
        return str((await self.ask("POST", "/api/auth/login", body, key=""))["access_token"])

    # ---- as a sender

    async def send(
        self, signal: str, request: bytes, *, key: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send an encoded OTLP request over HTTP; `signal` is traces, metrics or logs."""
        assert self._session is not None, "the server was not started"
        sent = {"Content-Type": "application/x-protobuf", **(headers or {})}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        async with self._session.post(f"{self.otlp_url}/v1/{signal}", data=request, headers=sent) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    # ---- as somebody on its host

    async def run(self, *arguments: str) -> Finished:
        """Run `ophion-agent` as people on the server's host do, in its directory and environment."""
        return await execute(*command(*arguments), cwd=self.directory, environ=self.environ)

    async def administer(self, *arguments: str) -> dict[str, str]:
        """Run `ophion-agent server ...` on the server's configuration and return the facts that it prints."""
        done = await self.run("server", *arguments, "--config", str(self.config_file), "--json")
        assert done.returncode == 0, done.stderr
        printed: dict[str, str] = json.loads(done.stdout)
        return printed
