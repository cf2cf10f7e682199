"""What the compared server has beside its bundled parts: an authorizer that asks nobody, and the samples."""

from pydantic import Field

from ophion_agent.plugin import Components, Config, Extension, hookimpl
from ophion_agent.server import AUTHORIZER, DEFAULT_TENANT, STORAGE, Permission, Principal


class Everybody(Extension[Config]):
    """Takes every caller for the same reader."""

    type_name = "everybody"
    provides = (AUTHORIZER,)

    async def identify(self, headers: object, cookies: object, *, client: str, method: str) -> Principal:
        """Return the reader."""
        return Principal("comparison", "user", DEFAULT_TENANT, frozenset({Permission.READ, Permission.INGEST}))

    def admit(self, principal: Principal, client: str) -> None:
        """Limit nobody."""


class DataSetConfig(Config):
    """Options of the `comparison_data` extension."""

    anchor: int = Field(0, description="Start of the data in Unix milliseconds.")


class DataSet(Extension[DataSetConfig]):
    """Writes a part of the samples into the store, past remote write."""

    type_name = "comparison_data"
    requires = (STORAGE,)

    async def start(self) -> None:
        """Write them; they are stored on return."""
        from tests.plugins.promql_comparison.loading import load

        await load(self.context.service(STORAGE), self.config.anchor)


@hookimpl
def ophion_components() -> Components:
    """Register both."""
    return [Everybody, DataSet]
