"""What can be done with the keyboard on a page: where Tab goes, whether one sees it, and what it does not reach."""

from dataclasses import dataclass

from playwright.async_api import Page

# A list of rows is walked by arrow keys; a page whose Tab order is longer than this is looked at in part.
MOST_TABS = 120

_STYLE = """
  const look = (element) => {
    const style = getComputedStyle(element)
    return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor,
      style.backgroundColor, style.color, style.opacity].join('|')
  }
  const chain = (element) => {
    const found = []
    for (let at = element; at && found.length < 3; at = at.parentElement) found.push(at)
    return found
  }
  // Without an outline something else may show it, such as a border; the element loses the focus for a moment.
  const differs = (element) => {
    const focused = chain(element).map(look).join()
    element.blur()
    const unfocused = chain(element).map(look).join()
    element.focus({ preventScroll: true, focusVisible: true })
    return focused !== unfocused
  }
  const name = (element) => {
    const label = element.getAttribute('aria-label') || element.innerText || element.getAttribute('name') || ''
    return `${element.tagName.toLowerCase()} ${element.getAttribute('role') ?? ''} "${label.trim().slice(0, 40)}"`
  }
"""

_FOCUSED = f"""() => {{
  {_STYLE}
  const element = document.activeElement
  if (!element || element === document.body) return null
  window.rigIds ??= new WeakMap()
  window.rigCount ??= 0
  if (!window.rigIds.has(element)) window.rigIds.set(element, ++window.rigCount)
  const box = element.getBoundingClientRect()
  const isOutlined = chain(element).some((at) => {{
    const style = getComputedStyle(at)
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
  }})
  const isMarked = isOutlined || element.matches('.cm-content, [contenteditable]') || differs(element)
  return {{
    id: window.rigIds.get(element),
    name: name(element),
    seen: box.width > 0 && box.height > 0,
    marked: isMarked,
  }}
}}"""

_UNREACHED = f"""() => {{
  {_STYLE}
  const focusable = 'a[href], button, input, select, textarea, summary, label, [tabindex], [contenteditable=true], '
    + '[role=tab], [role=radio], [role=option], [role=menuitem], [role=gridcell], [role=row]'
  const isShown = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== 'hidden'
  return [...document.querySelectorAll('body *')].filter((element) =>
    getComputedStyle(element).cursor === 'pointer'
    && (!element.parentElement || getComputedStyle(element.parentElement).cursor !== 'pointer')
    && isShown(element)
    && !element.closest(focusable)
    && !element.querySelector(focusable)
    && !element.closest('[aria-hidden=true]')
  ).map(name)
}}"""


@dataclass(frozen=True)
class Stop:
    """An element that Tab has come to."""

    id: int
    name: str
    seen: bool
    marked: bool


async def walk(page: Page, most: int = MOST_TABS) -> list[Stop]:
    """Press Tab until the focus has gone round, and return where it was."""
    await page.evaluate("() => document.activeElement?.blur?.()")
    stops: list[Stop] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        found = await page.evaluate(_FOCUSED)
        if found is None:
            if stops:
                break
            continue
        stop = Stop(**found)
        if stops and stop.id == stops[0].id:
            break
        stops.append(stop)
    return stops


async def unreached(page: Page) -> list[str]:
    """Return what looks as if it could be clicked, and can be neither focused nor lies in or around what can."""
    found: list[str] = await page.evaluate(_UNREACHED)
    return found
