"""The agent's local socket: how it is, a line of JSON after every commit and once a second."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import DecodeError, Struct, json

from edge.recorder import Recorder

SOCKET = "agent.sock"
EVERY_S = 1.0
SETTLE_S = 0.1
"""Commits closer together than this are told as one."""


class SourceStatus(Struct, frozen=True):
    """One source; `seconds` since its state began, `silent_s` since its last value."""

    state: str
    reason: str
    seconds: float
    silent_s: float | None


class SinkStatus(Struct, frozen=True):
    """One sink; counts are events."""

    state: str
    reason: str
    delivered: int
    pending: int


class AgentStatus(Struct, frozen=True):
    """The agent."""

    seq: int
    sources: Mapping[str, SourceStatus]
    sinks: Mapping[str, SinkStatus]


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path to the socket that fits into the 107 bytes the kernel allows."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


async def serve_status(folder: Path, recorder: Recorder, status: Callable[[], AgentStatus]) -> None:
    """Until cancelled. Only the agent's own user can connect."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        committed = recorder.listen()
        try:
            while True:
                committed.clear()
                writer.write(json.encode(status()) + b"\n")
                await writer.drain()
                await asyncio.sleep(SETTLE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S):
                        await committed.wait()
        except OSError:
            pass  # the listener has gone
        finally:
            recorder.unlisten(committed)
            writer.close()

    (folder / SOCKET).unlink(missing_ok=True)
    with _short(folder) as path:
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(tell, path)
        finally:
            os.umask(mask)
        async with server:
            await server.serve_forever()


async def follow_status(folder: Path) -> AsyncIterator[AgentStatus]:
    """What the agent says of itself. Ends when it cannot be reached any more."""
    try:
        with _short(folder) as path:
            reader, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return
    try:
        while line := await reader.readline():
            yield json.decode(line, type=AgentStatus)
    except (OSError, DecodeError, ValueError):
        return
    finally:
        writer.close()
