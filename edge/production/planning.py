"""Work orders come in: new, again, or changed; what has been started cannot become something else."""

import re

from msgspec.structs import replace

from edge.observation import Outcome, Verdict, WorkOrder
from edge.production.draft import Draft
from edge.production.events import OrderReceived
from edge.production.orders import ALLOWED_TO_START, RefusedError, find_order, names_of
from edge.production.slots import slots, with_slots
from edge.production.state import Job, JobId, Station, job_key, order_key
from edge.production.totals import NOTHING

_ID = re.compile(r"[0-9A-Z][0-9A-Z.-]{0,31}")
"""What the label of a job card can hold."""
_MATERIAL = re.compile(r"[0-9A-Z][0-9A-Z-]{0,19}")
"""Has no dot: a lot's label is the material, a dot and the lot's number."""
_LONGEST = 100
_MOST = 1_000_000_000


def receive(draft: Draft) -> None:
    """Decide one work order. The same again is a duplicate and changes nothing."""
    order = draft.observation.value
    if not isinstance(order, WorkOrder):
        draft.outcome = Outcome(Verdict.REFUSED, "not a work order")
        return
    try:
        _accept(draft, order)
    except RefusedError as refusal:
        draft.undo()
        draft.outcome = Outcome(Verdict.REFUSED, str(refusal))


def _accept(draft: Draft, order: WorkOrder) -> None:
    _check(order)
    if order.id in draft.line.orders:
        raise RefusedError(f"{order.id} is written in the line's file: change it there")
    known = find_order(draft, order.id)
    if known == order:
        draft.outcome = Outcome(Verdict.DUPLICATE, f"{order.id} is here already")
        return
    if known is not None:
        _check_change(draft, known, order)
    elif any(find_order(draft, name) for name in names_of(order.id)):
        raise RefusedError(f"{order.id} is a job card of another order: choose another id")
    for card in [f"{order.id}-{operation}" for operation in order.operations]:
        if find_order(draft, card) is not None:
            raise RefusedError(f"{card} would be a job card of {order.id}, but it is an order of its own")
    draft.put(order_key(order.id), order)
    if known is not None:
        _tell_stations(draft, known, order.quantity)
    change = "new" if known is None else "changed"
    told = f"{order.id} is {change}: {order.quantity} of {order.item}{_taken_away(known, order)}"
    draft.say(
        OrderReceived(
            order.id,
            order.item,
            order.quantity,
            change,
            order.revision,
            order.batch,
            order.operations,
            order.materials,
            order.reopens,
            draft.observation.detail,
        )
    )
    draft.outcome = Outcome(Verdict.ACCEPTED, told)


def _taken_away(known: WorkOrder | None, order: WorkOrder) -> str:
    """What the order had and has no more: it is replaced as a whole."""
    names = ("revision", "batch", "operations", "materials", "reopens")
    gone = [name for name in names if known and getattr(known, name) and not getattr(order, name)]
    return f"; it has no {', '.join(gone)} any more" if gone else ""


def _tell_stations(draft: Draft, known: WorkOrder, quantity: int) -> None:
    """Where it runs already, the target is the new one at once."""
    for operation in known.operations or (None,):
        job = draft.get(job_key(known.id, operation), Job)
        for name in job.stations if job else ():
            row = draft.get(f"station/{name}", Station)
            if row is not None:
                draft.put(f"station/{name}", _with_target(row, (known.id, operation), quantity))


def _with_target(row: Station, job: JobId, quantity: int) -> Station:
    found = tuple(
        replace(slot, run=replace(slot.run, quantity=quantity)) if slot.run.job == job else slot
        for slot in slots(row)
    )
    return with_slots(row, found, row.context)


def _check(order: WorkOrder) -> None:
    if not _ID.fullmatch(order.id):
        raise RefusedError(f"{order.id[:40]!r} is no order id: capital letters, digits, . and -, 32 at most")
    if not 0 < order.quantity <= _MOST:
        raise RefusedError(f"{order.id}: {order.quantity} is no quantity")
    for text in (order.item, order.revision or "-", order.batch or "-"):
        if not 0 < len(text) <= _LONGEST or not text.isprintable():
            raise RefusedError(
                f"{order.id}: item, revision and batch are texts of 1 to {_LONGEST} characters"
            )
    _check_materials(order)
    operations = order.operations
    if len(set(operations)) < len(operations) or not all(0 <= one < 100_000 for one in operations):
        raise RefusedError(f"{order.id}: operations are different numbers from 0 to 99999")


def _check_materials(order: WorkOrder) -> None:
    """And the order that it makes more of."""
    for material in order.materials:
        if not _MATERIAL.fullmatch(material.item) or not 0 < material.per_part <= _MOST:
            raise RefusedError(f"{order.id}: a material is an id and how much of it is in one part")
    if len({material.item for material in order.materials}) < len(order.materials):
        raise RefusedError(f"{order.id}: a material is named twice")
    if order.reopens is not None and not _ID.fullmatch(order.reopens):
        raise RefusedError(f"{order.id}: what it reopens is an order id")
    if order.reopens == order.id:
        raise RefusedError(f"{order.id} cannot reopen itself: a new order has an id of its own")


def _check_change(draft: Draft, known: WorkOrder, order: WorkOrder) -> None:
    """A quantity may always change; the rest only before the first run."""
    if replace(order, quantity=known.quantity) == known:
        return
    for operation in known.operations or (None,):
        job = draft.get(job_key(known.id, operation), Job)
        if job is not None and (job.state != ALLOWED_TO_START or set(job.totals.values()) - {NOTHING}):
            raise RefusedError(f"{order.id} has been started: only its quantity can be changed")
