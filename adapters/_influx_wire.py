"""The one connection to an InfluxDB: watched while it is idle, and served by a thread of its own."""

import asyncio
import http.client
import io
import select
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from queue import SimpleQueue
from typing import Any, TypeVar

from urllib3 import HTTPResponse, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

T = TypeVar("T")

LARGEST_BODY = 65_536
"""Bytes of an answer's body that are looked at, packed or not. Longer than any error of InfluxDB need be."""

LARGEST = 4 * LARGEST_BODY
"""Bytes of an answer that are read, its headers and each `100 Continue` before it included."""

_PIECE = 16_384
_OF_THE_BODY = frozenset({"content-length", "content-encoding", "transfer-encoding"})
_AGAIN_S = 0.005
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Wire:
    """The socket that the library has open now. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended = False
        self._deadline = 0.0
        self.one_each = False
        """Whether this side closes the connection after each answer, because the far end does."""

    def begin(self, within_s: float) -> None:
        """A request begins, and shall be answered within so long a time."""
        self._deadline = time.monotonic() + within_s

    def left_s(self) -> float:
        """What is left of it. Raises TimeoutError when nothing is."""
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        return left_s

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

    def hangs_up_within(self, within_s: float) -> bool:
        """Whether the far end closes it so soon. It blocks."""
        end = time.monotonic() + within_s
        while not (gone := self.hung_up()) and time.monotonic() < end:
            time.sleep(_AGAIN_S)
        return gone

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


class _Inflow(io.RawIOBase):
    """What is read of one answer: bounded in bytes, and in time however slowly it comes."""

    def __init__(self, connected: socket.socket, wire: Wire) -> None:
        self._socket, self._wire = connected, wire
        self._file = connected.makefile("rb", buffering=0)
        self._left = LARGEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._wire.left_s())
        count = self._file.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise HTTPException(f"an answer of more than {LARGEST} bytes")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Watched(HTTPConnection):
    """A connection that tells the wire of itself, and whose answers are read to a bound and a deadline.

    Both hold for whoever reads, for an answer is read whole before anybody has it.
    """

    def __init__(self, *args: Any, wire: Wire, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._wire = wire
        self.response_class: Any = self._bounded

    def connect(self) -> None:
        super().connect()
        self._wire.opened(self.sock)

    def close(self) -> None:
        self._wire.closed()
        super().close()

    def send(self, data: Any) -> None:
        """In pieces: under TLS the timeout of a socket is of a record, and not of all that is sent."""
        for begin in range(0, len(data), _PIECE):
            if self.sock is not None:
                self.sock.settimeout(self._wire.left_s())
            super().send(data[begin : begin + _PIECE])

    def request(self, *args: Any, **how: Any) -> None:
        super().request(*args, **{**how, "preload_content": False, "decode_content": False})

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        answer = super().getresponse()
        body = answer.read(LARGEST_BODY + 1)
        if len(body) > LARGEST_BODY or self._wire.one_each:
            answer.close()
            self.close()
        body = _unpacked(body[:LARGEST_BODY], answer.headers.get("Content-Encoding"))
        headers = {name: text for name, text in answer.headers.items() if name.lower() not in _OF_THE_BODY}
        return HTTPResponse(
            io.BytesIO(body.decode("utf-8", "replace").encode()),
            headers, answer.status, answer.version, reason=answer.reason,
        )  # fmt: skip

    def _bounded(self, connected: socket.socket, **how: Any) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(connected, **how)
        answer.fp.close()
        answer.fp = io.BufferedReader(_Inflow(connected, self._wire))
        return answer


def _unpacked(body: bytes, encoding: str | None) -> bytes:
    """Nobody asked for a packed answer; of one, no more is unpacked than is read of any."""
    if (encoding or "").lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body, LARGEST_BODY)
    except zlib.error:
        return b"what was packed and cannot be unpacked"


class _Connection(_Watched):
    """Without TLS."""


class _TlsConnection(_Watched, HTTPSConnection):
    """With TLS."""


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
