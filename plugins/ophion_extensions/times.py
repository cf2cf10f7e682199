"""Times and figures as people and otelcol read them."""

from datetime import UTC, datetime


def rfc3339(unix_nano: int) -> str:
    """Return `2026-01-02T15:04:05.123Z`."""
    moment = datetime.fromtimestamp(unix_nano / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def go_duration(seconds: float) -> str:
    """Return a duration as Go prints it, to the millisecond: `1h2m3.5s`."""
    hours, rest = divmod(max(0, round(seconds * 1000)), 3_600_000)
    minutes, millis = divmod(rest, 60_000)
    text = f"{millis / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text


def short_duration(seconds: float) -> str:
    """Return the two largest units: `3d 4h`, `5m 12s`, `8s`."""
    whole = max(0, int(seconds))
    units = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
    parts: list[str] = []
    for size, unit in units:
        count, whole = divmod(whole, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def short_count(number: float) -> str:
    """Return a count or a rate in few characters: `0.4`, `950`, `12.3k`, `4.56M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{_three_digits(number / size)}{unit}"
    return f"{number:.1f}" if 0 < number < 99.95 and number != int(number) else f"{number:.0f}"


def short_bytes(size: int) -> str:
    """Return a size in binary units: `950 B`, `12.3 KiB`."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{_three_digits(amount)} {unit}"


def _three_digits(number: float) -> str:
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text
