"""A serial port: how it is set up and opened, and what a user reads when it cannot be.

The port is a plain file descriptor: pyserial opens and sets it up, the loop says when there is
something to read.
"""

import asyncio
import errno
import termios
from collections.abc import Callable
from contextlib import suppress

import serial

from adapters._stream_settings import StreamSettings
from edge.errors import SourceError, SourceLost, SourceRefused

_PARITY = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}
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
AGAIN_S = 2.0
"""A port that cannot be opened costs nothing to try, and whoever plugged it in waits for it."""


class SerialPort:
    """An open port, as a stream of bytes."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self.name: str = port.port
        self.fd: int = port.fileno()
        self.settles = True
        self.closes_in_halves = False

    def ended(self, error: OSError | None) -> str:
        """Why nothing can be read any more."""
        return f"{self.name} hung up; was the device unplugged or switched off?"

    def watch(self, lose: Callable[[str], None], has_spoken: Callable[[], bool]) -> None:
        """A port has one device, and no other takes its place."""

    def drop_unsent(self) -> None:
        """Else closing the port waits for the device."""
        with suppress(termios.error):
            termios.tcflush(self.fd, termios.TCOFLUSH)

    def close(self) -> None:
        self._port.close()


def open_failure(source: str, settings: StreamSettings, error: Exception) -> SourceError:
    """What pyserial, termios or the system raised while opening, as the user reads it."""
    if isinstance(error, ValueError):
        wanted = f"baud = {settings.baud}, bits = {settings.bits}, parity = {settings.parity!r}"
        return SourceRefused(source, f"{settings.port} does not take {wanted}: {error}")
    reason = _REASONS.get(_number(error), "{port} cannot be opened: {error}")
    return SourceLost(source, reason.format(port=settings.port, error=error), again_s=AGAIN_S)


def _number(error: BaseException | None) -> int:
    """The errno; pyserial hides that of termios in the exception's context."""
    if isinstance(error, termios.error):
        return int(error.args[0])
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return 0 if error is None else _number(error.__context__)


def describe(settings: StreamSettings) -> serial.Serial:
    """The port as pyserial sets it, not opened yet.

    An inter-byte timeout of 0 makes VMIN 1, so that an empty read means a hang-up and nothing else.
    pyserial would flush at the opening what waited in the port; here it is read, so that a gun hears
    that its label was not taken.
    """
    port = serial.Serial(
        baudrate=settings.baud, bytesize=settings.bits, parity=_PARITY[settings.parity],
        stopbits=settings.stop, timeout=0, write_timeout=0, inter_byte_timeout=0, exclusive=True,
    )  # fmt: skip
    port.port = settings.port
    port._reset_input_buffer = lambda: None
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


async def open_serial(source: str, settings: StreamSettings) -> SerialPort:
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
    return SerialPort(port)
