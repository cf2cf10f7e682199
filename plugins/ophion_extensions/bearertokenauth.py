"""Bearer tokens: asked of senders by receivers, given to destinations by exporters."""

import hmac
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from ophion_agent.plugin import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Config,
    Context,
    Extension,
    OphionError,
    Secret,
    Text,
    Unauthenticated,
)
from ophion_extensions.watched_file import WatchedFile


class BearerTokenConfig(Config):
    """The tokens; `filename` wins over `token` and `tokens`, as in otelcol."""

    scheme: Text = Field("Bearer", description="Word before the token; empty to send and expect the bare token.")
    token: Secret | None = Field(None, description="The token to send and to accept.")
    tokens: list[Secret] = Field([], description="Several tokens to accept; the first one is sent.")
    filename: str = Field("", description="File with one token a line, read again when it changes.")
    header: str = Field("Authorization", min_length=1, description="Header that carries the token.")

    @model_validator(mode="after")
    def _has_a_token(self) -> "BearerTokenConfig":
        if self.token is not None and self.tokens:
            raise ValueError("must have `token` or `tokens`, got both; list every token in `tokens`")
        if not self.filename and not any(token.get_secret_value() for token in self.all_tokens()):
            raise ValueError("must have a token, got none; set `token`, `tokens` or `filename`")
        return self

    def all_tokens(self) -> list[Secret]:
        """Return `token` or `tokens` as a list."""
        return [self.token] if self.token is not None else self.tokens


class BearerTokenAuth(Extension[BearerTokenConfig]):
    """Asks senders for a bearer token, and gives one to destinations."""

    type_name = "bearertokenauth"
    aliases = ("bearer_token_auth",)
    provides = (SERVER_AUTH, CLIENT_AUTH)

    def __init__(self, config: BearerTokenConfig, context: Context) -> None:
        super().__init__(config, context)
        self._file = WatchedFile("filename", config.filename, context) if config.filename else None
        self._tokens = [token.get_secret_value() for token in config.all_tokens()]
        self._version = 0

    async def start(self) -> None:
        """Read the file; raise OphionError when it has no token or cannot be read."""
        if self._file is None:
            return
        if not _lines(self._file.load()):
            raise OphionError(
                f"filename {self.config.filename}: must hold a token, got an empty file; write one a line"
            )

    def _current(self) -> list[str]:
        if self._file is not None:
            text = self._file.text()
            # A file caught between truncation and rewriting is empty: the old tokens hold until it is complete.
            if self._version != self._file.version and (tokens := _lines(text)):
                self._version, self._tokens = self._file.version, tokens
        return self._tokens

    async def authenticate(self, headers: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
        """Accept any of the tokens, compared in constant time; raise Unauthenticated otherwise."""
        given = headers.get(self.config.header.lower(), ())
        if not given:
            raise Unauthenticated(f"missing {self.config.header} header; send `{self._example()}`")
        tokens = [token.encode() for token in self._current()]
        for value in given:
            token = self._token_of(value).encode("utf-8", "surrogateescape")
            # Every token is compared, so that the time tells nothing about which one came near.
            if token and any([hmac.compare_digest(token, known) for known in tokens]):  # noqa: C419
                return {"scheme": self.config.scheme}
        raise Unauthenticated(f"wrong token in the {self.config.header} header; send `{self._example()}`")

    def _token_of(self, value: str) -> str:
        scheme = self.config.scheme
        if not scheme:
            return value.strip()
        name, _, token = value.strip().partition(" ")
        # Schemes are case-insensitive (RFC 9110, 11.1).
        return token.strip() if name.lower() == scheme.lower() else ""

    def _example(self) -> str:
        return f"{self.config.header}: {self.config.scheme} <token>".replace(":  ", ": ")

    async def headers(self, metadata: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
        """Return the header with the first token."""
        return {self.config.header: f"{self.config.scheme} {self._current()[0]}".strip()}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
