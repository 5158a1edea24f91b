"""What is settled between the journal and one far end: in memory, and noted for the next commit."""

from collections.abc import Iterable, Iterator

from edge.contract import Mark, Receipt
from edge.errors import NotRecorded
from edge.journal import Ranges
from edge.journal.sinks import Recent, SinkReader, pass_over
from edge.lately import Lately
from edge.recorder import Recorder

REDONE_S = 3_600.0
"""So long it is remembered what was sent once more under numbers that a mark may long have passed."""


class Settled:
    """Acknowledged, rejected for ever, or never to be sent; all else is pending.

    Times are seconds of the event loop's clock, which is that of the boot.
    """

    def __init__(
        self, name: str, window_s: float, reader: SinkReader, recorder: Recorder, boot: str, now_s: float
    ) -> None:
        self._name = name
        self._reader = reader
        self._recorder = recorder
        self._boot = boot
        self._window_s = window_s
        self._ranges = Ranges(reader.progress(name))
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
        self._lately = Lately(window_s)
        self._renewed = Ranges()
        """Sent again lately, and what is sent once more stays as old as it is: a far end that comes and goes
        would get the same for ever."""
        if window_s:
            self._load(reader.recent(name), now_s)

    def _load(self, recent: Iterable[Recent], now_s: float) -> None:
        """The agent was away, the far end perhaps too; of another boot nobody knows how long ago it was."""
        for at_ms, first, last, boot in recent:
            self._lately.put_back(at_ms / 1000 if boot == self._boot else now_s, first, last)
            if boot == self._boot:
                self._renewed.add(first, last)

    def __len__(self) -> int:
        return len(self._ranges)

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        return self._ranges.missing(first, last)

    @property
    def delivered(self) -> int:
        return len(self._ranges) - len(self.rejected) - self.skipped

    @property
    def whole(self) -> int:
        """All up to this one is settled."""
        head = self._recorder.head
        return next(self._ranges.missing(1, head), (head + 1, 0))[0] - 1

    def writing(self) -> None:
        """A write begins."""
        self._reopened = Ranges()

    def take(self, receipt: Receipt, sent: set[int], now_s: float) -> None:
        """What a write settles: what was not sent cannot be acknowledged, whatever the far end claims."""
        for seq, reason in receipt.rejected.items():
            if seq in sent:
                self._recorder.note_rejected(self._name, seq, reason)
        settled = sent & {*receipt.acknowledged, *receipt.rejected}
        kept = [seq for seq in settled if seq not in self._reopened]
        self._ranges.add_all(kept)
        self.rejected.add_all(sent & receipt.rejected.keys())
        if settled:
            self._remember(kept, now_s)
        self._note()

    def _remember(self, seqs: list[int], now_s: float) -> None:
        if self._moved:
            self._redone.add(now_s, [seq for seq in seqs if seq in self._moved])
        self._redone.alive(now_s)
        new = seqs
        if self._again or self._moved:
            again = [seq for seq in seqs if seq in self._again]
            new = [seq for seq in seqs if seq not in self._renewed]
            self._renewed.add_all(again)
            for seq in seqs:
                self._again.remove(seq, seq)
                self._moved.remove(seq, seq)
        if self._window_s:
            self._lately.add(now_s, new)
            self._lately.alive(now_s)

    def reopen(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are sent once more: their parts have another owner, or a person says so."""
        for first, last in ranges:
            self._ranges.remove(first, last)
            self.rejected.remove(first, last)
            self._reopened.add(first, last)
            self._moved.add(first, last)
        self._note()

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are never sent; the disk knows it already."""
        for first, last in ranges:
            before = len(self._ranges) - len(self.rejected)
            self._ranges.add(first, last)
            self.rejected.remove(first, last)
            self.skipped += len(self._ranges) - len(self.rejected) - before
        self._note()

    def forget(self, mark: Mark | None, left_s: float) -> int:
        """The far end may have forgotten what came after its mark, or what came lately: how much that is.

        `left_s`: when that mark was left, as far as anybody remembers.
        """
        if mark is not None and mark.id and self._reader.identity(mark.seq) == mark.id:
            lost = self._redone.since(left_s)
            if mark.seq < self._recorder.head:
                lost.add(mark.seq + 1, self._recorder.head)
        else:
            lost = self._lately.since()
        for first, last in self.rejected:
            lost.remove(first, last)
        self._renewed = _both(self._renewed, lost)
        before = len(self._ranges)
        self._again = _both(self._ranges, lost)
        for first, last in self._again:
            self._ranges.remove(first, last)
        self._note()
        return before - len(self._ranges)

    async def skip_absent(self, first: int, last: int) -> int:
        """What is not in the journal any more is never sent. Up to where it has looked."""
        absent, looked = self._reader.absent(first, last)
        counted = len(absent) - len(_both(absent, self._again))
        if absent:
            try:
                await self._recorder.maintain(lambda journal: pass_over(journal, self._name, absent, counted))
            except NotRecorded:
                return looked  # it is found again
            for one in absent:
                self._ranges.add(*one)
            self.skipped += counted
            self._note()
        return looked

    def _note(self) -> None:
        recent = [Recent(round(at_s * 1000), first, last, self._boot) for at_s, first, last in self._lately]
        self._recorder.note_progress(self._name, self._ranges, recent)


def _both(one: Ranges, other: Ranges) -> Ranges:
    """What is in both."""
    found = Ranges(one)
    for first, last in one:
        for gap in other.missing(first, last):
            found.remove(*gap)
    return found
