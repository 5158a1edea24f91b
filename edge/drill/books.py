"""What the drill's journal holds, read beside the agent that writes it, and when it came there."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from edge.contract import Record
from edge.errors import JournalError
from edge.journal import JournalReader
from edge.production import Line
from edge.record import TELEMETRY

_AT_ONCE = 2_000
_GAP = "gap"


@dataclass(frozen=True, slots=True)
class Fact:
    """One record of the journal, as far as the drill asks."""

    seq: int
    id: str
    type: str
    subject: str = ""
    """A scan's label, a test's unit, an order's id, the job of a result."""


@dataclass(slots=True)
class Books:
    """Grows with the journal."""

    journal: Path
    line: Line
    now_s: Callable[[], float]
    facts: list[Fact] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    """By signal, in counts of the counter."""
    recovered: Counter[str] = field(default_factory=Counter)
    """Of these, what was counted out of sight, as a gap."""
    held: Counter[str] = field(default_factory=Counter)
    """Parts that a reading claims and that the line would not believe: they wait for a person."""
    baselines: set[str] = field(default_factory=set)
    """Signals of counters that have been read once."""
    dropped: list[Fact] = field(default_factory=list)
    """Telemetry that was in the journal and has made room: it may have arrived, and need not have."""
    shut: bool = False
    """Nothing is read: the journal's owner wants the file for itself."""
    _shares: dict[str, Fraction] = field(default_factory=dict)
    _heads: list[tuple[int, float]] = field(default_factory=list)
    _reader: JournalReader | None = None

    @property
    def head(self) -> int:
        return self.facts[-1].seq if self.facts else 0

    def read(self) -> None:
        """Take in what is new; where the journal cannot be read now, it is for the next time."""
        if self.shut:
            return
        try:
            if self._reader is None:
                self._reader = JournalReader(self.journal, self.line.name)
            last = self._reader.head()
            while records := self._reader.records(self.head + 1, last, _AT_ONCE):
                for record in records:
                    self._take(record)
                self._heads.append((self.head, self.now_s()))
        except JournalError:
            self.close()

    def close(self) -> None:
        """Let go of the file until the next `read`."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def written_s(self, seq: int) -> float:
        """When a record was first seen on disk."""
        place = bisect_left(self._heads, (seq, float("-inf")))
        return self._heads[place][1] if place < len(self._heads) else self.now_s()

    def still_s(self, from_s: float, to_s: float) -> float:
        """The longest time in between in which nothing was written."""
        written = [at_s for _, at_s in self._heads if from_s < at_s < to_s]
        return max(after - before for before, after in pairwise([from_s, *written, to_s]))

    def of(self, kind: str, first: int = 1) -> Counter[str]:
        """How often each subject is in the records of a type, from a seq on."""
        return Counter(fact.subject for fact in self.facts if fact.type == kind and fact.seq >= first)

    def strike_dropped(self) -> int:
        """Ask no more for the telemetry that the line itself has dropped, and say how much that was."""
        gone = {one.seq for one in self.facts if one.type == TELEMETRY and not self._is_there(one.seq)}
        self.dropped += [one for one in self.facts if one.seq in gone]
        self.facts = [one for one in self.facts if one.seq not in gone]
        return len(gone)

    def _is_there(self, seq: int) -> bool:
        try:
            return self._reader is None or bool(self._reader.records(seq, seq, 1))
        except JournalError:
            return True

    def _take(self, record: Record) -> None:
        self.facts.append(Fact(record.seq, record.id, record.type, _subject(record)))
        if record.type == "count":
            self._count(record)

    def _count(self, record: Record) -> None:
        """In counts: one of them may be several parts, and shared by several jobs."""
        data, signal = record.data, f"{record.station}.{record.data['role']}"
        if data.get("source", "machine") != "machine" or signal not in self.line.counters:
            return
        self.baselines.add(signal)
        self.held[signal] += data.get("held", 0)
        item = record.context.get("item")
        spec = self.line.counters[signal].counter
        share = Fraction(data["produced"], spec.parts(item if isinstance(item, str) else None))
        share += self._shares.pop(signal, Fraction(0))
        whole = int(share)
        self._shares[signal] = share - whole
        self.counted[signal] += whole
        if data["quality"] == _GAP:
            self.recovered[signal] += whole


def _subject(record: Record) -> str:
    if record.type == "scan":
        return str(record.data["label"])
    if record.type == "test":
        return str(record.data["unit"])
    if record.type == "work_order":
        return str(record.data["order"])
    if record.type == "result":
        return f"{record.data['order']}-{record.data.get('operation')}"
    return TELEMETRY if record.type == TELEMETRY else ""
