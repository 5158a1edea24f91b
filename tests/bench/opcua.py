"""A thousand OPC UA variables that change ten times a second, through adapter, core and journal, beside a
bare asyncua subscription that keeps nothing.

The server (node-opcua) is a process of its own; what is measured is the process that subscribes: its CPU time
for 1,000 changes. Those are telemetry, or of counters: then each of them counts a part, which is two
events. Changes a second on one core are what that CPU time leaves room for: one server cannot send as many.
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
from tests.bench.grown import Say
from tests.bench.process import Figures, cpu_s_of, medians, resident_mb_of
from tests.support.agent import running_agent
from tests.support.node_opcua import NAMESPACE, NodeServer, node_server

VARIABLES = 1_000
EVERY_MS = 100
PUBLISH_MS = 200
WARM_S = 4.0
"""After the first change has come out."""
STARTS_S = 60.0
BARE = "bare asyncua"
COUNTERS = {"Lineside": 0, "Lineside, a tenth are counters": 100, "Lineside, all are counters": VARIABLES}
"""How many of the variables."""
CPU = "CPU ms for 1,000 changes"

_LINE = """
[line]
name = "bench"
path = "acme/leeds"

[sink.away]
type = "mqtt"
broker = ["mqtt://127.0.0.1:9"]

[source.plc]
type = "opcua"
endpoint = "{url}"
security = "None"
publish = "{publish_ms}ms"
"""
_STATION = """
[[station]]
name = "s{number}"
ideal_cycle = "{every_ms}ms"
total = {{ source = "plc", node = "{node}", counter = "u32", every = "{every_ms}ms" }}
"""
_TABLE = """
[telemetry.press]
source = "plc"
every = "{every_ms}ms"
"""


class Subscriber(Protocol):
    """A process that is measured."""

    pid: int
    log: Path

    async def mark(self) -> int:
        """A number for how far it is; quickly."""

    def changes(self, after: int, until: int) -> tuple[int, int]:
        """How many changes lie between two marks, and how many are missing among them."""


def opcua(folder: Path, seconds: float, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """All in turn, `rounds` times; the medians, and what the agent costs of the bare subscription."""
    found: dict[str, list[Figures]] = {name: [] for name in (BARE, *COUNTERS)}
    for turn in range(rounds):
        for name, figures in found.items():
            say(f"round {turn + 1} of {rounds}: {name}")
            place = folder / f"{turn}-{COUNTERS.get(name, 'bare')}"
            figures.append(asyncio.run(_measured(name, place, seconds)))
    middle = {name: medians(figures) for name, figures in found.items()}
    for name, one in middle.items():
        yield f"OPC UA, {VARIABLES:,} variables every {EVERY_MS} ms, {name}", one
    for name in COUNTERS:
        yield f"OPC UA, {name} to bare asyncua", {"CPU": middle[name][CPU] / middle[BARE][CPU]}


async def _measured(name: str, folder: Path, seconds: float) -> Figures:
    folder.mkdir(parents=True)
    async with (
        node_server(folder / "plc", variables=VARIABLES, change_ms=EVERY_MS, exact=True) as server,
        _bare(server, folder) if name == BARE else _agent(server, folder, COUNTERS[name]) as subscriber,
    ):
        async with asyncio.timeout(STARTS_S):
            while not subscriber.changes(0, await subscriber.mark())[0]:
                await asyncio.sleep(0.2)
        await asyncio.sleep(WARM_S)
        return await _watch(subscriber, seconds)


async def _watch(subscriber: Subscriber, seconds: float) -> Figures:
    mark, cpu_s, begin = await subscriber.mark(), cpu_s_of(subscriber.pid), time.monotonic()
    await asyncio.sleep(seconds)
    took_s, cpu_s = time.monotonic() - begin, cpu_s_of(subscriber.pid) - cpu_s
    changes, missed = subscriber.changes(mark, await subscriber.mark())
    if not changes:
        said = subscriber.log.read_text(encoding="utf-8")
        raise RuntimeError(f"nothing came out; it said:\n{said[-2000:]}")
    return {
        "changes/s": changes / took_s,
        CPU: cpu_s / changes * 1e6,
        "changes/s on one core": changes / cpu_s,
        "missed": missed,
        "MB": resident_mb_of(subscriber.pid),
    }


# --- who subscribes -------------------------------------------------------------------------


class _Bare:
    """`tests.bench.bare_opcua`; its marks are what it has counted. What it misses it does not know."""

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

    def changes(self, after: int, until: int) -> tuple[int, int]:
        return until - after, 0


@asynccontextmanager
async def _bare(server: NodeServer, folder: Path) -> AsyncIterator[Subscriber]:
    arguments = (server.url, NAMESPACE, str(VARIABLES), str(PUBLISH_MS))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.bare_opcua", *arguments,
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

    def changes(self, after: int, until: int) -> tuple[int, int]:
        found = missed = 0
        last: dict[str, int] = {}
        with self._reader() as reader:
            for name, value in chain.from_iterable(map(_values_in, _between(reader, after, until))):
                found += 1
                missed += value - last.get(name, value - 1) - 1
                last[name] = value
        return found, missed

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


def _values_in(record: Record) -> Iterator[tuple[str, int]]:
    """Every variable has the number of its change as its value."""
    if record.type == "count":
        yield record.station, record.data["raw"]
    elif record.type == TELEMETRY:
        for frame in record.data["frames"]:
            yield from frame.get("values", {}).items()


@asynccontextmanager
async def _agent(server: NodeServer, folder: Path, counters: int) -> AsyncIterator[Subscriber]:
    """Its sink is away: what goes out is measured elsewhere."""
    line = _LINE.format(url=server.url, publish_ms=PUBLISH_MS) + _signals(counters)
    async with running_agent(folder, line) as agent:
        await agent.until(lambda: "is up" in agent.log)
        yield _Journaled(agent.process.pid, folder)


def _signals(counters: int) -> str:
    """Of the line's TOML: a station for each counter, and a table of telemetry with the rest."""
    stations = [_station(at, f"Fast.V{at}") for at in range(counters)] or [_station(0, "Count.Total")]
    sampled = [f'v{at} = {{ node = "nsu={NAMESPACE};s=Fast.V{at}" }}\n' for at in range(counters, VARIABLES)]
    table = [_TABLE.format(every_ms=EVERY_MS), *sampled] if sampled else []
    return "".join([*stations, *table])


def _station(number: int, name: str) -> str:
    return _STATION.format(number=number, node=f"nsu={NAMESPACE};s={name}", every_ms=EVERY_MS)
