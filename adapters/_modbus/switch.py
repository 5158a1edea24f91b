"""How an output of a Modbus device, such as a lamp, is written."""

from pydantic import Field, model_validator

from adapters._modbus.outputs import Lamp, Place
from edge.contract import Span, SwitchAddress, refuse


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

    def span(self) -> Span:
        """The coil, the register or the bit of it, in bits of the unit's table."""
        place = self.lamp().place
        room = f"unit {place.unit} {place.table}"
        if place.table == "coil":
            return Span(room, place.start, place.start + 1)
        first = 16 * place.start + (place.bit or 0)
        return Span(room, first, first + (16 if place.bit is None else 1))

    def lamp(self) -> Lamp:
        if self.coil is not None:
            return Lamp(Place(self.unit, "coil", self.coil), self.on, self.off)
        return Lamp(Place(self.unit, "holding", int(self.holding or 0), self.bit), self.on, self.off)
