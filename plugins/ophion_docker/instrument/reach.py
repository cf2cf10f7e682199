"""Whether a container can reach the agent: tried from inside its network namespace, before anything is touched."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ophion_docker.instrument.agent import is_loopback
from ophion_docker.instrument.errors import Refused

_EVERY: Final = ("", "0.0.0.0", "::")
_SECONDS: Final = 10
# A process of its own: entering a namespace changes a whole thread for good.
_PROBE: Final = """
import ctypes, os, socket, sys
namespace, port = sys.argv[1], int(sys.argv[2])
handle = os.open(namespace, os.O_RDONLY)
if ctypes.CDLL(None, use_errno=True).setns(handle, 0x40000000) != 0:
    sys.exit("cannot enter the network namespace: " + os.strerror(ctypes.get_errno()))
for host in sys.argv[3:]:
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        continue
    print(host)
    break
"""


def gateways(inspect: Mapping[str, Any]) -> list[str]:
    """Return the addresses at which a container may find its host."""
    if inspect["HostConfig"].get("NetworkMode") == "host":
        return ["127.0.0.1"]
    networks = (inspect["NetworkSettings"].get("Networks") or {}).values()
    found = [str((network or {}).get(key) or "") for key in ("Gateway", "IPv6Gateway") for network in networks]
    return list(dict.fromkeys(address for address in found if address))


async def find_endpoint(inspect: Mapping[str, Any], port: int, proc: Path, listening: Sequence[str] = ()) -> str:
    """Return the URL by which the container reaches the agent; raises Refused where it cannot.

    `listening` are the hosts that the agent listens on. One that is an address of this host, such as that of another
    bridge, is reached from every network that has a gateway.
    """
    name = str(inspect["Name"]).removeprefix("/")
    hosts = gateways(inspect)
    if not hosts:
        raise Refused(f"{name}: its networks have no gateway to reach the agent by; connect it to one that has")
    named = [host for host in listening if host not in _EVERY and not is_loopback(host)]
    tried = list(dict.fromkeys([*hosts, *named]))
    reached = await _probe(proc / str(inspect["State"]["Pid"]) / "ns" / "net", port, tried, name)
    if not reached:
        raise Refused(
            f"{name}: cannot reach the agent at {', '.join(tried)} port {port}; {_remedy(tried, port, listening)}"
        )
    return f"http://{_bracketed(reached)}:{port}"


def _remedy(tried: Sequence[str], port: int, listening: Sequence[str]) -> str:
    wanted = f"{_bracketed(tried[0])}:{port}"
    only = ", so far it does on localhost only" if listening and all(map(is_loopback, listening)) else ""
    option = f"--set receivers.otlp.protocols.http.endpoint={wanted}"
    set_it = f"start the agent with {option}, or set its http endpoint in the configuration"
    return f"let the otlp receiver listen there{only}: {set_it}; a firewall has to let it pass"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _probe(namespace: Path, port: int, hosts: Sequence[str], name: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _PROBE, str(namespace), str(port), *hosts,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        reason = errors.decode(errors="replace").strip().splitlines()
        why = reason[-1] if reason else "unknown"
        raise Refused(f"{name}: its network cannot be tried: {why}; run as root, a container with SYS_ADMIN")
    return output.decode().strip()
