"""From the journal to one far end: live first, the backlog beside it, until all is acknowledged."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from edge.contract import Receipt, Record, Sink, SinkSettings
from edge.errors import SinkError, SinkLost
from edge.journal import JournalReader, Ranges
from edge.recorder import Recorder

log = logging.getLogger("lineside.sink")

FIRST_S = 0.5
LONGEST_S = 15.0
"""Between two tries; jitter takes up to half of it away."""

Connect = Callable[[], AbstractAsyncContextManager[Sink]]
States = Callable[[], Mapping[str, bytes]]


@dataclass(slots=True)
class Progress:
    """How a sink is, for people."""

    delivered: int
    """Events that the far end has acknowledged, ever."""
    rejected: int = 0
    """Events that it will never take."""
    state: str = "connecting"
    reason: str = ""
    """The last error, while it lasts."""


class Delivery:
    """One sink. What is acknowledged is kept in ranges of seq; the rest is the backlog."""

    def __init__(
        self, name: str, settings: SinkSettings, reader: JournalReader, recorder: Recorder, states: States
    ) -> None:
        self.name = name
        self._settings = settings
        self._reader = reader
        self._recorder = recorder
        self._states = states
        self._shown: Mapping[str, bytes] = {}
        self._acknowledged = Ranges(reader.progress(name))
        self._live = 1
        """The first seq of the live lane; what is missing below it is backlog."""
        self._booked = asyncio.Event()
        self._reopened = Ranges()
        """What has got another owner while a write was under way: its receipt is of the old one."""
        recorder.on_moved(self._reopen)
        rejected = reader.rejected().get(name, 0)
        self.progress = Progress(len(self._acknowledged) - rejected, rejected)

    @property
    def pending(self) -> int:
        """Events on disk that the far end has not acknowledged."""
        return self._recorder.head - len(self._acknowledged)

    async def caught_up(self) -> None:
        """Wait until nothing is pending, as long as the far end is there."""
        while self.pending and self.progress.state == "connected":
            self._booked.clear()
            await self._booked.wait()

    async def run(self, connect: Connect) -> None:
        """Deliver until cancelled; a far end that is away or says no is tried again."""
        pause_s = FIRST_S
        while True:
            before = len(self._acknowledged)
            try:
                async with connect() as sink:
                    await self._serve(sink)
            except SinkError as error:
                self._tell_lost(error)
            except Exception as error:  # a bug in one sink must not stop the counting
                log.exception("%s: a bug in its adapter; tried again later", self.name)
                self._tell_lost(SinkLost(self.name, f"{type(error).__name__}: {error}"))
            pause_s = FIRST_S if len(self._acknowledged) > before else min(pause_s * 2, LONGEST_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311

    async def _serve(self, sink: Sink) -> None:
        self._shown = self._states()
        await sink.show(self._shown)
        self._live = self._recorder.head + 1
        if not self.pending:
            self._tell_back()
        committed = self._recorder.listen()
        try:
            while True:
                committed.clear()
                if not (await self._live_lane(sink) | await self._backlog_lane(sink)):
                    await committed.wait()
                    await asyncio.sleep(self._settings.linger.total_seconds())
        finally:
            self._recorder.unlisten(committed)

    async def _live_lane(self, sink: Sink) -> bool:
        """Send what is new. True when there was something."""
        head = self._recorder.head
        if self._live > head:
            return False
        records = self._reader.records(self._live, head, self._settings.batch)
        self._live = records[-1].seq + 1
        await self._write(sink, records)
        states = self._states()
        changed = {key: state for key, state in states.items() if self._shown.get(key) != state}
        if changed:
            await sink.show(changed)
            self._shown = states
        return True

    async def _backlog_lane(self, sink: Sink) -> bool:
        """Send the oldest that is missing. True when there was something."""
        missing = next(self._acknowledged.missing(1, self._live - 1), None)
        if missing is None:
            return False
        await self._write(sink, self._reader.records(*missing, self._settings.batch))
        return True

    async def _write(self, sink: Sink, records: Sequence[Record]) -> None:
        self._reopened = Ranges()
        receipt = await sink.write(records)
        if not self._book(receipt, {record.seq for record in records}):
            raise SinkLost(self.name, "the far end acknowledged nothing of a whole write")

    def _reopen(self, moved: Sequence[tuple[int, int]]) -> None:
        """Events whose parts have another owner now are sent once more."""
        for first, last in moved:
            self._acknowledged.remove(first, last)
            self._reopened.add(first, last)
        self._recorder.note_progress(self.name, self._acknowledged)

    def _book(self, receipt: Receipt, sent: set[int]) -> bool:
        """False where it settles nothing: what was not sent cannot be acknowledged, whatever it claims."""
        for seq, reason in receipt.rejected.items():
            self._recorder.note_rejected(self.name, seq, reason)
        if receipt.rejected:
            first, reason = next(iter(receipt.rejected.items()))
            words = "%s: %d events will never be taken, the first of them %d: %s"
            log.error(words, self.name, len(receipt.rejected), first, reason)
        settled = sent & {*receipt.acknowledged, *receipt.rejected}
        if settled:
            self._tell_back()
        self._acknowledged.add_all(seq for seq in settled if seq not in self._reopened)
        self.progress.rejected += len(sent & receipt.rejected.keys())
        self._recorder.note_progress(self.name, self._acknowledged)
        self.progress.delivered = len(self._acknowledged) - self.progress.rejected
        self._booked.set()
        return bool(settled)

    def _tell_back(self) -> None:
        """It is back when it has taken something, not when a connection stands."""
        if self.progress.state == "lost":
            log.warning("%s: back, %d events to deliver", self.name, self.pending)
        self.progress.state, self.progress.reason = "connected", ""

    def _tell_lost(self, error: SinkError) -> None:
        if self.progress.state != "lost" or self.progress.reason != error.reason:
            log.warning("%s: not delivering, nothing is lost: %s", self.name, error.reason)
        self.progress.state, self.progress.reason = "lost", error.reason
        self._booked.set()
