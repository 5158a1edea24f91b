"""Which order each part was made for, and whether what was counted can be explained by it.

The ground truth knows when a part was made, within a window, and when a scan left the gun
and was confirmed. A part whose window lies clear of a change belongs to one order; one that
touches it may belong to either.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from typing import NamedTuple

from simulators.records import Made, Scan

UNASSIGNED = None
"""The order of parts that are made while no order runs."""

Order = str | None


@dataclass(frozen=True, slots=True)
class Change:
    """From some instant between the two times on, a station makes parts for `order`."""

    station: str
    sent_ms: float
    """When the label left the gun, the first time."""
    confirmed_ms: float
    """When the answer was there; infinite where none ever came."""
    order: Order

    def __post_init__(self) -> None:
        if self.confirmed_ms < self.sent_ms:
            raise ValueError("a label cannot be confirmed before it is sent")


class Key(NamedTuple):
    """What parts are added up by."""

    station: str
    order: Order


@dataclass(frozen=True, slots=True)
class Tally:
    """Parts of one station for one order."""

    good: int = 0
    scrap: int = 0


@dataclass(frozen=True, slots=True)
class Either:
    """A part made during a change of orders."""

    station: str
    n: int
    good: bool
    orders: tuple[Order, ...]
    """Two or more, in the order in which the station changed to them."""


@dataclass(frozen=True, slots=True)
class ByOrder:
    """Everything made: every part is in `definite` or in `either`, never in both."""

    definite: Mapping[Key, Tally]
    either: tuple[Either, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What no assignment of the parts in question can explain."""

    station: str
    orders: tuple[Order, ...]
    """One order that has too many or too few; several where a missing part may belong to each."""
    good: bool
    excess: int
    """Counted minus made."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All differences in three numbers of parts."""

    lost: int
    duplicated: int
    misattributed: int
    """Too many for one order and too few for another of the same station."""


def changes(station: str, scans: Iterable[Scan], orders: Mapping[str, Order]) -> list[Change]:
    """The changes of order that a gun's scans made; `orders` says what each label means.

    A label that is sent again and again until it is confirmed is one change, from the first
    time that it may have been heard. One that was only ever refused is none; one that was never
    answered may have taken effect at any time until the next confirmation. Labels that
    `orders` does not name change nothing.
    """
    found = []
    for label, run in groupby((scan for scan in scans if scan.scan in orders), key=lambda scan: scan.scan):
        found += [Change(station, *window, orders[label]) for window in _windows(run)]
    return found


def _windows(run: Iterable[Scan]) -> list[tuple[float, float]]:
    """First send and confirmation, of scans of one label."""
    found = []
    since_ms: float | None = None
    for scan in run:
        if since_ms is None and scan.answer != "refused":
            since_ms = scan.sent_ms
        taken = scan.answer in ("confirmed", "duplicate")
        if taken and scan.answered_ms is not None and since_ms is not None:
            found.append((since_ms, scan.answered_ms))
            since_ms = None
    return found if since_ms is None else [*found, (since_ms, inf)]


def parts_by_order(parts: Iterable[Made], changes: Iterable[Change]) -> ByOrder:
    """Join parts and changes, station by station; before its first change one is UNASSIGNED."""
    spans = _spans(changes)
    definite: Counter[tuple[Key, bool]] = Counter()
    either = []
    for part in parts:
        orders = _candidates(part, spans.get(part.station, [_Span(UNASSIGNED, -inf, inf)]))
        if len(orders) == 1:
            definite[Key(part.station, orders[0]), part.good] += 1
        else:
            either.append(Either(part.station, part.n, part.good, orders))
    keys = {key for key, _ in definite}
    return ByOrder({key: Tally(definite[key, True], definite[key, False]) for key in keys}, tuple(either))


def reconcile(made: ByOrder, counted: Mapping[Key, Tally]) -> list[Difference]:
    """What is left when every part in question is given to the order where it fits best.

    Empty exactly if each can be given to one of its candidates such that good and scrap of
    every station and order match to the part.
    """
    stations = {key.station for key in (*made.definite, *counted)} | {one.station for one in made.either}
    return [
        difference
        for station in sorted(stations)
        for good in (True, False)
        for difference in _reconcile_kind(station, good, made, counted)
    ]


def judge(differences: Iterable[Difference]) -> Verdict:
    """Add differences up, each station and kind by itself."""
    sums: defaultdict[tuple[str, bool], list[int]] = defaultdict(lambda: [0, 0])
    for one in differences:
        sums[one.station, one.good][one.excess > 0] += abs(one.excess)
    wrong = sum(min(short, over) for short, over in sums.values())
    lost, duplicated = (sum(pair[side] for pair in sums.values()) for side in (0, 1))
    return Verdict(lost - wrong, duplicated - wrong, wrong)


class _Span(NamedTuple):
    """The longest time in which an order may have been the one that runs."""

    order: Order
    from_ms: float
    to_ms: float


def _when(change: Change) -> tuple[float, float]:
    return change.sent_ms, change.confirmed_ms


def _spans(changes: Iterable[Change]) -> dict[str, list[_Span]]:
    by_station: defaultdict[str, list[Change]] = defaultdict(list)
    for change in sorted(changes, key=_when):
        by_station[change.station].append(change)
    return {station: _spans_of(one) for station, one in by_station.items()}


def _spans_of(changes: Sequence[Change]) -> list[_Span]:
    """An order is out of the question from the first confirmation of any later one."""
    spans: list[_Span] = []
    ends_ms = inf
    for change in reversed(changes):
        spans.append(_Span(change.order, change.sent_ms, ends_ms))
        ends_ms = min(ends_ms, change.confirmed_ms)
    spans.append(_Span(UNASSIGNED, -inf, ends_ms))
    return spans[::-1]


def _candidates(part: Made, spans: Sequence[_Span]) -> tuple[Order, ...]:
    touched = [span.order for span in spans if part.to_ms >= span.from_ms and part.from_ms <= span.to_ms]
    return tuple(dict.fromkeys(touched))


def _reconcile_kind(
    station: str, good: bool, made: ByOrder, counted: Mapping[Key, Tally]
) -> list[Difference]:
    room: Counter[Order] = Counter()
    for tallies, sign in ((counted, 1), (made.definite, -1)):
        for key, tally in tallies.items():
            if key.station == station:
                room[key.order] += sign * (tally.good if good else tally.scrap)
    open_parts = [one.orders for one in made.either if one.station == station and one.good is good]
    homeless = _place(open_parts, room)
    missing = Counter(homeless)
    return [
        *(Difference(station, (order,), good, left) for order, left in room.items() if left),
        *(Difference(station, orders, good, -number) for orders, number in missing.items()),
    ]


_Placed = defaultdict[Order, Counter[tuple[Order, ...]]]
"""Of each order, how many parts with the same candidates it has been given."""


def _place(parts: Sequence[tuple[Order, ...]], room: Counter[Order]) -> list[tuple[Order, ...]]:
    """Give as many parts as possible to an order with room; returns those that found none.

    A maximum bipartite matching by augmenting paths (Kuhn). `room` is reduced by each part.
    """
    placed: _Placed = defaultdict(Counter)
    return [orders for orders in parts if not _find_room(orders, placed, room, set())]


def _find_room(orders: tuple[Order, ...], placed: _Placed, room: Counter[Order], tried: set[Order]) -> bool:
    for order in orders:
        if order in tried:
            continue
        tried.add(order)
        if room[order] > 0:
            room[order] -= 1
            placed[order][orders] += 1
            return True
        if _make_room(order, placed, room, tried):
            placed[order][orders] += 1
            return True
    return False


def _make_room(order: Order, placed: _Placed, room: Counter[Order], tried: set[Order]) -> bool:
    """Move one part that `order` was given to another of its candidates."""
    for other in [orders for orders, number in placed[order].items() if number]:
        if _find_room(other, placed, room, tried):
            placed[order][other] -= 1
            return True
    return False
