"""`[source.NAME.unit.3]`: what a device says of itself, and what follows for its values.

A serial number and an uptime tell a restart and a swapped device from a counter that rolled over. A heartbeat
tells that its program runs: a controller that has stopped answers on, with the values of yesterday.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import field_validator, model_validator

from adapters._modbus.address import Address
from edge.contract import Duration, Intake, Observation, Quality, Settings, Signal, Value, refuse
from edge.observation import DEVICE, LONGEST_UPTIME_MS, DeviceWord

log = logging.getLogger("lineside.source")

TOLD_EVERY_S = 60.0
"""What goes on as it did is told so often, so that the next start of the agent has something to compare."""
LOOKS = 4.4
"""A heartbeat is read so often in its time: no whole number, for a bit that blinks may look the same."""
FEWEST_LOOKS = 3
MOST_LOOKS = 3
"""In vain, for who a unit is. Then its values go without: a place that nobody ever answers for is a mistake
in the file and no restart."""
PATIENT_LOOKS = 30
"""The same, of a unit that has said it on this connection: without its word a restart would be missed."""
JUMP_S = 0.25
"""Beside two steps of the uptime: what two answers may be late by. A start after that is told at once."""


class Own(Address):
    """A place of this unit: an address without a unit."""

    kinds: ClassVar[frozenset[str]] = frozenset()
    what: ClassVar[str] = ""

    @model_validator(mode="after")
    def _fits(self) -> "Own":
        fits = not self.kinds or (self.form.kind in self.kinds and self.form.scaling is None)
        kinds = ", ".join(sorted(self.kinds))
        refuse(
            "the unit is that of its table: leave out unit" if "unit" in self.model_fields_set else "",
            "" if fits else f"{self.what} is one of {kinds}, without scale and offset",
            "" if self.count is None else "it is one value: leave out count",
        )
        return self

    def of(self, unit: int) -> Address:
        return self.model_copy(update={"unit": unit})


_COUNTS = frozenset({"u16", "u32", "u64", "bcd16", "bcd32", "bcd64"})


class Serial(Own):
    """`serial = { holding = 10, as = "text", length = 8 }`."""

    kinds = _COUNTS | {"text", "i16", "i32", "i64"}
    what = "a serial number"


class Uptime(Own):
    """`uptime = { holding = 20, as = "u32", order = "ABCD", tick = "1s" }`."""

    kinds = _COUNTS
    what = "an uptime"
    tick: Duration = timedelta(seconds=1)
    """What one step of it is: `"10ms"`, `"1s"`, `"1m"`."""

    @field_validator("tick")
    @classmethod
    def _whole_ms(cls, value: timedelta) -> timedelta:
        if value % timedelta(milliseconds=1):
            raise ValueError('a step is so many whole milliseconds, such as "10ms"')
        return value

    @property
    def tick_ms(self) -> int:
        return self.tick // timedelta(milliseconds=1)

    @property
    def turns_ms(self) -> int:
        """It goes on from 0 after so long; 0: nobody lives to see it."""
        turns_ms = (self.counter_modulus() or 0) * self.tick_ms
        return turns_ms if turns_ms <= LONGEST_UPTIME_MS else 0


class Heartbeat(Own):
    """`heartbeat = { holding = 22, as = "u16", within = "10s" }`."""

    within: Duration = timedelta(seconds=10)
    """It changes at least this often while the device's program runs."""
    every: Duration | None = None
    """How often it is read. A bit is to keep each of its values for so long: one that blinks faster may look
    the same every time."""

    @model_validator(mode="after")
    def _often(self) -> "Heartbeat":
        if self.every is not None and self.every * FEWEST_LOOKS > self.within:
            raise ValueError(f"within is {FEWEST_LOOKS} times every at least: one look proves nothing")
        return self

    @property
    def read_every(self) -> timedelta:
        if self.every is not None:
            return self.every
        return timedelta(milliseconds=max(1, int(self.within / timedelta(milliseconds=1) / LOOKS)))


class Device(Settings):
    """The part of a unit's table that says where the device tells of itself."""

    serial: Serial | None = None
    """Where its serial number is; another number is another device."""
    uptime: Uptime | None = None
    """Where it counts the time since it was started."""
    heartbeat: Heartbeat | None = None
    """What its program changes all the time; where it stays the same, no value of the unit is believed."""
    identity_every: Duration = timedelta(seconds=10)
    """How often serial and uptime are read, beside every time that something speaks for a restart."""

    def signals(self, source: str, unit: int) -> tuple[Signal[Address], ...]:
        """What is read beside the line's signals; never handed over under these names."""
        return tuple(
            Signal(f"{source} unit {unit} {role}", place.of(unit), every)
            for role, place, every in self._places()
        )

    def _places(self) -> Iterator[tuple[str, Own, timedelta]]:
        if self.serial is not None:
            yield "serial", self.serial, self.identity_every
        if self.uptime is not None:
            yield "uptime", self.uptime, self.identity_every
        if self.heartbeat is not None:
            yield "heartbeat", self.heartbeat, self.heartbeat.read_every

    def read_from(self, unit: int) -> str:
        """Where serial and uptime are, in words."""
        parts = [self.serial.of(unit).identity()] if self.serial else []
        parts += [f"{self.uptime.of(unit).identity()} tick {self.uptime.tick_ms} ms"] if self.uptime else []
        return ", ".join(parts)


MOST_SWAPS = 3
SWAPS_S = 600.0
"""A place that changes so often in that time holds no serial number: nobody swaps a device so quickly."""


@dataclass(slots=True)
class Serials:
    """What outlives a connection: the serial number of each unit, and how often it has changed."""

    last: dict[str, str] = field(default_factory=dict)
    swaps: dict[str, list[float]] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)
    """Units whose place is not believed any more: each change stops the counting."""

    def is_believed(self, name: str, serial: str, now_s: float) -> bool:
        """Note what is read of it."""
        last = self.last.get(name, "")
        if name in self.moving or not serial or serial == last:
            return name not in self.moving
        self.last[name] = serial
        if not last:
            return True
        swaps = self.swaps[name] = [at for at in self.swaps.get(name, ()) if at > now_s - SWAPS_S] + [now_s]
        if len(swaps) < MOST_SWAPS:
            return True
        self.moving.add(name)
        log.warning(
            "%s: its serial number changed %d times in %.0f s, from %s to %s at last: that is none. "
            "It is not looked at until the agent starts again: correct serial in the file",
            name, len(swaps), swaps[-1] - swaps[0], last, serial,
        )  # fmt: skip
        return False


class Watch:
    """One unit's own word of who it is, since when it runs and whether its program does."""

    def __init__(self, source: str, unit: int, device: Device, signals: Sequence[Signal[Any]]) -> None:
        """`signals` are all of the line's that are read from this unit."""
        self.signals = device.signals(source, unit)
        self.names = frozenset(signal.name for signal in self.signals)
        name = f"{source} unit {unit}"
        self.identity = self.names - {f"{name} heartbeat"}
        self._name, self._unit, self._device = name, unit, device
        self._of_line = tuple(signal.name for signal in signals if not signal.table)
        self._last: dict[str, int | None] = {
            name: None for name in self._of_line if self.identity and not name.endswith((".state", ".mode"))
        }
        """Of each counter, the reading that was seen last."""
        self._owed = set(self.identity)
        """What has to be read before any other value is handed over."""
        self._was_out_of_sight = True
        """Since the last word."""
        self._looks = 0
        """Since all of that was read."""
        self._serial, self._uptime_ms = "", -1
        self._is_moving = False
        """Its serial number is none."""
        self._before_ms = 0
        """The uptime that was read last, though it cannot be read now."""
        self._began_s = math.inf
        """By it, when the device was started."""
        self._most_looks = MOST_LOOKS
        self._is_due = self._has_changed = False
        self.is_anew = False
        """What `words` gave last is of a device that was restarted, or of another one."""
        self._told_s = 0.0
        self._heart = Heart(device.heartbeat) if device.heartbeat else None

    def doubt(self) -> None:
        """The connection is new, the unit did not answer, or what was handed over was not recorded: nobody
        knows whether it is still the same."""
        self._was_out_of_sight = True
        self._owed = set(self.identity)

    def must_look(self, seen: Sequence[Observation]) -> bool:
        """Whether `identity` has to be read and taken before these values are handed over.

        True while there is a doubt, and when a counter went back. It is asked of every reading.
        """
        last = self._last
        for one in seen:
            if one.signal in last and one.quality is not Quality.BAD and type(one.value) is int:
                before, last[one.signal] = last[one.signal], one.value
                if before is not None and one.value < before:
                    self._owed = set(self.identity)
        if not self._owed:
            return False
        self._looks += 1
        return self._looks <= self._most_looks

    def take(self, name: str, value: Value, at_s: float) -> None:
        """One of `names` was read; None: it holds no value, or a look was refused. `at_s` is of any steady
        clock."""
        if name not in self.identity:
            self._beat(value, at_s)
            return
        if value is not None:
            self._most_looks = PATIENT_LOOKS
        if name in self._owed:
            self._owed.discard(name)
            self._is_due = self._is_due or not self._owed
        if not self._owed:
            self._looks = 0
        if name.endswith("serial"):
            self._take_serial(_serial(value))
        else:
            self._take_uptime(value, at_s)
        self._is_due = self._is_due or self._has_changed or at_s >= self._told_s + TOLD_EVERY_S
        if self._is_due:
            self._told_s = at_s

    def missing(self, name: str, at_s: float) -> None:
        """One of `names` was refused at a poll. A doubt stays: only a look ends it, or its value."""
        if name not in self.identity:
            self._beat(None, at_s)
        elif name.endswith("uptime"):
            self._uptime_ms = -1

    def _beat(self, value: Value, at_s: float) -> None:
        if self._heart is None:
            return
        stood = self._heart.stands
        self._heart.beat(value, at_s)
        if stood and not self._heart.stands:
            self.doubt()  # what it said meanwhile was not handed over, and it may have been restarted

    def _take_serial(self, serial: str) -> None:
        if self._is_moving:
            return
        self._has_changed = self._has_changed or bool(serial and self._serial and serial != self._serial)
        self._serial = serial or self._serial

    def _take_uptime(self, value: Value, at_s: float) -> None:
        uptime = self._device.uptime
        if uptime is None or type(value) is not int or value * uptime.tick_ms > LONGEST_UPTIME_MS:
            self._uptime_ms = -1
            return
        self._uptime_ms = value * uptime.tick_ms
        self._has_changed = self._has_changed or self._uptime_ms < self._before_ms
        self._before_ms = self._uptime_ms
        # Twice within seconds: it may show more than at the reading after the first restart.
        began_s, self._began_s = self._began_s, at_s - self._uptime_ms / 1000
        self._is_due = self._is_due or self._began_s > began_s + 2 * uptime.tick_ms / 1000 + JUMP_S

    def words(self, intake: Intake) -> list[Observation]:
        """What is to be handed over before the values: mostly nothing."""
        if not self._is_due or self._owed:
            return []
        self.is_anew, self._is_due, self._has_changed = self._has_changed, False, False
        if not intake.recall(Serials).is_believed(self._name, self._serial, self._told_s):
            self._is_moving, self._serial = True, ""
        if not self._serial and self._uptime_ms < 0:
            return []
        uptime = self._device.uptime
        word = DeviceWord(
            self._name, self._of_line, self._serial, self._uptime_ms if self._uptime_ms >= 0 else None,
            uptime.tick_ms if uptime else 0, uptime.turns_ms if uptime else 0,
            self._device.read_from(self._unit), self._was_out_of_sight,
        )  # fmt: skip
        self._was_out_of_sight = False
        return [intake.observe(DEVICE, word)]

    def standstill(self, now_s: float) -> str:
        """Why no value of the unit is to be believed; empty while its program runs."""
        if self._heart is None or not self._heart.stands:
            return ""
        return f"unit {self._unit} answers, but its heartbeat {self._heart.words}: its program stands still"


class Heart:
    """A register that has to change."""

    def __init__(self, place: Heartbeat) -> None:
        self._within_s = place.within.total_seconds()
        self._value: Value = None
        self._read_s: float | None = None
        self._still_s = 0.0
        self.words = f"({place.table} {place.start}) has not changed for {self._within_s:g} s"

    def beat(self, value: Value, at_s: float) -> None:
        """It was read. What nobody looked at does not count: a bit may have changed twice."""
        before_s, self._read_s = self._read_s, at_s
        if before_s is None or (value is not None and value != self._value):
            self._value, self._still_s = value, 0.0
        else:
            self._still_s += min(at_s - before_s, self._within_s / 2)

    @property
    def stands(self) -> bool:
        return self._still_s >= self._within_s


def _serial(value: Value) -> str:
    """Empty and nothing but zeros is what a device shows that has no number, or has not read it yet."""
    text = f"{value}".strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text.strip("0") else ""


def watches(units: Mapping[str, Device], signals: Sequence[Signal[Any]], source: str) -> dict[int, Watch]:
    """By unit, of those that have signals and tell anything of themselves. `units` are the tables, by their
    number as text."""
    found = {}
    for name, device in units.items():
        unit = int(name)
        mine = [one for one in signals if one.address.unit == unit]
        if mine and device.signals(source, unit):
            found[unit] = Watch(source, unit, device, mine)
    return found
