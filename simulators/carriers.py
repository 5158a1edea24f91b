"""What a device's bytes travel on: a serial port without hardware, or TCP either way, on loopback only.

All of them lose what nobody listens to, as a cable does, and can be pulled out and put back.
"""

import argparse
import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from simulators.ptyport import PtyPort
from simulators.records import Where

_AT_ONCE = 65_536
_AGAIN_S = 0.1
LOOPBACK = "127.0.0.1"

Received = Callable[[bytes], None]


class Carrier(Protocol):
    """A device's end."""

    @property
    def where(self) -> Where:
        """How the host finds it; of one that is open."""

    def open(self, received: Received) -> AbstractContextManager[None]:
        """Plugged in; `received` gets what the host sends. Inside the running loop."""

    def send(self, data: bytes) -> None:
        """To the host, if there is one."""

    def take(self) -> None:
        """Hand what has arrived to `received`, without waiting."""

    def hang_up(self, away_s: float) -> None:
        """Gone, and back under the same name after so long."""


class Plugged(ABC):
    """What can be pulled out and put back."""

    def __init__(self) -> None:
        self._received: Received = lambda data: None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def open(self, received: Received) -> Iterator[None]:
        self._received = received
        self._plugged_in()
        try:
            yield
        finally:
            self._unplugged()

    def hang_up(self, away_s: float) -> None:
        self._unplugged()
        self._timer = asyncio.get_running_loop().call_later(away_s, self._plugged_in)

    @abstractmethod
    def _plugged_in(self) -> None: ...

    def _unplugged(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class SerialCarrier(Plugged):
    """A serial port that the host opens at `link`."""

    def __init__(self, link: Path) -> None:
        super().__init__()
        self._link = link
        self._port: PtyPort | None = None
        self._plug = contextlib.ExitStack()

    @property
    def where(self) -> Where:
        return Where(device=str(self._link))

    def send(self, data: bytes) -> None:
        if self._port is not None:
            self._port.send(data)

    def take(self) -> None:
        if self._port is not None:
            self._port.take()

    def _plugged_in(self) -> None:
        self._port = PtyPort(self._link)
        self._plug.enter_context(self._port.open(self._received))

    def _unplugged(self) -> None:
        super()._unplugged()
        self._port = None
        self._plug.close()


class TcpCarrier(Plugged):
    """TCP on loopback: the device listens at `port`, or calls the host there. One connection at a time."""

    def __init__(self, port: int, *, calls: bool = False) -> None:
        super().__init__()
        self._calls = calls
        self._port = port
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None

    @property
    def where(self) -> Where:
        return Where(host=LOOPBACK, port=self._port)

    def send(self, data: bytes) -> None:
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.send(data)

    def take(self) -> None:
        if self._peer is None:
            return
        try:
            data = self._peer.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self._host_left()

    def _plugged_in(self) -> None:
        if self._calls:
            self._call()
            return
        self._listener = socket.create_server((LOOPBACK, self._port), backlog=1)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._talk_to(self._listener.accept()[0])

    def _call(self) -> None:
        try:
            self._talk_to(socket.create_connection((LOOPBACK, self._port), timeout=1.0))
        except OSError:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._call)

    def _talk_to(self, peer: socket.socket) -> None:
        """The newest connection counts, as with most device servers."""
        self._drop()
        peer.setblocking(False)
        self._peer = peer
        asyncio.get_running_loop().add_reader(peer, self.take)

    def _host_left(self) -> None:
        self._drop()
        if self._calls:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._call)

    def _drop(self) -> None:
        if self._peer is not None:
            asyncio.get_running_loop().remove_reader(self._peer)
            self._peer.close()
            self._peer = None

    def _unplugged(self) -> None:
        super()._unplugged()
        self._drop()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None


def add_carrier(parser: argparse.ArgumentParser) -> None:
    """`--link`, `--tcp` or `--call`: exactly one."""
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--link", type=Path, metavar="PATH", help="a serial port, which the host opens there")
    one.add_argument("--tcp", type=int, metavar="PORT", help="listen there for the host; 0: any free port")
    one.add_argument("--call", type=int, metavar="PORT", help="call the host, which listens there")


def carrier(options: argparse.Namespace) -> Carrier:
    """The one that `add_carrier` was told of."""
    if options.link is not None:
        return SerialCarrier(options.link)
    return TcpCarrier(options.call, calls=True) if options.call is not None else TcpCarrier(options.tcp)


def unescaped(text: str) -> bytes:
    r"""Bytes of an argument such as `"\r\n"` or `"\x06"`. Raises argparse.ArgumentTypeError."""
    try:
        return text.encode("ascii").decode("unicode_escape").encode("latin-1")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write other bytes as \\xHH") from error
