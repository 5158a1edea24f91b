"""A bound on what a server may send. asyncua has none that holds: the server's ACK sets it."""

import asyncio

_HEADER = 8  # type (3), chunk type (1), size (4, little-endian): OPC 10000-6, 7.1.2.2
_LAST_CHUNKS = b"FA"  # final or abort; C means that more follow


class FrameMeter:
    """Follows the sizes of chunks and messages in a stream of bytes, and keeps none of it."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._header = bytearray()
        self._rest = 0
        self._message = 0

    def admits(self, data: bytes) -> bool:
        """False when a chunk's size is impossible or a message grows too large."""
        at = 0
        while at < len(data):
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest -= step
            else:
                step = min(_HEADER - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                if len(self._header) == _HEADER and not self._begin():
                    return False
            at += step
        return True

    def _begin(self) -> bool:
        size = int.from_bytes(self._header[4:], "little")
        self._message += size
        if size < _HEADER or self._message > self._largest:
            return False
        if self._header[3] in _LAST_CHUNKS:
            self._message = 0
        self._rest = size - _HEADER
        self._header.clear()
        return True


class FrameGuard(asyncio.Protocol):
    """Stands between a transport and asyncua's protocol, and cuts where the bound is passed."""

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport, largest: int) -> None:
        self._inner = inner
        self._transport = transport
        self._meter = FrameMeter(largest)
        self.closed = asyncio.Event()
        self.fault = ""

    def data_received(self, data: bytes) -> None:
        if self.fault:
            return
        if self._meter.admits(data):
            self._inner.data_received(data)
        else:
            self.fault = "the server sent a message of more than 4 MiB, or no OPC UA at all"
            self._transport.abort()

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close the socket without waiting for anybody."""
        self._transport.abort()
