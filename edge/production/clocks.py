"""What is said of the wall clock, and what becomes of times that were estimated while it was in doubt.

Durations never come from a wall clock, so that a doubt changes no count. But rows and events hold times
for people, and windows of time for corrections: those are shifted together once the clock is right.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from edge.observation import ClockWord, Observation, Outcome, Verdict
from edge.production.baselines import Counter
from edge.production.beside import Rig, Stops
from edge.production.draft import Draft, Hold, Restamp
from edge.production.line import Line
from edge.production.losses import Clock
from edge.production.slots import slots
from edge.production.state import DOUBT, LINE, Doubt, Job, LineRow, Row, Run, Station, job_key, run_key

MOST_RUNS = 2_000
"""Runs of one doubt whose times are corrected; the oldest of more keep the estimate."""
HELD_UP_MS = 5_000
"""A loaded box holds a process up so long between its reads of the two clocks."""

StructT = TypeVar("StructT", bound=Struct)
RunT = TypeVar("RunT", bound=Struct)
Rows = Mapping[str, Row | None]


def clock_needs(line: Line, now: Observation, rows: Rows) -> tuple[str, ...]:
    """Every row that holds a time since the doubt began: stations, counters, its runs and their jobs."""
    stations = tuple(one.key for one in line.stations)
    if not isinstance(now.value, ClockWord) or not now.value.shift_ms:
        return (DOUBT, LINE, *stations)
    counters = (place.counter.key for place in line.counters.values())
    stops = (one.stops_key for one in line.stations)
    rigs = (f"rig/{name}" for name in line.rigs)
    runs = _run_keys(rows)
    return (DOUBT, LINE, *stations, *stops, *counters, *rigs, *runs, *_job_keys(line, rows, runs))


def _run_keys(rows: Rows) -> tuple[str, ...]:
    doubt, line = rows.get(DOUBT), rows.get(LINE)
    if not isinstance(doubt, Doubt) or not isinstance(line, LineRow):
        return ()
    first = max(doubt.runs, line.runs - MOST_RUNS) + 1
    begun = [f"{letter}{number}" for number in range(first, line.runs + 1) for letter in "ru"]
    return tuple(run_key(run) for run in (*doubt.on, *(line.late or ()), *begun))


def _job_keys(line: Line, rows: Rows, runs: tuple[str, ...]) -> tuple[str, ...]:
    found = [rows.get(key) for key in runs]
    jobs = {run.job for run in found if isinstance(run, Run)}
    for spec in line.stations:
        if isinstance(row := rows.get(spec.key), Station):
            jobs |= {slot.run.job for slot in slots(row)}
    return tuple(sorted(job_key(*job) for job in jobs if job))


def clock(draft: Draft) -> None:
    """Decide a word about the clock."""
    word = draft.observation.value
    if not isinstance(word, ClockWord):
        draft.outcome = Outcome(Verdict.REFUSED, "this says nothing of a clock")
    elif word.state == "doubtful":
        _doubtful(draft, word)
    elif word.state == "right":
        _right(draft, word)
    else:
        draft.say(Clock(word.state, word.reason, word.step_ms))


def _doubtful(draft: Draft, word: ClockWord) -> None:
    now, known, line = draft.observation, draft.get(DOUBT, Doubt), draft.line_row(LINE)
    before = known or Doubt()
    if before.since_ms:  # the box was started again before its clock was right
        doubt = replace(before, since_ms=word.since_ms, mono_ms=now.mono_ms, boot=now.boot)
    else:
        doubt = Doubt(word.since_ms, now.mono_ms, now.boot, line.runs, _on(draft))
    draft.put(DOUBT, doubt)
    draft.put(LINE, replace(line, late=line.late or ()))
    draft.timing = Hold()
    draft.say(Clock(word.state, word.reason, word.step_ms, word.since_ms))


def _on(draft: Draft) -> tuple[str, ...]:
    """The runs that are on, those of no order too, and those that an undo would bring back."""
    found: list[Run | None] = []
    for row in (draft.station(spec) for spec in draft.line.stations):
        found += [*(slot.run for slot in slots(row)), row.loose]
        if row.undo is not None:
            found += [row.undo.run, *(slot.run for slot in row.undo.others)]
    return tuple(dict.fromkeys(run.id for run in found if run is not None))


def _right(draft: Draft, word: ClockWord) -> None:
    doubt = draft.get(DOUBT, Doubt)
    if doubt is None or not doubt.since_ms:
        draft.outcome = Outcome(Verdict.DUPLICATE, "the clock was not in doubt")
        return
    if word.shift_ms:
        _shift_rows(draft, Shift(doubt, word.shift_ms))
    draft.put(DOUBT, Doubt())
    draft.put(LINE, replace(draft.line_row(LINE), late=None))
    until_mono_ms = draft.observation.mono_ms + HELD_UP_MS
    draft.timing = Restamp(
        doubt.boot, doubt.mono_ms, until_mono_ms, doubt.since_ms, word.offset_ms, word.shift_ms
    )
    since_ms = doubt.since_ms + word.shift_ms
    draft.say(Clock(word.state, word.reason, word.step_ms, since_ms, word.shift_ms, word.certain))


def _shift_rows(draft: Draft, shift: "Shift") -> None:
    kinds = (Counter, Station, Stops, Job, Run, Rig, LineRow)
    rows = draft.rows()
    for key in dict.fromkeys(clock_needs(draft.line, draft.observation, rows)):  # others may be at hand
        if isinstance(row := rows[key], kinds):
            later = shift.row(row)
            if later != row:
                draft.put(key, later)


class Shift(Struct, frozen=True):
    """Moves the times of rows that were estimated."""

    doubt: Doubt
    shift_ms: int

    def at(self, at_ms: int) -> int:
        return shifted(at_ms, self.doubt.since_ms, self.shift_ms)

    def row(self, row: StructT) -> StructT:
        """What is of the monotonic clock stays; it tells, where it is there, what was estimated."""
        if isinstance(row, Run):
            return self._run(row)
        if not self._estimated(getattr(row, "boot", ""), getattr(row, "mono_ms", 0)):
            return row
        changed = {}
        for name in row.__struct_fields__:
            value = getattr(row, name)
            later = self._field(name, value)
            if later is not value:
                changed[name] = later
        if isinstance(row, Station) and not self._estimated(row.state_boot, row.state_mono_ms):
            changed.pop("state_at_ms", None)
        return replace(row, **changed) if changed else row

    def _estimated(self, boot: str, mono_ms: int) -> bool:
        return not boot or (boot == self.doubt.boot and mono_ms >= self.doubt.mono_ms)

    def _run(self, run: RunT) -> RunT:
        """Where its parts are looked for must hold them all; they may lie before its begin now.

        A run that a correction made in the doubt (it has no boot) may be of parts from before it, and those
        keep their times.
        """
        assert isinstance(run, Run)
        begun = int(run.id[1:]) > self.doubt.runs
        started_ms = self.at(run.started_ms) if begun else run.started_ms
        ended_ms = run.ended_ms and self.at(run.ended_ms)
        if not run.boot:
            started_ms, ended_ms = (
                min(started_ms, run.started_ms),
                ended_ms and max(ended_ms, run.ended_ms or 0),
            )
        first_ms = min(run.first_ms or started_ms, started_ms, self.doubt.since_ms + self.shift_ms)
        return replace(
            run, started_ms=started_ms, first_ms=first_ms if first_ms < started_ms else 0,
            ended_ms=ended_ms,
            last_ms=max(run.last_ms, self.at(run.last_ms)),
            until_ms=max(run.until_ms, self.at(run.until_ms)),
        )  # fmt: skip

    def _field(self, name: str, value: Any) -> Any:
        if isinstance(value, Struct):
            return self.row(value)
        if isinstance(value, tuple):
            later = tuple(self._field(name, one) for one in value)
            return later if any(new is not old for new, old in zip(later, value, strict=True)) else value
        if isinstance(value, int) and is_time(name):
            return self.at(value)
        if isinstance(value, Mapping):
            inner = "since_ms" if name == "lost" else ""
            later_by = {key: self._field(inner, one) for key, one in value.items()}
            return later_by if later_by != value else value
        return value


def is_time(name: str) -> bool:
    """Whether a field of this name is a wall clock's."""
    return name.endswith("_ms") and not name.endswith(("mono_ms", "step_ms", "shift_ms"))


def shifted(at_ms: int, since_ms: int, shift_ms: int) -> int:
    """A time that was estimated is corrected; one from before the doubt is right as it is."""
    return at_ms + shift_ms if at_ms >= since_ms else at_ms
