"""Orders sent to a board over HTTP, and an agent that takes them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import json

from edge.clock import SystemClock
from edge.commands import OrderDesk, Recording, serve_commands
from edge.config import load
from edge.observation import Observation, Outcome
from tests.board.agent import fake_agent
from tests.board.http import Answer
from tests.board.process import Board

JSON = "application/json"


class _Overheard:
    """A recorder, and who has sent what it was given."""

    def __init__(self, recorder: Recording) -> None:
        self._recorder = recorder
        self.senders: list[str] = []

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.senders += [one.detail for one in observations]
        return await self._recorder.emit(observations)


@contextlib.asynccontextmanager
async def agent(file: Path) -> AsyncIterator[list[str]]:
    """The board's agent, with its command socket; who sent each order, as it came to the recorder."""
    config = load(file)
    async with fake_agent(file) as fake:
        overheard = _Overheard(fake._recorder)
        desk = OrderDesk(SystemClock(), overheard)
        task = asyncio.ensure_future(serve_commands(config.data, desk))
        try:
            while not (config.data / "command.sock").exists():
                await asyncio.sleep(0.001)
            yield overheard.senders
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def post(
    port: int, body: object, kind: str | None = JSON, path: str = "/api/orders", **more: str
) -> Answer:
    """One POST on a connection of its own; `body` is JSON, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.encode(body)
    headers = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(raw)), "Connection": "close", **more}
    if kind is not None:
        headers["Content-Type"] = kind
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + raw)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        first, *lines = said.decode().splitlines()
        found = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
        }
        return Answer(int(first.split()[1]), found, await reader.read())
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def drained(shown: Board) -> AsyncIterator[None]:
    """Read what the board logs: it says every connection too many, and a pipe that is full stops it."""
    assert shown.process.stderr is not None
    task = asyncio.ensure_future(_read_all(shown.process.stderr))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


def said(answer: Answer) -> Any:
    assert answer.headers["content-type"] == JSON
    return json.decode(answer.body)


def error(answer: Answer) -> str:
    return str(said(answer)["error"])
