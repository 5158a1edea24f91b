"""What the tests of replays share."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.delivering import Bench
from tests.support.line import line, recording, run_quickly

QUICK = 40
"""A second of waiting takes a 40th of one."""
WINDOW = timedelta(seconds=15)


def run_line(path: Path, runs: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def live() -> None:
        async with recording(line(), path) as recorder:
            await runs(Bench(recorder, path))

    run_quickly(live(), QUICK)


times = st.floats(0, 100, allow_nan=False)
