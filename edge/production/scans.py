"""A gun read a label: do what it asks, or say why not, and record it either way."""

from msgspec.structs import replace

from edge.observation import Outcome, Quality, Verdict
from edge.production.baselines import Counter
from edge.production.draft import Draft
from edge.production.events import Scan
from edge.production.line import StationSpec
from edge.production.meanings import meaning
from edge.production.nouns import drop_old
from edge.production.orders import RefusedError
from edge.production.places import Stations
from edge.production.scanning import Label, read_label
from edge.production.slots import contexts
from edge.production.state import LINE, LastScan, Station, Undo

REPEAT_MS = 1_500
"""The same label again within this time is a double trigger."""
AGAIN_MS = 60_000
"""So long the question stands whether a repeat after a restart is meant once more."""
ASKS = "scan it again to do it once more"
"""How that question ends."""


def scan(draft: Draft, gun: str, stations: Stations) -> None:
    """Decide one label. All stations that name the gun hear it."""
    text = draft.observation.value if isinstance(draft.observation.value, str) else ""
    label = _readable(draft, text)
    if isinstance(label, str):
        _record(draft, gun, stations, text, None, Outcome(Verdict.REFUSED, label))
    elif words := _repeated(draft, stations, text):
        _record(draft, gun, stations, text, label, Outcome(Verdict.DUPLICATE, words))
    else:
        _obey(draft, gun, stations, text, label)


def _readable(draft: Draft, text: str) -> Label | str:
    if draft.observation.quality is Quality.BAD or not text:
        return draft.observation.detail or "nothing readable"
    return read_label(text, draft.line.labels)


def _repeated(draft: Draft, stations: Stations, text: str) -> str:
    """Why a label that came again does nothing; empty for one that is to be obeyed."""
    last, now = draft.station(stations[0]).last_scan, draft.observation
    if last is None or last.label != text:
        return ""
    if last.boot == now.boot and now.mono_ms - last.mono_ms < REPEAT_MS:
        return "the same label twice: counted once"
    if last.start == draft.line_row(LINE).starts:
        return ""
    asked_ms = now.mono_ms - last.asked_mono_ms if last.asked_boot == now.boot else AGAIN_MS + 1
    if asked_ms < REPEAT_MS:
        return "the same label twice: counted once"
    return "" if asked_ms <= AGAIN_MS else _ask(draft, stations, last)


def _ask(draft: Draft, stations: Stations, last: LastScan) -> str:
    """After a restart nobody knows whether the person was told that the scan had been taken."""
    now = draft.observation
    asked = replace(last, asked_mono_ms=now.mono_ms, asked_boot=now.boot)
    for station in stations:
        draft.put(station.key, replace(draft.station(station), last_scan=asked))
    when = f"at {draft.line.hour(last.at_ms)}, " if last.at_ms else ""
    return f"recorded {when}before the restart: {ASKS}"


def _obey(draft: Draft, gun: str, stations: Stations, text: str, label: Label) -> None:
    before = {station.name: draft.station(station) for station in stations}
    try:
        words = meaning(draft, stations, label)
    except RefusedError as refusal:
        draft.undo()
        for station in stations:
            drop_old(draft, station)
        _record(draft, gun, stations, text, label, Outcome(Verdict.REFUSED, str(refusal)))
        return
    now = draft.observation
    last = LastScan(text, now.mono_ms, now.boot, now.at_ms, words, draft.line_row(LINE).starts)
    for station in stations:
        _remember(draft, station, before[station.name], label)
        draft.put(station.key, replace(draft.station(station), last_scan=last))
    _record(draft, gun, stations, text, label, Outcome(Verdict.ACCEPTED, words))


def _remember(draft: Draft, spec: StationSpec, before: Station, label: Label) -> None:
    """What the station was, so that the scan can be taken back."""
    row, now = draft.station(spec), draft.observation
    is_correction = label.letter == "C" and (label.body == "UNDO" or label.body.startswith("BACK"))
    if is_correction or contexts(row) == contexts(before):
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
