"""A stop that is concluded from a counter: of one that is polled only a reading says that no part came."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.production.events import MachineState
from edge.production.line import Line, Role, StationSpec
from tests.support.clock import ManualClock
from tests.support.line import Core, counter, see

STOP_MS = 5_000


def plant(*, is_sampled: bool) -> Line:
    total = replace(counter("press", Role.TOTAL), is_sampled=is_sampled)
    return Line("line-1", (StationSpec("press", 1000, 500, STOP_MS, (total,)),))


def stops(core: Core) -> list[int]:
    """When it stopped, each time."""
    return [
        one.at_ms for one in core.events if isinstance(one.data, MachineState) and one.data.state == "Stopped"
    ]


STEPS = st.lists(
    st.tuples(st.sampled_from(["tick", "part", "same", "outage"]), st.integers(100, 20_000)), max_size=40
)


@given(STEPS)
def test_a_polled_machine_stands_only_where_a_reading_says_so(steps: list[tuple[str, int]]) -> None:
    core, clock, raw = Core(plant(is_sampled=True)), ManualClock(), 100
    part_ms = read_ms = clock.mono_ms()
    for what, wait_ms in [("same", 100), ("part", 1000), *steps]:
        clock.pass_ms(wait_ms)
        before = len(stops(core))
        if what == "tick":
            core.see(see(clock, "tick", None))
        elif what == "outage":
            core.see(see(clock, "source/plc", "lost"))
            core.see(see(clock, "source/plc", "back"))
        else:
            raw += what == "part"
            read_ms = clock.mono_ms()
            part_ms = read_ms if what == "part" else part_ms
            core.see(see(clock, "press.total", raw))
        if len(stops(core)) > before:
            assert what == "tick"
            assert read_ms - part_ms >= STOP_MS
            assert clock.wall_ms() - stops(core)[-1] == clock.mono_ms() - part_ms, (
                "it began with the last part"
            )


@pytest.mark.parametrize("is_sampled", [True, False])
def test_what_tells_only_of_changes_is_believed_without_a_reading(is_sampled: bool) -> None:
    core, clock = Core(plant(is_sampled=is_sampled)), ManualClock()
    for raw in (100, 101, 102):
        clock.pass_ms(1000)
        core.see(see(clock, "press.total", raw))
    clock.pass_ms(60_000)
    core.see(see(clock, "tick", None))
    assert len(stops(core)) == (0 if is_sampled else 1)
    core.see(see(clock, "press.total", 102))
    core.see(see(clock, "tick", None))
    assert len(stops(core)) == 1
