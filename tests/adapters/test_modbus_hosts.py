"""The whole agent against odd hosts: it counts every part, believes nothing false, and needs no restart."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.line.modbus_rig import (
    CONSTANTS,
    FIRST,
    Bus,
    Way,
    bus,
    counted,
    files_open,
    health,
    keeps_its_period,
    told_values,
)
from tests.support.agent import Agent

LOG_LINES = 12
"""What an odd host may cost the log in a few seconds: told, not shouted."""


async def parts(one: Bus, running: Agent, more: int = 40, timeout_s: float = 20.0) -> None:
    """Wait until so many more parts were made and counted."""
    made = sum((await one.made()).values())
    await running.until(lambda: sum(counted(one.folder, one.units).values()) >= made + more, timeout_s)


def quiet(running: Agent) -> None:
    assert len(running.log.splitlines()) <= LOG_LINES, running.log


async def test_a_host_that_accepts_and_never_answers(program: Path, tmp_path: Path) -> None:
    async with bus(program, tmp_path) as one:
        await one.plc.tell("mute 256")
        async with one.agent() as running:
            await running.until(lambda: "cannot be read" in running.log or "unavailable" in running.log)
            since_s = time.monotonic()
            while await one.plc.tell("count") == 0:  # it goes on asking
                await asyncio.sleep(0.02)
            assert (await one.plc.connections())[1] == 1, "more than one connection at once"
            assert (await one.plc.connections())[2] <= 4 + 4 * (time.monotonic() - since_s), "it hammers"
            await one.plc.tell("speak 256")
            await one.begin(running)
            await parts(one, running)
            await one.settle(running)
            quiet(running)


@pytest.mark.parametrize(
    ("way", "how", "hold_ms"),
    [
        ("tcp", "close", 1_000),
        *(
            pytest.param(way, how, hold_ms, marks=pytest.mark.long)
            for way in ("tcp", "rtu-tcp")
            for how in ("close", "wait")
            for hold_ms in (2_500, 5_000)
        ),
    ],
)
async def test_one_connection_at_a_time_also_after_a_kill(
    program: Path, tmp_path: Path, way: Way, how: str, hold_ms: int
) -> None:
    """The device holds the dead agent's connection for a while: the next agent waits and gets through."""
    async with bus(program, tmp_path, way, keys='timeout = "300ms"\nprobe_every = "1s"') as one:
        await one.plc.tell(f"limit 1 {how}")
        await one.plc.tell(f"hold {hold_ms}")
        async with one.agent() as running:
            await one.begin(running)
            await parts(one, running)
            running.process.kill()
            await running.process.wait()
        async with one.agent() as running:
            before = counted(tmp_path, one.units)
            await running.until(lambda: counted(tmp_path, one.units) != before)
            await one.settle(running)
            assert (await one.plc.connections())[1] == 1
            assert await running.stop() == 0
            quiet(running)


@pytest.mark.long
async def test_one_connection_at_a_time_also_after_a_timeout(program: Path, tmp_path: Path) -> None:
    """A connection that is made anew while the old one still counts would be refused for ever."""
    async with bus(program, tmp_path) as one:
        await one.plc.tell("limit 1 close")
        await one.plc.tell("hold 300")
        async with one.agent() as running:
            await one.begin(running)
            for _ in range(3):
                before = health(running, "m1").count("unreadable")
                await one.plc.tell("mute 256")
                await running.until(lambda before=before: health(running, "m1").count("unreadable") > before)  # type: ignore[misc]
                await one.plc.tell("speak 256")
                await parts(one, running, 10)
            await one.settle(running)
            assert (await one.plc.connections())[1] == 1


async def test_a_host_that_closes_after_every_reply(program: Path, tmp_path: Path) -> None:
    async with bus(program, tmp_path, units=(1, 2)) as one:
        await one.plc.tell("lie once")
        async with one.agent() as running:
            await one.begin(running)
            await keeps_its_period(one, one.units, 1.0)
            files = files_open(running)
            await parts(one, running)
            assert files_open(running) <= files + 2
            assert health(running, "m1") == health(running, "m2") == []
            assert "unavailable" not in running.log, running.log
            assert running.log.count("closes the connection") == 1, running.log
            await one.settle(running)
            quiet(running)


@pytest.mark.long
@pytest.mark.parametrize("ms", [1, 5])
async def test_a_host_that_answers_a_byte_at_a_time(program: Path, tmp_path: Path, ms: int) -> None:
    async with bus(program, tmp_path, keys='timeout = "300ms"') as one:
        await one.plc.tell(f"dribble {ms}")
        async with one.agent(every_s=0.3) as running:
            await one.begin(running)
            await parts(one, running)
            await one.settle(running)
            assert (await one.plc.connections())[2] == 1, "it gave up what only took long"
            assert health(running, "m1") == []


@pytest.mark.parametrize(
    "way",
    ["tcp", pytest.param("rtu", marks=pytest.mark.long), pytest.param("rtu-tcp", marks=pytest.mark.long)],
)
async def test_answers_that_lie_are_not_believed(program: Path, tmp_path: Path, way: Way) -> None:
    """Another unit's, another request's, another function's, too short, cut, reset, twice."""
    lies = ["unit", "function", "count", "twice"]
    lies += [] if way == "rtu" else ["cut", "reset"]
    lies += ["transaction"] if way == "tcp" else []
    async with bus(program, tmp_path, way, units=(1, 2)) as one, one.agent() as running:
        await one.begin(running)
        for how in lies:
            await one.plc.tell(f"lie {how} 2")
            await parts(one, running, 10)
        await one.settle(running)
        assert all(health(running, f"m{unit}").count("unreadable") <= len(lies) for unit in one.units)


@pytest.mark.long
async def test_every_answer_twice_is_told_apart_for_ever(program: Path, tmp_path: Path) -> None:
    """Neighbouring requests of the same shape: the second answer to one is no answer to the next."""
    async with bus(program, tmp_path, "rtu", units=(1, 2)) as one:
        await one.plc.tell("in 2 set holding 102 7 7 7 7 7 7 7 7")
        await one.plc.tell("lie twice")
        async with one.agent() as running:
            wanted = {("t1", value) for value in CONSTANTS} | {("t2", 7)}
            await running.until(lambda: wanted <= seen(running))
            await one.plc.tell("count")
            asked = 0
            while asked < 20:
                await asyncio.sleep(0.02)
                asked += await one.plc.tell("count")
            assert seen(running) == wanted


def seen(running: Agent) -> set[tuple[str, int]]:
    """Every value of each table of telemetry."""
    return {(name.partition(".")[0], value) for name, value in told_values(running)}


@pytest.mark.long
async def test_a_device_that_is_switched_off_and_on(program: Path, tmp_path: Path) -> None:
    """It comes back at the same address; its counters went on from where they were."""
    async with bus(program, tmp_path) as one, one.agent() as running:
        await one.begin(running)
        for is_noticed in (False, True):
            await parts(one, running)
            await one.rate(0)
            await one.plc.kill()
            if is_noticed:
                await running.until(lambda: "bus: unavailable" in running.log)
            await one.plc.start()
            await one.rate(40)
        await parts(one, running)
        await one.settle(running)
        assert running.log.count("bus: unavailable") <= 2, running.log
        quiet(running)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_thousand_connections_leave_nothing_open(program: Path, tmp_path: Path) -> None:
    """Each is made anew: no file descriptor stays, nor does what the agent remembers of it grow."""
    async with bus(program, tmp_path) as one:
        await one.plc.tell("lie once")
        async with one.agent(every_s=0.02) as running:
            await one.begin(running)
            files, made, resets = files_open(running), 0, 0
            while (made := (await one.plc.connections())[2]) < 1_000:
                if made >= 100 * (resets + 1):
                    await one.plc.tell("lie reset 1")
                    while (await one.plc.connections())[2] <= made:
                        await asyncio.sleep(0.02)
                    await one.plc.tell("lie once")
                    resets += 1
                await asyncio.sleep(0.05)
                assert files_open(running) <= files + 3
            assert (await one.plc.connections())[1] == 1
            await one.settle(running)


@pytest.mark.parametrize("code", [10, pytest.param(11, marks=pytest.mark.long)])
async def test_a_gateway_that_says_so_costs_only_that_unit(program: Path, tmp_path: Path, code: int) -> None:
    """And where it takes as long as its own timeout to say so."""
    async with bus(program, tmp_path, units=(1, 2), keys='timeout = "200ms"\nprobe_every = "1s"') as one:
        await one.plc.tell(f"fault 2 {code}")
        await one.plc.tell("slow 2 100")
        async with one.agent() as running:
            await one.begin(running, 1)
            await running.until(lambda: health(running, "m2") == ["unreadable"])
            await keeps_its_period(one, [1], 1.2)
            assert f"{code}" in json.dumps([event["data"] for event in running.events("health")])
            await one.plc.tell("fault 2 0")
            await one.plc.tell("slow 2 0")
            await running.until(lambda: health(running, "m2") == ["unreadable", "readable"])
            assert (await one.plc.connections())[2] == 1, "an answer was taken for none"


@pytest.mark.long
async def test_one_register_that_is_gone_costs_only_itself(program: Path, tmp_path: Path) -> None:
    async with bus(program, tmp_path) as one, one.agent() as running:
        await one.begin(running)
        await one.plc.tell(f"in 1 code {FIRST + 3} 2")
        await running.until(
            lambda: "v3" in json.dumps([event["data"] for event in running.events("telemetry")][-1])
        )
        await parts(one, running)
        await running.until(lambda: any(name == "t1.v3" for name in bad(running)))
        await one.plc.tell(f"in 1 code {FIRST + 3} 0")
        await running.until(lambda: [name for name, _ in told_values(running)].count("t1.v3") >= 2, 30)
        await one.settle(running)
        assert set(bad(running)) == {"t1.v3"}


def bad(running: Agent) -> list[str]:
    return [
        f"{event['data']['name']}.{name}"
        for event in running.events("telemetry")
        for frame in event["data"]["frames"]
        for name in frame.get("bad", {})
    ]
