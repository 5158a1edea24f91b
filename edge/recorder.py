"""The one way in: observations are decided in order, committed together, and answered."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from edge.batches import Batch as Sample
from edge.committing import Committer, Lately, Span
from edge.contract import Ask
from edge.deciding import Decided, Decider, Tape, tell
from edge.errors import JournalError, NotRecorded
from edge.interruptions import Outage, Stragglers, first_seen
from edge.journal import Journal
from edge.observation import Observation, Outcome, Quality, Verdict
from edge.pending import Batch, CommitFirst, Entry, Held, Rest, answer, follows, refuse
from edge.production import Decision, Line
from edge.production.state import Row
from edge.telemetry import Telemetry
from edge.waiting import Item, Waiting, is_urgent
from edge.working import WorkingRows

log = logging.getLogger("lineside.recorder")

BOUNDARY_WAIT_S = 1.0
"""So long a scan waits for the counters to be read; then what straddles it is UNASSIGNED."""
REREAD_S = 0.15
BASELINES_S = 600.0
"""On an idle line the counters' baselines are written this often: a later gap begins no earlier."""
PROGRESS_S = 30.0
"""An idle line's acknowledgements are written this often; else they go with the next events."""

ResultT = TypeVar("ResultT")

Asker = Callable[[Iterable[str]], list[Ask]]
"""Asks the sources for a fresh read of these signals, and says which asks are under way."""


class Recorder:
    """Owns the working state; `run` is its only task."""

    def __init__(
        self, line: Line, journal: Journal, ask: Asker, tape: Tape | None = None,
        telemetry: Telemetry | None = None, first: Callable[[], Sequence[Observation]] = tuple,
    ) -> None:  # fmt: skip
        """`first` gives what is to be decided before anything that comes in later: the words of the clock."""
        self.line = line
        self.observations = 0
        self._journal = journal
        self._committer = Committer(journal, tape)
        self._ask = ask
        self.telemetry = telemetry or Telemetry((), "")
        self._rows = WorkingRows(journal)
        self._queue = Waiting()
        self.telemetry.on_waiting = self._queue.wake
        self._door = asyncio.Lock()
        self._behind: list[Rest] = []
        self._held: list[Held] = []
        self._progress_due = 0.0
        self._baselines_due = 0.0
        self._failing = False
        self._outage: Outage | None = None
        self._first = first
        self._words: dict[Entry, None] = {}
        self._stragglers = Stragglers()
        self._decider = Decider(line, self._rows, tape)
        self._listeners: set[asyncio.Event] = set()
        self._movers: list[Callable[[Sequence[Span]], None]] = []
        self._stopped = False

    # --- from outside -----------------------------------------------------------------------

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        """Answers when they are on disk. Raises NotRecorded. Cancelling does not withdraw them."""
        async with self._door:  # first come, first served: no reading overtakes one that waits
            while not self._queue.has_room and not self._stopped:
                await self._queue.room()
            if self._stopped:
                raise NotRecorded("the agent is stopping")
            entry = self._enter(observations)
        return await asyncio.shield(entry.done)

    def post(self, observations: Sequence[Observation]) -> None:
        """Hand over without waiting for the answer."""
        if not self._stopped:
            self._enter(observations)

    @property
    def head(self) -> int:
        """seq of the newest record on disk."""
        return self._committer.head

    @property
    def sendable(self) -> int:
        """seq of the newest event that may go out: what is stamped while the clock is in doubt waits."""
        held_from = self._journal.held_from
        return self.head if held_from is None else min(self.head, held_from - 1)

    def _enter(self, observations: Sequence[Observation]) -> Entry:
        if words := self._first():
            self._words[self._waits(words)] = None
        return self._waits(observations)

    def _waits(self, observations: Sequence[Observation]) -> Entry:
        entry = Entry(observations, asyncio.get_running_loop().create_future(), [None] * len(observations))
        self._queue.put(entry, urgent=any(is_urgent(one, self.line) for one in observations))
        return entry

    def note_progress(
        self, sink: str, ranges: Iterable[Span], recent: Iterable[Lately] | None = None
    ) -> None:
        """What a far end has acknowledged, and what of it lately; it is written with the next events."""
        self._committer.receipts.note(sink, ranges, recent)

    def note_rejected(self, sink: str, seq: int, reason: str) -> None:
        """What a far end will never take; it is written soon, for a person looks for it."""
        self._committer.receipts.rejected.append((sink, seq, reason))
        self._progress_due = 0.0
        self._queue.wake()

    def listen(self) -> asyncio.Event:
        """An event that is set after every commit; the listener clears it."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def on_moved(self, listener: Callable[[Sequence[Span]], None]) -> None:
        """Call this with the ranges of events that have got other owners, when that is on disk."""
        self._movers.append(listener)

    def unlisten(self, event: asyncio.Event) -> None:
        self._listeners.discard(event)

    # --- the task ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled. Raises JournalError when the journal cannot be trusted."""
        try:
            while not self._committer.cancelled:
                await self._record(await self._queue.gather(PROGRESS_S))
                await self._write_progress()
        finally:
            self._stopped = True
            self._queue.open()
            await self._drain()
        raise asyncio.CancelledError

    async def _drain(self) -> None:
        """Write what waits, then refuse the rest: nobody may wait for ever."""
        try:
            while self._queue:
                await self._record(self._queue.take())
            while self.telemetry.is_waiting and not self._failing:
                await self._record([])
            if self._committer.receipts.wait:
                await self._commit_alone()
        except (NotRecorded, JournalError) as error:
            log.error("%s", error)
        finally:
            for one in [*self._held, *self._behind, *self._queue]:
                refuse(one if isinstance(one, Entry) else one.entry, NotRecorded("the agent is stopping"))
            self._committer.close()

    async def _write_progress(self) -> None:
        """What far ends have acknowledged, where no event has taken it along for some time."""
        now = asyncio.get_running_loop().time()
        if not self._committer.receipts.wait:
            self._progress_due = now + PROGRESS_S
        if now < min(self._progress_due, self._baselines_due):
            return
        self._progress_due = now + PROGRESS_S
        try:
            baselines = now >= self._baselines_due
            if baselines:
                self._baselines_due = now + BASELINES_S
            await self._commit_alone(baselines)
        except NotRecorded as error:
            log.error("%s; events that were delivered may be sent again", error)

    async def _commit_alone(self, baselines: bool = False) -> None:
        """What maintenance has just changed must not be overwritten by what was noted before it."""
        async with self._committer.alone():
            await self._commit(Batch(), baselines)

    async def _record(self, taken: list[Item]) -> None:
        async with self._committer.alone():
            await self._record_alone(taken)

    async def _record_alone(self, taken: list[Item]) -> None:
        work = deque(taken)
        while True:
            batch = Batch(work)
            self._tell_outage(batch)
            self._decide_all(batch)
            recorded = await self._keep(batch)
            work = deque([*batch.again, *batch.work])
            if not work:
                return
            if not recorded:
                self._put_again(batch, work)
                return

    def _tell_outage(self, batch: Batch) -> None:
        """Before anything that may be recorded again: the counters were out of sight."""
        now = first_seen(batch.work)
        if self._outage is not None and now is not None:
            told = self._outage.told(now)
            self._accept(batch, told, self._decider.decide(batch, told))
            batch.outage = True

    def _put_again(self, batch: Batch, work: Iterable[Item]) -> None:
        """What was not decided yet waits on, but for what belongs to a refused entry."""
        for one in work:
            if (one if isinstance(one, Entry) else one.entry) not in batch.entries:
                self._queue.put(one, urgent=True)

    def _decide_all(self, batch: Batch) -> None:
        while batch.work and not batch.again:
            one = batch.work.popleft()
            if isinstance(one, Held):
                self._release(batch, one)
            elif isinstance(one, Rest):
                self._decide_from(batch, one.entry, one.index)
            else:
                self.observations += len(one.observations)
                self._decide_from(batch, one, 0)

    async def _keep(self, batch: Batch) -> bool:
        """Commit and answer. False where nothing of it was recorded."""
        try:
            rows, line = self._rows, self.line
            batch.telemetry = [(one, rows.context_at(one.station, line)) for one in self.telemetry.take()]
            if batch.events or batch.quarantined or batch.telemetry:
                await self._commit(batch)
            else:
                await self._committer.keep_tape()
        except (NotRecorded, JournalError) as error:
            self._give_up(batch, error)
            return False
        if batch.outage:
            self._outage = None
        for entry in batch.entries:
            self._words.pop(entry, None)
            answer(entry)
        return True

    def _give_up(self, batch: Batch, error: NotRecorded | JournalError) -> None:
        """Nothing of it was recorded. Raises JournalError when nothing ever will be."""
        self._rows.discard()
        self._stragglers.forget()
        self.telemetry.put_back([one for one, _ in batch.telemetry])
        self._committer.forget_tape()
        self._forget(batch, error)
        if isinstance(error, JournalError):
            raise error
        if not self._failing:
            log.error("%s; nothing is recorded until it can be; the counters keep the parts", error)
        self._failing = True
        self._outage = self._outage or Outage(first_seen(batch.entries), str(error))

    def _forget(self, batch: Batch, error: Exception) -> None:
        """Tell everybody in the batch that nothing of it was recorded."""
        for held in [one for one in self._held if one.entry in batch.entries]:
            held.decided = True
            self._held.remove(held)
        for rest in [one for one in self._behind if one.entry not in batch.entries]:
            self._queue.put(rest, urgent=True)
        self._behind.clear()
        for held, signal in batch.answers:
            held.fresh.remove(signal)  # it was read, but its baseline is the old one again
        for entry in reversed(batch.entries):
            if entry in self._words and not self._stopped:
                self._queue.put_first(entry)
            else:
                refuse(entry, error)

    async def _commit(self, batch: Batch, baselines: bool = False) -> None:
        rows = self._rows.changed() if batch.events or baselines else {}
        await self._committer.commit(batch, rows)
        self._committed(batch, rows)

    def _committed(self, batch: Batch, rows: Mapping[str, Row]) -> None:
        if batch.moves:
            for listener in self._movers:
                listener(self._journal.moved)
        if rows and not batch.events:
            self._rows.committed()
        if self._failing:
            self._failing = False
            log.warning("recording again; what was made meanwhile comes from the counters")
        if batch.events:
            for event, _ in batch.events:
                tell(event)
            self._rows.committed()
        if batch.telemetry:
            self._tell_missed(batch.telemetry[-1][0])
        if batch.events or batch.telemetry:
            for committed in self._listeners:
                committed.set()

    def _tell_missed(self, newest: Sample) -> None:
        """Telemetry is on disk again: what found no room meanwhile, or was not read, is an event."""
        if losses := self.telemetry.losses(newest):
            log.error("the journal took nothing for too long: telemetry was dropped, as its batches say")
        if told := [*losses, *self.telemetry.unread(newest)]:
            self._words[self._waits(told)] = None

    async def maintain(self, work: Callable[[Journal], ResultT]) -> ResultT:
        """Do something to the journal between two commits, in its thread; it must be short.

        Raises what the work raises, NotRecorded when the agent is stopping.
        """
        return await self._committer.maintain(work, lambda: self._stopped)

    # --- deciding ---------------------------------------------------------------------------

    def _decide_from(self, batch: Batch, entry: Entry, start: int) -> None:
        batch.entries[entry] = None
        for index in range(start, len(entry.observations)):
            observation = self._stragglers.corrected(entry.observations[index])
            if follows(observation, self.line, [*self._held, *self._behind]):
                self._behind.append(Rest(entry, index))
                return
            try:
                decided = self._decider.decide(batch, observation)
            except CommitFirst:
                batch.again.append(Rest(entry, index))
                return
            asked = self._asked(decided.decision, observation)
            if asked:
                self._hold(entry, index, asked)
            else:
                self._accept(batch, observation, decided)
                entry.outcomes[index] = decided.decision.outcome
            if self._held:
                self._answered(batch, observation, decided.decision)
            if batch.again and index + 1 < len(entry.observations):
                batch.again.append(Rest(entry, index + 1))
                return

    def _accept(self, batch: Batch, observation: Observation, decided: Decided) -> None:
        self._decider.accept(batch, observation, decided)
        if decided.decision.timing is not None:
            self._stragglers.decided(decided.decision.timing, observation)
        if decided.decision.reread:
            loop = asyncio.get_running_loop()
            loop.call_later(REREAD_S, self._ask, decided.decision.reread)

    # --- the boundary between two contexts ---------------------------------------------------

    def _asked(self, decision: Decision, observation: Observation) -> list[Ask]:
        """The reads that are under way for it; none when it can be decided as it is."""
        if not decision.boundary or observation.fresh is not None:
            return []
        return self._ask(decision.boundary)

    def _hold(self, entry: Entry, index: int, asks: list[Ask]) -> None:
        waiting = {signal for ask in asks for signal in ask.signals}
        held = Held(entry, index, frozenset(ask.number for ask in asks), waiting)
        self._held.append(held)
        asyncio.get_running_loop().call_later(BOUNDARY_WAIT_S, self._put_back, held)

    def _put_back(self, held: Held) -> None:
        if not held.decided:
            self._queue.put(held, urgent=True)

    def _answered(self, batch: Batch, observation: Observation, decision: Decision) -> None:
        """A reading that is not believed is looked at once more before the scan is decided with it."""
        signal, outcome = observation.signal, decision.outcome
        for held in [one for one in self._held if signal in one.waiting]:
            if signal not in held.doubted and observation.answers not in held.asks:
                continue
            if decision.doubted and not (signal in held.doubted and decision.reread):
                held.doubted.add(signal)
                continue
            held.waiting.discard(signal)
            if observation.quality is not Quality.BAD and outcome.verdict is Verdict.ACCEPTED:
                held.fresh.append(signal)
                batch.answers.append((held, signal))
            if not held.waiting:
                self._release(batch, held)

    def _release(self, batch: Batch, held: Held) -> None:
        """Decide a held scan: what was read since it came belongs to what was so before."""
        if held.decided:
            return
        seen = self._stragglers.corrected(held.entry.observations[held.index])
        observation = replace(seen, fresh=tuple(held.fresh))
        try:
            decided = self._decider.decide(batch, observation)
        except CommitFirst:
            batch.again.append(held)
            return
        held.decided = True
        self._held.remove(held)
        self._accept(batch, observation, decided)
        held.entry.outcomes[held.index] = decided.decision.outcome
        batch.entries[held.entry] = None
        batch.work.extendleft(reversed(self._behind))
        self._behind.clear()
