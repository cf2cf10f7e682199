from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ophion_agent.plugin import PermanentError
from ophion_agent.testing import ManualClock, make_component
from ophion_extensions.bearertokenauth import BearerTokenAuth
from ophion_extensions.headers_setter import HeadersSetter


async def headers_of(*headers: dict[str, Any], metadata: Any = None, **config: Any) -> dict[str, str]:
    token = make_component(BearerTokenAuth, {"token": "secret"})
    setter = make_component(HeadersSetter, {"headers": list(headers), **config}, services={"token": token})
    await setter.start()
    return dict(await setter.headers(metadata or {}))


async def test_sets_fixed_values_and_those_of_the_sender() -> None:
    metadata = {"tenant_id": ("shop",)}
    headers = [
        {"key": "X-Scope-OrgID", "from_context": "tenant_id"},
        {"action": "insert", "key": "User-ID", "value": "user"},
    ]
    assert await headers_of(*headers, metadata=metadata) == {"x-scope-orgid": "shop", "user-id": "user"}


async def test_uses_the_default_where_the_sender_gave_nothing() -> None:
    header = {"key": "X-Tenant", "from_context": "tenant"}
    assert await headers_of(header) == {}
    assert await headers_of({**header, "default_value": "nobody"}) == {"x-tenant": "nobody"}


async def test_refuses_to_guess_between_several_values() -> None:
    with pytest.raises(PermanentError, match="X-Tenant needs one value, the sender's tenant has 2"):
        await headers_of({"key": "X-Tenant", "from_context": "Tenant"}, metadata={"tenant": ("a", "b")})


@pytest.mark.parametrize(
    ("action", "key", "expected"),
    [
        ("insert", "Authorization", {"authorization": "Bearer secret"}),
        ("update", "Authorization", {"authorization": "new"}),
        ("upsert", "Authorization", {"authorization": "new"}),
        ("", "Authorization", {"authorization": "new"}),
        ("insert", "X-Other", {"authorization": "Bearer secret", "x-other": "new"}),
        ("update", "X-Other", {"authorization": "Bearer secret"}),
    ],
)
async def test_acts_on_the_headers_of_the_other_authenticator(action: str, key: str, expected: dict[str, str]) -> None:
    header = {"action": action, "key": key, "value": "new"}
    assert await headers_of(header, additional_auth="token") == expected


async def test_deletes_a_header_of_the_other_authenticator() -> None:
    assert await headers_of({"action": "delete", "key": "Authorization"}, additional_auth="token") == {}


async def test_reads_a_value_file_again_when_it_changes(tmp_path: Path) -> None:
    path, clock = tmp_path / "key", ManualClock()
    path.write_text("old\n")
    setter = make_component(HeadersSetter, {"headers": [{"key": "X-Key", "value_file": str(path)}]}, clock=clock)
    await setter.start()
    assert await setter.headers({}) == {"x-key": "old"}
    path.write_text("newer\n")
    await clock.advance(1)
    assert await setter.headers({}) == {"x-key": "newer"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"key": "X"}, "must have exactly one of value, value_file, from_context, got none"),
        ({"key": "X", "value": "a", "from_context": "b"}, "got value, from_context"),
        ({"key": "X", "action": "delete", "value": "a"}, "a header to delete has no value, got `value`"),
        ({"key": "X", "value": "a", "default_value": "b"}, "`default_value` needs `from_context`"),
        ({"key": "X", "from_attribute": "subject"}, "`from_attribute` is not supported"),
    ],
)
def test_refuses_a_header_that_cannot_work(header: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HeadersSetter.config_type.model_validate({"headers": [header]})
