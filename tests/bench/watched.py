"""Processes that take in values from a device, watched from outside: a bare script, and the agent by its
journal.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from pathlib import Path
from typing import Protocol

from edge.journal import JournalReader
from edge.record import TELEMETRY, Record
from tests.bench.process import Figures, fine_cpu_s_of, resident_mb_of
from tests.support.agent import running_agent

Value = tuple[str, int | float | str]


class Taker(Protocol):
    """A process that is measured."""

    pid: int
    log: Path

    async def mark(self) -> int:
        """A number for how far it is; quickly."""

    def values(self, after: int, until: int) -> list[Value] | int:
        """What lies between two marks, each with its name; or only how many, where nobody keeps them."""


class _Bare:
    """A script that answers each line on its stdin with how many values it has had."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self.log = log
        self._process = process

    async def mark(self) -> int:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        pipe.write(b"\n")
        return int(await answers.readline())

    def values(self, after: int, until: int) -> int:
        return until - after


@asynccontextmanager
async def bare(folder: Path, module: str, *arguments: object) -> AsyncIterator[Taker]:
    """`python -m module arguments`, ended after."""
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *map(str, arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        yield _Bare(process, folder / "log")
    finally:
        process.kill()
        await process.wait()


class _Journaled:
    """An agent; its marks are the seq of what is on disk."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self.log = folder / "agent.log"
        self._journal = folder / "data/journal.db"

    async def mark(self) -> int:
        with self._reader() as reader:
            return reader.head()

    def values(self, after: int, until: int) -> list[Value]:
        with self._reader() as reader:
            return list(chain.from_iterable(map(_values_in, _between(reader, after, until))))

    @contextmanager
    def _reader(self) -> Iterator[JournalReader]:
        reader = JournalReader(self._journal, "bench")
        try:
            yield reader
        finally:
            reader.close()


def _between(reader: JournalReader, after: int, until: int) -> Iterator[Record]:
    while found := reader.records(after + 1, until):
        yield from found
        after = found[-1].seq


def _values_in(record: Record) -> Iterator[Value]:
    if record.type == "count":
        yield record.station, record.data["raw"]
    elif record.type == TELEMETRY:
        for frame in record.data["frames"]:
            yield from frame.get("values", {}).items()


@asynccontextmanager
async def journaled(folder: Path, line: str) -> AsyncIterator[Taker]:
    """The agent of this line's TOML, killed after."""
    async with running_agent(folder, line) as agent:
        await agent.until(lambda: "is up" in agent.log)
        yield _Journaled(agent.process.pid, folder)


async def has_begun(taker: Taker, patience_s: float) -> None:
    """Returns when the first value has come out."""
    async with asyncio.timeout(patience_s):
        while not taker.values(0, await taker.mark()):
            await asyncio.sleep(0.2)


async def watch(taker: Taker, seconds: float) -> tuple[list[Value] | int, Figures]:
    """What it takes in during this time, and what it uses: `s`, `CPU s` and `MB`."""
    mark, cpu_s, begin = await taker.mark(), fine_cpu_s_of(taker.pid), time.monotonic()
    await asyncio.sleep(seconds)
    took_s, cpu_s = time.monotonic() - begin, fine_cpu_s_of(taker.pid) - cpu_s
    values = taker.values(mark, await taker.mark())
    if not values:
        said = taker.log.read_text(encoding="utf-8")
        raise RuntimeError(f"nothing came out; it said:\n{said[-2000:]}")
    return values, {"s": took_s, "CPU s": cpu_s, "MB": resident_mb_of(taker.pid)}
