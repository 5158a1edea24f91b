"""Jobs and their states (OPC 10031-4): what may start, and what happens to a job when a run stops."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import WorkOrder
from edge.production.context import Kind
from edge.production.draft import Draft
from edge.production.events import Flag
from edge.production.line import Line, StationSpec
from edge.production.runs import begin_run, close_loose, end_run, put_job, say_order, say_result
from edge.production.slots import slot_of, slots
from edge.production.state import Job, JobId, Row, Run, Slot, Station, job_key, order_key

ALLOWED_TO_START = "AllowedToStart"
RUNNING = "Running"
INTERRUPTED = "Interrupted"
ENDED = "Ended"
ABORTED = "Aborted"
NOT_ALLOWED = "NotAllowedToStart"
HELD = "Held"
"""Substate of a job that was interrupted by a constraint; Suspended: deliberately."""

FINAL = (ENDED, ABORTED)
_SUBSTATES = {INTERRUPTED: "Suspended", ENDED: "Completed", ABORTED: ""}


class RefusedError(Exception):
    """A scan asks for what cannot be; its text is for the operator. Nothing is changed."""


def find_order(draft: Draft, order: str) -> WorkOrder | None:
    """From the line's file, or as it came in."""
    written = draft.line.orders.get(order)
    return written or draft.get(order_key(order), WorkOrder)


def names_of(body: str) -> tuple[str, ...]:
    """The orders that a job card's body can mean."""
    return (body, body.rpartition("-")[0])


def card_needs(line: Line, card: str, rows: Mapping[str, Row | None]) -> tuple[str, ...]:
    """Rows to tell what a card means: the orders it can be of, then the jobs that those have."""
    keys = []
    for name in names_of(card):
        keys.append(order_key(name))
        order = line.orders.get(name) or rows.get(order_key(name))
        if isinstance(order, WorkOrder):
            keys += [job_key(name, operation) for operation in order.operations or (None,)]
    return tuple(keys)


def split_job(draft: Draft, body: str) -> tuple[WorkOrder, int | None]:
    """`WO-1001-10` is operation 10 of order WO-1001. Raises RefusedError."""
    if (order := find_order(draft, body)) is not None:
        if len(order.operations) > 1:
            raise RefusedError(f"{body} has operations {_listed(order)}: scan the card of one of them")
        return order, order.operations[0] if order.operations else None
    name, _, operation = body.rpartition("-")
    order = find_order(draft, name)
    if order is None:
        raise RefusedError(f"this line has no order {body}")
    if not order.operations:
        raise _no_operations(order)
    if not operation.isdigit() or int(operation) not in order.operations:
        raise RefusedError(f"order {name} has no operation {operation}, only {_listed(order)}")
    return order, int(operation)


def known_job(draft: Draft, order_id: str, operation: int | None) -> tuple[WorkOrder, int | None]:
    """A job that ran before, if its order still has it. Raises RefusedError."""
    order = find_order(draft, order_id)
    if order is None:
        raise RefusedError(f"this line has no order {order_id}")
    if operation is not None and not order.operations:
        raise _no_operations(order)
    if operation not in (order.operations or (None,)):
        raise RefusedError(f"{order_id} has operations {_listed(order)}: scan the card of one of them")
    return order, operation


def _no_operations(order: WorkOrder) -> RefusedError:
    return RefusedError(f"order {order.id} has no operations: scan the card of the order, $J{order.id}")


def _listed(order: WorkOrder) -> str:
    return ", ".join(str(operation) for operation in order.operations)


def job_name(order: str, operation: int | None) -> str:
    return order if operation is None else f"{order}-{operation}"


def start_job(
    draft: Draft, spec: StationSpec, order: WorkOrder, operation: int | None, kind: Kind = Kind.PRODUCTION
) -> str:
    """Begin a run; where there is room for one job only, it ends the one that is on. May refuse."""
    row, name = draft.station(spec), job_name(order.id, operation)
    running = slot_of(row, (order.id, operation))
    if running is not None:
        return _status(running, order, name)
    _check_start(draft, spec, order, operation)
    if len(slots(row)) >= spec.capacity:
        if spec.capacity > 1:
            raise RefusedError(f"{spec.name} has {_running(row)}: finish or pause one of them first")
        stop_job(draft, spec, INTERRUPTED)
    job = draft.job(job_key(order.id, operation), order.id, operation)
    begin_run(draft, spec, job, order, kind)
    if job.totals:
        made = sum(one.good_parts for one in job.totals.values())
        return f"{name} goes on at {spec.name}: {made} of {order.quantity}"
    return f"{name} started at {spec.name}, {order.quantity} of {order.item}"


def _status(slot: Slot, order: WorkOrder, name: str) -> str:
    kind = "" if slot.run.kind == Kind.PRODUCTION else f" ({slot.run.kind})"
    made = max(0, slot.run.order_totals.good_parts + slot.run.elsewhere)
    return f"{name} is running{kind}: {made} of {order.quantity}"


def _running(row: Station) -> str:
    return ", ".join(job_name(*slot.run.job) for slot in slots(row) if slot.run.job)


def _check_start(draft: Draft, spec: StationSpec, order: WorkOrder, operation: int | None) -> None:
    name = job_name(order.id, operation)
    if draft.line.badge_required and draft.station(spec).context.operator is None:
        raise RefusedError("scan your badge first")
    job = draft.job(job_key(order.id, operation), order.id, operation)
    if job.state in FINAL:
        raise RefusedError(f"{name} has ended; a new job is needed to make more")
    if job.state == NOT_ALLOWED or job.substate == HELD:
        raise RefusedError(f"{name} is held: ask your supervisor to release it")


def stop_job(
    draft: Draft, spec: StationSpec, state: str, job: JobId | None = None, substate: str = "",
    by: str = "", reason: str = "",
) -> str:  # fmt: skip
    """End a run (`job`'s, or the only one); the job is Interrupted or Ended, or goes on at other stations."""
    slot = the_slot(draft, spec, job)
    ended = end_run(draft, spec, slot)
    was, run = "Running", slot.run
    after = state if not ended.stations else RUNNING
    substate = (substate or _SUBSTATES[state]) if after != RUNNING else ""
    ended = replace(ended, state=after, substate=substate)
    row = draft.station(spec)
    if state not in FINAL or row.last_job == run.job:
        draft.put(spec.key, replace(row, last_job=None if state in FINAL else run.job))
    say_order(draft, spec, slot, "ended", after, was, substate, by, reason)
    close_loose(draft, spec, None)
    flag_excess(draft, spec, slot, ended)
    put_job(draft, ended)
    if after in FINAL:
        finish(draft, ended, run.item or "", run.quantity)
    return _stopped(spec, run, ended, state)


def finish(draft: Draft, job: Job, item: str, quantity: int) -> None:
    """A job is over: what became of it goes out."""
    job = replace(job, ended_ms=draft.observation.at_ms)
    put_job(draft, job)
    say_result(draft, job, item, quantity)


def flag_excess(draft: Draft, spec: StationSpec, slot: Slot, job: Job) -> None:
    """More than the target is accepted and said, once a run."""
    excess = sum(made.good_parts for made in job.totals.values()) - slot.run.quantity
    if excess > 0 and not slot.run.over:
        draft.say(Flag("overproduced", excess, f"{slot.run.quantity} were wanted"), spec.name, slot.context)


def _stopped(spec: StationSpec, run: Run, job: Job, state: str) -> str:
    assert run.job is not None
    name, made = job_name(*run.job), f"{max(0, run.order_totals.good_parts)} of {run.quantity}"
    if job.stations:
        return f"{name}: {spec.name} made {made}, it goes on at {', '.join(job.stations)}"
    over_all = max(0, sum(one.good_parts for one in job.totals.values()))
    return f"{name} {state.lower()}: {over_all} of {run.quantity}"


def skipped(draft: Draft, order: WorkOrder, operation: int | None) -> list[int]:
    """Operations before this one of which nothing was ever made; their jobs are at hand."""
    if operation not in order.operations:
        return []
    before = order.operations[: order.operations.index(operation)]
    jobs = {one: draft.get(job_key(order.id, one), Job) for one in before}
    return [one for one, job in jobs.items() if job is None or job.started_ms is None]


def the_slot(draft: Draft, spec: StationSpec, job: JobId | None = None) -> Slot:
    """The run of a job, or the only one. Raises RefusedError."""
    row = draft.station(spec)
    found = slots(row) if job is None else tuple(one for one in slots(row) if one.run.job == job)
    if not found:
        raise RefusedError(f"no job is running at {spec.name}")
    if len(found) > 1:
        raise RefusedError(f"which job? {spec.name} has {_running(row)}: scan its card first")
    return found[0]


def switch_kind(draft: Draft, spec: StationSpec, kind: Kind, job: JobId | None = None) -> str:
    """The job that runs goes on as setup, production, rework or test. May refuse."""
    slot = the_slot(draft, spec, job)
    run = slot.run
    assert run.job is not None
    name = job_name(*run.job)
    if run.kind == kind:
        raise RefusedError(f"{name} is in {kind.value} already")
    order, _ = known_job(draft, *run.job)
    ended = end_run(draft, spec, slot)
    put_job(draft, ended)
    say_order(draft, spec, slot, "ended", RUNNING, RUNNING)
    begin_run(draft, spec, ended, order, kind)
    return f"{name}: {kind.value} at {spec.name}"
