"""Routes with everything a route can have: what the OpenAPI document and its fuzzer are tried on."""

import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ophion_agent.server import Call, Conflict, NotFound, Permission, Problem, Reply, Route, Stream

_ONE = "/api/things/{thingId:[0-9a-z-]{1,20}}"


class Size(BaseModel):
    """A size."""

    width: int = Field(ge=0, le=1000, description="Millimetres.", examples=[70])


class Thing(BaseModel):
    """A thing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=50, description="Name.", examples=["cup"])
    size: Size | None = Field(None, description="Its size.")
    tags: dict[str, str] = Field({}, description="Anything else.")


class Things(BaseModel):
    """A page of things."""

    things: list[Thing] = Field(description="The things.")
    next: str | None = Field(None, description="Cursor of the next page.")


class Search(BaseModel):
    """Which things."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(description="Kind of things.")
    limit: int = Field(10, ge=1, le=100, description="Most things returned.")
    match: list[str] = Field([], alias="match[]", description="Words.")
    before: float | None = Field(None, allow_inf_nan=False, description="Latest time.")


def sample_routes() -> list[Route]:
    """Return the routes."""
    tag = "things"
    return [
        Route(
            "GET", "/api/things", _search, Permission.READ, query=Search, answer=Things, tag=tag, summary="List things"
        ),
        Route(
            "POST",
            "/api/things",
            _create,
            Permission.OPERATE,
            body=Thing,
            answer=Thing,
            status=201,
            errors=(409,),
            tag=tag,
            summary="Make a thing",
            description="Names are <unique>.",
        ),
        Route("GET", _ONE, _thing, Permission.READ, answer=Thing, tag=tag, summary="One thing"),
        Route("DELETE", _ONE, _drop, Permission.ADMIN, status=204, tag=tag),
        Route(
            "GET",
            "/api/things.csv",
            _export,
            Permission.READ,
            media_type="text/csv",
            tag=tag,
            summary="Things as a table",
        ),
        Route("POST", "/api/raw", _raw, Permission.INGEST, body=bytes, answer=dict[str, int], tag=tag),
        Route("GET", "/api/public", _nothing, None, status=204),
        *[
            Route(
                method, "/foreign/query", _foreign, Permission.READ, query=Search, form=True, problem_reply=_own_error
            )
            for method in ("GET", "POST")
        ],
    ]


async def _search(call: Call) -> Things:
    return Things(things=[Thing(name="cup", size=Size(width=70))] * call.query.limit)


async def _create(call: Call) -> Thing:
    thing: Thing = call.body
    if thing.name == "cup":
        raise Conflict("there is a cup already; choose another name")
    return thing


async def _thing(call: Call) -> Thing:
    if len(call.path["thingId"]) > 10:
        raise NotFound("there is no such thing; list them with GET /api/things")
    return Thing(name=call.path["thingId"])


async def _export(_: Call) -> Stream:
    async def rows() -> AsyncIterator[bytes]:
        for row in (b"name\n", b"cup\n"):
            yield row

    return Stream(rows(), "text/csv")


async def _raw(call: Call) -> dict[str, int]:
    return {"bytes": len(call.raw)}


async def _drop(_: Call) -> None:
    return None


async def _nothing(_: Call) -> None:
    return None


async def _foreign(call: Call) -> Any:
    assert isinstance(call.query, Search)
    return Reply(json.dumps({"status": "success"}).encode())


def _own_error(problem: Problem) -> Reply:
    body = json.dumps({"status": "error", "error": problem.detail}).encode()
    return Reply(body, status=problem.code, headers=problem.headers)
