"""Options of the control store: which database it is and how long to wait for it."""

from pathlib import Path

from pydantic import Field, model_validator

from ophion_agent.plugin import Config, Duration, Secret


class PostgresConfig(Config):
    """A PostgreSQL database in parts, as environment variables give it: `host: ${env:DB_HOST:-}`."""

    host: str = Field("", description="Host name or address; empty leaves the control store on SQLite.")
    port: int = Field(5432, ge=1, le=65535, description="Port.")
    database: str = Field("ophion", min_length=1, description="Name of the database.")
    user: str = Field("ophion", min_length=1, description="User that owns the tables.")
    password: Secret | None = Field(None, description="Password of the user.")
    ssl_mode: str = Field(
        "prefer",
        pattern="^(disable|allow|prefer|require|verify-ca|verify-full)$",
        description="libpq's sslmode: disable, allow, prefer, require, verify-ca or verify-full.",
    )


class ControlStoreConfig(Config):
    """SQLite in `directory`, unless `url` or `postgres` names a database."""

    url: Secret | None = Field(
        None, description="Database, such as postgresql://user:password@host/ophion or sqlite:///path/control.db."
    )
    postgres: PostgresConfig | None = Field(None, description="PostgreSQL in parts, instead of `url`.")
    directory: Path = Field(Path("./var/control"), description="Folder of the SQLite file and of the store's locks.")
    pool_size: int = Field(10, ge=1, le=1000, description="Most connections to PostgreSQL; SQLite uses one.")
    start_timeout: Duration = Field(30.0, gt=0, description="How long a start waits for the database to answer.")
    pool_timeout: Duration = Field(10.0, gt=0, description="How long a request waits for a free connection.")
    statement_timeout: Duration = Field(30.0, gt=0, description="Longest run of one statement on PostgreSQL.")
    lock_timeout: Duration = Field(10.0, gt=0, description="How long a write waits for another process on SQLite.")
    migration_timeout: Duration = Field(
        300.0, gt=0, description="How long a start waits for another server that brings the tables up to date."
    )

    @model_validator(mode="after")
    def _names_one_database(self) -> "ControlStoreConfig":
        if self.database_url and self.postgres is not None and self.postgres.host:
            raise ValueError("must have `url` or `postgres`, got both; remove one")
        return self

    @property
    def database_url(self) -> str:
        """The configured URL, "" without one."""
        return self.url.get_secret_value().strip() if self.url is not None else ""
