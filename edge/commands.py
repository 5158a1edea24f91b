"""The agent's second local socket: it is told what to do, a line of JSON for a line of JSON.

`{"orders": [...]}` is answered with `{"outcomes": [...]}` in the same order, when all of them are on
disk, or with `{"error": "..."}` where it is not certain that anything of this line is.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import DecodeError, Struct, json

from edge.clock import Clock
from edge.errors import NotRecorded
from edge.observation import ORDER, Observation, Outcome, WorkOrder
from edge.orders import Intake
from edge.recorder import Recorder
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


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    orders: tuple[WorkOrder, ...]


class Answer(Struct, frozen=True, omit_defaults=True):
    """What it is told."""

    outcomes: tuple[Outcome, ...] = ()
    error: str = ""


class OrderDesk:
    """Where orders reach the recorder, whatever side they come from."""

    def __init__(self, clock: Clock, recorder: Recorder) -> None:
        self._clock = clock
        self._recorder = recorder

    async def take(self, orders: Sequence[WorkOrder]) -> list[Outcome]:
        """One outcome each, when they are on disk. Raises NotRecorded."""
        outcomes: list[Outcome] = []
        for start in range(0, len(orders), AT_ONCE):
            some = orders[start : start + AT_ONCE]
            outcomes += await self._recorder.emit([self._observed(order) for order in some])
        return outcomes

    def _observed(self, order: WorkOrder) -> Observation:
        now_ms = self._clock.wall_ms()
        return Observation(ORDER, order, now_ms, now_ms, self._clock.mono_ms(), self._clock.boot)


# --- the agent's side -----------------------------------------------------------------------------


async def serve_commands(folder: Path, intake: Intake) -> None:
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
                await _serve(reader, writer, intake)
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


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, intake: Intake) -> None:
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
        await _say(writer, await _answer(line, intake))


async def _answer(line: bytes, intake: Intake) -> Answer:
    try:
        orders = json.decode(line, type=Request).orders
    except (DecodeError, RecursionError) as error:
        return Answer(error=f"this is no command: {error}")
    if len(orders) > AT_ONCE:
        return Answer(error=f"{len(orders)} orders in one line; {AT_ONCE} is the most")
    try:
        return Answer(tuple(await intake(orders)))
    except NotRecorded as error:
        return Answer(error=str(error).removeprefix(f"{NotRecorded('')}"))


async def _say(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.encode(answer) + b"\n")
    async with asyncio.timeout(IDLE_S):
        await writer.drain()


# --- the client's side ----------------------------------------------------------------------------


async def send_orders(folder: Path, orders: Sequence[WorkOrder]) -> list[Outcome]:
    """Hand orders to the agent of this data folder; one outcome each, when they are on disk.

    Raises NotRecorded where the agent is away or says no. To send them again does no harm.
    """
    try:
        with short_path(folder, SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
    except OSError as error:
        raise NotRecorded(_away(folder, error)) from error
    try:
        outcomes: list[Outcome] = []
        for count, line in _requests(orders):
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


def _requests(orders: Sequence[WorkOrder]) -> Iterator[tuple[int, bytes]]:
    """As few lines as its bounds allow, each with its number of orders."""
    some: list[bytes] = []
    size = 0
    for order in orders:
        body = json.encode(order)
        if some and (len(some) == AT_ONCE or size + len(body) > LONGEST - 100):
            yield len(some), _request(some)
            some, size = [], 0
        some.append(body)
        size += len(body) + 1
    if some:
        yield len(some), _request(some)


def _request(orders: Sequence[bytes]) -> bytes:
    return b'{"orders":[' + b",".join(orders) + b"]}\n"
