"""A client of the Docker Engine API, which Podman speaks too: raw JSON in and out, on asyncio.

async with Engine() as engine:
    for container in await engine.containers():
        print(container["Names"], container["State"])
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from ophion_docker.engine_connection import Body, EngineConnection
from ophion_docker.engine_errors import EngineError
from ophion_docker.engine_frames import STDERR, STDOUT, FrameReader

if TYPE_CHECKING:
    import aiohttp

Json = dict[str, Any]
Filters = Mapping[str, Sequence[str]]

_TAR: Final = "application/x-tar"
_LONGEST_EVENT: Final = 16 << 20
_EXEC_OUTPUT: Final = 4 << 20


class ExecResult(NamedTuple):
    """How a command in a container ended and what it wrote, at most 4 MiB of each stream."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Engine(EngineConnection):
    """One engine. Containers are named by id, short id or name; answers are the API's own JSON."""

    # The engine itself

    async def ping(self) -> None:
        """Raise EngineError unless the engine answers."""
        await self.call("GET", "/_ping")

    async def info(self) -> Json:
        """Return what the engine says of itself and its host."""
        return _object(await self.get_json("/info"))

    def events(
        self, *, since: str | None = None, until: str | None = None, filters: Filters | None = None
    ) -> AsyncIterator[Json]:
        """Yield events as they come, from `since` (Unix seconds with nanoseconds: `1700000000.000000001`) on.

        The engine keeps only its last 256 or so; without `until` the iteration ends only with the connection, by
        EngineUnavailable or by returning.
        """
        return self._json_lines("/events", {"since": since, "until": until, "filters": _filters(filters)})

    async def _json_lines(self, path: str, query: Mapping[str, Any]) -> AsyncIterator[Json]:
        async with self.stream("GET", path, query) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield _object(json.loads(line))
                if len(rest) > _LONGEST_EVENT:
                    raise EngineError(f"GET {path}: a line of more than {_LONGEST_EVENT} bytes; is this an engine?")
            if rest.strip():
                yield _object(json.loads(rest))

    # Containers, to be read

    async def containers(
        self, *, every: bool = False, filters: Filters | None = None, size: bool = False
    ) -> list[Json]:
        """Return a summary of each running container, or of `every` one."""
        query = {"all": every, "filters": _filters(filters), "size": size or None}
        return _objects(await self.get_json("/containers/json", query))

    async def inspect(self, container: str, *, size: bool = False) -> Json:
        """Return everything the engine knows of a container; raises NotFound."""
        return _object(await self.get_json(f"/containers/{_part(container)}/json", {"size": size or None}))

    async def top(self, container: str, arguments: str = "") -> Json:
        """Return the processes of a running container, as `ps` on the host shows them: Titles and Processes."""
        return _object(await self.get_json(f"/containers/{_part(container)}/top", {"ps_args": arguments or None}))

    async def changes(self, container: str) -> list[Json]:
        """Return what the container's writable layer changed: Path and Kind (0 modified, 1 added, 2 deleted)."""
        return _objects(await self.get_json(f"/containers/{_part(container)}/changes"))

    async def stats(self, container: str) -> Json:
        """Return the container's figures of this moment, without the second sample that costs the engine a second."""
        one_shot = True if self.at_least("1.41") else None
        query = {"stream": False, "one-shot": one_shot}
        return _object(await self.get_json(f"/containers/{_part(container)}/stats", query))

    def logs(
        self,
        container: str,
        *,
        follow: bool = False,
        since: str | None = None,
        until: str | None = None,
        stdout: bool = True,
        stderr: bool = True,
        timestamps: bool = False,
        tail: int | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Give what the container wrote, as it comes: frames, or plain bytes for a container with a terminal.

        `since` is inclusive, in Unix seconds with nanoseconds. `FrameReader` cuts the frames apart.
        """
        query = {"follow": follow, "stdout": stdout, "stderr": stderr, "timestamps": timestamps}
        times = {"since": since, "until": until, "tail": tail}
        return self.stream("GET", f"/containers/{_part(container)}/logs", {**query, **times}, unframed=True)

    async def get_archive(self, container: str, path: str) -> bytes:
        """Return a tar of a file or folder of the container, held in memory."""
        return await self.call("GET", f"/containers/{_part(container)}/archive", {"path": path})

    # Containers, to be changed

    async def create(self, name: str | None, body: Mapping[str, Any], *, platform: str | None = None) -> str:
        """Create a container and return its id; raises Conflict for a taken name and NotFound for an absent image."""
        query = {"name": name, "platform": platform}
        answer = await self.post_json("/containers/create", body, query)
        return str(_object(answer)["Id"])

    async def start(self, container: str) -> bool:
        """Start a container; false when it ran already."""
        return await self._act(container, "start")

    async def stop(self, container: str, *, seconds: int | None = None) -> bool:
        """Stop a container, by force after `seconds` (unset: its own StopTimeout); false when it did not run."""
        patience = self.timeout_seconds + (60 if seconds is None else seconds)
        return await self._act(container, "stop", {"t": seconds}, patience)

    async def restart(self, container: str, *, seconds: int | None = None) -> None:
        """Stop and start a container."""
        await self._act(
            container, "restart", {"t": seconds}, self.timeout_seconds + (60 if seconds is None else seconds)
        )

    async def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal to the first process of a container; raises Conflict when it does not run."""
        await self._act(container, "kill", {"signal": signal})

    async def pause(self, container: str) -> None:
        """Freeze the processes of a container."""
        await self._act(container, "pause")

    async def unpause(self, container: str) -> None:
        """Let a frozen container run on."""
        await self._act(container, "unpause")

    async def rename(self, container: str, name: str) -> None:
        """Give a container another name; raises Conflict for a taken one."""
        await self._act(container, "rename", {"name": name})

    async def update(self, container: str, body: Mapping[str, Any]) -> None:
        """Change limits or the restart policy of a container, such as `{"RestartPolicy": {"Name": "no"}}`."""
        await self.post_json(f"/containers/{_part(container)}/update", dict(body))

    async def remove(self, container: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container, with its anonymous `volumes` only where asked; `force` kills it first."""
        query = {"force": force, "v": volumes}
        await self.call("DELETE", f"/containers/{_part(container)}", query, seconds=self.timeout_seconds + 60)

    async def wait(self, container: str, condition: str = "not-running", *, seconds: float) -> int:
        """Wait until a container is `not-running`, has its `next-exit`, or is `removed`; return its exit code."""
        path = f"/containers/{_part(container)}/wait"
        answer = _object(await self.post_json(path, query={"condition": condition}, seconds=seconds))
        return int(answer["StatusCode"])

    async def put_archive(self, container: str, path: str, tar: Body, *, seconds: float | None = None) -> None:
        """Unpack a tar, plain or gzip, below the folder `path` of a container, which need not run."""
        target = f"/containers/{_part(container)}/archive"
        await self.call("PUT", target, {"path": path}, tar, content_type=_TAR, seconds=seconds)

    async def execute(
        self,
        container: str,
        command: Sequence[str],
        *,
        user: str = "",
        environment: Sequence[str] = (),
        directory: str = "",
        seconds: float | None = None,
    ) -> ExecResult:
        """Run a command in a running container and wait for its end; raises EngineTimeout, the command then goes on."""
        body = {
            "Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "User": user, "Env": list(environment),
            "WorkingDir": directory,
        }  # fmt: skip
        created = _object(await self.post_json(f"/containers/{_part(container)}/exec", body))["Id"]
        path = f"/exec/{created}/start"
        output = await self.call("POST", path, body={"Detach": False, "Tty": False}, seconds=seconds)
        frames = FrameReader().feed(output)
        state = _object(await self.get_json(f"/exec/{created}/json"))
        streams = (b"".join([part for stream, part in frames if stream == which]) for which in (STDOUT, STDERR))
        stdout, stderr = (content[:_EXEC_OUTPUT] for content in streams)
        return ExecResult(-1 if state.get("ExitCode") is None else int(state["ExitCode"]), stdout, stderr)

    async def commit(self, container: str, repository: str, tag: str = "latest", *, pause: bool = True) -> str:
        """Make an image of a container's present files and return the image's id."""
        query = {"container": container, "repo": repository, "tag": tag, "pause": pause}
        return str(_object(await self.post_json("/commit", {}, query, seconds=self.timeout_seconds + 300))["Id"])

    async def _act(
        self, container: str, action: str, query: Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> bool:
        path = f"/containers/{_part(container)}/{action}"
        async with self.stream("POST", path, query, seconds=seconds) as response:
            return response.status != 304

    # Images

    async def image(self, reference: str) -> Json:
        """Return everything the engine knows of an image; raises NotFound."""
        return _object(await self.get_json(f"/images/{quote(reference, safe='/:@')}/json"))

    async def import_image(
        self, repository: str, tar: Body, *, tag: str = "latest", changes: Sequence[str] = (), seconds: float = 300
    ) -> str:
        """Make an image of a tar of a root filesystem and return its id; `changes` are lines such as `CMD ["/app"]`."""
        query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": tuple(changes)}
        answer = await self.call("POST", "/images/create", query, tar, content_type=_TAR, seconds=seconds)
        last: Json = json.loads(answer.strip().splitlines()[-1])
        if "status" not in last:
            raise EngineError(f"POST /images/create: {last.get('error', last)}")
        return str(last["status"])

    async def tag_image(self, reference: str, repository: str, tag: str) -> None:
        """Give an image another name."""
        await self.call("POST", f"/images/{quote(reference, safe='/:@')}/tag", {"repo": repository, "tag": tag})

    async def remove_image(self, reference: str, *, force: bool = False) -> None:
        """Remove a name of an image, and the image with its last name."""
        await self.call("DELETE", f"/images/{quote(reference, safe='/:@')}", {"force": force})

    # Networks and volumes

    async def networks(self, filters: Filters | None = None) -> list[Json]:
        """Return every network."""
        return _objects(await self.get_json("/networks", {"filters": _filters(filters)}))

    async def network(self, name: str) -> Json:
        """Return a network with its addresses and the containers in it."""
        return _object(await self.get_json(f"/networks/{_part(name)}"))

    async def create_network(self, name: str, body: Mapping[str, Any] | None = None) -> str:
        """Create a network and return its id."""
        return str(_object(await self.post_json("/networks/create", {"Name": name, **(body or {})}))["Id"])

    async def remove_network(self, name: str) -> None:
        """Remove a network that no container uses."""
        await self.call("DELETE", f"/networks/{_part(name)}")

    async def connect_network(self, network: str, container: str, endpoint: Mapping[str, Any] | None = None) -> None:
        """Connect a container to a network, with an EndpointConfig such as addresses and aliases."""
        body = {"Container": container, "EndpointConfig": dict(endpoint or {})}
        await self.post_json(f"/networks/{_part(network)}/connect", body)

    async def disconnect_network(self, network: str, container: str, *, force: bool = False) -> None:
        """Take a container out of a network."""
        await self.post_json(f"/networks/{_part(network)}/disconnect", {"Container": container, "Force": force})

    async def volumes(self, filters: Filters | None = None) -> list[Json]:
        """Return every volume."""
        answer = _object(await self.get_json("/volumes", {"filters": _filters(filters)}))
        return _objects(answer.get("Volumes") or [])

    async def volume(self, name: str) -> Json:
        """Return a volume; raises NotFound."""
        return _object(await self.get_json(f"/volumes/{_part(name)}"))

    async def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> Json:
        """Create a volume, or return the one that has the name already."""
        return _object(await self.post_json("/volumes/create", {"Name": name, "Labels": dict(labels or {})}))

    async def remove_volume(self, name: str, *, force: bool = False) -> None:
        """Remove a volume; raises Conflict while a container uses it."""
        await self.call("DELETE", f"/volumes/{_part(name)}", {"force": force})


def _part(name: str) -> str:
    """Return a name as one part of a path, so that no name can address something else."""
    if name in ("", ".", ".."):
        raise EngineError(f"must be the name or id of a container, network or volume, got {name!r}")
    return quote(name.removeprefix("/"), safe="")


def _filters(filters: Filters | None) -> dict[str, list[str]] | None:
    return {name: list(values) for name, values in filters.items()} if filters else None


def _object(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise EngineError(f"the engine answered {type(answer).__name__} where an object was due; is this an engine?")
    return answer


def _objects(answer: Any) -> list[Json]:
    return [_object(item) for item in answer or ()]
