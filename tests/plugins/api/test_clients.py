"""Whose address counts behind proxies."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from api_serving import FakeAuthorizer, Source, make_api
from ophion_agent.server import Call, Route
from ophion_api.config import ApiConfig

NETWORKS = "write 10.0.0.0/8, 192.0.2.1, ::1 or unix"
URLS = "write https://ophion.example.com"
LOCAL = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]


class Who:
    """A public route that remembers who asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    async def __call__(self, call: Call) -> None:
        self.seen.append((call.client, call.secure))

    def route(self) -> Route:
        return Route("GET", "/who", self, None, status=204)


@pytest.mark.parametrize(
    ("trusted", "headers", "expected"),
    [
        ([], {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, ("127.0.0.1", False)),
        (LOCAL, {}, ("127.0.0.1", False)),
        (LOCAL, {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, ("203.0.113.9", True)),
        (LOCAL, {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3"}, ("203.0.113.9", False)),
        (LOCAL, {"X-Forwarded-For": "10.1.1.1, 10.1.2.3"}, ("10.1.1.1", False)),
        (LOCAL, {"X-Forwarded-For": "203.0.113.9, nonsense, 10.1.2.3"}, ("10.1.2.3", False)),
        (LOCAL, {"X-Forwarded-For": "[2001:db8::1]:4711"}, ("2001:db8::1", False)),
        (LOCAL, {"X-Forwarded-For": "203.0.113.9:4711"}, ("203.0.113.9", False)),
        (LOCAL, {"X-Forwarded-For": "::ffff:203.0.113.9"}, ("203.0.113.9", False)),
        (LOCAL, {"X-Forwarded-For": ", ,"}, ("127.0.0.1", False)),
        (LOCAL, {"X-Forwarded-Proto": "https, http"}, ("127.0.0.1", False)),
    ],
)
async def test_believes_trusted_proxies_only(
    api_server: Any, trusted: list[str], headers: dict[str, str], expected: tuple[str, bool]
) -> None:
    who = Who()
    server = await api_server([who.route()], config={"trusted_proxies": trusted})
    assert (await server.get("/who", headers=headers)).status == 204
    assert who.seen == [expected]
    assert server.authorizer.admitted == [("anonymous", expected[0])]


async def test_public_https_url_makes_every_request_secure(api_server: Any) -> None:
    who = Who()
    server = await api_server([who.route()], config={"public_url": "https://ophion.example.com/"})
    assert server.url == "https://ophion.example.com"
    assert server.api.addresses() == ["https://ophion.example.com"]


@pytest.mark.parametrize(("trusted", "expected"), [([], "unix"), (["unix"], "203.0.113.9")])
async def test_peer_at_a_unix_socket_is_a_proxy_when_told_so(tmp_path: Path, trusted: list[str], expected: str) -> None:
    who, path = Who(), tmp_path / "api.sock"
    config = {"endpoint": f"unix://{path}", "trusted_proxies": trusted}
    api = make_api({"source": Source([who.route()])}, FakeAuthorizer(), config)
    await api.start()
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://x/who", headers={"X-Forwarded-For": "203.0.113.9"}) as response,
        ):
            assert response.status == 204
    finally:
        await api.stop()
    assert [client for client, _ in who.seen] == [expected]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("trusted_proxies", ["proxy"], f'must be networks, got "proxy"; {NETWORKS}'),
        ("trusted_proxies", ["10.0.0.1/8"], f'must be networks, got "10.0.0.1/8"; {NETWORKS}'),
        ("public_url", "ophion.example.com", f'must be an http or https URL, got "ophion.example.com"; {URLS}'),
        ("public_url", "https://x?y", f'must be an http or https URL, got "https://x?y"; {URLS}'),
        ("content_security_policy", "a\nb", "must be one line of ASCII; write the directives with `; ` between them"),
    ],
)  # fmt: skip
def test_refuses_options_that_cannot_work(option: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiConfig.model_validate({option: value})
    assert message in str(caught.value)


def test_listens_on_8080_of_this_machine_unless_told_otherwise() -> None:
    config = ApiConfig.model_validate({"public_url": "https://ophion.example.com/"})
    assert (config.endpoint, config.public_url) == ("localhost:8080", "https://ophion.example.com")
