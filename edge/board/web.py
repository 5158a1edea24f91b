"""The board's routes: one page, its events, the same as JSON, all read-only; and the orders."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct, json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from edge.board import words
from edge.board.api import OrdersApi
from edge.board.clients import Clients
from edge.board.feed import Feed
from edge.board.guard import Guard
from edge.board.refusal import answer_refusal

HERE = Path(__file__).parent
LISTENERS = 32
"""Pages that can be open at once; one more is told to come back later."""
BEAT_S = 2.0
"""So often a page hears that the board is there, whatever else it hears."""
FRESH_S = 5.0
"""A board whose newest snapshot is older than this is not healthy."""
AGAIN_MS = 1000
"""A page that was cut off comes back after this."""

BEYOND = (
    "this board is served beyond this machine, where anybody could ask, and no [[board.client]] is set: "
    "it takes no orders"
)
"""Why a board that is not on loopback and knows no clients takes no order."""


def application(feed: Feed, hosts: Sequence[str] | None, clients: Clients) -> Starlette:
    """The ASGI application. `hosts`: the Host headers that are served; None: any."""
    board = _Board(feed)
    read_only = BEYOND if hosts is None and not clients else ""
    routes = [
        Route("/", board.page),
        Route("/station/{name}", board.station),
        Route("/events", board.events),
        Route("/api/line", board.line),
        Route("/healthz", board.health),
        *OrdersApi(feed.config, clients, read_only).routes(),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={HTTPException: answer_refusal, Exception: answer_refusal},
    )
    app.router.redirect_slashes = False  # a path that is not described is not there
    return app


class _Stream(StreamingResponse):
    """Server-sent events; `left` is called once, also where the listener never took any."""

    def __init__(self, events: AsyncIterator[bytes], left: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


class _Health(Struct, frozen=True):
    agent: str
    journal: str
    age_s: float


class _Board:
    """The handlers."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._listeners = 0
        pages = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        pages.filters["span"] = words.span
        self._page = pages.get_template("board.html")
        self._screen = pages.get_template("station.html")

    async def page(self, _: Request) -> Response:
        return HTMLResponse(self._page.render(now=self._feed.snapshot))

    async def station(self, request: Request) -> Response:
        """One station's screen; for another name, those there are."""
        now, name = self._feed.snapshot, request.path_params["name"]
        for index, one in enumerate(now.stations):
            if one.station == name:
                return HTMLResponse(self._screen.render(now=now, one=one, index=index))
        known = ", ".join(one.station for one in now.stations)
        return PlainTextResponse(f"this line has no such station; it has: {known}\n", 404)

    async def line(self, _: Request) -> Response:
        return Response(self._feed.encoded, media_type="application/json")

    async def health(self, _: Request) -> Response:
        """200 while snapshots are made; whether the agent is there is said in the body."""
        feed = self._feed
        said = _Health(feed.snapshot.agent.state, feed.snapshot.journal, round(feed.age_s, 3))
        status = 200 if feed.age_s < FRESH_S else 503
        return Response(json.encode(said), status, media_type="application/json")

    async def events(self, _: Request) -> Response:
        if self._listeners >= LISTENERS:
            words = f"{LISTENERS} pages are open on this board; close one, or try again later\n"
            return PlainTextResponse(words, 503, headers={"Retry-After": "5"})
        self._listeners += 1  # here, for a hundred may ask before the first one is served
        return _Stream(self._events(), self._left)

    def _left(self) -> None:
        self._listeners -= 1

    async def _events(self) -> AsyncIterator[bytes]:
        """The newest snapshot whenever there is one: a slow page skips, it never queues."""
        feed, number, beat_at = self._feed, 0, 0.0
        yield b"retry: %d\n\n" % AGAIN_MS
        while not feed.closed:
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + BEAT_S
                yield b'event: beat\ndata: {"age_s":%.1f}\n\n' % feed.age_s
            if feed.number > number:
                number = feed.number
                yield b"data: %b\n\n" % feed.encoded
            await feed.newer(number, beat_at - time.monotonic())
