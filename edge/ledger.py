"""The loss ledger: every interval in which something could have been missed, and what was recovered of it.

It is read from events that the journal finds by their subject, and needs no running agent. See ledger.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from edge.contract import Record
from edge.journal import JournalReader
from edge.journal.backup import RESTORED
from edge.observation import AGENT
from edge.production import Line
from edge.production.baselines import REPLACED, RESTARTED
from edge.production.claims import claim_of
from edge.production.counting import Kind
from edge.production.devices import CAUSES
from edge.production.losses import LOSS
from edge.production.presence import BACK, LOST, NOT_RECORDED

PAGE = 1_000
MOST_OPEN = 1_000
"""Intervals that wait for the gaps of their counters; the oldest of more are told as they are."""


class Cause(StrEnum):
    """Why nobody could see, or keep, what happened. Causes of `loss` events stand beside these."""

    AGENT_OFF = "agent-off"
    RESTORED = "journal-restored"
    """A backup was put in the journal's place: what was recorded since it was made is not in this one."""
    SOURCE_DOWN = "source-down"
    UNREADABLE = "signal-unreadable"
    CLOCK_UNKNOWN = "clock-unknown"
    CLOCK_STEPPED = "clock-stepped"
    COUNTER = "counter"
    """A reading left a question open: a reset, a whole turn, more than a machine can make."""
    RESTARTED = CAUSES[RESTARTED]
    REPLACED = CAUSES[REPLACED]
    """By its own words a device began anew, or another one stands in its place."""
    NOT_RECORDED = NOT_RECORDED


EVERYTHING = (Cause.AGENT_OFF, Cause.RESTORED, Cause.NOT_RECORDED)
"""Every counter was out of sight, and every scanner."""
KILLED = "ended without a word: killed, or the power was cut"
_THEN = "; at last: "
"""Between the first reason of an interval and the last."""


class Recovery(Struct, frozen=True):
    """What a counter had of an interval when it was read again."""

    signal: str
    parts: int
    certain: bool
    assigned: bool
    """One run spans the interval; else the parts are of no order."""
    seq: int


class Interval(Struct, frozen=True):
    """One entry of the ledger. Times are UTC in milliseconds."""

    cause: str
    subject: str
    """A source, a signal, a station's counter, a sink; `agent` for all of them."""
    since_ms: int
    until_ms: int | None
    """None: it is not over."""
    seq: int
    """Of the event that began it, or told of it."""
    station: str = ""
    recovered: tuple[Recovery, ...] = ()
    waiting: tuple[str, ...] = ()
    """Counters that have not been read since."""
    records: int = 0
    """Known to be lost."""
    uncertain: tuple[str, ...] = ()
    """What nobody can tell of the counts and times, in words; empty: they are right."""
    unseen: tuple[str, ...] = ()
    """What no counter brings back, if there was any; whoever sent it got no answer."""
    detail: str = ""

    @property
    def parts(self) -> int:
        return sum(one.parts for one in self.recovered)


class Ledger(Struct, frozen=True):
    """The intervals of a span of time, the oldest first."""

    line: str
    from_ms: int | None
    to_ms: int | None
    intervals: tuple[Interval, ...]
    parts: int
    """Recovered by counters."""
    uncertain: int
    """Intervals that leave a question open."""


def read_ledger(
    reader: JournalReader,
    line: Line,
    from_ms: int | None = None,
    to_ms: int | None = None,
    away: Sequence[str] | None = None,
) -> Ledger:
    """Intervals that overlap the span. Raises JournalError.

    `away`: no agent has the journal in use, and this is what the next one is to record of it, in words.
    """
    found = [one for one in _intervals(reader, line, away) if _overlaps(one, from_ms, to_ms)]
    found.sort(key=lambda one: (one.since_ms, one.seq))
    return Ledger(
        line.name, from_ms, to_ms, tuple(found), sum(one.parts for one in found),
        sum(bool(one.uncertain) for one in found),
    )  # fmt: skip


def _overlaps(one: Interval, from_ms: int | None, to_ms: int | None) -> bool:
    ends_before = from_ms is not None and one.until_ms is not None and one.until_ms < from_ms
    return not ends_before and not (to_ms is not None and one.since_ms >= to_ms)


def _intervals(reader: JournalReader, line: Line, away: Sequence[str] | None) -> Iterator[Interval]:
    book = _Book(line, reader)
    for record in _records(reader):
        yield from book.take(record)
    if away is not None:
        book.nobody(away)
    yield from book.rest()


def _records(reader: JournalReader) -> Iterator[Record]:
    after = 0
    while found := reader.about(LOSS, after, PAGE):
        yield from found
        after = found[-1].seq


class _Book:
    """Intervals that are not over, and those that wait for their counters to be read."""

    def __init__(self, line: Line, reader: JournalReader) -> None:
        self._line = line
        self._reader = reader
        self._open: dict[tuple[str, str], Interval] = {}
        self._waiting: list[Interval] = []
        self._started: Interval | None = None
        """The agent has just started again: what it tells of its journal is told of this one."""
        self._kinds = {
            "health": self._health, "gap": self._gap, "loss": self._loss, "clock": self._clock,
            "count": self._count,
        }  # fmt: skip

    def take(self, record: Record) -> Iterator[Interval]:
        """Intervals that are complete with this event."""
        yield from self._settle(record)
        kind = self._kinds.get(record.type)
        if kind is not None:
            yield from kind(record, record.data)

    def nobody(self, words: Sequence[str]) -> None:
        """No agent runs now; `words` are what the next one will say of the journal."""
        key = (Cause.AGENT_OFF, AGENT)
        if key not in self._open and (last_ms := self._reader.last_seen()) is not None:
            self._begin(Interval(*key, last_ms, None, self._reader.head(), detail=KILLED))
        for told in filter(is_restored, words):
            if key in self._open:
                self._open[key] = _restored(self._open[key], told)

    def rest(self) -> Iterator[Interval]:
        if self._started is not None:
            yield from self._over(self._started)
        yield from (_told(one, self._line) for one in self._waiting)
        yield from (_told(one, self._line) for one in self._open.values())

    def _begin(self, interval: Interval) -> None:
        self._open.setdefault((interval.cause, interval.subject), interval)

    def _unread(self, interval: Interval) -> None:
        """Once more, where there is another reason: the first and the last are told."""
        key = (interval.cause, interval.subject)
        if (begun := self._open.get(key)) is None:
            self._open[key] = interval
        elif interval.detail not in begun.detail:
            first = begun.detail.partition(_THEN)[0]
            self._open[key] = replace(begun, detail=f"{first}{_THEN}{interval.detail}")

    def _end(self, cause: str, subject: str, until_ms: int, detail: str = "") -> Iterator[Interval]:
        begun = self._open.pop((cause, subject), None)
        if begun is not None:
            yield from self._over(replace(begun, until_ms=until_ms, detail=detail or begun.detail))

    def _over(self, interval: Interval) -> Iterator[Interval]:
        """Its counters have to be read before it can be told whole."""
        waiting = interval.waiting or self._counters(interval)
        if not waiting:
            yield _told(interval, self._line)
            return
        self._waiting.append(replace(interval, waiting=waiting))
        if len(self._waiting) > MOST_OPEN:
            yield _told(self._waiting.pop(0), self._line)

    def _counters(self, interval: Interval) -> tuple[str, ...]:
        """Signals of the counters that were out of sight."""
        everything = interval.cause in EVERYTHING
        return tuple(
            place.counter.signal for place in self._line.counters.values()
            if everything
            or (interval.cause == Cause.SOURCE_DOWN and place.counter.source == interval.subject)
            or (interval.cause == Cause.UNREADABLE and place.counter.signal == interval.subject)
        )  # fmt: skip

    # --- events -----------------------------------------------------------------------------

    def _health(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        subject, state, detail = str(data["subject"]), data["state"], str(data.get("detail", ""))
        if subject == AGENT:
            self._agent(record, str(state), detail)
        elif state in (LOST, "unreadable"):
            cause = Cause.SOURCE_DOWN if state == LOST else Cause.UNREADABLE
            self._unread(Interval(
                cause, subject, record.at_ms, None, record.seq, record.station, detail=detail
            ))  # fmt: skip
        elif state in (BACK, "readable"):
            cause = Cause.SOURCE_DOWN if state == BACK else Cause.UNREADABLE
            yield from self._end(cause, subject, record.at_ms)

    def _agent(self, record: Record, state: str, detail: str) -> None:
        if state == "stop":
            self._begin(Interval(Cause.AGENT_OFF, AGENT, record.at_ms, None, record.seq, detail="stopped"))
        elif state == "start":
            begun = (Cause.AGENT_OFF, AGENT) in self._open
            if not begun and (last_ms := self._reader.seen_before(record.seq)) is not None:
                since_ms = min(last_ms, record.at_ms)
                self._begin(Interval(Cause.AGENT_OFF, AGENT, since_ms, None, record.seq, detail=KILLED))
            off = self._open.pop((Cause.AGENT_OFF, AGENT), None)
            self._started = off and replace(off, until_ms=record.at_ms)
        elif state == "journal" and self._started is not None and is_restored(detail):
            self._started = _restored(self._started, detail)

    def _settle(self, record: Record) -> Iterator[Interval]:
        """The agent goes on to other things than its journal."""
        about_journal = record.type == "health" and record.data["state"] == "journal"
        if self._started is not None and not about_journal:
            off, self._started = self._started, None
            yield from self._over(off)

    def _gap(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        """A counter was read again: of the intervals that waited for it, the first gets its parts."""
        signal, parts = str(data["signal"]), _int(data["recovered"])
        recovery = Recovery(signal, parts, bool(data["certain"]), bool(data["assigned"]), record.seq)
        mine = [place for place, one in enumerate(self._waiting) if signal in one.waiting]
        if not mine:
            since_ms, until_ms = _int(data["since_ms"]), _int(data["until_ms"])
            alone = Interval(Cause.COUNTER, signal, since_ms, until_ms, record.seq, record.station)
            yield _told(replace(alone, recovered=(recovery,)), self._line)
            return
        for place in mine:
            one = self._waiting[place]
            its = recovery if place == mine[0] else replace(recovery, parts=0)
            self._waiting[place] = replace(one, recovered=(*one.recovered, its))
        yield from self._read(signal)

    def _read(self, signal: str) -> Iterator[Interval]:
        """Nobody waits for this counter any more."""
        self._waiting = [
            replace(one, waiting=tuple(other for other in one.waiting if other != signal))
            for one in self._waiting
        ]
        yield from (_told(one, self._line) for one in self._waiting if not one.waiting)
        self._waiting = [one for one in self._waiting if one.waiting]

    def _first(self, signal: str, raw: int, was: object) -> Iterator[Interval]:
        """It was never read before, or another counter stands in its place."""
        words = f"{signal}: it was read for the first time, what it had counted before is of nobody"
        if was is not None:
            words = (
                f"{signal}: the file gives it fewer bits than its last reading has, so it begins anew:"
                f" what it counted from {was} to {raw} is of nobody"
            )
        self._waiting = [
            replace(one, uncertain=(*one.uncertain, words)) if signal in one.waiting else one
            for one in self._waiting
        ]
        yield from self._read(signal)

    def _loss(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        signals = data.get("signals", ())
        waiting = [one for one in signals if one in self._line.counters] if isinstance(signals, list) else ()
        yield from self._over(Interval(
            str(data["cause"]), str(data["subject"]), _int(data["since_ms"]), _int(data["until_ms"]),
            record.seq, waiting=tuple(waiting),
            records=_int(data.get("records", 0)), detail=str(data.get("detail", "")),
        ))  # fmt: skip

    def _clock(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        state, reason = data["state"], str(data.get("reason", ""))
        if state == "stepped":
            words = f"set by {_int(data.get('step_ms', 0)) / 1000:+.1f} s"
            yield Interval(Cause.CLOCK_STEPPED, "clock", record.at_ms, record.at_ms, record.seq, detail=words)
        elif state == "doubtful":
            left = self._open.pop((Cause.CLOCK_UNKNOWN, "clock"), None)
            if left is not None:
                words = "the box was started again before its clock was right: its times are estimates"
                yield replace(left, until_ms=record.at_ms, uncertain=(words,))
            since_ms = _int(data.get("since_ms", record.at_ms))
            self._begin(Interval(Cause.CLOCK_UNKNOWN, "clock", since_ms, None, record.seq, detail=reason))
        else:
            for one in self._end(Cause.CLOCK_UNKNOWN, "clock", record.at_ms):
                sure = data.get("certain", True)
                yield replace(one, uncertain=() if sure else (f"its times may be wrong: {reason}",))

    def _count(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        signal, quality = f"{record.station}.{data['role']}", str(data["quality"])
        if quality == Kind.BASELINE:
            yield from self._first(signal, _int(data["raw"]), data.get("was"))
            return
        raw, was, parts = _int(data["raw"]), data.get("was"), _int(data.get("held", 0))
        claim = claim_of(str(data["role"]), was if isinstance(was, int) else None, raw, parts)
        back = "" if was is None else f"it went back from {was} to {raw}: "
        words = {
            Kind.RESET: f"{back}it began again at zero, what was made just before is not known",
            Kind.REPLACED: f"another device's, from {raw}: what the old one made after {was} is not known",
            Kind.UNCERTAIN: f"{_UNSEEN}, or no clock tells how long it was not seen",
            Kind.IMPLAUSIBLE: f"{parts} parts that it claims wait for a person: {claim}",
        }  # fmt: skip
        why = words.get(Kind(quality), quality)
        yield Interval(
            Cause.COUNTER, signal, record.at_ms, record.at_ms, record.seq, record.station, uncertain=(why,)
        )


def is_restored(words: str) -> bool:
    return words.startswith(RESTORED)


def _restored(off: Interval, words: str) -> Interval:
    """What was off is not known any more: the agent may have run, and the journal of it was replaced."""
    doubt = "scans and results since the backup are not in this journal: parts may be of another order"
    return replace(off, cause=Cause.RESTORED, detail=words.rstrip("."), uncertain=(doubt,))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _told(one: Interval, line: Line) -> Interval:
    """With what is uncertain of it, in words."""
    return replace(one, uncertain=(*one.uncertain, *_doubts(one)), unseen=tuple(_unseen(one, line)))


_UNSEEN = "it could have turned over or begun again unseen"
_DOUBT: Mapping[str, str] = {
    Cause.RESTARTED: "what was made between its last reading and the restart is not known",
    Cause.REPLACED: "what the old device made after its last reading is not known",
}


def _doubts(one: Interval) -> Iterator[str]:
    for recovery in one.recovered:
        if not recovery.certain:
            yield f"{recovery.signal}: {_DOUBT.get(one.cause, _UNSEEN)}"
    if one.waiting:
        yield f"not read since: {', '.join(one.waiting)}"


def _unseen(one: Interval, line: Line) -> Iterator[str]:
    """What no counter can bring back."""
    everything = one.cause in EVERYTHING
    sources = None if everything else {one.subject}
    if not everything and one.cause not in (
        Cause.SOURCE_DOWN, Cause.UNREADABLE, "queue-overflow", "notifications-lost",
    ):  # fmt: skip
        return
    guns, rigs = _named(line.guns, sources), _named(line.rigs, sources)
    if guns:
        yield f"labels scanned with {', '.join(guns)}"
    if rigs:
        yield f"results of {', '.join(rigs)}"
    states = [
        spec.name for spec in line.stations
        if spec.state_signal and (everything or one.subject in (*spec.sources, spec.state_signal))
    ]  # fmt: skip
    if states:
        yield f"states that came and went at {', '.join(states)}"


def _named(sources: Iterable[str], wanted: set[str] | None) -> Sequence[str]:
    return [name for name in sources if wanted is None or name in wanted]
