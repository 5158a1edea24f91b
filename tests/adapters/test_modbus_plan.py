"""What is read in which request, when, and which units count as lost."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters._modbus.budget import Cost, load, tight, usual
from adapters._modbus.codec import read_bit
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.plan import (
    Block,
    Limits,
    Piece,
    Point,
    Schedule,
    block_of,
    halves,
    pieces_of,
    plan,
)


def point(
    start: int, width: int = 1, unit: int = 1, every_s: float = 1.0, priority: int = 0, together: str = ""
) -> Point:
    name = f"s{start}.{width}.{every_s:g}.{together}"
    return Point(name, unit, "holding", start, width, every_s, read_bit, priority=priority, together=together)


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    count = draw(st.integers(1, 40))
    return [
        Point(
            f"s{number}",
            draw(st.integers(1, 2)),
            draw(st.sampled_from(["holding", "coil"])),
            draw(st.integers(0, 600)),
            draw(st.sampled_from([1, 2, 4])),
            draw(st.sampled_from([0.1, 1.0])),
            read_bit,
        )
        for number in range(count)
    ]


def signals(blocks: list[Block]) -> list[str]:
    return sorted(one.signal for block in blocks for one in block.points)


# --- requests -------------------------------------------------------------------------------------


@given(points=points(), limits=st.builds(Limits, st.integers(4, 125), st.integers(0, 20)))
def test_every_point_is_in_one_request_within_the_limits(points: list[Point], limits: Limits) -> None:
    blocks = plan_by_period(points, limits)
    assert signals(blocks) == sorted(one.signal for one in points)
    for block in blocks:
        factor = 16 if block.table == "coil" else 1
        assert block.count <= limits.max_registers * factor
        for one in block.points:
            assert (one.unit, one.table, one.every_s) == (block.unit, block.table, block.every_s)
            assert block.start <= one.start
            assert one.end <= block.start + block.count
        covered = sorted({at for one in block.points for at in range(one.start, one.end)})
        assert all(after - before - 1 <= limits.max_gap * factor for before, after in pairwise(covered))


@given(points=points(), data=st.data())
def test_no_request_reaches_across_a_cut(points: list[Point], data: st.DataObject) -> None:
    cut = data.draw(st.sampled_from(points))
    blocks = plan(points, Limits(125, 20), {(cut.unit, cut.table, cut.start)})
    assert signals(blocks) == sorted(one.signal for one in points)
    for block in blocks:
        if (block.unit, block.table) == (cut.unit, cut.table):
            assert not block.start < cut.start or all(one.start < cut.start for one in block.points)


@given(points=points())
def test_halving_ends_with_single_places_and_loses_nothing(points: list[Point]) -> None:
    blocks_left, ends = plan(points, Limits(125, 20)), []
    for _ in range(1000):
        if not blocks_left:
            break
        block = blocks_left.pop()
        parts = halves(block)
        if parts is None:
            ends.append(block)
            assert len({(one.start, one.width) for one in block.points}) == 1
        else:
            blocks_left.extend(parts)
    assert not blocks_left
    assert signals(ends) == sorted(one.signal for one in points)


def test_small_gaps_are_read_along_and_large_ones_are_not() -> None:
    limits = Limits(max_registers=100, max_gap=8)
    blocks = plan([point(0), point(9), point(19), point(110, 4)], limits)
    assert [(block.start, block.count) for block in blocks] == [(0, 10), (19, 1), (110, 4)]
    assert str(blocks[0]) == "unit 1 holding 0 to 9"
    assert str(blocks[1]) == "unit 1 holding 19"


# --- the fewest ---------------------------------------------------------------------------------


def partitions(pieces: list[Piece]) -> Iterator[list[list[Piece]]]:
    """Every way to divide some pieces among requests, also such that no plan would think of."""
    if not pieces:
        yield []
        return
    first, rest = pieces[0], pieces[1:]
    for size in range(len(rest) + 1):
        for company in combinations(rest, size):
            left = [one for one in rest if one not in company]
            for others in partitions(left):
                yield [[first, *company], *others]


def is_one_request(pieces: list[Piece], limits: Limits, cuts: list[int]) -> bool:
    """By the rules of the page, written down anew."""
    if len(pieces) == 1:
        return True
    first, last = min(one.start for one in pieces), max(one.end for one in pieces)
    starts = [one.start for one in pieces]
    covered = {at for one in pieces for at in range(one.start, one.end)}
    gaps = [after - before - 1 for before, after in pairwise(sorted(covered))]
    is_cut = any(min(starts) < cut <= max(starts) for cut in cuts)
    return last - first <= limits.max_registers and max(gaps, default=0) <= limits.max_gap and not is_cut


def registers(run: list[Piece]) -> int:
    return max(one.end for one in run) - min(one.start for one in run)


@st.composite
def few_points(draw: st.DrawFn) -> list[Point]:
    names = st.sampled_from(["", "", "", "a", "b"])
    return [
        point(draw(st.integers(0, 24)), draw(st.sampled_from([1, 2, 4])), together=draw(names))
        for _ in range(draw(st.integers(1, 7)))
    ]


@settings(max_examples=150)
@given(
    points=few_points(),
    limits=st.builds(Limits, st.integers(4, 16), st.integers(0, 8)),
    cuts=st.lists(st.integers(0, 24), max_size=2),
)
def test_no_other_division_takes_fewer_requests(points: list[Point], limits: Limits, cuts: list[int]) -> None:
    pieces = pieces_of(points)
    assume(len(pieces) <= 6)
    assume(all(registers([one]) <= limits.max_registers for one in pieces))
    best = min(
        len(parts) for parts in partitions(pieces) if all(is_one_request(run, limits, cuts) for run in parts)
    )
    blocks = plan(points, limits, [(1, "holding", cut) for cut in cuts])
    assert len(blocks) == best
    for block in blocks:
        assert is_one_request(pieces_of(block.points), limits, cuts)


@settings(max_examples=150)
@given(
    starts=st.sets(st.integers(0, 24), min_size=1, max_size=6),
    limits=st.builds(Limits, st.integers(4, 16), st.integers(0, 8)),
)
def test_of_as_few_requests_none_reads_fewer_registers(starts: set[int], limits: Limits) -> None:
    points = [point(start) for start in starts]
    possible = [
        (len(parts), sum(registers(run) for run in parts))
        for parts in partitions(pieces_of(points))
        if all(is_one_request(run, limits, []) for run in parts)
    ]
    blocks = plan(points, limits)
    assert (len(blocks), sum(block.count for block in blocks)) == min(possible)


def test_a_request_ends_at_the_widest_gap() -> None:
    blocks = plan([point(0), point(1), point(9), point(10), point(11), point(12)], Limits(12, 8))
    assert [(block.start, block.count) for block in blocks] == [(0, 2), (9, 4)]


def test_five_thousand_points_are_planned_in_a_moment() -> None:
    began = time.process_time()
    for step in (1, 2, 5):
        plan([point(at * step) for at in range(5_000)], Limits(100, 8))
        bits = [Point(f"c{at}", 1, "coil", at * step, 1, 1.0, read_bit) for at in range(5_000)]
        plan(bits, Limits(125, 8))
    assert time.process_time() - began < 5


# --- read together, and limits of units -----------------------------------------------------------


def test_what_is_to_be_read_together_is_one_request_whatever_lies_between() -> None:
    limits = Limits(max_registers=50, max_gap=0)
    group = [point(0, 2, together="t"), point(40, 4, together="t")]
    blocks = plan([*group, point(20), point(45)], limits, cuts=[(1, "holding", 30)])
    assert [(block.start, block.count) for block in blocks] == [(0, 44), (45, 1)]
    assert halves(blocks[0]) is not None, "the point between stands alone"
    parts = halves(blocks[0])
    assert parts is not None
    assert [len(part.points) for part in parts] == [2, 1]
    assert halves(block_of(group)) is None


@given(points=points(), names=st.lists(st.sampled_from(["", "a", "b"]), min_size=40, max_size=40))
def test_no_group_is_ever_divided(points: list[Point], names: list[str]) -> None:
    given = [replace(one, together=name) for one, name in zip(points, names, strict=False)]
    blocks_left = plan_by_period(given, Limits(20, 4))
    assert signals(blocks_left) == sorted(one.signal for one in given)
    for _ in range(1000):
        if not blocks_left:
            break
        block = blocks_left.pop()
        for piece in pieces_of(block.points):
            one = piece.points[0]
            if one.together:
                where = one.unit, one.table, one.together
                group = [other for other in given if (other.unit, other.table, other.together) == where]
                assert sorted(other.signal for other in piece.points) == sorted(one.signal for one in group)
        blocks_left.extend(halves(block) or ())
    assert not blocks_left


def test_a_group_is_read_as_often_as_the_one_in_it_that_is_read_most() -> None:
    group = [point(0, every_s=1.0, together="t"), point(1, every_s=0.25, together="t")]
    alone = point(2, every_s=1.0)
    blocks = plan_by_period([*group, alone], Limits(100, 8))
    assert [(block.start, block.count, block.every_s) for block in blocks] == [(0, 2, 0.25), (2, 1, 1.0)]


def test_a_request_has_the_priority_of_its_first() -> None:
    assert block_of([point(0, priority=2), point(1, priority=0)]).priority == 0


def test_a_unit_has_limits_of_its_own() -> None:
    limits = Limits(100, 8, {2: Limits(2, 0)})
    points = [point(at, unit=unit) for unit in (1, 2) for at in (0, 1, 2, 4)]
    blocks = plan(points, limits)
    assert [(block.unit, block.start, block.count) for block in blocks] == [
        (1, 0, 5), (2, 0, 2), (2, 2, 1), (2, 4, 1)
    ]  # fmt: skip


# --- times ----------------------------------------------------------------------------------------


@given(
    every_s=st.floats(0.01, 10),
    delays=st.lists(st.floats(0.0001, 30), min_size=1, max_size=40),
)
def test_a_request_keeps_to_its_grid_and_is_never_caught_up(every_s: float, delays: list[float]) -> None:
    now = start = 1000.0
    schedule = Schedule([block_of([point(0, every_s=every_s)])], start)
    for delay_s in delays:
        slot = schedule.take(now)
        assert slot is not None
        steps = (slot.at - start) / every_s
        assert abs(steps - round(steps)) < 1e-6
        now += delay_s
        schedule.again(slot, now)
        due = schedule.next_at()
        assert due is not None
        assert now - 1e-6 < due <= max(slot.at, now) + every_s + 1e-6
        assert schedule.take(due - 1e-3) is None or due - 1e-3 >= due
        now = max(now, due)


def drawn(schedule: Schedule, times: Iterable[float]) -> list[int]:
    """The first register of what goes out at each of these times, each done at once."""
    taken = []
    for now in times:
        slot = schedule.take(now)
        assert slot is not None
        taken.append(slot.block.start)
        schedule.again(slot, now)
    return taken


def test_the_nearest_deadline_goes_first_then_the_priority_and_equals_in_order() -> None:
    periods = ((0, 1.0), (50, 0.1), (99, 1.0))
    blocks = [block_of([point(at, every_s=every)]) for at, every in periods]
    assert drawn(Schedule(blocks, 0.0), (0.0, 0.0, 0.0, 0.35, 1.0)) == [50, 0, 99, 50, 50]
    ranked = [block_of([point(at, priority=priority)]) for at, priority in ((0, 2), (1, 0), (2, 1), (3, 0))]
    assert drawn(Schedule(ranked, 0.0), (0.0,) * 4) == [1, 3, 2, 0]


def test_what_cannot_be_kept_leaves_a_quarter_to_the_lower_priorities() -> None:
    high = [block_of([point(at, every_s=0.1)]) for at in range(8)]
    low = [block_of([point(at, every_s=0.1, priority=1 + at % 2)]) for at in range(100, 104)]
    schedule, now, taken = Schedule([*high, *low], 0.0), 0.0, []
    for _ in range(400):  # each takes 50 ms: six times as much is wanted as can be done
        slot = schedule.take(now)
        assert slot is not None
        now += 0.05
        schedule.again(slot, now)
        taken.append(slot.block.start)
    late = taken[20:]
    share = sum(at >= 100 for at in late) / len(late)
    assert 0.23 < share < 0.27
    times = Counter(late)
    assert set(times) == {*range(8), *range(100, 104)}
    for equals in (range(8), range(100, 104)):
        among = [times[at] for at in equals]
        assert max(among) - min(among) <= 2, "equals have equal shares"


def test_slots_that_are_missed_are_counted() -> None:
    schedule = Schedule([block_of([point(0, every_s=0.25)])], 10.0)
    slot = schedule.take(10.0)
    assert slot is not None
    assert schedule.again(slot, 10.2) == 0
    assert schedule.next_at() == 10.25
    slot = schedule.take(10.3)
    assert slot is not None
    assert schedule.again(slot, 11.1) == 3, "10.5, 10.75 and 11.0"
    assert schedule.next_at() == 11.25


@st.composite
def lines(draw: st.DrawFn) -> list[tuple[Block, float]]:
    """Requests, and what each of them takes, in seconds."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        every_s = draw(st.sampled_from([0.1, 0.15, 0.25, 0.5, 1.0, 1.7]))
        takes_s = draw(st.floats(0.002, 0.12))
        found.append((block_of([point(number, every_s=every_s, priority=number % 3)]), takes_s))
    return found


@settings(max_examples=200)
@given(line=lines())
def test_what_the_budget_accepts_the_schedule_keeps(line: list[tuple[Block, float]]) -> None:
    costs = [Cost(block, takes_s, takes_s, 1.0) for block, takes_s in line]
    assume(not tight(costs, usual) and load(costs, usual) < 1)
    takes = {block.start: 0.999 * takes_s for block, takes_s in line}
    schedule, now = Schedule([block for block, _ in line], 0.0), 0.0
    while now < 20:
        slot = schedule.take(now)
        if slot is None:
            now = schedule.next_at() or 20
            continue
        now += takes[slot.block.start]
        assert schedule.again(slot, now) == 0, f"{slot.block.every_s} at {now}"


def test_a_unit_can_be_taken_out() -> None:
    schedule = Schedule([block_of([point(0, unit=unit)]) for unit in (1, 2, 1)], 0.0)
    assert [block.unit for block in schedule.remove(1)] == [1, 1]
    slot = schedule.take(0.0)
    assert slot is not None
    assert slot.block.unit == 2
    assert schedule.take(0.0) is None
