"""A broker played by a test: it sees every packet as it comes, and answers what the test says."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14


@dataclass(frozen=True, slots=True)
class Packet:
    """One control packet: its first byte, and what follows its length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first >> 4

    @property
    def again(self) -> bool:
        """DUP of a PUBLISH."""
        return bool(self.first & 0x08)

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        return self.body[2 : self._after_topic].decode()

    @property
    def mid(self) -> int:
        """Packet identifier of a PUBLISH with QoS 1, or of a SUBSCRIBE."""
        at = self._after_topic if self.kind == PUBLISH else 0
        return int(struct.unpack_from("!H", self.body, at)[0])

    @property
    def _after_topic(self) -> int:
        return 2 + int(struct.unpack_from("!H", self.body)[0])

    @property
    def version(self) -> int:
        """Of a CONNECT."""
        return self.body[6]

    @property
    def clean(self) -> bool:
        """Of a CONNECT: whether a session that the broker has must be forgotten."""
        return bool(self.body[7] & 0x02)


class Talk:
    """One connection, seen from the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> Packet:
        """The next packet. Raises IncompleteReadError at the end."""
        first = (await self._reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return Packet(first, await self._reader.readexactly(length))

    async def accept(self, *, present: bool = False) -> Packet:
        """The CONNECT, accepted."""
        connect = await self.read()
        self.send(CONNACK << 4, bytes([present, 0]) + (b"\x00" if connect.version == 5 else b""))
        return connect

    def send(self, first: int, body: bytes) -> None:
        """A packet of less than 128 bytes."""
        assert len(body) < 0x80
        self._writer.write(bytes([first, len(body)]) + body)

    def confirm(self, packet: Packet, code: int = 0) -> None:
        """PUBACK."""
        self.send(PUBACK << 4, struct.pack("!H", packet.mid) + (bytes([code]) if code else b""))

    async def serve(self) -> None:
        """Confirm what comes, deny every subscription, until the client has gone."""
        while True:
            packet = await self.read()
            if packet.kind == PUBLISH:
                self.confirm(packet)
            elif packet.kind == SUBSCRIBE:
                self.send(SUBACK << 4, struct.pack("!H", packet.mid) + b"\x00\x87")


@asynccontextmanager
async def played(*talks: Callable[[Talk], Awaitable[None]]) -> AsyncIterator[int]:
    """A port at which each connection gets the next of these, and all further ones the last."""
    left = list(talks)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = left.pop(0) if len(left) > 1 else left[0]
        try:
            await talk(Talk(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
