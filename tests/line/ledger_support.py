"""What the tests of the ledger share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.journal import JournalReader
from edge.ledger import Ledger, read_ledger
from edge.production import Line
from edge.production.line import Role
from tests.support.clock import ManualClock
from tests.support.line import counter, line, recording, see, station

TOTAL, REJECT = "press.total", "press.reject"
SOURCE = "source/plc"
PRESS = line(station("press", counter("press", Role.TOTAL)))


def ledger(path: Path, of: Line | None = None, away: Sequence[str] | None = None, **span: int) -> Ledger:
    reader = JournalReader(path, "line-1")
    try:
        return read_ledger(reader, of or line(), span.get("from_ms"), span.get("to_ms"), away)
    finally:
        reader.close()


async def told(path: Path, clock: ManualClock, *seen: tuple[str, Any], of: Line | None = None) -> Ledger:
    """Signal and value, a second apart; the ledger of it."""
    async with recording(of or line(), path) as recorder:
        for signal, value in seen:
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, signal, value)])
    return ledger(path, of)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
