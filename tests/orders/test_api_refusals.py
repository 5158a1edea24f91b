"""Whom the API refuses and how: clients and their tokens, and one shape for every error."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import json
from starlette.requests import Request
from starlette.types import ASGIApp

from edge.board.app import CONNECTIONS
from edge.board.clients import TRIES, Clients
from edge.board.feed import Feed
from edge.board.refusal import answer_refusal
from edge.board.web import application
from edge.clock import SystemClock
from edge.config import load
from edge.readmodel import OrderView
from edge.watchdog import Watchdog
from tests.board.agent import write_line
from tests.board.http import Answer, ask
from tests.board.process import board, end, start
from tests.orders.posting import JSON, agent, drained, error, post, said

ORDER = {"id": "WO-7", "item": "P7", "quantity": 100, "revision": "C", "operations": [10, 20]}
TOKENS = {"erp": "0123456789abcdef0123456789abcdef", "mes": "fedcba9876543210fedcba9876543210"}
ERP = {"Authorization": f"Bearer {TOKENS['erp']}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


@pytest.fixture
def guarded(file: Path) -> Path:
    """A line's file with two clients."""
    for name, token in TOKENS.items():
        secret = file.parent / f"{name}.token"
        secret.write_text(f"{token}\n")
        secret.chmod(0o600)
        client = f'\n[[board.client]]\nname = "{name}"\ntoken = {{ file = "{secret}" }}\n'
        file.write_text(file.read_text() + client)
    return file


# --- credentials ------------------------------------------------------------------------------------


async def test_with_clients_an_order_needs_a_token(guarded: Path) -> None:
    async with agent(guarded) as senders, board(guarded) as shown:
        refused = await post(shown.port, ORDER)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="lineside"')
        assert "send the header Authorization: Bearer TOKEN" in error(refused)
        refused = await post(shown.port, b" " * 9_000_000, Authorization="Bearer wrong")
        assert (refused.status, error(refused)) == (401, "no client has this token")
        assert (await post(shown.port, ORDER, **ERP)).status == 201
        assert (await post(shown.port, ORDER, Authorization=f"bearer {TOKENS['mes']}")).status == 200
        assert senders == ["erp", "mes"]
        every = await ask(shown.port, "/api/orders")
        assert (every.status, len(said(every))) == (200, 2), "reading needs none"
        description = said(await ask(shown.port, "/api/openapi.json"))
        assert description["paths"]["/api/orders"]["post"]["security"] == [{"bearer": []}]


async def test_wrong_tokens_are_limited_and_the_log_says_so_once(guarded: Path) -> None:
    async with agent(guarded), board(guarded) as shown:
        async with asyncio.timeout(20):
            while (answer := await post(shown.port, ORDER, Authorization="Bearer wrong")).status != 429:
                assert answer.status == 401
        assert 1 <= int(answer.headers["retry-after"]) <= TRIES
        assert "too many wrong tokens" in error(answer)
        async with asyncio.timeout(10):
            while (answer := await post(shown.port, ORDER, **ERP)).status == 429:
                await asyncio.sleep(0.1)
        assert answer.status == 201
        _, err = await end(shown.process)
    assert err.count("a wrong token came from 127.0.0.1") == 1
    assert not any(token in err for token in TOKENS.values())


async def test_a_thousand_posts_at_once_make_one_order(guarded: Path) -> None:
    async def send(number: int) -> Answer:
        headers = ERP if number % 10 else {}
        while True:  # the board and the agent hold so many connections and no more
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
                if (answer := await post(shown.port, ORDER, **headers)).status != 503:
                    return answer
            await asyncio.sleep(0.1)

    async with agent(guarded), board(guarded) as shown, drained(shown):
        answers = await asyncio.gather(*(send(number) for number in range(1000)))
        assert sorted(one.status for one in answers) == [200] * 899 + [201] + [401] * 100
        every = json.decode((await ask(shown.port, "/api/orders")).body, type=list[OrderView])
        assert [order.id for order in every] == ["WO-1001", "WO-7"]


async def test_a_token_that_cannot_be_had_starts_nothing(guarded: Path) -> None:
    (guarded.parent / "mes.token").unlink()
    process = await start(guarded, "--port", "0")
    await asyncio.wait_for(process.wait(), 20)
    out, err = await end(process)
    assert (process.returncode, out) == (1, "")
    assert "the board cannot be served on 127.0.0.1:0: board.client[mes].token: " in err
    assert "Traceback" not in err


# --- beyond loopback --------------------------------------------------------------------------------


async def asked(app: ASGIApp, body: object, headers: Mapping[str, str]) -> Answer:
    """One POST of an order to a board that is on no socket."""
    found: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.encode(body)}

    async def send(message: Any) -> None:
        found.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "POST", "path": "/api/orders", "query_string": b"", "headers": raw,
        "client": ("192.0.2.7", 50_000),
    }  # fmt: skip
    await app(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in found[0]["headers"]}
    return Answer(found[0]["status"], told, found[1]["body"])


async def test_beyond_loopback_orders_need_a_client(file: Path) -> None:
    feed = Feed(load(file), SystemClock(), Watchdog())
    headers = {"content-type": JSON, "host": "board.plant.example"}
    nobody = await asked(application(feed, None, Clients({})), ORDER, headers | ERP)
    assert (nobody.status, "no [[board.client]] is set" in error(nobody)) == (403, True)
    served = application(feed, None, Clients(TOKENS))
    assert (await asked(served, ORDER, headers)).status == 401
    async with agent(file):
        assert (await asked(served, ORDER, headers | ERP)).status == 201
        assert (await asked(served, ORDER, headers | ERP | {"sec-fetch-site": "cross-site"})).status == 403


# --- one shape --------------------------------------------------------------------------------------


async def test_every_refusal_under_api_is_json(file: Path) -> None:
    async with board(file) as shown:
        port = shown.port
        for status, answer in [
            (421, await ask(port, "/api/line", host="evil.example")),
            (403, await ask(port, "/api/line", sec_fetch_site="cross-site")),
            (404, await ask(port, "/api")),
            (404, await ask(port, "/api/")),
            (404, await ask(port, "/api/orders/")),
            (404, await ask(port, "/api/orders/a/b")),
            (404, await ask(port, "/api/nothing", "POST")),
            (405, await ask(port, "/api/orders", "PUT")),
            (503, await ask(port, "/api/orders")),
        ]:
            assert (answer.status, answer.headers["content-type"]) == (status, JSON)
            assert json.decode(answer.body, type=dict[str, str]).keys() == {"error"}
            assert answer.headers["x-content-type-options"] == "nosniff"
        for answer in (await ask(port, "/nowhere"), await ask(port, "/", host="evil.example")):
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert answer.body.count(b"\n") == 1


async def test_a_method_that_is_not_known_is_told_those_that_are(file: Path) -> None:
    async with board(file) as shown:
        for path, allowed in [
            ("orders", "GET, HEAD, POST"),
            ("orders/A", "GET, HEAD"),
            ("line", "GET, HEAD"),
        ]:
            for method in ("DELETE", "OPTIONS", "PATCH", "PUT", "TRACE"):
                answer = await ask(shown.port, f"/api/{path}", method)
                assert answer.status == 405
                assert sorted(answer.headers["allow"].split(", ")) == allowed.split(", ")
                assert "access-control-allow-origin" not in answer.headers


async def test_head_is_get_without_the_body(file: Path) -> None:
    async with agent(file), board(file) as shown:
        for path in ("/api/orders", "/api/orders/WO-1001", "/api/openapi.json", "/api/orders/NO"):
            full, head = await ask(shown.port, path), await ask(shown.port, path, "HEAD")
            assert (head.status, head.body) == (full.status, b"")
            assert head.headers["content-length"] == full.headers["content-length"]


async def answered(port: int, sent: bytes) -> bytes:
    """What is said to these bytes. A connection closed before all were read may be reset: then again."""
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        with contextlib.suppress(ConnectionError):
            if answer := await asyncio.wait_for(reader.read(), 20):
                writer.close()
                return answer
        writer.close()
    return b""


async def test_what_is_no_http_is_told_so(file: Path) -> None:
    async with board(file) as shown:
        for sent in (
            b"nonsense\r\n\r\n",
            b"GET /api/line HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /" + b"a" * 100_000,
            b"POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        ):
            answer = await answered(shown.port, sent)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 ")), answer
            assert json.decode(body, type=dict[str, str]).keys() == {"error"}
        assert (await ask(shown.port, "/healthz")).status == 200
        _, err = await end(shown.process)
    assert "Traceback" not in err


async def test_one_connection_too_many_is_told_so(file: Path) -> None:
    async with board(file) as shown:
        idle = [await asyncio.open_connection("127.0.0.1", shown.port) for _ in range(CONNECTIONS)]
        answer = await ask(shown.port, "/api/line")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "too many connections" in error(answer)
        answer = await ask(shown.port, "/")
        assert (answer.status, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
        assert answer.headers["connection"] == "close"
        for _, writer in idle:
            writer.close()
        async with asyncio.timeout(10):
            while (await ask(shown.port, "/api/line")).status == 503:
                await asyncio.sleep(0.01)


async def test_a_failure_of_the_board_is_json_too() -> None:
    scope = {"type": "http", "method": "GET", "path": "/api/line", "query_string": b"", "headers": []}
    answer = await answer_refusal(Request(scope), RuntimeError("a bug, and what it is about"))
    assert (answer.status_code, answer.media_type) == (500, JSON)
    assert json.decode(answer.body) == {"error": "the board failed at this request; its log says why"}
