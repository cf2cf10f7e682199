"""The `system` resource detector: name, identity, addresses, processor and operating system of this host."""

import ipaddress
import platform
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SYSTEM_ATTRIBUTES: dict[str, bool] = {
    "host.name": True,
    "os.type": True,
    **dict.fromkeys(("host.id", "host.arch", "host.ip", "host.mac", "host.interface"), False),
    **dict.fromkeys(("host.cpu.vendor.id", "host.cpu.family", "host.cpu.model.id", "host.cpu.model.name"), False),
    **dict.fromkeys(("host.cpu.stepping", "host.cpu.cache.l2.size"), False),
    **dict.fromkeys(("os.description", "os.name", "os.version", "os.build.id"), False),
}
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i386": "x86",
    "i686": "x86",
    "armv7l": "arm32",
    "armv6l": "arm32",
}
_CPU_FIELDS = {
    "vendor_id": "host.cpu.vendor.id",
    "cpu family": "host.cpu.family",
    "model": "host.cpu.model.id",
    "model name": "host.cpu.model.name",
    "stepping": "host.cpu.stepping",
}


def detect_system(enabled: frozenset[str], sources: Sequence[str], root: Path = Path("/")) -> dict[str, object]:
    """Return the enabled attributes; raise OSError when no source gives a host name. Blocks: it may ask the DNS."""
    found: dict[str, object] = {}
    if "host.name" in enabled:
        found["host.name"] = host_name(sources)
    readers: Sequence[tuple[str, Callable[[], Mapping[str, object]]]] = (
        ("os.", lambda: _operating_system(root)),
        ("host.id", lambda: _identity(root)),
        ("host.arch", lambda: {"host.arch": _ARCHITECTURES.get(platform.machine(), platform.machine().lower())}),
        ("host.cpu.", lambda: _processor(root)),
        ("host.ip", lambda: {"host.ip": [str(address) for address in _addresses()]}),
        ("host.mac", _links),
        ("host.interface", _links),
    )
    for prefix, read in readers:
        if any(name.startswith(prefix) for name in enabled):
            found |= read()
    return {name: value for name, value in found.items() if name in enabled and value not in (None, "", [])}


def host_name(sources: Sequence[str]) -> str:
    """Return the name from the first source that has one; raise OSError with every reason when none has."""
    reasons = []
    for source in sources:
        try:
            return _SOURCES[source]()
        except OSError as error:
            reasons.append(f"{source}: {error}")
    raise OSError(f"no source gives a host name: {'; '.join(reasons)}")


def _from_dns() -> str:
    name = socket.gethostname()
    qualified = socket.getfqdn(name)
    if "." not in qualified or qualified.startswith("localhost"):
        raise OSError(f"{name} has no fully qualified name")
    return qualified


def _from_cname() -> str:
    name = socket.gethostname()
    canonical = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3]
    return canonical.removesuffix(".") or name


def _from_reverse_lookup() -> str:
    for entry in socket.getaddrinfo(socket.gethostname(), None):
        address = str(entry[4][0])
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            return socket.gethostbyaddr(address)[0].removesuffix(".")
    raise OSError("this host has no address but the loopback")


_SOURCES: Mapping[str, Callable[[], str]] = {
    "os": lambda: socket.gethostname(),
    "dns": _from_dns,
    "cname": _from_cname,
    "lookup": _from_reverse_lookup,
}


def _operating_system(root: Path) -> dict[str, object]:
    system = platform.uname()
    release = root / "etc/os-release"
    lines = release.read_text().splitlines() if release.exists() else []
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    named = {name: value.strip("\"'") for name, value in facts.items()}
    return {
        "os.type": system.system.lower(),
        "os.description": " ".join((system.system, system.node, system.release, system.version, system.machine)),
        "os.name": named.get("NAME", system.system),
        "os.version": named.get("VERSION_ID", system.release),
        "os.build.id": named.get("BUILD_ID", system.release),
    }


def _identity(root: Path) -> dict[str, object]:
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        if (root / name).exists():
            return {"host.id": (root / name).read_text().strip()}
    return {}


def _processor(root: Path) -> dict[str, object]:
    """Return what /proc/cpuinfo says of the first processor."""
    cpuinfo = root / "proc/cpuinfo"
    if not cpuinfo.exists():
        return {}
    first = cpuinfo.read_text().split("\n\n", 1)[0]
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    found: dict[str, object] = {name: facts[field] for field, name in _CPU_FIELDS.items() if field in facts}
    size = facts.get("cache size", "").removesuffix(" KB")
    return found | ({"host.cpu.cache.l2.size": int(size)} if size.isdecimal() else {})


def _addresses() -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Yield the addresses of every interface but the loopback."""
    import psutil

    for entries in psutil.net_if_addrs().values():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                if not address.is_loopback:
                    yield address


def _links() -> dict[str, object]:
    """Return the interfaces other than the loopback, and their hardware addresses in the form of IEEE RA."""
    import psutil

    entries = [(name, entry) for name, addresses in psutil.net_if_addrs().items() for entry in addresses]
    links = [(name, entry.address) for name, entry in entries if entry.family == psutil.AF_LINK and name != "lo"]
    hardware = [address.upper().replace(":", "-") for _, address in links if set(address) - {"0", ":"}]
    return {"host.mac": hardware, "host.interface": [name for name, _ in links]}
