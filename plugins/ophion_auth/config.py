"""Options of the `auth` extension."""

from pathlib import Path

from pydantic import Field

from ophion_agent.plugin import ByteSize, Config, Duration, Secret


class PasswordHashing(Config):
    """Cost of one Argon2id hash; RFC 9106 recommends these values. Hashes are renewed when they change."""

    time_cost: int = Field(3, ge=1, le=100, description="Passes over the memory.")
    memory: ByteSize = Field(64 << 20, ge=8 << 10, le=4 << 30, description="Memory of one hash.")
    parallelism: int = Field(4, ge=1, le=64, description="Lanes of one hash.")
    workers: int = Field(2, ge=1, le=64, description="Hashes computed at once.")
    queue_size: int = Field(32, ge=1, le=10_000, description="Hashes that may wait; more are answered with 503.")


class LoginLimits(Config):
    """How often a password may be wrong: counted in a sliding window, for all servers together."""

    window: Duration = Field(900.0, gt=0, description="Time in which failures count.")
    failures_per_account: int = Field(10, ge=1, description="Failures of one account until it is locked.")
    failures_per_address: int = Field(50, ge=1, description="Failures from one address until it is locked.")
    lockout: Duration = Field(300.0, gt=0, description="How long it stays locked.")


class Rate(Config):
    """A token bucket."""

    requests_per_second: float = Field(gt=0, description="Requests a second in the long run.")
    burst: int = Field(ge=1, description="Requests at once.")


class RateLimits(Config):
    """How much one caller may ask of the API."""

    caller: Rate | None = Field(
        Rate(requests_per_second=100, burst=500), description="For each user and key; null for no limit."
    )
    address: Rate | None = Field(
        Rate(requests_per_second=200, burst=1000), description="For each client address; null for no limit."
    )
    anonymous: Rate | None = Field(
        Rate(requests_per_second=10, burst=50), description="For each address without credentials; null for no limit."
    )
    remembered: int = Field(20_000, ge=100, description="Callers and addresses remembered; the oldest is forgotten.")


class AuthConfig(Config):
    """Who may use the server."""

    secret: Secret | None = Field(
        None,
        description="Signs access tokens, at least 32 bytes; without it one is made and kept in the control store.",
    )
    directory: Path = Field(Path("./var/control"), description="Folder of the initial admin password.")
    cli_key_file: Path | None = Field(
        Path("./var/control/cli.key"), description="Where the key of the command line on this host lies; null for none."
    )
    access_token_lifetime: Duration = Field(900.0, gt=0, description="Life of an access token.")
    refresh_token_lifetime: Duration = Field(2_592_000.0, gt=0, description="Life of a refresh token.")
    session_lifetime: Duration = Field(2_592_000.0, gt=0, description="Longest life of a browser's session.")
    session_idle_timeout: Duration = Field(86_400.0, gt=0, description="Ends a browser's session that is not used.")
    cache_lifetime: Duration = Field(
        5.0, ge=0, description="How long keys and sessions are remembered, and thus changes by other servers go unseen."
    )
    basic_cache_lifetime: Duration = Field(
        60.0, ge=0, description="How long a right password over Basic is remembered."
    )
    password_hashing: PasswordHashing = Field(PasswordHashing(), description="Cost of password hashes.")
    login_limits: LoginLimits = Field(LoginLimits(), description="Lock-out of wrong passwords.")
    rate_limits: RateLimits = Field(RateLimits(), description="Limits of requests to the API.")
    audit_retention_days: int = Field(365, ge=1, le=36_500, description="Days that audit records are kept.")
    anonymous_tenant: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Tenant of senders without credentials, for receivers on localhost; null refuses them.",
    )
