"""What is written to devices: noted with the job that it is for, and kept for the next start."""

from collections.abc import Mapping

from edge.observation import Observation, Outcome, Verdict, WriteWord
from edge.production.draft import Draft
from edge.production.events import Write
from edge.production.line import Line
from edge.production.state import Row, Written, station_key, written_key


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
    said = Write(word.what, word.target, word.place, word.value, word.state, word.found, word.detail)
    draft.say(said, spec.name, draft.station(spec).context)
    draft.put(written_key(word.target), Written(word))
