"""`lineside board` as a process of its own."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Board:
    """A board that serves."""

    process: asyncio.subprocess.Process
    url: str
    """With a slash at its end."""

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


async def start(*arguments: str | Path, name: str = "board") -> asyncio.subprocess.Process:
    """`lineside NAME ...` with its output in pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", name, *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@asynccontextmanager
async def board(file: Path, port: int = 0) -> AsyncIterator[Board]:
    """`async with board(file) as shown:`, serving on a free port, and ended after."""
    process = await start(file, "--port", str(port))
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        found = re.fullmatch(r"board: (http://127\.0\.0\.1:\d+/)\n", line)
        if found is None:
            assert process.stderr is not None
            raise AssertionError(f"{line!r} {(await process.stderr.read()).decode()}")
        yield Board(process, found[1])
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """Terminate it where it still runs; what it had written."""
    if process.returncode is None:
        process.terminate()
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
    return out.decode(), err.decode()
