"""Serial ports without hardware: the device's end of a pseudo-terminal."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

_AT_ONCE = 4096
_HOST_BUFFER = 4095
"""Bytes that Linux keeps for a reader of a terminal (N_TTY), as tcflush can reach them."""


class PtyPort:
    """A port whose other end a host opens at `path`, as it would open `/dev/ttyUSB0`.

    The host's end is held open here as well, raw and without echo: a host may come and go
    without the device noticing, as on a cable without handshake lines. Closing the port
    hangs the host up, like a plug that is pulled.
    """

    def __init__(self, link: Path | None = None) -> None:
        """`link` becomes a symbolic link to the host's end while the port is open."""
        self._link = link
        self._received: Callable[[bytes], None] = lambda data: None
        self._device, self._host = os.openpty()
        tty.setraw(self._host)
        os.set_blocking(self._device, False)
        self.path = os.ttyname(self._host)

    @contextlib.contextmanager
    def open(self, received: Callable[[bytes], None]) -> Iterator[None]:
        """Plugged in; `received` gets what the host sends. Once only."""
        loop = asyncio.get_running_loop()
        self._received = received
        loop.add_reader(self._device, self.take)
        try:
            if self._link is not None:
                _point(self._link, self.path)
            yield
        finally:
            loop.remove_reader(self._device)
            self._unplug()

    def send(self, data: bytes) -> None:
        """To the host. What finds no room in the host's buffer, for nobody reads, is gone.

        The kernel would keep much more, out of reach of the flush with which a host opens a
        port; a serial driver drops it.
        """
        if self._unread() + len(data) <= _HOST_BUFFER:
            os.write(self._device, data)

    def take(self) -> None:
        """Hand what has arrived to `received`, without waiting."""
        with contextlib.suppress(BlockingIOError):
            self._received(os.read(self._device, _AT_ONCE))

    def _unread(self) -> int:
        (number,) = struct.unpack("i", fcntl.ioctl(self._host, termios.FIONREAD, b"\0" * 4))
        return int(number)

    def _unplug(self) -> None:
        if self._link is not None and self._link.is_symlink() and os.readlink(self._link) == self.path:
            self._link.unlink()
        os.close(self._host)
        os.close(self._device)


def _point(link: Path, target: str) -> None:
    """Make or move the link in one step, so that no reader finds it missing."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)
