"""A connection to a tightening controller: commands and answers, and whether it is still there."""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from adapters._open_protocol import (
    ACCEPTED,
    END,
    ERROR,
    KEEP_ALIVE,
    LONGEST,
    OTHER_REVISION,
    START,
    STARTED,
    STOP,
    SUBSCRIBE,
    SUBSCRIBED,
    Broken,
    CommandError,
    Message,
    accepted,
    command_error,
    decode,
    encode,
)
from adapters._stream_settings import split_endpoint
from edge.contract import SourceError, SourceLost, SourceRefused

PORT = 4545
_AGAIN_S = 2.0
"""Between two tries to connect: a controller that is switched on is found within this."""
_PENDING = 64
_SHOWN_BYTES = 160


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a controller is, and how long it may take."""

    host: str
    port: int
    where: str
    """Both, as the user wrote them."""
    answer_s: float
    keep_alive_s: float
    revisions: Sequence[int]
    """Of the results, to ask for in this order."""


def host_and_port(connect: str) -> tuple[str, int]:
    """`10.0.0.7`, `10.0.0.7:4545`, `torque-1.plant.local`, `[fd00::7]:4545`. Raises ValueError."""
    has_port = ":" in connect and not connect.endswith("]")
    host, port = split_endpoint(connect if has_port else f"{connect}:{PORT}")
    if not host:
        raise ValueError('write the controller\'s address, such as "10.0.0.7" or "10.0.0.7:4545"')
    return host, port


class Link:
    """An open connection: messages out, and in one after the other."""

    def __init__(
        self, name: str, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._name = name
        self._where = peer.where
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self._pending: deque[Message | Broken] = deque()
        self._started = False

    async def start(self) -> None:
        """MID 0001, answered by 0002. Raises SourceLost, SourceRefused."""
        said = await self.ask(Message(START), STARTED)
        if isinstance(said, CommandError):
            reason = f"{self._where} refuses the connection: {said}"
            if said.code in (16, 96):
                reason += "; end the other program, or raise the number of clients in the controller"
            raise SourceRefused(self._name, reason)
        self._started = True

    async def subscribe(self) -> None:
        """MID 0060 with the newest revision that both know. Raises SourceLost, SourceRefused."""
        tried = self._peer.revisions
        for revision in tried:
            said = await self.ask(Message(SUBSCRIBE, revision), ACCEPTED)
            if isinstance(said, Message) or said.code in SUBSCRIBED:
                return
            if said.code not in OTHER_REVISION:
                raise SourceRefused(self._name, f"{self._where} gives no results (MID 0060): {said}")
        asked = ", ".join(map(str, tried))
        raise SourceRefused(self._name, f"{self._where} gives no results of revision {asked}; see `revision`")

    async def ask(self, command: Message, answer: int) -> Message | CommandError:
        """Send a command; what answers it. Other messages wait for `next`.

        Raises SourceLost, SourceRefused.
        """
        await self.send(command)
        try:
            async with asyncio.timeout(self._peer.answer_s):
                while True:
                    message = await self._read()
                    said = None if isinstance(message, Broken) else _answer(message, command.mid, answer)
                    if said is not None:
                        return said
                    self._keep(message)
        except TimeoutError:
            told = f"{self._where} does not answer MID {command.mid:04}"
            raise SourceLost(self._name, f"{told}; is this its Open Protocol port?") from None

    async def next(self) -> Message | Broken:
        """The next message that is not about being there. Raises SourceLost, SourceRefused.

        A controller that says nothing is asked whether it is there; silence then means that it is gone.
        """
        while True:
            message = self._pending.popleft() if self._pending else await self._heard()
            if isinstance(message, Broken) or message.mid != KEEP_ALIVE:
                return message

    async def _heard(self) -> Message | Broken:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._peer.keep_alive_s):
                return await self._read()
        await self.send(Message(KEEP_ALIVE))
        try:
            async with asyncio.timeout(self._peer.answer_s):
                return await self._read()
        except TimeoutError:
            silent_s = self._peer.keep_alive_s + self._peer.answer_s
            words = f"{self._where} has been silent for {silent_s:g} s, asked whether it is there"
            raise SourceLost(self._name, f"{words}; check its power and the network") from None

    async def send(self, message: Message) -> None:
        """Raises SourceLost."""
        try:
            async with asyncio.timeout(self._peer.answer_s):
                self._writer.write(encode(message))
                await self._writer.drain()
        except TimeoutError:
            raise SourceLost(self._name, f"{self._where} takes no bytes any more; is it stuck?") from None
        except OSError as error:
            raise self._hung_up() from error

    async def close(self) -> None:
        """Say goodbye (MID 0003), so that the controller keeps no place for a client that is gone."""
        if self._started and not self._writer.is_closing():
            self._writer.write(encode(Message(STOP)))
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    def _keep(self, message: Message | Broken) -> None:
        if isinstance(message, Message) and message.mid == KEEP_ALIVE:
            return
        if len(self._pending) >= _PENDING:
            raise SourceLost(self._name, f"{self._where} talks without answering what it was asked")
        self._pending.append(message)

    async def _read(self) -> Message | Broken:
        """One message; a broken one is given back, for its NUL says where the next begins."""
        try:
            raw = await self._reader.readuntil(END)
        except asyncio.IncompleteReadError as error:
            raise self._hung_up(in_the_middle=bool(error.partial)) from error
        except asyncio.LimitOverrunError as error:
            words = f"{self._where} sent more than {LONGEST} bytes without an end"
            raise SourceRefused(self._name, f"{words}; does it speak Open Protocol?") from error
        except OSError as error:
            raise self._hung_up() from error
        try:
            return decode(raw.removesuffix(END))
        except Broken as error:
            return Broken(f"{error}: {shown(raw)}")

    def _hung_up(self, *, in_the_middle: bool = False) -> SourceLost:
        where = " in the middle of a message" if in_the_middle else ""
        words = f"{self._where} hung up{where}; was it switched off or restarted?"
        return SourceLost(self._name, words, again_s=_AGAIN_S)


def shown(raw: bytes) -> str:
    return ascii(raw[:_SHOWN_BYTES].decode("latin-1"))[1:-1] + ("..." if len(raw) > _SHOWN_BYTES else "")


def _answer(message: Message, asked: int, answer: int) -> Message | CommandError | None:
    """What a message says to the command `asked`; None if nothing."""
    with suppress(Broken):
        if message.mid == ERROR and (error := command_error(message)).mid == asked:
            return error
        if message.mid == answer and (answer != ACCEPTED or accepted(message) == asked):
            return message
    return None


_REASONS: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "{host} is no name that is known here; check it, or write the address in numbers"),
    (ConnectionRefusedError, "{where} refuses the connection; is Open Protocol switched on there?"),
    (TimeoutError, "{where} does not answer; is it switched on, and is this its address?"),
)


def connect_failure(name: str, peer: Peer, error: OSError) -> SourceError:
    """What the system raised while connecting, as the user reads it."""
    known = (text for kind, text in _REASONS if isinstance(error, kind))
    reason = next(known, "{where} cannot be reached: {error}")
    words = reason.format(host=peer.host, where=peer.where, error=error.strerror or error)
    return SourceLost(name, words, again_s=_AGAIN_S)


@asynccontextmanager
async def connected(name: str, peer: Peer) -> AsyncIterator[Link]:
    """A link that is open; it is closed with a goodbye. Raises SourceLost."""
    try:
        async with asyncio.timeout(peer.answer_s):
            reader, writer = await asyncio.open_connection(peer.host, peer.port, limit=LONGEST + 1)
    except OSError as error:  # TimeoutError is one
        raise connect_failure(name, peer, error) from error
    link = Link(name, peer, reader, writer)
    try:
        yield link
    finally:
        await link.close()
