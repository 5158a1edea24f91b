"""Modbus bytes and what they mean: values out of registers, replies out of a byte stream.

Functions without I/O. Frame layouts are those of "MODBUS Application Protocol V1.1b3",
"MODBUS Messaging on TCP/IP V1.0b" (section 3.1) and "MODBUS over Serial Line V1.02" (section 2.5).
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Literal

from pymodbus.framer import FramerRTU

Table = Literal["holding", "input", "coil", "discrete"]
Kind = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool"]
Order = Literal["big", "little"]
Cells = Sequence[int] | Sequence[bool]
"""The registers (0 to 65535 each) or the bits of one reply."""
WRITES = (5, 6, 22)
"""Functions that write one coil, one register, some bits of a register: each is answered by its own echo."""
Decode = Callable[[Cells, int], int | float | bool | None]
"""Cells and the index of the value's first one to the value; None for a float that is no number."""

BIT_TABLES = ("coil", "discrete")
_FORMATS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "u64": "Q", "i64": "q", "f64": "d"}

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""Exception codes, section 7 of the application protocol (7 is from its older editions)."""


class WrongReply(Exception):
    """The bytes received cannot be the answer to what was asked."""


def exception_words(code: int) -> str:
    """An exception code by number and name."""
    return f"exception {code}, {EXCEPTIONS.get(code, 'not in the standard')}"


# --- values -----------------------------------------------------------------------------------


def registers_of(kind: Kind) -> int:
    """How many 16-bit registers a value of this kind takes."""
    return struct.calcsize(f">{_FORMATS.get(kind, 'H')}") // 2


def letter_of(kind: Kind, words: Order, octets: Order) -> str:
    """Of `struct`, for a number whose registers and bytes are in the standard's order; else empty."""
    return _FORMATS.get(kind, "") if (words, octets) == ("big", "big") else ""


def decoder(kind: Kind, words: Order, octets: Order, bit: int | None) -> Decode:
    """The function that reads such a value out of registers.

    `words` is the order of the registers, `octets` that of the two bytes inside each. `bool` is
    bit number `bit` (0 the least significant), or without one any register that is not 0.
    """
    if kind == "bool":
        mask = 0xFFFF if bit is None else 1 << bit
        number = decoder("u16", "big", octets, None)
        return lambda cells, at: bool(int(number(cells, at) or 0) & mask)
    if (kind, octets) == ("u16", "big"):
        return lambda cells, at: cells[at]
    return _wide(kind, words, octets)


def _wide(kind: Kind, words: Order, octets: Order) -> Decode:
    width = registers_of(kind)
    pack = struct.Struct(f"{'>' if octets == 'big' else '<'}{width}H").pack
    unpack = struct.Struct(f">{_FORMATS[kind]}").unpack
    step = 1 if words == "big" else -1

    def read(cells: Cells, at: int) -> int | float | None:
        value: int | float = unpack(pack(*cells[at : at + width][::step]))[0]
        return value if math.isfinite(value) else None

    return read


def read_bit(cells: Cells, at: int) -> bool:
    """A coil or a discrete input."""
    return bool(cells[at])


# --- replies ----------------------------------------------------------------------------------

_NAMED = (
    (2, "transaction id"), (4, "protocol id"), (6, "length"), (7, "unit"), (8, "function"), (9, "byte count")
)  # fmt: skip

_READ_HEAD = 9
"""Bytes before the data in the answer to a read."""


def reply_bytes(function: int, count: int) -> int:
    """Bytes of data in the answer to a read of `count` registers (3, 4) or bits (1, 2)."""
    return 2 * count if function in (3, 4) else (count + 7) // 8


def tcp_reply(sent: bytes, received: bytes) -> bytes:
    """The whole answer to `sent` once it is there, empty before.

    Raises WrongReply as soon as a byte cannot be: another transaction, unit, function or size.
    """
    unit, function = sent[6], sent[7]
    if function in WRITES:
        good, whole = sent, len(sent)
    else:
        size = reply_bytes(function, int.from_bytes(sent[10:12], "big"))
        good = sent[:4] + (3 + size).to_bytes(2, "big") + bytes((unit, function, size))
        whole = 9 + size
    refusal = sent[:4] + b"\0\3" + bytes((unit, function | 0x80))
    for head, length in ((good, whole), (refusal, 9)):
        if received[: len(head)] == head[: len(received)]:
            if len(received) > length:
                raise WrongReply("more bytes came than one answer has")
            return received if len(received) == length else b""
    raise WrongReply(f"the answer has the wrong {_first_difference(received, good, refusal)}")


def _first_difference(received: bytes, good: bytes, refusal: bytes) -> str:
    same = max(_common(received, good), _common(received, refusal))
    named = _NAMED if len(good) == _READ_HEAD else _NAMED[:-1]
    return next((name for end, name in named if same < end), "echo of what was written")


def _common(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def rtu_reply(sent: bytes, received: bytes) -> bytes:
    """The whole answer to `sent` once it is there with the right CRC, empty before.

    Bytes before it are skipped: a bus that turns around often makes one out of nothing. There
    is no transaction id: that no late answer is about is the caller's care.
    """
    unit, function, size = sent[0], sent[1], reply_bytes(sent[1], int.from_bytes(sent[4:6], "big"))
    good = (sent, len(sent)) if function in WRITES else (bytes((unit, function, size)), 5 + size)
    for head, length in (good, (bytes((unit, function | 0x80)), 5)):
        at = received.find(head)
        while at >= 0:
            frame = received[at : at + length]
            if len(frame) == length and crc_fits(frame):
                return frame
            at = received.find(head, at + 1)
    return b""


def crc_fits(frame: bytes) -> bool:
    """Whether the last two bytes are the CRC of those before them."""
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
