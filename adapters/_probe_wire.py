"""Listening on a serial port for `lineside probe`: bytes with their times, and the rate that fits."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters._serial_port import open_serial
from adapters._stream_settings import StreamSettings

Parity = Literal["none", "even", "odd"]

MOST_BYTES = 1_000_000
"""Of one recording; what comes on top is shown and not kept."""
ENOUGH_BYTES = 8
"""To judge a rate by."""
_SENSIBLE = 0.9
"""Share of printable bytes from which a rate is taken."""
_VARIETY = 4
"""Different bytes that must agree on a parity: at a wrong rate one byte often comes again and again."""
_FRAMING = frozenset(b"\x02\x03\x04\x05\x06\x15\r\n\t\x1d\x1e")
_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    """How a port is set."""

    baud: int = 9600
    bits: Literal[7, 8] = 8
    parity: Parity = "none"

    def __str__(self) -> str:
        return f"{self.baud} {self.bits}{self.parity[0].upper()}1"


RATES = (
    *(Rate(baud) for baud in (9600, 115_200, 19_200, 38_400, 57_600, 4800, 2400, 1200)),
    *(Rate(baud, 8, parity) for baud in (9600, 19_200, 115_200) for parity in ("even", "odd")),
)
"""In the order in which they are tried; 7 bits are told from what 8 bits without parity hear."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that were read at once."""

    at_s: float
    """Of a steady clock, from the beginning of the recording."""
    data: bytes


def is_real(port: str) -> bool:
    """Whether it has a rate: a pseudo-terminal passes bytes at any."""
    return not Path(port).resolve().is_relative_to("/dev/pts")


class Ear:
    """An open port: what comes in; it writes only what it is told to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._news = asyncio.Event()

    async def chunks(self, until_s: float | None = None) -> AsyncIterator[Chunk]:
        """Everything that is heard, until the port is gone or so many seconds have passed."""
        self._loop.add_reader(self._fd, self._news.set)
        try:
            async with asyncio.timeout(until_s):
                while (data := await self._read()) != b"":
                    yield Chunk(self._loop.time() - self._begun_s, data)
        except TimeoutError:
            return
        finally:
            self._loop.remove_reader(self._fd)

    async def _read(self) -> bytes:
        """Empty once the device is gone."""
        while True:
            try:
                return os.read(self._fd, _AT_ONCE)
            except BlockingIOError:
                self._news.clear()
                await self._news.wait()
            except OSError:
                return b""

    def write(self, data: bytes) -> None:
        """What the device does not take at once is not written."""
        try:
            os.write(self._fd, data)
        except OSError:
            return


@asynccontextmanager
async def listening(port: str, rate: Rate) -> AsyncIterator[Ear]:
    """The port, open for this alone. Raises SourceLost, SourceRefused."""
    settings = StreamSettings(
        type="probe", port=port, baud=rate.baud, bits=rate.bits, parity=rate.parity
    )  # fmt: skip
    opened = await open_serial("probe", settings)
    try:
        yield Ear(opened.fd)
    finally:
        opened.close()


# --- the rate ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tried:
    """What was heard at a rate."""

    rate: Rate
    """The one that it makes sense at: one of 7 bits is told from 8 bits without parity."""
    share: float
    """Of printable bytes, 0 to 1. A byte with an error of parity or framing is read as NUL."""
    count: int

    @property
    def makes_sense(self) -> bool:
        return self.count >= ENOUGH_BYTES and self.share >= _SENSIBLE


def judged(rate: Rate, data: bytes) -> Tried:
    """How much sense bytes make that were heard at a rate."""
    found = Tried(rate, _share(data), len(data))
    if found.makes_sense or rate.bits == 7 or rate.parity != "none":
        return found
    stripped = bytes(byte & 0x7F for byte in data)
    odd = {byte.bit_count() % 2 for byte in data}
    if len(odd) == 1 and len(set(data)) >= _VARIETY and _share(stripped) >= _SENSIBLE:
        return Tried(Rate(rate.baud, 7, "odd" if odd == {1} else "even"), _share(stripped), len(data))
    return found


def _share(data: bytes) -> float:
    good = sum(0x20 <= byte < 0x7F or byte in _FRAMING for byte in data)
    return good / len(data) if data else 0.0


async def hunted(
    heard_at: Callable[[Rate], Awaitable[bytes]], tell: Callable[[Tried], None]
) -> tuple[Rate | None, list[Tried]]:
    """Listen at one rate after the other until one makes sense; None where none does."""
    tries: list[Tried] = []
    for rate in RATES:
        tried = judged(rate, await heard_at(rate))
        tries.append(tried)
        tell(tried)
        if tried.makes_sense:
            return tried.rate, tries
    return None, tries
