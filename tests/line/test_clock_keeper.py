"""The keeper of the clock: what it tells, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.observation import ClockWord
from edge.timekeeping import BACK_MS, BUILT_MS, PATIENCE_MS, STEP_MS, Last, Timekeeper
from tests.line.clock_support import DAY_MS, HOUR_MS, MAY_MS, unsynced
from tests.support.clock import ManualClock


def told(keeper: Timekeeper) -> list[ClockWord]:
    words = [one.value for one in keeper.words()]
    assert all(isinstance(word, ClockWord) for word in words)
    return [word for word in words if isinstance(word, ClockWord)]


def test_a_clock_that_runs_is_the_clock() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock, Last(MAY_MS - 60_000, 5_000, "b-1"))
    for _ in range(100):
        clock.pass_ms(1_000)
        clock.step_ms(10)  # a time server slews it
        assert keeper.wall_ms() == clock.wall_ms()
    assert told(keeper) == []


@pytest.mark.parametrize("step_ms", [STEP_MS + 1, 30 * DAY_MS, -STEP_MS - 1, -BACK_MS + 1])
def test_a_step_that_may_be_right_is_told_and_taken(step_ms: int) -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(step_ms)
    assert keeper.wall_ms() == clock.wall_ms()
    assert told(keeper) == [ClockWord("stepped", step_ms=step_ms)]
    assert told(keeper) == [], "each is told once"


def test_a_clock_set_back_by_a_time_server_is_right() -> None:
    clock = ManualClock()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    assert [word.state for word in told(keeper)] == ["stepped"]


def test_a_clock_set_back_by_nobody_known_is_doubted_until_it_is_back() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    began_ms = keeper.wall_ms()
    assert began_ms == clock.wall_ms() + HOUR_MS, "the monotonic clock goes on"
    clock.pass_ms(5_000)
    assert keeper.wall_ms() == began_ms + 5_000
    assert not keeper.synced()
    clock.step_ms(HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    doubtful, right = told(keeper)
    assert (doubtful.state, doubtful.since_ms, doubtful.step_ms) == ("doubtful", began_ms, -HOUR_MS)
    assert (right.state, right.since_ms, right.shift_ms, right.certain) == ("right", began_ms, 0, True)


def test_patience_with_a_clock_that_is_merely_behind_ends() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    keeper.look()
    clock.pass_ms(PATIENCE_MS)
    keeper.look()
    assert keeper.wall_ms() == clock.wall_ms()
    _, right = told(keeper)
    assert (right.state, right.shift_ms, right.certain) == ("right", -HOUR_MS, False)


def test_a_start_in_1970_is_dated_after_the_last_event_and_corrected() -> None:
    last = Last(MAY_MS, 9_000, "b0")
    clock = unsynced(5_000, 3_000, "b1")
    keeper = Timekeeper(clock, last)
    assert keeper.wall_ms() == MAY_MS + 1
    clock.pass_ms(60_000)
    assert keeper.wall_ms() == MAY_MS + 60_001
    clock.pass_ms(PATIENCE_MS)
    assert keeper.reason, "no patience makes 1970 right"
    clock.step_ms(MAY_MS + DAY_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    doubtful, right = told(keeper)
    assert doubtful.since_ms == MAY_MS + 1
    assert right.shift_ms == clock.wall_ms() - (MAY_MS + PATIENCE_MS + 60_001)
    assert right.offset_ms == MAY_MS + 1 - 3_000


def test_the_first_start_of_all_in_1970_is_dated_when_it_was_built() -> None:
    keeper = Timekeeper(unsynced(0))
    assert keeper.wall_ms() == BUILT_MS


def test_a_clock_that_goes_on_from_where_the_box_was_switched_off_waits_for_a_server() -> None:
    clock = unsynced(MAY_MS - HOUR_MS, 3_000, "b1")
    keeper = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"))
    assert keeper.reason
    clock.is_synced = True
    clock.step_ms(3 * HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    assert [word.state for word in told(keeper)] == ["doubtful", "right"]


def test_where_the_line_says_so_only_a_time_server_is_believed() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock, Last(MAY_MS - 5_000, 1, "b9"), require_ntp=True)
    clock.pass_ms(2 * PATIENCE_MS)
    keeper.look()
    assert keeper.reason == "no time server has set it"
    clock.is_synced = True
    keeper.look()
    assert keeper.reason == ""
    assert [word.state for word in told(keeper)] == ["doubtful", "right"]


def test_a_doubt_goes_on_over_a_restart_of_the_agent() -> None:
    clock = unsynced(5_000, 3_000, "b1")
    before = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"))
    since_ms = before.wall_ms()
    clock.pass_ms(10_000)
    last = Last(before.wall_ms(), clock.mono_ms(), "b1", since_ms)
    clock.pass_ms(10_000)
    keeper = Timekeeper(clock, last)
    assert keeper.wall_ms() == since_ms + 20_000
    assert told(keeper) == []
    clock.step_ms(MAY_MS + DAY_MS)
    keeper.look()
    [right] = told(keeper)
    assert (right.state, right.since_ms) == ("right", since_ms)


def test_a_box_started_again_with_a_right_clock_ends_the_doubt_of_before() -> None:
    keeper = Timekeeper(unsynced(MAY_MS + DAY_MS, 1, "b2"), Last(MAY_MS, 9_000, "b1", MAY_MS - 60_000))
    [right] = told(keeper)
    assert (right.state, right.shift_ms, right.certain) == ("right", 0, False)


def test_a_step_while_the_agent_was_off_is_told() -> None:
    clock = unsynced()
    last = Last(clock.wall_ms(), clock.mono_ms(), "b0")
    clock.pass_ms(HOUR_MS)
    clock.step_ms(2_000)  # slewed
    assert told(Timekeeper(clock, last)) == []
    clock.step_ms(60_000)
    assert [word.step_ms for word in told(Timekeeper(clock, last))] == [62_000]


steps = st.lists(
    st.tuples(st.integers(0, 1_000_000), st.integers(-40 * DAY_MS, 40 * DAY_MS), st.booleans()), max_size=20
)


@given(moves=steps, start_ms=st.sampled_from([0, BUILT_MS, MAY_MS]), require=st.booleans())
def test_times_of_a_doubt_are_in_order_and_shifted_by_one_number(
    moves: list[tuple[int, int, bool]], start_ms: int, require: bool
) -> None:
    clock = unsynced(start_ms, 5_000, "b1")
    keeper = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"), require_ntp=require)
    stamped: list[tuple[int, int]] = []
    for passed_ms, step_ms, synced in moves:
        clock.pass_ms(passed_ms)
        clock.step_ms(max(step_ms, -clock.wall_ms()))
        clock.is_synced = synced
        was = keeper.reason
        at_ms = keeper.wall_ms()
        for word in told(keeper):
            if word.state == "right":
                assert {seen - mono for seen, mono in stamped} <= {word.offset_ms}
                assert at_ms == clock.wall_ms()
                stamped.clear()
            assert word.state != "stepped" or not was
        if keeper.reason:
            stamped.append((at_ms, clock.mono_ms()))
            assert at_ms >= BUILT_MS
        else:
            assert abs(at_ms - clock.wall_ms()) <= STEP_MS
    assert [at for at, _ in stamped] == sorted(at for at, _ in stamped)
