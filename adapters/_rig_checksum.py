"""Checksums of a rig's frames: what they are made of, how they are written, where they stand."""

from functools import lru_cache, reduce
from operator import xor
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from adapters._rig_messages import Broken
from edge.contract import Settings as Table
from edge.contract import refuse

Kind = Literal[
    "xor", "sum8", "sum8-complement", "sum7-complement",
    "crc16-modbus", "crc16-arc", "crc16-ccitt-false", "crc16-xmodem", "crc16-kermit", "crc16-x25",
    "crc16-aug-ccitt",
]  # fmt: skip
Part = Literal["begin", "text", "mark", "end"]
_PARTS: tuple[Part, ...] = ("begin", "text", "mark", "end")


class _Crc(NamedTuple):
    """A CRC of 16 bits by the parameters of the usual catalogue (Rocksoft model)."""

    polynomial: int
    begin: int
    reflected: bool
    last_xor: int


_CRCS: dict[str, _Crc] = {
    "crc16-modbus": _Crc(0x8005, 0xFFFF, True, 0),
    "crc16-arc": _Crc(0x8005, 0, True, 0),
    "crc16-ccitt-false": _Crc(0x1021, 0xFFFF, False, 0),
    "crc16-xmodem": _Crc(0x1021, 0, False, 0),
    "crc16-kermit": _Crc(0x1021, 0, True, 0),
    "crc16-x25": _Crc(0x1021, 0xFFFF, True, 0xFFFF),
    "crc16-aug-ccitt": _Crc(0x1021, 0x1D0F, False, 0),
}


_SAID = {
    "lrc": 'an exclusive or, LRC or BCC, is "xor"; "sum8-complement" where all bytes add up to 0',
    "sum": 'write "sum8", "sum8-complement" or "sum7-complement"',
    "crc": 'which one? Write "crc16-modbus", "crc16-ccitt-false", "crc16-xmodem" or another',
}
_SAID |= {"bcc": _SAID["lrc"], "checksum": _SAID["sum"], "ccitt": _SAID["crc"]}


def _known(kind: object) -> object:
    """A maker's word for it gets a hint. Raises ValueError."""
    if isinstance(kind, str) and kind not in get_args(Kind):
        for word, hint in _SAID.items():
            if kind.lower().startswith(word):
                raise ValueError(hint)
    return kind


class Checksum(Table):
    """`checksum = { ... }`: how a frame says that it is whole."""

    kind: Annotated[Kind, BeforeValidator(_known)]
    """`xor` is what makers call LRC or BCC; with `sum8-complement` all bytes add up to 0, with
    `sum7-complement` their seven low bits do (Mettler Toledo's continuous output)."""
    written: Literal["binary", "hex"] = "binary"
    """As bytes of any value, or as hexadecimal digits."""
    order: Literal["big", "little"] = "big"
    """Of the two bytes of a CRC; Modbus writes the low one first."""
    at: Literal["trailer", "tail"] = "trailer"
    """Behind `end`, or the last of the text before it."""
    covers: list[Part] = Field(default=[], max_length=4)
    """What it is made of; unless written, the text and the end (`trailer`) or the text (`tail`)."""
    mark: str = Field(default="", max_length=8, pattern=r"^[\x20-\x7e]*$")
    """Stands between the text and the checksum."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        repeated = len(set(self.covers)) != len(self.covers)
        refuse(
            "covers has a part twice" if repeated else "",
            "mark is for a checksum at the tail" if self.mark and self.at == "trailer" else "",
            "the mark cannot be covered, for there is none"
            if "mark" in self.covers and not self.mark
            else "",
            "a checksum before the end does not cover it"
            if "end" in self.covers and self.at == "tail"
            else "",
            "a sum has one byte and no order" if self.order == "little" and self.kind not in _CRCS else "",
        )
        return self

    def size(self) -> int:
        """Bytes that it takes in a frame."""
        return (2 if self.kind in _CRCS else 1) * (2 if self.written == "hex" else 1)

    def trailer(self) -> int:
        """Bytes of it behind the end."""
        return self.size() if self.at == "trailer" else 0


MARKED = Checksum(kind="xor", written="hex", at="tail", mark="*")
"""`*HH` as NMEA 0183 has it."""


class Framed(NamedTuple):
    """The parts of a frame as they were on the wire."""

    begin: bytes
    text: bytes
    end: bytes
    trailer: bytes


def compute(kind: Kind, data: bytes) -> int:
    """The checksum as a number."""
    match kind:
        case "xor":
            return reduce(xor, data, 0)
        case "sum8":
            return sum(data) & 0xFF
        case "sum8-complement":
            return -sum(data) & 0xFF
        case "sum7-complement":
            return -sum(data) & 0x7F
    return _crc16(_CRCS[kind], data)


def written(checksum: Checksum, framed: Framed) -> bytes:
    """As it should be written behind this text; `framed.text` is without mark and checksum."""
    parts: dict[Part, bytes] = {
        "begin": framed.begin, "text": framed.text, "mark": checksum.mark.encode("ascii"), "end": framed.end,
    }  # fmt: skip
    covers = checksum.covers or (["text", "end"] if checksum.at == "trailer" else ["text"])
    number = compute(checksum.kind, b"".join(parts[one] for one in _PARTS if one in covers))
    data = number.to_bytes(2 if checksum.kind in _CRCS else 1, checksum.order)
    return data.hex().upper().encode("ascii") if checksum.written == "hex" else data


def checked(checksum: Checksum, framed: Framed) -> bytes:
    """The text without its checksum. Raises Broken where it is missing or wrong."""
    text, found = (framed.text, framed.trailer) if checksum.at == "trailer" else _tail(checksum, framed.text)
    wanted = written(checksum, framed._replace(text=text))
    if found == wanted or (checksum.written == "hex" and found.upper() == wanted):
        return text
    raise Broken(f"the checksum is {_said(checksum, wanted)}, the frame says {_said(checksum, found)}")


def has_mark(checksum: Checksum, text: bytes) -> bool:
    """True where the text ends as one with this checksum would."""
    size = checksum.size() + len(checksum.mark)
    digits = text[len(text) - checksum.size() :]
    return (
        len(text) >= size
        and text[len(text) - size :].startswith(checksum.mark.encode("ascii"))
        and all(digit in b"0123456789abcdefABCDEF" for digit in digits)
    )


def _tail(checksum: Checksum, text: bytes) -> tuple[bytes, bytes]:
    mark = checksum.mark.encode("ascii")
    at = len(text) - checksum.size()
    if at < len(mark) or text[at - len(mark) : at] != mark:
        raise Broken(f"the checksum {checksum.mark}{'H' * checksum.size()} is missing")
    return text[: at - len(mark)], text[at:]


def _said(checksum: Checksum, found: bytes) -> str:
    digits = found.decode("latin-1") if checksum.written == "hex" else found.hex().upper()
    shown = digits if digits.isalnum() and digits.isascii() else repr(found)[1:]
    return f"{checksum.mark}{shown}"


def _crc16(crc: _Crc, data: bytes) -> int:
    table = _table(crc.polynomial, crc.reflected)
    value = crc.begin
    for byte in data:
        if crc.reflected:
            value = value >> 8 ^ table[(value ^ byte) & 0xFF]
        else:
            value = value << 8 & 0xFFFF ^ table[value >> 8 ^ byte]
    return value ^ crc.last_xor


@lru_cache
def _table(polynomial: int, reflected: bool) -> tuple[int, ...]:
    return tuple(_entry(polynomial, reflected, index) for index in range(256))


def _entry(polynomial: int, reflected: bool, index: int) -> int:
    if reflected:
        turned = int(f"{polynomial:016b}"[::-1], 2)
        for _ in range(8):
            index = index >> 1 ^ (turned if index & 1 else 0)
        return index
    value = index << 8
    for _ in range(8):
        value = (value << 1 ^ (polynomial if value & 0x8000 else 0)) & 0xFFFF
    return value
