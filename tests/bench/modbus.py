"""Modbus TCP: what a request costs, and a thousand registers every 100 ms through adapter, core and journal.

Each beside pymodbus as its manual shows it and a blocking socket with `struct`, both of which keep nothing.
The device is a process of its own; what is measured is the process that reads: its CPU time. Requests and
values a second on one core are what that CPU time leaves room for: the device answers one at a time.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bare_modbus import AT_ONCE
from tests.bench.grown import Say
from tests.bench.process import Figures, medians
from tests.bench.watched import Taker, bare, has_begun, journaled, watch

REGISTERS = 1_000
"""Each a value."""
EVERY_MS = 100
SIZES = (AT_ONCE, 2)
"""Registers in one request."""
IN_TURN = 40
"""Requests to different places, one after the other: more than can be answered before the first is due."""
WARM_S = 2.0
STARTS_S = 30.0
CPU = "CPU ms for 1,000 values"
PYMODBUS = "bare pymodbus"
BARE = {"blocking socket": "socket", PYMODBUS: "pymodbus"}
AGENT, SCALED = "Lineside", "Lineside, each a scaled i32 of two registers"

_LINE = """
[line]
name = "bench"
path = "acme/leeds"

[sink.away]
type = "mqtt"
broker = ["mqtt://127.0.0.1:9"]

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
max_registers = 125

[[station]]
name = "oven"
ideal_cycle = "2s"
state = {{ source = "plc", holding = 900, as = "u16", map = {{ 1 = "Execute" }}, every = "10s" }}

[telemetry.oven]
source = "plc"
station = "oven"
every = "{every_ms}ms"
{signals}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to read the device."""

    title: str
    name: str
    size: int = 0
    """Registers in one request, as fast as answers come; 0: a thousand every 100 ms."""

    def taking(self, folder: Path, port: int) -> AbstractAsyncContextManager[Taker]:
        if self.name in (AGENT, SCALED) and not self.size:
            return journaled(folder, _line(port, is_scaled=self.name == SCALED))
        how, module = BARE.get(self.name, "adapter"), "tests.bench.bare_modbus"
        if self.size:
            return bare(folder, module, how, port, IN_TURN, self.size, self.size + 1, 0)
        return bare(folder, module, how, port, REGISTERS // AT_ONCE, AT_ONCE, AT_ONCE, EVERY_MS)


def _cases() -> Iterator[Case]:
    for size in SIZES:
        for name in (*BARE, "Lineside's adapter"):
            yield Case(f"Modbus, {size} registers a request, {name}", name, size)
    for name in (*BARE, AGENT, SCALED):
        yield Case(f"Modbus, {REGISTERS:,} values every {EVERY_MS} ms, {name}", name)


def modbus(folder: Path, seconds: float, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """All in turn, `rounds` times; the medians, and what the agent costs of bare pymodbus."""
    cases = list(_cases())
    found: dict[Case, list[Figures]] = {case: [] for case in cases}
    for turn in range(rounds):
        for number, case in enumerate(cases):
            say(f"round {turn + 1} of {rounds}: {case.title}")
            place = folder / f"{turn}-{number}"
            place.mkdir(parents=True)
            found[case].append(asyncio.run(_measured(case, place, seconds)))
    middle = {case: medians(figures) for case, figures in found.items()}
    for case, figures in middle.items():
        yield case.title, figures
    for case, figures in middle.items():
        if case.name not in (*BARE, SCALED):
            base = next(one for one in cases if (one.name, one.size) == (PYMODBUS, case.size))
            yield f"{case.title} to {PYMODBUS}", {"CPU": figures[CPU] / middle[base][CPU]}


async def _measured(case: Case, folder: Path, seconds: float) -> Figures:
    async with _device(folder) as port, case.taking(folder, port) as taker:
        await has_begun(taker, STARTS_S)
        await asyncio.sleep(WARM_S)
        values, used = await watch(taker, seconds)
    count = values if isinstance(values, int) else len(values)
    rate = {"values/s": count / used["s"]}
    if case.size:
        rate |= {
            "requests/s": count / case.size / used["s"],
            "requests/s on one core": count / case.size / used["CPU s"],
            "values/s on one core": count / used["CPU s"],
        }
    use = {CPU: used["CPU s"] / count * 1e6, "CPU %": used["CPU s"] / used["s"] * 100, "MB": used["MB"]}
    return rate | use


@asynccontextmanager
async def _device(folder: Path) -> AsyncIterator[int]:
    """Its port; ended after."""
    with (folder / "device.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.registers", stdout=asyncio.subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


def _line(port: int, *, is_scaled: bool) -> str:
    keys, step = 'as = "u16"', 1
    if is_scaled:
        keys, step = 'as = "i32", words = "little", scale = 0.01', 2
    signals = "\n".join(f"r_{at:04} = {{ holding = {at * step}, {keys} }}" for at in range(REGISTERS))
    return _LINE.format(port=port, every_ms=EVERY_MS, signals=signals)
