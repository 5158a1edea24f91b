"""One look at an OPC UA server, and the TOML that reads it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from edge.probe.proposal import Report, Tell, concluded, enough_by_hand

__all__ = ["Server", "concluded", "look"]


class Server(Protocol):
    """What the adapters know of it: `adapters/_opcua/probe.py`."""

    Wish: Callable[..., Any]

    def checked(self, url: str, security: str | None, user: str | None) -> str: ...
    def probe(self, wish: Any, enough: asyncio.Event, tell: Tell) -> Awaitable[Report]: ...


async def look(server: Server, wish: Any, tell: Tell) -> Report:
    """Ctrl-C ends what is being done, and the next thing begins. Raises SourceLost or SourceRefused."""
    with enough_by_hand() as enough:
        return await server.probe(wish, enough, tell)
