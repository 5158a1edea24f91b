"""The book of the loss ledger: intervals that are not over, or wait for their counters to be read."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from edge.contract import Record
from edge.journal import JournalReader
from edge.journal.backup import RESTORED
from edge.ledger_entries import EVERYTHING, Cause, Interval, Recovery, told_whole
from edge.ledger_readings import WAITS, Reading, first_words, whole
from edge.observation import AGENT
from edge.production import Line
from edge.production.counting import Kind
from edge.production.presence import BACK, LOST

MOST_OPEN = 1_000
"""Intervals that wait for the gaps of their counters; the oldest of more are told as they are."""
KILLED = "ended without a word: killed, or the power was cut"
_THEN = "; at last: "
"""Between the first reason of an interval and the last."""


class Book:
    """Intervals that are not over, and those that wait for their counters to be read."""

    def __init__(self, line: Line, reader: JournalReader) -> None:
        self._line = line
        self._reader = reader
        self._open: dict[tuple[str, str], Interval] = {}
        self._waiting: list[Interval] = []
        self._started: Interval | None = None
        """The agent has just started again: what it tells of its journal is told of this one."""
        self._withdrawn: list[Recovery] = []
        """Readings that showed that what was held before them never was."""
        self._reading: Reading | None = None
        """Of a counter, while more may be told of it."""
        self._kinds = {
            "health": self._health, "gap": self._gap, "loss": self._loss, "clock": self._clock,
            "count": self._count,
        }  # fmt: skip

    def take(self, record: Record) -> Iterator[Interval]:
        """Intervals that are complete with this event."""
        yield from self._concluded(record)
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
        yield from self._concluded()
        if self._started is not None:
            yield from self._over(self._started)
        yield from (told_whole(one, self._line) for one in self._waiting)
        yield from (told_whole(one, self._line) for one in self._open.values())

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
            yield told_whole(interval, self._line)
            return
        self._waiting.append(replace(interval, waiting=waiting))
        if len(self._waiting) > MOST_OPEN:
            yield told_whole(self._waiting.pop(0), self._line)

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
        """A counter was read again; what the reading left open comes right after it."""
        self._reading = Reading.of_gap(record, data)
        if data.get("withdrawn") and self._reading.recovery is not None:
            self._withdrawn.append(self._reading.recovery)
        return iter(())

    def settled(self, one: Interval) -> Interval:
        """A leap that went away asks nobody any more."""
        is_over = one.cause == Cause.COUNTER and any(
            back.signal == one.subject and back.since_ms <= one.since_ms and one.seq < back.seq
            for back in self._withdrawn
        )
        left = tuple(why for why in one.uncertain if not (is_over and WAITS in why))
        if left == one.uncertain:
            return one
        return replace(one, uncertain=left, detail="it leapt and went back: what it claimed never was")

    def _count(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        signal = f"{record.station}.{data['role']}"
        if data["quality"] == Kind.BASELINE:
            yield from self._first(signal, data)
            return
        if self._reading is None:
            self._reading = Reading(signal, record)
        self._reading = self._reading.with_count(data)

    def _concluded(self, record: Record | None = None) -> Iterator[Interval]:
        """This event is of another reading than the last that was told of."""
        reading = self._reading
        if reading is None or (record is not None and reading.has(record)):
            return
        self._reading = None
        signal, why = reading.signal, reading.doubt()
        mine = [place for place, one in enumerate(self._waiting) if signal in one.waiting]
        if reading.recovery is None or not mine:
            yield told_whole(reading.alone(), self._line)
            return
        holder = max(mine, key=lambda place: _explains(self._waiting[place]))
        for place in mine:
            one = self._waiting[place]
            if place == holder:
                doubts = (*one.uncertain, f"{signal}: {why}") if why else one.uncertain
                one = replace(one, recovered=(*one.recovered, reading.recovery), uncertain=doubts)
            else:
                one = replace(one, elsewhere=(*one.elsewhere, signal))
            self._waiting[place] = one
        yield from self._read(signal)

    def _read(self, signal: str) -> Iterator[Interval]:
        """Nobody waits for this counter any more."""
        self._waiting = [
            replace(one, waiting=tuple(other for other in one.waiting if other != signal))
            for one in self._waiting
        ]
        yield from (told_whole(one, self._line) for one in self._waiting if not one.waiting)
        self._waiting = [one for one in self._waiting if one.waiting]

    def _first(self, signal: str, data: Mapping[str, object]) -> Iterator[Interval]:
        """It was never read before, or another counter stands in its place: said once."""
        words = f"{signal}: {first_words(data)}"
        mine = [place for place, one in enumerate(self._waiting) if signal in one.waiting]
        if mine:
            holder = max(mine, key=lambda place: _explains(self._waiting[place]))
            one = self._waiting[holder]
            self._waiting[holder] = replace(one, uncertain=(*one.uncertain, words))
        yield from self._read(signal)

    def _loss(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        signals = data.get("signals", ())
        waiting = [one for one in signals if one in self._line.counters] if isinstance(signals, list) else ()
        yield from self._over(Interval(
            str(data["cause"]), str(data["subject"]), whole(data["since_ms"]), whole(data["until_ms"]),
            record.seq, waiting=tuple(waiting),
            records=whole(data.get("records", 0)), detail=str(data.get("detail", "")),
        ))  # fmt: skip

    def _clock(self, record: Record, data: Mapping[str, object]) -> Iterator[Interval]:
        state, reason = data["state"], str(data.get("reason", ""))
        if state == "stepped":
            words = f"set by {whole(data.get('step_ms', 0)) / 1000:+.1f} s"
            yield Interval(Cause.CLOCK_STEPPED, "clock", record.at_ms, record.at_ms, record.seq, detail=words)
        elif state == "doubtful":
            left = self._open.pop((Cause.CLOCK_UNKNOWN, "clock"), None)
            if left is not None:
                words = "the box was started again before its clock was right: its times are estimates"
                yield replace(left, until_ms=record.at_ms, uncertain=(words,))
            since_ms = whole(data.get("since_ms", record.at_ms))
            self._begin(Interval(Cause.CLOCK_UNKNOWN, "clock", since_ms, None, record.seq, detail=reason))
        else:
            for one in self._end(Cause.CLOCK_UNKNOWN, "clock", record.at_ms):
                sure = data.get("certain", True)
                yield replace(one, uncertain=() if sure else (f"its times may be wrong: {reason}",))


def _explains(one: Interval) -> tuple[bool, int]:
    """Of several intervals that waited for a reading, what the device said tells most, then the longest."""
    return one.cause in (Cause.RESTARTED, Cause.REPLACED), (one.until_ms or one.since_ms) - one.since_ms


def is_restored(words: str) -> bool:
    return words.startswith(RESTORED)


def _restored(off: Interval, words: str) -> Interval:
    """What was off is not known any more: the agent may have run, and the journal of it was replaced."""
    doubt = "scans and results since the backup are not in this journal: parts may be of another order"
    return replace(off, cause=Cause.RESTORED, detail=words.rstrip("."), uncertain=(doubt,))
