"""What is handed on of a reading: as an observation, or as a change of telemetry."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from adapters._opcua.gate import ServerClock
from adapters._opcua.items import Item, Items
from adapters._opcua.outbox import Outbox
from adapters._opcua.values import Reading, reading
from adapters._opcua.wire import Sample
from edge.contract import Change, Intake, NoValue, Observation, Quality


class Telling:
    """Knows how old a reading is, and which of several nodes make one state."""

    def __init__(self, intake: Intake, items: Items, clock: ServerClock, outbox: Outbox) -> None:
        self._intake = intake
        self._clock = clock
        self._outbox = outbox
        self._channel = intake.channel([item.signal.name for item in items.telemetry()])

    def observed(self, item: Item, one: Reading, answers: int = 0) -> Observation:
        return self._intake.observe(
            item.signal.name,
            one.value,
            quality=one.quality,
            aged_ms=self._clock.age_ms(one.stamp, mono_ms()),
            answers=answers,
            detail=one.detail,
        )

    def refused(self, item: Item, answers: int = 0) -> Observation:
        """It cannot be read, and why."""
        return self._intake.observe(
            item.signal.name, None, quality=Quality.BAD, answers=answers, detail=item.fault
        )

    def changed(self, changes: Sequence[Change], now_ms: int) -> None:
        """Hand on what is telemetry, whose ages are those of `now_ms`: many take a while to be looked at."""
        since_ms = mono_ms() - now_ms
        if changes and since_ms:
            aged = [(place, one, None if age is None else age + since_ms) for place, one, age in changes]
            self._intake.changes(self._channel, aged)
        elif changes:
            self._intake.changes(self._channel, changes)

    def read(self, read: Iterable[tuple[Item, Reading]], answers: int) -> None:
        """Hand on what was read: telemetry as its changes, unless somebody waits for the answer."""
        fresh: list[Observation] = []
        changes: list[Change] = []
        now_ms = mono_ms()
        for part, one in read:
            if part.place is None or answers:
                fresh.append(self.observed(part, one, answers))
            else:
                aged_ms = part.aged_ms(one.stamp, self._clock.age_ms(one.stamp, now_ms), now_ms)
                changes.append((part.place, telemetered(one), aged_ms))
        self._outbox.put(fresh)
        self.changed(changes, now_ms)

    def combine(self, spread: Sequence[tuple[Item, Reading]]) -> None:
        """What is between, where several parts changed in one message, is no state of the machine."""
        families = {id(item.family): item.family for item, _ in spread}
        for number, family in families.items():
            changed = [(item, one) for item, one in spread if id(item.family) == number]
            several = len({item.handle for item, _ in changed}) > 1
            for at, (item, one) in enumerate(changed):
                item.latest = one
                whole = item.whole()
                if whole is not None and (not several or at == len(changed) - 1):
                    self._outbox.put([self.observed(family[0], whole)])


def settled(part: Item, sample: Sample, asked_s: float, now_s: float) -> Reading | None:
    """The newest that is known after a read; of a state in several nodes, with the last of them."""
    read = reading(sample, part.pick)
    if sample.status and part.gone(sample.status):
        read = read._replace(detail=part.fault)
    known = part.gate.settle(read, asked_s, now_s)
    part.agreed_s = asked_s
    if not part.family:
        return known
    part.latest = known
    return part.whole() if part is part.family[-1] else None


def telemetered(one: Reading) -> Any:
    """A value of telemetry."""
    return NoValue(one.detail) if one.quality is Quality.BAD else one.value


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000
