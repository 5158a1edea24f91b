"""The agent's local socket: how it is, a line of JSON after every commit and once a second."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import DecodeError, Struct, json

from edge.housekeeping import RoomStatus
from edge.journal.health import JournalStatus
from edge.recorder import Recorder
from edge.sockets import listen_locally, short_path
from edge.tally import Tally

SOCKET = "agent.sock"
EVERY_S = 1.0
LONGEST = 1 << 20
"""Bytes of one line, with room for hundreds of sources and their reasons."""
SETTLE_S = 0.1
"""Commits closer together than this are told as one."""


class SourceStatus(Struct, frozen=True):
    """One source; `seconds` since its state began, `silent_s` since its last value."""

    state: str
    reason: str
    seconds: float
    silent_s: float | None
    parts: tuple[Tally, ...] = ()
    """How each part of it does, such as a unit of a bus; empty where it has none."""


class SinkStatus(Struct, frozen=True):
    """One sink; counts are events."""

    state: str
    reason: str
    delivered: int
    pending: int
    rejected: int = 0
    """Those that the far end will never take."""
    skipped: int = 0
    """Those that it was never given and never will be: no longer kept, or given up by a person."""
    backlog: int = 0
    """Of those that are pending, the ones that are sent beside the live ones."""
    oldest_s: float | None = None
    """Age of the oldest that is pending."""
    rate: float = 0.0
    """Events that it took a second, lately."""
    eta_s: float | None = None
    """So long the backlog takes at that rate; None where there is none, or nothing goes out."""
    held: int = 0
    """Of those that are pending, the ones that may not go out before the clock is right."""
    doubt: str = ""
    """Why the clock is in doubt; empty while it is believed."""


class AgentStatus(Struct, frozen=True):
    """The agent."""

    seq: int
    sources: Mapping[str, SourceStatus]
    sinks: Mapping[str, SinkStatus]
    room: RoomStatus | None = None
    journal: JournalStatus | None = None
    clock: str = ""
    """Why the wall clock is in doubt, and nothing goes out; empty while it is believed."""


async def serve_status(folder: Path, recorder: Recorder, status: Callable[[], AgentStatus]) -> None:
    """Until cancelled. Only the agent's own user can connect."""
    listeners: set[asyncio.Task[None]] = set()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        listeners.add(task)
        try:
            await _tell(writer, recorder, status)
        except asyncio.CancelledError:
            pass  # the agent stops; Python 3.11's streams would report it as an error
        finally:
            listeners.discard(task)
            writer.close()

    try:
        async with await asyncio.start_unix_server(tell, sock=listen_locally(folder, SOCKET)) as server:
            await server.serve_forever()
    finally:
        for task in listeners:
            task.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def _tell(writer: asyncio.StreamWriter, recorder: Recorder, status: Callable[[], AgentStatus]) -> None:
    """To one listener, until it has gone."""
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
        pass
    finally:
        recorder.unlisten(committed)


async def follow_status(folder: Path) -> AsyncGenerator[AgentStatus, None]:
    """What the agent says of itself. Ends when it cannot be reached any more."""
    try:
        with short_path(folder, SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST)
    except OSError:
        return
    try:
        while line := await reader.readline():
            yield json.decode(line, type=AgentStatus)
    except (OSError, DecodeError, ValueError):
        return
    finally:
        writer.close()
