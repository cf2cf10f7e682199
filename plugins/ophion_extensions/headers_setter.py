"""Headers on what exporters send: fixed ones, or those the data came with."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ophion_agent.plugin import (
    CLIENT_AUTH,
    ClientAuth,
    Config,
    Context,
    Extension,
    PermanentError,
    Provides,
    Secret,
    Text,
    null_is_default,
)
from ophion_extensions.watched_file import WatchedFile

Metadata = Mapping[str, tuple[str, ...]]

# otelcol reads an empty action as the default one.
Action = Annotated[Literal["insert", "update", "upsert", "delete"], BeforeValidator(lambda action: action or "upsert")]

_SOURCES = ("value", "value_file", "from_context")


class HeaderConfig(Config):
    """One header and where its value comes from."""

    key: str = Field(min_length=1, description="Name of the header.")
    action: Action = Field(
        "upsert",
        description="insert: unless it is there; update: only if it is there; upsert: always; delete: remove it. "
        "What is there are the headers of `additional_auth` and of the entries before this one.",
    )
    value: Secret | None = Field(None, description="The value itself.")
    value_file: str = Field("", description="File that holds the value, read again when it changes.")
    from_context: str = Field(
        "", description="Header of the sender's request that holds the value; the receiver needs include_metadata."
    )
    from_attribute: str = Field("", description="Not supported: facts about authenticated senders stay in receivers.")
    default_value: Text | None = Field(None, description="Value where the sender gave none.")

    @model_validator(mode="after")
    def _has_one_source(self) -> "HeaderConfig":
        if self.from_attribute:
            raise ValueError("`from_attribute` is not supported; take a header of the sender by `from_context`")
        sources = [name for name in _SOURCES if getattr(self, name)]
        if self.action == "delete":
            if sources:
                raise ValueError(f"a header to delete has no value, got `{sources[0]}`; leave it out")
        elif len(sources) != 1:
            given = ", ".join(sources) or "none"
            raise ValueError(f"must have exactly one of {', '.join(_SOURCES)}, got {given}")
        if self.default_value is not None and not self.from_context:
            raise ValueError("`default_value` needs `from_context`; use `value` for a fixed value")
        return self


class HeadersSetterConfig(Config):
    """Which headers to set."""

    headers: Annotated[list[HeaderConfig], BeforeValidator(null_is_default)] = Field(
        min_length=1, description="Headers, worked through in order."
    )
    additional_auth: Annotated[str | None, Provides(CLIENT_AUTH)] = Field(
        None, description="Authenticator whose headers these are added to."
    )


class HeadersSetter(Extension[HeadersSetterConfig]):
    """Adds headers to what exporters send, fixed or taken over from the request the data came with."""

    type_name = "headers_setter"
    provides = (CLIENT_AUTH,)

    def __init__(self, config: HeadersSetterConfig, context: Context) -> None:
        super().__init__(config, context)
        self._base: ClientAuth | None = None
        self._sources = [_Source(header, context) for header in config.headers]

    async def start(self) -> None:
        """Read the files; raise OphionError when one cannot be read."""
        if self.config.additional_auth is not None:
            self._base = self.context.service(CLIENT_AUTH, self.config.additional_auth)
        for source in self._sources:
            source.load()

    async def headers(self, metadata: Metadata) -> Mapping[str, str]:
        """Return the headers for a request with data that came with `metadata`.

        Raises PermanentError when a value is taken from a header that came several times.
        """
        base = await self._base.headers(metadata) if self._base is not None else {}
        headers = {name.lower(): value for name, value in base.items()}
        for source in self._sources:
            source.apply(headers, metadata)
        return headers


class _Source:
    """One configured header."""

    def __init__(self, config: HeaderConfig, context: Context) -> None:
        self._config = config
        self._name = config.key.lower()
        self._file = WatchedFile("value_file", config.value_file, context) if config.value_file else None

    def load(self) -> None:
        """Read the file, where there is one."""
        if self._file is not None:
            self._file.load()

    def apply(self, headers: dict[str, str], metadata: Metadata) -> None:
        """Change `headers` as configured; a value that nobody gave changes nothing."""
        action = self._config.action
        if action == "delete":
            headers.pop(self._name, None)
            return
        is_there = self._name in headers
        if (action == "insert" and is_there) or (action == "update" and not is_there):
            return
        value = self._value(metadata)
        if value is not None:
            headers[self._name] = value

    def _value(self, metadata: Metadata) -> str | None:
        config = self._config
        if config.value is not None:
            return config.value.get_secret_value()
        if self._file is not None:
            return self._file.text().strip()
        key = config.from_context.lower()
        values = metadata.get(key, ())
        if len(values) > 1:
            raise PermanentError(
                f"headers_setter: {config.key} needs one value, the sender's {key} has {len(values)}; "
                "let senders give it once, or drop the others"
            )
        return values[0] if values else config.default_value
