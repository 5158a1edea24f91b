"""A plain HTTP client for the board, and one that listens to its events."""

import asyncio
import http.client
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec import json

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def _ask(port: int, path: str, method: str, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


async def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """`await ask(port, "/healthz", host="evil")`; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(_ask, port, path, method, named)


class Events:
    """An open `/events`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0

    async def open(self, port: int) -> None:
        self._writer.write(f"GET /events HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split()[1])

    async def event(self) -> tuple[str, Any]:
        """The next event's name and data. Raises IncompleteReadError at the end of the stream."""
        name = "message"
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await self._reader.readuntil(b"\n")).decode().strip()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return name, json.decode(line.removeprefix("data: "))

    async def snapshot(self, holds: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next snapshot of which this holds."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                name, data = await self.event()
                if name == "message" and holds(data):
                    return data


@asynccontextmanager
async def events(port: int) -> AsyncIterator[Events]:
    """`async with events(port) as heard:`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        heard = Events(reader, writer)
        await heard.open(port)
        yield heard
    finally:
        writer.close()
