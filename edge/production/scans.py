"""A gun read a label: do what it asks, or say why not, and record it either way."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from edge.observation import LotShare, Outcome, Quality, Verdict
from edge.production.baselines import Counter
from edge.production.booking import book, book_scrap, booked_as, report_good
from edge.production.context import Kind as RunKind
from edge.production.corrections import BACK_MOST_MIN, back, undo
from edge.production.dealing import slot_by_run
from edge.production.draft import Draft
from edge.production.events import Flag, Lot, Scan
from edge.production.line import StationSpec
from edge.production.materials import material_of, mount, order_of, use_scanned
from edge.production.orders import (
    ENDED,
    INTERRUPTED,
    RefusedError,
    job_name,
    known_job,
    skipped,
    split_job,
    start_job,
    stop_job,
    switch_kind,
    the_slot,
)
from edge.production.scanning import LETTERS, Label, read_label
from edge.production.slots import change_context, contexts, slot_of, slots
from edge.production.state import JobId, LastScan, Noun, Slot, Station, Undo
from edge.production.units import decide_unit, unit_seen

REPEAT_MS = 1_500
"""The same label again within this time is a double trigger."""
STATUS = "status"
"""Why a job's card waits: it was scanned to see how far the job is."""
NOUN_MS = 30_000
"""A label that waits for another is forgotten after this time."""

Stations = tuple[StationSpec, ...]


def scan(draft: Draft, gun: str, stations: Stations) -> None:
    """Decide one label. All stations that name the gun hear it."""
    text = draft.observation.value if isinstance(draft.observation.value, str) else ""
    label = _readable(draft, text)
    if isinstance(label, str):
        _record(draft, gun, stations, text, None, Outcome(Verdict.REFUSED, label))
    elif _is_repeat(draft, stations[0], text):
        words = "the same label twice: counted once"
        _record(draft, gun, stations, text, label, Outcome(Verdict.DUPLICATE, words))
    else:
        _obey(draft, gun, stations, text, label)


def _readable(draft: Draft, text: str) -> Label | str:
    if draft.observation.quality is Quality.BAD or not text:
        return draft.observation.detail or "nothing readable"
    return read_label(text, draft.line.labels)


def _is_repeat(draft: Draft, station: StationSpec, text: str) -> bool:
    last, now = draft.station(station).last_scan, draft.observation
    return (
        last is not None
        and last.label == text
        and last.boot == now.boot
        and now.mono_ms - last.mono_ms < REPEAT_MS
    )


def _obey(draft: Draft, gun: str, stations: Stations, text: str, label: Label) -> None:
    before = {station.name: draft.station(station) for station in stations}
    try:
        words = _MEANINGS.get(label.letter, _not_in_use)(draft, stations, label)
    except RefusedError as refusal:
        draft.undo()
        _forget_old_nouns(draft, stations)
        _record(draft, gun, stations, text, label, Outcome(Verdict.REFUSED, str(refusal)))
        return
    now = draft.observation
    for station in stations:
        _remember(draft, station, before[station.name], label)
        row = draft.station(station)
        draft.put(station.key, replace(row, last_scan=LastScan(text, now.mono_ms, now.boot)))
    _record(draft, gun, stations, text, label, Outcome(Verdict.ACCEPTED, words))


def _forget_old_nouns(draft: Draft, stations: Stations) -> None:
    """A quantity is refused once after a reason that is too old, and not for ever."""
    for spec in stations:
        row = draft.station(spec)
        if row.noun is not None and _waiting(draft, row.noun) is None:
            draft.put(spec.key, replace(row, noun=None))


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


def _remember_booking(
    draft: Draft, spec: StationSpec, label: str, slot: Slot, booked: tuple[str, int, str]
) -> None:
    """`slot` is the job's before the booking."""
    row, now = draft.station(spec), draft.observation
    after = slot_by_run(draft, spec, slot.run.id).run.totals
    undo = Undo(
        label, row.context.operator, now.at_ms, now.mono_ms, now.boot, slot.context, slot.run,
        booked=booked, made=after.and_(slot.run.totals.negative()),
    )  # fmt: skip
    draft.put(spec.key, replace(row, undo=undo))


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


def _badge(draft: Draft, stations: Stations, label: Label) -> str:
    for station in stations:
        change_context(draft, station, operator=label.body)
    return f"{label.body} is at {_names(stations)}"


def _job(draft: Draft, stations: Stations, label: Label) -> str:
    order, operation = split_job(draft, label.body)
    on = [station for station in stations if slot_of(draft.station(station), (order.id, operation))]
    words = "; ".join([start_job(draft, station, order, operation) for station in stations])
    for station in stations:
        name = Label("J", job_name(order.id, operation))
        _wait(draft, station, "chosen", name, STATUS if station in on else "")
    missing = skipped(draft, order, operation)
    if not missing:
        return words
    said = f"operation {', '.join(map(str, missing))} was never begun"
    context = draft.station(stations[0]).context
    draft.say(Flag("out_of_sequence", 0, said), stations[0].name, context)
    return f"{words}; {said}"


def _wait(draft: Draft, spec: StationSpec, where: str, label: Label, reason: str = "") -> None:
    """The label waits for the next one."""
    now = draft.observation
    noun = Noun(label.letter, label.body, now.mono_ms, now.boot, reason)
    row = draft.station(spec)
    draft.put(spec.key, replace(row, chosen=noun) if where == "chosen" else replace(row, noun=noun))


def _waiting(draft: Draft, noun: Noun | None) -> Noun | None:
    """A label that still waits."""
    now = draft.observation
    if noun is None or noun.boot != now.boot or now.mono_ms - noun.mono_ms > NOUN_MS:
        return None
    return noun


def _chosen(draft: Draft, spec: StationSpec) -> JobId | None:
    """The job that a verb is about, where several run: the one whose card was scanned before."""
    row = draft.station(spec)
    noun = _waiting(draft, row.chosen)
    if noun is None or len(slots(row)) < 2:
        return None
    return next(
        (slot.run.job for slot in slots(row) if slot.run.job and job_name(*slot.run.job) == noun.body), None
    )


def _slot(draft: Draft, spec: StationSpec) -> Slot:
    return the_slot(draft, spec, _chosen(draft, spec))


def _lot(draft: Draft, stations: Stations, label: Label) -> str:
    return "; ".join([_lot_at(draft, station, label) for station in stations])


def _lot_at(draft: Draft, spec: StationSpec, label: Label) -> str:
    """A lot of material that the order is made of, or the batch that is made from now on."""
    row = draft.station(spec)
    for slot in slots(row):
        found = material_of(order_of(draft, slot), label.body)
        if found is not None:
            _wait(draft, spec, "noun", label)
            return mount(draft, spec, slot, *found)
    only = the_slot(draft, spec, _chosen(draft, spec)).run.job if len(slots(row)) > 1 else None
    change_context(draft, spec, only, batch=label.body)
    context = next((slot.context for slot in slots(draft.station(spec)) if slot.run.job == only), None)
    begun = Lot("begun", (LotShare(label.body, 0),))
    draft.say(begun, spec.name, context or draft.station(spec).context)
    return f"batch {label.body} at {spec.name}"


def _scrap_reason(draft: Draft, stations: Stations, label: Label) -> str:
    station = _where_parts_are_made(draft, stations)
    unit = _waiting(draft, draft.station(station).noun)
    if unit is not None and unit.letter == "S":
        return decide_unit(draft, station, unit.body, "SCRAP", label.body, _chosen(draft, station))
    _wait(draft, station, "noun", label)
    return f"scrap at {station.name}, {label.body}: scan how many"


def _serial(draft: Draft, stations: Stations, label: Label) -> str:
    station = _where_parts_are_made(draft, stations)
    _wait(draft, station, "noun", label)
    return unit_seen(draft, station, label.body, _chosen(draft, station))


def _where_parts_are_made(draft: Draft, stations: Stations) -> StationSpec:
    """The station that scrap is booked at. Raises RefusedError where a gun cannot tell which."""
    counting = [station for station in stations if station.counters]
    running = [station for station in counting if draft.station(station).run is not None]
    if len(running) > 1:
        raise RefusedError(f"at which station? This gun speaks for {_names(tuple(running))}")
    return (running or counting or list(stations))[0]


def _quantity(draft: Draft, stations: Stations, label: Label) -> str:
    station = _where_parts_are_made(draft, stations)
    if not label.body.isdigit() or not 0 < int(label.body) < 10_000:
        raise RefusedError(f"{label.body} is no quantity between 1 and 9999")
    parts, row = int(label.body), draft.station(station)
    noun = _waiting(draft, row.noun)
    draft.put(station.key, replace(row, noun=None))
    if noun is None and row.noun is not None:
        raise RefusedError("a quantity of what? Scan the reason first")
    slot = _slot(draft, station)
    if noun is not None and noun.letter == "L":
        return use_scanned(draft, station, slot, noun.body, parts)
    words, booked = _book(draft, station, slot, noun, parts)
    _remember_booking(draft, station, f"Q {parts}", slot, booked)
    return words


def _book(
    draft: Draft, spec: StationSpec, slot: Slot, noun: Noun | None, parts: int
) -> tuple[str, tuple[str, int, str]]:
    """What the quantity is of: good parts, scrap with its reason, or rework and what became of it."""
    if noun is None:
        return report_good(draft, spec, slot, parts), ("good", parts, "")
    if noun.letter == "X":
        return book_scrap(draft, spec, slot, noun.body, parts), (booked_as(spec, "scrap"), parts, noun.body)
    disposition = _DISPOSITIONS.get(noun.body)
    if disposition is None:
        raise RefusedError(f"{noun.body} is one unit: scan OK, NG, REWORK or SCRAP")
    return book(draft, spec, slot, disposition, parts, noun.reason), (disposition, parts, noun.reason)


_DISPOSITIONS = {"REWORK": "rework", "OK": "reworked", "SCRAP": "rework_scrapped"}


def _command(draft: Draft, stations: Stations, label: Label) -> str:
    if label.body.startswith("BACK") and label.body[4:].isdigit() and len(label.body) < 8:
        minutes = int(label.body[4:])
        if not 0 < minutes <= BACK_MOST_MIN:
            raise RefusedError(f"{minutes} is not between 1 and {BACK_MOST_MIN} minutes")
        return _each(draft, stations, lambda draft, station: back(draft, station, minutes))
    if label.body in _UNIT_VERBS:
        return _verdict(draft, stations, label)
    command = _COMMANDS.get(label.body)
    if command is None:
        raise RefusedError(f"the command {label.body} is not in use on this line")
    return _each(draft, stations, command)


def _each(draft: Draft, stations: Stations, command: Callable[[Draft, StationSpec], str]) -> str:
    return "; ".join([command(draft, station) for station in stations])


def _verdict(draft: Draft, stations: Stations, label: Label) -> str:
    """Of the unit that was scanned before; else of a quantity that is scanned next."""
    station = _where_parts_are_made(draft, stations)
    noun = _waiting(draft, draft.station(station).noun)
    if noun is not None and noun.letter == "S":
        return decide_unit(draft, station, noun.body, label.body, "", _chosen(draft, station))
    if label.body == "REWORK" and noun is None and _is_status(draft, station):
        return _switch(draft, station, RunKind.REWORK)
    if label.body == "NG":
        raise RefusedError("which unit? Scan its serial number first")
    _slot(draft, station)
    _wait(draft, station, "noun", label, noun.body if noun and noun.letter == "X" else "")
    return f"{label.body.lower()} at {station.name}: scan how many"


def _is_status(draft: Draft, spec: StationSpec) -> bool:
    """The scan before was the card of a job that was on already: a verb is about that job."""
    row = draft.station(spec)
    chosen, last = _waiting(draft, row.chosen), row.last_scan
    return (
        chosen is not None and chosen.reason == STATUS and last is not None and last.mono_ms == chosen.mono_ms
    )


def _pause(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, INTERRUPTED, _chosen(draft, station))


def _start(draft: Draft, station: StationSpec) -> str:
    """Production: of the job that is in setup, or of the one that was interrupted here."""
    row, asked = draft.station(station), _chosen(draft, station)
    aside = [slot for slot in slots(row) if slot.run.kind != RunKind.PRODUCTION]
    if any(asked in (None, slot.run.job) for slot in aside):
        return switch_kind(draft, station, RunKind.PRODUCTION, asked or _only(aside))
    if row.run is not None and station.capacity == len(slots(row)):
        raise RefusedError(f"{job_name(row.run.order or '', row.run.operation)} is running already")
    if row.last_job is None or slot_of(row, row.last_job):
        raise RefusedError("which job? Scan its card")
    return start_job(draft, station, *known_job(draft, *row.last_job))


def _only(found: Sequence[Slot]) -> JobId | None:
    return found[0].run.job if len(found) == 1 else None


def _switch(draft: Draft, station: StationSpec, kind: RunKind) -> str:
    return switch_kind(draft, station, kind, _chosen(draft, station))


def _setup(draft: Draft, station: StationSpec) -> str:
    return _switch(draft, station, RunKind.SETUP)


def _test(draft: Draft, station: StationSpec) -> str:
    return _switch(draft, station, RunKind.TEST)


def _done(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, ENDED, _chosen(draft, station))


def _logout(draft: Draft, station: StationSpec) -> str:
    row = draft.station(station)
    who = row.context.operator
    if who is None:
        raise RefusedError(f"nobody is badged in at {station.name}")
    change_context(draft, station, operator=None)
    return f"{who} has left {station.name}"


def _cancel(draft: Draft, station: StationSpec) -> str:
    """Whatever waits for another label is forgotten."""
    row = draft.station(station)
    draft.put(station.key, replace(row, noun=None, chosen=None))
    return f"cancelled at {station.name}: nothing waits"


def _not_in_use(draft: Draft, stations: Stations, label: Label) -> str:
    raise RefusedError(f"a {LETTERS[label.letter]} means nothing at {_names(stations)}")


def _names(stations: Stations) -> str:
    return ", ".join(station.name for station in stations)


_MEANINGS: dict[str, Callable[[Draft, Stations, Label], str]] = {
    "E": _badge, "J": _job, "L": _lot, "S": _serial, "X": _scrap_reason, "Q": _quantity, "C": _command,
}  # fmt: skip

_UNIT_VERBS = ("OK", "NG", "SCRAP", "REWORK")

_COMMANDS: dict[str, Callable[[Draft, StationSpec], str]] = {
    "START": _start, "RESUME": _start, "PAUSE": _pause, "DONE": _done, "LOGOUT": _logout,
    "SETUP": _setup, "TEST": _test, "UNDO": undo, "CANCEL": _cancel,
}  # fmt: skip
