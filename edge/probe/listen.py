"""One probing: listen, show, find out."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from edge.errors import ProbeRefused, SourceError
from edge.plural import counted
from edge.probe.find import Device, Found, concluded
from edge.probe.show import Dump
from edge.production.scanning import LabelRules

ACK, EOT = b"\x06", b"\x04"
_PAUSE_S = 0.06
"""Silence after which a device is answered."""

_ASK_S = 1.0

Tell = Callable[[str], None]


class Chunk(Protocol):
    """Bytes that were read at once."""

    @property
    def at_s(self) -> float: ...
    @property
    def data(self) -> bytes: ...


class Ear(Protocol):
    """An open port."""

    def chunks(self, until_s: float | None = None) -> AsyncIterator[Chunk]: ...
    def write(self, data: bytes) -> None: ...


class Rate(Protocol):
    """How a port is set."""

    baud: int
    bits: int
    parity: str


class Tried(Protocol):
    """What was heard at a rate."""

    rate: Any
    share: float
    count: int


class Wire(Protocol):
    """What the adapters know of it: `adapters/_serial_probe.py`."""

    MOST_BYTES: int
    Rate: Callable[..., Any]

    def is_real(self, port: str) -> bool: ...
    def listening(self, port: str, rate: Any) -> AbstractAsyncContextManager[Ear]: ...
    def hunted(
        self, heard_at: Callable[[Any], Awaitable[bytes]], tell: Callable[[Any], None]
    ) -> Awaitable[tuple[Any, Sequence[Any]]]: ...
    def guess(self, chunks: Sequence[Chunk]) -> Any: ...
    def only_asks(self, chunks: Sequence[Chunk]) -> bool: ...
    def propose(self, guess: Any, asked: bytes = b"") -> Any: ...
    def outline(self, guess: Any, asked: bytes = b"") -> Any: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """How it was asked for."""

    port: str
    for_s: float
    baud: int | None
    """None: on a real port it is looked for."""
    parity: str = "none"
    bits: int = 8
    ack: bool = False
    """Each message is answered."""
    ask: bytes = b""
    """Written once a second."""
    name: str = "device-1"
    station: str = "station-1"


_TRY_S = 6.0
"""At each rate; less where enough comes sooner."""
_ENOUGH_BYTES = 32


async def probe(wire: Wire, wish: Wish, rules: LabelRules, tell: Tell) -> Found:
    """Listen until the time is up, Ctrl-C, or the device has gone. Raises ProbeRefused."""
    try:
        with _stopped_by_hand() as stop:
            rate = await _rate(wire, wish, tell)
            chunks = await _recorded(wire, wish, rate, tell, stop)
    except SourceError as error:
        raise ProbeRefused(wish.port, str(error)) from error
    return _found(wire, wish, rate, chunks, rules)


@contextmanager
def _stopped_by_hand() -> Iterator[asyncio.Event]:
    """Ctrl-C ends the listening, not the command."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _rate(wire: Wire, wish: Wish, tell: Tell) -> Any:
    if wish.baud is not None or not wire.is_real(wish.port):
        return wire.Rate(wish.baud or 9600, wish.bits, wish.parity)
    tell("Looking for the rate: scan, or let the rig send, again and again.")

    async def heard_at(rate: Any) -> bytes:
        data = b""
        async with wire.listening(wish.port, rate) as ear:
            async for chunk in ear.chunks(_TRY_S):
                data += chunk.data
                if len(data) >= _ENOUGH_BYTES:
                    break
        return data

    def told(tried: Tried) -> None:
        heard = f"{tried.count} bytes, {tried.share:.0%} of them text" if tried.count else "nothing"
        tell(f"{tried.rate}: {heard}")

    rate, tries = await wire.hunted(heard_at, told)
    if rate is None:
        quiet = not any(one.count for one in tries)
        reason = "nothing came at any rate; is it switched on, and the cable the right one (null modem)?"
        other = "no rate made sense of what came; name it with --baud, --bits and --parity"
        raise ProbeRefused(wish.port, reason if quiet else other)
    return rate


async def _recorded(wire: Wire, wish: Wish, rate: Any, tell: Tell, stop: asyncio.Event) -> list[Chunk]:
    """What was heard until the time was up, the device gone, or somebody said stop."""
    recording = _Recording(wire.MOST_BYTES, tell)
    async with wire.listening(wish.port, rate) as ear, asyncio.TaskGroup() as tasks:
        tell(_begun(wish, rate, wire.is_real(wish.port)))
        answering = _Answering(ear) if wish.ack else None

        async def listen() -> None:
            async for chunk in ear.chunks(wish.for_s):
                recording.take(chunk)
                if answering is not None:
                    answering.heard(chunk.data)
            stop.set()

        running = [tasks.create_task(listen(), name="listen")]
        if wish.ask:
            running.append(tasks.create_task(_asking(ear, wish.ask), name="ask"))
        await stop.wait()
        for task in running:
            task.cancel()
        if answering is not None:
            answering.end()
    return recording.kept


async def _asking(ear: Ear, question: bytes) -> None:
    while True:
        ear.write(question)
        await asyncio.sleep(_ASK_S)


class _Recording:
    """Shows all of it, and keeps as much as there is room for."""

    def __init__(self, most_bytes: int, tell: Tell) -> None:
        self.kept: list[Chunk] = []
        self._room = most_bytes
        self._tell = tell
        self._dump = Dump()

    def take(self, chunk: Chunk) -> None:
        for row in self._dump.rows(chunk.at_s, chunk.data):
            self._tell(row)
        self._room -= len(chunk.data)
        if self._room >= 0:
            self.kept.append(chunk)


def _begun(wish: Wish, rate: Any, real: bool) -> str:
    at = f" at {rate}" if real else " (a pseudo-terminal has no rate)"
    does = "Each message is answered with ACK" if wish.ack else "Nothing is written"
    does = f"{wish.ask!a} is written once a second" if wish.ask else does
    return f"Listening to {wish.port}{at} for {wish.for_s:g} s, or until Ctrl-C. {does}."


class _Answering:
    """ACK once a device has been silent for a moment; an EOT wants none."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._burst = b""
        self._timer: asyncio.TimerHandle | None = None

    def heard(self, data: bytes) -> None:
        self.end()
        self._burst = (self._burst + data)[-2:]
        self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._answer)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self) -> None:
        if self._burst != EOT:
            self._ear.write(ACK)
        self._burst = b""


def _found(wire: Wire, wish: Wish, rate: Any, chunks: Sequence[Chunk], rules: LabelRules) -> Found:
    if not chunks:
        return Found((f"nothing came within {wish.for_s:g} s",), "")
    guess = wire.guess(chunks)
    if guess is None:
        total = counted(sum(len(one.data) for one in chunks), "byte")
        asks = "it asks with ENQ and sends only to who answers: probe it with --ack"
        return Found((asks if wire.only_asks(chunks) else f"{total}, and no frame in them",), "")
    usual = wire.Rate()
    written = {key: getattr(rate, key) for key in ("baud", "bits", "parity")}
    keys = {key: value for key, value in written.items() if value != getattr(usual, key)}
    device = Device(wish.port, keys, wish.name, wish.station, rules)
    return concluded(device, guess, wire.propose(guess, wish.ask), wire.outline(guess, wish.ask))
