"""Several units on one Modbus bus, and one of them dead: the others never feel it."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.adapters.modbus_support import build_device, traced
from tests.line.modbus_rig import (
    CONSTANTS,
    FIRST,
    Bus,
    Way,
    bus,
    counted,
    health,
    keeps_its_period,
    told_values,
)
from tests.support.agent import Agent

UNITS = (1, 2, 3)
LIVE = (1, 3)
DEAD = 2


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("modbus"))


async def is_told(running: Agent, *states: str) -> None:
    """The dead unit's station has told this, and no more."""
    await running.until(lambda: len(health(running, f"m{DEAD}")) >= len(states))
    assert health(running, f"m{DEAD}") == list(states)


async def live_and_dead(one: Bus, running: Agent, window_s: float) -> None:
    """Dead from the first request, back, dead again, back: the live ones keep their period all the time."""
    await one.begin(running, *LIVE)
    await keeps_its_period(one, LIVE, window_s)
    await is_told(running, "unreadable")
    await one.plc.tell(f"speak {DEAD}")
    await is_told(running, "unreadable", "readable")
    await keeps_its_period(one, UNITS, window_s)
    await one.plc.tell(f"mute {DEAD}")
    await keeps_its_period(one, LIVE, window_s)
    await is_told(running, "unreadable", "readable", "unreadable")
    await one.plc.tell(f"speak {DEAD}")
    await is_told(running, "unreadable", "readable", "unreadable", "readable")


@pytest.mark.parametrize(
    "way",
    [pytest.param("tcp", marks=pytest.mark.long), "rtu", pytest.param("rtu-tcp", marks=pytest.mark.long)],
)
async def test_a_dead_unit_costs_the_live_ones_nothing(program: Path, tmp_path: Path, way: Way) -> None:
    async with bus(program, tmp_path, way, UNITS, pace=38400) as one:
        await one.plc.tell(f"mute {DEAD}")
        async with one.agent() as running:
            await live_and_dead(one, running, 0.8)
            await one.rate(0)
            made = await one.made()
            late = made[f"m{DEAD}"] - counted(tmp_path, UNITS)[f"m{DEAD}"]
            await running.until(
                lambda: all(counted(tmp_path, UNITS)[f"m{unit}"] == made[f"m{unit}"] for unit in LIVE)
            )
            assert late >= 0, "more than was made"
            assert [health(running, f"m{unit}") for unit in LIVE] == [[], []]
            assert "unavailable" not in running.log, running.log
            assert await running.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["tcp", "rtu", "rtu-tcp"])
async def test_a_dead_unit_is_asked_once_a_minute(program: Path, tmp_path: Path, way: Way) -> None:
    async with bus(program, tmp_path, way, UNITS, pace=38400, keys='timeout = "50ms"') as one:
        await one.plc.tell(f"mute {DEAD}")
        async with one.agent() as running:
            await one.begin(running, *LIVE)
            await is_told(running, "unreadable")
            since_ns = time.monotonic_ns()
            await keeps_its_period(one, LIVE, 125.0, within=0.05)
            asked = [seen for seen in traced(one.trace) if seen.unit == DEAD and seen.at_ns > since_ns]
            assert len(asked) in (2, 3), asked


@pytest.mark.long
async def test_two_of_three_dead_are_asked_in_turn(program: Path, tmp_path: Path) -> None:
    """However many are dead: so much and no more of the bus goes to them."""
    async with bus(program, tmp_path, "rtu", UNITS, pace=38400) as one:
        for unit in (2, 3):
            await one.plc.tell(f"mute {unit}")
        async with one.agent() as running:
            await one.begin(running, 1)
            await running.until(lambda: health(running, "m2") == health(running, "m3") == ["unreadable"])
            since_ns = time.monotonic_ns()
            await keeps_its_period(one, [1], 3.0)
            asked = [seen.unit for seen in traced(one.trace) if seen.unit != 1 and seen.at_ns > since_ns]
            assert len(asked) <= 4, asked
            for unit in (3, 2):
                await one.plc.tell(f"speak {unit}")
            await running.until(
                lambda: health(running, "m2") == health(running, "m3") == ["unreadable", "readable"]
            )
            assert await running.stop() == 0


@pytest.mark.long
async def test_a_bus_whose_units_are_all_dead_comes_back_by_itself(program: Path, tmp_path: Path) -> None:
    async with bus(program, tmp_path, "rtu", UNITS, pace=38400) as one, one.agent() as running:
        await one.begin(running)
        await one.plc.tell("mute 256")
        await running.until(lambda: all(health(running, f"m{unit}") == ["unreadable"] for unit in UNITS))
        await one.plc.tell("speak 256")
        await running.until(
            lambda: all(health(running, f"m{unit}") == ["unreadable", "readable"] for unit in UNITS)
        )
        await one.settle(running)


@pytest.mark.long
@pytest.mark.parametrize("code", [4, 6, 11])
async def test_a_unit_that_only_refuses_costs_the_others_nothing(
    program: Path, tmp_path: Path, code: int
) -> None:
    """4: the device failed; 6: it is busy; 11: the gateway's own word that the unit is dead."""
    async with bus(program, tmp_path, "tcp", UNITS, pace=38400) as one, one.agent() as running:
        await one.begin(running)
        await one.plc.tell(f"fault {DEAD} {code}")
        await running.until(lambda: health(running, f"m{DEAD}") == ["unreadable"])
        await keeps_its_period(one, LIVE, 1.5)
        await one.plc.tell(f"fault {DEAD} 0")
        await running.until(lambda: health(running, f"m{DEAD}") == ["unreadable", "readable"])
        await one.settle(running)
        assert [health(running, f"m{unit}") for unit in LIVE] == [[], []]


@pytest.mark.long
@pytest.mark.parametrize("way", ["tcp", "rtu", "rtu-tcp"])
async def test_late_missing_and_double_answers_are_never_taken_for_another_units(
    program: Path, tmp_path: Path, way: Way
) -> None:
    """The same request to each unit, and another value in each: no late one may answer for the next."""
    chance = random.Random(way)
    async with bus(program, tmp_path, way, UNITS) as one:
        for unit in UNITS:
            await one.plc.tell(f"in {unit} set holding {FIRST} {' '.join(map(str, values(unit)))}")
        async with one.agent(every_s=0.1) as running:
            await one.begin(running)
            end_s = time.monotonic() + 20
            while time.monotonic() < end_s:
                unit = chance.choice(UNITS)
                how = chance.choice(
                    [f"slow {unit} {chance.randrange(30, 95)}", f"mute {unit}", "lie twice 2"]
                )
                await one.plc.tell(how)
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                await one.plc.tell(f"slow {unit} 0")
                await one.plc.tell(f"speak {unit}")
                await asyncio.sleep(chance.uniform(0.0, 0.2))
            await one.rate(0)
            made = await one.made()
            await running.until(lambda: counted(tmp_path, UNITS) == made)
            seen = Counter(name.partition(".")[0] for name, _ in told_values(running))
            assert min(seen[f"t{unit}"] for unit in UNITS) >= len(CONSTANTS)
            assert [one for one in told_values(running) if one[1] != true_value(one[0])] == []
            assert "Traceback" not in running.log, running.log


def values(unit: int) -> list[int]:
    return [1_000 * unit + at for at in range(len(CONSTANTS))]


def true_value(name: str) -> int:
    """Of a column such as t2.v3."""
    table, column = name.split(".")
    return values(int(table.removeprefix("t")))[int(column.removeprefix("v"))]
