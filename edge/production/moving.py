"""Events get another owner, and their parts go with them: what every correction of a run does in the end."""

from collections.abc import Iterable

from msgspec.structs import replace

from edge.production.beside import Slice, View
from edge.production.context import Context
from edge.production.draft import Draft, Move
from edge.production.events import Attribution
from edge.production.line import StationSpec
from edge.production.orders import FINAL, RefusedError
from edge.production.runs import say_result, shift, totals_of
from edge.production.state import LINE, Job, Run, job_key, run_key
from edge.production.totals import NOTHING, Totals
from edge.production.views import MOST_EVENTS, Whole, Window


def happened_in(draft: Draft, window: Window | Whole) -> View:
    """What a window's events add up to. May refuse."""
    view = draft.get(window.key, View) or View()
    if view.too_many:
        raise RefusedError(f"more than {MOST_EVENTS:,} events happened there: ask for a shorter time")
    return view


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
        span = (one.first_ms, one.last_ms)
        taken = {reason: -parts for reason, parts in one.reasons.items()}
        shift(draft, spec, one.context, one.totals.negative(), -one.cycles, -one.cycles_s, None, taken)
        shift(draft, spec, target, one.totals, one.cycles, one.cycles_s, span, one.reasons)
        _gain(gains, one.context, one.totals.negative(), -one.events)
        _gain(gains, target, one.totals, one.events)
    bounds = min(one.first_ms for one, _ in moved), max(one.last_ms for one, _ in moved)
    for owner, (made, events) in gains.items():
        _say(draft, spec, owner, made, events, version, why, by, reason, bounds)
    publish_ended(draft, gains)
    return version


def _gain(gains: dict[Context, tuple[Totals, int]], side: Context, made: Totals, events: int) -> None:
    owner = replace(side, operator=None, batch=None)
    before, count = gains.get(owner, (NOTHING, 0))
    gains[owner] = before.and_(made), count + events


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
        spec.name, owner, at_ms=max(draft.observation.at_ms, bounds[1]),  # it has the last word
    )  # fmt: skip


def publish_ended(draft: Draft, owners: Iterable[Context]) -> None:
    """What became of a job is said again where it was said before."""
    said: set[str] = set()
    for owner in owners:
        if owner.order is None:
            continue
        key = job_key(owner.order, owner.operation)
        job = draft.get(key, Job)
        if job is None or job.state not in FINAL or key in said:
            continue
        if owner.run and (run := draft.get(run_key(owner.run), Run)) is not None:
            said.add(key)
            say_result(draft, job, run.item or "", run.quantity)
