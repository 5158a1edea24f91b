"""How a signal of a Modbus device is written, and what is to be read and decoded for it."""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from adapters._modbus.codec import BIT_TABLES, Decode, Table
from adapters._modbus.encode import Written, encoded
from adapters._modbus.modicon import Manual, Spot, spot_of
from adapters._modbus.values import (
    COIL,
    DIGITS,
    FLOATS,
    Encoding,
    Form,
    Kind,
    orders_of,
    registers_of,
)
from edge.contract import SignalAddress, refuse

Order = Literal["big", "little"]
MOST_REGISTERS = 125
"""In one request, section 6.3 of the application protocol."""
MOST_BITS = 2000
"""Section 6.1."""
_TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
_MANUALS: dict[Table, int] = {"discrete": 1, "input": 3, "holding": 4}
"""What a manual's address of each table begins with."""
_OF_REGISTERS = frozenset({
    "words", "octets", "order", "bit", "length", "scale", "offset", "invalid", "encoding", "header"
})  # fmt: skip
_FACTOR = re.compile(r"[+-]?\d{1,25}(\.\d{1,25})?([eE][+-]?\d{1,2})?|[+-]?\d{1,25}/\d{1,25}", re.ASCII)
_SMALLEST, _LARGEST = Fraction(1, 10**30), 10**30


def _exact(value: object) -> Fraction:
    """A number of the file as it is written there: 0.1 is a tenth, and not the float beside it."""
    if isinstance(value, Fraction):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = repr(value) if is_number else value
    if not isinstance(text, str) or not _FACTOR.fullmatch(text.strip()):
        raise ValueError('write a number, such as 0.1, or as text "0.1" or "100/27648"')
    try:
        exact = Fraction(text.strip())
    except ZeroDivisionError:
        raise ValueError("divides by 0") from None
    if exact and not _SMALLEST <= abs(exact) <= _LARGEST:
        raise ValueError("is too small or too large to be of use")
    return exact


Exact = Annotated[Fraction, BeforeValidator(_exact), WithJsonSchema({"type": ["number", "string"]})]


Raw = int | float
"""A number as the registers hold it."""


def _listed(value: object) -> object:
    """One number is a list of one."""
    return [value] if isinstance(value, int | float) else value


class Address(SignalAddress):
    """`{ source = "bus-1", unit = 3, holding = 100, as = "u32", words = "little" }`."""

    is_sampled: ClassVar[bool] = True
    unit: int = Field(default=1, ge=0, le=255)
    """The unit (slave) address; on a serial line 1 to 247."""
    holding: int | None = Field(default=None, ge=0, le=65535)
    """A holding register, counted from zero: what a manual calls 40101 is 100."""
    input: int | None = Field(default=None, ge=0, le=65535)
    """An input register, counted from zero: what a manual calls 30101 is 100."""
    coil: int | None = Field(default=None, ge=0, le=65535)
    """A coil, counted from zero: what a manual calls 00001 is 0."""
    discrete: int | None = Field(default=None, ge=0, le=65535)
    """A discrete input, counted from zero: what a manual calls 10001 is 0."""
    address: Manual = None
    """As the manual writes it (Modicon), in place of the four above: 40101, `"40101.3"`, `"00001"`."""
    kind: Kind | None = Field(default=None, alias="as")
    """What the registers hold: u16, i16, u32, i32, u64, i64, f32, f64, bcd16, bcd32, bcd64, text or bool
    (anything but 0)."""
    words: Order | None = None
    """Which register of a wider value comes first: the high one (big) or the low one (little)."""
    octets: Order = Field(default="big", alias="bytes")
    """Which byte of a register comes first; the standard says big, some devices do not care."""
    order: str | None = Field(default=None, max_length=8)
    """In place of `words` and `bytes`: the bytes as they come, A the most significant, such as `"CDAB"`."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """One bit of a register, 0 the least significant."""
    length: int | None = Field(default=None, ge=1, le=MOST_REGISTERS)
    """Of a text: how many registers it takes, two characters each."""
    scale: Exact = Fraction(1)
    """The value is the number in the registers times this, to the last digit: `0.1`, `"100/27648"`."""
    offset: Exact = Fraction(0)
    """Added to the value after `scale`."""
    invalid: Annotated[list[Raw], BeforeValidator(_listed)] = Field(default_factory=list, max_length=16)
    """What the registers hold where the device has no value: one number or some, before `scale`, such as
    `0x8000`; of an `i16` that is the same as -32768."""
    encoding: Encoding = "utf-8"
    """Of a text: utf-8, latin-1 or cp1252 (Windows)."""
    header: Literal["s7"] | None = None
    """Of a text: two bytes before it say how many characters may be in it and how many are (STRING of S7)."""
    count: int | None = Field(default=None, ge=1, le=MOST_BITS)
    """Of telemetry: so many values in a row, read in one request, named NAME_0, NAME_1 and so on."""
    together: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Signals with the same word here are read in one request, so that they are of one moment."""
    priority: Literal["high", "normal", "low"] | None = None
    """What goes first where the line cannot do everything at once; counters and states are `high` unless it
    is written, telemetry `normal`."""

    @model_validator(mode="after")
    def _one_place(self) -> "Address":
        ways = [key for key in (*_TABLES, "address") if getattr(self, key) is not None]
        if len(ways) != 1:
            raise ValueError("give exactly one of holding, input, coil, discrete and address")
        if self.table in BIT_TABLES:
            refuse(*self._faults_of_bits())
        else:
            refuse(*self._faults_of_kind())
            refuse(*self._faults_of_order(), *self._faults_of_scale())
            refuse(*self._faults_of_invalid())
        refuse(self._fault_of_reach())
        return self

    def _faults_of_bits(self) -> Iterator[str]:
        mine = Address.model_fields
        given = {mine[key].alias or key: None for key in mine if key in _OF_REGISTERS & self.model_fields_set}
        if self.kind not in (None, "bool"):
            given = {"as": None} | given
        if given:
            yield f"a {self.table} is one bit: leave out {' and '.join(given)}"

    def _faults_of_kind(self) -> Iterator[str]:
        if self.bit is not None and self._spot.bit is not None:
            yield "the bit is in the address already: leave out bit"
        elif self.bit_at is None and self.kind is None:
            yield 'say what the register holds, such as as = "u16"'
        elif self.bit_at is not None and self.kind not in (None, "bool"):
            yield 'a bit is a bool: leave out as, or write as = "bool"'
        elif self.bit_at is not None and self.count is not None:
            yield "bits of a register do not count on: leave out count, and name each"
        if self.kind == "text" and self.length is None:
            yield "say how many registers the text takes, such as length = 8"
        if self.kind != "text":
            given = {"length", "header", "encoding"} & self.model_fields_set
            yield from (f"{key} is of a text: leave it out" for key in sorted(given))

    def _faults_of_order(self) -> Iterator[str]:
        registers = 1 if self.kind is None else registers_of(self.kind)
        orders = orders_of(self.kind or "bool")
        if self.order is not None and {"words", "octets"} & self.model_fields_set:
            yield "order says what words and bytes say: write it one way"
        elif self.order is not None and self.order not in orders:
            yield f'{self.kind or "a bit"} has no order "{self.order}": it is one of {", ".join(orders)}'
        elif self.order is None and registers > 1 and self.words is None:
            choices = f"or order, one of {', '.join(orders)}"
            yield f'{self.kind} is {registers} registers: say words = "big" or words = "little", {choices}'
        elif registers == 1 and self.words is not None:
            yield "one register has no order of words: leave out words"

    def _faults_of_scale(self) -> Iterator[str]:
        if self.scale == 0:
            yield "scale 0 makes everything 0"
        is_number = self.kind not in (None, "bool", "text")
        if not is_number and {"scale", "offset"} & self.model_fields_set:
            yield f"{'a text' if self.kind == 'text' else 'a bit'} is no number: leave out scale and offset"

    def _faults_of_invalid(self) -> Iterator[str]:
        if not self.invalid:
            return
        if self.kind in (None, "bool", "text"):
            yield f"{'a text' if self.kind == 'text' else 'a bit'} is no number: leave out invalid"
            return
        least, most = Form(self.kind).reach
        highest = (1 << 16 * registers_of(self.kind)) - 1 if self.kind[0] == "i" else most
        for one in self.invalid:
            if self.kind in FLOATS:
                if _rounded(one, self.kind) is None:
                    yield f"{self.kind} holds no {one}, or it is bad in any case"
            elif not isinstance(one, int) or not least <= one <= highest:
                yield f"{self.kind} holds whole numbers from {least} to {most}, no {one}"

    def _none(self, kind: Kind) -> tuple[int | float, ...]:
        """Those of `invalid` as the registers are read: 0x8000 in an i16 is -32768."""
        if kind in FLOATS:
            return tuple(found for one in self.invalid if (found := _rounded(one, kind)) is not None)
        most = Form(kind).reach[1]
        turn = 1 << 16 * registers_of(kind)
        return tuple(int(one) - turn if one > most else int(one) for one in self.invalid)

    def _fault_of_reach(self) -> str:
        count, is_bits = self.count or 1, self.table in BIT_TABLES
        reach, most = self.width * count, MOST_BITS if is_bits else MOST_REGISTERS
        many, one = f"{count} times " if count > 1 else "", "bit" if is_bits else "register"
        if reach > most:
            words = f"{many}{self._named} is {reach} {one}s"
            return f"{words}, and one request reads {most} at the most: divide it"
        if self.start + reach > 65536:
            return f"{many}{self._named} at {self.start} reaches past the last {one}, 65535"
        return ""

    @property
    def _named(self) -> str:
        return str(self.table if self.table in BIT_TABLES else self.kind or "a bit")

    @property
    def _spot(self) -> Spot:
        if self.address is not None:
            return spot_of(self.address)
        table = next(table for table in _TABLES if getattr(self, table) is not None)
        return Spot(table, int(getattr(self, table)))

    @property
    def table(self) -> Table:
        return self._spot.table

    @property
    def start(self) -> int:
        """Counted from zero, as on the wire."""
        return self._spot.start

    @property
    def bit_at(self) -> int | None:
        """The bit of the register, whichever way it is written."""
        return self._spot.bit if self.bit is None else self.bit

    @property
    def width(self) -> int:
        """Of one value: registers, or bits of a bit table."""
        return self.form.width

    @property
    def form(self) -> Form:
        """What the place holds."""
        if self.table in BIT_TABLES:
            return COIL
        kind = self.kind or "bool"
        return Form(
            kind, self._letters(kind), self.bit_at, self.length or 1, self.scale, self.offset,
            self._none(kind), self.encoding, self.header == "s7",
        )  # fmt: skip

    def _letters(self, kind: Kind) -> str:
        if self.order is not None:
            return self.order
        return _letters(kind, self.words or "big", self.octets)

    def decode(self) -> Decode:
        """The function that reads the value out of a reply."""
        return self.form.decode()

    def encode(self, value: Written) -> tuple[int, ...]:
        """The registers to write, or 0 or 1 for a coil. Raises MisfitValue, in words."""
        return encoded(self.form, value)

    # --- as a signal ----------------------------------------------------------------------------

    def counter_bits(self) -> int | None:
        """The width of an unsigned integer; None for what is none."""
        return {"u16": 16, "u32": 32, "u64": 64}.get(self.kind or "")

    def counter_modulus(self) -> int | None:
        """Digits roll over at a power of ten: 9999 is followed by 0."""
        digits = None if self.kind is None else DIGITS.get(self.kind)
        return super().counter_modulus() if digits is None else 10**digits

    def identity(self) -> str:
        """Unit, table, address and decoding, the same whichever way they are written.

        What is invalid is no part of it: a counter goes on when that is added.
        """
        kind = "bool" if self.kind is None else self.kind
        parts = [f"unit {self.unit} {self.table} {self.start} {kind}"]
        parts += [f"length {self.length}"] if self.length is not None else []
        parts += [f"bit {self.bit_at}"] if self.bit_at is not None else []
        parts += self._order_in_words()
        parts += [f"scale {self.scale}"] if self.scale != 1 else []
        parts += [f"offset {self.offset}"] if self.offset else []
        parts += [f"count {self.count}"] if self.count is not None else []
        parts += [self.encoding] if self.encoding != "utf-8" else []
        parts += [f"header {self.header}"] if self.header is not None else []
        return " ".join(parts)

    def _order_in_words(self) -> list[str]:
        """By words and bytes where they can say it: `CDAB` is `words little`."""
        form, kind = self.form, self.kind or "bool"
        if not form.order:
            return []
        for words in ("big", "little"):
            for octets in ("big", "little"):
                if form.order == _letters(kind, words, octets):
                    named = [f"words {words}"] if registers_of(kind) > 1 else []
                    return named + (["bytes little"] if octets == "little" else [])
        return [f"order {form.order}"]

    def doubt(self) -> str:
        """What may be meant otherwise, in words: a number that looks like a manual's address."""
        digit = _MANUALS.get(self.table)
        if self.address is not None or digit is None or self.start // 10_000 != digit:
            return ""
        words = f"{self.table} = {self.start} is number {self.start} on the wire"
        sure = f'address = "{digit}{self.start + 1:05}"'
        return f"{words}; write address = {self.start} if the manual calls it so, and {sure} if not"

    def misfit(self, use: str) -> str:
        """Why it cannot be a counter, a state or the like, in words."""
        is_scaled = self.form.scaling is not None
        if use != "telemetry" and self.count is not None:
            return f"count makes columns of telemetry: a {use} is one value"
        if use == "counter" and (self.kind == "text" or self.form.kind == "bool"):
            return f"a {'text' if self.kind == 'text' else 'bit'} counts nothing: a counter is a whole number"
        if use == "counter" and is_scaled:
            words = "a counter is counted as it is in the device, for there it rolls over"
            return f"{words}: leave out scale and offset; parts_per_count says what a count stands for"
        if use in ("state", "mode") and is_scaled:
            return f"a {use} is looked up as it is in the device: leave out scale and offset"
        return ""

    def parts(self) -> Sequence[tuple[str, "Address"]]:
        """The values of an array, each with the end of its name; of one value none."""
        if self.count is None:
            return ()
        table, start, width = self.table, self.start, self.width
        whole = f"{table} {start} to {start + self.count * width - 1}"
        group = self.together or (whole if self.count > 1 else None)
        shared = {"count": None, "address": None, "together": group}
        return [
            (str(at), self.model_copy(update=shared | {table: start + at * width}))
            for at in range(self.count)
        ]


def _rounded(number: int | float, kind: Kind) -> float | None:
    """As a float of this kind holds it; None for what is no number there."""
    letter = ">f" if kind == "f32" else ">d"
    try:
        (found,) = struct.unpack(letter, struct.pack(letter, number))
    except (OverflowError, struct.error):
        return None
    return found if math.isfinite(found) else None


def _letters(kind: Kind, words: Order, octets: Order) -> str:
    """An order in letters that was written as `words` and `bytes`."""
    letters = orders_of(kind)[0]
    pairs = [letters[at : at + 2] for at in range(0, len(letters), 2)]
    pairs = pairs if words == "big" else pairs[::-1]
    return "".join(pair if octets == "big" else pair[::-1] for pair in pairs)
