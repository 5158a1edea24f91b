"""The one connection to an InfluxDB: watched while it is idle, and served by a thread of its own."""

import asyncio
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

T = TypeVar("T")

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Wire:
    """The socket that the library has open now. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended = False

    def opened(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self._ended:
                _shut(connected)

    def closed(self) -> None:
        """This side closed it: because it was asked to, or because of an error that was told."""
        with self._lock:
            self._socket = None

    def hung_up(self) -> bool:
        """Whether the far end closed a connection that stood, and nobody has been told yet.

        POLLRDHUP (poll(2)) tells it without reading, so that it holds under TLS too.
        """
        with self._lock:
            if self._socket is None:
                return False
            poll = select.poll()
            poll.register(self._socket, _GONE)
            return bool(poll.poll(0))

    def cut(self) -> None:
        """End what is under way, now and from now on: whoever waits for the far end gets an error."""
        with self._lock:
            self._ended = True
            if self._socket is not None:
                _shut(self._socket)

    def watch(self, manager: PoolManager) -> None:
        """Hear of every connection that this makes from now on."""
        manager.pool_classes_by_scheme = {
            "http": partial(_Pool, wire=self),  # type: ignore[dict-item]
            "https": partial(_TlsPool, wire=self),  # type: ignore[dict-item]
        }


def _shut(connected: socket.socket) -> None:
    """Of a TLS socket too, its own `shutdown` would take the state away under the thread that reads."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, wire: Wire, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._wire = wire

    def connect(self) -> None:
        super().connect()
        self._wire.opened(self.sock)

    def close(self) -> None:
        self._wire.closed()
        super().close()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, wire: Wire, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._wire = wire

    def connect(self) -> None:
        super().connect()
        self._wire.opened(self.sock)

    def close(self) -> None:
        self._wire.closed()
        super().close()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Hand:
    """A thread that does one thing after the other; nobody waits for it when it is let go.

    It is a daemon: a name server that does not answer cannot be interrupted, and must not hold up the end.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` gives or raises. When this is cancelled, work that has begun goes on."""
        future: Future[T] = Future()
        self._work.put((future, work))
        return await asyncio.wrap_future(future)

    def let_go(self, last: Callable[[], None]) -> None:
        """Do this when all else is done, and end."""
        self._work.put((Future(), last))
        self._work.put(None)

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it is the one who waits that must have it
                future.set_exception(error)
