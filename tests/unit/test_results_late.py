"""A result that names no unit and waited in its rig: it is of the unit that was there when it was made."""

import pytest
from msgspec.structs import replace

from edge.observation import Stamp
from edge.production.traced import Test
from tests.support.clock import ManualClock
from tests.support.line import Core, line, result, scan, see


@pytest.mark.parametrize(("waited_ms", "unit"), [(0, "B"), (9_000, "B"), (11_500, ""), (60_000, "")])
def test_it_is_never_of_a_unit_that_was_scanned_after_it_was_made(waited_ms: int, unit: str) -> None:
    """Unit B is scanned ten seconds before the result comes."""
    core, clock = Core(line()), ManualClock()
    core.see(scan(clock, "S A"))
    clock.pass_ms(30_000)
    core.see(scan(clock, "S B"))
    clock.pass_ms(10_000)
    came = see(clock, "rig-press", result("", number="7"), stamp=Stamp.SOURCE, detail="raw")
    core.see(replace(came, at_ms=came.at_ms - waited_ms))
    [test] = [event.data for event in core.events if isinstance(event.data, Test)]
    assert test.unit == unit
