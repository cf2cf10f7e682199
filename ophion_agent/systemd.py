"""Tells systemd (Type=notify) how the service is doing."""

import os
import socket


def notify(state: str) -> bool:
    """Send one state, such as `READY=1`; return False where nobody asked for it or listens. See sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    if state.startswith("RELOADING"):
        import time

        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(address)
            connection.sendall(state.encode())
        except OSError:
            return False
    return True
