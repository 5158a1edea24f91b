"""Requests to one unit that can be told apart by their lengths. Decisions without I/O.

On a serial line an answer is known by nothing but its length (`names`). Where two requests to one table of a
unit can only be alike, the line is listened to after each, which takes twice as long as the longest answer of
the unit. A request more takes less, so some are divided, or end elsewhere, where that saves the listening.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from adapters._modbus.codec import BIT_TABLES, Table
from adapters._modbus.plan import (
    Block,
    Cut,
    Limits,
    Piece,
    Point,
    Use,
    blocks_of,
    bounds_of,
    cuts_of,
    pieces_of,
    place_of,
)

_MOST = 250
"""Requests to a unit beyond which there are more of them than lengths: a register table has 125."""
_REQUEST = 0.5
"""What a request more takes at the most, of what listening after one does."""
_ROUNDS = 4
"""How often all requests are looked through for one that had better be divided otherwise."""


def plan_by_period(points: Iterable[Point], limits: Limits, cuts: Collection[Cut] = ()) -> list[Block]:
    """The requests for sampling: points that are read at different periods share none.

    What is read together is read at the shortest period of its points. Without `limits.use` there are as few
    requests as can be, else those that take the least of the line's time.
    """
    known = list(points)
    period_s = _periods(known)
    blocks: list[Block] = []
    for unit, some in groupby(sorted(known, key=place_of), key=lambda point: point.unit):
        tables = {table: list(among) for table, among in groupby(some, key=lambda point: point.table)}
        blocks += _of_unit(unit, tables, period_s, limits, cuts)
    return _in_order(sorted(blocks, key=lambda block: block.every_s), limits)


def _periods(points: Sequence[Point]) -> Callable[[Point], float]:
    """How often each point is read."""
    periods: dict[tuple[int, Table, str], float] = {}
    for point in points:
        if point.together:
            group = point.unit, point.table, point.together
            periods[group] = min(periods.get(group, point.every_s), point.every_s)

    def period_s(point: Point) -> float:
        return periods.get((point.unit, point.table, point.together), point.every_s)

    return period_s


def _of_unit(
    unit: int,
    tables: dict[Table, list[Point]],
    period_s: Callable[[Point], float],
    limits: Limits,
    cuts: Collection[Cut],
) -> list[Block]:
    """The requests to one unit; where some are alike, one table after the other is divided otherwise."""
    own = limits.of(unit)
    strips = {
        table: [
            Strip(pieces_of(among), own, cuts_of(unit, table, cuts), every_s)
            for every_s, among in groupby(sorted(points, key=period_s), key=period_s)
        ]
        for table, points in tables.items()
    }
    chosen = {table: _blocks(some, _plain(some)) for table, some in strips.items()}
    if limits.use is None or sum(map(len, chosen.values())) > _MOST:
        return [block for blocks in chosen.values() for block in blocks]
    for table, some in strips.items():
        others = [block for of, blocks in chosen.items() if of != table for block in blocks]
        if any(limits.use([*chosen[table], *others]).alike[: len(chosen[table])]):
            chosen[table] = _quickest(some, others, limits.use)
    return [block for blocks in chosen.values() for block in blocks]


def _in_order(blocks: list[Block], limits: Limits) -> list[Block]:
    """As they are; or those of a unit that can only be alike far from each other, if that saves listening."""
    if limits.use is None or len(blocks) > _MOST:
        return blocks
    spread = list(_spread(blocks, _alike_of(blocks, limits.use)))
    return spread if limits.use(spread).share < limits.use(blocks).share - 1e-9 else blocks


def _spread(blocks: Sequence[Block], alike: set[int]) -> Iterator[Block]:
    """Where some are alike, those of a unit go out as far from each other as their period lets them."""
    for _, among in groupby(range(len(blocks)), key=lambda at: blocks[at].every_s):
        some = list(among)
        if alike.isdisjoint(some):
            yield from (blocks[at] for at in some)
            continue
        rows: dict[tuple[int, str], list[Block]] = {}
        for at in some:
            block = blocks[at]
            rows.setdefault((block.unit, block.table) if at in alike else (0, ""), []).append(block)
        turns = [one for row in rows.values() for one in _turns(row)]
        yield from (replace(block, turn=turn) for turn, block in sorted(turns, key=lambda one: one[0]))


def _alike_of(blocks: Sequence[Block], use: Callable[[Sequence[Block]], Use]) -> set[int]:
    """The numbers of those that can have the length of another of their unit."""
    return {at for at, is_alike in enumerate(use(blocks).alike) if is_alike}


def _turns(row: Sequence[Block]) -> Iterator[tuple[float, Block]]:
    """Evenly spread, from just above 0 to just below 1."""
    return (((number + 0.5) / len(row), block) for number, block in enumerate(row))


# --- the pieces of one table and period --------------------------------------------------------------


class Strip:
    """The pieces that are read at one period from one table of a unit."""

    def __init__(self, pieces: Sequence[Piece], limits: Limits, cuts: Sequence[int], every_s: float) -> None:
        self.pieces, self.limits, self.cuts = pieces, limits, cuts
        self.weight = 1 / every_s
        is_bits = pieces[0].points[0].table in BIT_TABLES
        per_register = 16 if is_bits else 1
        self._step = 8 if is_bits else 1
        """Cells by which the length of an answer changes."""
        self._most = limits.max_registers * per_register
        self._reach = [0, *accumulate((piece.end for piece in pieces), max)]
        """Before each piece, where those before it end."""
        gaps = [piece.start - reach for piece, reach in zip(pieces, self._reach, strict=False)]
        self._is_clear = [gap >= 0 for gap in gaps] + [True]
        """Of each piece, whether none before it reaches into it."""
        self._wide = [0, *accumulate(gap > limits.max_gap * per_register for gap in gaps)]
        """How many pieces before each have too wide a gap before them."""

    def span(self, first: int, after: int) -> "Span":
        """The lengths that a request for these pieces can have."""
        start, step, end = self.pieces[first].start, self._step, self._reach[after]
        if not self._is_clear[first]:
            end = max(piece.end for piece in self.pieces[first:after])
        least = -(-(end - start) // step)
        most = min(least + 2 * self.limits.max_gap, self._most // step, (0x10000 - start) // step)
        return Span(least, max(least, most), self.weight)

    def may_end(self, first: int, after: int) -> bool:
        """Whether one request may read these pieces, of which the first is clear."""
        start, last = self.pieces[first].start, self.pieces[after - 1].start
        is_cut = bisect_right(self.cuts, start) < bisect_right(self.cuts, last)
        is_torn = self._wide[after] > self._wide[first + 1]
        is_long = self._reach[after] - start > self._most
        return after - first == 1 or not (is_cut or is_torn or is_long)

    def otherwise(self, bounds: Sequence[int], at: int, *, may_add: bool) -> Iterator["Change"]:
        """How the request that begins at this bound, and those beside it, could be divided otherwise."""
        if may_add:
            yield from (Change(at, at + 1, middle) for middle in self._clear(bounds[at], bounds[at + 1]))
        for moved in (at, at + 1):
            if 0 < moved < len(bounds) - 1 and self._is_clear[bounds[moved]]:
                yield from self._moves(bounds, moved)

    def _clear(self, begin: int, end: int) -> Iterator[int]:
        return (at for at in range(begin + 1, end) if self._is_clear[at])

    def _moves(self, bounds: Sequence[int], moved: int) -> Iterator["Change"]:
        before, now, after = bounds[moved - 1 : moved + 2]
        for middle in self._clear(before, after):
            is_one = self._is_clear[before] and self.may_end(before, middle)
            if middle != now and (middle < now or is_one) and (middle > now or self.may_end(middle, after)):
                yield Change(moved - 1, moved + 1, middle)


class Span(NamedTuple):
    """The lengths that a request can have, in registers or bytes of bits."""

    least: int
    most: int
    weight: float
    """How often it is read."""


class Change(NamedTuple):
    """Between two bounds of a strip there is to be this one and no other."""

    first: int
    last: int
    middle: int

    def made(self, bounds: Sequence[int]) -> list[int]:
        return [*bounds[: self.first + 1], self.middle, *bounds[self.last :]]


Bounds = list[list[int]]
"""Of each strip, before which pieces a request begins, and their number."""


def _plain(strips: Sequence[Strip]) -> Bounds:
    """The fewest requests."""
    return [bounds_of(one.pieces, one.limits, one.cuts) for one in strips]


def _falling(strips: Sequence[Strip]) -> Bounds:
    """Each request shorter than the one before it may be: of 500 in a row 100, 99, 98, 97, 96, 10."""
    found: Bounds = []
    for one in strips:
        before = sum(len(bounds) - 1 for bounds in found)
        found.append(bounds_of(one.pieces, one.limits, one.cuts, before))
    return found


def _blocks(strips: Sequence[Strip], bounds: Bounds) -> list[Block]:
    return [
        block for one, where in zip(strips, bounds, strict=True) for block in blocks_of(one.pieces, where)
    ]


# --- the one that takes the least ---------------------------------------------------------------------


def _quickest(
    strips: Sequence[Strip], others: Sequence[Block], use: Callable[[Sequence[Block]], Use]
) -> list[Block]:
    """Of some ways to divide the strips, the one by which the unit takes the least of the line's time."""
    plain, falling = _plain(strips), _falling(strips)
    ways = [plain, falling, _mended(strips, plain), _mended(strips, falling)]
    found = [_blocks(strips, way) for way in ways]
    return min(found, key=lambda blocks: use([*blocks, *others]).share)


def _mended(strips: Sequence[Strip], begun: Bounds) -> Bounds:
    """Divided otherwise, request by request, as long as that makes some of them lengths of their own.

    First by as many requests, which end elsewhere, and only then by more.
    """
    bounds = [list(one) for one in begun]
    for may_add in (False, True):
        for _ in range(_ROUNDS):
            before = [list(one) for one in bounds]
            for number in range(len(strips)):
                _mend_strip(strips, bounds, number, may_add=may_add)
            if bounds == before or sum(map(len, bounds)) > _MOST:
                break
    return bounds


def _mend_strip(strips: Sequence[Strip], bounds: Bounds, number: int, *, may_add: bool) -> None:
    at = 0
    while at < len(bounds[number]) - 1:
        _mend(strips, bounds, number, at, may_add=may_add)
        at += 1


def _mend(strips: Sequence[Strip], bounds: Bounds, number: int, at: int, *, may_add: bool) -> None:
    """Change how one request is divided, where that takes less."""
    strip, here = strips[number], bounds[number]
    spans = [
        [one.span(first, after) for first, after in pairwise(where)]
        for one, where in zip(strips, bounds, strict=True)
    ]
    all_of = [span for some in spans for span in some]
    if spans[number][at].least not in _alike(all_of):
        return
    best, least = None, _takes(all_of)
    elsewhere = [span for of, some in enumerate(spans) if of != number for span in some]
    for change in strip.otherwise(here, at, may_add=may_add):
        begin, end = here[change.first], here[change.last]
        kept = spans[number][: change.first] + spans[number][change.last :]
        parts = [strip.span(begin, change.middle), strip.span(change.middle, end)]
        if (takes := _takes([*elsewhere, *kept, *parts])) < least - 1e-9:
            best, least = change, takes
    if best is not None:
        bounds[number] = best.made(here)


def _alike(spans: Iterable[Span]) -> Counter[int]:
    """The least lengths of those that are left over where each is given a length of its own, the shortest
    first: as many have one as can (unit jobs with agreeable windows)."""
    last, left = 0, Counter[int]()
    for span in sorted(spans):
        length = max(span.least, last + 1)
        if length <= span.most:
            last = length
        else:
            left[span.least] += 1
    return left


def _takes(spans: Sequence[Span]) -> float:
    """What requests take, measured in listenings: one for each that is alike, and some for itself."""
    left = _alike(spans)
    listened = sum(span.weight for span in spans if span.least in left)
    return listened + _REQUEST * sum(span.weight for span in spans)
