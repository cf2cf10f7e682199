"""Why a container was not instrumented.

InstrumentError
├── Refused       nothing was touched; the message says why and what to do
├── RolledBack    the container did not come up or did not report; the original runs again, untouched
└── BundleError   there is no usable bundle for the language
    └── MissingBundle
"""

from ophion_agent.plugin import OphionError


class InstrumentError(OphionError):
    """Base of the errors of instrumentation."""


class Refused(InstrumentError):  # noqa: N818 - states the outcome
    """The container was left alone."""


class RolledBack(InstrumentError):  # noqa: N818 - states the outcome
    """The original container runs again. `remembered`: the journal keeps it from another try with the same image."""

    def __init__(self, message: str, *, remembered: bool = False) -> None:
        super().__init__(message)
        self.remembered = remembered


class BundleError(InstrumentError):
    """No bundle, or a damaged one."""


class MissingBundle(BundleError):  # noqa: N818 - states the condition
    """There is no bundle for a language yet."""

    def __init__(self, language: str, message: str) -> None:
        super().__init__(message)
        self.language = language
