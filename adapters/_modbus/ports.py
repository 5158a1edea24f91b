"""A socket or a serial port: bytes out, bytes in, and the end. What the bytes mean is not known here."""

import asyncio
import errno
import os
import socket
import termios
from collections.abc import Callable

import serial

from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine

_HINTS = {
    errno.ENOENT: "is the adapter plugged in? ls /dev/serial/by-id shows those that are",
    errno.EACCES: "may this user open it? Serial ports belong to the group dialout",
    errno.EPERM: "may this user open it? Serial ports belong to the group dialout",
    errno.EAGAIN: "another program has it open; fuser -v shows which",
    errno.EBUSY: "another program has it open; fuser -v shows which",
    errno.ENOTTY: "it is not a serial port",
    errno.ECONNREFUSED: "nothing listens there; is Modbus TCP switched on in the device, at this port?",
    errno.EHOSTUNREACH: "is the device on, and the cable in?",
    errno.ENETUNREACH: "does this machine have an address in the device's network?",
}
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000),
)
"""A peer that is gone without a word is noticed within half a minute, also where nothing is asked."""
_CHUNK = 4096

OPENING = (OSError, ValueError, termios.error)
"""What opening a port may raise; `reason` has the words."""


class Socket(asyncio.Protocol):
    """One TCP connection. `closed` is called once, when the far end has closed it or it broke."""

    def __init__(self, heard: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._heard = heard
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()

    @classmethod
    async def open(
        cls, line: TcpLine | RtuTcpLine, heard: Callable[[bytes], None], closed: Callable[[], None]
    ) -> "Socket":
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, port = await loop.create_connection(lambda: cls(heard, closed), line.host, line.port)
        return port

    @property
    def is_open(self) -> bool:
        return not self.gone.is_set()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close it at once. No callback comes any more."""
        self._closed = self._heard = _nothing
        self.gone.set()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for level, option, value in _KEEP_ALIVE:
            transport.get_extra_info("socket").setsockopt(level, option, value)

    def data_received(self, data: bytes) -> None:
        self._heard(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.gone.set()
        self._closed()


class SerialPort:
    """One serial port, opened exclusively. `closed` is called once, when it has gone."""

    def __init__(self, line: SerialLine, heard: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        """Raises OSError, ValueError or termios.error."""
        self._heard = heard
        self._closed = closed
        self._port = serial.Serial(
            line.path, baudrate=line.baud, parity=line.parity_letter, stopbits=line.stop_bits,
            timeout=0, write_timeout=0, exclusive=True,
        )  # fmt: skip
        self._fd: int = self._port.fileno()
        self._unsent = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)
        self.gone = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return not self.gone.is_set()

    def write(self, data: bytes) -> None:
        """All of it; what the driver does not take at once follows as soon as it does."""
        self._unsent += data
        self._send()

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._end()
            return
        if self._unsent:
            self._loop.add_writer(self._fd, self._send)
        else:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._heard(data)
        else:
            self._end()

    def _end(self) -> None:
        if self.is_open:
            closed = self._closed
            self.close()
            closed()

    def close(self) -> None:
        """Let go of it. No callback comes any more."""
        if not self.is_open:
            return
        self.gone.set()
        self._closed = self._heard = _nothing
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._port.close()


def _nothing(*_: object) -> None:
    pass


def _number(error: BaseException | None) -> int | None:
    """Its errno. pyserial has none where the driver knows no serial settings; what it was is its context."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, termios.error):
        return int(error.args[0]) if error.args and isinstance(error.args[0], int) else None
    return _number(error.__context__) if isinstance(error, serial.SerialException) else None


def reason(error: Exception) -> str:
    """Why a port cannot be opened, and what to do about it."""
    number = _number(error)
    if number is None or number < 0:
        return str(getattr(error, "strerror", None) or error)
    hint = _HINTS.get(number)
    return os.strerror(number) + (f" ({hint})" if hint else "")
