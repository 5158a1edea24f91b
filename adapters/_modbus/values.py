"""What registers hold, and the values in them: kinds, orders of bytes, exact scales. Functions without I/O.

Of numbers "MODBUS Application Protocol V1.1b3" says only that the two bytes of a register come with the high
one first (section 4.2). How wider values are laid out is each maker's own choice.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from adapters._modbus.codec import Cells, Decode, read_bit

Kind = Literal[
    "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "bcd16", "bcd32", "bcd64", "text"
]  # fmt: skip
Decoded = int | float | bool | str | None
"""None for what is none: a float that is no number, a digit above 9, bytes that are no text."""
Read = Callable[[Cells], Sequence[Decoded]]
"""The cells of a reply to the values of some places, in their order."""

FLOATS: tuple[Kind, ...] = ("f32", "f64")
Encoding = Literal["utf-8", "latin-1", "cp1252"]
DIGITS: dict[Kind, int] = {"bcd16": 4, "bcd32": 8, "bcd64": 16}
"""Four bits each (binary coded decimal)."""
_FORMATS = {
    "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "u64": "Q", "i64": "q", "f64": "d",
    "bool": "H", "bcd16": "H", "bcd32": "I", "bcd64": "Q",
}  # fmt: skip
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
"""Of whole numbers: what the journal takes."""


# --- orders of bytes ----------------------------------------------------------------------------


@cache
def orders_of(kind: Kind) -> tuple[str, ...]:
    """Every order that the bytes of such a value can have on the wire; A is the most significant one.

    They come about by swapping the bytes of each register, the registers of each 32 bits and the halves of 64
    bits, each or not: 2, 4 or 8 in all. The first is the one without any swap.
    """
    found = ["ABCDEFGH"[: 2 * registers_of(kind)]]
    size = 1
    while size < len(found[0]):
        found += [_swapped(order, size) for order in found]
        size *= 2
    return tuple(found)


def _swapped(order: str, size: int) -> str:
    """Neighbours of `size` letters change places."""
    parts = [order[at : at + size] for at in range(0, len(order), size)]
    return "".join(two + one for one, two in zip(parts[::2], parts[1::2], strict=True))


def registers_of(kind: Kind) -> int:
    """How many 16-bit registers a number of this kind takes; 1 for a text, whose length is its own."""
    return struct.calcsize(f">{_FORMATS.get(kind, 'H')}") // 2


def _words_of(order: str) -> list[int]:
    """Which register, from the value's first on, is its highest word, which the next, and so on."""
    words = [min(order[at : at + 2]) for at in range(0, len(order), 2)]
    return [words.index(word) for word in sorted(words)]


# --- one place ----------------------------------------------------------------------------------


class Scaling(NamedTuple):
    """(raw * factor + shift) / divisor, in whole numbers: exact, or the float that is nearest to it."""

    factor: int
    shift: int
    divisor: int
    is_whole: bool
    """Every result is a whole number of 64 bits at the most, and is given as one."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a place holds, and how it becomes a value."""

    kind: Kind
    order: str = "AB"
    """Of the bytes on the wire, A the most significant; of a text those of each register. Empty: it is no
    register but a coil or a discrete input."""
    bit: int | None = None
    """Of a bool: the bit of the register, 0 the least significant; None: whatever is not 0 is true."""
    length: int = 1
    """Registers of a text."""
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    """The value is the number in the registers times `scale`, plus `offset`."""
    invalid: tuple[int | float, ...] = ()
    """Numbers in the registers, before `scale`, by which the device says that it has no value."""
    encoding: Encoding = "utf-8"
    """Of a text."""
    has_header: bool = False
    """Of a text: two bytes stand before it, how many may be in it and how many are (STRING of S7)."""

    @property
    def width(self) -> int:
        """Registers, or 1 for a coil."""
        return self.length if self.kind == "text" else registers_of(self.kind)

    @property
    def nothing(self) -> str:
        """What is wrong where there is no value, to go on after the name of the place."""
        if self.kind == "text":
            return "holds no text"
        other = "holds a digit above 9, which is no BCD" if self.kind in DIGITS else "holds no number"
        if not self.invalid:
            return other
        said = f"holds what stands for no value there ({', '.join(map(str, self.invalid))})"
        return f"{said}, or {other}" if self.kind in DIGITS or self.kind in FLOATS else said

    @property
    def scaling(self) -> Scaling | None:
        """None: the value is the number as it is."""
        if self.scale == 1 and not self.offset:
            return None
        divisor = math.lcm(self.scale.denominator, self.offset.denominator)
        factor, shift = int(self.scale * divisor), int(self.offset * divisor)
        ends = [raw * factor + shift for raw in self.reach]
        fits = min(ends) >= _LEAST and max(ends) <= _MOST
        return Scaling(factor, shift, divisor, divisor == 1 and fits and self.kind not in FLOATS)

    @property
    def reach(self) -> tuple[int, int]:
        """The least and the greatest whole number that the registers can hold; of a float nothing is said."""
        if self.kind in DIGITS:
            return 0, 10 ** DIGITS[self.kind] - 1
        bits = 16 * registers_of(self.kind)
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.kind[0] == "i" else (0, (1 << bits) - 1)

    @property
    def letter(self) -> str:
        """Of `struct`: how the registers are read once their words are in order."""
        return f"{2 * self.length}s" if self.kind == "text" else _FORMATS[self.kind]

    @property
    def has_bytes_swapped(self) -> bool:
        return self.order[:1] > self.order[1:2]

    def words(self, at: int) -> list[int]:
        """The registers of a value that begins at `at`, the highest word first; a text's as they are."""
        if self.kind == "text":
            return list(range(at, at + self.length))
        return [at + word for word in _words_of(self.order)]

    def decode(self) -> Decode:
        """The function that reads such a value out of the cells of a reply."""
        return read_bit if not self.order else _decoder(self)


COIL = Form("bool", "")
"""A coil or a discrete input."""


@lru_cache(maxsize=1024)
def _decoder(form: Form) -> Decode:
    """Thousands of signals have a few forms."""
    width, read = form.width, reader([(form, 0)])
    return lambda cells, at: read(cells[at : at + width])[0]


# --- many places at once ------------------------------------------------------------------------


def reader(places: Sequence[tuple[Form, int]]) -> Read:
    """One function that reads all of these places, at least one: each a form and the index of its first cell.

    It costs some tenths of a microsecond a value, whatever the orders and scales: registers are picked in the
    order of their words, all turned into numbers by one call, and those with one scale are scaled together.
    """
    steps = [_Step.of(form) for form, _ in places]
    sequence = sorted(range(len(places)), key=lambda at: steps[at].group)
    arranged = [places[at] for at in sequence]
    raw = _raw_reader(arranged)
    runs = [(step, len(list(run))) for step, run in groupby(steps[at] for at in sequence)]
    finish = _finisher(runs)
    if finish is not None:
        raw = _both(raw, finish)
    if sequence == sorted(sequence):
        return raw
    return _both(raw, itemgetter(*(sequence.index(at) for at in range(len(places)))))


def _both(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda given: second(first(given))


class _Step(NamedTuple):
    """What is done with the numbers of some places after they were read; those with the same go together."""

    has_bytes_swapped: bool
    what: Literal["", "float", "bool", "digits", "text"]
    mask: int = 0
    scaling: Scaling | None = None
    none: frozenset[int | float] = frozenset()
    """As they were read, before digits are told."""
    text: tuple[Encoding, bool] = ("utf-8", False)

    @classmethod
    def of(cls, form: Form) -> "_Step":
        if form.order and form.kind == "bool":
            return cls(form.has_bytes_swapped, "bool", 0xFFFF if form.bit is None else 1 << form.bit)
        what: Literal["", "float", "digits"] = ""
        if form.kind in FLOATS:
            what = "float"
        elif form.kind in DIGITS:
            what = "digits"
        elif form.kind == "text":
            return cls(form.has_bytes_swapped, "text", text=(form.encoding, form.has_header))
        none = (int(str(one), 16) if form.kind in DIGITS else one for one in form.invalid)
        return cls(form.has_bytes_swapped, what, 0, form.scaling, frozenset(none))

    @property
    def group(self) -> tuple[Any, ...]:
        return (
            self.has_bytes_swapped, self.what, self.mask, self.scaling or (), sorted(self.none), self.text
        )  # fmt: skip

    @property
    def finish(self) -> Callable[[Sequence[Any]], Sequence[Decoded]] | None:
        """Numbers as they were read to values; None: they are the values."""
        plain = self._plain
        return plain if not self.none else _unless(self.none, plain or list)

    @property
    def _plain(self) -> Callable[[Sequence[Any]], Sequence[Decoded]] | None:
        if self.what == "bool":
            mask = self.mask
            return lambda raws: [raw & mask != 0 for raw in raws]
        if self.what == "text":
            encoding, has_header = self.text
            read = _string if has_header else _text
            return lambda raws: [read(raw, encoding) for raw in raws]
        if self.what == "float":
            return _finite if self.scaling is None else _scaled_floats(self.scaling)
        scale = None if self.scaling is None else _scaled(self.scaling)
        if self.what == "digits":
            return _digits if scale is None else _where_any(scale)
        return scale


def _raw_reader(places: Sequence[tuple[Form, int]]) -> Callable[[Cells], Any]:
    """The numbers of places that are sorted by whether their bytes are swapped."""
    if all(not form.order or (form.letter == "H" and not form.has_bytes_swapped) for form, _ in places):
        return _picker([at for _, at in places])
    reads = [
        _unpacker(list(group), "<" if swapped else ">")
        for swapped, group in groupby(places, key=lambda place: place[0].has_bytes_swapped)
    ]
    if len(reads) == 1:
        return reads[0]
    straight, turned = reads
    return lambda cells: straight(cells) + turned(cells)


def _unpacker(places: Sequence[tuple[Form, int]], ends: str) -> Callable[[Cells], tuple[Any, ...]]:
    words = [word for form, at in places for word in form.words(at)]
    pick = _picker(words)
    pack = struct.Struct(f"{ends}{len(words)}H").pack
    unpack = struct.Struct(">" + "".join(form.letter for form, _ in places)).unpack
    return lambda cells: unpack(pack(*pick(cells)))


def _picker(wanted: Sequence[int]) -> Callable[[Cells], Sequence[int]]:
    first, end = wanted[0], wanted[-1] + 1
    if list(wanted) == list(range(first, end)):
        return lambda cells: cells[first:end]
    return itemgetter(*wanted)


def _finisher(
    runs: Sequence[tuple[_Step, int]],
) -> Callable[[Sequence[Any]], Sequence[Decoded]] | None:
    finishes = [(step.finish, count) for step, count in runs]
    if all(finish is None for finish, _ in finishes):
        return None
    if len(finishes) == 1:
        return finishes[0][0]

    def finish_each(raws: Sequence[Any]) -> list[Decoded]:
        values: list[Decoded] = []
        at = 0
        for finish, count in finishes:
            part = raws[at : at + count]
            values += part if finish is None else finish(part)
            at += count
        return values

    return finish_each


# --- numbers as they were read to values ----------------------------------------------------------


def _unless(
    none: frozenset[int | float], finish: Callable[[Sequence[Any]], Sequence[Decoded]]
) -> Callable[[Sequence[Any]], Sequence[Decoded]]:
    """With None for what stands for no value; mostly there is none of it."""

    def found(raws: Sequence[Any]) -> Sequence[Decoded]:
        if none.isdisjoint(raws):
            return finish(raws)
        return [None if raw in none else finish((raw,))[0] for raw in raws]

    return found


def _finite(raws: Sequence[float]) -> Sequence[float | None]:
    if all(map(math.isfinite, raws)):
        return raws
    return [raw if math.isfinite(raw) else None for raw in raws]


def _scaled(by: Scaling) -> Callable[[Sequence[int]], list[Decoded]]:
    """Python divides whole numbers to the nearest float, however large they are."""
    factor, shift, divisor, is_whole = by
    if is_whole:
        return lambda raws: [raw * factor + shift for raw in raws]
    if divisor == 1:
        return lambda raws: [_kept(raw * factor + shift) for raw in raws]
    if (factor, shift) == (1, 0):
        return lambda raws: [raw / divisor for raw in raws]
    return lambda raws: [(raw * factor + shift) / divisor for raw in raws]


def _kept(number: int) -> int | float:
    """As it is where the journal takes it, else the float that is nearest to it."""
    return number if _LEAST <= number <= _MOST else float(number)


def _scaled_floats(by: Scaling) -> Callable[[Sequence[float]], list[Decoded]]:
    factor, shift, divisor, _ = by

    def scaled(raw: float) -> float | None:
        if not math.isfinite(raw):
            return None
        above, below = raw.as_integer_ratio()
        try:
            return (above * factor + shift * below) / (below * divisor)
        except OverflowError:  # more than a float holds
            return None

    return lambda raws: [scaled(raw) for raw in raws]


def _digits(raws: Sequence[int]) -> list[int | None]:
    """Of binary coded decimals: a digit above 9 is written as a letter in hexadecimal."""
    written = [f"{raw:x}" for raw in raws]
    return [int(one) if one.isdecimal() else None for one in written]


def _where_any(scale: Callable[[Sequence[int]], list[Decoded]]) -> Callable[[Sequence[int]], list[Decoded]]:
    return lambda raws: [None if number is None else scale((number,))[0] for number in _digits(raws)]


def _string(raw: bytes, encoding: Encoding) -> str | None:
    """With the header of S7. None also where it says that there is more than fits, or than may be."""
    most, actual = raw[0], raw[1]
    return _text(raw[2 : 2 + actual], encoding) if actual <= min(most, len(raw) - 2) else None


def _text(raw: bytes, encoding: Encoding) -> str | None:
    """Up to the first NUL, without spaces around it. None: not so encoded, or what cannot be printed."""
    try:
        text = raw.split(b"\0", 1)[0].decode(encoding).strip(" ")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None
