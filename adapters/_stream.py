"""A device's stream in the event loop: frames in and answers out, on a serial port or over TCP."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from adapters._frames import HUNG_UP, Frame, Framer
from adapters._serial_port import open_serial
from adapters._stream_settings import LineSettings, StreamSettings
from adapters._tcp_port import accept_connection, open_connection
from edge.contract import Intake, Observation
from edge.errors import SourceLost

STALE = "{count} came before the agent listened, and nobody knows when; scan or send it again"
_READ_BYTES = 1024
_READS = 64
_KEPT_BYTES = 262_144
_ARRIVAL_BYTES = 256  # about what one costs beside its raw bytes
_LATE_S = 0.001  # a timer may fire a little early
_WRITE_S = 1.0
_QUIET_S = 0.1
_SETTLE_S = 1.0


class Port(Protocol):
    """An open stream of bytes: a file descriptor that does not block, and who is at its other end."""

    name: str
    """As the user wrote it, or the address that it comes from."""
    fd: int
    settles: bool
    """Whether something old may wait in it when it is opened."""
    closes_in_halves: bool
    """Whether one that sends no more may still be told something."""

    def ended(self, error: OSError | None) -> str:
        """Why nothing can be read any more, in a sentence."""

    def watch(self, lose: Callable[[str], None], has_spoken: Callable[[], bool]) -> None:
        """From now on, call `lose` with a sentence when another takes the place of the device.

        One that has not spoken has to give way.
        """

    def drop_unsent(self) -> None:
        """Forget what the device does not take."""

    def close(self) -> None: ...


async def open_port(source: str, settings: StreamSettings) -> Port:
    """Where the settings say. Raises SourceLost, SourceRefused."""
    if settings.port is not None:
        return await open_serial(source, settings)
    if settings.connect is not None:
        return await open_connection(source, settings)
    return await accept_connection(source, settings)


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

    def __init__(self, port: Port, settings: LineSettings, intake: Intake) -> None:
        self._port = port
        self._fd = port.fd
        self._idle_s = settings.idle.total_seconds()
        self._watches = not settings.ends()
        self._intake = intake
        self._framer = Framer(settings.framing())
        self._inbox: deque[Arrival] = deque()
        self._kept_bytes = 0
        self._missed = 0
        self._stale: list[bytes] = []
        self._stale_count = 0
        self._lost = ""
        self._heard = False
        self._writable = True
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._beaten_s = self._loop.time()

    @property
    def name(self) -> str:
        """The port or the address of the device, for a sentence."""
        return self._port.name

    async def settle(self, *, tell: bool = True) -> None:
        """Throw away what came before now, until the line is quiet, and `tell` that as one broken frame.

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
        else:
            self._framer.abandon("")
        if self._lost:
            raise SourceLost(self._intake.name, self._lost)
        if self._stale and tell:
            self._append(Frame(self._stale[-1], STALE.format(count=self._stale_count)))

    def listen(self) -> None:
        """From now on, what comes is taken."""
        self._loop.add_reader(self._fd, self._readable)
        self._port.watch(self._lose, lambda: self._heard)
        if self._watches:
            self._watched()
        self._watch()

    async def next(self) -> Arrival:
        """The next frame, whole or broken; nothing is lost if it is cancelled.

        Raises SourceLost once the device is gone and all frames were taken.
        """
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

    async def next_within(self, timeout_s: float | None) -> Arrival | None:
        """The next frame, or None when it is time for something else. Raises SourceLost."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.next()
        except TimeoutError:
            return None

    def flood(self, least: int, most: int) -> list[Arrival]:
        """What waits behind what was taken last, where that is at least so much; else nothing."""
        if len(self._inbox) < least:
            return []
        found = [self._inbox.popleft() for _ in range(min(most, len(self._inbox)))]
        self._kept_bytes -= sum(_size(one.frame) for one in found)
        return found

    def said_since(self, says: Callable[[Frame], bool]) -> bool:
        """Whether the device has said something behind what was taken last: whole, broken or just begun.

        `says` tells it of a frame; what is begun comes to it as noise. What waits in the port counts.
        """
        self._read_on()
        return any(says(one.frame) for one in self._inbox) or any(map(says, self._framer.begun()))

    def _read_on(self) -> None:
        """Read what is there already."""
        reads = 0
        while reads < _READS and not self._lost and self._readable():
            reads += 1

    async def write(self, data: bytes) -> None:
        """Write within a second, or lose the device; `next` then says so."""
        if not self._writable or not data:
            return
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._write_all(data)
        except TimeoutError:
            self._lose(f"{self.name} took no answer for {_WRITE_S:.0f} s; is it stuck?")
            self._port.drop_unsent()
        except OSError as error:
            self._lose(self._port.ended(error))

    def close(self) -> None:
        self._stop_listening()
        self._port.close()

    def _read(self) -> bytes | None:
        """What there is; None if nothing, b"" if the device is gone, and then it is lost."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self._lose(self._port.ended(error))
            return b""
        if not data:
            self._lose(self._port.ended(None), writable=self._port.closes_in_halves)
        self._heard = self._heard or bool(data)
        return data

    def _discarded(self) -> bool:
        """Whether there was anything; the whole frames in it are counted."""
        for count in range(_READS):
            data = self._read()
            if not data:
                return data is not None or count > 0
            found = self._framer.feed(data, self._loop.time())
            whole = [one.raw for one in found if not one.broken and one.kind == "frame"]
            self._stale = whole[-1:] or self._stale
            self._stale_count += len(whole)
        return True

    def _readable(self) -> bool:
        """Whether anything was there."""
        data = self._read()
        if data:
            now_s = self._loop.time()
            blind = self._watches and now_s - self._beaten_s >= self._idle_s
            self._keep(*self._framer.feed(data, now_s, blind=blind))
            self._watch()
        return bool(data)

    def _watch(self) -> None:
        """Look again after `idle`; a reader that is ready then comes before a timer."""
        if self._timer:
            self._timer.cancel()
        after_s = self._idle_s + _LATE_S
        self._timer = self._loop.call_later(after_s, self._quiet) if self._framer.unfinished else None

    def _quiet(self) -> None:
        self._keep(*self._framer.expire(self._loop.time()))
        self._watch()

    def _watched(self) -> None:
        """Where a pause is the end, one that nobody could see must be known: the loop was away too long."""
        self._beaten_s = self._loop.time()
        self._beat = self._loop.call_later(self._idle_s / 2, self._watched)

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
                await self._ready_to_take()

    async def _ready_to_take(self) -> None:
        ready = asyncio.Event()
        self._loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            self._loop.remove_writer(self._fd)

    def _lose(self, reason: str, *, writable: bool = False) -> None:
        self._writable = self._writable and writable
        if self._lost:
            return
        self._lost = reason
        self._stop_listening()
        self._keep(*self._framer.abandon(HUNG_UP))

    def _stop_listening(self) -> None:
        self._loop.remove_reader(self._fd)
        for timer in (self._timer, self._beat):
            if timer:
                timer.cancel()


@asynccontextmanager
async def open_line(
    settings: LineSettings, intake: Intake, *, waited: Literal["refuse", "take", "drop"] = "refuse"
) -> AsyncIterator[Line]:
    """A line that is open and listened to; closed at the end of the block.

    `waited` says what becomes of frames that waited in the port before it was opened: a label may be
    hours old, so that they come as one broken frame; a result tells itself which unit it is of; of a
    device that is read all the time they are forgotten.
    Whoever connects to us has nothing old. Raises SourceLost, SourceRefused.
    """
    port = await open_port(intake.name, settings)
    line = Line(port, settings, intake)
    try:
        if port.settles and waited != "take":
            await line.settle(tell=waited == "refuse")
        line.listen()
        yield line
    finally:
        line.close()
