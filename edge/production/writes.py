"""What is written to devices: noted with the job that it is for, and kept for the next start."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import Observation, Outcome, Verdict, WriteWord
from edge.production.draft import Draft
from edge.production.events import Write
from edge.production.line import Line
from edge.production.state import Row, Station, Written, station_key, written_key


def write_needs(line: Line, now: Observation, rows: Mapping[str, Row | None]) -> tuple[str, ...]:
    """The station, for its context."""
    word = now.value
    return (station_key(word.station),) if isinstance(word, WriteWord) and word.station in line.named else ()


def write(draft: Draft) -> None:
    """An intention, before the wire has it; or what became of it."""
    word = draft.observation.value
    spec = draft.line.named.get(word.station) if isinstance(word, WriteWord) else None
    if not isinstance(word, WriteWord) or spec is None:
        draft.outcome = Outcome(Verdict.REFUSED, "no station of this line writes that")
        return
    row = draft.station(spec)
    if word.run is not None and word.run != run_of(row):
        draft.outcome = Outcome(Verdict.REFUSED, f"{word.target}: another job is on by now")
        return
    said = Write(word.what, word.target, word.place, word.value, word.state, word.found, word.detail)
    draft.say(said, spec.name, row.context)
    draft.put(written_key(word.target), Written(replace(word, run=None)))


def run_of(row: Station) -> str:
    """The run that is on at a station; empty for none."""
    return "" if row.run is None else row.run.id
