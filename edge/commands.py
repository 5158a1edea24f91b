"""The agent's second local socket: it is told what to do, a line of JSON for a line of JSON.

`{"orders": [...], "by": "erp"}` is answered with `{"outcomes": [...]}` in the same order, when all of them
are on disk, or with `{"error": "..."}` where it is not certain that anything of this line is. `by` is who
sends them; it may be left out. `{"command": {"type": "adjust", ...}}` is answered with its one outcome, and
`{"chore": {"type": "retry_rejected", ...}}` with `{"words": "..."}` when it is done.
"""

import asyncio
import logging
import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from msgspec import DecodeError, Struct, ValidationError, convert, json

from edge.bounds import LONGEST_NAME, By
from edge.clock import Clock
from edge.config import LineConfig
from edge.errors import JournalError, NotRecorded
from edge.observation import COMMAND, ORDER, Command, Observation, Outcome, Reassign, Value, WorkOrder
from edge.orders import Intake
from edge.sockets import listen_locally, short_path
from edge.upkeep import Chore, under_lock

log = logging.getLogger("lineside.commands")

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
LAST_MS = 253_402_300_799_999
"""The end of the year 9999, UTC."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends."""

    orders: tuple[WorkOrder, ...] | None = None
    by: By = ""
    """Who sends them."""
    command: dict[str, Any] | None = None
    chore: Chore | None = None


class Answer(Struct, frozen=True, omit_defaults=True):
    """What it is told."""

    outcomes: tuple[Outcome, ...] = ()
    words: str = ""
    """Of a chore that is done."""
    error: str = ""


class Desk(Protocol):
    """Who does what is asked. Both raise NotRecorded."""

    async def take(self, orders: Sequence[WorkOrder], by: str = "") -> Sequence[Outcome]:
        """Takes orders, and the name of who sends them; an outcome each."""

    async def obey(self, command: Command) -> Outcome: ...


Upkeep = Callable[[Chore], Awaitable[str]]
"""Does a chore, and says what was done. Raises NotRecorded, JournalError."""


class Recording(Protocol):
    """The recorder, as far as orders need it."""

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]: ...


class OrderDesk:
    """Where orders and commands reach the recorder, whatever side they come from."""

    def __init__(self, clock: Clock, recorder: Recording) -> None:
        self._clock = clock
        self._recorder = recorder

    async def take(self, orders: Sequence[WorkOrder], by: str = "") -> list[Outcome]:
        """One outcome each, when they are on disk. `by`: who sends them. Raises NotRecorded."""
        outcomes: list[Outcome] = []
        for start in range(0, len(orders), AT_ONCE):
            some = orders[start : start + AT_ONCE]
            outcomes += await self._recorder.emit([self._observed(ORDER, order, by) for order in some])
        return outcomes

    async def obey(self, command: Command) -> Outcome:
        """What became of it, when it is on disk. Raises NotRecorded."""
        [outcome] = await self._recorder.emit([self._observed(COMMAND, command, "")])
        return outcome

    def signed(self, by: str) -> Intake:
        """`take` for one sender."""
        return lambda orders: self.take(orders, by)

    def _observed(self, signal: str, value: Value, by: str) -> Observation:
        clock = self._clock
        now_ms = clock.wall_ms()
        return Observation(
            signal, value, now_ms, now_ms, clock.mono_ms(), clock.boot, detail=by, synced=clock.synced()
        )


# --- the agent's side -----------------------------------------------------------------------------


async def serve_commands(folder: Path, desk: Desk, upkeep: Upkeep | None = None) -> None:
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
                await _serve(reader, writer, desk, upkeep)
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


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk, upkeep: Upkeep | None
) -> None:
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
        await _say(writer, await _answer(line, desk, upkeep))


async def _answer(line: bytes, desk: Desk, upkeep: Upkeep | None = None) -> Answer:
    try:
        request = json.decode(line, type=Request)
        command = None if request.command is None else read_command(request.command)
    except (DecodeError, RecursionError) as error:
        return Answer(error=f"this is no command: {error}")
    orders, chore = request.orders, request.chore
    if (command, orders, chore).count(None) != 2:
        return Answer(error="this is no command: send either `orders` or one `command` or one `chore`")
    if orders is not None and len(orders) > AT_ONCE:
        return Answer(error=f"{len(orders)} orders in one line; {AT_ONCE} is the most")
    try:
        if chore is not None:
            return await _done(chore, upkeep)
        if command is not None:
            return Answer((await desk.obey(command),))
        return Answer(tuple(await desk.take(orders or (), request.by)))
    except NotRecorded as error:
        return Answer(error=str(error).removeprefix(f"{NotRecorded('')}"))


async def _done(chore: Chore, upkeep: Upkeep | None) -> Answer:
    if upkeep is None:
        return Answer(error="nobody does this here")
    try:
        return Answer(words=await upkeep(chore))
    except JournalError as error:
        return Answer(error=str(error))
    except NotRecorded:
        raise
    except Exception as error:  # a bug in a chore is answered: who asked must know that it was not done
        log.error("%s: stopped by a bug", type(chore).__name__, exc_info=error)
        return Answer(error=f"a bug of the agent's stopped it; see its log ({type(error).__name__}: {error})")


def read_command(given: Mapping[str, Any]) -> Command:
    """A command from the object that JSON had; a key that it does not have is a fault, for what is misspelt
    must not be passed over. Raises msgspec.ValidationError."""
    command: Command = convert(given, Command)
    strange = sorted(_strange(given, command))
    if strange:
        raise ValidationError(f"a command of this type has no `{strange[0][:40]}`")
    times = (command.from_ms, command.to_ms) if isinstance(command, Reassign) else ()
    if any(one is not None and not 0 <= one <= LAST_MS for one in times):
        raise ValidationError("from_ms and to_ms are milliseconds since 1970, UTC")
    return command


def _strange(given: Any, taken: Any) -> Iterator[str]:
    """Keys that nobody reads."""
    if isinstance(taken, Struct):
        yield from given.keys() - {*taken.__struct_fields__, "type"}
        for key in given.keys() & {*taken.__struct_fields__}:
            yield from _strange(given[key], getattr(taken, key))
    elif isinstance(taken, tuple):
        for inner, its in zip(given, taken, strict=True):
            yield from _strange(inner, its)


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
    async with _agent(folder) as (reader, writer):
        outcomes: list[Outcome] = []
        for count, line in _requests(orders, by):
            outcomes += await _ask(reader, writer, line, count, "what is in already is then a duplicate")
        return outcomes


async def send_command(folder: Path, command: Command) -> Outcome:
    """Have the agent of this data folder do it; what became of it, when it is on disk.

    Raises NotRecorded where the agent is away or says no.
    """
    line = json.encode({"command": command}) + b"\n"
    async with _agent(folder) as (reader, writer):
        [outcome] = await _ask(reader, writer, line, 1, "but see first whether it was done")
        return outcome


async def send_chore(config: LineConfig, chore: Chore) -> str:
    """Have it done by the line's agent, or here under the journal's lock where none runs; what was done.

    Raises NotRecorded, JournalError.
    """
    line = json.encode({"chore": chore}) + b"\n"
    try:
        async with _agent(config.data) as (reader, writer):
            return (await _exchange(reader, writer, line, "but see first whether it was done")).words
    except NoAgent:
        return await under_lock(config, chore)


class NoAgent(NotRecorded):
    """Nobody listens."""


@asynccontextmanager
async def _agent(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        with short_path(folder, SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
    except OSError as error:
        raise _away(folder, error) from error
    try:
        yield reader, writer
    finally:
        writer.close()


def _away(folder: Path, error: OSError) -> NotRecorded:
    if isinstance(error, PermissionError):
        return NotRecorded(f"the agent of {folder} is another user's; use sudo -u with that user's name")
    return NoAgent(f"no agent answers in {folder}; start it with `lineside run`, then try again")


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes, count: int, again: str
) -> Sequence[Outcome]:
    answer = await _exchange(reader, writer, line, again)
    if len(answer.outcomes) != count:
        raise NotRecorded("the agent is of another version; restart it")
    return answer.outcomes


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes, again: str
) -> Answer:
    """One line and its answer. `again`: what there is to know before it is sent once more."""
    try:
        writer.write(line)
        with suppress(ConnectionError):  # it may have answered and hung up
            await writer.drain()
        async with asyncio.timeout(ANSWER_S):
            answer = json.decode(await reader.readline(), type=Answer)
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: not a line, or no JSON
        raise NotRecorded(f"the agent went away before it answered; try again, {again}") from error
    if answer.error:
        raise NotRecorded(answer.error)
    return answer


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
