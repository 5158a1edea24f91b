"""Keeps the journal within its room: looks every few seconds, frees what may go, and warns long before."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from msgspec import Struct

from edge.clock import Clock
from edge.errors import NotRecorded
from edge.house import Delivering
from edge.journal import Journal
from edge.journal.retention import (
    Freed,
    Keep,
    can_trim,
    drop_events,
    drop_telemetry,
    thin_telemetry,
    today_ms,
)
from edge.journal.room import Filling, Room
from edge.observation import Missed, Value
from edge.recorder import Recorder

log = logging.getLogger("lineside.journal")

LOOK_S = 5.0
AGE_S = 600.0
"""How often the age of what is kept is looked at."""
PAUSE_S = 0.02
"""Between two chunks of work, so that recording goes on."""
TRIM, TRIMMED = 0.75, 0.70
"""From this share on, telemetry that every sink has is thinned and dropped, down to the other."""
ALARM, ALL_CLEAR = 0.80, 0.77
SHED, SHEDDED = 0.90, 0.85
"""The same for telemetry that a sink still waits for."""
NEARLY = 0.95
HALF = 0.5
SOON_S = 7 * 86_400.0
"""An alarm comes this long before the journal is full, once it is half full."""
AGAIN_S = 3_600.0
"""While there is an alarm, the log says it so often."""
SAMPLE_S = 60.0
RATE_S = 86_400.0
RATE_FROM_S = 600.0
"""The rate is that of the last day; nothing is said of it from less than the other."""

ResultT = TypeVar("ResultT")
Say = Callable[[Value, str], Awaitable[bool]]
"""Tells the core, under the agent's own signal; False where it could not be recorded."""


class RoomStatus(Struct, frozen=True):
    """The journal's room, in bytes."""

    used: int
    capacity: int
    bytes_a_day: int | None = None
    """At the rate of the last day; None while nobody can tell, or where it does not grow."""
    full_in_s: float | None = None
    alarm: str = ""
    """In words; empty where there is none."""


@dataclass(slots=True)
class Rate:
    """How fast it fills."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    """Seconds of the monotonic clock, and bytes."""

    def a_second(self, now_s: float, used: int) -> float | None:
        """Bytes; None while nobody can tell, or where it does not grow."""
        if not self._samples or now_s - self._samples[-1][0] >= SAMPLE_S:
            self._samples.append((now_s, used))
        while now_s - self._samples[0][0] > RATE_S:
            self._samples.popleft()
        since_s, before = self._samples[0]
        if now_s - since_s < RATE_FROM_S or used <= before:
            return None
        return (used - before) / (now_s - since_s)


class Housekeeper:
    """One task of the agent."""

    def __init__(
        self,
        recorder: Recorder,
        room: Room,
        keep: Keep,
        sinks: Sequence[str],
        deliveries: Mapping[str, Delivering],
        clock: Clock,
        say: Say,
    ) -> None:
        """`deliveries`: those that run, by the sink's name."""
        self.status = RoomStatus(0, 0)
        self._recorder = recorder
        self._room = room
        self._keep = keep
        self._sinks = tuple(sinks)
        self._deliveries = deliveries
        self._clock = clock
        self._say = say
        self._rate = Rate()
        self._level = 0
        """0: no alarm; 1: an alarm; 2: nearly full."""
        self._said_s = 0.0
        self._aged_ms: int | None = None
        """On the monotonic clock."""

    async def run(self) -> None:
        """Until cancelled. Raises JournalError where the journal cannot be trusted any more."""
        is_open = False
        while True:
            try:
                if not is_open:
                    await self._recorder.maintain(self._room.open)
                    is_open = True
                await self.look()
            except NotRecorded as error:
                log.debug("%s", error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once: make room where it is short, say how it is, let go of what is old. Raises NotRecorded."""
        filling = await self._measure()
        try:
            filling = await self._make_room(filling)
        finally:
            await self._tell(filling)
        now_ms = self._clock.mono_ms()
        if self._aged_ms is None or now_ms - self._aged_ms >= AGE_S * 1000:
            passed_ms = None if self._aged_ms is None else now_ms - self._aged_ms
            await self._let_go(passed_ms)
            self._aged_ms = now_ms

    async def _measure(self) -> Filling:
        return await self._recorder.maintain(self._room.measure)

    async def _chunk(self, work: Callable[[Journal], ResultT]) -> ResultT:
        """One transaction that frees room; then the others have their turn."""
        result = await self._recorder.maintain(
            lambda journal: self._room.with_reserve(journal, partial(work, journal))
        )
        await asyncio.sleep(PAUSE_S)
        return result

    # --- what is old ------------------------------------------------------------------------

    async def _let_go(self, passed_ms: int | None) -> None:
        wall_ms, synced = self._clock.wall_ms(), self._clock.synced()
        now_ms = await self._chunk(lambda journal: today_ms(journal, wall_ms, passed_ms, synced=synced))
        before_ms = now_ms - _ms(self._keep.events)
        events = 0
        while dropped := await self._chunk(lambda journal: drop_events(journal, self._sinks, before_ms)):
            events += dropped
        before_ms = now_ms - _ms(self._keep.telemetry)
        old = partial(drop_telemetry, sinks=self._sinks, acknowledged=True, before_ms=before_ms)
        batches = 0
        while freed := (await self._chunk(old)).records:
            batches += freed
        if events or batches:
            log.info(
                "%d production records and %d batches of telemetry were old enough to go", events, batches
            )

    # --- what is in the way -----------------------------------------------------------------

    async def _make_room(self, filling: Filling) -> Filling:
        """Thin before dropping, what every sink has before what one still waits for."""
        for begin, end, acknowledged in ((TRIM, TRIMMED, True), (SHED, SHEDDED, False)):
            if filling.share < begin:
                break
            for work in (thin_telemetry, drop_telemetry):
                filling = await self._free_until(
                    end, filling, partial(work, sinks=self._sinks, acknowledged=acknowledged),
                    "thinned" if work is thin_telemetry else "dropped",
                )  # fmt: skip
        return filling

    async def _free_until(
        self, end: float, filling: Filling, work: Callable[[Journal], Freed], how: str
    ) -> Filling:
        all_of_it: list[Freed] = []
        while filling.share > end and (freed := await self._chunk(work)).records:
            all_of_it.append(freed)
            if how == "dropped" and freed.unsent:
                for sink in freed.unsent.keys() & self._deliveries.keys():
                    self._deliveries[sink].drop(freed.ranges)
            filling = await self._measure()
        if all_of_it:
            await self._tell_freed(all_of_it, how)
        return filling

    async def _tell_freed(self, all_of_it: Sequence[Freed], how: str) -> None:
        """In the log; for the loss ledger, where a sink had not got it."""
        batches = sum(one.records for one in all_of_it)
        log.warning("room is short: %d batches of telemetry were %s, the oldest first", batches, how)
        first_ms = min(one.first_ms for one in all_of_it)
        last_ms = max(one.last_ms for one in all_of_it)
        for sink in sorted({sink for one in all_of_it for sink in one.unsent}):
            unsent = sum(one.unsent.get(sink, 0) for one in all_of_it)
            words = f"the journal is short of room: {unsent} batches that {sink} had not got were {how}"
            lost = unsent if how == "dropped" else 0
            await self._say(Missed(f"telemetry-{how}", sink, first_ms, last_ms, lost, words), "")

    # --- how it is --------------------------------------------------------------------------

    async def _tell(self, filling: Filling) -> None:
        now_s = self._clock.mono_ms() / 1000
        rate = self._rate.a_second(now_s, filling.used)
        full_in_s = filling.left / rate if rate else None
        level = self._judge(filling, await self._is_soon(filling, full_in_s))
        words = _words(filling, full_in_s) if level else ""
        a_day = round(rate * 86_400) if rate else None
        self.status = RoomStatus(filling.used, filling.capacity, a_day, full_in_s, words)
        if level > self._level:
            log.error("%s", words)
            self._said_s = now_s
            await self._say("filling", words)
        elif level and now_s - self._said_s >= AGAIN_S:
            log.error("%s", words)
            self._said_s = now_s
        elif self._level and not level:
            log.warning("there is room in the journal again: %s", _used(filling))
            await self._say("roomy", _used(filling))
        self._level = level

    async def _is_soon(self, filling: Filling, full_in_s: float | None) -> bool:
        """Telemetry that can go stands in nobody's way, however fast it comes."""
        soon_s = SOON_S if self._level == 0 else 1.2 * SOON_S
        if full_in_s is None or full_in_s >= soon_s or filling.share < HALF:
            return False
        return not await self._chunk(partial(can_trim, sinks=self._sinks))

    def _judge(self, filling: Filling, soon: bool) -> int:
        if filling.share >= NEARLY:
            return 2
        above = ALARM if self._level == 0 else ALL_CLEAR
        return max(1, self._level) if filling.share >= above or soon else 0


def _words(filling: Filling, full_in_s: float | None) -> str:
    """An alarm: what is so, for how long it will do, what to do."""
    until = "" if full_in_s is None else f"; at the present rate it is full in {_span(full_in_s)}"
    if filling.by_disk:
        what = f"the disk has {size(filling.disk_free)} left"
        return f"the journal takes {size(filling.used)} and {what}{until}; make room on the disk"
    todo = (
        "raise `[line] journal`, or see to sinks that are away (`lineside sink list`, `lineside sink forget`)"
    )
    return f"the journal takes {_used(filling)}{until}; {todo}"


def _used(filling: Filling) -> str:
    return f"{size(filling.used)} of {size(filling.capacity)}"


def size(count: int) -> str:
    """`512 kB`, `3.2 MB`, `4.0 GB`."""
    for unit, power in (("GB", 1e9), ("MB", 1e6)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count // 1000} kB"


def _span(seconds: float) -> str:
    """`40 min`, `7 h`, `3 days`."""
    if seconds < 2 * 3_600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3_600)} h" if seconds < 2 * 86_400 else f"{round(seconds / 86_400)} days"


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
