"""The board's API for orders, over HTTP: what it takes, what it refuses, and how it says so."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from edge.board.api import OrdersApi
from edge.board.clients import Clients
from edge.board.description import describe
from edge.config import load
from edge.observation import WorkOrder
from edge.orders import LARGEST
from edge.readmodel import OrderView
from tests.board.agent import write_line
from tests.board.http import Answer, ask
from tests.board.process import board
from tests.orders.posting import agent, drained, error, post, said

ORDER = {"id": "WO-7", "item": "P7", "quantity": 100, "revision": "C", "operations": [10, 20]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


async def test_an_order_is_taken_once_and_shown(file: Path) -> None:
    async with agent(file) as senders, board(file) as shown:
        new = await post(shown.port, ORDER)
        assert (new.status, said(new)["orders"]) == (
            201,
            [{"row": 1, "line": 1, "id": "WO-7", "verdict": "accepted", "words": "WO-7 is new: 100 of P7"}],
        )  # fmt: skip
        again = await post(shown.port, ORDER, "Application/JSON; charset=utf-8")
        assert (again.status, said(again)["duplicates"], said(again)["orders"][0]["verdict"]) == (
            200,
            1,
            "duplicate",
        )
        assert (await post(shown.port, [])).status == 200
        changed = await post(shown.port, [ORDER | {"quantity": 7}, ORDER | {"id": "A"}])
        assert (changed.status, said(changed)["accepted"]) == (201, 2)
        one = json.decode((await ask(shown.port, "/api/orders/WO-7")).body, type=OrderView)
        assert (one.quantity, [job.operation for job in one.operations]) == (7, [10, 20])
        every = json.decode((await ask(shown.port, "/api/orders")).body, type=list[OrderView])
        assert [order.id for order in every] == ["A", "WO-1001", "WO-7"]
        assert set(senders) == {"api"}


async def test_a_bad_order_is_refused_and_the_good_ones_go_in(file: Path) -> None:
    async with agent(file), board(file) as shown:
        answer = await post(shown.port, [{"id": "a"}, ORDER, {"id": "WO-1001", "item": "P", "quantity": 1}])
        assert answer.status == 422
        assert error(answer) == "2 of 3 orders refused; the others are in"
        assert [one["verdict"] for one in said(answer)["orders"]] == ["refused", "accepted", "refused"]
        assert "item is missing" in said(answer)["orders"][0]["words"]
        answer = await post(shown.port, {"id": "A", "item": "\x1b", "quantity": 1})
        assert (answer.status, error(answer)) == (422, "1 of 1 orders refused; nothing was changed")
        assert (await ask(shown.port, "/api/orders/WO-7")).status == 200
        assert (await ask(shown.port, "/api/orders/A")).status == 404


async def test_what_is_no_request_is_refused_in_words(file: Path) -> None:
    async with agent(file), board(file) as shown:
        for body, says in [
            (b"", "the body is not valid JSON"),
            (b'{"id": "A"', "the body is not valid JSON"),
            (b"\xff", "the body is not UTF-8"),
            (b"[" * 50_000, "the body is not valid JSON: it is nested too deeply"),
            (b"[" + b"1," * 100_000 + b"1]", "the body has more than 100,000 rows"),
        ]:
            answer = await post(shown.port, body)
            assert (answer.status, says in error(answer)) == (400, True)
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            answer = await post(shown.port, ORDER, kind)
            assert (answer.status, "set Content-Type" in error(answer)) == (400, True)
        answer = await post(shown.port, b" " * (LARGEST + 1))
        assert (answer.status, "larger than 10,000,000 bytes" in error(answer)) == (413, True)
        answer = await ask(shown.port, "/api/orders/%1b%5b2J%ff/x")
        assert answer.status == 404
        answer = await ask(shown.port, "/api/orders/NO")
        assert (answer.status, "no such order" in error(answer)) == (404, True)
        for method in ("PUT", "DELETE"):
            assert (await ask(shown.port, "/api/orders", method)).status == 405


async def test_another_site_cannot_send_orders(file: Path) -> None:
    async with agent(file), board(file) as shown:
        assert (await post(shown.port, ORDER, Host="evil.example")).status == 421
        assert (await post(shown.port, ORDER, **{"Sec-Fetch-Site": "cross-site"})).status == 403
        assert (await ask(shown.port, "/api/orders", "OPTIONS", origin="http://evil.example")).status == 405
        assert (await ask(shown.port, "/api/orders/WO-7")).status == 404


async def test_while_the_agent_is_away(file: Path) -> None:
    async with board(file) as shown:
        answer = await ask(shown.port, "/api/orders")
        assert (answer.status, "there is no journal yet" in error(answer)) == (503, True)
        answer = await post(shown.port, ORDER)
        assert (answer.status, "no agent answers in" in error(answer)) == (503, True)
        async with agent(file):
            assert (await post(shown.port, ORDER)).status == 201
        assert (await post(shown.port, ORDER)).status == 503
        assert (await ask(shown.port, "/api/orders/WO-7")).status == 200


async def test_beyond_loopback_no_order_is_taken(file: Path) -> None:
    from starlette.applications import Starlette

    api = Starlette(routes=list(OrdersApi(load(file), Clients({}), "not here").routes()))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.encode(ORDER)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/orders", "headers": headers, "query_string": b""}
    await api(scope, receive, send)
    assert (sent[0]["status"], json.decode(sent[1]["body"])) == (403, {"error": "not here"})


@pytest.mark.long
async def test_a_thousand_posts_at_once_make_one_order(file: Path) -> None:
    async def send() -> Answer:
        while (answer := await post(shown.port, ORDER)).status == 503:
            await asyncio.sleep(0.1)  # the board holds so many connections and no more
        return answer

    async with agent(file), board(file) as shown, drained(shown):
        answers = await asyncio.gather(*(send() for _ in range(1000)))
        assert sorted(one.status for one in answers) == [200] * 999 + [201]
        every = json.decode((await ask(shown.port, "/api/orders")).body, type=list[OrderView])
        assert [order.id for order in every] == ["WO-1001", "WO-7"]


# --- its description ------------------------------------------------------------------------------


async def test_the_description_is_served(file: Path) -> None:
    async with board(file) as shown:
        answer = await ask(shown.port, "/api/openapi.json")
    assert said(answer) == json.decode(json.encode(describe()))
    assert said(answer)["openapi"] == "3.1.0"


def _refs(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(_refs, value.values()))
    return set().union(*map(_refs, value)) if isinstance(value, list) else set()


def test_the_description_is_whole_and_of_the_models() -> None:
    found = json.decode(json.encode(describe()))
    schemas = found["components"]["schemas"]
    responses = found["components"]["responses"]
    named = {f"#/components/schemas/{name}" for name in schemas}
    named |= {f"#/components/responses/{name}" for name in responses}
    assert named - _refs(found) == {"#/components/responses/Fault405"}, "of methods that no operation has"
    assert _refs(found) <= named
    assert {"Fault401", "Fault429"} & responses.keys() == set()
    assert set(schemas["Order"]["properties"]) == set(WorkOrder.__struct_fields__)
    assert json.encode(schemas["Order"]).count(b'"pattern":"^[^') == 3
    assert schemas["Order"]["properties"]["operations"]["uniqueItems"] is True
    assert schemas["Order"]["required"] == ["id", "item", "quantity"]
    assert schemas["Order"]["additionalProperties"] is False
    assert set(schemas["OrderView"]["properties"]) == set(OrderView.__struct_fields__)
    assert set(schemas["Refused"]["required"]) == {"accepted", "duplicates", "refused", "orders", "error"}


def test_every_route_is_described(file: Path) -> None:
    described = {
        (path, method.upper()) for path, methods in describe()["paths"].items() for method in methods
    }
    served = {
        (route.path, method)
        for route in OrdersApi(load(file), Clients({}), "").routes()
        for method in route.methods or ()
    }
    assert served - {(path, "HEAD") for path, _ in served} | {("/api/line", "GET")} == described


def test_credentials_are_described_where_they_are_in_use() -> None:
    found = describe(credentials=True)
    assert found["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    secured = {
        (path, method)
        for path, methods in found["paths"].items()
        for method, one in methods.items()
        if "security" in one
    }
    assert secured == {("/api/orders", "post"), ("/api/commands", "post")}
    assert {"401", "429"} <= set(found["paths"]["/api/orders"]["post"]["responses"])
    assert _refs(found) >= {"#/components/responses/Fault401", "#/components/responses/Fault429"}
