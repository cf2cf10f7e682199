"""axe-core's accessibility checks of a page: what is serious or critical, in words."""

import json
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from requirement import unavailable

AXE = Path(__file__).parents[3] / "plugins/ophion_dashboard/ui/node_modules/axe-core/axe.min.js"
GRAVE = ("serious", "critical")
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


# All that another theme can change.
COLOURS = ("color-contrast", "link-in-text-block")


async def serious_findings(page: Page, *, within: str = "", only: tuple[str, ...] = ()) -> list[str]:
    """Return the serious and critical findings on a page, one per rule and element.

    `within` is a CSS selector of the part that is looked at, `only` names the rules where not all of them are asked.
    """
    if not AXE.is_file():
        unavailable("needs axe-core: cd plugins/ophion_dashboard/ui && npm ci")
    # Evaluated by the debugger, so the page's policy, which forbids foreign scripts, stays as it is.
    await page.evaluate(AXE.read_text(encoding="utf-8") + "\n;undefined")
    options = {
        "runOnly": {"type": "rule", "values": list(only)} if only else {"type": "tag", "values": list(TAGS)},
        "resultTypes": ["violations"],
    }
    context = json.dumps(within) if within else "document"
    found = await page.evaluate(f"axe.run({context}, {json.dumps(options)}).then((result) => result.violations)")
    return [line for violation in found if violation["impact"] in GRAVE for line in _lines(violation)]


def _lines(violation: dict[str, Any]) -> list[str]:
    lines = []
    for node in violation["nodes"]:
        summary = " ".join(node.get("failureSummary", "").split())
        target = " ".join(map(str, node["target"]))
        html = node["html"][:160]
        lines.append(f"{violation['impact']} {violation['id']}: {violation['help']}: {target}: {html}: {summary}")
    return lines
