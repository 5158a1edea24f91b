"""A counter was read: judge it, say what it counted, and whom the parts belong to."""

import re
from dataclasses import replace as dataclass_with

from msgspec.structs import replace

from edge.observation import Observation, Outcome, Quality, Stamp, Verdict
from edge.production.baselines import Boundary, Counter, Former, ReadAs, Suspect
from edge.production.claims import Claim, with_claim
from edge.production.context import Context
from edge.production.counting import FORMER_MS, Kind, Reading, judge, jumps_about
from edge.production.cycles import finished_before, part_finished
from edge.production.dealing import Share, book_count, deal, say_count
from edge.production.draft import Draft
from edge.production.edges import edge_of
from edge.production.events import Flag
from edge.production.line import CounterAt, CounterSpec, CountsBy, Role, StationSpec
from edge.production.losses import Gap, Health
from edge.production.moving import publish_ended
from edge.production.slots import slots
from edge.production.state import Station
from edge.production.totals import counted

_SEEN_LIVE = (Kind.LIVE, Kind.ROLLOVER)
_COUNTED = (Kind.LIVE, Kind.ROLLOVER, Kind.GAP)
_TELLS_BEFORE = (Kind.RESET, Kind.REPLACED, Kind.UNCERTAIN, Kind.IMPLAUSIBLE)
_NOTHING_NEW = (Kind.SAME, Kind.UNCERTAIN, Kind.GAP)

NO_VALUE = "value"
"""The kind of reason that is a value itself, whichever."""
JUMPS = "jumps"
WITHDRAWN = "held_withdrawn"
"""The flag of parts that were held, and never were."""
_MOST_REASONS = 8
_NUMBER = re.compile(r"[0-9]+")

_LEAST_ERROR_CODE = -99
"""A negative number this close to zero did not go over the top: devices say so that they have no count."""

CLOCKS_AGREE_MS = 250
"""A device's corrected clock and ours: closer to a change than this, its time proves nothing."""


def count(draft: Draft, place: CounterAt) -> None:
    """Decide one reading of a counter."""
    spec, now = place.counter, draft.observation
    raw = _whole(now, spec)
    if raw is None:
        _unreadable(draft, place.station, spec)
        return
    before = draft.get(spec.key, Counter)
    if before is None or before.suspect is None or not jumps_about(before.suspect, now):
        readable_again(draft, place.station, spec.signal)
    read_as = draft.get(spec.read_as_key, ReadAs)
    is_now = ReadAs(spec.key, spec.parts_per_count, spec.parts_by_item)
    if read_as is None or read_as.key != spec.key:
        draft.put(spec.read_as_key, is_now)
        if read_as is not None:
            words = f"{_address(read_as.key)} before, {_address(spec.key)} now"
            _first(draft, place, raw, draft.get(read_as.key, Counter), words)
            return
    if before is None or before.raw >= spec.modulus:  # declared with fewer bits since: it cannot go on
        _first(draft, place, raw, before)
        return
    spec = place.counter if read_as is None else _as_before(spec, read_as)
    reading = judge(place.station, spec, before, now, raw)
    if reading.suspect is not None:
        _doubt(draft, place, before, raw, reading.suspect)
    else:
        readable_again(draft, place.station, spec.signal)
        if read_as is not None and read_as != is_now:
            draft.put(spec.read_as_key, is_now)
        _believe(draft, place._replace(counter=spec), before, raw, reading)


def _as_before(spec: CounterSpec, read_as: ReadAs) -> CounterSpec:
    """With the parts that one count stood for at the last reading: what was counted since is booked so."""
    if not read_as.parts_per_count:
        return spec
    if (read_as.parts_per_count, read_as.parts_by_item) == (spec.parts_per_count, spec.parts_by_item):
        return spec
    return dataclass_with(spec, parts_per_count=read_as.parts_per_count, parts_by_item=read_as.parts_by_item)


def _doubt(draft: Draft, place: CounterAt, before: Counter, raw: int, suspect: Suspect) -> None:
    """It is read again soon; where that leads to nothing, it is said to be no count, and waited for."""
    spec, now = place.counter, draft.observation
    is_none = jumps_about(suspect, now)
    draft.put(spec.key, replace(before, suspect=suspect, stale=before.stale or is_none))
    if is_none:
        why = (
            f"it jumps about: {raw} after {before.raw}, and no three readings in a row agree, so nothing is"
            " counted: are its address, type and word order right?"
        )
        unreadable(draft, place.station, spec.signal, why, JUMPS)
        return
    draft.doubted = True
    if suspect.tried_ms == now.mono_ms:
        draft.reread = (spec.signal,)


def unreadable(draft: Draft, station: StationSpec, signal: str, why: str, kind: str = "") -> None:
    """That a signal cannot be read is refused every time, and said once for each reason, the first few.

    `kind` stands for a reason that names a value; else it is the words without their numbers.
    """
    row, kind = draft.station(station), kind or _NUMBER.sub("", why)
    told = row.bad_reasons.get(signal, ())
    if signal not in row.bad_signals or (kind not in told and len(told) < _MOST_REASONS):
        reasons = {**row.bad_reasons, signal: (*told, kind)}
        signals = {**row.bad_signals, signal: why}
        draft.put(station.key, replace(row, bad_signals=signals, bad_reasons=reasons))
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
        reasons = {name: kinds for name, kinds in row.bad_reasons.items() if name != signal}
        draft.put(station.key, replace(row, bad_signals=still, bad_reasons=reasons))
        draft.say(Health(signal, "readable"), station.name)


def _whole(now: Observation, spec: CounterSpec) -> int | None:
    """The reading as a whole number within the declared width, or None.

    A signed integer that passes its top goes on at its bottom: below zero it is the same count. One that
    rolls over at another number than a power of 2 has no bottom.
    """
    value = now.value
    if now.quality is Quality.BAD or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    least = 0 if spec.modulus & spec.modulus - 1 else -spec.modulus
    if not least <= value < spec.modulus or value != int(value):
        return None
    if _LEAST_ERROR_CODE <= value < 0:
        return None
    return int(value) % spec.modulus


def _unreadable(draft: Draft, station: StationSpec, spec: CounterSpec) -> None:
    now = draft.observation
    why, kind = (now.detail, "") if now.detail else _no_count(now, spec)
    unreadable(draft, station, spec.signal, why, kind)
    before = draft.get(spec.key, Counter)
    if before is not None and not before.stale:
        draft.put(spec.key, replace(before, stale=True))


def _no_count(now: Observation, spec: CounterSpec) -> tuple[str, str]:
    """Why a value is none, and the kind of that reason."""
    value = now.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= spec.modulus:
        return f"{shown(value)} is no count below {spec.modulus}", NO_VALUE
    if spec.modulus & spec.modulus - 1:
        most = f"is more than a counter of {spec.modulus:,} readings counts to, so nothing is counted"
        return f"{shown(value)} {most}: write a larger `counter`", most
    wide = f"is more than a u{spec.modulus.bit_length() - 1} counts to, so nothing is counted"
    return f"{shown(value)} {wide}: write a wider `counter`", wide


def _next_baseline(
    draft: Draft, place: CounterAt, before: Counter, raw: int, reading: Reading, is_late: bool,
    claim: Claim | None,
) -> Counter:  # fmt: skip
    """After a reset or a leap the old one is kept in mind for some time."""
    now = draft.observation
    after, old = _baseline(now, raw, draft.station(place.station)), before.former
    if is_late:  # what comes after it is as uncertain as it was
        after = replace(after, context=before.context, others=before.others, earlier=before.earlier)
    if reading.kind is Kind.RESET or reading.leapt:
        old = old or Former(
            before.raw, before.seen_ms, before.mono_ms, before.boot, before.synced, before.context, 0,
            before.others,
        )  # fmt: skip
    if old is not None and claim is not None:
        old = replace(old, claims=with_claim(old.claims, claim))
    done = reading.restored or reading.kind is Kind.REPLACED
    if old is None or done or old.boot != now.boot or now.mono_ms - old.mono_ms > FORMER_MS:
        return after
    return replace(after, former=replace(old, counted=old.counted + _counted(reading)))


def _baseline(now: Observation, raw: int, row: Station) -> Counter:
    others = tuple(slot.context for slot in row.others) if row.others else ()
    return Counter(raw, now.at_ms, now.seen_ms, now.mono_ms, now.boot, row.context, others, synced=now.synced)


def _first(draft: Draft, place: CounterAt, raw: int, before: Counter | None, read_as: str = "") -> None:
    row = draft.station(place.station)
    draft.put(place.counter.key, _baseline(draft.observation, raw, row))
    was = before.raw if before else None
    _say_count(draft, place, Share(row.context, 0), raw, Reading(Kind.BASELINE), was, read_as)


def _address(key: str) -> str:
    """Source, address and decoding, out of the key of a baseline."""
    return key.partition("/")[2].replace("|", " ", 1)


def _believe(draft: Draft, place: CounterAt, before: Counter, raw: int, reading: Reading) -> None:
    """`place` has the factors of the last reading."""
    spec, now = place.station, draft.observation
    is_late = _is_late(before, now)
    owners = _owners(before, reading, is_late)
    read_as = _factors(draft, place.counter, owners[0].item)
    if read_as and reading.delta and reading.kind in _COUNTED:
        reading = reading._replace(kind=Kind.UNCERTAIN)
    claim = None
    if reading.kind is Kind.IMPLAUSIBLE:
        held = reading.delta * place.counter.parts(owners[0].item)
        claim = Claim(place.counter.role, before.raw, raw, held)
    draft.put(place.counter.key, _next_baseline(draft, place, before, raw, reading, is_late, claim))
    withdrawn = _withdraw(draft, spec, before) if reading.restored else 0
    if before.stale or reading.restored:
        _say_gap(draft, place, before, reading, withdrawn)
    if reading.delta == 0 and reading.kind in _NOTHING_NEW:
        return
    boundary = None if is_late else _boundary(before, reading)
    if boundary is None:
        _book(
            draft, place, before, owners, _counted(reading), raw, reading,
            straddles=before.earlier is not None, read_as=read_as,
        )  # fmt: skip
    else:
        _book_around(draft, place, before, boundary, raw, reading)
    if is_late:
        publish_ended(draft, owners)
    row = draft.station(spec)
    if claim is not None:
        row = replace(row, held=row.held + claim.parts, claims=with_claim(row.claims, claim))
    _end_cycle(draft, place, row, owners, reading, is_late=is_late)


def _end_cycle(
    draft: Draft, place: CounterAt, row: Station, owners: tuple[Context, ...], reading: Reading, *,
    is_late: bool,
) -> None:  # fmt: skip
    spec, now = place.station, draft.observation
    if is_late:
        row = finished_before(row, now, owners[0])
    elif reading.kind in _SEEN_LIVE:
        if place.ends_cycle:
            assigned = owners[0].order is not None
            row = part_finished(draft, spec, row, reading.delta, assigned=assigned)
    else:
        is_last = place.ends_cycle and place.counter.is_sampled
        row = replace(row, edge=None, recovered=edge_of(now) if is_last else row.recovered)
    draft.put(spec.key, row)


def _book(
    draft: Draft, place: CounterAt, before: Counter, owners: tuple[Context, ...], counts: int, raw: int,
    reading: Reading, *, straddles: bool, read_as: str = "",
) -> None:  # fmt: skip
    parts = counts * place.counter.parts(owners[0].item)
    for share in deal(draft, place.station, place.counter.role, owners, parts):
        mine = share._replace(straddles=straddles)
        was = before.raw if reading.kind in _TELLS_BEFORE else None
        _say_count(draft, place, _add(draft, place, mine), raw, reading, was, read_as)


def _factors(draft: Draft, spec: CounterSpec, item: str | None) -> str:
    """How many parts of it one count stood for and stands for, where the file changed that; else empty."""
    was, now = spec.parts(item), draft.line.counters[spec.signal].counter.parts(item)
    return "" if was == now else f"parts of a count: {was} before, {now} now"


def _boundary(before: Counter, reading: Reading) -> Boundary | None:
    """Where a reset was first seen by the reading that a change of the context had asked for."""
    if reading.kind is not Kind.RESET or before.suspect is None:
        return None
    return before.suspect.boundary


def _book_around(
    draft: Draft, place: CounterAt, before: Counter, boundary: Boundary, raw: int, reading: Reading
) -> None:
    """What the counter showed at the change was made before it, the rest after it."""
    until = min(boundary.raw, reading.delta)
    if until:
        _book(draft, place, before, boundary.before, until, raw, reading, straddles=False)
    since = reading.delta - until
    if since or not until:
        _book(draft, place, before, boundary.after, since, raw, reading, straddles=False)
    if until:
        publish_ended(draft, boundary.before)


def _withdraw(draft: Draft, spec: StationSpec, before: Counter) -> int:
    """What a leap claimed never was, for the counter goes on from where it was. Parts that no person has
    decided about yet."""
    row, leaps = draft.station(spec), before.former.claims if before.former else ()
    kept = list(row.claims)
    gone: list[Claim] = []
    for leap in leaps:
        if leap in kept:
            kept.remove(leap)
            gone.append(leap)
    if not gone:
        return 0
    parts = sum(one.parts for one in gone)
    draft.put(spec.key, replace(row, held=row.held - parts, claims=tuple(kept)))
    was, raw = gone[0].was, gone[0].raw
    words = f"the {gone[0].role} counter goes on from {was}, where it was before it went to {raw}"
    draft.say(Flag(WITHDRAWN, parts, words), spec.name)
    return parts


def _is_late(before: Counter, now: Observation) -> bool:
    """By the device's own clock it was read before the context changed."""
    earlier = before.earlier
    if earlier is None or now.stamp is not Stamp.SOURCE:
        return False
    if earlier.boot != now.boot:
        return now.at_ms <= earlier.changed_ms - CLOCKS_AGREE_MS
    # By the monotonic clock: the wall clock may have been set between the two.
    return now.mono_ms - (now.seen_ms - now.at_ms) <= earlier.mono_ms - CLOCKS_AGREE_MS


def _owners(before: Counter, reading: Reading, is_late: bool) -> tuple[Context, ...]:
    if reading.restored and before.former:
        return (before.former.context, *before.former.others)
    if is_late and before.earlier:
        return (before.earlier.context, *before.earlier.others)
    return (before.context, *before.others)


def _counted(reading: Reading) -> int:
    return 0 if reading.kind is Kind.IMPLAUSIBLE else reading.delta


def _add(draft: Draft, place: CounterAt, share: Share) -> Share:
    """Into the run that was on from the last reading to this one, or among the parts of no order.

    Returns the share under the context that its event has.
    """
    spec, role = place.station, place.counter.role
    counts = spec.counts_by is not CountsBy.OPERATOR
    made = counted(role, share.parts, counts=counts, of_total=spec.total_has_rejects)
    return book_count(draft, spec, share, made)


def _say_count(
    draft: Draft, place: CounterAt, share: Share, raw: int, reading: Reading, was: int | None,
    read_as: str = "",
) -> None:  # fmt: skip
    spec = place.counter
    held = reading.delta * spec.parts(share.context.item) if reading.kind is Kind.IMPLAUSIBLE else 0
    say_count(
        draft, place.station, spec.role, share, raw, reading.kind,
        held=held, counts=place.station.counts_by is not CountsBy.OPERATOR,
        of_total=spec.role is Role.REJECT and place.station.total_has_rejects, was=was,
        read_as=read_as,
    )  # fmt: skip


def _say_gap(draft: Draft, place: CounterAt, before: Counter, reading: Reading, withdrawn: int) -> None:
    row = draft.station(place.station)
    since_ms = before.former.seen_ms if reading.restored and before.former else before.seen_ms
    draft.say(
        Gap(
            place.counter.signal, since_ms, draft.observation.seen_ms,
            _counted(reading) * place.counter.parts(before.context.item),
            certain=reading.kind in (Kind.GAP, Kind.SAME),
            assigned=any(slot.run.id == before.context.run for slot in slots(row)), withdrawn=withdrawn,
            most=reading.most * place.counter.parts(before.context.item),
        ),
        place.station.name,
        before.context,
    )  # fmt: skip
