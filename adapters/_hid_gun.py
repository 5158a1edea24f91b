"""A gun in keyboard mode, through evdev: grabbed, read in a thread of its own, and its lights.

The kernel keeps some ten characters of a keyboard for each reader (64 events, drivers/input/evdev.c; a typed
character takes six), and a fast gun types them in 20 ms: whoever reads in the event loop would lose keys each
time something else is busy for so long. Pauses are told by the times that the kernel gives the events, so
that a reader that comes late sees what one in time would have seen.
"""

import asyncio
import errno
import fcntl
import os
import select
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from evdev import InputDevice, ecodes
from evdev.eventio import EvdevError

from adapters._hid_keys import EV_KEY, EV_MSC, HUNG_UP, Event, Reading, Scan, Scans
from edge.contract import Intake, Observation
from edge.errors import SourceError, SourceLost, SourceRefused

_EVIOCSCLOCKID = 0x400445A0  # _IOW('E', 0xa0, int) of linux/input.h
_AGAIN_S = 2.0
_RELEASE_S = 1.0
_LOOK_S = 0.01
_KEPT = 1000
STALE = "scanned while the agent was opening the gun; scan again"
OVERFLOWN = "{count} more came than could be kept while recording"

_REASONS = {
    errno.ENOENT: "there is no {device}; is the gun plugged in, and in keyboard mode? "
    "`ls /dev/input/by-id` shows what is",
    errno.EACCES: "no permission to open {device}; the udev rule for guns gives it to the group lineside: "
    "see systemd/README.md, and plug the gun in again",
    errno.ENOTTY: "{device} is no input device",
}
_REASONS |= {
    errno.ENODEV: _REASONS[errno.ENOENT],
    errno.ENXIO: _REASONS[errno.ENOENT],
    errno.EPERM: _REASONS[errno.EACCES],
    errno.EISDIR: _REASONS[errno.ENOTTY],
    errno.EINVAL: _REASONS[errno.ENOTTY],
}
_LETTERS_AND_ENTER = frozenset({28, 2, 11, 16, 30, 44})


def open_failure(source: str, path: str, error: OSError) -> SourceError:
    """What the system raised while opening, as the user reads it."""
    reason = _REASONS.get(error.errno or 0, "{device} cannot be opened: {error}")
    return SourceLost(source, reason.format(device=path, error=error), again_s=_AGAIN_S)


def read_failure(source: str, path: str, error: OSError) -> SourceError:
    """What the system raised while reading."""
    if error.errno == errno.ENODEV:
        reason = f"{path} hung up; was the gun unplugged?"
    else:
        reason = f"{path} cannot be read: {error}"
    return SourceLost(source, reason, again_s=_AGAIN_S)


Device = InputDevice[str]


@dataclass(frozen=True, slots=True)
class _Grabbed:
    """A gun that is ours, and how it was found."""

    device: Device
    stale: bool
    """Something was typed before the grab: the desktop has it too, and it may be the half of a label."""
    held: Sequence[int]
    """Keys that are held."""


def _grabbed(source: str, path: str) -> _Grabbed:
    """Open and grab it, with the kernel's monotonic clock on its events. Raises SourceLost, SourceRefused."""
    try:
        device = InputDevice(path)
    except OSError as error:
        raise open_failure(source, path, error) from error
    with _closed_on_failure(device):
        if not set(device.capabilities().get(EV_KEY, [])) >= _LETTERS_AND_ENTER:
            reason = f"{path} is {device.name!r}, and that is no keyboard; best is its name with -event-kbd"
            raise SourceRefused(source, reason)
        try:
            fcntl.ioctl(device.fd, _EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
            _wait_for_release(device)
            _grab(source, path, device)
            held = device.active_keys()
            return _Grabbed(device, _drained(device), held)
        except OSError as error:
            raise open_failure(source, path, error) from error


def _wait_for_release(device: Device) -> None:
    """A key that was pressed before the grab would stay pressed for the desktop, and repeat for ever."""
    until_s = time.monotonic() + _RELEASE_S
    while device.active_keys() and time.monotonic() < until_s:
        time.sleep(_LOOK_S)


def _grab(source: str, path: str, device: Device) -> None:
    try:
        device.grab()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        reason = f"{path} is grabbed by another program; `fuser -v {path}` names it"
        raise SourceRefused(source, reason) from error


def _drained(device: Device) -> bool:
    """Whether a key was among what waits there; it is thrown away. A kernel keeps a few reads of it."""
    found = False
    with suppress(BlockingIOError):
        for _ in range(64):
            found |= any(event.type in (EV_KEY, EV_MSC) for event in device.read())
    return found


@contextmanager
def _closed_on_failure(device: Device) -> Iterator[None]:
    try:
        yield
    except BaseException:
        device.close()
        raise


@dataclass(frozen=True, slots=True)
class Arrival:
    """A scan, and an observation without a value, stamped when the scan was complete."""

    scan: Scan
    stamped: Observation


class Gun:
    """A grabbed gun: scans in, light out. Scans that come while the agent records are kept."""

    def __init__(self, grabbed: _Grabbed, path: str, reading: Reading, intake: Intake) -> None:
        self._device = device = grabbed.device
        self._path = path
        self._intake = intake
        self._scans = Scans(reading)
        self._scans.hold(grabbed.held)
        if grabbed.stale:
            self._scans.doubt(STALE, time.monotonic())
        self._inbox: deque[Arrival] = deque()
        self._missed = 0
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC)
        self._lights = set(device.capabilities().get(ecodes.EV_LED, []))
        self._blinking: list[asyncio.TimerHandle] = []
        self._thread = ThreadPoolExecutor(1, f"gun-{intake.name}")
        self._reading = self._loop.run_in_executor(self._thread, self._read_all)
        self._reading.add_done_callback(self._read_ended)

    async def next(self) -> Arrival:
        """The next scan, whole or broken; nothing is lost if it is cancelled.

        Raises SourceLost once the gun is gone and all scans were taken.
        """
        while not self._inbox:
            if self._reading.done():
                self._raise_end()
            self._news.clear()
            await self._news.wait()
        arrival = self._inbox.popleft()
        if self._missed:
            self._keep([Scan("", OVERFLOWN.format(count=self._missed))])
            self._missed = 0
        return arrival

    def blink(self, light: int | None, times_s: Sequence[float]) -> None:
        """Switch a light, if any, on and off again, each for so long; what it did before is cut short."""
        if light not in self._lights:
            return
        self._still()
        after_s = 0.0
        for number, time_s in enumerate(times_s):
            call = self._loop.call_later(after_s, self._light, light, number % 2 == 0)
            self._blinking.append(call)
            after_s += time_s
        self._blinking.append(self._loop.call_later(after_s, self._light, light, False))

    def close(self) -> None:
        """Let go of it: closing the device also ends the grab. The thread stops within a moment."""
        self._still()
        os.eventfd_write(self._stop_fd, 1)
        self._thread.shutdown(wait=True)
        self._device.close()
        os.close(self._stop_fd)

    def _read_ended(self, reading: asyncio.Future[None]) -> None:
        """Its exception is taken here, for nobody may ask any more."""
        if not reading.cancelled():
            reading.exception()
        self._news.set()

    def _raise_end(self) -> None:
        error = self._reading.exception()
        if isinstance(error, OSError):
            raise read_failure(self._intake.name, self._path, error) from error
        if error is not None:
            raise error

    def _keep(self, scans: Sequence[Scan]) -> None:
        for scan in scans:
            if len(self._inbox) < _KEPT:
                self._inbox.append(Arrival(scan, self._intake.observe(self._intake.name, None)))
            else:
                self._missed += 1
        self._news.set()

    def _still(self) -> None:
        for call in self._blinking:
            call.cancel()
        self._blinking.clear()

    def _light(self, light: int, on: bool) -> None:
        """A gun that takes no light, or that is gone, has none."""
        with suppress(OSError, EvdevError):
            self._device.set_led(light, int(on))
            self._device.syn()

    # --- in the thread ---

    def _read_all(self) -> None:
        """Until it is told to stop; raises OSError once the gun is gone."""
        poll = select.poll()
        poll.register(self._device.fd, select.POLLIN)
        poll.register(self._stop_fd, select.POLLIN)
        self._show_caps()
        while True:
            ready = [fd for fd, _ in poll.poll(self._patience_ms())]
            if self._stop_fd in ready:
                return
            if ready:
                self._read()
            else:
                self._deliver(self._scans.expire(time.monotonic()))

    def _patience_ms(self) -> float | None:
        """Until a pause would mean something, a little more; None for ever."""
        if self._scans.ends_s is None:
            return None
        return max(0.0, self._scans.ends_s - time.monotonic()) * 1000 + 1

    def _read(self) -> None:
        caps = self._scans.caps
        try:
            for one in self._device.read():
                at_s = min(one.sec + one.usec / 1e6, time.monotonic())
                self._deliver(self._scans.feed(Event(at_s, one.type, one.code, one.value)))
        except BlockingIOError:
            return
        except OSError:
            self._deliver(self._scans.abandon(HUNG_UP))
            raise
        if self._scans.lost_keys:
            self._scans.hold(self._device.active_keys())
        if caps is not self._scans.caps:
            self._show_caps()

    def _show_caps(self) -> None:
        """As a desktop would: some guns wait for it, or turn the case of what they type by it."""
        if ecodes.LED_CAPSL in self._lights:
            self._light(ecodes.LED_CAPSL, self._scans.caps)

    def _deliver(self, scans: Sequence[Scan]) -> None:
        if scans:
            self._loop.call_soon_threadsafe(self._keep, scans)


@asynccontextmanager
async def open_gun(path: str, reading: Reading, intake: Intake) -> AsyncIterator[Gun]:
    """A gun that is grabbed and read; let go of at the end of the block.

    Raises SourceLost, SourceRefused. It is opened in a thread: a sick USB device answers late, if at all.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, _grabbed, intake.name, path)
    try:
        grabbed = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(SourceError):
            (await opening).device.close()
        raise
    gun = Gun(grabbed, path, reading, intake)
    try:
        yield gun
    finally:
        gun.close()
