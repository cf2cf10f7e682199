"""Commands of the family `ophion_api`, run as people type them, against an API of a real store.

shop = await stack.enter_async_context(command_shop(tmp_path))
done = await shop.run("logs", "--service", "checkout")
"""

import argparse
import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_serving import KEYS, FakeAgent, FakeAuthorizer, Server, serve
from ophion_agent.plugin import OphionError
from ophion_agent.server import AUDIT_LOG, BACKUP, STORAGE, Permission, Principal
from ophion_agent.testing import make_component
from ophion_api.admin import ServerAdmin
from ophion_api.commands import add_commands
from ophion_promql.extension import Promql
from ophion_storage.store import TelemetryStore
from telemetry_sample import logs_request, metrics_request, telemetry_api, traces_request
from telemetry_store import ingest, running_store

STRANGER = Principal("stranger", "user", "other", frozenset(Permission))


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()


class Screen(io.StringIO):
    """A stream that is a terminal, or is none."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        """Tell what it is."""
        return self.is_terminal

    def fileno(self) -> int:
        """Raise: there is no file behind it."""
        raise OSError("no file")


def run_command(*arguments: str, is_terminal: bool = False) -> Done:
    """Run a command in this thread, with the exit code that `ophion-agent` ends with."""
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    out, err = Screen(is_terminal=is_terminal), Screen(is_terminal=is_terminal)
    with redirect_stdout(out), redirect_stderr(err):
        options = parser.parse_args(arguments)
        try:
            code = options.command(options)
        except OphionError as error:
            code = 1
            err.write(f"{error}\n")
    return Done(code, out.getvalue(), err.getvalue())


@dataclass
class Audit:
    """Keeps audit records for the test."""

    records: list[tuple[str, str, str]] = field(default_factory=list)

    async def record(
        self, principal: Principal, action: str, target: str, detail: Mapping[str, Any] | None = None, client: str = ""
    ) -> None:
        """Keep the record."""
        self.records.append((principal.subject, action, target))


@dataclass
class Part:
    """A part of a server that keeps a file."""

    type_name: str
    content: bytes = b"content"
    problems: list[str] = field(default_factory=list)

    async def backup(self, directory: Path) -> None:
        """Write the content."""
        folder = directory / "deep"
        await asyncio.to_thread(folder.mkdir)
        await asyncio.to_thread((folder / "file").write_bytes, self.content)

    async def restore(self, directory: Path) -> None:
        """Take the content back."""
        self.content = await asyncio.to_thread((directory / "deep" / "file").read_bytes)

    async def check(self) -> list[str]:
        """Return what the test set."""
        return self.problems


@dataclass
class CommandShop:
    """A running API with all that the commands ask for."""

    server: Server
    store: TelemetryStore
    audit: Audit
    parts: list[Part]
    keys: Path

    async def run(self, *arguments: str, key: str = "admin", is_terminal: bool = False) -> Done:
        """Run a command against the server with one of the keys of `api_serving`."""
        file = self.keys / key
        await asyncio.to_thread(file.write_text, f"{key}\n")
        more = ("--url", self.server.url, "--key-file", str(file))
        return await asyncio.to_thread(run_command, *arguments, *more, is_terminal=is_terminal)


@asynccontextmanager
async def command_shop(directory: Path) -> AsyncIterator[CommandShop]:
    """Run an API on a store that holds the sample of `telemetry_sample`."""
    audit, parts = Audit(), [Part("telemetry_store"), Part("control_store", b"x" * 3_000_000)]
    async with running_store(directory) as store:
        await ingest(store, "traces", traces_request().SerializeToString())
        await ingest(store, "logs", logs_request().SerializeToString())
        await ingest(store, "metrics", metrics_request().SerializeToString())
        promql = make_component(
            Promql, {}, services={"store": store}, provided={STORAGE.name: "store"}, agent=FakeAgent()
        )
        await promql.start()
        admin = make_component(
            ServerAdmin,
            {"directory": str(directory / "backups")},
            services={"store": store, "audit": audit, **{part.type_name: part for part in parts}},
            provided={STORAGE.name: "store", AUDIT_LOG.name: "audit"},
            gathered={BACKUP.name: [part.type_name for part in parts]},
        )
        async with telemetry_api(store, promql=promql) as telemetry:
            authorizer = FakeAuthorizer({**KEYS, "stranger": STRANGER})
            sources = {"telemetry": telemetry, "promql": promql, "admin": admin}
            async with serve(sources, authorizer) as server:
                yield CommandShop(server, store, audit, parts, directory)
        await promql.stop()
        await promql.context.close()
        await admin.context.close()
