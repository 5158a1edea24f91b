"""One value that a device is to hold: looked for, written, confirmed, and tried again with patience. See
writing.md.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from msgspec.structs import replace

from edge.clock import Clock
from edge.config.writes import StationWrite, shown
from edge.contract import Ask, Done, DoneState, WriteAsk, WriteValue
from edge.errors import JournalError, NotRecorded
from edge.intake import SourceIntake
from edge.observation import WriteWord

log = logging.getLogger("lineside.writing")

Wanted = Callable[[], WriteValue]
"""What is to be held by what is on disk now. Raises JournalError."""
Tell = Callable[[WriteWord], Awaitable[None]]
"""Returns when it is on disk. Raises NotRecorded."""

_numbers = itertools.count(1)

_LOST = "the connection was lost before the device answered: what it holds is looked at when it is back"
_SILENT = "no answer in time: what the device holds is looked at again"
_AT_ONCE_S = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things are waited for; in seconds."""

    answer_s: float = 15.0
    """A source's answer, beside what it may take to confirm."""
    again_s: tuple[float, ...] = (5.0, 30.0, 300.0)
    """Pauses before the same value is written again. One try more than these within an hour, and it is left
    alone until the hour is over: somebody else may want another value."""
    hour_s: float = 3_600.0
    """What the tries are counted in."""
    unreadable_s: float = 15.0
    """Between two looks at a place that cannot be read."""
    unrecorded_s: float = 1.0
    """Until the journal is asked again."""
    minute_s: float = 60.0
    """What `at_most` is counted in."""


PATIENCE = Patience()


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
        self._on_disk: Wanted | None = None
        self._word = WriteWord(spec.station, spec.what, spec.target, spec.place, "", "")
        self._wanted: WriteValue | None = None
        self._connections = 0
        self._occasions = 0
        """How often nobody knew any more what the device holds."""
        self._confirmed_on = 0
        """The connection on which it was read back last, or found."""
        self._settled: tuple[WriteValue, int] | None = None
        """There is nothing more to do about this value until the next occasion."""
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

    def follow(self, on_disk: Wanted) -> None:
        """What is wanted is what this says. Raises JournalError."""
        self._on_disk = on_disk
        self.want(on_disk())

    def want(self, value: WriteValue) -> None:
        if value != self._wanted:
            self._wanted = value
            self._news.set()

    def connected(self) -> None:
        """Nobody knows what the device holds now."""
        self._connections += 1
        self.renewed()

    def renewed(self) -> None:
        """The connection stands, and the device may have lost all the same what it held."""
        self._occasions += 1
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
        aim = (self._wanted, self._occasions)
        if aim == self._settled:
            return None
        self._settled = None
        pause_s = await self._have(self._wanted)
        if pause_s is None:
            self._settled = aim
        return pause_s

    def _is_wanted(self, value: WriteValue) -> bool:
        """By what is on disk now: a look, an intention and a wire take their time."""
        if self._on_disk is not None:
            try:
                self.want(self._on_disk())
            except JournalError as error:
                log.debug("%s: what is to be written cannot be told: %s", self.spec.target, error)
        return self._wanted == value

    async def _have(self, value: WriteValue) -> float | None:
        """Look, and write where it must be. None: it is so."""
        found = await self._ask(value, only_look=True)
        if not self._is_wanted(value):
            return _AT_ONCE_S
        if found is None:
            return self._patience.again_s[0]
        if found.state is DoneState.THERE:
            self._forgive(value)
            await self._confirm(value, found, "it was there already")
            return None
        if found.state is DoneState.OTHER:
            return await self._write(value, found)
        state = "unknown" if found.state is DoneState.SILENT else "failed"
        await self._say(value, state, found.found, self._advised(value, found))
        return self._patience.unreadable_s

    async def _write(self, value: WriteValue, found: Done) -> float | None:
        """Another value is there."""
        now_s = asyncio.get_running_loop().time()
        tries = self._tries(value)
        if tries > len(self._patience.again_s):
            return await self._leave(value, found, tries)
        if wait_s := self._room.wait_s(now_s):
            await self._put_off(value, found)
            return wait_s
        if not await self._intend(value, found):
            return self._patience.unrecorded_s
        self._room.take(now_s)
        done = await self._ask(value, only_look=False)
        if done is not None and done.state is DoneState.STALE:
            return await self._drop(value, found, done.detail, tries)
        if done is not None and done.state is DoneState.THERE:
            await self._confirm(value, done)
            return None
        await self._miss(value, done)
        return self._patience.again_s[min(tries, len(self._patience.again_s) - 1)]

    async def _miss(self, value: WriteValue, done: Done | None) -> None:
        """It was written, and is not confirmed."""
        if done is None:
            await self._say(value, "unknown", None, _LOST if self._intake() is None else _SILENT)
        elif done.state is DoneState.SILENT:
            await self._say(value, "unknown", None, done.detail)
        else:
            reads = f"it was written, and reads back {done.found or 'an empty text'}"
            await self._say(value, "failed", done.found, self._advised(value, done) or reads)

    async def _drop(self, value: WriteValue, found: Done, why: str, tries: int) -> float:
        """Another value is wanted by now: this was no try."""
        since_ms = self._word.tried_ms if tries else 0
        await self._recorded(value, "dropped", found.found, why, tries, since_ms)
        return _AT_ONCE_S

    async def _put_off(self, value: WriteValue, found: Done) -> None:
        """Said once, whatever the values are that come and go meanwhile."""
        if self._word.state != "put-off":
            words = (
                f"more than {self.spec.at_most} writes in a minute: the newest value goes when there is room"
            )
            await self._say(value, "put-off", found.found, words)

    async def _leave(self, value: WriteValue, found: Done, tries: int) -> float:
        """The device refuses it, loses it, or somebody else wants another value: wait until the hour is
        over."""
        word = self._word
        if word.state == "left":
            self._log(value, "left", word.detail)  # as it may have been before this start
        else:
            held = "nothing" if found.found is None else found.found or "an empty text"
            lost = f"the device lost it while the connection stood, and holds {held}: look who else writes it"
            why = lost if word.state == "confirmed" else word.detail or "nobody confirmed it"
            await self._say(value, "left", found.found, f"left alone for an hour after {tries} tries: {why}")
        since_s = (self._clock.wall_ms() - self._word.tried_ms) / 1000
        return min(max(self._patience.hour_s - since_s, self._patience.unrecorded_s), self._patience.hour_s)

    async def _intend(self, value: WriteValue, found: Done) -> bool:
        """Have it on disk before the wire has it. False where it cannot be: then nothing is written."""
        word, tries = self._word, self._tries(value)
        since_ms = word.tried_ms if tries else self._clock.wall_ms()
        is_same, detail = word.value == shown(value), ""
        if is_same and word.state == "left":
            tries = len(self._patience.again_s)  # one try in each further hour
        if is_same and word.state == "confirmed":
            detail = "the device had lost it"
            log.warning("%s: %s has lost %s: it is written again", word.target, word.place, word.value)
        return await self._recorded(value, "intended", found.found, detail, tries + 1, since_ms)

    def _tries(self, value: WriteValue) -> int:
        """How often this value was written in vain within the hour. What was confirmed and is lost is in vain
        while the connection stands; with a new one the device was off, or began anew."""
        word, since_ms = self._word, abs(self._clock.wall_ms() - self._word.tried_ms)
        if word.value != shown(value) or since_ms >= self._patience.hour_s * 1000:
            return 0
        return 0 if word.state == "confirmed" and self._confirmed_on != self._connections else word.tries

    def _forgive(self, value: WriteValue) -> None:
        """What it still holds on a new connection it has kept."""
        if self._tries(value) == 0:
            self._word = replace(self._word, tries=0)

    # --- what is said of it -----------------------------------------------------------------

    async def _confirm(self, value: WriteValue, done: Done, detail: str = "") -> None:
        """The device holds it."""
        self._confirmed_on = self._connections
        if (self._word.value, self._word.state) == (shown(value), "confirmed"):
            detail = self._word.detail  # it was said so, and is so still
        await self._say(value, "confirmed", done.found, detail)

    async def _say(self, value: WriteValue, state: str, found: str | None, detail: str) -> None:
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
        self, value: WriteValue, state: str, found: str | None, detail: str, tries: int, since_ms: int
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
        named = shown(value) or "an empty text"
        if is_well and self.trouble:
            log.warning("%s: %s holds what it should again: %s", spec.target, spec.place, named)
        elif not is_well and not self.trouble:
            log.warning("%s: %s does not hold %s: %s", spec.target, spec.place, named, detail)
        self.trouble = "" if is_well else detail

    def _advised(self, value: WriteValue, done: Done) -> str:
        """With the key that says otherwise, where the value is none that fits there."""
        if done.state is not DoneState.UNFIT:
            return done.detail
        keys = "on and off say what is written, as in on = 1, off = 0"
        if self.spec.what == "order":
            keys = "an order's number that is not digits alone needs a place that holds a text"
            if value == self.spec.off:
                keys = "the key none says what is written where no order runs, as in none = 0"
        return f"{done.detail}; {keys}"

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
        asked: asyncio.Future[Done | None] = asyncio.get_running_loop().create_future()
        self._asked = asked

        def is_wanted() -> bool:
            return self._asked is asked and self._is_wanted(value)

        intake.put(Ask(self._number, write=WriteAsk(self.spec.target, value, only_look, is_wanted)))
        try:
            async with asyncio.timeout(self._answer_s):
                return await asked
        except TimeoutError:
            return None
        finally:
            self._asked = None
