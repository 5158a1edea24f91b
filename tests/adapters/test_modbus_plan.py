"""What is read in which request, when, and which units count as lost."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters._modbus.codec import read_bit
from adapters._modbus.plan import Block, Limits, Point, Roll, Schedule, block_of, halves, plan, plan_by_period


def point(start: int, width: int = 1, unit: int = 1, every_s: float = 1.0, name: str = "") -> Point:
    return Point(name or f"s{start}", unit, "holding", start, width, every_s, read_bit)


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
    todo, ends = plan(points, Limits(125, 20)), []
    for _ in range(1000):
        if not todo:
            break
        block = todo.pop()
        parts = halves(block)
        if parts is None:
            ends.append(block)
            assert len({(one.start, one.width) for one in block.points}) == 1
        else:
            todo.extend(parts)
    assert not todo
    assert signals(ends) == sorted(one.signal for one in points)


def test_small_gaps_are_read_along_and_large_ones_are_not() -> None:
    limits = Limits(max_registers=100, max_gap=8)
    blocks = plan([point(0), point(9), point(19), point(110, 4)], limits)
    assert [(block.start, block.count) for block in blocks] == [(0, 10), (19, 1), (110, 4)]
    assert str(blocks[0]) == "unit 1 holding 0 to 9"
    assert str(blocks[1]) == "unit 1 holding 19"


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


def test_the_longest_due_goes_first_and_equals_in_order() -> None:
    blocks = [block_of([point(at, every_s=every)]) for at, every in ((0, 1.0), (50, 0.1), (99, 1.0))]
    schedule = Schedule(blocks, 0.0)
    taken = []
    for now in (0.0, 0.0, 0.0, 0.35, 1.0):
        slot = schedule.take(now)
        assert slot is not None
        taken.append(slot.block.start)
        schedule.again(slot, now)
    assert taken == [0, 50, 99, 50, 50]


def test_a_unit_can_be_taken_out() -> None:
    schedule = Schedule([block_of([point(0, unit=unit)]) for unit in (1, 2, 1)], 0.0)
    assert [block.unit for block in schedule.remove(1)] == [1, 1]
    slot = schedule.take(0.0)
    assert slot is not None
    assert slot.block.unit == 2
    assert schedule.take(0.0) is None


# --- units ----------------------------------------------------------------------------------------


def test_a_unit_is_lost_by_failures_in_a_row_only() -> None:
    roll = Roll([1, 2], tries=2, probe_every_s=60)
    assert not roll.failed(1, 0)
    assert not roll.answered(1)
    assert not roll.failed(1, 1)
    assert roll.failed(1, 2)
    assert not roll.failed(1, 3), "it is lost once"
    assert roll.is_lost(1)
    assert not roll.all_lost()
    assert roll.answered(1)
    assert not roll.is_lost(1)


def test_lost_units_take_turns_in_one_probe_a_period() -> None:
    roll = Roll([1, 2, 3], tries=1, probe_every_s=60)
    assert roll.probe(0) is None
    assert roll.probe_at() is None
    for unit in (1, 2):
        roll.failed(unit, 0)
    probed = []
    for now in range(301):
        due = roll.probe(now)
        if due is not None:
            probed.append((now, due))
            roll.failed(due, now)
    assert probed == [(60, 1), (120, 2), (180, 1), (240, 2), (300, 1)]


def test_when_one_comes_back_the_next_is_probed_at_once() -> None:
    roll = Roll([1, 2], tries=1, probe_every_s=60)
    for unit in (1, 2):
        roll.failed(unit, 0)
    assert roll.all_lost()
    assert roll.probe(60) == 1
    assert roll.answered(1)
    assert roll.probe(60) == 2
