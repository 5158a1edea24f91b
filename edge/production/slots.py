"""The jobs that run at a station, and the context that its next parts are made under."""

from functools import reduce

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.baselines import Boundary, Counter, Earlier, Suspect
from edge.production.context import Context
from edge.production.draft import Draft
from edge.production.line import CounterSpec, StationSpec
from edge.production.state import JobId, Slot, Station

Contexts = tuple[Context, ...]

MOST_NAMED = 50
"""People and lots that a run remembers by name; its events have them all."""


def slots(row: Station) -> tuple[Slot, ...]:
    """The jobs that run here, in the order they began."""
    return () if row.run is None else (Slot(row.context, row.run), *row.others)


def contexts(row: Station) -> Contexts:
    """What the next part is made under; of one of them, where several jobs share the station."""
    return (row.context, *(slot.context for slot in row.others))


def slot_of(row: Station, job: JobId) -> Slot | None:
    return next((slot for slot in slots(row) if slot.run.job == job), None)


def with_slots(row: Station, found: tuple[Slot, ...], idle: Context) -> Station:
    """The station with these jobs; `idle` is its context where there is none."""
    if not found:
        return replace(row, context=idle, run=None, others=())
    return replace(row, context=found[0].context, run=found[0].run, others=found[1:])


def idle_context(row: Station) -> Context:
    """Of a station without a job: who is there remains."""
    return Context(operator=row.context.operator)


def change_slots(draft: Draft, spec: StationSpec, found: tuple[Slot, ...], idle: Context) -> None:
    """From now on parts of this station are made under other contexts.

    A counter that was read since the change was asked for begins there; of one that was not,
    only what all contexts have in common is certain of its next parts.
    """
    row = draft.station(spec)
    before, changed = contexts(row), with_slots(row, found, idle)
    after = contexts(changed)
    if before == after:
        draft.put(spec.key, changed)
        return
    draft.put(spec.key, replace(changed, changed_ms=_boundary_ms(draft, spec)))
    for counter in spec.counters:
        _change_counter(draft, counter, after)


def _boundary_ms(draft: Draft, spec: StationSpec) -> int:
    """When the context changes: after the last reading that was made for it."""
    now = draft.observation
    counters = [draft.get(one.key, Counter) for one in spec.counters if one.signal in (now.fresh or ())]
    return max(now.at_ms, *(one.at_ms + 1 for one in counters if one and one.at_ms > now.at_ms), now.at_ms)


def _change_counter(draft: Draft, spec: CounterSpec, after: Contexts) -> None:
    before, now = draft.get(spec.key, Counter), draft.observation
    if before is None:
        return
    former = before.former
    if former is not None:
        first, *rest = _certain((former.context, *former.others), after)
        former = replace(former, context=first, others=tuple(rest))
    clean = spec.signal in (now.fresh or ()) and not before.stale and before.suspect is None
    mine = (before.context, *before.others)
    first, *rest = after if clean else _certain(mine, after)
    since = Earlier(before.context, before.others, now.at_ms, now.mono_ms, now.boot)
    earlier = None if clean else before.earlier or since
    suspect = before.suspect and _at_boundary(before.suspect, now, mine, after, spec.signal)
    if before.stale:
        suspect = before.suspect
    draft.put(spec.key, replace(
        before, context=first, others=tuple(rest), former=former, earlier=earlier, suspect=suspect
    ))  # fmt: skip
    draft.boundary = (*draft.boundary, spec.signal)


def _at_boundary(
    suspect: Suspect, now: Observation, before: Contexts, after: Contexts, signal: str
) -> Suspect:
    """With the reading that this change asked for: should it turn out to be right, it is the boundary."""
    if (known := suspect.boundary) is not None:
        if known.mono_ms != now.mono_ms:  # else it is the next step of the same change
            after = _certain(known.after, after)
        return replace(suspect, boundary=replace(known, after=after))
    raw = next((look.raw for look in suspect.looks if look.mono_ms >= now.mono_ms), None)
    if raw is None or signal not in (now.fresh or ()):
        return suspect
    return replace(suspect, boundary=Boundary(raw, before, after, now.mono_ms))


def _certain(before: Contexts, after: Contexts) -> Contexts:
    """What is sure of a part that was made under one or the other, nobody knows which."""
    if [one.run for one in before] == [one.run for one in after]:  # another operator or batch, the same jobs
        return tuple(Context.common(*both) for both in zip(before, after, strict=True))
    return (reduce(Context.common, (*before, *after)),)


def change_context(draft: Draft, spec: StationSpec, only: JobId | None = None, **known: str | None) -> None:
    """Another operator or batch, for every job that runs here or for `only` one of them."""
    row = draft.station(spec)
    found = tuple(_with(slot, known) if only in (None, slot.run.job) else slot for slot in slots(row))
    change_slots(draft, spec, found, replace(row.context, **known))


def _with(slot: Slot, known: dict[str, str | None]) -> Slot:
    run = slot.run
    people, lots = also(run.people, known.get("operator")), also(run.lots, known.get("batch"))
    return Slot(replace(slot.context, **known), replace(run, people=people, lots=lots))


def also(names: tuple[str, ...], name: str | None) -> tuple[str, ...]:
    """With one name more, once; bounded."""
    return names if name is None or name in names else (*names, name)[-MOST_NAMED:]
