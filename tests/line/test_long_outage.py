"""A day at twenty events a second without any far end: memory flat, the file small, and all of it arrives."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import json

from tests.line.outage import Found

DAY = 1_730_000
"""24 hours at 20 events a second."""


def suffer(folder: Path, events: int, timeout_s: float) -> Found:
    command = [sys.executable, "-m", "tests.line.outage", str(folder), str(events)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return json.decode(done.stdout.splitlines()[-1], type=Found)


def check(found: Found, events: int) -> None:
    assert found.events >= events
    assert found.missing == 0
    assert found.growth_mb < 10
    assert found.journal_mb < 600 * events / DAY + 40, "what is only there once: the log and the reserve"
    assert found.drained_per_s >= 2_000
    assert found.live > 20
    assert found.slowest_live_s < 2
    assert found.alarm == ""


def test_a_tenth_of_a_day_without_any_sink(tmp_path: Path) -> None:
    check(suffer(tmp_path, DAY // 10, 100), DAY // 10)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_day_without_any_sink(tmp_path: Path) -> None:
    found = suffer(tmp_path, DAY, 1_700)
    check(found, DAY)
    assert found.journal_mb < 600
