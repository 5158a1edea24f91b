"""What the tests of result files share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from adapters import result_files
from adapters.result_files import Settings
from edge.contract import Quality, TestResult
from tests.support.intake import MemoryIntake

LINE = "unit=U-{0:04};program=LEAK;number={0};leak=0.12:mbar:0:0.5;result=PASS\n"
QUICK = {"quiet": "50ms", "every": "20ms"}


def settings(folder: Path, **keys: object) -> Settings:
    table = {"type": "result-files", "folder": str(folder), **QUICK, **keys}
    return Settings.model_validate(table)


@contextlib.asynccontextmanager
async def collecting(of: Settings, intake: MemoryIntake) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.ensure_future(result_files.collect(of, [], intake))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def results(intake: MemoryIntake) -> list[TestResult]:
    return [one.value for one in intake.seen if isinstance(one.value, TestResult)]


def units(intake: MemoryIntake) -> list[str]:
    return [one.unit for one in results(intake)]


def bad(intake: MemoryIntake) -> list[str]:
    return [one.detail for one in intake.seen if one.quality is Quality.BAD]


def names(folder: Path) -> list[str]:
    """What a user put there or looks for; not what the agent remembers."""
    found = [one.name for one in folder.iterdir() if one.is_file()] if folder.exists() else []
    return sorted(name for name in found if name != ".lineside-recorded")


async def there(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(lines))
