"""Traffic of network interfaces and TCP connections by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from ophion_host.filters import InterfaceMatch, name_filter
from ophion_host.host import Host
from ophion_host.metric import LINUX, counter, updown
from ophion_host.recorder import Recorder
from ophion_host.scraper import Scraper, ScraperConfig
from ophion_host.tcp_states import STATES, linux_connections

IO = counter("system.network.io", "By", "The number of bytes transmitted and received.", "device", "direction")
PACKETS = counter("system.network.packets", "{packets}", "The number of packets transferred.", "device", "direction")
ERRORS = counter("system.network.errors", "{errors}", "The number of errors encountered.", "device", "direction")
DROPPED = counter("system.network.dropped", "{packets}", "The number of packets dropped.", "device", "direction")
CONNECTIONS = updown("system.network.connections", "{connections}", "The number of connections.", "protocol", "state")
CONNTRACK_COUNT = updown(
    "system.network.conntrack.count",
    "{entries}",
    "The count of entries in conntrack table.",
    enabled=False,
    platforms=LINUX,
)
CONNTRACK_MAX = updown(
    "system.network.conntrack.max",
    "{entries}",
    "The limit for entries in the conntrack table.",
    enabled=False,
    platforms=LINUX,
)

_COUNTERS = (IO, PACKETS, ERRORS, DROPPED)


class NetworkConfig(ScraperConfig):
    """The `network` scraper."""

    table: ClassVar = (IO, PACKETS, ERRORS, DROPPED, CONNECTIONS, CONNTRACK_COUNT, CONNTRACK_MAX)

    include: InterfaceMatch | None = Field(None, description="Only these interfaces.")
    exclude: InterfaceMatch | None = Field(None, description="Not these interfaces.")


class NetworkScraper(Scraper[NetworkConfig]):
    """Reports traffic by interface, TCP connections by state, and the connection tracking table."""

    name = "network"

    def __init__(self, config: NetworkConfig, host: Host) -> None:
        super().__init__(config, host)
        self._wanted = name_filter(config.include, config.exclude)

    def scrape(self, out: Recorder) -> None:
        """See `Scraper.scrape`."""
        if out.wants(*_COUNTERS):
            self._add_traffic(out)
        if out.wants(CONNECTIONS):
            self._add_connections(out)
        if self.host.linux and out.wants(CONNTRACK_COUNT, CONNTRACK_MAX):
            self._add_conntrack(out)

    def _add_traffic(self, out: Recorder) -> None:
        try:
            interfaces = list(linux_interfaces(self.host) if self.host.linux else _portable_interfaces())
        except (OSError, ValueError, IndexError) as error:
            out.fail("io", f"failed to read network IO stats: {error}", lost=len(_COUNTERS))
            return
        for name, received, transmitted in interfaces:
            if self._wanted(name):
                for metric, inward, outward in zip(_COUNTERS, received, transmitted, strict=True):
                    out.add(metric, outward, name, "transmit")
                    out.add(metric, inward, name, "receive")

    def _add_connections(self, out: Recorder) -> None:
        try:
            counts = linux_connections(self.host) if self.host.linux else _portable_connections()
        except OSError as error:
            out.fail("connections", f"failed to read TCP connections: {error}", lost=1)
            return
        for state in dict.fromkeys(STATES.values()):
            out.add(CONNECTIONS, counts[state], "tcp", state)

    def _add_conntrack(self, out: Recorder) -> None:
        try:
            for metric, name in ((CONNTRACK_COUNT, "nf_conntrack_count"), (CONNTRACK_MAX, "nf_conntrack_max")):
                out.add(metric, int(self.host.read(f"sys/net/netfilter/{name}")))
        except OSError as error:
            out.fail("conntrack", f"failed to read conntrack info: {error}", lost=2)


Traffic = tuple[int, int, int, int]


def linux_interfaces(host: Host) -> Iterator[tuple[str, Traffic, Traffic]]:
    """Name, received and transmitted (bytes, packets, errors, dropped) of every line of /proc/net/dev."""
    for line in host.read_net("dev").decode("utf-8", "replace").splitlines()[2:]:
        name, _, columns = line.rpartition(":")
        numbers = [int(column) for column in columns.split()]
        received, transmitted = numbers[0:4], numbers[8:12]
        yield name.strip(), _traffic(*received), _traffic(*transmitted)


def _traffic(size: int, packets: int, errors: int, dropped: int) -> Traffic:
    return size, packets, errors, dropped


def _portable_interfaces() -> Iterator[tuple[str, Traffic, Traffic]]:
    import psutil

    for name, io in psutil.net_io_counters(pernic=True).items():
        yield (
            name,
            (io.bytes_recv, io.packets_recv, io.errin, io.dropin),
            (io.bytes_sent, io.packets_sent, io.errout, io.dropout),
        )


def _portable_connections() -> Counter[str]:
    import psutil

    try:
        return Counter(connection.status for connection in psutil.net_connections("tcp"))
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from error
