"""A serial port in the event loop: its settings, how it is opened, frames in and answers out.

The port is a plain file descriptor: pyserial opens and sets it up, the loop says when there is
something to read. `_serial_frames` cuts what was read into frames.
"""

import asyncio
import errno
import os
import re
import termios
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

import serial
from pydantic import AfterValidator, Field

from adapters._serial_frames import HUNG_UP, Frame, Framer
from edge.contract import (
    Duration,
    Intake,
    Observation,
    SourceError,
    SourceLost,
    SourceRefused,
    SourceSettings,
)

# --- settings -------------------------------------------------------------------------------

_RENUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")
_PARITY = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


def _one_byte_each(text: str) -> str:
    if any(ord(character) > 255 for character in text):
        raise ValueError("each character is one byte on the wire; use characters up to \\u00ff")
    return text


def _apart(end: str | list[str]) -> str | list[str]:
    ends = _as_list(end)
    if not ends:
        raise ValueError('give at least one end, such as "\\r"')
    for one in ends:
        if sum(one in other for other in ends) > 1:
            raise ValueError(f"the end {one!r} is also a part of another end; keep one of the two")
    return end


def _as_list(end: str | list[str]) -> list[str]:
    return [end] if isinstance(end, str) else end


Bytes = Annotated[str, Field(max_length=64), AfterValidator(_one_byte_each)]
End = Annotated[str, Field(min_length=1, max_length=8), AfterValidator(_one_byte_each)]


class LineSettings(SourceSettings):
    """A serial port, how its frames end, and what is written back."""

    port: str = Field(pattern="^/")
    """The device's file; best its name under /dev/serial/by-id/, which outlives a reboot."""
    baud: int = Field(default=9600, ge=50, le=4_000_000)
    """Bits a second."""
    bits: Literal[7, 8] = 8
    """Data bits of a character."""
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    """What the parity bit is, if there is one."""
    stop: Literal[1, 2] = 1
    """Stop bits."""
    end: Annotated[End | list[End], AfterValidator(_apart)] = Field(default=["\r", "\n"])
    """What ends a frame: one text, or a list of which any one does."""
    longest: int = Field(default=512, ge=1, le=65_536)
    """Bytes of a frame at the most, without its end."""
    idle: Duration = timedelta(milliseconds=300)
    """A frame without an end is given up after so long without a byte."""
    confirm: Bytes = "\x06"
    """Written back once the frame is on disk; empty: nothing."""
    refuse: Bytes = "\x15"
    """Written back when it was refused, broken or could not be recorded; empty: nothing."""

    def ends(self) -> list[bytes]:
        """The ends as they are on the wire."""
        return [end.encode("latin-1") for end in _as_list(self.end)]

    def owns(self) -> list[str]:
        """The port: two readers would steal each other's bytes."""
        return [self.port]

    def warnings(self) -> list[str]:
        """What is allowed but unwise, a sentence each."""
        if not _RENUMBERED.fullmatch(self.port):
            return []
        return [
            f"{self.port} may name another device after a reboot or a replug; "
            "use the device's name under /dev/serial/by-id/"
        ]


# --- opening --------------------------------------------------------------------------------

_OPEN_ERRORS = (OSError, ValueError, termios.error)
_REASONS = {
    errno.ENOENT: "there is no {port}; is the device plugged in? `ls /dev/serial/by-id` shows what is",
    errno.EACCES: "no permission to open {port}; put the agent's user into the group dialout "
    "(usermod -aG dialout USER) and start the agent again",
    errno.EBUSY: "{port} is in use by another program; `fuser -v {port}` names it",
    errno.EIO: "{port} does not work; is there really a device behind it?",
    errno.ENOTTY: "{port} is not a serial port",
}
_REASONS |= {
    errno.ENODEV: _REASONS[errno.ENOENT],
    errno.ENXIO: _REASONS[errno.ENOENT],
    errno.EPERM: _REASONS[errno.EACCES],
    errno.EAGAIN: _REASONS[errno.EBUSY],
    errno.EISDIR: _REASONS[errno.ENOTTY],
}


def open_failure(source: str, settings: LineSettings, error: Exception) -> SourceError:
    """What pyserial, termios or the system raised while opening, as the user reads it."""
    if isinstance(error, ValueError):
        wanted = f"baud = {settings.baud}, bits = {settings.bits}, parity = {settings.parity!r}"
        return SourceRefused(source, f"{settings.port} does not take {wanted}: {error}")
    reason = _REASONS.get(_number(error), "{port} cannot be opened: {error}")
    return SourceLost(source, reason.format(port=settings.port, error=error))


def _number(error: BaseException | None) -> int:
    """The errno; pyserial hides that of termios in the exception's context."""
    if isinstance(error, termios.error):
        return int(error.args[0])
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return 0 if error is None else _number(error.__context__)


def describe(settings: LineSettings) -> serial.Serial:
    """The port as pyserial sets it, not opened yet.

    An inter-byte timeout of 0 makes VMIN 1, so that an empty read means a hang-up and nothing else.
    """
    port = serial.Serial(
        baudrate=settings.baud, bytesize=settings.bits, parity=_PARITY[settings.parity],
        stopbits=settings.stop, timeout=0, write_timeout=0, inter_byte_timeout=0, exclusive=True,
    )  # fmt: skip
    port.port = settings.port
    return port


def _open(port: serial.Serial) -> None:
    """Open; a byte with a parity or framing error is then read as NUL: termios(3), INPCK."""
    port.open()
    try:
        attributes = termios.tcgetattr(port.fd)
        attributes[0] = (attributes[0] | termios.INPCK) & ~(termios.IGNPAR | termios.BRKINT)
        termios.tcsetattr(port.fd, termios.TCSANOW, attributes)
    except termios.error:
        port.close()
        raise


async def _opened(source: str, settings: LineSettings) -> serial.Serial:
    """Open in a thread: a sick USB device answers its set-up after seconds, if at all."""
    port = describe(settings)
    opening = asyncio.get_running_loop().run_in_executor(None, _open, port)
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(*_OPEN_ERRORS):
            await opening
        port.close()
        raise
    except _OPEN_ERRORS as error:
        raise open_failure(source, settings, error) from error
    return port


# --- the open port --------------------------------------------------------------------------

_READ_BYTES = 4096
_KEPT_BYTES = 262_144
_ARRIVAL_BYTES = 256  # about what one costs beside its raw bytes
_WRITE_S = 1.0
_QUIET_S = 0.1
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame, and an observation without a value, stamped when the frame was complete."""

    frame: Frame
    stamped: Observation


def _size(frame: Frame) -> int:
    return len(frame.raw) + _ARRIVAL_BYTES


class Line:
    """An open port: frames in, answers out. What arrives while the agent records is kept.

    Up to `_KEPT_BYTES` are kept; what comes on top is counted and reported as broken.
    """

    def __init__(self, port: serial.Serial, settings: LineSettings, intake: Intake) -> None:
        self._port = port
        self._fd: int = port.fileno()
        self._settings = settings
        self._intake = intake
        self._framer = Framer(settings.ends(), settings.longest, settings.idle.total_seconds())
        self._inbox: deque[Arrival] = deque()
        self._kept_bytes = 0
        self._missed = 0
        self._lost = ""
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def settle(self) -> None:
        """Throw away what came before now, until the line is quiet; then listen.

        A line that never falls quiet is joined in the middle: what is left of its frame is
        skipped.
        """
        until_s = self._loop.time() + _SETTLE_S
        await asyncio.sleep(_QUIET_S)
        while self._discarded() and not self._lost:
            if self._loop.time() > until_s:
                self._framer.skip()
                break
            await asyncio.sleep(_QUIET_S)
        if self._lost:
            raise SourceLost(self._intake.name, self._lost)
        self._loop.add_reader(self._fd, self._readable)
        self._watch()

    async def next(self) -> Arrival:
        """The next frame. Raises SourceLost once the port is gone and all frames were taken."""
        while not self._inbox:
            if self._lost:
                raise SourceLost(self._intake.name, self._lost)
            self._news.clear()
            await self._news.wait()
        arrival = self._inbox.popleft()
        self._kept_bytes -= _size(arrival.frame)
        if self._missed:
            self._append(Frame(b"", f"{self._missed} more came than could be kept while recording"))
            self._missed = 0
        return arrival

    def repeated(self, frame: Frame) -> bool:
        """True where the same frame waits right behind."""
        return bool(self._inbox) and self._inbox[0].frame == frame

    async def write(self, data: bytes) -> None:
        """Write within a second, or lose the port; `next` then says so."""
        if self._lost or not data:
            return
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._write_all(data)
        except TimeoutError:
            self._lose(f"{self._settings.port} took no answer for {_WRITE_S:.0f} s; is it stuck?")
            with suppress(termios.error):  # else closing the port waits for the device
                termios.tcflush(self._fd, termios.TCOFLUSH)
        except OSError:
            self._hung_up()

    def close(self) -> None:
        self._stop_listening()
        self._port.close()

    def _read(self) -> bytes | None:
        """What there is; None if nothing, b"" if the port is gone."""
        try:
            return os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _discarded(self) -> bool:
        for count in range(64):
            data = self._read()
            if data is None:
                return count > 0
            if not data:
                self._hung_up()
                break
        return True

    def _readable(self) -> None:
        data = self._read()
        if data == b"":
            self._hung_up()
        elif data:
            self._keep(*self._framer.feed(data, self._loop.time()))
            self._watch()

    def _watch(self) -> None:
        """Look again after `idle`; a reader that is ready then comes before a timer."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if self._framer.unfinished:
            self._timer = self._loop.call_later(self._settings.idle.total_seconds(), self._quiet)

    def _quiet(self) -> None:
        self._keep(*self._framer.expire(self._loop.time()))
        self._watch()

    def _keep(self, *frames: Frame) -> None:
        for frame in frames:
            if self._kept_bytes + _size(frame) <= _KEPT_BYTES:
                self._append(frame)
            else:
                self._missed += 1
        self._news.set()

    def _append(self, frame: Frame) -> None:
        self._kept_bytes += _size(frame)
        self._inbox.append(Arrival(frame, self._intake.observe(self._intake.name, None)))

    async def _write_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                await self._writable()

    async def _writable(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._fd)

    def _hung_up(self) -> None:
        self._lose(f"{self._settings.port} hung up; was the device unplugged or switched off?")

    def _lose(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = reason
        self._stop_listening()
        self._keep(*self._framer.abandon(HUNG_UP))

    def _stop_listening(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._timer:
            self._timer.cancel()


@asynccontextmanager
async def serial_line(settings: LineSettings, intake: Intake) -> AsyncIterator[Line]:
    """A port that is open, set up, quiet and listened to. Raises SourceLost, SourceRefused."""
    port = await _opened(intake.name, settings)
    line = Line(port, settings, intake)
    try:
        await line.settle()
        yield line
    finally:
        line.close()
