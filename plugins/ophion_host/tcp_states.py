"""Counts TCP sockets by state, over IPv4 and IPv6.

psutil would look through the open files of every process; a count needs only the kernel's own tables. Asking over
netlink walks them once and costs a seventh of reading /proc/net/tcp and tcp6, which remain for where it is not allowed.
"""

from __future__ import annotations

import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from ophion_host.host import Host

# By the kernel's numbers: include/net/tcp_states.h. 12 is a SYN_RECV that has no full socket yet.
STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "SYN_RECV",
}
_PROC_LINE = re.compile(rb"^ *\d+: \S+ \S+ (\S\S) ", re.MULTILINE)

# include/uapi/linux/{netlink,inet_diag}.h. The older request, unlike SOCK_DIAG_BY_FAMILY, answers for both families.
_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_LENGTH_AND_TYPE = struct.Struct("=IH")
_STATE_OFFSET = _HEADER.size + 1
_ALL_STATES = 0x1FFF
_QUERY = bytes(4 + 48) + struct.pack("=II", _ALL_STATES, 0)


def linux_connections(host: Host) -> Counter[str]:
    """Number of TCP sockets by state. Raises OSError.

    Netlink answers for the agent's own network namespace, so under a root_path the host's /proc is read.
    """
    if host.root:
        return proc_connections(host)
    try:
        return netlink_connections()
    except OSError:
        # The kernel module is missing, or a sandbox forbids netlink.
        return proc_connections(host)


def proc_connections(host: Host) -> Counter[str]:
    """The count from /proc/net/tcp and tcp6. Raises OSError."""
    codes = Counter(_PROC_LINE.findall(host.read_net("tcp")))
    # A kernel without IPv6 has no such table.
    with suppress(FileNotFoundError):
        codes.update(_PROC_LINE.findall(host.read_net("tcp6")))
    return _named(Counter({int(code, 16): count for code, count in codes.items()}))


def netlink_connections() -> Counter[str]:
    """The count from the kernel's socket diagnosis. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(5)
        link.send(_HEADER.pack(_HEADER.size + len(_QUERY), _TCPDIAG_GETSOCK, _REQUEST_DUMP, 1, 0) + _QUERY)
        return _named(Counter(_states(link)))


def _states(link: socket.socket) -> Iterator[int]:
    while True:
        answer = link.recv(65536)
        offset = 0
        while offset < len(answer):
            length, kind = _LENGTH_AND_TYPE.unpack_from(answer, offset)
            if kind in (_ERROR, _DONE):
                (code,) = struct.unpack_from("=i", answer, offset + _HEADER.size)
                if code < 0:
                    raise OSError(-code, "socket diagnosis refused")
                return
            yield answer[offset + _STATE_OFFSET]
            # Messages are aligned to four bytes.
            offset += (length + 3) & ~3


def _named(numbers: Counter[int]) -> Counter[str]:
    named: Counter[str] = Counter()
    for number, count in numbers.items():
        if number in STATES:
            named[STATES[number]] += count
    return named
