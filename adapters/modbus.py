"""Modbus: registers and coils of devices, over TCP or on a serial bus. See modbus.md."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from adapters._modbus_codec import (
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
from adapters._modbus_outputs import Lamp, Outputs, Place
from adapters._modbus_plan import Limits, Point
from adapters._modbus_sampler import Sampler
from adapters._modbus_wire import Link, Parity, SerialLine, TcpLine
from edge.contract import (
    Duration,
    Intake,
    Signal,
    SignalAddress,
    SourceRefused,
    SourceSettings,
    SwitchAddress,
    refuse,
)


class Settings(SourceSettings):
    """`[source.NAME]` with `type = "modbus"`: one device, one gateway or one serial bus."""

    host: str | None = None
    """`tcp://ADDRESS` or `tcp://ADDRESS:PORT` (502 where none is given) for Modbus TCP."""
    port: str | None = None
    """The serial port's path, for Modbus RTU; better one of /dev/serial/by-id/ than /dev/ttyUSB0."""
    baud: int = Field(default=19200, ge=300, le=4_000_000)
    """Speed of the serial port."""
    parity: Parity = "even"
    """Parity of the serial port; `even` is the standard's own."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of the serial port; the standard asks for 2 with parity `none`, many devices for 1."""
    timeout: Duration = timedelta(seconds=1)
    """How long a unit may take to answer, the time of the bytes on a serial line not counted."""
    worst_answer: Duration = timedelta(seconds=1)
    """After an answer that did not come, how long a serial line must be silent before the next request."""
    probe_every: Duration = timedelta(minutes=1)
    """How often a unit or a register that was given up is tried again."""
    max_registers: int = Field(default=100, ge=4, le=125)
    """Registers in one request at the most; sixteen times as many coils."""
    max_gap: int = Field(default=8, ge=0, le=121)
    """Registers that nobody wants, read along in order to save a request; sixteen times as many coils."""

    def owns(self) -> list[str]:
        """The serial port, or the one connection that many devices allow."""
        return [self.port] if self.port else [str(_tcp_line(str(self.host)))]

    @field_validator("host")
    @classmethod
    def _parsed(cls, value: str | None) -> str | None:
        if value is not None:
            _tcp_line(value)
        return value

    @field_validator("port")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError('write the path of the serial port, such as "/dev/serial/by-id/usb-..."')
        return value

    @model_validator(mode="after")
    def _one_way(self) -> "Settings":
        one = (self.host is None) != (self.port is None)
        serial_only = sorted(self.model_fields_set & {"baud", "parity", "stop_bits", "worst_answer"})
        serial_only = serial_only if self.host is not None else []
        refuse(
            "" if one else "give either host (Modbus TCP) or port (a serial port)",
            f"{', '.join(serial_only)} belong to a serial port, not to host" if serial_only else "",
        )
        return self

    def line(self) -> TcpLine | SerialLine:
        """Where the devices are."""
        if self.host is not None:
            return _tcp_line(self.host)
        return SerialLine(str(self.port), self.baud, self.parity, self.stop_bits)


def _tcp_line(text: str) -> TcpLine:
    url = urlsplit(text)
    if url.scheme != "tcp" or not url.hostname or url.username is not None or url.path or url.query:
        raise ValueError('write "tcp://ADDRESS:PORT", such as "tcp://192.168.1.5:502"')
    if url.port == 0:
        raise ValueError("port 0 cannot be connected to")
    return TcpLine(url.hostname, 502 if url.port is None else url.port)


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


class Switch(SwitchAddress):
    """`{ coil = 0 }`, `{ holding = 10, on = 2 }` or `{ holding = 10, bit = 3 }`."""

    unit: int = Field(default=1, ge=0, le=255)
    """The unit (slave) address; on a serial line 1 to 247."""
    coil: int | None = Field(default=None, ge=0, le=65535)
    """A coil, counted from zero: what a manual calls 00001 is 0."""
    holding: int | None = Field(default=None, ge=0, le=65535)
    """A holding register, counted from zero: what a manual calls 40101 is 100."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """One bit of the register, 0 the least significant; the others stay as they are."""
    on: int = Field(default=1, ge=0, le=65535)
    """What is written to switch it on: of a register a colour, a pattern, a melody."""
    off: int = Field(default=0, ge=0, le=65535)
    """What is written to switch it off."""

    @model_validator(mode="after")
    def _one_place(self) -> "Switch":
        one = (self.coil is None) != (self.holding is None)
        single = self.coil is not None or self.bit is not None
        refuse(
            "" if one else "give exactly one of coil and holding",
            "a coil has no bit" if self.coil is not None and self.bit is not None else "",
            "on and off are the same" if self.on == self.off else "",
            "a coil and a bit know 0 and 1 only" if single and max(self.on, self.off) > 1 else "",
        )
        return self

    def identity(self) -> str:
        """Unit, table, place and value."""
        return f"{self.lamp().place} {self.on}/{self.off}"

    def lamp(self) -> Lamp:
        if self.coil is not None:
            return Lamp(Place(self.unit, "coil", self.coil), self.on, self.off)
        return Lamp(Place(self.unit, "holding", int(self.holding or 0), self.bit), self.on, self.off)


async def collect(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> None:
    """Sample the signals, and switch the outputs, until the connection is lost.

    Raises SourceLost, and SourceRefused for a unit address that a serial line cannot have.
    """
    points = [_point(signal) for signal in signals]
    line = settings.line()
    lamps = {output.name: output.address.lamp() for output in intake.outputs}
    if isinstance(line, SerialLine):
        used = [(point.signal, point.unit) for point in points]
        _check_units([*used, *((f"{lamp.place}", lamp.place.unit) for lamp in lamps.values())], intake.name)
    wake = asyncio.Event()
    timeout_s, worst_answer_s = settings.timeout.total_seconds(), settings.worst_answer.total_seconds()
    link = Link(intake.name, line, timeout_s, worst_answer_s, wake.set)
    limits = Limits(settings.max_registers, settings.max_gap)
    try:
        await link.open()
        probe_every_s = settings.probe_every.total_seconds()
        outputs = Outputs(lamps, probe_every_s)
        await Sampler(points, limits, probe_every_s, intake, link, wake, outputs).run()
    finally:
        link.close()


def _point(signal: Signal[Address]) -> Point:
    place, every_s = signal.address, signal.every.total_seconds()
    return Point(
        signal.name, place.unit, place.table, place.start, place.width, every_s, place.decode(),
        signal.table, place.letter(),
    )  # fmt: skip


def _check_units(used: Sequence[tuple[str, int]], source: str) -> None:
    for name, unit in used:
        if not 1 <= unit <= 247:
            raise SourceRefused(source, f"{name}: a serial line has units 1 to 247, not {unit}")
