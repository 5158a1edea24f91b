"""Devices that are restarted and swapped, against a slow and obvious model: what is not counted is told."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.observation import Quality
from edge.production.counting import Kind
from tests.support.clock import ManualClock
from tests.support.device_plant import SIGNAL, a_plant
from tests.support.line import see

spans = st.integers(150_000, 900_000)
"""Long beside two steps of the slowest uptime: two restarts within them are one."""
shares = st.floats(0, 1)
long_turns = st.sampled_from([(1_000, 0), (1_000, 65_536_000), (1, 1 << 32), (60_000, 0)])
turns = long_turns | st.just((10, 655_360))
"""Step and turn of an uptime in ms. Where a turn is shorter than the time between two readings, a restart can
look like none."""


@given(
    st.integers(0, 65_535), long_turns,
    st.lists(
        st.tuples(
            spans, shares, spans, shares,
            st.sampled_from(["reads", "restarts", "agent restarts", "is swapped"]),
        ),
        max_size=25,
    ),
)  # fmt: skip
def test_what_is_short_is_exactly_what_was_made_between_a_reading_and_the_end_of_a_device(
    raw: int, clock: tuple[int, int], happening: list[tuple[int, float, int, float, str]]
) -> None:
    """A device that begins at zero: its short counts are those that the ledger calls unknowable, or it says
    that a count may have begun anew."""
    plant = a_plant(16, raw, *clock)
    for passed_ms, share, since_ms, slowly, what in happening:
        shown = plant.raw % (1 << 16)
        plant.run(passed_ms, share)
        if what == "restarts":
            plant.restart(keeps=False)
        elif what == "is swapped":
            plant.swap(40_000)
            plant.read()
        elif what == "agent restarts":
            plant.restart_the_agent()
        plant.run(since_ms, slowly)
        plant.read()
        assert plant.counted <= plant.made - plant.lost
        if what == "restarts" and plant.raw >= shown:  # it has passed where it was, nobody can tell
            assert not plant.is_certain
            plant.lost = plant.made - plant.counted
        assert plant.counted == plant.made - plant.lost


@given(
    st.integers(0, 65_535), turns,
    st.lists(st.tuples(spans, shares, st.sampled_from(["reads", "restarts", "agent restarts"])), max_size=25),
)  # fmt: skip
def test_a_device_that_keeps_its_count_over_a_restart_loses_nothing_or_says_so(
    raw: int, clock: tuple[int, int], happening: list[tuple[int, float, str]]
) -> None:
    plant = a_plant(16, raw, *clock)
    for passed_ms, share, what in happening:
        plant.run(passed_ms, share)
        if what == "restarts":
            plant.restart(keeps=True)
        elif what == "agent restarts":
            plant.restart_the_agent()
        before = plant.counted
        plant.read()
        assert plant.counted <= plant.made
        if plant.counted != plant.made:  # it rolled over, and may as well have begun at zero
            assert what == "restarts" or Kind.RESET in plant.qualities
            assert plant.qualities[-1] == Kind.RESET or plant.counted == before
            plant.made = plant.counted


@given(
    turns,
    st.lists(
        st.tuples(st.integers(10, 100_000_000), st.sampled_from(["", "agent", "box"]), st.integers(-50, 50)),
        max_size=25,
    ),
)
def test_no_uptime_that_only_grows_is_taken_for_a_restart(
    clock: tuple[int, int], happening: list[tuple[int, str, int]]
) -> None:
    """However often it turns over, whatever the agent does, with a clock that is wrong by half a percent."""
    plant = a_plant(32, 0, *clock)
    for passed_ms, what, drift in happening:
        plant.run(passed_ms, 0.0)
        plant.uptime_ms += passed_ms * drift // 10_000
        if what == "box":
            plant.clock = ManualClock(plant.clock.wall_ms(), 3_000, plant.clock.boot + "'")
        if what:
            plant.restart_the_agent()
        plant.read()
    assert plant.losses == []


@given(st.integers(60_000, 80_000_000), st.integers(0, 3_600_000), st.booleans(), turns)
def test_a_restart_is_noticed_whether_anybody_looked_or_not(
    before_ms: int, since_ms: int, agent_restarts: bool, clock: tuple[int, int]
) -> None:
    plant = a_plant(32, 5_000, *clock)
    plant.run(before_ms, 0.0)
    plant.restart(keeps=True)
    if agent_restarts:
        plant.restart_the_agent()
    plant.run(since_ms, 0.0)
    plant.read()
    tick_ms, turns_ms = clock
    off_ms = (86_400_000 + before_ms + 5_000) % (turns_ms or 1 << 60)
    doubt_ms = 2 * tick_ms + 10_000 + (before_ms + since_ms) // 40
    if turns_ms and min(off_ms, turns_ms - off_ms) < doubt_ms:
        return  # its clock shows what it would have shown without a restart
    assert [one.cause for one in plant.losses] == ["device-restarted"]


@given(
    st.sampled_from([1, 10, 100, 1_000, 60_000]), st.integers(0, 200_000), st.integers(0, 20_000),
    st.integers(0, 20_000), st.integers(0, 10_000), st.integers(0, 600_000), shares, shares,
    st.sampled_from(["the bus is lost", "the agent restarts", "an answer is missed"]),
)  # fmt: skip
@example(1_000, 1_000, 500, 300, 200, 3_000, 1.0, 1.0, "an answer is missed")
def test_no_restart_that_matters_is_taken_for_none_however_soon_after_another(
    tick_ms: int, up_ms: int, seen_ms: int, unseen_ms: int, off_ms: int, since_ms: int,
    share: float, slowly: float, how: str,
) -> None:  # fmt: skip
    """Up for so long when it was told of, read for so long after it, then out of sight: it makes some parts,
    is restarted, and is seen again."""
    plant = a_plant(16, 40_000, tick_ms)
    plant.restart(keeps=False)
    plant.run(up_ms, share)
    plant.read()
    plant.run(seen_ms, share)
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    counted, made, told = plant.counted, plant.made, len(plant.gaps)
    if how == "the bus is lost":
        plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    elif how == "the agent restarts":
        plant.restart_the_agent()
    plant.run(unseen_ms, share)
    plant.clock.pass_ms(off_ms)
    plant.uptime_ms = plant.raw = 0
    plant.run(since_ms, slowly)
    plant.read(was_out_of_sight=how == "an answer is missed")
    assert [gap.certain for gap in plant.gaps[told:]] == [False]
    assert Kind.ROLLOVER not in plant.qualities
    assert plant.counted - counted <= plant.made - made


@pytest.mark.parametrize("up_ms", [10_000, 86_400_000])
@given(st.integers(0, 300_000), st.integers(-50, 50))
def test_an_outage_is_certain_of_a_device_that_ran_before_it(up_ms: int, off_ms: int, drift: int) -> None:
    plant = a_plant(16, 40_000, 100)
    plant.restart(keeps=False)
    plant.read()
    plant.run(up_ms, 0.0)
    plant.uptime_ms += up_ms * drift // 10_000
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    plant.run(off_ms, 0.5)
    plant.uptime_ms += off_ms * drift // 10_000
    plant.read()
    assert plant.is_certain
    assert len(plant.losses) == 1
