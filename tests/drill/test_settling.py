"""A scene is waited for until all is there, and not longer than makes sense."""

import asyncio
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge.config import load
from edge.drill.books import Books, Fact
from edge.drill.clock import ClockFile
from edge.drill.options import DrillOptions
from edge.drill.settling import SAY_S, Patience, expected, patience, settle
from edge.drill.stage import Stage
from tests.drill.test_judge import Silent

LINE = '[line]\nname = "l"\n[[station]]\nname = "s"\nideal_cycle = "1s"\n'


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    file = tmp_path / "line.toml"
    file.write_text(LINE, encoding="utf-8")
    config = load(file, tmp_path)
    books = Books(config.journal, config.line, time.monotonic, [Fact(1, "e-1", "count")])
    console = Console(file=StringIO(), width=200)
    return Stage(DrillOptions(file), tmp_path, console, config, books, ClockFile(tmp_path / "clock"), "")


async def test_what_is_quiet_is_not_waited_for(stage: Stage) -> None:
    assert await settle(stage, Patience(60, 60)) == []


async def test_what_does_not_come_is_named_and_not_waited_for_much_longer(stage: Stage) -> None:
    stage.floor.made["s.total"] = 3
    stage.books.counted["s.total"] = 1
    stage.floor.devices.append(Silent("gun", "scan", busy=True))
    [words] = await settle(stage, Patience(0.2, 60))
    assert words == "after 0 s still not there: 2 counts of s.total, an answer to gun"


async def test_what_still_moves_is_waited_for_until_it_is_too_long(stage: Stage) -> None:
    stage.floor.made["s.total"] = 1_000_000

    async def count() -> None:
        while True:
            stage.books.counted["s.total"] += 1
            await asyncio.sleep(0.01)

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        [words] = await settle(stage, Patience(0.3, 1.0))
        counting.cancel()
    assert "counts of s.total" in words
    assert time.monotonic() - began_s >= 1.0


async def test_it_says_what_it_waits_for(stage: Stage) -> None:
    stage.floor.made["s.total"] = 3
    await settle(stage, Patience(SAY_S + 0.5, 60))
    said = stage.console.file
    assert isinstance(said, StringIO)
    assert "5 s, waiting for 3 counts of s.total" in said.getvalue()


def test_a_longer_fault_is_waited_for_longer_within_bounds(tmp_path: Path) -> None:
    short, long, longest = (patience(DrillOptions(tmp_path, for_s)) for for_s in (1.0, 30.0, 600.0))
    assert short.still_s < long.still_s < longest.still_s < longest.longest_s < 120
    assert short.longest_s < 60


def test_how_long_it_takes_is_told_before(tmp_path: Path) -> None:
    assert expected(8, DrillOptions(tmp_path)).startswith("8 scenes of about 8 s: some 64 s")
