"""What devices are to hold of a station: a release, a hold, an order's number. See writing.md.

The production core knows nothing of it but the words that are recorded. What is wanted follows from what is
on disk; each write is recorded before the wire has it, read back, and its outcome recorded. The adapter that
owns the wire does it between its own requests: no read and no scan ever waits for it.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from msgspec.structs import replace

from edge.clock import Clock
from edge.config.writes import StationWrite, shown
from edge.contract import Ask, Done, DoneState, WriteAsk, WriteValue
from edge.errors import JournalError, NotRecorded
from edge.intake import SourceIntake
from edge.observation import WriteWord
from edge.production.orders import HELD, NOT_ALLOWED
from edge.production.state import WRITTEN, Job, Row, Station, Written, job_key, station_key

log = logging.getLogger("lineside.writing")

GATHER_S = 0.1
"""After a commit so long others are waited for, before what is wanted is looked at again."""
ANSWER_S = 15.0
"""So long a source may take to answer, beside what it may take to confirm."""
AGAIN_S = (5.0, 30.0, 300.0)
"""Pauses before the same value is written again."""
MOST_TRIES = 1 + len(AGAIN_S)
"""Writes of one value within `TRIES_MS`: then it is left alone, for somebody else may want another."""
TRIES_MS = 3_600_000
UNREADABLE_S = 60.0
"""Between two looks at a place that cannot be read."""
UNRECORDED_S = 1.0
MINUTE_S = 60.0

Rows = Callable[[str], Iterator[tuple[str, Row]]]
"""The core's rows whose key begins so, as they were last committed. Raises JournalError."""
Tell = Callable[[WriteWord], Awaitable[None]]
"""Returns when it is on disk. Raises NotRecorded."""

_numbers = itertools.count(1)

_LOST = "the connection was lost before the device answered: what it holds is looked at when it is back"
_SILENT = "no answer in time: what the device holds is looked at again"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things are waited for; in seconds."""

    answer_s: float = 15.0
    """A source's answer, beside what it may take to confirm."""
    again_s: tuple[float, ...] = (5.0, 30.0, 300.0)
    """Pauses before the same value is written again. One try more than these within an hour, and it is left
    alone: somebody else may want another value."""
    unreadable_s: float = 60.0
    """Between two looks at a place that cannot be read."""
    unrecorded_s: float = 1.0
    """Until the journal is asked again."""
    minute_s: float = 60.0
    """What `at_most` is counted in."""


PATIENCE = Patience()


def wanted(spec: StationWrite, row: Station, job: Job | None) -> WriteValue:
    """What the device is to hold; `job` is the one that was interrupted here."""
    if spec.what == "order":
        return spec.off if row.run is None or row.run.order is None else row.run.order
    if spec.what == "release":
        return spec.on if row.run is not None else spec.off
    is_held = job is not None and (job.substate == HELD or job.state == NOT_ALLOWED)
    return spec.on if row.run is None and is_held else spec.off


class Room:
    """So many writes in a minute and no more."""

    def __init__(self, at_most: int, minute_s: float) -> None:
        self._minute_s = minute_s
        self._times: deque[float] = deque(maxlen=at_most)

    def wait_s(self, now_s: float) -> float:
        """Until there is room; 0: there is."""
        full = len(self._times) == self._times.maxlen
        return max(0.0, self._times[0] + self._minute_s - now_s) if full else 0.0

    def take(self, now_s: float) -> None:
        self._times.append(now_s)


class Scribe:
    """One target: has it hold what is wanted, as far as that can be."""

    def __init__(
        self, spec: StationWrite, confirm: timedelta, intakes: Mapping[str, SourceIntake], clock: Clock,
        tell: Tell, patience: Patience = PATIENCE,
    ) -> None:  # fmt: skip
        self.spec = spec
        self._patience = patience
        self._answer_s = patience.answer_s + confirm.total_seconds()
        self._intakes = intakes
        self._clock = clock
        self._tell = tell
        self._word = WriteWord(spec.station, spec.what, spec.target, spec.place, "", "")
        self._wanted: WriteValue | None = None
        self._connections = 0
        self._settled: tuple[WriteValue, int] | None = None
        """There is nothing more to do about this value while this connection stands."""
        self._room = Room(spec.at_most, patience.minute_s)
        self._news = asyncio.Event()
        self._asked: asyncio.Future[Done | None] | None = None
        self._number = 0
        self.trouble = ""
        """Why the device does not hold what it should, as far as it is known."""

    def remember(self, word: WriteWord) -> None:
        """What was said of it before this start; of another place it means nothing."""
        if word.place == self.spec.place:
            self._word = word

    def want(self, value: WriteValue) -> None:
        if value != self._wanted:
            self._wanted = value
            self._news.set()

    def connected(self) -> None:
        """Nobody knows what the device holds now."""
        self._connections += 1
        self._news.set()

    def written(self, number: int, done: Done | None) -> None:
        """The source's answer; None: the connection is gone."""
        asked = self._asked
        if asked is not None and not asked.done() and (done is None or number == self._number):
            asked.set_result(done)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            pause_s = await self._settle()
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _settle(self) -> float | None:
        """Returns after how many seconds to try again; None: when there is news."""
        if self._wanted is None or self._intake() is None:
            return None
        aim = (self._wanted, self._connections)
        if aim == self._settled:
            return None
        self._settled = None
        pause_s = await self._have(self._wanted)
        if pause_s is None:
            self._settled = aim
        return pause_s

    async def _have(self, value: WriteValue) -> float | None:
        """Look, and write where it must be. None: it is so, or is left alone."""
        found = await self._ask(value, only_look=True)
        if found is None:
            return self._patience.again_s[0]
        if found.state is DoneState.THERE:
            await self._confirm(value, found, "it was there already")
            return None
        if found.state is DoneState.REFUSED:
            await self._say(value, "failed", found.found, found.detail)
            return self._patience.unreadable_s
        return await self._write(value, found)

    async def _write(self, value: WriteValue, found: Done) -> float | None:
        """Another value is there."""
        now_s = asyncio.get_running_loop().time()
        tries = self._tries(value)
        if tries > len(self._patience.again_s):
            await self._leave(value, found, tries)
            return None
        if wait_s := self._room.wait_s(now_s):
            await self._put_off(value, found)
            return wait_s
        if not await self._intend(value, found):
            return self._patience.unrecorded_s
        self._room.take(now_s)
        done = await self._ask(value, only_look=False)
        if done is not None and done.state is DoneState.THERE:
            await self._confirm(value, done)
            return None
        if done is None:
            await self._say(value, "unknown", "", _LOST if self._intake() is None else _SILENT)
        else:
            reads = f"it was written, and reads back {done.found}"
            await self._say(value, "failed", done.found, done.detail or reads)
        return self._patience.again_s[min(tries, len(self._patience.again_s) - 1)]

    async def _put_off(self, value: WriteValue, found: Done) -> None:
        """Said once, whatever the values are that come and go meanwhile."""
        if self._word.state != "put-off":
            words = (
                f"more than {self.spec.at_most} writes in a minute: the newest value goes when there is room"
            )
            await self._say(value, "put-off", found.found, words)

    async def _leave(self, value: WriteValue, found: Done, tries: int) -> None:
        """The device refuses it, loses it, or somebody else wants another value."""
        word = self._word
        if word.state != "left":
            other = f"the device holds {found.found or 'nothing'}: look who else writes it"
            why = word.detail if word.state in ("failed", "unknown") else other
            await self._say(value, "left", found.found, f"left alone after {tries} tries in an hour: {why}")

    async def _intend(self, value: WriteValue, found: Done) -> bool:
        """Have it on disk before the wire has it. False where it cannot be: then nothing is written."""
        tries, now_ms = self._tries(value), self._clock.wall_ms()
        since_ms = self._word.tried_ms if tries else now_ms
        return await self._recorded(value, "intended", found.found, "", tries + 1, since_ms)

    def _tries(self, value: WriteValue) -> int:
        """How often this value was written within the hour."""
        word, now_ms = self._word, self._clock.wall_ms()
        is_recent = abs(now_ms - word.tried_ms) < TRIES_MS
        return word.tries if word.value == shown(value) and is_recent else 0

    # --- what is said of it -----------------------------------------------------------------

    async def _confirm(self, value: WriteValue, done: Done, detail: str = "") -> None:
        """The device holds it."""
        if (self._word.value, self._word.state) == (shown(value), "confirmed"):
            detail = self._word.detail  # it was said so, and is so still
        await self._say(value, "confirmed", done.found, detail)

    async def _say(self, value: WriteValue, state: str, found: str, detail: str) -> None:
        """Once, also where the journal takes nothing for a while."""
        word = self._word
        self._log(value, state, detail)
        if (word.value, word.state, word.detail) == (shown(value), state, detail):
            return
        tries = self._tries(value)
        since_ms = word.tried_ms if tries else 0
        while True:
            if await self._recorded(value, state, found, detail, tries, since_ms):
                return
            await asyncio.sleep(self._patience.unrecorded_s)

    async def _recorded(
        self, value: WriteValue, state: str, found: str, detail: str, tries: int, since_ms: int
    ) -> bool:
        word = replace(
            self._word, value=shown(value), state=state, found=found, detail=detail, tries=tries,
            tried_ms=since_ms,
        )  # fmt: skip
        try:
            await self._tell(word)
        except NotRecorded as error:
            log.debug("%s: %s", self.spec.target, error)
            return False
        self._word = word
        return True

    def _log(self, value: WriteValue, state: str, detail: str) -> None:
        spec, is_well = self.spec, state == "confirmed"
        if is_well and self.trouble:
            log.warning("%s: %s holds what it should again: %s", spec.target, spec.place, shown(value))
        elif not is_well and not self.trouble:
            log.warning("%s: %s to %s: %s", spec.target, shown(value) or "nothing", spec.place, detail)
        self.trouble = "" if is_well else detail

    # --- the wire ---------------------------------------------------------------------------

    def _intake(self) -> SourceIntake | None:
        intake = self._intakes.get(self.spec.source)
        return intake if intake is not None and intake.is_connected else None

    async def _ask(self, value: WriteValue, *, only_look: bool) -> Done | None:
        """None where the connection is gone, or the source does not answer."""
        intake = self._intake()
        if intake is None:
            return None
        self._number = next(_numbers)
        self._asked = asyncio.get_running_loop().create_future()
        intake.put(Ask(self._number, write=WriteAsk(self.spec.target, value, only_look)))
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._asked
        except TimeoutError:
            return None
        finally:
            self._asked = None


class Writing:
    """All targets of a line. `run` is its only task."""

    def __init__(
        self, specs: Sequence[StationWrite], confirms: Mapping[str, timedelta],
        intakes: Mapping[str, SourceIntake], clock: Clock, tell: Tell, patience: Patience = PATIENCE,
    ) -> None:  # fmt: skip
        """`confirms` has by target how long its device may still show the value before."""
        self._scribes = [
            Scribe(spec, confirms[spec.target], intakes, clock, tell, patience) for spec in specs
        ]

    def unwritten(self) -> dict[str, str]:
        """By target, why its device does not hold what it should."""
        return {scribe.spec.target: scribe.trouble for scribe in self._scribes if scribe.trouble}

    def connected(self, source: str) -> None:
        for scribe in self._of(source):
            scribe.connected()

    def written(self, source: str, number: int, done: Done | None) -> None:
        for scribe in self._of(source):
            scribe.written(number, done)

    def _of(self, source: str) -> Iterator[Scribe]:
        return (scribe for scribe in self._scribes if scribe.spec.source == source)

    async def run(self, rows: Rows, committed: asyncio.Event) -> None:
        """Until cancelled; `committed` is set after every commit."""
        if not self._scribes:
            return
        self._remember(rows)
        async with asyncio.TaskGroup() as group:
            for scribe in self._scribes:
                group.create_task(scribe.run(), name=f"write[{scribe.spec.target}]")
            while True:
                committed.clear()
                self._look(rows)
                await committed.wait()
                await asyncio.sleep(GATHER_S)

    def _remember(self, rows: Rows) -> None:
        try:
            found = {row.word.target: row.word for _, row in rows(WRITTEN) if isinstance(row, Written)}
        except JournalError as error:
            log.warning("what was written before this start cannot be told: %s", error)
            return
        for scribe in self._scribes:
            if (word := found.get(scribe.spec.target)) is not None:
                scribe.remember(word)

    def _look(self, rows: Rows) -> None:
        """What every target is to hold by what is on disk."""
        try:
            for scribe in self._scribes:
                scribe.want(_wanted_now(scribe.spec, rows))
        except JournalError as error:  # the next commit brings another look
            log.debug("what is to be written cannot be told: %s", error)


def _wanted_now(spec: StationWrite, rows: Rows) -> WriteValue:
    key = station_key(spec.station)
    row = dict(rows(key)).get(key)
    row = row if isinstance(row, Station) else Station()
    if spec.what != "hold" or row.last_job is None:
        return wanted(spec, row, None)
    key = job_key(*row.last_job)
    job = dict(rows(key)).get(key)
    return wanted(spec, row, job if isinstance(job, Job) else None)
