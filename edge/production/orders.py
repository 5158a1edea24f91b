"""Jobs (OPC 10031-4) and the context that parts are made under."""

from msgspec.structs import replace

from edge.observation import WorkOrder
from edge.production.draft import Draft
from edge.production.events import Order
from edge.production.line import StationSpec
from edge.production.state import LINE, Context, Counter, Job, Run, Totals, job_key, order_key

ALLOWED_TO_START = "AllowedToStart"
RUNNING = "Running"
INTERRUPTED = "Interrupted"
ENDED = "Ended"

_FINAL = (ENDED, "Aborted")


class RefusedError(Exception):
    """A scan asks for what cannot be; its text is for the operator. Nothing is changed."""


def find_order(draft: Draft, order: str) -> WorkOrder | None:
    """From the line's file, or as it came in."""
    written = draft.line.orders.get(order)
    return written or draft.get(order_key(order), WorkOrder)


def names_of(body: str) -> tuple[str, ...]:
    """The orders that a job card's body can mean."""
    return (body, body.rpartition("-")[0])


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
    if not operation.isdigit() or int(operation) not in order.operations:
        raise RefusedError(f"order {name} has no operation {operation}, only {_listed(order)}")
    return order, int(operation)


def known_job(draft: Draft, order_id: str, operation: int | None) -> tuple[WorkOrder, int | None]:
    """A job that ran before, if its order still has it. Raises RefusedError."""
    order = find_order(draft, order_id)
    if order is None:
        raise RefusedError(f"this line has no order {order_id}")
    if operation not in (order.operations or (None,)):
        raise RefusedError(f"{order_id} has operations {_listed(order)}: scan the card of one of them")
    return order, operation


def _listed(order: WorkOrder) -> str:
    return ", ".join(str(operation) for operation in order.operations) or "none"


def job_name(order: str, operation: int | None) -> str:
    return order if operation is None else f"{order}-{operation}"


def start_job(draft: Draft, spec: StationSpec, order: WorkOrder, operation: int | None) -> str:
    """Begin a run, ending the one that is on. Returns what happened in words; may refuse."""
    row, name = draft.station(spec), job_name(order.id, operation)
    if row.run is not None and (row.run.order, row.run.operation) == (order.id, operation):
        return f"{name} is running: {row.run.order_totals.good_parts} of {order.quantity}"
    if draft.line.badge_required and row.context.operator is None:
        raise RefusedError("scan your badge first")
    key = job_key(order.id, operation)
    if draft.job(key, order.id, operation).state in _FINAL:
        raise RefusedError(f"{name} has ended; a new job is needed to make more")
    if row.run is not None:
        stop_job(draft, spec, INTERRUPTED)
    job = draft.job(key, order.id, operation)
    _begin_run(draft, spec, job, order)
    if spec.name in job.totals:
        good = job.totals[spec.name].good_parts
        return f"{name} goes on at {spec.name}: {good} of {order.quantity}"
    return f"{name} started at {spec.name}, {order.quantity} of {order.item}"


def _begin_run(draft: Draft, spec: StationSpec, job: Job, order: WorkOrder) -> None:
    line, row = draft.line_row(LINE), draft.station(spec)
    draft.put(LINE, replace(line, runs=line.runs + 1))
    run = Run(
        f"r{line.runs + 1}", order.id, job.operation, draft.observation.at_ms, order.quantity,
        before=job.totals.get(spec.name, Totals()),
    )  # fmt: skip
    batch = row.context.batch or job.batches.get(spec.name) or order.batch
    context = Context(
        order.id, job.operation, run.id, order.item, order.revision, batch, row.context.operator
    )
    draft.put(spec.key, replace(row, run=run, last_job=(order.id, job.operation), edge=None, noun=None))
    _move(draft, job, RUNNING, (*job.stations, spec.name))
    change_context(draft, spec, context)
    _say(draft, spec, run, "begun", RUNNING, job.state)


def stop_job(draft: Draft, spec: StationSpec, state: str) -> str:
    """End the run that is on; the job is Interrupted or Ended, or goes on at other stations."""
    row = draft.station(spec)
    run = row.run
    if run is None:
        raise RefusedError(f"no job is running at {spec.name}")
    job = draft.job(job_key(run.order, run.operation), run.order, run.operation)
    elsewhere = tuple(name for name in job.stations if name != spec.name)
    after = state if not elsewhere else RUNNING
    _say(draft, spec, run, "ended", after, job.state)
    totals = {**job.totals, spec.name: run.order_totals}
    batches = {**job.batches, spec.name: row.context.batch} if row.context.batch else job.batches
    _move(draft, replace(job, totals=totals, batches=batches), after, elsewhere)
    last_job = None if state == ENDED else row.last_job
    draft.put(spec.key, replace(row, run=None, noun=None, last_job=last_job))
    change_context(draft, spec, Context(operator=row.context.operator))
    made = f"{run.order_totals.good_parts} of {run.quantity}"
    over_all = sum(one.good_parts for one in totals.values())
    name = job_name(run.order, run.operation)
    if elsewhere:
        return f"{name}: {spec.name} made {made}, it goes on at {', '.join(elsewhere)}"
    return f"{name} {state.lower()}: {over_all} of {run.quantity}"


def _move(draft: Draft, job: Job, state: str, stations: tuple[str, ...]) -> None:
    draft.put(job_key(job.order, job.operation), replace(job, state=state, stations=stations))


def _say(draft: Draft, spec: StationSpec, run: Run, here: str, state: str, was: str) -> None:
    totals, context = run.order_totals, draft.station(spec).context
    good, scrap = totals.good_parts, totals.scrap_parts
    draft.say(
        Order(run.order, run.operation, here, state, was, good, scrap, run.quantity), spec.name, context
    )


def change_context(draft: Draft, spec: StationSpec, context: Context) -> None:
    """From now on parts of this station are made under another context.

    A counter that was read since the change was asked for begins there; of one that was not,
    only what both contexts have in common is certain of its next parts.
    """
    row, fresh = draft.station(spec), draft.observation.fresh
    if context == row.context:
        return
    draft.put(spec.key, replace(row, context=context))
    for counter in spec.counters:
        before = draft.get(counter.key, Counter)
        if before is None:
            continue
        clean = counter.signal in (fresh or ()) and not before.stale and before.suspect is None
        former = before.former and replace(before.former, context=before.former.context.common(context))
        certain = context if clean else before.context.common(context)
        draft.put(counter.key, replace(before, context=certain, former=former))
        draft.boundary = (*draft.boundary, counter.signal)
