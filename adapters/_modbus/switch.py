"""How an output of a Modbus device, such as a lamp, is written."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from adapters._modbus.modicon import Manual, Spot, spot_of
from adapters._modbus.outputs import Lamp, Place
from edge.contract import Span, SwitchAddress, refuse


class Switch(SwitchAddress):
    """`{ coil = 0 }`, `{ holding = 10, on = 2 }`, `{ holding = 10, bit = 3 }`, `{ address = "40011.3" }`."""

    unit: int = Field(default=1, ge=0, le=255)
    """The unit (slave) address; on a serial line 1 to 247."""
    coil: int | None = Field(default=None, ge=0, le=65535)
    """A coil, counted from zero: what a manual calls 00001 is 0."""
    holding: int | None = Field(default=None, ge=0, le=65535)
    """A holding register, counted from zero: what a manual calls 40101 is 100."""
    address: Manual = None
    """As the manual writes it (Modicon), in place of the two above: 40011, `"40011.3"`, `"00001"`."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """One bit of the register, 0 the least significant; the others stay as they are."""
    on: int = Field(default=1, ge=0, le=65535)
    """What is written to switch it on: of a register a colour, a pattern, a melody."""
    off: int = Field(default=0, ge=0, le=65535)
    """What is written to switch it off."""

    @model_validator(mode="after")
    def _one_place(self) -> "Switch":
        if sum(one is not None for one in (self.coil, self.holding, self.address)) != 1:
            refuse("give exactly one of coil, holding and address")
        refuse(*self._faults(self._spot))
        return self

    def _faults(self, spot: Spot) -> Iterator[str]:
        if spot.table not in ("coil", "holding"):
            what = "an input register" if spot.table == "input" else "a discrete input"
            yield f"nobody can write {what}: name a holding register or a coil"
        if spot.table == "coil" and self.bit is not None:
            yield "a coil has no bit"
        elif spot.bit is not None and self.bit is not None:
            yield "the bit is in the address already: leave out bit"
        if self.on == self.off:
            yield "on and off are the same"
        is_single = spot.table == "coil" or self.bit is not None or spot.bit is not None
        if is_single and max(self.on, self.off) > 1:
            yield "a coil and a bit know 0 and 1 only"

    @property
    def _spot(self) -> Spot:
        if self.address is not None:
            return spot_of(self.address)
        return Spot("coil", self.coil) if self.coil is not None else Spot("holding", self.holding or 0)

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
        spot = self._spot
        table: Literal["coil", "holding"] = "coil" if spot.table == "coil" else "holding"
        bit = self.bit if spot.bit is None else spot.bit
        return Lamp(Place(self.unit, table, spot.start, bit), self.on, self.off)
