"""What the pages call themselves, for the page that nobody has signed in to yet."""

from __future__ import annotations

from pathlib import PurePath

from pydantic import BaseModel, Field

from ophion_agent.server import Call, Route
from ophion_dashboard.config import DashboardConfig


class BrandAnswer(BaseModel):
    """Name and picture of the pages."""

    title: str = Field(description="Name in the title and beside the logo.")
    logo: str | None = Field(description="Path of the picture; null for the built-in one.")


def brand_routes(config: DashboardConfig) -> list[Route]:
    """Return the one public route."""

    async def brand(_: Call) -> BrandAnswer:
        return BrandAnswer(title=config.title, logo=logo_path(config.logo_file) if config.logo_file else None)

    summary = "Name and picture of the pages"
    return [Route("GET", "/api/dashboard/brand", brand, None, answer=BrandAnswer, tag="dashboards", summary=summary)]


def logo_path(logo_file: str) -> str:
    """Return where a logo is served."""
    return f"/brand/logo{PurePath(logo_file).suffix.lower()}"
