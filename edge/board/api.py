"""The board's API for orders: brought in through the agent, read from the journal.

Its description, `/api/openapi.json`, is made from the models that the answers are made of.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from msgspec import Struct, json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge import __version__
from edge.commands import send_orders
from edge.config import LineConfig
from edge.config.tables import OrderTable
from edge.errors import JournalError, NotRecorded
from edge.journal import JournalReader
from edge.orders import LARGEST, Taken, parse, take_in
from edge.readmodel import OrderView, order_view, order_views

SENDERS = 48
"""Requests that speak with the agent at once; the others wait for their turn."""
BODY_S = 30.0
"""So long a client may take to send its body."""

ResultT = TypeVar("ResultT")


class Fault(Struct, frozen=True):
    """Why a request was refused."""

    error: str


class Refused(Taken, frozen=True, kw_only=True):
    """Some rows were refused; what is counted as accepted is in all the same."""

    error: str


class _Refusal(Exception):
    """Ends a request."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class OrdersApi:
    """The handlers. `read_only`: why no order is taken; empty where orders are taken."""

    def __init__(self, config: LineConfig, read_only: str) -> None:
        self._config = config
        self._read_only = read_only
        self._senders = asyncio.Semaphore(SENDERS)
        self._description = json.encode(describe())

    def routes(self) -> list[Route]:
        return [
            Route("/api/orders", self.post, methods=["POST"]),
            Route("/api/orders", self.all, methods=["GET"]),
            Route("/api/orders/{id}", self.one, methods=["GET"]),
            Route("/api/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def openapi(self, _: Request) -> Response:
        return Response(self._description, media_type="application/json")

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
            return _json(refusal.status, Fault(str(refusal)))
        except NotRecorded as error:
            return _json(503, Fault(str(error)))
        if taken.refused:
            return _json(422, _refused(taken))
        return _json(201 if taken.accepted else 200, taken)

    async def _take(self, request: Request) -> Taken:
        if self._read_only:
            raise _Refusal(403, self._read_only)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _Refusal(400, "orders are sent as JSON: set Content-Type to application/json")
        body = await _body(request)
        parsed = await asyncio.to_thread(parse, "the body.json", body)
        if not parsed.readable:
            raise _Refusal(400, f"the body {parsed.faults[0]}")
        async with self._senders:
            return await take_in(parsed, lambda orders: send_orders(self._config.data, orders))


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


def _json(status: int, said: object) -> Response:
    return Response(json.encode(said), status, media_type="application/json")


# --- its description ------------------------------------------------------------------------------

_SCHEMAS = "#/components/schemas/{name}"


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    (_, *_), schemas = json.schema_components([list[OrderView], Taken, Refused, Fault], ref_template=_SCHEMAS)
    order = OrderTable.model_json_schema()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lineside: orders",
            "version": __version__,
            "description": "Answers on this machine only. To send the same again does no harm.",
        },
        "paths": {
            "/api/orders": {"get": _get_all(), "post": _post()},
            "/api/orders/{id}": {"get": _get_one()},
            "/api/openapi.json": {"get": _get_description()},
        },
        "components": {"schemas": {"Order": order | {"title": "Order"}, **schemas}},
    }


def _get_all() -> dict[str, Any]:
    return {
        "operationId": "listOrders",
        "summary": "Every order by its id, and what has been made of it",
        "responses": {
            "200": _holds("The orders", {"type": "array", "items": _ref("OrderView")}),
            **_faults(403, 503),
        },
    }


def _get_one() -> dict[str, Any]:
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "showOrder",
        "summary": "One order",
        "parameters": [name],
        "responses": {"200": _holds("The order", _ref("OrderView")), **_faults(403, 404, 503)},
    }


def _post() -> dict[str, Any]:
    body = {"oneOf": [_ref("Order"), {"type": "array", "items": _ref("Order"), "maxItems": 100_000}]}
    return {
        "operationId": "sendOrders",
        "summary": "One order or a list; a bad one is refused and the good ones go in",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _holds("All of them were here already, just so", _ref("Taken")),
            "201": _holds("On disk; some are new or changed", _ref("Taken")),
            "422": _holds("Some were refused; the others are on disk", _ref("Refused")),
            **_faults(400, 403, 413, 503),
        },
    }


def _get_description() -> dict[str, Any]:
    found = _holds("This document", {"type": "object"})
    return {
        "operationId": "describe",
        "summary": "This document",
        "responses": {"200": found, **_faults(403)},
    }


_WHY = {
    400: "The request is not JSON, or no list of orders",
    403: "Asked by another site, or this board is served beyond this machine and takes no orders",
    404: "There is no such order",
    413: "The body is too large",
    503: "The agent or its journal is away; nothing is certain, and to send again does no harm",
}


def _faults(*statuses: int) -> dict[str, Any]:
    return {str(status): _holds(_WHY[status], _ref("Fault")) for status in statuses}


def _holds(words: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
