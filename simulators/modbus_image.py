"""Modbus devices whose registers hold what they are told: any unit, any address, any decoding.

Functions 1 to 4 (read coils, discrete inputs, holding and input registers); what was never set reads 0. Other
units meet silence, as on a bus. Frames are those of "MODBUS Application Protocol V1.1b3", on TCP of "MODBUS
Messaging on TCP/IP V1.0b", on a serial line of "MODBUS over Serial Line V1.02".
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from simulators.ptyport import PtyPort

HOST = "127.0.0.1"
Table = Literal["coil", "discrete", "holding", "input"]
_TABLES: dict[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_FORMATS = {
    "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d",
    "bcd16": "H", "bcd32": "I", "bcd64": "Q",
}  # fmt: skip
_DIGITS = {"bcd16": 4, "bcd32": 8, "bcd64": 16}
_MOST = {"coil": 2000, "discrete": 2000, "holding": 125, "input": 125}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_RTU_REQUEST = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a value is, and how it is written."""

    unit: int
    table: Table
    start: int
    """Counted from zero."""
    kind: str = "u16"
    """u16, i16, u32, i32, u64, i64, f32, f64, bcd16, bcd32, bcd64, text or bool."""
    order: str = ""
    """Of the bytes on the wire, A the most significant: `CDAB`; empty: as they come in the standard."""
    bit: int | None = None
    """One bit of a register, 0 the least significant."""
    length: int = 1
    """Registers of a text."""
    scale: Fraction = Fraction(1)
    """What is shown is the number in the registers times this, plus `offset`, as near as it can be."""
    offset: Fraction = Fraction(0)
    encoding: str = "utf-8"
    """Of a text."""
    has_header: bool = False
    """Of a text: two bytes before it, how many may be in it and how many are."""

    @property
    def is_turned(self) -> bool:
        """The low byte of each register comes first."""
        return self.order[:1] > self.order[1:2]


def encode(cell: Cell, value: float | str) -> list[int]:
    """The registers that hold a value, or one bit for coils. Raises struct.error for what does not fit."""
    if cell.table in ("coil", "discrete"):
        return [int(bool(value))]
    if cell.kind == "bool":
        bits = (1 << (cell.bit or 0)) if value else 0
        return [_turned(bits)] if cell.is_turned else [bits]
    raw = _text(cell, str(value)) if cell.kind == "text" else _number(cell, float(value), value)
    return _registers(raw, cell.order)


def _text(cell: Cell, value: str) -> bytes:
    room, octets = 2 * cell.length, value.encode(cell.encoding, "replace")
    if cell.has_header:
        most = room - 2
        octets = bytes([most, len(octets[:most])]) + octets
    return octets[:room].ljust(room, b"\0")


def _number(cell: Cell, shown: float, value: float | str) -> bytes:
    """Of a scaled whole number the nearest that there is."""
    letter = _FORMATS[cell.kind]
    if cell.scale == 1 and not cell.offset:
        number = value if isinstance(value, int) else shown
    else:
        number = float((Fraction(shown) - cell.offset) / cell.scale)
        if letter not in "fd":
            least, most = _reach(cell.kind)
            number = min(max(round(number), least), most)
    if letter in "fd":
        return struct.pack(f">{letter}", number)
    digits = _DIGITS.get(cell.kind)
    if digits is None:
        return struct.pack(f">{letter}", int(number))
    if not 0 <= number < 10**digits:
        raise struct.error(f"{digits} digits")
    return struct.pack(f">{letter}", int(str(int(number)), 16))


def _reach(kind: str) -> tuple[int, int]:
    if kind in _DIGITS:
        return 0, 10 ** _DIGITS[kind] - 1
    bits = 8 * struct.calcsize(f">{_FORMATS[kind]}")
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)


def _registers(raw: bytes, order: str) -> list[int]:
    """Bytes with the highest first, laid as the order has them; of a text each register by itself."""
    size = len(order) or 2
    laid = b"".join(
        bytes(raw[at + "ABCDEFGH".index(letter)] for letter in order or "AB")
        for at in range(0, len(raw), size)
    )
    return [int.from_bytes(laid[at : at + 2], "big") for at in range(0, len(laid), 2)]


def cells_of(cell: Cell) -> Iterator[tuple[int, int]]:
    """Every bit that a value is in: its address, and its number there, 0 the least significant."""
    if cell.table in ("coil", "discrete"):
        yield cell.start, 0
        return
    bits = range(16) if cell.bit is None else [cell.bit ^ 8 if cell.is_turned else cell.bit]
    for offset in range(len(encode(cell, 0))):
        yield from ((cell.start + offset, bit) for bit in bits)


def _turned(register: int) -> int:
    return register >> 8 | (register & 0xFF) << 8


@dataclass(slots=True)
class Image:
    """The registers and bits of every unit behind one connection."""

    cells: dict[tuple[int, str], dict[int, int]] = field(default_factory=dict)

    def show(self, cell: Cell, value: float | str) -> None:
        """All registers of a value change in one step: no request sees half of it."""
        place = self.cells.setdefault((cell.unit, cell.table), {})
        for offset, number in enumerate(encode(cell, value)):
            mask = 0xFFFF
            if cell.bit is not None and cell.table in ("holding", "input"):
                mask = _turned(1 << cell.bit) if cell.is_turned else 1 << cell.bit
            place[cell.start + offset] = place.get(cell.start + offset, 0) & ~mask | number & mask

    def answer(self, unit: int, request: bytes) -> bytes | None:
        """The reply to a request without its frame; None where no such unit is there."""
        if not any(known == unit for known, _ in self.cells) or not request:
            return None
        function = request[0]
        table = _TABLES.get(function)
        if table is None or len(request) != 5:
            return bytes([function | 0x80, _ILLEGAL_FUNCTION])
        start, count = struct.unpack(">HH", request[1:])
        if not 1 <= count <= _MOST[table]:
            return bytes([function | 0x80, _ILLEGAL_VALUE])
        if start + count > 0x10000:
            return bytes([function | 0x80, _ILLEGAL_ADDRESS])
        values = self.cells.get((unit, table), {})
        return bytes([function]) + _data(table, [values.get(at, 0) for at in range(start, start + count)])


def _data(table: Table, values: list[int]) -> bytes:
    if table in ("holding", "input"):
        return bytes([2 * len(values)]) + struct.pack(f">{len(values)}H", *values)
    packed = bytearray((len(values) + 7) // 8)
    for at, value in enumerate(values):
        packed[at // 8] |= value << at % 8
    return bytes([len(packed)]) + bytes(packed)


@contextlib.asynccontextmanager
async def serve_tcp(image: Image) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1, which it gives."""
    writers: set[asyncio.StreamWriter] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while True:
                number, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                if protocol or not 2 <= length <= 254:
                    break
                reply = image.answer(unit, await reader.readexactly(length - 1))
                if reply is not None:
                    writer.write(struct.pack(">HHHB", number, 0, len(reply) + 1, unit) + reply)
                    await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # gone; streams of Python 3.11 would report a cancel as an error
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(client, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()


@contextlib.contextmanager
def serve_rtu(image: Image, link: Path) -> Iterator[None]:
    """Serve on a pseudo-terminal that a host opens at `link`."""
    port = PtyPort(link)
    received = bytearray()

    def take(data: bytes) -> None:
        received.extend(data)
        while len(received) >= _RTU_REQUEST:
            frame = bytes(received[:_RTU_REQUEST])
            if crc(frame[:-2]) != frame[-2:]:
                del received[0]  # noise, or a request of another length: find the next frame
                continue
            del received[:_RTU_REQUEST]
            reply = image.answer(frame[0], frame[1:-2])
            if reply is not None:
                whole = frame[:1] + reply
                port.send(whole + crc(whole))

    with port.open(take):
        yield


def crc(frame: bytes) -> bytes:
    """CRC-16 with the polynomial 0xA001, the low byte first (MODBUS over Serial Line, 6.2.2)."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return struct.pack("<H", value)
