"""A bus that delays, drops, repeats, cuts and corrupts frames: no false value, and every loss is counted."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from adapters._modbus.counts import Counts
from adapters._modbus.frames import READS
from adapters._modbus.lines import SerialLine
from adapters._modbus.plan import Block, Limits
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link, NoAnswer, Refused
from tests.adapters.modbus_bad_bus import SIZE, TICK_S, Faults, age_of, arguments, mark, value_at
from tests.adapters.modbus_support import build_device, device

TIMEOUT_S = 0.025
WORST_S = 0.06
"""The devices answer at once, the bus holds frames back for up to 50 ms in each direction."""


def block(unit: int, table: str, start: int, count: int) -> Block:
    return Block((), unit, table, start, count, 1.0)  # type: ignore[arg-type]


BLOCKS = [
    block(unit, table, start, count)
    for table, start, count in [
        ("holding", 0, 1), ("holding", 40, 1), ("holding", 80, 1), ("input", 0, 1), ("holding", 120, 4),
        ("holding", 160, 4), ("coil", 0, 20), ("coil", 100, 20), ("holding", 200, 30), ("input", 100, 30),
    ]
    for unit in (1, 2)
]  # fmt: skip
"""Many that differ in nothing but the address."""


@dataclass
class Found:
    """What a run came to."""

    good: int = 0
    unanswered: int = 0
    refused: int = 0
    false: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    done: dict[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return sum(unit.requests for unit in self.counts.units.values())

    def assert_all_counted(self) -> None:
        """Every request ended as an answer or as a loss, and the counts say which."""
        units = self.counts.units.values()
        losses = sum(
            unit.timeouts + unit.crc_errors + unit.cut_answers + unit.wrong_answers for unit in units
        )
        assert self.unanswered == losses
        assert sum(unit.answers for unit in units) == self.requests - losses


@asynccontextmanager
async def bad_bus(faults: Faults) -> AsyncIterator[tuple[list[str], asyncio.subprocess.Process]]:
    """A bus in a process of its own; gives its serial port, and the devices' where they are outside."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = await asyncio.create_subprocess_exec(
        *arguments(faults), stdin=pipe, stdout=pipe, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready, *paths = (await asyncio.wait_for(process.stdout.readline(), 10)).decode().split()
        assert ready == "READY"
        yield paths, process
    finally:
        process.stdin.close()
        await process.wait()


def judged(at: Block, cells: list[int], sent_s: float, heard_s: float, *, steady: bool) -> str:
    """What is false about an answer: each cell has to be its own, and read while it was asked for."""
    function = READS[at.table]
    if steady:
        true = [mark(at.unit, function, address) for address in range(at.start, at.start + at.count)]
        return "" if cells == true else f"{at}: {cells}"
    if function < 3:
        return judged_bits(at, cells, sent_s, heard_s)
    for address, cell in enumerate(cells, at.start):
        age_s = age_of(cell, at.unit, function, address, heard_s)
        if age_s > heard_s - sent_s + 2 * TICK_S:
            return f"{at}: {cell} at {address} is {age_s:.3f} s old"
    return ""


def judged_bits(at: Block, cells: list[int], sent_s: float, heard_s: float) -> str:
    """Bits change all together with the time: the whole pattern is that of one tick of the request."""
    function = READS[at.table]
    for tick in range(int(sent_s / TICK_S) - 1, int(heard_s / TICK_S) + 2):
        at_s = (tick + 0.5) * TICK_S
        if cells == [value_at(at.unit, function, at.start + n, at_s) & 1 for n in range(at.count)]:
            return ""
    return f"{at}: bits {cells}"


@asynccontextmanager
async def devices(program: Path | None, path: str) -> AsyncIterator[None]:
    """Units 1 and 2 of a program on libmodbus; each holding register holds its mark."""
    if program is None:
        yield
        return
    async with device(program, "rtu", path, "1,2") as running:
        for unit in (1, 2):
            for address in range(SIZE):
                await running.tell(f"in {unit} set holding {address} {mark(unit, 3, address)}")
        yield


async def run(
    faults: Faults,
    wanted: int,
    *,
    gap: int = 8,
    blocks: list[Block] = BLOCKS,
    most_s: float = 60,
    program: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Found:
    """Read the blocks in turn until so many requests went out."""
    found = Found()
    faults = replace(faults, outside=program is not None)
    async with bad_bus(faults) as (paths, process), devices(program, paths[-1]):
        manner = Manner(timeout_s, WORST_S, 0.0, None)
        line = SerialLine(paths[0], 115_200, "none", 1)
        link = Link("bus", line, lambda unit: manner, lambda: None, found.counts, Limits(60, gap))
        await link.open()
        try:
            until_s = time.monotonic() + most_s
            while found.requests < wanted and time.monotonic() < until_s:
                for at in blocks:
                    await one(link, at, found, steady=program is not None)
        finally:
            link.close()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        found.done = json.loads(await process.stdout.readline())
    return found


async def one(link: Link, at: Block, found: Found, *, steady: bool) -> None:
    sent_s = time.monotonic()
    try:
        reply = await link.read(at)
    except NoAnswer:
        found.unanswered += 1
        await link.recover(at.unit)
        return
    if isinstance(reply, Refused):
        found.refused += 1
        return
    found.good += 1
    cells = [int(cell) for cell in reply.cells[: at.count]]
    assert len(cells) == at.count
    assert sent_s <= reply.at <= time.monotonic()
    if wrong := judged(at, cells, sent_s, reply.at, steady=steady):
        found.false.append(wrong)


BAD = Faults(drop=0.01, repeat=0.03, cut=0.01, corrupt=0.02, late=0.01, noise=0.01)
FEW = [block(1, "holding", 0, 1), block(1, "holding", 40, 1)]


@pytest.mark.parametrize("blocks", [BLOCKS, FEW], ids=["many", "few"])
async def test_a_bad_bus_gives_no_false_value(blocks: list[Block]) -> None:
    found = await run(BAD, 110, blocks=blocks)
    assert found.false == []
    assert found.good >= 50
    assert found.refused == 0
    found.assert_all_counted()
    assert sum(unit.repeats for unit in found.counts.units.values()) > 0


async def test_a_good_bus_loses_nothing() -> None:
    found = await run(Faults(), 200, timeout_s=2.0)
    assert found.false == []
    assert (found.unanswered, found.refused) == (0, 0)
    assert found.requests <= 1.2 * found.good, "few looks are second ones, at bits that are as they were"
    assert all(unit.repeats == unit.stray_bytes == 0 for unit in found.counts.units.values())


async def test_an_echo_is_no_answer() -> None:
    found = await run(replace(BAD, echo=True, late=0, drop=0, cut=0), 120)
    assert found.false == []
    assert found.good >= 60


async def test_devices_with_nothing_beyond_are_read_all_the_same() -> None:
    """No request can be made longer: time parts those that differ in the address only."""
    ranges = [(one.start, one.start + one.count) for one in FEW]
    runs = [
        run(Faults(repeat=0.02, ranges=ranges, mute_beyond=is_mute), 30, blocks=FEW)
        for is_mute in (False, True)
    ]
    for found in await asyncio.gather(*runs):
        assert found.false == []
        assert found.refused == 0
        assert found.good >= 10


async def test_a_bad_bus_before_devices_on_libmodbus(tmp_path: Path) -> None:
    blocks = [one for one in BLOCKS if one.table == "holding"]
    found = await run(replace(BAD, late=0.005), 100, blocks=blocks, program=build_device(tmp_path))
    assert found.false == []
    assert found.good >= 40
    found.assert_all_counted()


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_thousand_requests_on_bad_buses() -> None:
    """Four buses at once, for they mostly wait. It takes some minutes."""
    faults = replace(BAD, drop=0.005, cut=0.005, corrupt=0.01, noise=0.005)
    kinds = [(BLOCKS, 1), (BLOCKS, 2), (FEW, 3), (BLOCKS[:6], 4)]
    runs = [run(replace(faults, seed=seed), 25_000, blocks=blocks, most_s=1800) for blocks, seed in kinds]
    for found in await asyncio.gather(*runs):
        print(found.requests, found.good, found.unanswered, found.done)
        assert found.requests >= 25_000
        assert found.false == []
        found.assert_all_counted()
