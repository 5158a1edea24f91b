"""How a signal of a Modbus device is written, and what is to be read and decoded for it."""

from pydantic import Field, model_validator

from adapters._modbus.codec import (
    BIT_TABLES,
    Decode,
    Kind,
    Order,
    Table,
    decoder,
    letter_of,
    read_bit,
    registers_of,
)
from edge.contract import SignalAddress


class Address(SignalAddress):
    """`{ source = "bus-1", unit = 3, holding = 100, as = "u32", words = "little" }`."""

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
    kind: Kind | None = Field(default=None, alias="as")
    """What the registers hold: u16, i16, u32, i32, u64, i64, f32, f64 or bool (anything but 0)."""
    words: Order | None = None
    """Which register of a wider value comes first: the high one (big) or the low one (little)."""
    octets: Order = Field(default="big", alias="bytes")
    """Which byte of a register comes first; the standard says big, some devices do not care."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """One bit of a register, 0 the least significant."""

    @model_validator(mode="after")
    def _one_place(self) -> "Address":
        if sum(place is not None for place in (self.holding, self.input, self.coil, self.discrete)) != 1:
            raise ValueError("give exactly one of holding, input, coil and discrete")
        if self.table in BIT_TABLES:
            self._check_bit_table()
        else:
            self._check_register()
        return self

    def _check_bit_table(self) -> None:
        if self.kind not in (None, "bool") or {"words", "octets", "bit"} & self.model_fields_set:
            raise ValueError(f"a {self.table} is one bit: leave out as, words, bytes and bit")

    def _check_register(self) -> None:
        if self.kind is None and self.bit is None:
            raise ValueError('say what the register holds, such as as = "u16"')
        if self.bit is not None and self.kind not in (None, "bool"):
            raise ValueError('a bit is a bool: leave out as, or write as = "bool"')
        if self.width > 1 and self.words is None:
            raise ValueError(f'{self.kind} is {self.width} registers: say words = "big" or words = "little"')
        if self.width == 1 and self.words is not None:
            raise ValueError("one register has no order of words: leave out words")
        if self.start + self.width > 65536:
            raise ValueError(f"{self.kind} at {self.start} reaches past the last register, 65535")

    @property
    def table(self) -> Table:
        tables: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
        return next(table for table in tables if getattr(self, table) is not None)

    @property
    def start(self) -> int:
        return int(getattr(self, self.table))

    @property
    def width(self) -> int:
        """Registers, or bits of a bit table."""
        return 1 if self.kind is None or self.table in BIT_TABLES else registers_of(self.kind)

    def counter_bits(self) -> int | None:
        """The width of an unsigned integer; None for what is none."""
        return {"u16": 16, "u32": 32, "u64": 64}.get(self.kind or "")

    def identity(self) -> str:
        """Unit, table, address and decoding."""
        kind = "bool" if self.kind is None else self.kind
        parts = [f"unit {self.unit} {self.table} {self.start} {kind}"]
        parts += [f"bit {self.bit}"] if self.bit is not None else []
        parts += [f"words {self.words}"] if self.words is not None else []
        parts += ["bytes little"] if self.octets == "little" else []
        return " ".join(parts)

    def letter(self) -> str:
        """What the value can be decoded by together with others; empty where it must be by itself."""
        if self.table in BIT_TABLES:
            return "?"
        return letter_of(self.kind or "bool", self.words or "big", self.octets)

    def decode(self) -> Decode:
        """The function that reads the value out of a reply."""
        if self.table in BIT_TABLES:
            return read_bit
        return decoder(self.kind or "bool", self.words or "big", self.octets, self.bit)
