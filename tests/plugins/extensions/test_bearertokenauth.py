import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from ophion_agent.plugin import OphionError, Unauthenticated
from ophion_agent.testing import ManualClock, make_component
from ophion_extensions.bearertokenauth import BearerTokenAuth


async def test_accepts_every_configured_token() -> None:
    auth = make_component(BearerTokenAuth, {"tokens": ["first", "second"]})
    for header in ("Bearer first", "bearer second", " Bearer   second "):
        assert await auth.authenticate({"authorization": [header]}) == {"scheme": "Bearer"}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic first", "first", "Bearer fi\udcff"])
async def test_refuses_everything_else(header: str) -> None:
    auth = make_component(BearerTokenAuth, {"token": "first"})
    with pytest.raises(Unauthenticated, match="wrong token in the Authorization header; send `Authorization: Bearer"):
        await auth.authenticate({"authorization": [header]})


async def test_refuses_a_sender_without_the_header() -> None:
    auth = make_component(BearerTokenAuth, {"token": "first", "header": "X-Api-Key", "scheme": ""})
    with pytest.raises(Unauthenticated, match="missing X-Api-Key header; send `X-Api-Key: <token>`"):
        await auth.authenticate({"authorization": ["Bearer first"]})
    assert await auth.authenticate({"x-api-key": ["first"]})


async def test_gives_the_first_token_to_destinations() -> None:
    assert await make_component(BearerTokenAuth, {"tokens": ["a", "b"]}).headers({}) == {"Authorization": "Bearer a"}
    config = {"token": "a", "header": "X-Api-Key", "scheme": ""}
    assert await make_component(BearerTokenAuth, config).headers({}) == {"X-Api-Key": "a"}


async def test_reads_the_file_again_when_it_changes(tmp_path: Path) -> None:
    path, clock = tmp_path / "token", ManualClock()
    path.write_text("old\n")
    auth = make_component(BearerTokenAuth, {"filename": str(path)}, clock=clock)
    await auth.start()
    assert await auth.headers({}) == {"Authorization": "Bearer old"}
    path.write_text("newer\n\nolder\n")
    await clock.advance(1)
    assert await auth.headers({}) == {"Authorization": "Bearer newer"}
    assert await auth.authenticate({"authorization": ["Bearer older"]})
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"authorization": ["Bearer old"]})


async def test_keeps_the_last_token_while_the_file_cannot_be_read(tmp_path: Path) -> None:
    path, clock = tmp_path / "token", ManualClock()
    path.write_text("old")
    auth = make_component(BearerTokenAuth, {"filename": str(path)}, clock=clock)
    await auth.start()
    os.unlink(path)
    await clock.advance(1)
    assert await auth.headers({}) == {"Authorization": "Bearer old"}
    assert auth.context.health.status == "degraded"
    path.write_text("new")
    await clock.advance(1)
    assert await auth.headers({}) == {"Authorization": "Bearer new"}
    assert auth.context.health.status == "ok"


async def test_does_not_start_without_a_token_in_the_file(tmp_path: Path) -> None:
    missing = make_component(BearerTokenAuth, {"filename": str(tmp_path / "missing")})
    with pytest.raises(
        OphionError, match="missing: cannot be read: No such file or directory; check its path and mode"
    ):
        await missing.start()
    (tmp_path / "empty").write_text("\n")
    empty = make_component(BearerTokenAuth, {"filename": str(tmp_path / "empty")})
    with pytest.raises(OphionError, match="must hold a token, got an empty file"):
        await empty.start()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "must have a token, got none"),
        ({"token": ""}, "must have a token, got none"),
        ({"token": "a", "tokens": ["b"]}, "must have `token` or `tokens`, got both"),
    ],
)
def test_refuses_a_config_that_cannot_work(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BearerTokenAuth.config_type.model_validate(config)


def test_never_shows_a_token() -> None:
    config = BearerTokenAuth.config_type.model_validate({"tokens": ["hush"]})
    assert "hush" not in repr(config) + str(config.model_dump(mode="json"))
