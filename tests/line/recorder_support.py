"""What the tests of the recorder share."""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from edge.observation import Outcome
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.line import (
    events_on_disk,
    guard,
    see,
)

SLOWLY = 0.25
"""Of a loop's clock: what the recorder waits for is long beside what a busy machine takes to work."""
TOTAL, REJECT = "press.total", "press.reject"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def counts(recorder: Recorder, clock: ManualClock, *readings: int, answers: int = 0) -> list[Outcome]:
    """Read total, and reject where a second number is given."""
    clock.pass_ms(1000)
    seen = [
        see(clock, signal, raw, answers=answers)
        for signal, raw in zip((TOTAL, REJECT), readings, strict=False)
    ]
    return await recorder.emit(seen)


def attributed(path: Path) -> dict[tuple[str, str], int]:
    """Parts by role and order, as the journal has them."""
    parts: dict[tuple[str, str], int] = {}
    for event in events_on_disk(path):
        if event["type"] == "count":
            place = (event["role"], event["context"].get("order", "UNASSIGNED"))
            parts[place] = parts.get(place, 0) + event["produced"]
    return {place: made for place, made in parts.items() if made}


async def within_10_s(waiting: Awaitable[list[Outcome]]) -> list[Outcome]:
    async with guard():
        return await waiting
