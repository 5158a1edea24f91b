"""A gun read a label: do what it asks, or say why not, and record it either way."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from edge.observation import Outcome, Quality, Verdict
from edge.production.baselines import Counter
from edge.production.draft import Draft
from edge.production.events import Scan
from edge.production.line import StationSpec
from edge.production.meanings import meaning
from edge.production.nouns import OfWhatError, say_lost, settle
from edge.production.orders import RefusedError
from edge.production.places import Stations, heard_at
from edge.production.repeats import meant, once_more, repeated, to_be_asked
from edge.production.scanned import Booked, LastScan
from edge.production.scanning import Label, read_label
from edge.production.slots import contexts
from edge.production.state import LINE, Station, Undo
from edge.production.taking_back import note, waited
from edge.production.units import end_unit, may_be_unit


def scan(draft: Draft, gun: str, stations: Stations) -> None:
    """Decide one label. All stations that name the gun hear it."""
    text = draft.observation.value if isinstance(draft.observation.value, str) else ""
    label = _readable(draft, text)
    if isinstance(label, str):
        words = label + _end_unit(draft, stations, may_be_unit(text))
        _record(draft, gun, stations, text, None, Outcome(Verdict.REFUSED, words))
    elif words := repeated(draft, stations, label):
        _record(draft, gun, stations, text, label, Outcome(Verdict.DUPLICATE, words))
    else:
        _obey(draft, gun, stations, text, label)


def _readable(draft: Draft, text: str) -> Label | str:
    if draft.observation.quality is Quality.BAD or not text:
        return draft.observation.detail or "nothing readable"
    return read_label(text, draft.line.labels)


def _obey(draft: Draft, gun: str, stations: Stations, text: str, label: Label) -> None:
    before = {station.name: draft.station(station) for station in stations}
    try:
        once_more(draft, stations, label)
        waiting = {station.name: draft.station(station).noun for station in stations}
        words = meaning(draft, heard_at(draft, stations, label), label)
    except RefusedError as refusal:
        draft.undo()
        if isinstance(refusal, OfWhatError):
            for station in stations:
                settle(draft, station)
        words = str(refusal) + _end_unit(draft, stations, label.letter == "S")
        _record(draft, gun, stations, text, label, Outcome(Verdict.REFUSED, words))
        return
    for station in stations:
        _remember(draft, station, before[station.name], label)
        words += _lost(draft, station, before[station.name], label)
    changed = [station for station in stations if note(draft, station, before[station.name])]
    at = changed[0] if changed else None
    last = before[stations[0].name].last_scan
    booked = to_be_asked(draft, last, label, words, at, waiting[at.name] if at else None)
    _remember_last(draft, stations, before, text, label, words, changed, booked)
    _record(draft, gun, stations, text, label, Outcome(Verdict.ACCEPTED, words))


def _end_unit(draft: Draft, stations: Stations, ends: bool) -> str:
    """A unit that could not be read, or is refused, is there in the place of the one before it."""
    ended = dict.fromkeys(end_unit(draft, station) for station in stations) if ends else {}
    return "".join(f"; {serial} is not the unit any more" for serial in ended if serial)


def _lost(draft: Draft, spec: StationSpec, before: Station, label: Label) -> str:
    """What waited is used by a quantity, and a person knows of what is cancelled or taken back."""
    if label.letter == "Q" or is_correction(label) or (label.letter == "C" and label.body == "CANCEL"):
        return ""
    return say_lost(draft, spec, before.noun)


def is_correction(label: Label) -> bool:
    return label.letter == "C" and (label.body == "UNDO" or label.body.startswith("BACK"))


def _remember_last(
    draft: Draft, stations: Stations, before: Mapping[str, Station], text: str, label: Label, words: str,
    changed: Sequence[StationSpec], booked: Booked | None,
) -> None:  # fmt: skip
    """For an UNDO, and to know the label if it comes again."""
    now, earlier = draft.observation, before[stations[0].name].last_scan
    where = tuple(station.name for station in changed)
    only_waits = not (where or is_correction(label))
    if only_waits or (earlier is not None and earlier.before is not None and label.body == "UNDO"):
        where = earlier.changed if earlier is not None else ()
    last = LastScan(
        text, now.mono_ms, now.boot, now.at_ms, words, draft.line_row(LINE).starts,
        means=meant(label), changed=where, booked=booked,
    )  # fmt: skip
    for station in stations:
        mine = replace(last, before=waited(before, station) if only_waits else None)
        draft.put(station.key, replace(draft.station(station), last_scan=mine))


def _remember(draft: Draft, spec: StationSpec, before: Station, label: Label) -> None:
    """What the station was, so that the scan can be taken back."""
    row, now = draft.station(spec), draft.observation
    if is_correction(label) or contexts(row) == contexts(before):
        return
    undo = Undo(
        f"{label.letter} {label.body}", row.context.operator or before.context.operator, now.at_ms,
        now.mono_ms, now.boot, before.context, before.run, before.others, draft.jobs_before(), draft.states(),
        before.last_job, since_ms=max(before.changed_ms, before.run.started_ms if before.run else 0),
        runs=draft.runs_before(), loose=before.loose.id if before.loose else None,
        unsure=_is_unsure(draft, spec, before),
    )  # fmt: skip
    draft.put(spec.key, replace(row, undo=undo))


def _is_unsure(draft: Draft, spec: StationSpec, before: Station) -> bool:
    runs = [context.run for context in contexts(before)]
    known = [counter for one in spec.counters if (counter := draft.before(one.key, Counter)) is not None]
    if before.run is None and any(counter.earlier is not None for counter in known):
        return True  # idle, and not known to have been since its last reading
    spans = [one for counter in known for one in (counter, counter.earlier) if one is not None]
    return any([one.run for one in (span.context, *span.others)] != runs for span in spans)


def _record(
    draft: Draft, gun: str, stations: Stations, text: str, label: Label | None, outcome: Outcome
) -> None:
    for station in stations:
        row = draft.station(station)
        said = replace(row, said=outcome.words, said_verdict=outcome.verdict)
        draft.put(station.key, said)
    kind = label.letter if label else None
    context = draft.station(stations[0]).context
    draft.say(Scan(text, gun, outcome.verdict, outcome.words, kind), stations[0].name, context)
    draft.outcome = outcome
