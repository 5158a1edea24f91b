"""OPC UA's binary encoding of values, read from bytes that may be hostile (OPC 10000-6, 5.2).

Nothing is made before it is asked for: an array stays the bytes it came in, so that a message of a few
megabytes never becomes a hundred megabytes of objects. Bytes that make no sense raise Malformed.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from adapters._opcua.kinds import Extension, Id, Kind, Malformed, QName, Text, unix_ms

__all__ = [
    "CODES",
    "MOST_DIMENSIONS",
    "Array",
    "Extension",
    "Id",
    "Kind",
    "Malformed",
    "QName",
    "Raw",
    "Reader",
    "Sample",
    "Text",
    "unix_ms",
]

_LONGEST_TEXT = 64 * 1024
"""Bytes of a text that are decoded; what needs more is no value of a signal."""
_DEEPEST = 100
"""Nesting of variants and diagnostics; a decoder must bear this many levels (5.1.6)."""
_MOST_ELEMENTS = 250_000
"""Elements of unequal size, and values within values, that are walked over in one message."""
MOST_DIMENSIONS = 32


class Sample(NamedTuple):
    """One DataValue. Times are in ticks of 100 ns since 1601, UTC; None where none was given."""

    raw: "Raw"
    status: int = 0
    source: int | None = None
    server: int | None = None
    kind: int = 0
    """Built-in type, 0 to 25; 0 with no value."""
    is_array: bool = False
    """Then `raw` is an Array, or None for a null array."""


@dataclass(frozen=True, slots=True)
class Array:
    """The elements of one variant, still encoded."""

    kind: int
    length: int
    data: bytes
    dimensions: tuple[int, ...] = ()
    """Of a matrix, whose last index runs fastest; empty for one dimension."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> "Raw":
        """The element, as a scalar of this kind. Raises IndexError beyond both ends."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        size = _SIZES[self.kind]
        if size:
            return Reader(self.data, index * size).scalar(self.kind)
        return next(islice(self, index, None))

    def __iter__(self) -> Iterator["Raw"]:
        reader = Reader(self.data)
        return (reader.scalar(self.kind) for _ in range(self.length))


Raw = None | bool | int | float | str | bytes | UUID | Id | QName | Text | Extension | Array | Sample


_NUMBERS = {
    Kind.BOOLEAN: "?",
    Kind.SBYTE: "b",
    Kind.BYTE: "B",
    Kind.INT16: "h",
    Kind.UINT16: "H",
    Kind.INT32: "i",
    Kind.UINT32: "I",
    Kind.INT64: "q",
    Kind.UINT64: "Q",
    Kind.FLOAT: "f",
    Kind.DOUBLE: "d",
    Kind.DATE_TIME: "q",
    Kind.STATUS_CODE: "I",
}
CODES = {int(kind): code for kind, code in _NUMBERS.items()}
"""The struct code of each type that is one number on the wire, without the byte order."""

_UINT16 = struct.Struct("<H")
_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_FOUR_BYTE = struct.Struct("<BH")
_NUMERIC = struct.Struct("<HI")

_HAS_URI = 0x80
_HAS_SERVER = 0x40
_HAS_BYTES = 1
_HAS_XML = 2
_IS_ARRAY = 0x80
_HAS_DIMENSIONS = 0x40
_LAST_RESERVED = 31  # 26 to 31 are read as a ByteString (5.1.6)


class Reader:
    """Reads one thing after another. Every method raises Malformed where the bytes end or make no sense."""

    __slots__ = ("_depth", "_walked", "at", "body", "end")

    def __init__(self, body: bytes, at: int = 0, end: int | None = None) -> None:
        self.body = body
        self.at = at
        self.end = len(body) if end is None else end
        self._depth = 0
        self._walked = 0

    def take(self, size: int) -> int:
        """Go on by `size` bytes; where they begin."""
        at = self.at
        if not 0 <= size <= self.end - at:
            raise Malformed("it ends too early")
        self.at = at + size
        return at

    def byte(self) -> int:
        return self.body[self.take(1)]

    def uint16(self) -> int:
        return int(_UINT16.unpack_from(self.body, self.take(2))[0])

    def uint32(self) -> int:
        return int(_UINT32.unpack_from(self.body, self.take(4))[0])

    def int32(self) -> int:
        return int(_INT32.unpack_from(self.body, self.take(4))[0])

    def ticks(self) -> int | None:
        """A time; None where none is given."""
        return int(_INT64.unpack_from(self.body, self.take(8))[0]) or None

    def count(self, least: int) -> int:
        """The length of an array whose elements have `least` bytes; a null array has none."""
        length = max(self.int32(), 0)
        if length * least > self.end - self.at:
            raise Malformed("an array is longer than its message")
        return length

    def span(self) -> tuple[int, int] | None:
        """Begin and end of a string of bytes; None where it is null."""
        length = self.int32()
        if length < 0:
            return None
        at = self.take(length)
        return at, at + length

    def octets(self) -> bytes | None:
        span = self.span()
        return None if span is None else self.body[span[0] : span[1]]

    def text(self) -> str | None:
        """UTF-8, cut at 64 KiB; a byte that is none becomes U+FFFD, for a lone surrogate cannot be stored."""
        span = self.span()
        if span is None:
            return None
        return self.body[span[0] : min(span[1], span[0] + _LONGEST_TEXT)].decode("utf-8", "replace")

    def scalar(self, kind: int) -> Raw:
        """One value of a built-in type."""
        return _SCALARS[kind](self)

    def walk(self, kind: int, length: int) -> None:
        """Pass over elements."""
        size = _SIZES[kind]
        if size:
            self.take(length * size)
            return
        self.spend(length)
        pass_over = Reader.span if kind in _STRINGS else _SCALARS[kind]
        for _ in range(length):
            pass_over(self)

    def spend(self, steps: int) -> None:
        """Raises Malformed where the bytes ask for more work than any honest message does."""
        self._walked += steps
        if self._walked > _MOST_ELEMENTS:
            raise Malformed(f"it takes more than {_MOST_ELEMENTS} steps to read")

    @property
    def walked(self) -> int:
        """Steps that were spent."""
        return self._walked

    def array(self, kind: int) -> Array | None:
        """A one-dimensional array with its length before it; None where it is null."""
        length = self.int32()
        if length < 0:
            return None
        if length > self.end - self.at and kind != Kind.NULL:
            raise Malformed("an array is longer than its message")
        begin = self.at
        self.walk(kind, length)
        return Array(kind, length, self.body[begin : self.at])

    def deeper(self) -> None:
        """Raises Malformed where things are nested without end; `shallower` undoes it."""
        self.spend(1)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Malformed("values within values without end")

    def shallower(self) -> None:
        self._depth -= 1

    # --- types that are made of others ---

    def identifier(self) -> Id:
        """A NodeId or ExpandedNodeId (5.2.2.9, 5.2.2.10)."""
        encoding = self.byte()
        form = encoding & 0x3F
        if form >= len(_FORMS):
            raise Malformed(f"a node id of form {form}")
        namespace, identifier = _FORMS[form](self)
        uri = self.text() if encoding & _HAS_URI else None
        server = self.uint32() if encoding & _HAS_SERVER else 0
        return Id(namespace, identifier, uri, server)

    def extension(self) -> Extension:
        """An ExtensionObject, its body left as it is (5.2.2.15)."""
        kind, form = self.identifier(), self.byte()
        body = self.octets() if form in (_HAS_BYTES, _HAS_XML) else None
        return Extension(kind, body, form == _HAS_XML)

    def variant(self) -> Sample:
        """A value and its type, without status and times (5.2.2.16)."""
        self.deeper()
        encoding = self.byte()
        kind = encoding & 0x3F
        if kind > _LAST_RESERVED:
            raise Malformed(f"a variant of type {kind}")
        kind = kind if kind <= Kind.DIAGNOSTIC_INFO else Kind.BYTE_STRING
        raw = self.array(kind) if encoding & _IS_ARRAY else self.scalar(kind)
        if encoding & _HAS_DIMENSIONS:
            raw = _shaped(raw, self._dimensions())
        self.shallower()
        return Sample(raw, kind=kind, is_array=bool(encoding & _IS_ARRAY))

    def _dimensions(self) -> tuple[int, ...]:
        length = self.count(4)
        if length > MOST_DIMENSIONS:
            raise Malformed(f"an array of {length} dimensions")
        return tuple(self.int32() for _ in range(length))

    def data_value(self) -> Sample:
        """A value with status and times; the picoseconds are passed over (5.2.2.17)."""
        mask = self.byte()
        value = self.variant() if mask & 1 else _NOTHING
        status = self.uint32() if mask & 2 else 0
        source = self.ticks() if mask & 4 else None
        self.take(2 if mask & 0x10 else 0)
        server = self.ticks() if mask & 8 else None
        self.take(2 if mask & 0x20 else 0)
        return Sample(value.raw, status, source, server, value.kind, value.is_array)

    def diagnostic(self) -> None:
        """Pass over a DiagnosticInfo (5.2.2.12)."""
        self.deeper()
        mask = self.byte()
        self.take(4 * (mask & 0x0F).bit_count())
        if mask & 0x10:
            self.span()
        self.take(4 if mask & 0x20 else 0)
        if mask & 0x40:
            self.diagnostic()
        self.shallower()


_NOTHING = Sample(None)


def _shaped(raw: Raw, dimensions: tuple[int, ...]) -> Raw:
    """Dimensions that do not fit the length are as good as none."""
    if not isinstance(raw, Array) or len(dimensions) < 2 or _product(dimensions) != len(raw):
        return raw
    return Array(raw.kind, raw.length, raw.data, dimensions)


def _product(dimensions: tuple[int, ...]) -> int:
    total = 1
    for one in dimensions:
        total *= max(one, 0)
    return total


def _guid(reader: Reader) -> UUID:
    at = reader.take(16)
    return UUID(bytes_le=reader.body[at : at + 16])


def _four_byte(reader: Reader) -> tuple[int, int]:
    namespace, identifier = _FOUR_BYTE.unpack_from(reader.body, reader.take(3))
    return namespace, identifier


def _numeric(reader: Reader) -> tuple[int, int]:
    namespace, identifier = _NUMERIC.unpack_from(reader.body, reader.take(6))
    return namespace, identifier


_FORMS: tuple[Callable[[Reader], tuple[int, int | str | bytes | UUID]], ...] = (
    lambda reader: (0, reader.byte()),
    _four_byte,
    _numeric,
    lambda reader: (reader.uint16(), reader.text() or ""),
    lambda reader: (reader.uint16(), _guid(reader)),
    lambda reader: (reader.uint16(), reader.octets() or b""),
)


def _number(code: str) -> Callable[[Reader], Raw]:
    form = struct.Struct("<" + code)

    def read(reader: Reader) -> Raw:
        value: bool | int | float = form.unpack_from(reader.body, reader.take(form.size))[0]
        return value

    return read


def _localized(reader: Reader) -> Text:
    """Locale and text, each there only where its bit is set (5.2.2.14)."""
    mask = reader.byte()
    locale = reader.text() if mask & 1 else None
    return Text(locale, reader.text() if mask & 2 else None)


_OTHERS: dict[int, Callable[[Reader], Raw]] = {
    Kind.NULL: lambda _: None,
    Kind.STRING: Reader.text,
    Kind.GUID: _guid,
    Kind.BYTE_STRING: Reader.octets,
    Kind.XML_ELEMENT: Reader.text,
    Kind.NODE_ID: Reader.identifier,
    Kind.EXPANDED_NODE_ID: Reader.identifier,
    Kind.QUALIFIED_NAME: lambda reader: QName(reader.uint16(), reader.text()),
    Kind.LOCALIZED_TEXT: _localized,
    Kind.EXTENSION_OBJECT: Reader.extension,
    Kind.DATA_VALUE: Reader.data_value,
    Kind.VARIANT: Reader.variant,
    Kind.DIAGNOSTIC_INFO: Reader.diagnostic,
}


_SCALARS = tuple(_OTHERS[kind] if kind in _OTHERS else _number(CODES[kind]) for kind in Kind)
_SIZES = tuple(
    struct.calcsize("<" + CODES[kind]) if kind in CODES else 16 if kind == Kind.GUID else 0 for kind in Kind
)
_STRINGS = (Kind.STRING, Kind.BYTE_STRING, Kind.XML_ELEMENT)
