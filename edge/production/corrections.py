"""Parts get another owner: an operator takes a scan back or backdates it, a supervisor reassigns.

Raw facts stay as they are. Which events are moved is said to the journal (`Draft.moves`); what they add
up to comes from it (`views`), and moves with them.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.beside import LotTaken, ReasonTaken, Slice, Taken, ToolTaken, UnitTaken, View
from edge.production.booking import take_back
from edge.production.context import Context, Kind
from edge.production.dealing import dispose
from edge.production.deciding import take_decision_back
from edge.production.draft import Draft
from edge.production.line import Line, StationSpec
from edge.production.materials import take_lot_back
from edge.production.moving import give, happened_in, publish_ended
from edge.production.orders import FINAL, HELD, INTERRUPTED, RUNNING, RefusedError, job_name, the_slot
from edge.production.runs import (
    added_aside,
    busy_s,
    close_loose,
    end_run,
    job_of,
    loose_context,
    loose_run,
    merged,
    put_job,
    say_order,
    say_result,
)
from edge.production.slots import change_slots, contexts, slots
from edge.production.state import Job, Row, Run, Slot, Station, Undo, job_key, run_key, unit_key
from edge.production.stops import take_reason_back
from edge.production.tools import take_tool_back
from edge.production.totals import NOTHING
from edge.production.units import booking_needs, seen_again, unit_needs
from edge.production.views import Since, Window

UNDO_MS = 120_000
"""So long an operator may take the last scan back; later it is for a supervisor."""
BACK_MOST_MIN = 480

Rows = Mapping[str, Row | None]


# --- what an operator may do at once ---------------------------------------------------------


def undo_needs(line: Line, spec: StationSpec, rows: Rows, now: Observation) -> tuple[str, ...]:
    row = rows.get(spec.key)
    if not isinstance(row, Station) or row.undo is None or _is_too_late(row.undo, now):
        return ()
    undone = row.undo
    if undone.taken is not None:
        return _taken_needs(line, spec, rows, undone.taken)
    view = _since(spec, undone)
    runs = [slot.run for slot in (*slots(row), *undone.others)] + ([undone.run] if undone.run else [])
    keys = [run_key(run.id) for run in runs]
    keys += [job_key(run.order, run.operation) for run in runs if run.order]
    return (view, *keys, *undone.jobs, *slice_needs(rows.get(view)))


def _taken_needs(line: Line, spec: StationSpec, rows: Rows, taken: Taken) -> tuple[str, ...]:
    if isinstance(taken, UnitTaken):
        return (*unit_needs(line, taken.serial, rows), *booking_needs(line, taken.booked_at))
    if isinstance(taken, LotTaken):
        return tuple(map(unit_key, taken.units))
    return (spec.stops_key,)


def _is_too_late(undone: Undo, now: Observation) -> bool:
    return undone.boot != now.boot or now.mono_ms - undone.mono_ms > UNDO_MS


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
    if _is_too_late(undone, now):
        raise RefusedError("that was too long ago: ask your supervisor")
    if undone.by != row.context.operator:
        raise RefusedError(f"that was {undone.by or 'somebody else'}: only who scanned it can take it back")
    draft.put(spec.key, replace(row, undo=None))
    if undone.taken is not None:
        return _take_back(draft, spec, undone.context, undone.taken)
    if undone.booked is not None:
        slot = the_slot(draft, spec, undone.run.job if undone.run else None)
        return take_back(draft, spec, slot, undone.booked, undone.made)
    return _undo_change(draft, spec, undone)


def _take_back(draft: Draft, spec: StationSpec, context: Context, taken: Taken) -> str:
    if isinstance(taken, ToolTaken):
        return take_tool_back(draft, spec, taken)
    if isinstance(taken, ReasonTaken):
        return take_reason_back(draft, spec, taken)
    if isinstance(taken, UnitTaken):
        return take_decision_back(draft, spec, context, taken)
    words = take_lot_back(draft, spec, context, taken)
    seen_again(draft, spec, taken.units)
    return words


def _undo_change(draft: Draft, spec: StationSpec, undone: Undo) -> str:
    """Everything is as it was before the scan; parts made since go back."""
    row = draft.station(spec)
    homes = {one.run: one for one in _contexts_of(undone)}
    view = draft.get(_since(spec, undone), View) or View()
    moved = [one for one in view.slices if _goes_back(row, undone, one.context, homes)]
    strays = [one for one in moved if one.context.run not in homes]
    if len(homes) > 1 and any(one.totals != NOTHING for one in strays):
        raise RefusedError("parts were made since, and of which job nobody knows: ask your supervisor")
    ended = _over(draft, undone)
    _restore(draft, spec, undone)
    targets = [homes.get(one.context.run) or _target(draft, spec, undone.context) for one in moved]
    given = list(zip(moved, targets, strict=True))
    give(draft, spec, _since(spec, undone), given, "undo", undone.by or "", undone.label)
    for one in strays:
        _into_rework_again(draft, spec, undone, one)
    for slot in slots(draft.station(spec)):
        if slot.run.id in ended:  # what was said of its job is no longer so
            say_result(draft, job_of(draft, slot.run), slot.run.item or "", slot.run.quantity, [slot.run])
    parts = sum(one.totals.produced for one in strays)
    return f"{undone.label} taken back at {spec.name}" + (f", with {parts} parts" if parts else "")


def _into_rework_again(draft: Draft, spec: StationSpec, undone: Undo, one: Slice) -> None:
    """What a rework run took out of rework by its counting waits again: that run should not have been."""
    if one.context.kind != Kind.REWORK or undone.run is None:
        return
    dispose(draft, spec, undone.run.id, "reworked", -one.totals.reworked, "taken back")
    dispose(draft, spec, undone.run.id, "rework_scrapped", -one.totals.booked, "taken back")


def _contexts_of(undone: Undo) -> tuple[Context, ...]:
    return (undone.context, *(slot.context for slot in undone.others))


def _goes_back(row: Station, undone: Undo, context: Context, homes: Mapping[str | None, Context]) -> bool:
    """Whether these parts, seen since, would be under another context if the scan had never been.

    A late part of a run before it keeps its run; whose a part is that was nobody's already, stays open.
    """
    if context.run in homes:
        return homes[context.run] != context
    if _number(context.run) <= undone.runs:
        return False
    same_jobs = [one.run for one in contexts(row)] == list(homes)
    return context.order is not None or not (undone.unsure or same_jobs)


def _number(run: str | None) -> int:
    """`r7` was begun after `u6`."""
    return int(run[1:]) if run else 0


def _target(draft: Draft, spec: StationSpec, context: Context) -> Context:
    """The context as events have it: parts of no order are in a run of their own."""
    return context if context.order else loose_context(context, loose_run(draft, spec))


def _restore(draft: Draft, spec: StationSpec, undone: Undo) -> None:
    """The jobs of the station as they were; a run that went on meanwhile keeps what it made."""
    row = draft.station(spec)
    now_on = {slot.run.id: slot.run for slot in slots(row)}
    wanted = (Slot(undone.context, undone.run), *undone.others) if undone.run else ()
    kept = {slot.run.id for slot in wanted}
    for slot in wanted:
        if slot.run.id not in now_on:
            _check_revival(draft, slot.run, undone)
    for slot in slots(row):
        if slot.run.id not in kept:
            _end_undone(draft, spec, slot, undone)
    found = tuple(
        replace(slot, run=now_on.get(slot.run.id) or _revived(draft, spec, slot, undone)) for slot in wanted
    )
    if [slot.run.id for slot in slots(row)] != [slot.run.id for slot in wanted]:
        close_loose(draft, spec, None)
    change_slots(draft, spec, found, undone.context)
    draft.put(spec.key, replace(
        draft.station(spec), last_job=undone.last_job, noun=None, left=row.left, previous=row.previous
    ))  # fmt: skip


def _end_undone(draft: Draft, spec: StationSpec, slot: Slot, undone: Undo) -> None:
    """A run that should not have begun: its job is what it was before.

    One that ran at another station then may have been taken back there too: it never ran.
    """
    job = end_run(draft, spec, slot, is_undone=True)
    key = job_key(job.order, job.operation)
    before = undone.jobs.get(key) or Job(job.order, job.operation)
    if before.state == RUNNING:
        before = Job(job.order, job.operation)
    ran = job.runs - 1 > before.runs  # at another station, since then
    state, substate = (INTERRUPTED, "Suspended") if ran else (before.state, before.substate)
    if job.stations:
        state, substate = RUNNING, ""
    busy = round(max(0.0, job.busy_s - busy_s(draft, slot.run)), 3)
    started_ms = job.started_ms if ran or job.stations else before.started_ms
    put_job(draft, replace(
        job, state=state, substate=substate, started_ms=started_ms, busy_s=busy, runs=job.runs - 1
    ))  # fmt: skip
    say_order(draft, spec, slot, "undone", state, RUNNING, substate)


def _over(draft: Draft, undone: Undo) -> set[str]:
    """Runs whose job the scan has ended, and its result was said."""
    runs = [run for run in (undone.run, *(slot.run for slot in undone.others)) if run and run.order]
    return {run.id for run in runs if job_of(draft, run).state in FINAL}


def _check_revival(draft: Draft, run: Run, undone: Undo) -> None:
    """What the office or another station has decided about the job meanwhile stands. May refuse."""
    job = job_of(draft, run)
    by_another = undone.left.get(job_key(job.order, job.operation)) != job.state
    if job.substate == HELD or (job.state in FINAL and by_another):
        name = job_name(job.order, job.operation)
        raise RefusedError(f"{name} is {(job.substate or job.state).lower()} now: ask your supervisor")


def _revived(draft: Draft, spec: StationSpec, slot: Slot, undone: Undo) -> Run:
    """A run that the scan ended goes on as if nothing had been; it keeps what came to it since."""
    key = run_key(slot.run.id)
    run = draft.get(key, Run) or slot.run
    job = job_of(draft, run)
    mine = run.totals if run.kind == Kind.PRODUCTION else run.totals.dispositions
    others = job.totals.get(spec.name, NOTHING).and_(mine.negative())
    lasted_s = (undone.mono_ms - run.mono_ms) / 1000 if run.boot == undone.boot else 0.0
    put_job(draft, replace(
        job, state=RUNNING, substate="", stations=(*job.stations, spec.name), ended_ms=None,
        totals={**job.totals, spec.name: others},
        aside=added_aside(job.aside, run, run.totals.counts.negative()),
        reasons=merged(job.reasons, {reason: -parts for reason, parts in run.reasons.items()}),
        busy_s=round(max(0.0, job.busy_s - max(0.0, lasted_s)), 3), runs=job.runs - 1,
    ))  # fmt: skip
    run = replace(run, ended_ms=None, before=others)
    draft.put(key, run)
    say_order(draft, spec, replace(slot, run=run), "restored", RUNNING, job.state)
    return run


def back_needs(spec: StationSpec, rows: Rows, now: Observation, minutes: int) -> tuple[str, ...]:
    row = rows.get(spec.key)
    if not isinstance(row, Station) or row.undo is None:
        return ()
    view, before = _backdated(spec, row.undo, now, minutes).key, row.undo.run
    ended = (run_key(before.id), job_key(before.order or "", before.operation)) if before else ()
    return (view, *ended, *slice_needs(rows.get(view)))


def _backdated(spec: StationSpec, undone: Undo, now: Observation, minutes: int) -> Window:
    """From so long before the scan, but never past the change before it, until now.

    That change may be in the future, where the clock was set back since.
    """
    from_ms = min(undone.at_ms, max(undone.at_ms - minutes * 60_000, undone.since_ms))
    return Window(spec.name, from_ms, max(from_ms, now.at_ms) + 1)


def back(draft: Draft, spec: StationSpec, minutes: int) -> str:
    """The last scan here is taken as made so many minutes earlier."""
    row, now = draft.station(spec), draft.observation
    undone = row.undo
    if undone is None:
        raise RefusedError(f"nothing to backdate at {spec.name}: scan the card first")
    if undone.booked is not None or undone.taken is not None:
        raise RefusedError(f"{undone.label} cannot be backdated: {_why_not(undone.taken)}")
    if _is_too_late(undone, now):
        raise RefusedError("that scan was too long ago: ask your supervisor")
    if len(contexts(row)) > 1:
        raise RefusedError(f"several jobs run at {spec.name}: ask your supervisor")
    window = _backdated(spec, undone, now, minutes)
    view = happened_in(draft, window)
    draft.put(spec.key, replace(row, undo=None))
    target = _target(draft, spec, row.context)
    moved = [
        (one, target) for one in view.slices
        if one.context != target and _can_be_earlier(row, undone, one)
    ]  # fmt: skip
    _backdate_runs(draft, spec, undone, window.from_ms)
    give(draft, spec, window.key, moved, "back", undone.by or "", f"{undone.label} {minutes} min earlier")
    if undone.context not in [one.context for one, _ in moved]:
        publish_ended(draft, [undone.context])  # its times are others
    parts = sum(one.totals.produced for one, _ in moved)
    held = "" if window.from_ms > undone.since_ms else " (to the scan before it)"
    return f"{undone.label} backdated by {(undone.at_ms - window.from_ms) // 60_000} min{held}: {parts} parts"


def _why_not(taken: Taken | None) -> str:
    if isinstance(taken, ToolTaken | LotTaken):
        return "units were recorded without it until then. Tell your supervisor"
    if isinstance(taken, ReasonTaken):
        return "it is of the whole stop"
    return "it is of the parts counted so far"


def _can_be_earlier(row: Station, undone: Undo, one: Slice) -> bool:
    """Whether these parts are in question when the scan is backdated.

    Those of the run that it ended are, but for what was read at the very change before; those of no
    order are, where nothing ran. A badge or a lot says nothing of whose the parts are.
    """
    context, before = one.context, [home.run for home in _contexts_of(undone)]
    if context.order is not None and context.run in before:
        return context in _contexts_of(undone) or one.first_ms >= undone.at_ms
    if before == [there.run for there in contexts(row)]:
        return False
    if context.order is None and undone.run is None and context.run == undone.loose:
        return True
    return _number(context.run) > undone.runs and (context.order is not None or not undone.unsure)


def _backdate_runs(draft: Draft, spec: StationSpec, undone: Undo, from_ms: int) -> None:
    """The run that the scan began is longer by so much, the one that it ended shorter.

    A run that was on beside the one that ended, and still is, began when it began.
    """
    row, ended = draft.station(spec), undone.run
    if row.run is not None and ended is not None and row.run.id == ended.id:
        return  # the run began when it began
    earlier_ms = undone.at_ms - from_ms
    if row.run is not None and row.run.id not in [home.run for home in _contexts_of(undone)]:
        run = replace(row.run, started_ms=from_ms, mono_ms=row.run.mono_ms - earlier_ms)
        draft.put(spec.key, replace(row, run=run))
        job = job_of(draft, run)
        if job.started_ms == row.run.started_ms:
            put_job(draft, replace(job, started_ms=from_ms))
    if ended is not None and ended.order is not None:
        job = job_of(draft, ended)
        busy = round(max(0.0, job.busy_s - earlier_ms / 1000), 3)
        put_job(draft, replace(job, busy_s=busy, ended_ms=from_ms if job.ended_ms else None))
        past = draft.get(run_key(ended.id), Run)
        if past is not None:
            draft.put(run_key(ended.id), replace(past, ended_ms=from_ms))
