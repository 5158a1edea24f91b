"""Requests to one unit that are divided so that their lengths differ, and what that takes of the line."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._modbus.budget import costs_of, load, use_of, usual
from adapters._modbus.codec import BIT_TABLES, Table, read_bit
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.lines import SerialLine
from adapters._modbus.plan import (
    Block,
    Cut,
    Limits,
    Piece,
    Point,
    Schedule,
    blocks_of,
    bounds_of,
    halves,
    pieces_of,
)
from adapters._modbus.units import Manner

TABLES: tuple[Table, ...] = ("holding", "holding", "coil")
BUS = SerialLine("/dev/ttyS9", 9600, "even", 1)


def manner(unit: int) -> Manner:
    return Manner(1.0, 1.0, 0.0, 0.010)


def on_a_bus(max_registers: int, max_gap: int, how: Callable[[int], Manner] = manner) -> Limits:
    limits = Limits(max_registers, max_gap)
    return replace(limits, use=lambda blocks: use_of(blocks, BUS, how, limits))


def share(blocks: Sequence[Block], limits: Limits) -> float:
    """Of the line's time, what these requests take."""
    return load(costs_of(blocks, BUS, manner, limits), usual)


def areas(size: int, *starts: int, every_s: float = 1.0, unit: int = 1) -> list[Point]:
    """Registers of which each may be read alone."""
    places = [at for start in starts for at in range(start, start + size)]
    return [Point(f"s{unit}.{at}", unit, "holding", at, 1, every_s, read_bit) for at in places]


def signals(blocks: Sequence[Block]) -> list[str]:
    return sorted(one.signal for block in blocks for one in block.points)


# --- by hand --------------------------------------------------------------------------------------


def test_requests_of_one_unit_are_planned_with_lengths_of_their_own() -> None:
    in_a_row = areas(500, 0)
    planned = plan_by_period(in_a_row, on_a_bus(100, 8))
    assert [one.count for one in planned] == [100, 99, 98, 97, 96, 10]
    assert len(plan_by_period(in_a_row, Limits(100, 8))) == 5
    assert not any(one.is_alike for one in costs_of(planned, BUS, manner, Limits(100, 8)))


def test_what_can_be_divided_is_asked_by_lengths_of_its_own() -> None:
    planned = plan_by_period(areas(4, 0, 100), on_a_bus(4, 0))
    assert sorted(one.count for one in planned) == [1, 3, 4]


@pytest.mark.parametrize("max_gap", [0, 8])
def test_sixteen_full_requests_are_divided_and_take_a_third_of_the_time(max_gap: int) -> None:
    points, limits = areas(100, *range(0, 3200, 200), every_s=10.0), on_a_bus(100, max_gap)
    full = plan_by_period(points, Limits(100, max_gap))
    assert [one.count for one in full] == [100] * 16
    assert share(full, limits) > 1, "refused"
    planned = plan_by_period(points, limits)
    assert len(planned) == 31
    assert len({one.count for one in planned}) == 31 or max_gap
    assert share(planned, limits) < 0.5
    assert signals(planned) == signals(full)


def test_where_lengths_are_too_few_as_many_differ_as_can() -> None:
    limits = on_a_bus(10, 0)
    planned = plan_by_period(areas(10, *range(0, 3200, 200)), limits)
    alike = sum(one.is_alike for one in costs_of(planned, BUS, manner, limits))
    assert (len(planned), alike) == (20, 12)


def test_a_unit_that_needs_a_long_silence_is_not_asked_more_often() -> None:
    slow = on_a_bus(4, 0, lambda unit: Manner(1.0, 1.0, 0.5, 0.010))
    assert [one.count for one in plan_by_period(areas(4, 0, 100), slow)] == [4, 4]


def test_requests_that_can_only_be_alike_go_out_far_from_each_other() -> None:
    places = [(unit, at) for unit in range(1, 9) for at in (0, 9)]
    texts = [Point(f"t{unit}.{at}", unit, "holding", at, 4, 10.0, read_bit) for unit, at in places]
    limits = on_a_bus(4, 0, lambda unit: Manner(1.0, 1.0, 0.0, 0.3))
    planned = plan_by_period(texts, limits)
    assert [(one.unit, one.start) for one in planned] == [(unit, at) for at in (0, 9) for unit in range(1, 9)]
    costs = costs_of(planned, BUS, lambda unit: Manner(1.0, 1.0, 0.0, 0.3), limits)
    assert all(one.is_alike for one in costs)
    assert not any(one.wait_s for one in costs)
    close = sorted(planned, key=lambda one: one.unit)
    in_a_row = costs_of([replace(one, turn=0.0) for one in close], BUS, lambda unit: manner(1), limits)
    assert [one.wait_s > 0 for one in in_a_row] == [False, True] * 8, (
        "the first was asked long after the other"
    )


def test_two_that_are_alike_meet_where_the_period_is_short_or_another() -> None:
    for other_s in (3.0, 30.0):
        points = [*areas(1, 0, every_s=3.0), *areas(1, 50, every_s=other_s)]
        costs = costs_of(plan_by_period(points, on_a_bus(4, 0)), BUS, manner, Limits(4, 0))
        assert [one.wait_s > 0 for one in costs] == ([True, True] if other_s > 3 else [False, True])


def test_turns_are_kept_when_a_unit_comes_back() -> None:
    """What is planned anew at any time goes out at once, and then in its turn among the others."""
    blocks = [replace(block, turn=(0.5 + block.start) / 4) for block in _singles(4)]
    schedule = Schedule(blocks, 100.0)
    for now in (100.0, 110.0):
        assert _drawn(schedule, now) == [0, 1, 2, 3]
    [gone] = [one for one in schedule.remove(1) if one.start == 1]
    for block in (blocks[3], gone, blocks[0], blocks[2]):
        schedule.put(block, 113.0)
    assert _drawn(schedule, 113.0) == [0, 1, 2, 3]
    assert _drawn(schedule, 119.9) == []
    assert _drawn(schedule, 120.0) == [0, 1, 2, 3]


def _singles(number: int) -> list[Block]:
    return [Block((), 1, "holding", at, 1, 10.0) for at in range(number)]


def _drawn(schedule: Schedule, now: float) -> list[int]:
    taken = []
    while (slot := schedule.take(now)) is not None:
        taken.append(slot.block.start)
        assert schedule.again(slot, now) == 0
    return taken


# --- whatever there is ----------------------------------------------------------------------------


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    """Runs of registers and bits of two units, some of them to be read together."""
    found: list[Point] = []
    for _ in range(draw(st.integers(1, 5))):
        unit, table = draw(st.integers(1, 2)), draw(st.sampled_from(TABLES))
        start, size = draw(st.integers(0, 300)), draw(st.integers(1, 30))
        every_s, width = draw(st.sampled_from([0.1, 1.0, 10.0])), draw(st.sampled_from([1, 1, 2]))
        together = draw(st.sampled_from(["", "", "", "a"]))
        for number in range(size):
            at, name = start + number * width, f"s{len(found)}"
            among = together if number < 3 else ""
            found.append(Point(name, unit, table, at, width, every_s, read_bit, together=among))
    return found


def widest(pieces: Sequence[Piece], cuts: Sequence[Cut], block: Block) -> tuple[int, int, bool]:
    """Cells, the widest gap that is read along, and whether a cut is read across."""
    covered = sorted({at for piece in pieces for at in range(piece.start, piece.end)})
    gap = max((after - before - 1 for before, after in pairwise(covered)), default=0)
    starts = [piece.start for piece in pieces]
    is_cut = any(
        (unit, table) == (block.unit, block.table) and min(starts) < at <= max(starts)
        for unit, table, at in cuts
    )
    return block.count, gap, is_cut


@settings(max_examples=60, deadline=None)
@given(points=points(), most=st.integers(4, 40), max_gap=st.integers(0, 9), cut=st.integers(0, 300))
def test_all_is_read_once_within_the_limits_and_groups_stay_whole(
    points: list[Point], most: int, max_gap: int, cut: int
) -> None:
    cuts: list[Cut] = [(1, "holding", cut)]
    blocks = plan_by_period(points, on_a_bus(most, max_gap), cuts)
    assert signals(blocks) == sorted(one.signal for one in points)
    groups = {(one.unit, one.table, one.together) for one in points if one.together}
    for unit, table, name in groups:
        among = [
            block
            for block in blocks
            if any((one.unit, one.table, one.together) == (unit, table, name) for one in block.points)
        ]
        assert len(among) == 1
    for block in blocks:
        pieces, factor = pieces_of(block.points), 16 if block.table in BIT_TABLES else 1
        cells, gap, is_cut = widest(pieces, cuts, block)
        assert len(pieces) == 1 or (cells <= most * factor and gap <= max_gap * factor and not is_cut)


@settings(max_examples=60, deadline=None)
@given(points=points(), most=st.integers(2, 40), max_gap=st.integers(0, 9))
def test_no_plan_takes_more_of_the_line_than_the_fewest_requests_or_falling_lengths(
    points: list[Point], most: int, max_gap: int
) -> None:
    limits = on_a_bus(most, max_gap)
    for _, some in groupby(sorted(points, key=lambda one: one.unit), key=lambda one: one.unit):
        mine = list(some)
        planned, fewest = plan_by_period(mine, limits), plan_by_period(mine, Limits(most, max_gap))
        assert share(planned, limits) <= share(fewest, limits) + 1e-9
        if not any(one.is_alike for one in costs_of(fewest, BUS, manner, limits)):
            assert signals(planned) == signals(fewest)
            assert len(planned) == len(fewest)
        if len({(one.table, one.every_s, one.together) for one in mine}) == 1:
            pieces = pieces_of(mine)
            falling = blocks_of(pieces, bounds_of(pieces, limits, [], before=0))
            assert share(planned, limits) <= share(falling, limits) + 1e-9


@settings(max_examples=30, deadline=None)
@given(starts=st.sets(st.integers(0, 9), min_size=2, max_size=7), most=st.integers(2, 6))
def test_no_other_division_takes_much_less_of_the_line(starts: set[int], most: int) -> None:
    """Also of those that take more requests than there need be; a few hundredths are left lying about."""
    limits = on_a_bus(most, 0)
    mine = [point for at in sorted(starts) for point in areas(1, at)]
    pieces = pieces_of(mine)
    ways = [
        [0, *inner, len(pieces)]
        for number in range(len(pieces))
        for inner in combinations(range(1, len(pieces)), number)
    ]
    possible = [blocks_of(pieces, way) for way in ways if _is_in_rows(pieces, way, most)]
    best = min(share(blocks, limits) for blocks in possible)
    assert share(plan_by_period(mine, limits), limits) <= 1.15 * best


def _is_in_rows(pieces: Sequence[Piece], way: Sequence[int], most: int) -> bool:
    """Whether each request reads registers in a row, and no more than may be."""
    return all(
        pieces[after - 1].end - pieces[first].start == after - first <= most for first, after in pairwise(way)
    )


@settings(max_examples=40, deadline=None)
@given(points=points())
def test_halving_what_was_divided_loses_nothing(points: list[Point]) -> None:
    left, ends = plan_by_period(points, on_a_bus(20, 4)), list[Block]()
    while left:
        block = left.pop()
        parts = halves(block)
        ends += [] if parts else [block]
        left += parts or ()
    assert signals(ends) == sorted(one.signal for one in points)
