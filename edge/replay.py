"""What was recorded, decided again: segment by segment, compared with the journal to the byte."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec
from msgspec import Raw, Struct, json

from edge import __version__
from edge.errors import ReplayRefused
from edge.journal import JournalReader
from edge.journal.reader import Fact
from edge.journal.store import encode_data
from edge.observation import Observation
from edge.production import Line, decide, needs
from edge.production.events import Event
from edge.production.state import Row
from edge.production.views import is_view
from edge.recording import FORMAT, Entry, Header, core_hash, segments

LONGEST_HEADER = 65_536
LONGEST_LINE = 256 * 2**20
"""Bytes; no segment that Lineside writes has a longer one."""

_header = json.Decoder(Header).decode
_entry = json.Decoder(Entry).decode
_encode = json.Encoder().encode


# --- a segment as it is on disk -------------------------------------------------------------


class Segment:
    """One file; opened for each reading of it."""

    def __init__(self, path: Path) -> None:
        """Reads the header. Raises ReplayRefused."""
        self.path = path
        self.torn = False
        """Whether the last line had no end; known once `entries` has come to it."""
        try:
            with path.open("rb") as file:
                first = file.readline(LONGEST_HEADER)
        except OSError as error:
            raise ReplayRefused(str(path), f"cannot be read: {error.strerror}") from error
        try:
            self.header = _header(first)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ReplayRefused(str(path), "is no recording of Lineside; they lie in DATA/record/") from error
        if self.header.lineside_record != FORMAT:
            found = self.header.lineside_record
            raise ReplayRefused(str(path), f"is of format {found}, this Lineside knows {FORMAT}; upgrade it")

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Every line after the header, with its number. Raises ReplayRefused."""
        try:
            with self.path.open("rb") as file:
                file.readline(LONGEST_HEADER)
                number = 1
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    if not line.endswith(b"\n"):  # the agent was killed, or the disk was full
                        self.torn = True
                        return
                    yield number, self._read(number, line)
        except OSError as error:
            raise ReplayRefused(str(self.path), f"cannot be read: {error.strerror}") from error

    def _read(self, number: int, line: bytes) -> Entry:
        try:
            return _entry(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ReplayRefused(str(self.path), f"line {number} is damaged: {error}") from error


def find(paths: Sequence[Path]) -> list[Segment]:
    """Of a folder, every segment in it, oldest first. Raises ReplayRefused."""
    found: list[Segment] = []
    for path in paths:
        inside = segments(path) if path.is_dir() else [path]
        if not inside:
            raise ReplayRefused(str(path), 'holds no segment; is record = "64MB" written under [line]?')
        found += [Segment(one) for one in inside]
    return found


# --- decided again --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """One observation, decided again."""

    where: str
    first: int
    """seq of its first event when it was recorded; of the next one where it gave none."""
    recorded: int
    """How many events it gave then."""
    facts: Sequence[Fact]
    """Its events now, numbered in the replay's own count."""
    quarantined: bool = False
    raised: str = ""
    """Now the core cannot decide it: the error."""

    @property
    def difference(self) -> str:
        """In words, as far as it can be told without the journal; empty where there is none."""
        if self.raised:
            return f"{self.where}: cannot be decided any more: {self.raised}"
        if len(self.facts) != self.recorded:
            types = ", ".join(fact.type for fact in self.facts) or "nothing"
            return f"{self.where}: gave {_events(self.recorded)}, now gives {len(self.facts)}: {types}"
        return ""


def play(line: Line, segment: Segment) -> Iterator[Played]:
    """Every observation of a segment, in its order. Raises ReplayRefused."""
    rows: dict[str, Row | None] = {}
    recorded = replayed = segment.header.head
    for number, entry in segment.entries():
        if entry.passed:
            recorded, replayed = recorded + entry.passed, replayed + entry.passed
            continue
        if entry.row:
            if is_view(entry.row):  # true for one decision only
                rows[entry.row] = entry.body
            else:
                rows.setdefault(entry.row, entry.body)
            continue
        try:
            observation = entry.observation()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ReplayRefused(str(segment.path), f"line {number} is damaged: {error}") from error
        where = f"{segment.path}, line {number} ({observation.signal!a} = {_short(observation)})"
        if entry.quarantined:  # it changed nothing, and may be what no decision can be made of
            yield Played(where, recorded + 1, 0, (), quarantined=True)
            continue
        facts, raised = _decide(line, rows, observation, segment.header.epoch, replayed)
        yield Played(where, recorded + 1, entry.events, facts, raised=raised)
        recorded += entry.events
        replayed += len(facts)


def _decide(
    line: Line, rows: dict[str, Row | None], observation: Observation, epoch: str, head: int
) -> tuple[list[Fact], str]:
    """The events, numbered after `head`, the rows changed; or why it cannot be decided."""
    try:
        while new := [key for key in needs(line, observation, rows) if key not in rows]:
            rows |= dict.fromkeys(new)  # under another configuration: nothing is known of it
        decision = decide(line, rows, observation)
        facts = [_fact(epoch, seq, event) for seq, event in enumerate(decision.events, head + 1)]
    except Exception as error:  # as in the recorder: whatever the core raises, it is one bad observation
        return [], f"{type(error).__name__}: {ascii(str(error))[1:-1]}"
    rows |= decision.rows
    for key in [key for key in rows if is_view(key)]:
        del rows[key]
    return facts, ""


def _fact(epoch: str, seq: int, event: Event) -> Fact:
    """The event in the bytes in which the journal would hold it."""
    return Fact(
        epoch, seq, event.data.type, event.at_ms, event.seen_ms, event.mono_ms, event.boot, event.station,
        _encode(event.context).decode(), encode_data(event.data),
    )  # fmt: skip


# --- compared -------------------------------------------------------------------------------


COMPARED = ("type", "at_ms", "seen_ms", "mono_ms", "boot", "station", "context", "data")


class Journaled:
    """What the journal has, read some hundred events at a time."""

    READ_AT_ONCE = 500

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._near: dict[int, Fact] = {}

    def at(self, seq: int) -> Fact | None:
        """Raises JournalError."""
        if seq not in self._near:
            self._near = {one.seq: one for one in self._reader.facts(seq, seq + self.READ_AT_ONCE - 1)}
        return self._near.get(seq)

    def difference(self, played: Played) -> str:
        """The first one, in words; empty where every byte is the same. Raises ReplayRefused."""
        for seq, now in enumerate(played.facts[: played.recorded], played.first):
            then = self.at(seq)
            if then is None:
                return f"{played.where}: the journal has no event {seq} ({now.type})"
            if then.epoch != now.epoch:
                reason = f"event {seq} is of epoch {now.epoch}, in the journal of {then.epoch}"
                raise ReplayRefused(played.where, f"{reason}; compare it with the journal of that time")
            for name in COMPARED:
                was, is_ = getattr(then, name), getattr(now, name)
                if was != is_:
                    return f"{played.where}: {name} of event {seq} was {_text(was)}, now it is {_text(is_)}"
        return played.difference


@dataclass(slots=True)
class Result:
    """What a replay of one segment came to."""

    observations: int = 0
    events: int = 0
    quarantined: int = 0
    difference: str = ""
    """The first one."""


class _Line(Struct):
    """An event as it is printed: data and context are the journal's own bytes."""

    seq: int
    type: str
    at_ms: int
    seen_ms: int
    mono_ms: int
    boot: str
    station: str
    context: Raw
    data: Raw


def as_json(fact: Fact) -> str:
    return _encode(_Line(
        fact.seq, fact.type, fact.at_ms, fact.seen_ms, fact.mono_ms, fact.boot, fact.station,
        Raw(fact.context.encode()), Raw(fact.data),
    )).decode()  # fmt: skip


class Replay:
    """A line, and what its segments are compared with."""

    def __init__(self, line: Line, journal: JournalReader | None = None, forced: bool = False) -> None:
        """`forced`: what if; the line may decide by another configuration."""
        self._line = line
        self._forced = forced
        self._journaled = Journaled(journal) if journal is not None else None

    def run(self, segment: Segment, events: TextIO | None = None) -> Result:
        """One segment to its end, its events printed. Raises ReplayRefused, JournalError."""
        self._refuse_other(segment)
        result = Result()
        for played in play(self._line, segment):
            result.observations += 1
            result.events += len(played.facts)
            result.quarantined += played.quarantined
            result.difference = result.difference or self._difference(played)
            if events is not None:
                _print(events, played.facts)
        return result

    def _difference(self, played: Played) -> str:
        if self._journaled is not None:
            return self._journaled.difference(played)
        return "" if self._forced and not played.raised else played.difference

    def _refuse_other(self, segment: Segment) -> None:
        """Raises ReplayRefused where the segment was decided under another configuration."""
        told, core = segment.header, core_hash(self._line)
        if told.core != core and not self._forced:
            raise ReplayRefused(
                str(segment.path),
                f"line {told.line} decided by core configuration {told.core[:12]}, this is {core[:12]}; "
                "use the one of that time, or --force to see what would have been",
            )


def replay_all(
    line: Line,
    paths: Sequence[Path],
    against: Path | None,
    events: str | None,
    forced: bool,
    say: Callable[[str], None],
) -> bool:
    """The command: False where something differs. Raises ReplayRefused, JournalError."""
    with ExitStack() as stack:
        journal = None
        if against is not None:
            path = against / "journal.db" if against.is_dir() else against
            journal = JournalReader(path, line.name)
            stack.callback(journal.close)
        out = _out(events, stack)
        replay, same = Replay(line, journal, forced), True
        for segment in find(paths):
            result = replay.run(segment, out)
            say(summary(segment, result))
            if result.difference:
                say(f"first difference: {result.difference}")
            same = same and not result.difference
    if same and against is not None:
        say(f"the events are those of {against}, byte for byte")
    return same


def _print(out: TextIO, facts: Sequence[Fact]) -> None:
    try:
        out.writelines(f"{as_json(fact)}\n" for fact in facts)
    except OSError as error:
        raise ReplayRefused(out.name, f"cannot be written: {error.strerror}") from error


def _out(events: str | None, stack: ExitStack) -> TextIO | None:
    """Raises ReplayRefused."""
    if events is None or events == "-":
        return None if events is None else sys.stdout
    try:
        return stack.enter_context(Path(events).open("w", encoding="utf-8"))
    except OSError as error:
        raise ReplayRefused(events, f"cannot be written: {error.strerror}") from error


def _events(count: int) -> str:
    return f"{count} event" if count == 1 else f"{count} events"


def _short(observation: Observation) -> str:
    text = ascii(observation.value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _text(value: str | bytes | int) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def summary(segment: Segment, result: Result) -> str:
    """One line for a person."""
    told = segment.header
    parts = [f"{segment.path.name}: {result.observations} observations, {_events(result.events)}"]
    if result.events:
        parts.append(f"{told.head + 1} to {told.head + result.events}")
    if told.version != __version__:
        parts.append(f"recorded by Lineside {told.version}, replayed by {__version__}")
    if result.quarantined:
        parts.append(f"{result.quarantined} in quarantine")
    if segment.torn:
        parts.append("its last line is torn and was left out")
    return ", ".join(parts)
