"""What is to be switched, and what of it is so already. Decisions without I/O; times are seconds.

A place is known to hold a value only after the device has echoed the write of it. After a connect, and when
its unit was away, nothing is known: then every place is written anew.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from adapters._modbus.orders import COIL, MASK, REGISTER, Order

AGAIN_S = 1.0
"""Between two tries to write what was not taken."""


@dataclass(frozen=True, slots=True)
class Place:
    """One coil, one holding register or one bit of it."""

    unit: int
    table: Literal["coil", "holding"]
    start: int
    bit: int | None = None

    def __str__(self) -> str:
        bit = "" if self.bit is None else f" bit {self.bit}"
        return f"unit {self.unit} {self.table} {self.start}{bit}"


@dataclass(frozen=True, slots=True)
class Lamp:
    """An output: what its place holds where it is on, and where it is off."""

    place: Place
    on: int = 1
    off: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """One request."""

    place: Place
    value: int

    def __str__(self) -> str:
        return f"{self.place} to {self.value}"

    @property
    def order(self) -> Order:
        """A coil by function 5, a register by 6, a bit of it by 22: the others of the register stay."""
        place = self.place
        if place.table == "coil":
            return Order(place.unit, COIL, place.start, (self.value,))
        if place.bit is None:
            return Order(place.unit, REGISTER, place.start, (self.value,))
        mask = 1 << place.bit
        return Order(place.unit, MASK, place.start, (0xFFFF & ~mask, mask * self.value))


class Outputs:
    """The outputs of one connection, by name. At the beginning all are to be off, and none is known to be."""

    def __init__(self, lamps: Mapping[str, Lamp], probe_every_s: float) -> None:
        self._lamps = lamps
        self._probe_every_s = probe_every_s
        self._off = {lamp.place: lamp.off for lamp in lamps.values()}
        self._wanted = self._off
        self._known: dict[Place, int] = {}
        self._again_at: dict[Place, float] = {}
        self._trouble: dict[Place, str] = {}
        self._number: int | None = 0
        """Of the newest ask, 0 for the switching off at the beginning; None where it is answered."""

    @property
    def units(self) -> set[int]:
        return {place.unit for place in self._wanted}

    @property
    def is_settled(self) -> bool:
        """All is as it should be, and the newest ask is answered."""
        return self._number is None and self._known == self._wanted

    def want(self, number: int, on: Collection[str]) -> None:
        """From now these are to be on, and no other. What was not done yet of earlier asks is forgotten."""
        self._wanted = self._off | {lamp.place: lamp.on for name, lamp in self._lamps.items() if name in on}
        self._number = number
        self._again_at.clear()

    def next(self, now: float, is_lost: Callable[[int], bool]) -> Write | None:
        """What to write now; what goes off goes before what goes on. Nothing to a unit that is lost."""
        if self._known == self._wanted:
            return None
        due = [
            Write(place, value)
            for place, value in self._open(is_lost)
            if self._again_at.get(place, now) <= now
        ]
        return min(due, key=lambda write: write.value != self._off[write.place], default=None)

    def next_at(self, is_lost: Callable[[int], bool]) -> float | None:
        """When there is something to write; None: as things are, never."""
        return min((self._again_at.get(place, 0.0) for place, _ in self._open(is_lost)), default=None)

    def first_of(self, unit: int) -> Write | None:
        """A write that asks a lost unit whether it is back."""
        return next((Write(place, to) for place, to in self._wanted.items() if place.unit == unit), None)

    def written(self, write: Write) -> None:
        """The device has echoed it."""
        self._known[write.place] = write.value
        self._again_at.pop(write.place, None)
        self._trouble.pop(write.place, None)

    def failed(self, write: Write, why: str, now: float, *, passes: bool) -> None:
        """It was not taken; `passes` where that may be otherwise in a moment."""
        self._known.pop(write.place, None)
        self._again_at[write.place] = now + (AGAIN_S if passes else self._probe_every_s)
        self._trouble[write.place] = f"{write.place}: {why}"

    def forget(self, unit: int) -> None:
        """The unit was away, and may have been switched off and on since."""
        for place in [place for place in self._known if place.unit == unit]:
            del self._known[place]
        for place in [place for place in self._again_at if place.unit == unit]:
            del self._again_at[place]

    def answer(self, is_lost: Callable[[int], bool]) -> tuple[int, str] | None:
        """The newest ask and its trouble in words, once all of it was tried; given once."""
        number = self._number
        if number is None or any(place not in self._again_at for place, _ in self._open(is_lost)):
            return None
        self._number = None
        missing = [place for place, value in self._wanted.items() if self._known.get(place) != value]
        words = [
            f"unit {place.unit} is lost" if is_lost(place.unit) else self._trouble.get(place, "")
            for place in missing
        ]
        return number, "; ".join(dict.fromkeys(words))

    def _open(self, is_lost: Callable[[int], bool]) -> list[tuple[Place, int]]:
        return [
            (place, value)
            for place, value in self._wanted.items()
            if self._known.get(place) != value and not is_lost(place.unit)
        ]
