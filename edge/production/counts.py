"""A counter was read: judge it, say what it counted, and whom the parts belong to."""

from msgspec.structs import replace

from edge.observation import Observation, Outcome, Quality, Verdict
from edge.production.counting import FORMER_MS, Kind, Reading, judge
from edge.production.cycles import part_finished
from edge.production.draft import Draft
from edge.production.events import Count, Gap, Health
from edge.production.line import CounterAt, CounterSpec, StationSpec
from edge.production.state import NO_CONTEXT, Context, Counter, Former, Station, Totals

_SEEN_LIVE = (Kind.LIVE, Kind.ROLLOVER)


def count(draft: Draft, place: CounterAt) -> None:
    """Decide one reading of a counter."""
    spec, now = place.counter, draft.observation
    raw = _whole(now, spec)
    if raw is None:
        _unreadable(draft, place.station, spec)
        return
    if draft.station(place.station).bad_signals:
        readable_again(draft, place.station, spec.signal)
    before = draft.get(spec.key, Counter)
    if before is None:
        _first(draft, place, raw)
        return
    reading = judge(place.station, spec, before, now, raw)
    if reading.kind is Kind.SUSPECT:
        draft.put(spec.key, replace(before, suspect=reading.suspect))
        draft.reread = (spec.signal,)
    else:
        _believe(draft, place, before, raw, reading)


def unreadable(draft: Draft, station: StationSpec, signal: str, why: str) -> None:
    """A signal that cannot be read is said once, and refused every time."""
    row = draft.station(station)
    if signal not in row.bad_signals:
        draft.put(station.key, replace(row, bad_signals={**row.bad_signals, signal: why}))
        draft.say(Health(signal, "unreadable", why), station.name)
    draft.outcome = Outcome(Verdict.REFUSED, f"{signal}: {why}")


def shown(value: object) -> str:
    """A value in words that fit on a line; a number of thousands of digits has none."""
    try:
        return f"{value!r:.80}"
    except ValueError:
        return "a number of thousands of digits"


def readable_again(draft: Draft, station: StationSpec, signal: str) -> None:
    row = draft.station(station)
    if signal in row.bad_signals:
        still = {name: why for name, why in row.bad_signals.items() if name != signal}
        draft.put(station.key, replace(row, bad_signals=still))
        draft.say(Health(signal, "readable"), station.name)


def _whole(now: Observation, spec: CounterSpec) -> int | None:
    """The reading as a whole number within the declared width, or None."""
    value = now.value
    if now.quality is Quality.BAD or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < spec.modulus or value != int(value):
        return None
    return int(value)


def _unreadable(draft: Draft, station: StationSpec, spec: CounterSpec) -> None:
    now = draft.observation
    unreadable(
        draft, station, spec.signal, now.detail or f"{shown(now.value)} is no count below {spec.modulus}"
    )
    before = draft.get(spec.key, Counter)
    if before is not None and not before.stale:
        draft.put(spec.key, replace(before, stale=True))


def _next_baseline(
    now: Observation, before: Counter, raw: int, reading: Reading, context: Context
) -> Counter:
    """After a reset the old one is kept in mind for some time."""
    after, old = _baseline(now, raw, context), before.former
    if reading.kind is Kind.RESET:
        old = old or Former(
            before.raw, before.seen_ms, before.mono_ms, before.boot, before.synced, before.context, 0
        )
    if old is None or reading.restored or old.boot != now.boot or now.mono_ms - old.mono_ms > FORMER_MS:
        return after
    return replace(after, former=replace(old, counted=old.counted + _counted(reading)))


def _baseline(now: Observation, raw: int, context: Context) -> Counter:
    return Counter(raw, now.at_ms, now.seen_ms, now.mono_ms, now.boot, context, synced=now.synced)


def _first(draft: Draft, place: CounterAt, raw: int) -> None:
    row = draft.station(place.station)
    draft.put(place.counter.key, _baseline(draft.observation, raw, row.context))
    _say_count(draft, place, row, row.context, raw, Reading(Kind.BASELINE))


def _believe(draft: Draft, place: CounterAt, before: Counter, raw: int, reading: Reading) -> None:
    row = draft.station(place.station)
    draft.put(place.counter.key, _next_baseline(draft.observation, before, raw, reading, row.context))
    if before.stale or reading.restored:
        _say_gap(draft, place, before, reading)
    if reading.delta == 0 and reading.kind in (Kind.SAME, Kind.UNCERTAIN, Kind.GAP):
        return
    owner = before.former.context if reading.restored and before.former else before.context
    row = _add(row, place, owner, _counted(reading) * place.counter.parts_per_count)
    if reading.kind is Kind.IMPLAUSIBLE:
        row = replace(row, held=row.held + reading.delta * place.counter.parts_per_count)
    if reading.kind in _SEEN_LIVE:
        if place.ends_cycle:
            row = part_finished(draft, place.station, row, reading.delta)
    elif row.edge is not None:
        row = replace(row, edge=None)
    draft.put(place.station.key, row)
    _say_count(draft, place, row, owner, raw, reading)


def _counted(reading: Reading) -> int:
    return 0 if reading.kind is Kind.IMPLAUSIBLE else reading.delta


def _belongs_to_run(row: Station, owner: Context) -> bool:
    """A part belongs to the run that was on from the last reading to this one, or to none."""
    return row.run is not None and owner.run == row.run.id


def _add(row: Station, place: CounterAt, owner: Context, parts: int) -> Station:
    role = place.counter.role
    if row.run is not None and _belongs_to_run(row, owner):
        return replace(row, run=replace(row.run, totals=row.run.totals.plus(role, parts)))
    return replace(row, unassigned=row.unassigned.plus(role, parts))


def _say_count(
    draft: Draft, place: CounterAt, row: Station, owner: Context, raw: int, reading: Reading
) -> None:
    spec = place.counter
    run_totals, order_totals = _totals(row, owner)
    held = reading.delta * spec.parts_per_count if reading.kind is Kind.IMPLAUSIBLE else 0
    draft.say(
        Count(
            spec.role, _counted(reading) * spec.parts_per_count, raw, reading.kind,
            run_totals.of(spec.role), order_totals.good_parts, order_totals.scrap_parts, held,
        ),
        place.station.name,
        owner if _belongs_to_run(row, owner) else NO_CONTEXT.common(owner),
    )  # fmt: skip


def _totals(row: Station, owner: Context) -> tuple[Totals, Totals]:
    """Of the run and of the order at this station; of the unassigned parts twice."""
    if row.run is not None and _belongs_to_run(row, owner):
        return row.run.totals, row.run.order_totals
    return row.unassigned, row.unassigned


def _say_gap(draft: Draft, place: CounterAt, before: Counter, reading: Reading) -> None:
    row = draft.station(place.station)
    since_ms = before.former.seen_ms if reading.restored and before.former else before.seen_ms
    draft.say(
        Gap(
            place.counter.signal, since_ms, draft.observation.seen_ms,
            _counted(reading) * place.counter.parts_per_count,
            certain=reading.kind in (Kind.GAP, Kind.SAME),
            assigned=_belongs_to_run(row, before.context),
        ),
        place.station.name,
        before.context,
    )  # fmt: skip
