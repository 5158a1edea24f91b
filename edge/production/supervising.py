"""What the office and the supervisor ask for: reassign, adjust, hold and release, split and merge."""

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from edge.observation import (
    Adjust,
    JobCommand,
    LotChange,
    Observation,
    Outcome,
    Reassign,
    SettleHeld,
    Value,
    Verdict,
    WorkOrder,
)
from edge.production.adjusting import MOST, adjust, find_run, run_needs, settle_held, signed
from edge.production.beside import Slice
from edge.production.context import Context, Kind
from edge.production.corrections import slice_needs
from edge.production.draft import Draft
from edge.production.events import Flag, Order
from edge.production.line import Line, StationSpec
from edge.production.moving import give, happened_in
from edge.production.orders import (
    ABORTED,
    ALLOWED_TO_START,
    ENDED,
    FINAL,
    HELD,
    INTERRUPTED,
    NOT_ALLOWED,
    RefusedError,
    card_needs,
    finish,
    job_name,
    split_job,
    stop_job,
)
from edge.production.runs import new_run_id, put_job, union
from edge.production.slots import slot_of
from edge.production.state import LINE, Asked, Job, Row, Run, asked_key, job_key, run_key, station_key
from edge.production.totals import NOTHING
from edge.production.traced import Lot
from edge.production.views import Whole, Window

Rows = Mapping[str, Row | None]

LATE_MS = 300_000
"""A part may be stamped so much before its run began, or be counted after it ended."""
LONGEST_ID = 64
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}")


def command_needs(line: Line, now: Observation, rows: Rows) -> tuple[str, ...]:
    """Rows for a command; ask again with those loaded."""
    match now.value:
        case Reassign():
            return _reassign_needs(line, now.value, now, rows)
        case Adjust(run=name, id=command):
            return (*run_needs(line, name, rows), LINE, *_known_needs(command))
        case SettleHeld(run=held_for):
            return (*run_needs(line, held_for, rows), LINE)
        case JobCommand(job=card):
            return (LINE, *_job_needs(line, card, rows))
        case LotChange(id=command):
            return _known_needs(command)
        case _:
            return ()


def _known_needs(command: str) -> tuple[str, ...]:
    return (asked_key(command),) if command else ()


def _reassign_needs(line: Line, asked: Reassign, now: Observation, rows: Rows) -> tuple[str, ...]:
    keys = [LINE, *(card_needs(line, asked.job, rows) if asked.job else ())]
    if asked.run is not None:
        keys += run_needs(line, asked.run, rows)
    window = _window(line, asked, now, rows)
    if window is not None:
        keys += [station_key(window.station), window.key, *slice_needs(rows.get(window.key))]
    return tuple(keys)


def _job_needs(line: Line, card: str, rows: Rows) -> tuple[str, ...]:
    """A job, the stations where it runs with their counters, and whatever runs beside it."""
    keys = list(card_needs(line, card, rows))
    for job in [row for key in keys if isinstance(row := rows.get(key), Job)]:
        for spec in [line.named[name] for name in job.stations if name in line.named]:
            keys += [spec.key, *(counter.key for counter in spec.counters)]
    return tuple(keys)


def _window(line: Line, asked: Reassign, now: Observation, rows: Rows) -> Window | Whole | None:
    """The time and the station that it is about; None where they are not known (yet)."""
    if asked.run is not None:
        run = find_run(line, asked.run, rows)
        if run is None:
            return None
        until_ms = max(run.ended_ms or now.at_ms, run.last_ms, run.until_ms, now.at_ms)
        return Whole(run.station, (run.first_ms or run.started_ms) - LATE_MS, until_ms + LATE_MS)
    if asked.station in line.named and asked.from_ms is not None and asked.to_ms is not None:
        return Window(asked.station or "", asked.from_ms, asked.to_ms)
    return None


def command(draft: Draft) -> None:
    """Decide one command."""
    asked = draft.observation.value
    name = asked.id if isinstance(asked, Adjust | LotChange) else ""
    try:
        if name and (known := _known(draft, name)) is not None:
            draft.outcome = Outcome(Verdict.DUPLICATE, known.words)
            return
        words = _obey(draft, asked)
    except RefusedError as refusal:
        draft.undo()
        draft.outcome = Outcome(Verdict.REFUSED, str(refusal))
        return
    if name:
        draft.put(asked_key(name), Asked(words))
    draft.outcome = Outcome(Verdict.ACCEPTED, words)


def _known(draft: Draft, name: str) -> Asked | None:
    if len(name) > LONGEST_ID or not name.isprintable():
        raise RefusedError(f"an id has 1 to {LONGEST_ID} printable characters")
    return draft.get(asked_key(name), Asked)


def _obey(draft: Draft, asked: Value) -> str:
    match asked:
        case Reassign():
            return _reassign(draft, asked)
        case Adjust():
            return adjust(draft, asked)
        case SettleHeld():
            return settle_held(draft, asked)
        case JobCommand():
            return _job(draft, asked)
        case LotChange():
            return _lots(draft, asked)
    raise RefusedError("not a command")


# --- reassign ----------------------------------------------------------------------------------


def _reassign(draft: Draft, asked: Reassign) -> str:
    signed(asked.by, asked.reason)
    window = _asked_window(draft, asked)
    spec = draft.line.named[window.station]
    target = split_job(draft, asked.job) if asked.job is not None else None
    view = happened_in(draft, window)
    job_id = (target[0].id, target[1]) if target else None
    chosen = [
        one for one in view.slices
        if (asked.run is None or one.context.run == asked.run) and _job_of(one.context) != job_id
    ]  # fmt: skip
    if not any(one.totals != NOTHING or one.events for one in chosen):
        raise RefusedError(f"nothing of another owner was counted there at {spec.name}")
    _check_batch(asked)
    if any(one.context.kind == Kind.REWORK for one in chosen):
        raise RefusedError("a rework run was on then: its parts were counted before, and stay with their job")
    draft.put(spec.key, replace(draft.station(spec), undo=None))
    owners: dict[str | None, Context] = {}
    moved = []
    for one in chosen:
        kind = one.context.kind
        if kind not in owners:
            of_kind = [other for other in chosen if other.context.kind == kind]
            owners[kind] = _new_owner(draft, spec, of_kind, asked, target, kind)
        moved.append((one, replace(owners[kind], operator=one.context.operator)))
    give(draft, spec, window.key, moved, "reassigned", asked.by, asked.reason)
    if target is not None:
        _flag_excess(draft, spec, owners.get(None), target[0])
    parts = sum(one.totals.produced for one in chosen)
    return f"{parts} parts of {spec.name} are {asked.job or 'UNASSIGNED'} now"


def _asked_window(draft: Draft, asked: Reassign) -> Window | Whole:
    if asked.run is not None and (asked.station, asked.from_ms, asked.to_ms) != (None, None, None):
        raise RefusedError("name a run, or a station with from and to, not both")
    window = _window(draft.line, asked, draft.observation, draft.rows())
    if window is not None:
        if not window.from_ms + LATE_MS >= 0 or window.from_ms >= window.to_ms:
            raise RefusedError("from must be before to")
        return window
    if asked.run is not None:
        raise RefusedError(f"there is no run {asked.run}")
    if asked.station is not None and asked.station not in draft.line.named:
        raise RefusedError(f"there is no station {asked.station}")
    raise RefusedError("name a run, or a station with from and to")


def _job_of(context: Context) -> tuple[str, int | None] | None:
    return None if context.order is None else (context.order, context.operation)


def _check_batch(asked: Reassign) -> None:
    if asked.batch is not None and asked.job is None:
        raise RefusedError("parts of no order have no batch")
    if asked.batch is not None and not _NAME.fullmatch(asked.batch):
        raise RefusedError(f"{asked.batch[:40]!r} is no name of a batch")


def _new_owner(
    draft: Draft, spec: StationSpec, chosen: Sequence[Slice], asked: Reassign,
    target: tuple[WorkOrder, int | None] | None, kind: str | None,
) -> Context:  # fmt: skip
    """A run of the past, for what was made in the window."""
    from_ms, to_ms = min(one.first_ms for one in chosen), max(one.last_ms for one in chosen)
    if target is None:
        name = new_run_id(draft, "u")
        run = Run(name, spec.name, None, None, from_ms, 0, Kind.UNASSIGNED, ended_ms=to_ms)
        draft.put(run_key(name), run)
        return Context(run=name)
    order, operation = target
    name, batch = new_run_id(draft), asked.batch or order.batch
    job = draft.job(job_key(order.id, operation), order.id, operation)
    made = job.totals.get(spec.name, NOTHING)
    people = tuple(dict.fromkeys(one.context.operator for one in chosen if one.context.operator))
    draft.put(run_key(name), Run(
        name, spec.name, order.id, operation, from_ms, order.quantity, Kind(kind or "production"),
        order.item, order.revision, to_ms, before=made, lots=(batch,) if batch else (), people=people,
    ))  # fmt: skip
    lots, people = union(job.lots, (batch,) if batch else ()), union(job.people, people)
    started = from_ms if job.started_ms is None else min(job.started_ms, from_ms)
    job = replace(job, lots=lots, people=people, started_ms=started, runs=job.runs + 1)
    if job.state in (ALLOWED_TO_START, NOT_ALLOWED):  # it has run after all, and is held if it was
        substate = HELD if job.state == NOT_ALLOWED else "Suspended"
        job = replace(job, state=INTERRUPTED, substate=substate)
    put_job(draft, job)
    return Context(order.id, operation, name, order.item, order.revision, batch, kind=kind)


def _flag_excess(draft: Draft, spec: StationSpec, owner: Context | None, order: WorkOrder) -> None:
    """As for parts that are counted; a job that runs here says it with its next part."""
    if owner is None or slot_of(draft.station(spec), (order.id, owner.operation)):
        return
    job = draft.job(job_key(order.id, owner.operation), order.id, owner.operation)
    excess = sum(made.good_parts for made in job.totals.values()) - order.quantity
    if excess > 0:
        draft.say(Flag("overproduced", excess, f"{order.quantity} were wanted"), spec.name, owner)


# --- jobs --------------------------------------------------------------------------------------


def _job(draft: Draft, asked: JobCommand) -> str:
    signed(asked.by, asked.reason)
    order, operation = split_job(draft, asked.job)
    job = draft.job(job_key(order.id, operation), order.id, operation)
    verbs = {"hold": _hold, "release": _release, "end": _end, "abort": _abort}
    if asked.verb not in verbs:
        raise RefusedError(f"{asked.verb[:40]!r} is none of {', '.join(verbs)}")
    if job.state in FINAL:
        raise RefusedError(f"{asked.job} has ended: nothing leaves that state")
    return verbs[asked.verb](draft, asked, order, job)


def _stop_everywhere(draft: Draft, asked: JobCommand, job: Job, state: str, substate: str) -> Job:
    for name in job.stations:
        if name in draft.line.named:
            spec = draft.line.named[name]
            one = (job.order, job.operation)
            stop_job(draft, spec, state, one, substate, asked.by, asked.reason)
            draft.put(spec.key, replace(draft.station(spec), undo=None))
    return draft.job(job_key(job.order, job.operation), job.order, job.operation)


def _enter(draft: Draft, asked: JobCommand, order: WorkOrder, job: Job, state: str, substate: str) -> str:
    """The state of a job that runs nowhere."""
    was = job.state
    job = replace(job, state=state, substate=substate)
    put_job(draft, job)
    context = Context(order=job.order, operation=job.operation, item=order.item, revision=order.revision)
    made = sum(one.good_parts for one in job.totals.values())
    scrap = sum(one.scrap_parts for one in job.totals.values())
    draft.say(
        Order(
            job.order, job.operation, "none", state, was, made, scrap, order.quantity,
            substate=substate, by=asked.by, reason=asked.reason,
        ),
        context=context,
    )  # fmt: skip
    if state in FINAL:
        finish(draft, job, order.item, order.quantity)
    return f"{job_name(job.order, job.operation)}: {state}" + (f" ({substate})" if substate else "")


def _hold(draft: Draft, asked: JobCommand, order: WorkOrder, job: Job) -> str:
    """1 <- 2, or Interrupted by a constraint."""
    if job.substate == HELD or job.state == NOT_ALLOWED:
        raise RefusedError(f"{asked.job} is held already")
    if job.state == ALLOWED_TO_START:
        return _enter(draft, asked, order, job, NOT_ALLOWED, "")
    job = _stop_everywhere(draft, asked, job, INTERRUPTED, HELD)
    return _enter(draft, asked, order, job, INTERRUPTED, HELD)


def _release(draft: Draft, asked: JobCommand, order: WorkOrder, job: Job) -> str:
    if job.state == NOT_ALLOWED:
        return _enter(draft, asked, order, job, ALLOWED_TO_START, "")
    if job.substate != HELD:
        raise RefusedError(f"{asked.job} is not held")
    return _enter(draft, asked, order, job, INTERRUPTED, "Suspended")


def _end(draft: Draft, asked: JobCommand, order: WorkOrder, job: Job) -> str:
    if job.state in (ALLOWED_TO_START, NOT_ALLOWED):
        raise RefusedError(f"{asked.job} was never started: abort it")
    if not job.stations:
        return _enter(draft, asked, order, job, ENDED, "Completed")
    _stop_everywhere(draft, asked, job, ENDED, "Completed")
    return f"{asked.job}: {ENDED}"


def _abort(draft: Draft, asked: JobCommand, order: WorkOrder, job: Job) -> str:
    if not job.stations:
        return _enter(draft, asked, order, job, ABORTED, "")
    _stop_everywhere(draft, asked, job, ABORTED, "")
    return f"{asked.job}: {ABORTED}"


# --- lots --------------------------------------------------------------------------------------


def _lots(draft: Draft, asked: LotChange) -> str:
    signed(asked.by, asked.reason)
    shares = (*asked.sources, *asked.results)
    names = [share.lot for share in shares]
    one_side = min(len(asked.sources), len(asked.results))
    if one_side != 1 or len(shares) < 3 or len(shares) > 101:
        raise RefusedError("a split has one source and 2 to 100 results, a merge the other way round")
    for name in names:
        if not _NAME.fullmatch(name):
            raise RefusedError(f"{name[:40]!r} is no name of a lot")
    if len(set(names)) < len(names):
        raise RefusedError("a lot is named twice")
    if not all(0 < share.quantity <= MOST for share in shares):
        raise RefusedError("every lot needs a quantity above 0")
    before, after = (sum(one.quantity for one in side) for side in (asked.sources, asked.results))
    if abs(before - after) > 1e-6 * before:
        raise RefusedError(f"{before:g} becomes {after:g}: nothing may come or go")
    change = "split" if len(asked.sources) == 1 else "merged"
    draft.say(Lot(change, asked.results, asked.sources, asked.by, asked.reason))
    sources = ", ".join(share.lot for share in asked.sources)
    return f"{sources} {change} into {', '.join(share.lot for share in asked.results)}"
