"""The board's API for orders: brought in through the agent, read from the journal.

Its description, `/api/openapi.json`, is made from the models that the answers are made of.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import TypeVar

from msgspec import json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.board.clients import Clients, Unknown
from edge.board.description import Refused, describe
from edge.board.refusal import JSON, Fault
from edge.commands import send_orders
from edge.config import LineConfig
from edge.errors import JournalError, NotRecorded
from edge.journal import JournalReader
from edge.orders import LARGEST, Taken, parse, take_in
from edge.readmodel import OrderView, order_view, order_views

SENDERS = 48
"""Requests that speak with the agent at once; the others wait for their turn."""
BODY_S = 30.0
"""So long a client may take to send its body."""
PASS_OVER_S = 5.0
"""So long one that is refused may take."""
ANYBODY = "api"
"""Recorded as the sender where no client needs a token."""

ResultT = TypeVar("ResultT")


class _Refusal(Exception):
    """Ends a request."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.headers = headers


class OrdersApi:
    """The handlers. `read_only`: why no order is taken; empty where orders are taken."""

    def __init__(self, config: LineConfig, clients: Clients, read_only: str) -> None:
        self._config = config
        self._clients = clients
        self._read_only = read_only
        self._senders = asyncio.Semaphore(SENDERS)
        self._description = json.encode(describe(bool(clients)))

    def routes(self) -> list[Route]:
        return [
            Route("/api/orders", self.orders, methods=["GET", "POST"]),
            Route("/api/orders/{id}", self.one, methods=["GET"]),
            Route("/api/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def openapi(self, _: Request) -> Response:
        return Response(self._description, media_type=JSON)

    async def orders(self, request: Request) -> Response:
        """One route, so that a refused method is told all that are allowed."""
        return await (self.post(request) if request.method == "POST" else self.all(request))

    async def all(self, _: Request) -> Response:
        line = self._config.line
        return await self._answer_read(lambda reader: order_views(reader, line))

    async def one(self, request: Request) -> Response:
        line, order = self._config.line, request.path_params["id"]

        def read(reader: JournalReader) -> OrderView:
            view = order_view(reader, line, order)
            if view is None:
                raise _Refusal(404, "this line has no such order; GET /api/orders shows all of them")
            return view

        return await self._answer_read(read)

    async def _answer_read(self, read: Callable[[JournalReader], object]) -> Response:
        try:
            return _json(200, await asyncio.to_thread(self._read, read))
        except _Refusal as refusal:
            return _json(refusal.status, Fault(str(refusal)))
        except JournalError as error:
            return _json(503, Fault(str(error)))

    def _read(self, read: Callable[[JournalReader], ResultT]) -> ResultT:
        config = self._config
        if not config.journal.exists():
            raise _Refusal(503, f"there is no journal yet at {config.journal}; the agent makes it")
        with closing(JournalReader(config.journal, config.line.name)) as reader:
            return read(reader)

    async def post(self, request: Request) -> Response:
        """201 where something is new or changed, 200 where all was here already, 422 for a refusal."""
        try:
            taken = await self._take(request)
        except _Refusal as refusal:
            await _pass_over(request)
            return _json(refusal.status, Fault(str(refusal)), refusal.headers)
        except NotRecorded as error:
            return _json(503, Fault(str(error)))
        if taken.refused:
            return _json(422, _refused(taken))
        return _json(201 if taken.accepted else 200, taken)

    async def _take(self, request: Request) -> Taken:
        if self._read_only:
            raise _Refusal(403, self._read_only)
        sender = self._sender(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise _Refusal(400, f"orders are sent as JSON: set Content-Type to {JSON}")
        body = await _body(request)
        parsed = await asyncio.to_thread(parse, "the body.json", body)
        if not parsed.readable:
            raise _Refusal(400, f"the body {parsed.faults[0]}")
        async with self._senders:
            return await take_in(parsed, lambda orders: send_orders(self._config.data, orders, sender))

    def _sender(self, request: Request) -> str:
        """Who is recorded with the orders."""
        if not self._clients:
            return ANYBODY
        try:
            return self._clients.sender(
                request.headers.getlist("authorization"), request.client.host if request.client else ""
            )
        except Unknown as unknown:
            raise _Refusal(unknown.status, str(unknown), unknown.headers) from unknown


def _refused(taken: Taken) -> Refused:
    of = taken.accepted + taken.duplicates + taken.refused
    others = "the others are in" if of > taken.refused else "nothing was changed"
    words = f"{taken.refused} of {of} orders refused; {others}"
    return Refused(taken.accepted, taken.duplicates, taken.refused, taken.orders, error=words)


async def _body(request: Request) -> bytes:
    """Bounded in size and in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for some in request.stream():
                body += some
                if len(body) > LARGEST:
                    raise _Refusal(
                        413, f"the body is larger than {LARGEST:,} bytes; send fewer orders at once"
                    )
    except TimeoutError as error:
        raise _Refusal(400, f"the body did not arrive within {BODY_S:.0f} s") from error
    except ClientDisconnect as error:
        raise _Refusal(400, "the connection was closed before the body was whole") from error
    return bytes(body)


async def _pass_over(request: Request) -> None:
    """Take what is left of a body: who is cut off while sending never sees the answer."""
    taken = 0
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read already
        async with asyncio.timeout(PASS_OVER_S):
            async for some in request.stream():
                taken += len(some)
                if taken > LARGEST:
                    return


def _json(status: int, said: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.encode(said), status, headers, JSON)
