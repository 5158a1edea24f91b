"""A line whose stations count on the units of one Modbus device, and what its trace and its journal say."""

import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from edge.journal import JournalReader
from tests.adapters.modbus_support import Device, device, serial_line, traced
from tests.support.agent import Agent, running_agent

Way = Literal["tcp", "rtu", "rtu-tcp"]
EVERY_S = 0.15
RATE = 40
"""Parts a second of each counter."""
FIRST = 102
CONSTANTS = tuple(range(40_000, 40_008))
"""What the holding registers from FIRST on hold: a value that is none of these, at its place, is false."""
HEAD = """
[line]
name = "line-1"
badge = "optional"

[source.bus]
type = "modbus"
{keys}
{stations}
[sink.file]
type = "file"
linger = "1ms"
"""
STATION = """
[[station]]
name = "m{unit}"
ideal_cycle = "20ms"
[station.good]
source = "bus"
unit = {unit}
holding = 100
as = "u32"
words = "big"
counter = "u32"
every = "{every}"

[telemetry.t{unit}]
source = "bus"
every = "{every}"
{telemetry}
"""
SERIAL_KEYS = 'baud = 38400\nparity = "none"\nworst_answer = "50ms"'
QUICK = 'timeout = "50ms"\nprobe_every = "1s"'


def line(keys: str, units: Sequence[int], every_s: float = EVERY_S) -> str:
    """Of each unit a counter and the constants behind it: one request."""
    every = f"{round(every_s * 1000)}ms"
    telemetry = 'v{at} = {{ unit = {unit}, holding = {place}, as = "u16" }}'
    stations = []
    for unit in units:
        rows = [telemetry.format(at=at, unit=unit, place=FIRST + at) for at in range(len(CONSTANTS))]
        stations.append(STATION.format(unit=unit, every=every, telemetry="\n".join(rows)))
    return HEAD.format(keys=keys, stations="".join(stations))


@dataclass(frozen=True, slots=True)
class Bus:
    """A device with a few units, and how the agent reaches it."""

    folder: Path
    plc: Device
    keys: str
    units: Sequence[int]

    @property
    def trace(self) -> Path:
        return self.folder / "trace"

    def agent(self, more: str = "", every_s: float = EVERY_S) -> AbstractAsyncContextManager[Agent]:
        return running_agent(self.folder, line(f"{self.keys}\n{more}", self.units, every_s))

    async def set_up(self) -> None:
        """After a start of the device: the counters are what the state file says."""
        await self.plc.tell(f"trace {self.trace}")
        for unit in self.units:
            await self.plc.tell(f"in {unit} set holding {FIRST} {' '.join(map(str, CONSTANTS))}")
            await self.plc.tell(f"counter {unit} 100 32 0 1000 keep")

    async def rate(self, parts_per_s: int, *units: int) -> None:
        for unit in units or self.units:
            await self.plc.tell(f"rate {unit} 100 {parts_per_s}")

    async def made(self) -> dict[str, int]:
        return {f"m{unit}": await self.plc.made(unit, 100) for unit in self.units}

    async def settle(self, running: Agent) -> None:
        """The plant rests, and what is counted is what was made, to the part; no value was false."""
        await self.rate(0)
        made = await self.made()
        await running.until(lambda: counted(self.folder, self.units) == made, 20)
        assert false_values(running) == []
        assert "Traceback" not in running.log, running.log

    async def begin(self, running: Agent, *units: int) -> None:
        """The plant goes once each counter has been read: what was made before is nobody's."""
        names = {f"m{unit}" for unit in units or self.units}
        await running.until(lambda: names <= {event["station"] for event in running.events("count")})
        await self.rate(RATE)


@asynccontextmanager
async def bus(
    program: Path,
    folder: Path,
    way: Way = "tcp",
    units: Sequence[int] = (1,),
    *,
    pace: int = 0,
    keys: str = QUICK,
) -> AsyncIterator[Bus]:
    """A device that keeps its cells when it is killed."""
    state, names = str(folder / "state"), ",".join(map(str, units))
    async with AsyncExitStack() as stack:
        if way == "rtu":
            far, near, _ = await stack.enter_async_context(serial_line(folder))
            plc = await stack.enter_async_context(device(program, "rtu", far, names, state))
            where = f'port = "{near}"\n{SERIAL_KEYS}'
        else:
            arguments = ("tcp", "0", state) if way == "tcp" else ("rtu-tcp", names, "0", state)
            plc = await stack.enter_async_context(device(program, *arguments))
            scheme = {"tcp": "tcp", "rtu-tcp": "rtu+tcp"}[way]
            where = f'host = "{scheme}://127.0.0.1:{plc.port}"\n{"" if way == "tcp" else SERIAL_KEYS}'
        one = Bus(folder, plc, f"{where}\n{keys}", units)
        await one.set_up()
        await plc.tell(f"pace {pace}")
        yield one


# --- what the journal and the file say --------------------------------------------------------


def counted(folder: Path, units: Sequence[int]) -> dict[str, int]:
    """Parts of every station by the journal."""
    parts = Counter({f"m{unit}": 0 for unit in units})
    path = folder / "data/journal.db"
    if not path.exists():
        return dict(parts)
    reader = JournalReader(path, "line-1")
    try:
        first, last = 1, reader.head()
        while records := reader.records(first, last, 5_000):
            for event in (json.loads(one.json) for one in records if one.type == "count"):
                parts[event["station"]] += event["data"]["produced"]
            first = records[-1].seq + 1
    finally:
        reader.close()
    return dict(parts)


def told_values(running: Agent) -> list[tuple[str, int]]:
    """Every value of telemetry: ("t1.v0", 40000)."""
    return [
        (f"{event['data']['name']}.{name}", value)
        for event in running.events("telemetry")
        for frame in event["data"]["frames"]
        for name, value in frame.get("values", {}).items()
    ]


def false_values(running: Agent) -> list[tuple[str, int]]:
    """Every value of telemetry that the device never held at that place."""
    return [
        (name, value)
        for name, value in told_values(running)
        if value != CONSTANTS[int(name.rpartition(".v")[2])]
    ]


def health(running: Agent, station: str) -> list[str]:
    """What was told of a station's counter: unreadable, readable, ..."""
    told = (event["data"] for event in running.events("health") if event["station"] == station)
    return [one["state"] for one in told if one["subject"] == f"{station}.good"]


# --- what the device saw ----------------------------------------------------------------------


def polls(one: Bus, unit: int, since_ns: int, until_ns: int) -> list[float]:
    """Seconds between a unit's requests in a window, by the device's own clock."""
    times = [
        seen.at_ns for seen in traced(one.trace) if seen.unit == unit and since_ns <= seen.at_ns < until_ns
    ]
    return [(late - early) / 1e9 for early, late in pairwise(times)]


async def keeps_its_period(
    one: Bus, units: Sequence[int], for_s: float, every_s: float = EVERY_S, within: float = 0.2
) -> None:
    """AssertionError unless these units are polled at their pace, by the middle one of the periods and by how
    many there are."""
    since_ns = time.monotonic_ns()
    await asyncio.sleep(for_s)
    until_ns = time.monotonic_ns()
    for unit in units:
        periods = polls(one, unit, since_ns, until_ns)
        words = f"unit {unit}: {[round(period, 3) for period in periods]}"
        assert len(periods) + 1 >= (until_ns - since_ns) / 1e9 / every_s * (1 - within) - 1, words
        assert abs(statistics.median(periods) - every_s) <= within * every_s, words


def files_open(running: Agent) -> int:
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))
