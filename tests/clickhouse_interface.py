"""ClickHouse's HTTP interface on the embedded engine, for tests: the process that `clickhouse_server.py` runs.

It stands in for a real server (https://clickhouse.com/docs/interfaces/http) and keeps to what clients see of one: POST
and GET on `/` with the query in `query`, in the body or in a multipart form, `database`, `default_format`, `query_id`,
`param_*`, and settings as parameters; data of an INSERT in the body, in the content encodings gzip, deflate, zstd and
lz4; results in the encoding asked for; credentials by Basic, by `X-ClickHouse-User` and `X-ClickHouse-Key`, or as
parameters, and never two of these; GET reads only; error bodies `Code: N. DB::Exception: ...` with the status and
the `X-ClickHouse-Exception-Code` of the real server; `KILL QUERY WHERE query_id = '...'`; read-only queries that end
when their client goes away, where `cancel_http_readonly_queries_on_client_close` asks for it; `/ping` and
`/replicas_status`. Each request runs in an engine session of its own.

What it does not do: sessions (`session_id`), external data, roles, quotas, several users, progress headers, results
that are sent while the query runs (they come whole, as with `wait_end_of_query=1`), `client_protocol_version`,
`async_insert`, replicated tables and `ON CLUSTER`, which it ignores in KILL QUERY. `query_id` in `system.processes`
is the engine's own: a query's text begins with `/* query_id: ... */` instead.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import re
import ssl
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

SETTINGS = "CLICKHOUSE_SERVER"

# What the interface itself takes, from HTTPHandler::processQuery; everything else is a setting or a query parameter.
_RESERVED = {
    "", "query", "database", "default_format", "query_id", "user", "password", "quota_key", "compress", "decompress",
    "stacktrace", "buffer_size", "wait_end_of_query", "session_id", "session_timeout", "session_check",
    "client_protocol_version", "close_session", "role",
}  # fmt: skip
_EXTERNAL_DATA_SUFFIXES = ("_format", "_types", "_structure")
_FIELD_LENGTH = 131_072
_URI_LENGTH = 1 << 20

# From exceptionCodeToHTTPStatus; any other code is 500.
_STATUS = {
    **dict.fromkeys((192, 193, 516), 403),
    **dict.fromkeys(
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427), 400
    ),
    **dict.fromkeys((441, 675, 676), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336), 404),
    **dict.fromkeys((76, 209), 503),
    48: 501,
    159: 408,
    194: 401,
    229: 413,
    381: 411,
}
_INSERT = re.compile(
    rb"\A(?P<sql>\s*(?:/\*.*?\*/\s*)*INSERT\s+INTO\b(?:(?!\bSELECT\b|\bVALUES\b).)*?)"
    rb"\bFORMAT\s+(?P<format>\w+)[ \t]*\r?\n?",
    re.IGNORECASE | re.DOTALL,
)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?;?\s*\Z", re.IGNORECASE | re.DOTALL)
_KILL = re.compile(r"\A\s*KILL\s+QUERY\s+(?:ON\s+CLUSTER\s+\S+\s+)?WHERE\s+query_id\s*=\s*'([^']*)'", re.IGNORECASE)
_MARK = "/* query_id: {} */"


class ServerError(Exception):
    """An error as ClickHouse says it."""

    def __init__(self, code: int, text: str, name: str) -> None:
        self.code = code
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass
class Statement:
    """One request, taken apart."""

    sql: str
    data: bytes | None
    data_format: str
    output_format: str
    database: str
    query_id: str
    parameters: dict[str, str]
    settings: dict[str, str]

    @property
    def format(self) -> str:
        """The format of the result."""
        found = _FORMAT.search(self.sql)
        return found.group(1) if found else self.output_format

    @property
    def readonly(self) -> bool:
        """Whether the query is bound to read."""
        return self.settings.get("readonly", "0") != "0"


@dataclass
class Answer:
    """A result and what the summary says of it."""

    body: bytes
    format: str
    summary: dict[str, str]


class EngineSessions:
    """Runs statements on the engine, each in a session of its own."""

    def __init__(self, directory: Path, concurrency: int) -> None:
        # chdb would load pyarrow for formats that are not used here.
        sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
        import chdb

        self._connect = lambda: chdb.connect(str(directory))
        self._control = self._connect()
        self.version = bytes(self._control.query("SELECT version()", "TSVRaw").bytes()).decode().strip()
        self._executor = ThreadPoolExecutor(concurrency)
        self._control_executor = ThreadPoolExecutor(1)
        self.running: set[str] = set()

    async def run(self, statement: Statement) -> Answer:
        """Run a statement to its end; a query that only reads is stopped when its caller goes away, if it asks so."""
        if statement.query_id in self.running:
            text = f"Query with id = {statement.query_id} is already running."
            raise ServerError(216, text, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING")
        self.running.add(statement.query_id)
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._run, statement)
        future.add_done_callback(
            lambda done: (self.running.discard(statement.query_id), done.cancelled() or done.exception())
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if statement.readonly and statement.settings.get("cancel_http_readonly_queries_on_client_close") == "1":
                await self.kill(f"KILL QUERY WHERE query_id = '{statement.query_id}' ASYNC", "Null")
            raise

    async def kill(self, sql: str, output_format: str) -> Answer:
        """Run KILL QUERY, whose query_id is looked for in the text of the queries."""
        found = _KILL.match(sql)
        assert found is not None
        mark = _MARK.format(found.group(1))
        known = f"KILL QUERY WHERE startsWith(query, '{mark}'){sql[found.end() :]}"

        def run() -> Answer:
            result = self._control.query(known, output_format)
            return Answer(bytes(result.bytes()), output_format, {})

        return await asyncio.get_running_loop().run_in_executor(self._control_executor, run)

    def _run(self, statement: Statement) -> Answer:
        connection = self._connect()
        try:
            if statement.database:
                connection.query(f"USE {_identifier(statement.database)}")
            for name, value in sorted(statement.settings.items(), key=lambda setting: setting[0] == "readonly"):
                connection.query(f"SET {_identifier(name)} = {_literal(value)}")
            if statement.data is not None:
                return self._insert(connection, statement)
            marked = f"{_MARK.format(statement.query_id)} {statement.sql}"
            result = connection.query(marked, statement.output_format, params=statement.parameters)
            return Answer(
                bytes(result.bytes()),
                statement.format,
                _summary(result.rows_read(), result.bytes_read(), 0, 0, result.elapsed()),
            )
        finally:
            connection.close()

    def _insert(self, connection: Any, statement: Statement) -> Answer:
        # The engine's streaming insert hides errors that come after parsing, such as a full disk: it reads a file.
        assert statement.data is not None
        target, _, settings = statement.sql.partition("SETTINGS")
        clause = f"SETTINGS {settings}" if settings else ""
        with os.fdopen(os.memfd_create("insert"), "wb") as file:
            file.write(statement.data)
            file.flush()
            source = f"FROM INFILE '/proc/self/fd/{file.fileno()}' {clause} FORMAT {statement.data_format}"
            result = connection.query(f"{target} {source}", "Null")
        rows, size = result.rows_read(), len(statement.data)
        return Answer(b"", "", _summary(rows, size, rows, size, result.elapsed()))


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _summary(read_rows: int, read_bytes: int, rows: int, size: int, seconds: float) -> dict[str, str]:
    numbers = {
        "read_rows": read_rows,
        "read_bytes": read_bytes,
        "written_rows": rows,
        "written_bytes": size,
        "total_rows_to_read": 0,
        "result_rows": rows,
        "result_bytes": size,
        "elapsed_ns": int(seconds * 1e9),
    }
    return {name: str(number) for name, number in numbers.items()}


class Interface:
    """The HTTP interface on an engine."""

    def __init__(self, engine: EngineSessions, user: str, password: str, log: Path) -> None:
        self._engine = engine
        self._user = user
        self._password = password
        self._log = log

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application(client_max_size=1 << 30)
        for path in ("/ping", "/replicas_status"):
            application.router.add_get(path, self._ok)
        application.router.add_route("*", "/", self._query)
        return application

    async def _ok(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", headers={"Content-Type": "text/html; charset=UTF-8"})

    async def _query(self, request: web.Request) -> web.Response:
        if request.method == "GET" and not request.query:
            return await self._ok(request)
        headers = {"X-ClickHouse-Server-Display-Name": "ophion-test", "X-ClickHouse-Timezone": "UTC"}
        query_id = request.query.get("query_id") or request.headers.get("X-ClickHouse-Query-Id") or str(uuid4())
        try:
            self._authenticate(request)
            statement = await read_statement(request, query_id)
            self._record(request, statement)
            answer = await self._answer(statement)
        except (ServerError, RuntimeError) as error:
            return self._refusal(str(error), headers)
        headers["X-ClickHouse-Query-Id"] = query_id
        headers["X-ClickHouse-Summary"] = json.dumps(answer.summary, separators=(",", ":"))
        if answer.format:
            headers["X-ClickHouse-Format"] = answer.format
        body, encoding = encode(answer.body, request)
        if encoding:
            headers["Content-Encoding"] = encoding
        return web.Response(body=body, headers={**headers, "Content-Type": "text/plain; charset=UTF-8"})

    async def _answer(self, statement: Statement) -> Answer:
        if _KILL.match(statement.sql):
            return await self._engine.kill(statement.sql, statement.output_format)
        return await self._engine.run(statement)

    def _record(self, request: web.Request, statement: Statement) -> None:
        """Append what came in to a file that tests read."""
        entry = {
            "method": request.method,
            "sql": statement.sql,
            "query_id": statement.query_id,
            "database": statement.database,
            "settings": statement.settings,
            "parameters": statement.parameters,
            "encoding": request.headers.get("Content-Encoding", ""),
            "content_type": request.content_type,
            "wait_end_of_query": request.query.get("wait_end_of_query", ""),
        }
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")

    def _refusal(self, message: str, headers: dict[str, str]) -> web.Response:
        found = re.search(r"Code: (\d+)", message)
        code = int(found.group(1)) if found else 1002
        headers["X-ClickHouse-Exception-Code"] = str(code)
        if code == 194:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        text = f"{message} (version {self._engine.version} (official build))\n"
        return web.Response(text=text, status=_STATUS.get(code, 500), headers=headers)

    def _authenticate(self, request: web.Request) -> None:
        user, password = credentials(request)
        if (user, password) != (self._user, self._password):
            text = f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
            raise ServerError(516, text, "AUTHENTICATION_FAILED")


def credentials(request: web.Request) -> tuple[str, str]:
    """Return user and password from the one place that a request may have them in."""
    named = "X-ClickHouse-User" in request.headers or "X-ClickHouse-Key" in request.headers
    basic = request.headers.get("Authorization", "")
    asked = "user" in request.query or "password" in request.query
    if named + bool(basic) + asked > 1:
        text = "Invalid authentication: it is not allowed to use several authentication methods simultaneously"
        raise ServerError(516, text, "AUTHENTICATION_FAILED")
    if named:
        return request.headers.get("X-ClickHouse-User", ""), request.headers.get("X-ClickHouse-Key", "")
    if basic:
        scheme, _, encoded = basic.partition(" ")
        if scheme.lower() != "basic":
            text = f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"
            raise ServerError(516, text, "AUTHENTICATION_FAILED")
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return user, password
    return request.query.get("user", "default"), request.query.get("password", "")


async def read_statement(request: web.Request, query_id: str) -> Statement:
    """Return what a request asks for."""
    asked = dict(request.query)
    body = b""
    form = request.content_type == "multipart/form-data"
    if form:
        parts = await request.post()
        for name, value in parts.items():
            if not isinstance(value, str):
                raise ServerError(48, "External data is not implemented here", "NOT_IMPLEMENTED")
            asked[name] = asked.get(name, "") + value if name == "query" else value
    else:
        body = decode(await request.read(), request.headers.get("Content-Encoding", ""))
    for name, value in asked.items():
        if len(value.encode()) > _FIELD_LENGTH:
            raise ServerError(1000, f"HTML Form Exception: Field value too long ({name})", "POCO_EXCEPTION")
    settings = {
        name: value
        for name, value in request.query.items()
        if name not in _RESERVED
        and not name.startswith("param_")
        and not (form and name.endswith(_EXTERNAL_DATA_SUFFIXES))
    }
    if request.method == "GET" and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"
    text = b"\n".join(filter(None, (asked.get("query", "").encode(), body)))
    insert = _INSERT.match(text)
    return Statement(
        sql=(insert.group("sql") if insert else text).decode(errors="surrogateescape"),
        data=text[insert.end() :] if insert else None,
        data_format=insert.group("format").decode() if insert else "",
        output_format=request.headers.get("X-ClickHouse-Format") or asked.get("default_format") or "TabSeparated",
        database=request.headers.get("X-ClickHouse-Database") or asked.get("database", ""),
        query_id=query_id,
        parameters={name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")},
        settings=settings,
    )


def decode(data: bytes, encoding: str) -> bytes:
    """Return a request's body without its content encoding."""
    try:
        if encoding in ("gzip", "x-gzip"):
            return gzip.decompress(data)
        if encoding == "deflate":
            return zlib.decompress(data)
        if encoding == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if encoding == "lz4":
            import lz4.frame

            return bytes(lz4.frame.decompress(data))
    except Exception as error:
        raise ServerError(117, f"Cannot decompress the request body: {error}", "INCORRECT_DATA") from error
    if encoding:
        raise ServerError(48, f"Unknown compression method '{encoding}'", "NOT_IMPLEMENTED")
    return data


def encode(data: bytes, request: web.Request) -> tuple[bytes, str]:
    """Return a result in a content encoding that the client takes, and its name; plain without the setting."""
    if request.query.get("enable_http_compression", "0") != "1":
        return data, ""
    offered = request.headers.get("Accept-Encoding", "")
    if "zstd" in offered:
        import zstandard

        return zstandard.compress(data), "zstd"
    if "lz4" in offered:
        import lz4.frame

        return bytes(lz4.frame.compress(data)), "lz4"
    return (gzip.compress(data), "gzip") if "gzip" in offered else (data, "")


def main() -> None:
    """Serve until SIGTERM."""
    settings = json.loads(os.environ.pop(SETTINGS))
    directory = Path(settings["directory"])
    engine = EngineSessions(directory / "data", settings["concurrency"])
    interface = Interface(engine, settings["user"], settings["password"], directory / "requests")
    tls = settings["tls"]
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.get("client_ca"))
        context.load_cert_chain(tls["certificate"], tls["key"])
        context.verify_mode = ssl.CERT_REQUIRED if "client_ca" in tls else ssl.CERT_NONE
    web.run_app(
        interface.application(),
        host="localhost",
        port=settings["port"],
        ssl_context=context,
        print=None,
        access_log=None,
        shutdown_timeout=1,
        handler_cancellation=True,
        auto_decompress=False,
        max_line_size=_URI_LENGTH,
        max_field_size=_FIELD_LENGTH,
    )
    # The engine's threads would keep the process for as long as their queries run.
    os._exit(0)


if __name__ == "__main__":
    main()
