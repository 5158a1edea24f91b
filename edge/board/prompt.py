"""A connection to the board: one on which nobody asks anything is closed, one too many is told so."""

import asyncio
from typing import Any

import h11
from msgspec import json
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.board.refusal import JSON, Fault, refusal

FIRST_REQUEST_S = 5.0
_CLOSE = {"Connection": "close"}


class PromptProtocol(H11Protocol):
    """uvicorn's own; it has a time-out between two requests, but none before the first, and its own
    refusals are plain text, whoever asked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer, self._limit = self.app, self.limit_concurrency or 0
        self.app, self.limit_concurrency = self._within_limit, None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None:
            self._deadline.cancel()

    async def _within_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.connections) < self._limit:
            await self._answer(scope, receive, send)
            return
        words = "too many connections are open; try again in a second"
        answer = refusal(scope["path"], 503, words, {"Retry-After": "1", **_CLOSE})
        await answer(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP; nobody knows which path it was for. A request that is under way ends with it."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.encode(Fault(msg))
            headers = {"Content-Type": JSON, "Content-Length": str(len(body)), **_CLOSE}
            for event in (
                h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()
