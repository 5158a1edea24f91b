"""What is settled between the journal and one far end: in memory, and noted for the next commit."""

import logging
from collections.abc import Iterable, Iterator

from edge.contract import Receipt
from edge.errors import NotRecorded
from edge.journal import Ranges
from edge.journal.recent import Recent
from edge.journal.sinks import SinkReader, mark_gone, pass_over
from edge.lately import Lately, both, without
from edge.recorder import Recorder

log = logging.getLogger("lineside.sink")

REDONE_S = 3_600.0
"""So long it is remembered what was sent once more under numbers that a mark may long have passed."""
MARK_GONE_S = 35 * 60.0
"""Where a mark has gone, what was acknowledged in so long a time is sent again: mosquitto saves every half
hour."""
RENEWED = 20
"""So many windows a record may be young again after its first acknowledgement, `RENEWED_S` at least."""
RENEWED_S = 300.0


class Settled:
    """Acknowledged, rejected for ever, or never to be sent; all else is pending.

    Times are seconds of the event loop's clock, which is that of the boot.
    """

    def __init__(
        self, name: str, window_s: float, reader: SinkReader, recorder: Recorder, boot: str, now_s: float,
        *, keeps_marks: bool,
    ) -> None:  # fmt: skip
        self._name = name
        self._reader = reader
        self._recorder = recorder
        self._boot = boot
        self._window_s = window_s
        self._void = Ranges(reader.never_given())
        """Numbers of no record: there is nothing to send, and nothing was left out."""
        known, strange = believed(reader.progress(name), recorder.head)
        self._ranges = Ranges([*known, *self._void])
        self.rejected = Ranges()
        self.rejected.add_all(seq for seq in reader.rejected_seqs(name) if seq in self._ranges)
        self.skipped = reader.skipped(name)
        self._reopened = Ranges()
        """While a write is under way: its receipt is of what was so before."""
        self._again = Ranges()
        """Settled once, and to be sent again."""
        self._moved = Ranges()
        """Of these, what means something else now."""
        self._redone = Lately(REDONE_S, int(REDONE_S / 10))
        self._lately = Lately(window_s, renewed_s=max(RENEWED * window_s, RENEWED_S))
        self._long = Lately(MARK_GONE_S, 35, 2 * MARK_GONE_S)
        """What goes with a mark, also of the time before the first one was found."""
        self._keeps_marks = keeps_marks
        """Then that is kept in the journal too."""
        self._load(reader.recent(name), now_s)
        if strange:
            words = "%s: the journal has it that records were delivered that there are not (%s); not believed"
            log.error(words, name, ", ".join(f"{first} to {last}" for first, last in strange[:3]))
            self._note()

    def _load(self, recent: Iterable[Recent], now_s: float) -> None:
        """The agent was away, the far end perhaps too; of another boot nobody knows how long ago it was."""
        for one in recent:
            at_s, begun_s = one.at_ms / 1000, one.begun_ms / 1000
            if one.boot != self._boot:
                at_s, begun_s = now_s, now_s - (at_s - begun_s)
            kept, wanted = (self._long, self._keeps_marks) if one.long else (self._lately, self._window_s)
            if wanted and 0 < one.first <= one.last <= self._recorder.head:
                kept.put_back(at_s, begun_s, one.first, one.last)
                if not self._keeps_marks:
                    self._long.put_back(at_s, begun_s, one.first, one.last)
                for first, last in self._ranges.missing(one.first, one.last):
                    self._again.add(first, last)

    def __len__(self) -> int:
        return len(self._ranges)

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        return self._ranges.missing(first, last)

    @property
    def delivered(self) -> int:
        return len(self._ranges) - len(self._void) - len(self.rejected) - self.skipped

    def writing(self) -> None:
        """A write begins."""
        self._reopened = Ranges()

    def take(self, receipt: Receipt, sent: set[int], now_s: float, late: Ranges) -> None:
        """What a write settles: what was not sent cannot be acknowledged, whatever the far end claims.

        `late`: numbers that marks have passed although they were missing.
        """
        for seq, reason in receipt.rejected.items():
            if seq in sent:
                self._recorder.note_rejected(self._name, seq, reason)
        settled = sent & {*receipt.acknowledged, *receipt.rejected}
        kept = [seq for seq in settled if seq not in self._reopened]
        self._ranges.add_all(kept)
        self.rejected.add_all(sent & receipt.rejected.keys())
        if settled:
            self._remember(kept, now_s, late)
        self._note()

    def _remember(self, seqs: list[int], now_s: float, late: Ranges) -> None:
        if self._moved or late:
            self._redone.add(now_s, [seq for seq in seqs if seq in self._moved or seq in late])
        self._redone.alive(now_s)
        if self._again or self._moved:
            done = Ranges()
            done.add_all(seqs)
            if moved := both(done, self._moved):
                self._lately.forget(moved)
                self._long.forget(moved)
            self._again, self._moved = without(self._again, done), without(self._moved, done)
        if self._window_s:
            self._lately.add(now_s, seqs)
            self._lately.alive(now_s, self._again)
        self._long.add(now_s, seqs)
        self._long.alive(now_s, self._again)

    def reopen(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are sent once more: their parts have another owner, or a person says so."""
        for first, last in ranges:
            self._ranges.remove(first, last)
            self.rejected.remove(first, last)
            self._reopened.add(first, last)
            self._moved.add(first, last)
        for first, last in self._void:
            self._ranges.add(first, last)
        self._note()

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are never sent; the disk knows it already. What it once had was not left out."""
        for first, last in ranges:
            again = len(both([(first, last)], self._again))
            before = len(self._ranges) - len(self.rejected)
            self._ranges.add(first, last)
            self.rejected.remove(first, last)
            self._again.remove(first, last)
            self.skipped += len(self._ranges) - len(self.rejected) - before - again
        self._note()

    # --- what the far end may have forgotten --------------------------------------------------

    def keep_long(self) -> None:
        """The far end keeps marks: should one be gone, more is sent again."""
        if not self._keeps_marks:
            self._keeps_marks = True
            self._note()

    def forget_after(self, seq: int, left_s: float) -> int:
        """The far end may have forgotten what came after its mark: how much that is.

        `left_s`: when that mark was left, as far as anybody remembers.
        """
        lost = self._redone.since(left_s)
        if seq < self._recorder.head:
            lost.add(seq + 1, self._recorder.head)
        return self._forget(lost)

    def forget_lately(self) -> int:
        """It may have forgotten what came lately: how much that is."""
        return self._forget(self._lately.since())

    async def forget_long(self) -> int:
        """Its mark has gone, and with it what was acknowledged in a longer time: how much that is."""
        lost = self._long.since()
        for first, last in self._lately.since():
            lost.add(first, last)
        self._keeps_marks = False
        count = self._forget(lost)
        acknowledged = list(iter(self._ranges))
        try:
            await self._recorder.maintain(lambda journal: mark_gone(journal, self._name, acknowledged))
        except NotRecorded as error:
            log.error("%s: %s; after a start of the agent it is sent once more", self._name, error)
        return count

    def _forget(self, lost: Ranges) -> int:
        for first, last in (*iter(self.rejected), *iter(self._void)):
            lost.remove(first, last)
        before = len(self._ranges)
        for first, last in both(lost, self._ranges):
            self._ranges.remove(first, last)
            self._again.add(first, last)
        self._note()
        return before - len(self._ranges)

    async def skip_absent(self, first: int, last: int) -> int:
        """What is not in the journal any more is never sent. Up to where it has looked."""
        absent, looked = self._reader.absent(first, last)
        counted = len(absent) - len(both(absent, self._again))
        if absent:
            try:
                await self._recorder.maintain(lambda journal: pass_over(journal, self._name, absent, counted))
            except NotRecorded:
                return looked  # it is found again
            for one in absent:
                self._ranges.add(*one)
                self._again.remove(*one)
            self.skipped += counted
            self._note()
        return looked

    def _note(self) -> None:
        rows = [(0, *row) for row in self._lately]
        if self._keeps_marks:
            rows += [(1, *row) for row in self._long]
        recent = [
            Recent(round(at_s * 1000), first, last, self._boot, round(begun_s * 1000), long)
            for long, at_s, begun_s, first, last in rows
        ]
        self._recorder.note_progress(self._name, self._ranges, recent)


def believed(
    rows: Iterable[tuple[int, int]], head: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Ranges as they lie in the journal, none beyond its head; and those that are strange."""
    known: list[tuple[int, int]] = []
    strange: list[tuple[int, int]] = []
    for first, last in rows:
        if not 0 < first <= last <= head:
            strange.append((first, last))
        if max(first, 1) <= min(last, head):
            known.append((max(first, 1), min(last, head)))
    return known, strange
