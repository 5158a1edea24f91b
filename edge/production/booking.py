"""What a person says of parts: how many, scrap and why, rework and what became of it."""

from msgspec.structs import replace

from edge.production.dealing import Share, book_count, dispose, put_slot, say_count, slot_by_run
from edge.production.draft import Draft
from edge.production.line import CountsBy, Role, StationSpec
from edge.production.orders import RefusedError, job_name
from edge.production.runs import merged
from edge.production.slots import slots
from edge.production.state import Slot
from edge.production.totals import Totals, counted

REPORTED = "reported"
"""The `quality` of a count that a person said."""


def report_good(draft: Draft, spec: StationSpec, slot: Slot, parts: int) -> str:
    """An operator says how many are good: they count, or stand beside what the machine counts. May refuse."""
    counts = spec.operator_counts
    if spec.counts_by is not CountsBy.RECONCILE and not counts:
        raise RefusedError("a quantity of what? Scan the reason first")
    _report(draft, spec, slot, Role.GOOD, parts)
    made = slot_by_run(draft, spec, slot.run.id).run
    if counts:
        over_all = made.order_totals.good_parts + made.elsewhere
        return f"{parts} good{_of(draft, spec, slot)} at {spec.name}: {over_all} of {made.quantity}"
    return f"{parts} noted{_of(draft, spec, slot)}; at {spec.name} the machine counts"


def _of(draft: Draft, spec: StationSpec, slot: Slot) -> str:
    """The job by its name, where several run."""
    several = len(slots(draft.station(spec))) > 1
    return f" of {job_name(*slot.run.job)}" if several and slot.run.job else ""


def _report(draft: Draft, spec: StationSpec, slot: Slot, role: Role, parts: int, reason: str = "") -> None:
    counts = spec.operator_counts
    share = book_count(draft, spec, Share(slot.context, parts), counted(role, parts, counts=counts))
    raw = max(0, slot_by_run(draft, spec, slot.run.id).run.totals.of(role))
    say_count(draft, spec, role, share, raw, REPORTED, counts=counts, source="operator", reason=reason)


def book_scrap(draft: Draft, spec: StationSpec, slot: Slot, reason: str, parts: int) -> str:
    """Scrap and its reason. Who counts scrap is declared: it is never added up from two. May refuse.

    The words say whether the parts come to those that are counted, or were good until now.
    """
    if spec.counts_by is CountsBy.OPERATOR or not spec.counters:
        _report(draft, spec, slot, Role.REJECT, parts, reason)
        how = "beside the good"
    elif spec.machine_rejects:
        dispose(draft, spec, slot.run.id, "scrap_reason", parts, reason)
        note_reason(draft, spec, slot.run.id, reason, parts)
        return f"{parts} {reason} noted{_of(draft, spec, slot)} at {spec.name}: {_why(draft, spec, slot)}"
    else:
        how = "taken from the good"
        _enough(slot.run.order_totals.good_parts, parts, "good parts")
        dispose(draft, spec, slot.run.id, "scrap", parts, reason)
    note_reason(draft, spec, slot.run.id, reason, parts)
    made = slot_by_run(draft, spec, slot.run.id).run.order_totals
    now = f"{max(0, made.good_parts)} good, {made.scrap_parts} scrap"
    return f"{parts} scrapped{_of(draft, spec, slot)} at {spec.name}, {reason} ({how}): {now}"


def _why(draft: Draft, spec: StationSpec, slot: Slot) -> str:
    """What the machine has counted, and how many a reason was given for."""
    made = slot_by_run(draft, spec, slot.run.id).run.totals
    return f"the machine counts scrap, {made.reject} until now; {made.other_scrap} have a reason"


def note_reason(draft: Draft, spec: StationSpec, run_id: str, reason: str, parts: int) -> None:
    if not reason:
        return
    slot = slot_by_run(draft, spec, run_id)
    reasons = merged(slot.run.reasons, {reason: parts})
    put_slot(draft, spec, replace(slot, run=replace(slot.run, reasons=reasons)))


def book(
    draft: Draft, spec: StationSpec, slot: Slot, disposition: str, parts: int, reason: str,
    unit: str | None = None,
) -> str:  # fmt: skip
    """Rework and what became of it; see `events.Disposition`. May refuse."""
    figures = slot.run.order_totals
    if disposition == "rework":
        _enough(figures.good_parts, parts, "good parts")
    elif parts > 0:
        _enough(figures.rework, parts, "parts in rework")
    dispose(draft, spec, slot.run.id, disposition, parts, reason, unit)
    if disposition == "rework_scrapped" and reason:
        note_reason(draft, spec, slot.run.id, reason, parts)
    return f"{parts} {_WORDS[disposition]}{_of(draft, spec, slot)} at {spec.name}"


_WORDS = {"rework": "to rework", "reworked": "good after rework", "rework_scrapped": "of rework scrapped"}


def _enough(there: int, wanted: int, what: str) -> None:
    if wanted > there:
        raise RefusedError(f"this job has only {max(0, there)} {what} here")


def take_back(draft: Draft, spec: StationSpec, slot: Slot, booked: tuple[str, int, str], made: Totals) -> str:
    """The opposite of what a scan booked; `made` is all that it changed."""
    disposition, parts, reason = booked
    role = {"good": Role.GOOD, "reject": Role.REJECT}.get(disposition)
    if role is not None:
        _report(draft, spec, slot, role, -parts, reason)
        dispose(draft, spec, slot.run.id, "reworked", -made.reworked, "")
        dispose(draft, spec, slot.run.id, "rework_scrapped", -made.booked, "")
    else:
        dispose(draft, spec, slot.run.id, disposition, -parts, reason)
    if reason and disposition in ("reject", "scrap", "scrap_reason", "rework_scrapped"):
        note_reason(draft, spec, slot.run.id, reason, -parts)
    what = reason or _WORDS.get(disposition, disposition)
    return f"{parts} {what}{_of(draft, spec, slot)} taken back at {spec.name}"


def booked_as(spec: StationSpec, what: str) -> str:
    """How `take_back` finds a report of `good` or `scrap` again."""
    if what == "good":
        return "good"
    if spec.counts_by is CountsBy.OPERATOR or not spec.counters:
        return "reject"
    return "scrap_reason" if spec.machine_rejects else "scrap"
