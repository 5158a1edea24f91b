"""Runs: they begin, they end, and what is theirs can be given to others afterwards."""

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from edge.observation import WorkOrder
from edge.production.context import Context, Kind
from edge.production.draft import Draft
from edge.production.events import Flag, Order, Result
from edge.production.line import CountsBy, StationSpec
from edge.production.materials import use_up
from edge.production.scanned import Noun
from edge.production.slots import MOST_NAMED, change_slots, idle_context, slots
from edge.production.state import LINE, Job, Left, Run, Slot, Station, job_key, run_key
from edge.production.totals import NOTHING, Totals

MOST_REASONS = 100
"""Reasons of scrap that a run counts apart; those after them are counted as `other`."""
MOST_LATE = 500
"""Ended runs that are remembered for what they got in one doubt of the clock."""


def new_run_id(draft: Draft, letter: str = "r") -> str:
    line = draft.line_row(LINE)
    draft.put(LINE, replace(line, runs=line.runs + 1))
    return f"{letter}{line.runs + 1}"


def job_of(draft: Draft, run: Run) -> Job:
    """The job that a run is of; its run has an order."""
    assert run.order is not None
    return draft.job(job_key(run.order, run.operation), run.order, run.operation)


def put_job(draft: Draft, job: Job) -> None:
    draft.put(job_key(job.order, job.operation), job)


def begin_run(draft: Draft, spec: StationSpec, job: Job, order: WorkOrder, kind: Kind) -> None:
    """One more job runs at the station, from now on."""
    close_loose(draft, spec, job)
    row, now = draft.station(spec), draft.observation
    who = row.context.operator
    batch = (None if row.run else row.context.batch) or job.batches.get(spec.name) or order.batch
    run = Run(
        new_run_id(draft), spec.name, order.id, job.operation, now.at_ms, order.quantity, kind,
        order.item, order.revision,
        before=job.totals.get(spec.name, NOTHING),
        elsewhere=sum(made.good_parts for name, made in job.totals.items() if name != spec.name),
        mono_ms=now.mono_ms, boot=now.boot,
        people=(who,) if who else (), lots=(batch,) if batch else (), tools=tuple(sorted(row.tools.values())),
    )  # fmt: skip
    context = Context(
        order.id, job.operation, run.id, order.item, order.revision, batch, who,
        None if kind is Kind.PRODUCTION else kind.value,
    )  # fmt: skip
    draft.put(spec.key, replace(row, last_job=(order.id, job.operation), edge=None, noun=_over(row)))
    stations = (*(name for name in job.stations if name != spec.name), spec.name)
    started = now.at_ms if job.started_ms is None else job.started_ms
    put_job(draft, replace(job, state="Running", substate="", stations=stations, started_ms=started))
    change_slots(draft, spec, (*slots(row), Slot(context, run)), idle_context(row))
    say_order(draft, spec, Slot(context, run), "begun", "Running", job.state)


def _over(row: Station) -> Noun | None:
    """What waits is of the jobs that were on."""
    return row.noun.over("is of the job before") if row.noun else None


def end_run(draft: Draft, spec: StationSpec, slot: Slot, *, is_undone: bool = False) -> Job:
    """The run is over; returns its job, with what the run made. The job's state is as it was.

    `is_undone`: its parts go to others at once, with all that follows from them.
    """
    if not is_undone:
        use_up(draft, spec, slot)
        _compare(draft, spec, slot)
        _flag_scrap(draft, spec, slot)
    row, now, run = draft.station(spec), draft.observation, slot.run
    draft.put(run_key(run.id), replace(run, ended_ms=now.at_ms))
    left, alone = row.left, len(slots(row)) == 1
    if alone and run.kind == Kind.PRODUCTION and run.totals.made and row.last_part and run.job:
        left = Left(run.job, row.last_part)
    draft.put(spec.key, replace(row, noun=_over(row), previous=run.job, left=left))
    found = tuple(one for one in slots(row) if one.run.id != run.id)
    change_slots(draft, spec, found, idle_context(row))
    return _with_run(job_of(draft, run), spec, slot, busy_s(draft, run))


def busy_s(draft: Draft, run: Run) -> float:
    """How long it has run until now, in seconds; by the wall clock across two boots."""
    now = draft.observation
    if run.boot == now.boot:
        return max(0, now.mono_ms - run.mono_ms) / 1000
    return max(0, now.at_ms - run.started_ms) / 1000


def _with_run(job: Job, spec: StationSpec, slot: Slot, lasted_s: float) -> Job:
    run, batch = slot.run, slot.context.batch
    return replace(
        job,
        totals={**job.totals, spec.name: run.order_totals},
        aside=added_aside(job.aside, run, run.totals.counts),
        batches={**job.batches, spec.name: batch} if batch else job.batches,
        stations=tuple(name for name in job.stations if name != spec.name),
        runs=job.runs + 1,
        busy_s=round(job.busy_s + lasted_s, 3),
        people=union(job.people, run.people),
        lots=union(job.lots, run.lots),
        reasons=merged(job.reasons, run.reasons),
    )


def added_aside(aside: Mapping[str, Totals], run: Run, made: Totals) -> Mapping[str, Totals]:
    """With what a run made, where that is none of the order's quantity."""
    if run.kind == Kind.PRODUCTION or made == NOTHING:
        return aside
    key = f"{run.kind}/{run.station}"
    return {**aside, key: aside.get(key, NOTHING).and_(made)}


def union(known: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    """Names, each once; bounded."""
    return tuple(dict.fromkeys((*known, *more)))[-MOST_NAMED:]


def merged(reasons: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Counts by reason, added up; bounded."""
    found = dict(reasons)
    for reason, parts in more.items():
        key = reason if reason in found or len(found) < MOST_REASONS else "other"
        found[key] = found.get(key, 0) + parts
    return {reason: parts for reason, parts in found.items() if parts}


def _flag_scrap(draft: Draft, spec: StationSpec, slot: Slot) -> None:
    """More scrap than parts when a run ends is no race between two counters any more."""
    missing = -slot.run.order_totals.good_parts
    if missing > 0:
        words = "more scrap was counted than parts: look at the counters"
        draft.say(Flag("scrap_above_total", missing, words), spec.name, slot.context)


def _compare(draft: Draft, spec: StationSpec, slot: Slot) -> None:
    """Where machine and operator are to be reconciled, a difference does not pass unseen."""
    made = slot.run.totals
    if spec.counts_by is CountsBy.MACHINE and spec.machine_rejects and made.other_scrap > made.reject:
        words = f"the machine counted {made.reject}, reasons were given for {made.other_scrap}"
        draft.say(Flag("scrap_differs", made.reject - made.other_scrap, words), spec.name, slot.context)
    if spec.counts_by is not CountsBy.RECONCILE:
        return
    taken = max(0, made.booked + made.rework) if slot.run.kind != Kind.REWORK else 0
    less = f" ({taken} less, which a person took for scrap or rework)" if taken else ""
    for flag, machine, person, how in (
        ("good_differs", made.made - made.reject - taken, made.other_good, less),
        ("scrap_differs", made.reject, made.other_scrap, ""),
    ):
        if machine != person and (person or flag == "scrap_differs"):
            words = f"the machine counted {machine}{how}, the operator said {person}"
            draft.say(Flag(flag, machine - person, words), spec.name, slot.context)


def say_order(
    draft: Draft, spec: StationSpec, slot: Slot, here: str, state: str, was: str,
    substate: str = "", by: str = "", reason: str = "",
) -> None:  # fmt: skip
    run, totals = slot.run, slot.run.order_totals
    assert run.order is not None
    draft.say(
        Order(
            run.order, run.operation, here, state, was, totals.good_parts, totals.scrap_parts,
            run.quantity, run.kind, substate, by, reason,
        ),
        spec.name, slot.context,
    )  # fmt: skip


def say_result(draft: Draft, job: Job, item: str, quantity: int, running: Iterable[Run] = ()) -> None:
    """What became of a job that has ended, or of one that was said to have."""
    context = Context(order=job.order, operation=job.operation, item=item)
    draft.say(result_of(job, item, quantity, running), context=context)


def result_of(job: Job, item: str, quantity: int, running: Iterable[Run] = ()) -> Result:
    """What has become of a job; `running` are its runs that have not ended."""
    totals, aside, reasons, busy = dict(job.totals), dict(job.aside), dict(job.reasons), job.busy_s
    people, lots = job.people, job.lots
    for run in running:
        totals[run.station] = run.order_totals
        aside = dict(added_aside(aside, run, run.totals.counts))
        reasons, people = merged(reasons, run.reasons), union(people, run.people)
        lots = union(lots, run.lots)
    made = NOTHING
    for one in totals.values():
        made = made.and_(one)
    sums = [
        sum(one.produced for one in totals.values()),
        sum(one.good_parts for one in totals.values()),
        sum(one.scrap_parts for one in totals.values()),
    ]
    produced, good, scrap = sums
    return Result(
        job.order, job.operation, job.state, item, quantity, produced, good, scrap, made.rework,
        made.reworked, made.added, made.inspected, made.first_pass, job.started_ms, job.ended_ms, busy,
        dict(sorted(reasons.items())), lots, people,
        {key: one.made for key, one in sorted(aside.items())},
    )  # fmt: skip


# --- parts of no order ----------------------------------------------------------------------


def loose_run(draft: Draft, spec: StationSpec, *, straddles: bool = False) -> Run:
    """The run that collects what no order is known for, until the station's jobs change."""
    row, now = draft.station(spec), draft.observation
    if row.loose is not None:
        return row.loose
    nxt = row.run.job if row.run else None
    run = Run(
        new_run_id(draft, "u"), spec.name, None, None, now.at_ms, 0, Kind.UNASSIGNED,
        previous=row.previous, next=nxt, straddles=straddles,
    )  # fmt: skip
    draft.put(spec.key, replace(row, loose=run))
    return run


def loose_context(owner: Context, run: Run) -> Context:
    """Of parts without an order: what is certain of them all the same."""
    return Context(batch=owner.batch, operator=owner.operator, run=run.id)


def close_loose(draft: Draft, spec: StationSpec, job: Job | None) -> None:
    """The station's jobs change: what is unassigned from now on has other owners in question."""
    row = draft.station(spec)
    if row.loose is None:
        return
    nxt = row.loose.next or ((job.order, job.operation) if job else None)
    draft.put(run_key(row.loose.id), replace(row.loose, ended_ms=draft.observation.at_ms, next=nxt))
    draft.put(spec.key, replace(row, loose=None))


# --- what is a run's, afterwards ---------------------------------------------------------------


def shift(
    draft: Draft, spec: StationSpec, owner: Context, made: Totals,
    cycles: int = 0, cycles_s: float = 0.0, span: tuple[int, int] | None = None,
    reasons: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Add to the run that `owner` names, and to everything that sums it up. `span`: of event time."""
    row, now_ms = draft.station(spec), draft.observation.at_ms
    first_ms, until_ms = span or (now_ms, now_ms)

    def more(run: Run) -> Run:
        run = run.with_more(made, first_ms, until_ms)
        why = merged(run.reasons, reasons) if reasons else run.reasons
        seconds = round(run.cycles_s + cycles_s, 3)
        return replace(run, cycles=run.cycles + cycles, cycles_s=seconds, reasons=why)

    if owner.order is None:
        _shift_loose(draft, spec, owner, made, more)
        return
    there = slots(row)
    if any(slot.run.id == owner.run for slot in there):
        found = [replace(one, run=more(one.run)) if one.run.id == owner.run else one for one in there]
        draft.put(spec.key, replace(row, run=found[0].run, others=tuple(found[1:])))
        return
    run = draft.get(run_key(owner.run or ""), Run)
    if run is None:
        return
    _put_late(draft, more(run))
    mine = made if run.kind == Kind.PRODUCTION else made.dispositions
    job = job_of(draft, run)
    totals = {**job.totals, spec.name: job.totals.get(spec.name, NOTHING).and_(mine)}
    aside = added_aside(job.aside, run, made.counts)
    why = merged(job.reasons, reasons) if reasons else job.reasons
    put_job(draft, replace(job, totals=totals, aside=aside, reasons=why))
    _shift_before(draft, spec, job, mine)


def _shift_before(draft: Draft, spec: StationSpec, job: Job, mine: Totals) -> None:
    """The same job runs here again: what its earlier runs made is in its figures."""
    row = draft.station(spec)
    found = tuple(
        replace(slot, run=replace(slot.run, before=slot.run.before.and_(mine)))
        if slot.run.job == (job.order, job.operation) else slot
        for slot in slots(row)
    )  # fmt: skip
    if found:
        draft.put(spec.key, replace(row, run=found[0].run, others=found[1:]))


def _shift_loose(
    draft: Draft, spec: StationSpec, owner: Context, made: Totals, more: Callable[[Run], Run]
) -> None:
    row = draft.station(spec)
    unassigned = row.unassigned.and_(made)
    if row.loose is not None and row.loose.id == owner.run:
        draft.put(spec.key, replace(row, unassigned=unassigned, loose=more(row.loose)))
        return
    draft.put(spec.key, replace(row, unassigned=unassigned))
    if owner.run and (run := draft.get(run_key(owner.run), Run)) is not None:
        _put_late(draft, more(run))


def _put_late(draft: Draft, run: Run) -> None:
    """A run that has ended got something. The time of that is to be corrected where it is an estimate."""
    draft.put(run_key(run.id), run)
    line = draft.line_row(LINE)
    if line.late is not None and run.id not in line.late:
        draft.put(LINE, replace(line, late=(*line.late, run.id)[-MOST_LATE:]))


def totals_of(draft: Draft, spec: StationSpec, owner: Context) -> Totals:
    """Of the job that `owner` names, at this station; of all unassigned parts where it has none."""
    row = draft.station(spec)
    if owner.order is None:
        return row.unassigned
    for slot in slots(row):
        if slot.run.job == (owner.order, owner.operation):
            return slot.run.order_totals
    job = draft.get(job_key(owner.order, owner.operation), Job)
    return job.totals.get(spec.name, NOTHING) if job else NOTHING


def run_totals(draft: Draft, spec: StationSpec, owner: Context) -> Totals:
    """Of the run that `owner` names."""
    row = draft.station(spec)
    if row.loose is not None and row.loose.id == owner.run:
        return row.loose.totals
    for slot in slots(row):
        if slot.run.id == owner.run:
            return slot.run.totals
    run = draft.get(run_key(owner.run), Run) if owner.run else None
    return run.totals if run else NOTHING
