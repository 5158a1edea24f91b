"""Requests and answers as the application protocol has them, without what a transport puts around them.

Layouts are those of "MODBUS Application Protocol V1.1b3", section 6.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from adapters._modbus import library

READS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""The function that reads each table."""
_TABLES = {function: table for table, function in READS.items()}
_WRITES_ONE = (5, 6, 22)
_WRITES_MANY = (15, 16)
_SERVER_ID = 17
_IDENTIFICATION = b"\x2b\x0e"
REFUSAL = 0x80
"""Set in the function code of an exception."""
_LONGEST = 253
"""Bytes of a PDU."""


class WrongReply(Exception):
    """The bytes received cannot be the answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what its answer must look like."""

    unit: int
    pdu: bytes
    head: bytes
    """What the answer's PDU begins with."""
    size: int
    """Bytes of the answer's PDU; 0 where the answer itself tells."""
    reads: bool
    """It changes nothing: it may be asked again."""

    @property
    def function(self) -> int:
        return self.pdu[0]


@lru_cache(maxsize=1024)
def read_question(unit: int, table: str, start: int, count: int) -> Question:
    """A read of `count` registers or bits of a table."""
    function = READS[table]
    pdu = library.read(function, start, count)
    size = data_size(function, count)
    return Question(unit, pdu, bytes((function, size)), 2 + size, reads=True)


def question(unit: int, pdu: bytes) -> Question:
    """Any other request; ValueError for a function whose answer is not known here."""
    function = pdu[0]
    if function in _TABLES:
        return read_question(unit, _TABLES[function], *struct.unpack(">HH", pdu[1:]))
    if function in _WRITES_ONE:
        return Question(unit, pdu, pdu, len(pdu), reads=False)
    if function in _WRITES_MANY:
        return Question(unit, pdu, pdu[:5], 5, reads=False)
    if function == _SERVER_ID:
        return Question(unit, pdu, pdu[:1], 0, reads=True)
    if pdu[:2] == _IDENTIFICATION:
        return Question(unit, pdu, pdu[:2], 0, reads=True)
    raise ValueError(f"no answer is known to function {function}")


def data_size(function: int, count: int) -> int:
    """Bytes of data in the answer to a read of `count` registers (3, 4) or bits (1, 2)."""
    return 2 * count if function in (3, 4) else (count + 7) // 8


def told_size(pdu: bytes) -> int:
    """How long the PDU is that begins so, of an answer that tells it itself; 0 while it has not yet."""
    if pdu[:1] == bytes((_SERVER_ID,)):
        return 2 + pdu[1] if len(pdu) > 1 else 0
    at = 7
    if len(pdu) < at:
        return 0
    for _ in range(pdu[6]):
        if len(pdu) < at + 2:
            return 0
        at += 2 + pdu[at + 1]
        if at > _LONGEST:
            raise WrongReply("the answer is longer than one may be")
    return at


def frame_size(received: bytes) -> int:
    """Bytes of a serial frame with an answer that begins so; 0 where that cannot be told."""
    if len(received) < 3:
        return 0
    function = received[1]
    if function & REFUSAL:
        return 5
    if function in _TABLES:
        return 5 + received[2]
    return 8 if function in (*_WRITES_ONE[:2], *_WRITES_MANY) else 10 if function == _WRITES_ONE[2] else 0


# --- what an answer holds -------------------------------------------------------------------------

_REGISTERS = [struct.Struct(f">{count}H").unpack for count in range(128)]
_BITS = [tuple(bool(byte >> at & 1) for at in range(8)) for byte in range(256)]


def cells_of(pdu: bytes) -> Sequence[int] | Sequence[bool]:
    """The registers, or the bits (a multiple of eight), of the whole answer to a read."""
    if pdu[0] in (3, 4):
        return _REGISTERS[pdu[1] // 2](pdu[2:])
    bits: list[bool] = []
    for byte in pdu[2:]:
        bits += _BITS[byte]
    return bits
