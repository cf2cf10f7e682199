"""User names and passwords over HTTP's Basic scheme (RFC 7617): asked of senders, or given to destinations."""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field, model_validator

from ophion_agent.plugin import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Config,
    Context,
    Extension,
    OphionError,
    RetryableError,
    Secret,
    ServiceKey,
    Unauthenticated,
)
from ophion_extensions.htpasswd import PasswordEntries, parse_htpasswd
from ophion_extensions.watched_file import WatchedFile

_REMEMBERED: Final = 1024


_CHALLENGE = 'Basic realm="ophion-agent", charset="UTF-8"'


class HtpasswdConfig(Config):
    """Who may send."""

    file: str = Field("", description="File of htpasswd entries, hashed passwords only; read again when it changes.")
    inline: Secret | None = Field(
        None, description="htpasswd entries, one a line; they win over the file. Plain passwords work with a warning."
    )

    @model_validator(mode="after")
    def _has_entries(self) -> "HtpasswdConfig":
        if not self.file and self.inline is None:
            raise ValueError("must have `file` or `inline`, got neither; make an entry with `htpasswd -nB USER`")
        return self


class ClientCredentials(Config):
    """Who the agent is to a destination."""

    username: str = Field("", description="User name.")
    password: Secret | None = Field(None, description="Password.")
    username_file: str = Field("", description="File that holds the user name; wins over `username`.")
    password_file: str = Field("", description="File that holds the password; wins over `password`.")

    @model_validator(mode="after")
    def _has_a_user(self) -> "ClientCredentials":
        if not self.username and not self.username_file:
            raise ValueError("must have a user, got none; set `username` or `username_file`")
        return self


class BasicAuthConfig(Config):
    """`htpasswd` for receivers, `client_auth` for exporters, or both."""

    htpasswd: HtpasswdConfig | None = Field(None, description="Passwords to ask senders for.")
    client_auth: ClientCredentials | None = Field(None, description="Credentials to give to destinations.")

    @model_validator(mode="after")
    def _has_a_side(self) -> "BasicAuthConfig":
        if self.htpasswd is None and self.client_auth is None:
            raise ValueError("must have `htpasswd` (for receivers) or `client_auth` (for exporters), got neither")
        return self


class BasicAuth(Extension[BasicAuthConfig]):
    """Asks senders for user name and password, or gives them to destinations."""

    type_name = "basicauth"
    aliases = ("basic_auth",)
    provides = (SERVER_AUTH, CLIENT_AUTH)

    def __init__(self, config: BasicAuthConfig, context: Context) -> None:
        super().__init__(config, context)
        self._server = _Passwords(config.htpasswd, context) if config.htpasswd else None
        client = config.client_auth
        self._user_file = _file("client_auth.username_file", client.username_file, context) if client else None
        self._password_file = _file("client_auth.password_file", client.password_file, context) if client else None

    @classmethod
    def offers(cls, config: BasicAuthConfig) -> tuple[ServiceKey[Any], ...]:
        """Return the services of this configuration: only the sides that it has credentials for."""
        sides = ((SERVER_AUTH, config.htpasswd), (CLIENT_AUTH, config.client_auth))
        return tuple(key for key, credentials in sides if credentials is not None)

    async def start(self) -> None:
        """Read the files; raise OphionError when an entry or a file is not usable."""
        if self._server is not None:
            await self._server.load()
        for file in (self._user_file, self._password_file):
            if file is not None:
                file.load()

    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Return the sender's name as `subject`; raise Unauthenticated without the right password."""
        if self._server is None:
            name = self.context.id
            raise Unauthenticated(
                f"extension {name}: must have `htpasswd` to check senders; only client_auth is set", _CHALLENGE
            )
        values = headers.get("authorization", ())
        if not values:
            raise Unauthenticated(
                "missing Authorization header; send `Authorization: Basic <user:password in base64>`", _CHALLENGE
            )
        return {"subject": await self._server.user_of(values[0])}

    async def headers(self, metadata: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
        """Return the Authorization header for a destination."""
        client = self.config.client_auth
        if client is None:
            name = self.context.id
            raise RetryableError(f"extension {name}: must have `client_auth` to be used by exporters; set it")
        user = _first_line(self._user_file) if self._user_file else client.username
        given = client.password.get_secret_value() if client.password else ""
        password = _first_line(self._password_file) if self._password_file else given
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}


class _Passwords:
    """Checks Authorization headers, and remembers the outcome: hashing a password anew takes a tenth of a second."""

    def __init__(self, config: HtpasswdConfig, context: Context) -> None:
        self._context = context
        self._inline = config.inline.get_secret_value() if config.inline else ""
        self._file = _file("htpasswd.file", config.file, context)
        self._version = 0
        self._entries = PasswordEntries({}, has_plain_text=False)
        self._key = secrets.token_bytes(32)
        self._accepted = _Recent()
        self._refused = _Recent()
        # Senders with a wrong password may cost one core at most.
        self._hashing = asyncio.Lock()

    async def load(self) -> None:
        """Read every entry; OphionError says which one is wrong."""
        text = self._file.load() if self._file else ""
        self._version = self._file.version if self._file else 0
        await asyncio.to_thread(self._parse, text)
        if self._entries.has_plain_text:
            self._context.log.warning("plain_text_password", option="htpasswd.inline", remedy="use `htpasswd -nB USER`")

    def _parse(self, text: str) -> None:
        from_file = parse_htpasswd(text, "htpasswd.file", plain_text=False)
        inline = parse_htpasswd(self._inline, "htpasswd.inline", plain_text=True)
        if not from_file and not inline:
            raise OphionError("htpasswd: must have an entry, got none; make one with `htpasswd -nB USER`")
        self._entries = from_file.overridden_by(inline)

    async def user_of(self, header: str) -> str:
        """Return the user that an Authorization header proves; raise Unauthenticated."""
        if self._file is not None:
            await self._reload(self._file)
        # Only a keyed digest is kept: memory holds no password that was sent.
        digest = hashlib.blake2b(header.encode("utf-8", "surrogateescape"), key=self._key).digest()
        user = self._accepted.get(digest)
        if user is None and self._refused.get(digest) is None:
            user = await self._check(digest, header)
        if user is None:
            raise Unauthenticated("wrong user name or password", _CHALLENGE)
        return user

    async def _check(self, digest: bytes, header: str) -> str | None:
        name, password = _credentials(header)
        async with self._hashing:
            # Requests that came together wait for the first one's outcome.
            known = self._accepted.get(digest)
            if known is not None or self._refused.get(digest) is not None:
                return known
            version = self._version
            right = await asyncio.to_thread(self._entries.verify, name, password)
        if version == self._version:
            (self._accepted if right else self._refused).put(digest, name)
        return name if right else None

    async def _reload(self, file: WatchedFile) -> None:
        text = file.text()
        if file.version == self._version:
            return
        self._version = file.version
        try:
            await asyncio.to_thread(self._parse, text)
        except OphionError as error:
            self._context.log.error("htpasswd_refused", error=str(error), effect="the last good entries are used")
            return
        self._accepted.clear()
        self._refused.clear()


class _Recent:
    """The outcomes of the last checks, by digest."""

    def __init__(self) -> None:
        self._users: OrderedDict[bytes, str] = OrderedDict()

    def get(self, digest: bytes) -> str | None:
        user = self._users.get(digest)
        if user is not None:
            self._users.move_to_end(digest)
        return user

    def put(self, digest: bytes, user: str) -> None:
        self._users[digest] = user
        if len(self._users) > _REMEMBERED:
            self._users.popitem(last=False)

    def clear(self) -> None:
        self._users.clear()


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise Unauthenticated(
            "wrong authorization scheme; send `Authorization: Basic <user:password in base64>`", _CHALLENGE
        )
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except (binascii.Error, ValueError):
        raise Unauthenticated("malformed Authorization header; send user:password in base64", _CHALLENGE) from None
    if not colon or not user:
        raise Unauthenticated("malformed Authorization header; send user:password in base64", _CHALLENGE)
    return name, password


def _file(option: str, path: str, context: Context) -> WatchedFile | None:
    return WatchedFile(option, path, context) if path else None


def _first_line(file: WatchedFile) -> str:
    return file.text().strip().split("\n", 1)[0].rstrip("\r")
