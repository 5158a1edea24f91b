"""Parts get another owner: an operator takes a scan back or backdates it, a supervisor reassigns.

Raw facts stay as they are. Which events are moved is said to the journal (`Draft.moves`); what they add
up to comes from it (`views`), and moves with them.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.booking import take_back
from edge.production.draft import Draft, Move
from edge.production.events import Attribution
from edge.production.line import StationSpec
from edge.production.orders import FINAL, INTERRUPTED, RUNNING, RefusedError, the_slot
from edge.production.runs import (
    close_loose,
    end_run,
    loose_context,
    loose_run,
    put_job,
    say_order,
    say_result,
    shift,
    totals_of,
)
from edge.production.slots import change_slots, contexts, slots
from edge.production.state import (
    LINE,
    Context,
    Job,
    Row,
    Run,
    Slice,
    Slot,
    Station,
    Undo,
    View,
    job_key,
    run_key,
)
from edge.production.totals import NOTHING, Totals
from edge.production.views import Since, Window

UNDO_MS = 120_000
"""So long an operator may take the last scan back; later it is for a supervisor."""
BACK_MOST_MIN = 480

Rows = Mapping[str, Row | None]


# --- what an operator may do at once ---------------------------------------------------------


def undo_needs(spec: StationSpec, rows: Rows) -> tuple[str, ...]:
    row = rows.get(spec.key)
    if not isinstance(row, Station) or row.undo is None:
        return ()
    undone = row.undo
    view = _since(spec, undone)
    runs = [slot.run for slot in (*slots(row), *undone.others)] + ([undone.run] if undone.run else [])
    keys = [run_key(run.id) for run in runs]
    keys += [job_key(run.order, run.operation) for run in runs if run.order]
    return (view, *keys, *undone.jobs, *slice_needs(rows.get(view)))


def slice_needs(view: Row | None) -> tuple[str, ...]:
    """Rows that sum up what a view's events are part of."""
    found: list[str] = []
    for one in view.slices if isinstance(view, View) else ():
        if one.context.run:
            found.append(run_key(one.context.run))
        if one.context.order:
            found.append(job_key(one.context.order, one.context.operation))
    return tuple(dict.fromkeys(found))


def _since(spec: StationSpec, undone: Undo) -> str:
    return Since(spec.name, undone.boot, undone.mono_ms).key


def undo(draft: Draft, spec: StationSpec) -> str:
    """Take back the last scan here that changed something, with the parts made since."""
    row, now = draft.station(spec), draft.observation
    undone = row.undo
    if undone is None:
        raise RefusedError(f"nothing to take back at {spec.name}")
    if undone.boot != now.boot or now.mono_ms - undone.mono_ms > UNDO_MS:
        raise RefusedError("that was too long ago: ask your supervisor")
    if undone.by != row.context.operator:
        raise RefusedError(f"that was {undone.by or 'somebody else'}: only who scanned it can take it back")
    draft.put(spec.key, replace(row, undo=None))
    if undone.booked is not None:
        return take_back(
            draft, spec, the_slot(draft, spec, undone.run.job if undone.run else None), undone.booked
        )
    view = draft.get(_since(spec, undone), View) or View()
    before = (undone.context, *(slot.context for slot in undone.others))
    moved = [one for one in view.slices if one.context not in before]
    if len(before) > 1 and any(one.totals != NOTHING for one in moved):
        raise RefusedError("parts were made since, and of which job nobody knows: ask your supervisor")
    _restore(draft, spec, undone)
    target = _target(draft, spec, undone.context)
    give(
        draft,
        spec,
        _since(spec, undone),
        [(one, target) for one in moved],
        "undo",
        undone.by or "",
        undone.label,
    )
    parts = sum(one.totals.counted for one in moved)
    return f"{undone.label} taken back at {spec.name}" + (f", with {parts} parts" if parts else "")


def _target(draft: Draft, spec: StationSpec, context: Context) -> Context:
    """The context as events have it: parts of no order are in a run of their own."""
    return context if context.order else loose_context(context, loose_run(draft, spec))


def _restore(draft: Draft, spec: StationSpec, undone: Undo) -> None:
    """The jobs of the station as they were; a run that went on meanwhile keeps what it made."""
    row = draft.station(spec)
    now_on = {slot.run.id: slot.run for slot in slots(row)}
    wanted = (Slot(undone.context, undone.run), *undone.others) if undone.run else ()
    kept = {slot.run.id for slot in wanted}
    for slot in slots(row):
        if slot.run.id not in kept:
            _end_undone(draft, spec, slot, undone)
    for slot in wanted:
        if slot.run.id not in now_on:
            _revive(draft, spec, slot, undone)
    found = tuple(replace(slot, run=now_on.get(slot.run.id, slot.run)) for slot in wanted)
    close_loose(draft, spec, None)
    change_slots(draft, spec, found, undone.context)
    draft.put(spec.key, replace(
        draft.station(spec), last_job=undone.last_job, noun=None, left=row.left, previous=row.previous
    ))  # fmt: skip


def _end_undone(draft: Draft, spec: StationSpec, slot: Slot, undone: Undo) -> None:
    """A run that should not have begun: its job is what it was before."""
    job = end_run(draft, spec, slot)
    key = job_key(job.order, job.operation)
    before = undone.jobs.get(key) or Job(job.order, job.operation)
    state = RUNNING if job.stations else before.state if before.state != RUNNING else INTERRUPTED
    substate = before.substate if state == before.state else ""
    put_job(draft, replace(job, state=state, substate=substate, started_ms=before.started_ms))
    say_order(draft, spec, slot, "undone", state, RUNNING, substate)


def _revive(draft: Draft, spec: StationSpec, slot: Slot, undone: Undo) -> None:
    """A run that the scan ended goes on as if nothing had been."""
    run = slot.run
    job = draft.job(job_key(run.order or "", run.operation), run.order or "", run.operation)
    totals = {name: made for name, made in job.totals.items() if name != spec.name}
    before = undone.jobs.get(job_key(job.order, job.operation))
    if before is not None and spec.name in before.totals:
        totals[spec.name] = run.before
    lasted_s = (undone.mono_ms - run.mono_ms) / 1000 if run.boot == undone.boot else 0.0
    was = job.state
    stations = (*job.stations, spec.name)
    put_job(draft, replace(
        job, state=RUNNING, substate="", stations=stations, totals=totals, ended_ms=None,
        aside=before.aside if before else job.aside,
        busy_s=round(max(0.0, job.busy_s - max(0.0, lasted_s)), 3),
    ))  # fmt: skip
    draft.put(run_key(run.id), replace(run, ended_ms=None))
    say_order(draft, spec, slot, "restored", RUNNING, was)


def back_needs(spec: StationSpec, rows: Rows, now: Observation, minutes: int) -> tuple[str, ...]:
    row = rows.get(spec.key)
    if not isinstance(row, Station) or row.undo is None:
        return ()
    view = _backdated(spec, row.undo, now, minutes).key
    return (view, *slice_needs(rows.get(view)))


def _backdated(spec: StationSpec, undone: Undo, now: Observation, minutes: int) -> Window:
    """From so long before the scan, but never past the change before it, until now."""
    from_ms = max(undone.at_ms - minutes * 60_000, undone.since_ms)
    return Window(spec.name, from_ms, max(from_ms, now.at_ms) + 1)


def back(draft: Draft, spec: StationSpec, minutes: int) -> str:
    """The last scan here is taken as made so many minutes earlier."""
    row, now = draft.station(spec), draft.observation
    undone = row.undo
    if undone is None or undone.booked is not None:
        raise RefusedError(f"nothing to backdate at {spec.name}: scan the card first")
    if undone.boot != now.boot or now.mono_ms - undone.mono_ms > UNDO_MS:
        raise RefusedError("that scan was too long ago: ask your supervisor")
    if len(contexts(row)) > 1:
        raise RefusedError(f"several jobs run at {spec.name}: ask your supervisor")
    window = _backdated(spec, undone, now, minutes)
    view = draft.get(window.key, View) or View()
    draft.put(spec.key, replace(row, undo=None))
    target = _target(draft, spec, row.context)
    moved = [(one, target) for one in view.slices if one.context != target]
    row = draft.station(spec)
    if row.run is not None and undone.run is not None and row.run.id == undone.run.id:
        pass  # a badge or a lot: the run began when it began
    elif row.run is not None:
        draft.put(spec.key, replace(row, run=replace(row.run, started_ms=window.from_ms)))
    give(draft, spec, window.key, moved, "back", undone.by or "", f"{undone.label} {minutes} min earlier")
    parts = sum(one.totals.counted for one, _ in moved)
    held = "" if window.from_ms > undone.since_ms else " (to the scan before it)"
    return f"{undone.label} backdated by {(undone.at_ms - window.from_ms) // 60_000} min{held}: {parts} parts"


# --- moving ------------------------------------------------------------------------------------


def give(
    draft: Draft, spec: StationSpec, view: str, moved: Iterable[tuple[Slice, Context]],
    why: str, by: str, reason: str,
) -> int:  # fmt: skip
    """Events of these slices get other contexts, and their parts go with them. Returns the version."""
    moved = list(moved)
    if not moved:
        return 0
    line = draft.line_row(LINE)
    version = line.corrections + 2  # what was never moved is version 1
    draft.put(LINE, replace(line, corrections=line.corrections + 1))
    gains: dict[Context, tuple[Totals, int]] = {}
    for one, target in moved:
        draft.moves.append(Move(view, one.context, target, version))
        shift(draft, spec, one.context, one.totals.negative(), -one.cycles, -one.cycles_s)
        shift(draft, spec, target, one.totals, one.cycles, one.cycles_s)
        _gain(gains, one.context, one.totals.negative(), -one.events)
        _gain(gains, target, one.totals, one.events)
    bounds = _bounds(draft, view)
    for owner, (made, events) in gains.items():
        _say(draft, spec, owner, made, events, version, why, by, reason, bounds)
    _publish_ended(draft, gains)
    return version


def _gain(gains: dict[Context, tuple[Totals, int]], side: Context, made: Totals, events: int) -> None:
    owner = replace(side, operator=None, batch=None)
    before, count = gains.get(owner, (NOTHING, 0))
    gains[owner] = before.and_(made), count + events


def _bounds(draft: Draft, view: str) -> tuple[int, int]:
    kind, _, first, last = view.split("/", 3)
    now = draft.observation
    if kind == "window":
        return int(first), int(last)
    return now.at_ms - (now.mono_ms - int(first)), now.at_ms


def _say(
    draft: Draft, spec: StationSpec, owner: Context, made: Totals, events: int, version: int,
    why: str, by: str, reason: str, bounds: tuple[int, int],
) -> None:  # fmt: skip
    figures = totals_of(draft, spec, owner)
    draft.say(
        Attribution(
            version, why, by, reason, *bounds, made.produced, made.good_parts, made.scrap_parts, events,
            figures.good_parts, figures.scrap_parts, figures.rework,
        ),
        spec.name, owner,
    )  # fmt: skip


def _publish_ended(draft: Draft, owners: Iterable[Context]) -> None:
    """What became of a job is said again where it was said before."""
    said: set[str] = set()
    for owner in owners:
        if owner.order is None:
            continue
        key = job_key(owner.order, owner.operation)
        job = draft.get(key, Job)
        run = draft.get(run_key(owner.run), Run) if owner.run and key not in said else None
        if job is not None and job.state in FINAL and run is not None:
            said.add(key)
            say_result(draft, job, run.item or "", run.quantity)
