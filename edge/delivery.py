"""From the journal to one far end: live first, the backlog beside it, until all is acknowledged."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from math import inf

from edge.clock import Clock, SystemClock
from edge.contract import TELEMETRY, Receipt, Record, Sink, SinkSettings
from edge.errors import JournalError, SinkError, SinkLost, SinkRefused
from edge.journal import Ranges
from edge.journal.sinks import SinkReader
from edge.marks import Marks
from edge.observation import AGENT, Observation
from edge.pace import Backoff
from edge.recorder import Recorder
from edge.refusals import Refusals
from edge.searching import Search, damage, reason_of
from edge.settled import Settled
from edge.showing import DENIED_S, Showing, States
from edge.standing import Standing
from edge.status import SinkStatus

log = logging.getLogger("lineside.sink")

MARK_S = 10.0
"""Between two marks at the far end while it has something to acknowledge."""
QUIET_S = 1.0
"""With nothing left to send for so long, a mark is left at once."""
AGAIN_S = 1.0
"""What could not be sent yet is looked at again so often."""
UNWATCHED_S = 10.0
"""A far end that is left alone for longer after it said no may have been killed meanwhile."""

PROOFS = 5
"""So often it is asked for a mark that was just left: it may be slow, or never let it be read."""

Connect = Callable[[], AbstractAsyncContextManager[Sink]]


class Delivery:
    """One sink. What is settled is kept in ranges of seq; the rest is to be sent."""

    def __init__(
        self, name: str, settings: SinkSettings, reader: SinkReader, recorder: Recorder, states: States,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._settings = settings
        self._reader = reader
        self._recorder = recorder
        self._showing = Showing(name, states)
        self._clock = clock or SystemClock()
        self._now = asyncio.get_running_loop().time
        self._marks = Marks(name, reader, recorder, self._clock)
        self._settled = Settled(
            name, settings.replay.total_seconds(), reader, recorder, self._clock.boot, self._now(),
            keeps_marks=self._marks.since is not None,
        )  # fmt: skip
        self._standing = Standing(name, reader, recorder, self._settled, self._clock)
        self._refusals = Refusals()
        self._denied_s = -inf
        """When what is denied may be tried again."""
        self._search = Search(name)
        self._live = 1
        """The first seq of the live lane; what is missing below it is backlog."""
        self._cursor = 1
        """Where the backlog lane goes on: beyond what is there and cannot be sent yet."""
        self._backlog_s = -inf
        """When the backlog lane may send again, by its rate."""
        self._doubt = True
        """Whether the far end may have forgotten something since it acknowledged it."""
        self._taken = 0
        self._acked_s = self._marked_s = -inf
        self._unmarked = False
        """Something was acknowledged since the last mark."""
        self._proofs = 0
        """So often it may still be asked if it keeps marks; none where that is known."""
        self._booked = asyncio.Event()
        self._committed = asyncio.Event()
        """There may be something to send; while a connection stands, every commit sets it."""
        recorder.on_moved(self.reopen)

    @property
    def pending(self) -> int:
        """Records on disk that are not settled with the far end."""
        return self._standing.pending

    @property
    def state(self) -> str:
        """`connecting`, `connected`, `lost` or `refused`."""
        return self._standing.state

    @property
    def reason(self) -> str:
        """The last error, while it lasts."""
        return self._standing.reason

    def reopen(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are sent once more, whatever was acknowledged; the disk knows it already."""
        ranges = list(ranges)
        self._settled.reopen(ranges)
        self._refusals.forget(ranges)
        self._cursor = 1
        self._committed.set()

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are never sent; the disk knows it already."""
        ranges = list(ranges)
        self._settled.drop(ranges)
        self._refusals.forget(ranges)
        self._booked.set()

    async def caught_up(self) -> None:
        """Wait until nothing is pending that may be sent, as long as the far end is there."""
        while self._missing() is not None and self.state == "connected":
            self._booked.clear()
            await self._booked.wait()

    def _missing(self) -> tuple[int, int] | None:
        """The oldest range that may be sent and is not settled, nor denied."""
        return self._first_missing(1, self._recorder.sendable)

    def _first_missing(self, first: int, last: int) -> tuple[int, int] | None:
        for missing in self._settled.missing(first, last):
            for one in self._refusals.seqs.missing(*missing):
                return one
        return None

    async def run(self, connect: Connect) -> None:
        """Deliver until cancelled; a far end that is away or says no is tried again."""
        backoff = Backoff(random.uniform)
        while True:
            before = self._taken
            error = await self._attempt(connect)
            pause_s = backoff.pause_s(error, progress=self._taken > before)
            self._tell_lost(error, pause_s)
            await asyncio.sleep(pause_s)

    async def _attempt(self, connect: Connect) -> SinkError:
        """One connection, to its end."""
        try:
            async with connect() as sink:
                await self._serve(sink)
        except SinkError as error:
            return error
        except JournalError as error:
            return SinkLost(self.name, f"what is to be sent cannot be read: {error}")
        except Exception as error:  # a bug in one sink must not stop the counting
            log.exception("%s: a bug in its adapter; tried again later", self.name)
            return SinkLost(self.name, reason_of(error))
        return SinkLost(self.name, "its adapter has ended")

    async def _serve(self, sink: Sink) -> None:
        await self._replay(sink)
        await self._showing.begin(sink, self._now())
        self._live = self._recorder.sendable + 1
        self._cursor = 1
        if self._missing() is None:
            self._tell_back()
        self._committed = self._recorder.listen()
        try:
            while True:
                self._committed.clear()
                sent = await self._live_lane(sink)
                sent = await self._backlog_lane(sink) or sent
                sent = await self._denied_lane(sink) or sent
                await self._leave_mark(sink)
                if not sent:
                    await self._rest()
        finally:
            self._recorder.unlisten(self._committed)

    async def _rest(self) -> None:
        """Until there is something to do; what was just committed waits for company."""
        now = self._now()
        due = [self._mark_due()]
        if self._in_arrears():
            due.append(max(self._backlog_s, now))
        if self._refusals:
            due.append(self._denied_s)
        pause_s = min(due) - now
        try:
            async with asyncio.timeout(max(pause_s, 0)):
                await self._committed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._settings.linger.total_seconds())

    def _in_arrears(self) -> bool:
        return self._cursor > 1 or self._first_of_backlog() is not None

    # --- the lanes ----------------------------------------------------------------------------

    async def _live_lane(self, sink: Sink) -> bool:
        """Send what is new. True when there was something."""
        sendable = self._recorder.sendable
        if self._live > sendable:
            return False
        records, looked = self._read(self._live, sendable, self._settings.batch)
        self._live = (records[-1].seq if records else looked) + 1
        if not records:
            return looked < sendable
        await self._write(sink, records)
        if any(one.type != TELEMETRY for one in records):  # samples change no state
            await self._showing.go_on(sink, self._now())
        return True

    def _read(self, first: int, last: int, limit: int) -> tuple[Sequence[Record], int]:
        """Records of a range, and up to where it has looked. What cannot be read goes into quarantine."""
        records, bad, looked = self._search.read(self._reader, first, last, limit)
        self._reject(bad)
        return records, looked

    def _reject(self, bad: dict[int, str]) -> None:
        if bad:
            self._settled.writing()
            self._book(Receipt([], bad), set(bad))

    def _first_of_backlog(self) -> tuple[int, int] | None:
        return self._first_missing(self._cursor, self._live - 1)

    async def _backlog_lane(self, sink: Sink) -> bool:
        """Send the oldest that is missing, at its rate. True when there was something."""
        now = self._now()
        if now < self._backlog_s:
            return False
        missing = self._first_of_backlog()
        if missing is None:
            if self._cursor > 1:
                self._cursor, self._backlog_s = 1, now + AGAIN_S
            return False
        first, last = missing
        if self._refusals:
            self._cursor = first  # what lies below is denied, and need not be looked through again
        rate = self._settings.backlog_rate
        records, last = self._read(first, last, min(self._settings.batch, rate))
        if len(records) < last - first + 1:
            await self._skip_absent(first, last, records)
        if records:
            self._backlog_s = max(now, self._backlog_s) + len(records) / rate
            await self._write(sink, records)
        return True

    async def _skip_absent(self, first: int, last: int, records: Sequence[Record]) -> None:
        """What is no longer kept is no hole: what lies before and between these, or all of an empty range."""
        if not records:
            self._cursor = await self._settled.skip_absent(first, last) + 1
            return
        for record in records:
            if record.seq > first:
                await self._settled.skip_absent(first, record.seq - 1)
            first = record.seq + 1

    async def _denied_lane(self, sink: Sink) -> bool:
        """Try one of each kind that is denied, all together. True when there was something."""
        now = self._now()
        if not self._refusals or now < self._denied_s:
            return False
        self._denied_s = now + DENIED_S
        records: list[Record] = []
        for seq in self._refusals.oldest()[: self._settings.batch]:
            if found := self._read(seq, seq, 1)[0]:
                records += found
            else:  # it is no longer kept, or not to be read
                self._refusals.forget([(seq, seq)])
                self._cursor = 1
        if records:
            await self._write(sink, records)
        return True

    async def _write(self, sink: Sink, records: Sequence[Record]) -> None:
        bad = {one.seq: why for one in records if (why := damage(one))}
        self._reject(bad)
        if bad and not (records := [one for one in records if one.seq not in bad]):
            return
        self._settled.writing()
        receipt = await self._search.write(sink, records, self._taken)
        sent = {record.seq for record in records}
        settled = sent & {*receipt.acknowledged, *receipt.rejected}
        late, denied_before = Ranges(iter(self._refusals.seqs)), len(self._refusals)
        for reason in self._refusals.take(records, receipt):
            log.error("%s: denied, nothing is lost, see to it: %s", self.name, reason)
        if not denied_before:
            self._denied_s = self._now() + DENIED_S
        elif len(self._refusals) < denied_before:
            self._cursor = 1
        if settled or sent & receipt.refused.keys():
            self._tell_back()
        self._book(receipt, sent, late)
        if not settled and not sent & receipt.refused.keys():
            raise SinkLost(self.name, "the far end acknowledged nothing of a whole write")

    def _book(self, receipt: Receipt, sent: set[int], late: Ranges | None = None) -> None:
        now = self._now()
        if receipt.rejected:
            first, reason = next(iter(receipt.rejected.items()))
            words = "%s: %d events will never be taken, the first of them %d: %s"
            log.error(words, self.name, len(receipt.rejected), first, reason)
        self._settled.take(receipt, sent, now, late or Ranges())
        self._booked.set()
        if settled := len(sent & {*receipt.acknowledged, *receipt.rejected}):
            self._taken += settled
            self._standing.rate.add(now, settled)
            self._acked_s, self._unmarked = now, True

    # --- what the far end may have forgotten --------------------------------------------------

    async def _replay(self, sink: Sink) -> None:
        """After it was away, ask what it still has; what it may have lost becomes backlog."""
        if not self._doubt:
            return
        marks, mark = self._marks, await sink.kept()
        if mark is not None and not marks.believes(mark):
            words = "%s: the mark at the far end, of event %d, is of another journal, or forged; not believed"
            log.warning(words, self.name, mark.seq)
            mark = None
        self._proofs = PROOFS if mark is None else 0
        if mark is not None:
            count = self._settled.forget_after(mark.seq, marks.left_s(mark.seq))
            await self._keeps_marks()
        elif marks.since is not None:
            count = 0  # it says so itself
            await self._mark_gone()
        else:
            count = self._settled.forget_lately()
        self._doubt = False
        self._marked_s = self._now()
        if count:
            words = "%s: may have forgotten the last %d events that it had acknowledged; they are sent again"
            log.info(words, self.name, count)

    async def _keeps_marks(self) -> None:
        """A mark that was left has been found."""
        self._proofs = 0
        self._settled.keep_long()
        await self._marks.found(self._now())

    async def _mark_gone(self) -> None:
        """The far end has forgotten what it had confirmed and kept."""
        count = await self._settled.forget_long()
        if (missed := self._marks.gone(self._now(), count)) is not None:
            wall_ms, clock = self._clock.wall_ms(), self._clock
            self._recorder.post([Observation(
                AGENT, missed, wall_ms, wall_ms, clock.mono_ms(), clock.boot, synced=clock.synced()
            )])  # fmt: skip

    async def _leave_mark(self, sink: Sink) -> None:
        now = self._now()
        if now < self._mark_due():
            return
        if mark := self._marks.of(self._whole()):
            await sink.mark(mark)
            self._marks.leave(mark.seq, now)
            if self._proofs:
                self._proofs -= 1
                kept = await sink.kept()
                if kept is not None and self._marks.believes(kept):
                    await self._keeps_marks()
        self._marked_s, self._unmarked = now, False

    def _whole(self) -> int:
        """All up to this one is settled, but for what is denied."""
        head = self._recorder.head
        return (self._first_missing(1, head) or (head + 1, 0))[0] - 1

    def _mark_due(self) -> float:
        """When the next one is left. One that says nothing new shows whether anybody is there: a far end that
        is back on an idle line is greeted soon."""
        if self._unmarked:
            quiet = self._missing() is None
            return min(self._marked_s + MARK_S, self._acked_s + QUIET_S if quiet else inf)
        return self._marked_s + MARK_S

    # --- how it is ----------------------------------------------------------------------------

    def _tell_back(self) -> None:
        """It is back when it has taken something, not when a connection stands."""
        self._standing.back(self._refusals.words(), self._showing.denied)
        if self.reason:
            self._booked.set()

    def _tell_lost(self, error: SinkError, pause_s: float) -> None:
        self._standing.gone(error)
        answered = isinstance(error, SinkRefused) or (isinstance(error, SinkLost) and error.alive)
        self._doubt = self._doubt or not answered or pause_s > UNWATCHED_S
        self._booked.set()

    def status(self, doubt: str = "") -> SinkStatus:
        """How it is, for people. `doubt`: why the clock is not believed, where it is not."""
        return self._standing.status(self._live, self._now(), doubt)
