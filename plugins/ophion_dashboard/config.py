"""Options of the `dashboard` extension."""

from pathlib import PurePath
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from ophion_agent.plugin import Config
from ophion_agent.server import DEFAULT_TENANT, check_tenant

LOGO_TYPES: Final = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}


def _logo(value: str | None) -> str | None:
    if value and PurePath(value).suffix.lower() not in LOGO_TYPES:
        raise ValueError(f'must be a picture ({", ".join(LOGO_TYPES)}), got "{value}"')
    return value or None


class DashboardConfig(Config):
    """How the pages look."""

    title: str = Field("Ophion", min_length=1, max_length=60, description="Name in the title and beside the logo.")
    logo_file: Annotated[str | None, AfterValidator(_logo)] = Field(
        None, description="Picture shown instead of the built-in logo: SVG, PNG, WebP or JPEG, 256 KiB at most."
    )
    dashboards_directory: str | None = Field(
        None, description="Folder of dashboards as YAML files, read every 30 seconds and shown as they are."
    )
    dashboards_tenant: Annotated[str, AfterValidator(check_tenant)] = Field(
        DEFAULT_TENANT, description="Tenant that sees the dashboards of those files."
    )
