"""Options of the `api` extension."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from ophion_agent.plugin import Duration, Endpoint
from ophion_agent.web import HTTPServerConfig

Network = IPv4Network | IPv6Network
UNIX_PEER: Final = "unix"


def _proxies(values: list[str]) -> list[str]:
    for value in values:
        if value == UNIX_PEER:
            continue
        try:
            ip_network(value)
        except ValueError:
            remedy = "write 10.0.0.0/8, 192.0.2.1, ::1 or unix"
            raise ValueError(f'must be networks, got "{value}"; {remedy}') from None
    return values


def _public_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if value and (scheme not in ("http", "https") or not rest or any(mark in rest for mark in "?# ")):
        raise ValueError(f'must be an http or https URL, got "{value}"; write https://ophion.example.com')
    return value.rstrip("/")


def _header_value(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be one line of ASCII; write the directives with `; ` between them")
    return value


class ApiConfig(HTTPServerConfig):
    """Where the API is served, and what one request may use."""

    endpoint: Endpoint = Field("localhost:8080", description="Address to listen on.")
    additional_endpoints: list[Endpoint] = Field(
        [], description="Further addresses where the same is served, with the same options."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "", description="URL under which clients reach the server, such as https://ophion.example.com; empty: as asked."
    )
    trusted_proxies: Annotated[list[str], AfterValidator(_proxies)] = Field(
        [],
        description="Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; `unix` stands for "
        "whoever connects to a Unix socket.",
    )
    max_concurrent_requests: int = Field(
        512, gt=0, description="Requests answered at once, streams included; what comes beyond is told 503."
    )
    request_timeout: Duration = Field(
        120.0, gt=0, description="Longest time to answer; the work is cancelled and the client told 503."
    )
    access_log: bool = Field(False, description="Log a line for every request.")
    content_security_policy: Annotated[str, AfterValidator(_header_value)] = Field(
        "", description="Replaces the Content-Security-Policy of answers that have none of their own."
    )

    @property
    def proxies(self) -> tuple[tuple[Network, ...], bool]:
        """The trusted networks, and whether the peer at a Unix socket is trusted."""
        networks = tuple(ip_network(value) for value in self.trusted_proxies if value != UNIX_PEER)
        return networks, UNIX_PEER in self.trusted_proxies
