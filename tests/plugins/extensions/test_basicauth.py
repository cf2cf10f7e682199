import asyncio
import base64
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from pydantic import ValidationError

from ophion_agent.plugin import CLIENT_AUTH, SERVER_AUTH, OphionError, RetryableError, Unauthenticated
from ophion_agent.testing import ManualClock, make_component
from ophion_extensions import basicauth, htpasswd
from ophion_extensions.basicauth import BasicAuth

BCRYPT = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$", 1)
# Written by `openssl passwd` (apr1, 5, 6) and by Apache's htpasswd -s; every one is "secret".
HASHES = {
    "bcrypt": BCRYPT,
    "apr1": "$apr1$O9FOGCCo$tutue4Y0H5OMRe37Tj4rh0",
    "sha": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
}


def basic(user: str, password: str) -> dict[str, list[str]]:
    return {"authorization": ["Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()]}


async def server(**config: Any) -> BasicAuth:
    auth = make_component(BasicAuth, {"htpasswd": config})
    await auth.start()
    return auth


@pytest.mark.parametrize("encoded", HASHES.values(), ids=HASHES)
async def test_checks_passwords_that_htpasswd_wrote(tmp_path: Path, encoded: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"# comment\n\nalice:{encoded}\n")
    auth = await server(file=str(path))
    assert await auth.authenticate(basic("alice", "secret")) == {"subject": "alice"}
    for wrong in ("", "Secret", "secret ", encoded):
        with pytest.raises(Unauthenticated, match="wrong user name or password"):
            await auth.authenticate(basic("alice", wrong))
    with pytest.raises(Unauthenticated, match="wrong user name or password"):
        await auth.authenticate(basic("bob", "secret"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "missing Authorization header"),
        ("Bearer abc", "wrong authorization scheme"),
        ("Basic", "malformed"),
        ("Basic !!!", "malformed"),
        ("Basic " + base64.b64encode(b"nocolon").decode(), "malformed"),
        ("Basic " + base64.b64encode(b":secret").decode(), "malformed"),
        ("Basic " + base64.b64encode(b"\xff\xfe:secret").decode(), "malformed"),
        ("Basic \udcff", "malformed"),
    ],
)
async def test_refuses_headers_without_credentials(header: str | None, message: str) -> None:
    auth = await server(inline=f"alice:{BCRYPT}")
    with pytest.raises(Unauthenticated, match=message):
        await auth.authenticate({} if header is None else {"authorization": [header]})


async def test_hashes_a_password_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []

    def verify(self: object, user: str, password: bytes) -> bool:
        checks.append(user)
        return user == "alice"

    monkeypatch.setattr(htpasswd.PasswordEntries, "verify", verify)
    auth = await server(inline=f"alice:{BCRYPT}\nbob:{BCRYPT}")
    await asyncio.gather(*(auth.authenticate(basic("alice", "secret")) for _ in range(20)))
    assert checks == ["alice"]
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await auth.authenticate(basic("bob", "wrong"))
    assert checks == ["alice", "bob"]


async def test_remembers_a_bounded_number_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basicauth, "_REMEMBERED", 2)
    auth = await server(inline="alice:secret")
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await auth.authenticate(basic("alice", str(number)))
    assert auth._server is not None
    assert len(auth._server._refused._users) == 2


async def test_reads_the_file_again_when_it_changes(tmp_path: Path) -> None:
    path, clock = tmp_path / "htpasswd", ManualClock()
    path.write_text(f"alice:{BCRYPT}\n")
    auth = make_component(BasicAuth, {"htpasswd": {"file": str(path)}}, clock=clock)
    await auth.start()
    await auth.authenticate(basic("alice", "secret"))
    path.write_text(f"bobby:{BCRYPT}\n")
    await clock.advance(1)
    with pytest.raises(Unauthenticated):
        await auth.authenticate(basic("alice", "secret"))
    assert await auth.authenticate(basic("bobby", "secret"))
    path.write_text("broken")
    await clock.advance(1)
    assert await auth.authenticate(basic("bobby", "secret"))


@pytest.mark.parametrize("entry", ["alice:secret", "alice:{UNKNOWN}abc", "alice:$9$abc"])
async def test_refuses_password_files_with_plain_or_unknown_entries(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"bob:{BCRYPT}\n{entry}\n")
    with pytest.raises(OphionError, match="line 2: unknown form of password hash for 'alice'; make one with") as caught:
        await server(file=str(path))
    assert entry.partition(":")[2] not in str(caught.value)


async def test_takes_plain_passwords_inline_as_otelcol_documents_it(caplog: pytest.LogCaptureFixture) -> None:
    auth = await server(inline="alice:secret")
    assert await auth.authenticate(basic("alice", "secret")) == {"subject": "alice"}
    assert "plain_text_password" in caplog.text
    assert "alice:secret" not in caplog.text


async def test_does_not_start_without_an_entry() -> None:
    with pytest.raises(OphionError, match="must have an entry, got none"):
        await server(inline="# nobody")
    with pytest.raises(OphionError, match="line 1: must be user:password, got something else"):
        await server(inline="alice")


async def test_gives_credentials_to_destinations(tmp_path: Path) -> None:
    auth = make_component(BasicAuth, {"client_auth": {"username": "alice", "password": "secret"}})
    assert await auth.headers({}) == {"Authorization": basic("alice", "secret")["authorization"][0]}
    (tmp_path / "user").write_text("bob\n")
    (tmp_path / "password").write_text("hush\n")
    files = {"username_file": str(tmp_path / "user"), "password_file": str(tmp_path / "password")}
    auth = make_component(BasicAuth, {"client_auth": files})
    await auth.start()
    assert await auth.headers({}) == {"Authorization": basic("bob", "hush")["authorization"][0]}


async def test_says_which_side_is_missing() -> None:
    client = make_component(BasicAuth, {"client_auth": {"username": "alice"}})
    with pytest.raises(Unauthenticated, match="must have `htpasswd` to check senders"):
        await client.authenticate(basic("alice", ""))
    receiving = make_component(BasicAuth, {"htpasswd": {"inline": "a:b"}})
    with pytest.raises(RetryableError, match="must have `client_auth` to be used by exporters"):
        await receiving.headers({})
    assert BasicAuth.offers(client.config) == (CLIENT_AUTH,)
    assert BasicAuth.offers(receiving.config) == (SERVER_AUTH,)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"must have `htpasswd` \(for receivers\) or `client_auth` \(for exporters\), got neither"),
        ({"htpasswd": {}}, "must have `file` or `inline`, got neither"),
        ({"client_auth": {"password": "x"}}, "must have a user, got none"),
    ],
)
def test_refuses_a_config_that_cannot_work(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BasicAuth.config_type.model_validate(config)
