"""Whose parts they are: one job's, several jobs' by the station's rule, or nobody's."""

from typing import NamedTuple

from msgspec.structs import replace

from edge.production.context import NO_CONTEXT, Context, Kind
from edge.production.draft import Draft
from edge.production.events import Count, Disposition, Flag
from edge.production.line import Role, Split, StationSpec
from edge.production.runs import loose_context, loose_run, run_totals, shift, totals_of
from edge.production.slots import slots
from edge.production.state import Run, Slot, Station
from edge.production.totals import Totals, disposed

Owners = tuple[Context, ...]


class Share(NamedTuple):
    """Parts under one context."""

    context: Context
    parts: int
    straddles: bool = False
    """Counted over a change of the context, nobody knows on which side."""


def deal(draft: Draft, spec: StationSpec, role: Role, owners: Owners, parts: int) -> list[Share]:
    """Parts among the jobs that they can be of: every part once."""
    if len(owners) == 1:
        return [Share(owners[0], parts)]
    row = draft.station(spec)
    runs = [_running(row, owner) for owner in owners]
    if parts <= 0 or None in runs:
        return [Share(owners[0] if parts <= 0 else NO_CONTEXT, parts)]
    if spec.split is Split.EQUAL:
        of_dealt = role is Role.REJECT and spec.total_has_rejects  # the newest of those dealt already
        dealt = _in_turn(len(owners), row.dealt - parts if of_dealt else row.dealt, parts)
        if not of_dealt:
            draft.put(spec.key, replace(row, dealt=(row.dealt + parts) % len(owners)))
    else:
        dealt = _first_first([run for run in runs if run], role, parts)
    return [Share(owner, some) for owner, some in zip(owners, dealt, strict=True) if some]


def _running(row: Station, owner: Context) -> Run | None:
    return next((slot.run for slot in slots(row) if slot.run.id == owner.run), None)


def _in_turn(jobs: int, turn: int, parts: int) -> list[int]:
    """One each, beginning with whose turn it is."""
    each, rest = divmod(parts, jobs)
    return [each + (1 if (place - turn) % jobs < rest else 0) for place in range(jobs)]


def _first_first(runs: list[Run], role: Role, parts: int) -> list[int]:
    """To the first until it has its quantity; what is left over is the last one's.

    Rejects are of the job that the newest parts went to.
    """
    dealt = [0] * len(runs)
    if role is Role.REJECT:
        newest = max((place for place, run in enumerate(runs) if run.totals.made > 0), default=0)
        dealt[newest] = parts
        return dealt
    for place, run in enumerate(runs):
        room = max(0, run.quantity - run.elsewhere - run.order_totals.good_parts)
        dealt[place] = min(parts, room)
        parts -= dealt[place]
    dealt[-1] += parts
    return dealt


def book_count(draft: Draft, spec: StationSpec, share: Share, made: Totals) -> Share:
    """Add to the run that was on, or to the parts of no order; returns whom the parts belong to."""
    if share.parts == 0:
        return share
    row = draft.station(spec)
    if row.run is not None and row.run.id == share.context.run and row.run.kind == Kind.PRODUCTION:
        _book_production(draft, spec, row, row.run, made)
        return share
    slot = next((one for one in slots(row) if one.run.id == share.context.run), None)
    if slot is None and share.context.order is not None:  # a run that has ended meanwhile
        shift(draft, spec, share.context, made)
        return share
    if slot is None:
        run = loose_run(draft, spec, straddles=share.straddles or row.run is not None)
        row = draft.station(spec)
        run = _counted(run, made, draft.observation.at_ms)
        draft.put(spec.key, replace(row, loose=run, unassigned=row.unassigned.and_(made)))
        return Share(loose_context(share.context, run), share.parts)
    run = slot.run
    run = _counted(run, made, draft.observation.at_ms)
    put_slot(draft, spec, replace(slot, run=run))
    if run.kind == Kind.REWORK:
        _rework(draft, spec, run.id, made)
    elif run.kind == Kind.PRODUCTION and not run.over:
        _flag_excess(draft, spec, replace(slot, run=run))
    return share


def _book_production(draft: Draft, spec: StationSpec, row: Station, run: Run, made: Totals) -> None:
    """The short way of nearly every part."""
    run = _counted(run, made, draft.observation.at_ms)
    draft.put(spec.key, replace(row, run=run))
    if not run.over:
        _flag_excess(draft, spec, Slot(row.context, run))


def _counted(run: Run, made: Totals, at_ms: int) -> Run:
    first_ms = run.first_ms if run.started_ms <= at_ms else min(at_ms, run.first_ms or at_ms)
    return replace(run, totals=run.totals.and_(made), last_ms=max(run.last_ms, at_ms), first_ms=first_ms)


def put_slot(draft: Draft, spec: StationSpec, changed: Slot) -> None:
    row = draft.station(spec)
    if row.run is not None and row.run.id == changed.run.id:
        draft.put(spec.key, replace(row, context=changed.context, run=changed.run))
        return
    others = tuple(changed if slot.run.id == changed.run.id else slot for slot in row.others)
    draft.put(spec.key, replace(row, others=others))


def slot_by_run(draft: Draft, spec: StationSpec, run: str) -> Slot:
    return next(slot for slot in slots(draft.station(spec)) if slot.run.id == run)


def _flag_excess(draft: Draft, spec: StationSpec, slot: Slot) -> None:
    """Once a run, when the job has more than was wanted: it is accepted, and said."""
    excess = slot.run.order_totals.good_parts + slot.run.elsewhere - slot.run.quantity
    if excess > 0:
        put_slot(draft, spec, replace(slot, run=replace(slot.run, over=True)))
        draft.say(Flag("overproduced", excess, f"{slot.run.quantity} were wanted"), spec.name, slot.context)


def _rework(draft: Draft, spec: StationSpec, run_id: str, made: Totals) -> None:
    """A part of a rework run is one that waited for it: good now, or scrap; it was counted before."""
    rejects, passes = made.reject, made.total + made.good
    machine = not spec.operator_counts
    if machine and made.reject and Role.TOTAL in spec.roles:  # its pass was counted by the total already
        dispose(draft, spec, run_id, "reworked", -rejects, "")
    for disposition, parts in (("reworked", passes), ("rework_scrapped", rejects)):
        waiting = max(0, slot_by_run(draft, spec, run_id).run.order_totals.rework)
        if parts > 0:
            dispose(draft, spec, run_id, disposition, min(parts, waiting), "")
        slot = slot_by_run(draft, spec, run_id)
        if parts > waiting and not slot.run.over:
            put_slot(draft, spec, replace(slot, run=replace(slot.run, over=True)))
            words = "no parts were known to wait for rework"
            draft.say(Flag("rework_unknown", parts - waiting, words), spec.name, slot.context)


def dispose(
    draft: Draft, spec: StationSpec, run_id: str, disposition: str, parts: int, reason: str,
    unit: str | None = None,
) -> None:  # fmt: skip
    """Parts of a run that is on are something else than they were taken for."""
    if parts == 0:
        return
    slot = slot_by_run(draft, spec, run_id)
    at_ms = draft.observation.at_ms
    run = slot.run.with_more(disposed(disposition, parts), at_ms, at_ms)
    put_slot(draft, spec, replace(slot, run=run))
    figures = run.order_totals
    draft.say(
        Disposition(
            disposition, parts, reason, figures.good_parts, figures.scrap_parts, figures.rework, unit
        ),
        spec.name, slot.context,
    )  # fmt: skip


def say_count(
    draft: Draft, spec: StationSpec, role: Role, share: Share, raw: int, quality: str,
    *, held: int = 0, counts: bool = True, source: str = "machine", of_total: bool = False, reason: str = "",
    was: int | None = None, read_as: str = "",
) -> None:  # fmt: skip
    """A count event with the figures of the share's owner as they are now."""
    on = draft.station(spec).run
    if on is not None and on.id == share.context.run:
        made, figures = on.totals, on.order_totals
    else:
        made, figures = run_totals(draft, spec, share.context), totals_of(draft, spec, share.context)
    draft.say(
        Count(
            role, share.parts, raw, quality, made.of(role), figures.good_parts, figures.scrap_parts,
            held, figures.rework, source, counts, of_total, reason, was, read_as,
        ),
        spec.name, share.context,
    )  # fmt: skip
