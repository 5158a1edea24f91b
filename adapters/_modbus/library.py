"""What is taken from pymodbus: the checksum, the bytes of requests, and what an identification says.

Its client is not: it drops the late answer to one request and takes it for the next one's where the lengths
agree, does not give the time of receipt, and took 1.5 times the CPU of the wire here.

It is imported with the first request: to check a file nothing of it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymodbus.framer import FramerRTU
    from pymodbus.pdu import ModbusPDU

_BITS, _REGISTERS = "pymodbus.pdu.bit_message", "pymodbus.pdu.register_message"
_IDENTIFICATION = "pymodbus.pdu.mei_message"
_REQUESTS = {
    1: (_BITS, "ReadCoilsRequest"),
    2: (_BITS, "ReadDiscreteInputsRequest"),
    3: (_REGISTERS, "ReadHoldingRegistersRequest"),
    4: (_REGISTERS, "ReadInputRegistersRequest"),
    5: (_BITS, "WriteSingleCoilRequest"),
    6: (_REGISTERS, "WriteSingleRegisterRequest"),
    15: (_BITS, "WriteMultipleCoilsRequest"),
    16: (_REGISTERS, "WriteMultipleRegistersRequest"),
    22: (_REGISTERS, "MaskWriteRegisterRequest"),
    43: (_IDENTIFICATION, "ReadDeviceInformationRequest"),
}
_HEAD = 7
"""Bytes of an identification before its objects, the function among them."""
_MORE = 0xFF


@cache
def _framer() -> "type[FramerRTU]":
    framer: type[FramerRTU] = import_module("pymodbus.framer").FramerRTU
    return framer


def crc(data: bytes) -> bytes:
    """CRC-16 of "MODBUS over Serial Line", appendix B, as it goes on the wire."""
    return _framer().compute_CRC(data).to_bytes(2, "big")


def _pdu(function: int, **fields: Any) -> bytes:
    module, name = _REQUESTS[function]
    request: ModbusPDU = getattr(import_module(module), name)(**fields)
    return bytes((function,)) + request.encode()


def read(function: int, start: int, count: int) -> bytes:
    """The PDU of functions 1 to 4. ValueError where one request cannot have so many."""
    return _pdu(function, address=start, count=count)


def write(function: int, start: int, cells: Sequence[int]) -> bytes:
    """The PDU of functions 5, 6, 15, 16; of 22 the cells are the and-mask and the or-mask."""
    if function == 22:
        return _pdu(function, address=start, and_mask=cells[0], or_mask=cells[1])
    if function in (5, 15):
        return _pdu(function, address=start, bits=[bool(cell) for cell in cells])
    return _pdu(function, address=start, registers=list(cells))


def identify(category: int, first: int) -> bytes:
    """The PDU of function 43/14: the objects of a category, from this one on."""
    return _pdu(43, read_code=category, object_id=first)


@dataclass(frozen=True, slots=True)
class Identification:
    """One part of what a device says of itself."""

    objects: dict[int, bytes]
    following: int | None
    """The object at which the next part begins; None where there is none."""


def identification(answer: bytes) -> Identification:
    """The answer to `identify`, function included; nothing of one whose objects are not whole."""
    if not _is_whole(answer):
        return Identification({}, None)
    response: Any = import_module(_IDENTIFICATION).ReadDeviceInformationResponse()
    response.decode(answer[1:])
    # An object that comes twice is a list there.
    texts = {at: text[0] if isinstance(text, list) else text for at, text in response.information.items()}
    following = response.next_object_id if response.more_follows == _MORE else None
    return Identification(texts, following)


def _is_whole(answer: bytes) -> bool:
    """Whether the lengths of the objects add up: the library takes less for all there is."""
    if len(answer) < _HEAD:
        return False
    at = _HEAD
    while at + 2 <= len(answer):
        at += 2 + answer[at + 1]
    return at == len(answer)
