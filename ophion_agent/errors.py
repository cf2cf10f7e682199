"""Every error the framework raises.

OphionError
├── RetryableError      the same data may succeed later; answered as 429/503 or UNAVAILABLE
├── PermanentError      the same data can never succeed; answered as 400 or INVALID_ARGUMENT
├── Unauthenticated     the sender did not prove who it is; answered as 401 or UNAUTHENTICATED
└── ConfigError         the configuration cannot run; carries every problem found
"""

from collections.abc import Sequence

from ophion_agent.origins import Problem


class OphionError(Exception):
    """Base of all errors that the framework raises on purpose."""


class RetryableError(OphionError):
    """The batch was not taken, and sending it again later may succeed.

    `retry_after_seconds` is the wait the destination asked for, or None where it named none.
    `admission` marks a refusal by a full queue or a memory limit of this agent rather than by a destination.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None, *, admission: bool = False) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.admission = admission


class PermanentError(OphionError):
    """The batch was refused for what it is; sending it again cannot help."""


class Unauthenticated(OphionError):  # noqa: N818 - the field's word, as in gRPC's status
    """The sender gave no credentials, or wrong ones. `challenge` is what HTTP answers in WWW-Authenticate."""

    def __init__(self, message: str, challenge: str = "Bearer") -> None:
        super().__init__(message)
        self.challenge = challenge


class ConfigError(OphionError):
    """The configuration cannot run. `problems` holds every reason, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
