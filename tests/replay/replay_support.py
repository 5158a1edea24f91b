"""What the tests of replays share."""

from edge.production.line import Role
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.line import (
    counter,
    line,
    see,
    station,
)

TOTAL, REJECT = "press.total", "press.reject"
BOTH = line(station(), station("packer", counter("packer", Role.GOOD), gun="gun-2"))


async def make_parts(recorder: Recorder, clock: ManualClock, first: int, parts: int) -> None:
    for raw in range(first, first + parts):
        clock.pass_ms(700)
        await recorder.emit([see(clock, TOTAL, raw, answers=10_000)])
