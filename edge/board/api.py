"""The board's API: orders and commands go in through the agent, what became of them is read from the journal.

Its description, `/api/openapi.json`, is made from the models that the answers are made of.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any, TypeVar

from msgspec import DecodeError, ValidationError, json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.board.clients import Clients, Unknown
from edge.board.description import Refused, describe
from edge.board.refusal import JSON, Fault
from edge.commands import LONGEST, read_command, send_command, send_orders
from edge.config import LineConfig
from edge.errors import JournalError, NotRecorded
from edge.inbox import inbox
from edge.journal import JournalReader
from edge.observation import Command, Outcome
from edge.orders import LARGEST, Taken, parse, take_in
from edge.readmodel import OrderView, order_view, order_views
from edge.resultform import JobResult
from edge.results import results

SENDERS = 48
"""Requests that speak with the agent at once; the others wait for their turn."""
BODY_S = 30.0
"""So long a client may take to send its body."""
PASS_OVER_S = 5.0
"""So long one that is refused may take."""
ANYBODY = "api"
"""Recorded as the sender where no client needs a token."""

_NO_ORDER = "this line has no such order; GET /api/orders shows all of them"

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
            Route("/api/orders/{id}/result", self.result, methods=["GET"]),
            Route("/api/inbox", self.inbox, methods=["GET"]),
            Route("/api/commands", self.command, methods=["POST"]),
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
                raise _Refusal(404, _NO_ORDER)
            return view

        return await self._answer_read(read)

    async def result(self, request: Request) -> Response:
        line, order = self._config.line, request.path_params["id"]

        def read(reader: JournalReader) -> list[JobResult]:
            found = results(reader, line, order)
            if not found:
                raise _Refusal(404, _NO_ORDER)
            return found

        return await self._answer_read(read)

    async def inbox(self, _: Request) -> Response:
        line = self._config.line
        return await self._answer_read(lambda reader: inbox(reader, line))

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

    async def command(self, request: Request) -> Response:
        """200 where it was done, 422 where it was refused and nothing was changed."""
        try:
            outcome = await self._obey(request)
        except _Refusal as refusal:
            await _pass_over(request)
            return _json(refusal.status, Fault(str(refusal)), refusal.headers)
        except NotRecorded as error:
            return _json(503, Fault(str(error)))
        return _json(200, outcome) if outcome.recorded else _json(422, Fault(outcome.words))

    async def _obey(self, request: Request) -> Outcome:
        sender = self._may_send(request)
        command = _command(await _body(request, LONGEST - 1_000), sender)
        async with self._senders:
            return await send_command(self._config.data, command)

    async def _take(self, request: Request) -> Taken:
        sender = self._may_send(request)
        body = await _body(request, LARGEST)
        parsed = await asyncio.to_thread(parse, "the body.json", body)
        if not parsed.readable:
            raise _Refusal(400, f"the body {parsed.faults[0]}")
        async with self._senders:
            return await take_in(parsed, lambda orders: send_orders(self._config.data, orders, sender))

    def _may_send(self, request: Request) -> str:
        """Who sends this. Raises _Refusal where nobody may, and for what is not JSON."""
        if self._read_only:
            raise _Refusal(403, self._read_only)
        sender = self._sender(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise _Refusal(400, f"what is sent here is JSON: set Content-Type to {JSON}")
        return sender

    def _sender(self, request: Request) -> str:
        """Who is recorded with it."""
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


def _command(body: bytes, by: str) -> Command:
    """Raises _Refusal. Who asks is the client, whatever it says of itself."""
    try:
        given = json.decode(body, type=dict[str, Any])
    except (DecodeError, RecursionError) as error:
        raise _Refusal(400, f"the body is no JSON object: {error}") from error
    if "by" in given:
        raise _Refusal(422, "leave out `by`: who asks is the client whose token it is")
    try:
        return read_command({**given, "by": by})
    except ValidationError as error:
        raise _Refusal(422, f"this is no command: {error}") from error


async def _body(request: Request, longest: int) -> bytes:
    """Bounded in size and in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for some in request.stream():
                body += some
                if len(body) > longest:
                    raise _Refusal(413, f"the body is larger than {longest:,} bytes; send less at once")
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
