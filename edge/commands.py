"""The agent's second local socket: it is told what to do, a line of JSON for a line of JSON.

`{"orders": [...], "by": "erp"}` is answered with `{"outcomes": [...]}` in the same order, when all of them
are on disk, or with `{"error": "..."}` where it is not certain that anything of this line is. `by` is who
sends them; it may be left out.
"""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import DecodeError, Meta, Struct, json

from edge.clock import Clock
from edge.errors import NotRecorded
from edge.observation import ORDER, Observation, Outcome, WorkOrder
from edge.orders import Intake
from edge.sockets import listen_locally, short_path

SOCKET = "command.sock"
LONGEST = 1 << 20
"""Bytes of one line from a client."""
LONGEST_ANSWER = 4 << 20
AT_ONCE = 1_000
"""Orders in one line, and in one commit."""
CLIENTS = 64
IDLE_S = 30.0
"""A client that neither sends nor takes anything for so long is cut off."""
ANSWER_S = 60.0
"""So long a client waits for its answer."""
LONGEST_NAME = 64
"""Characters of who sends."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    orders: tuple[WorkOrder, ...]
    by: Annotated[str, Meta(max_length=LONGEST_NAME, pattern=r"\A[^\x00-\x1f\x7f]*\Z")] = ""
    """Who sends them."""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What it is told."""

    outcomes: tuple[Outcome, ...] = ()
    error: str = ""


Desk = Callable[[Sequence[WorkOrder], str], Awaitable[Sequence[Outcome]]]
"""Takes orders, and the name of who sends them; an outcome each. Raises NotRecorded."""


class Recording(Protocol):
    """The recorder, as far as orders need it."""

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]: ...


class OrderDesk:
    """Where orders reach the recorder, whatever side they come from."""

    def __init__(self, clock: Clock, recorder: Recording) -> None:
        self._clock = clock
        self._recorder = recorder

    async def take(self, orders: Sequence[WorkOrder], by: str = "") -> list[Outcome]:
        """One outcome each, when they are on disk. `by`: who sends them. Raises NotRecorded."""
        outcomes: list[Outcome] = []
        for start in range(0, len(orders), AT_ONCE):
            some = orders[start : start + AT_ONCE]
            outcomes += await self._recorder.emit([self._observed(order, by) for order in some])
        return outcomes

    def signed(self, by: str) -> Intake:
        """`take` for one sender."""
        return lambda orders: self.take(orders, by)

    def _observed(self, order: WorkOrder, by: str) -> Observation:
        now_ms = self._clock.wall_ms()
        return Observation(ORDER, order, now_ms, now_ms, self._clock.mono_ms(), self._clock.boot, detail=by)


# --- the agent's side -----------------------------------------------------------------------------


async def serve_commands(folder: Path, desk: Desk) -> None:
    """Until cancelled. Only the agent's own user can connect."""
    clients: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        try:
            if len(clients) > CLIENTS:
                await _say(writer, Answer(error=f"{CLIENTS} clients are connected; try again later"))
            else:
                await _serve(reader, writer, desk)
        except (OSError, TimeoutError):
            pass  # the client has gone, or does not move
        except asyncio.CancelledError:
            pass  # the agent stops; Python 3.11's streams would report it as an error
        finally:
            clients.discard(task)
            writer.close()

    try:
        async with await asyncio.start_unix_server(
            meet, sock=listen_locally(folder, SOCKET), limit=LONGEST
        ) as server:
            await server.serve_forever()
    finally:
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk) -> None:
    """One client, line by line, until it has gone."""
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readline()
        except ValueError:
            await _say(writer, Answer(error=f"a line is longer than {LONGEST:,} bytes"))
            return
        if not line.endswith(b"\n"):
            return
        await _say(writer, await _answer(line, desk))


async def _answer(line: bytes, desk: Desk) -> Answer:
    try:
        request = json.decode(line, type=Request)
    except (DecodeError, RecursionError) as error:
        return Answer(error=f"this is no command: {error}")
    if len(request.orders) > AT_ONCE:
        return Answer(error=f"{len(request.orders)} orders in one line; {AT_ONCE} is the most")
    try:
        return Answer(tuple(await desk(request.orders, request.by)))
    except NotRecorded as error:
        return Answer(error=str(error).removeprefix(f"{NotRecorded('')}"))


async def _say(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.encode(answer) + b"\n")
    async with asyncio.timeout(IDLE_S):
        await writer.drain()


# --- the client's side ----------------------------------------------------------------------------


def os_user() -> str:
    """Who sits at the terminal. With sudo it is who typed it: the agent's own user says nothing."""
    name = os.environ.get("SUDO_USER")
    if not name:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container's user need not be in its passwd
            name = f"uid {os.getuid()}"
    return "".join(one for one in name if one.isprintable())[:LONGEST_NAME]


async def send_orders(folder: Path, orders: Sequence[WorkOrder], by: str = "") -> list[Outcome]:
    """Hand orders to the agent of this data folder; one outcome each, when they are on disk.

    `by`: who sends them, 64 printable characters at most. Raises NotRecorded where the agent is away or
    says no. To send them again does no harm.
    """
    try:
        with short_path(folder, SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
    except OSError as error:
        raise NotRecorded(_away(folder, error)) from error
    try:
        outcomes: list[Outcome] = []
        for count, line in _requests(orders, by):
            outcomes += await _ask(reader, writer, line, count)
        return outcomes
    finally:
        writer.close()


def _away(folder: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"the agent of {folder} is another user's; use sudo -u with that user's name"
    return f"no agent answers in {folder}; start it with `lineside run`, then try again"


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes, count: int
) -> Sequence[Outcome]:
    try:
        writer.write(line)
        with suppress(ConnectionError):  # it may have answered and hung up
            await writer.drain()
        async with asyncio.timeout(ANSWER_S):
            answer = json.decode(await reader.readline(), type=Answer)
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: not a line, or no JSON
        again = "try again, what is in already is then a duplicate"
        raise NotRecorded(f"the agent went away before it answered; {again}") from error
    if answer.error or len(answer.outcomes) != count:
        raise NotRecorded(answer.error or "the agent is of another version; restart it")
    return answer.outcomes


def _requests(orders: Sequence[WorkOrder], by: str) -> Iterator[tuple[int, bytes]]:
    """As few lines as its bounds allow, each with its number of orders."""
    some: list[bytes] = []
    size = 0
    for order in orders:
        body = json.encode(order)
        if some and (len(some) == AT_ONCE or size + len(body) > LONGEST - 1000):
            yield len(some), _request(some, by)
            some, size = [], 0
        some.append(body)
        size += len(body) + 1
    if some:
        yield len(some), _request(some, by)


def _request(orders: Sequence[bytes], by: str) -> bytes:
    signed = b',"by":' + json.encode(by) if by else b""
    return b'{"orders":[' + b",".join(orders) + b"]" + signed + b"}\n"
