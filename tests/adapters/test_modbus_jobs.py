"""Requests that others want made between two polls, and the time that a reading bears."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from functools import partial

import pytest

from adapters._modbus.answers import NoAnswer, Reply
from adapters._modbus.bus import Bus
from adapters._modbus.jobs import MOST, Jobs, UnitLost
from adapters._modbus.outbox import Outbox
from adapters._modbus.plan import block_of
from adapters._modbus.points import point_of
from adapters._modbus.readings import Readings
from edge.contract import SourceLost
from tests.adapters.modbus_support import signal
from tests.support.intake import MemoryIntake


class _NoBus(Bus):
    """Jobs do not look at it."""

    def __init__(self) -> None:
        pass


def _no_bus() -> Bus:
    return _NoBus()


async def test_jobs_are_done_one_at_a_time_in_their_order_and_get_what_they_want() -> None:
    woken: list[int] = []
    jobs, log = Jobs(lambda: woken.append(1), lambda unit: ""), deque[str]()

    async def work(bus: Bus, name: str) -> str:
        log.append(f"{name} begins")
        await asyncio.sleep(0)
        log.append(f"{name} ends")
        if name == "b":
            raise NoAnswer("silence")
        return name.upper()

    async with asyncio.TaskGroup() as tasks:
        done = [tasks.create_task(_caught(jobs.do(1, partial(work, name=name)))) for name in "abc"]
        await asyncio.sleep(0)
        assert len(woken) == 3
        while await jobs.serve(_no_bus()):
            pass
    assert [one.result() for one in done] == ["A", "NoAnswer: silence", "C"]
    assert list(log) == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def _caught(work: Awaitable[str]) -> str:
    try:
        return await work
    except (NoAnswer, SourceLost) as error:
        return f"{type(error).__name__}: {error}"


async def test_a_lost_unit_is_not_asked_and_the_end_of_the_connection_ends_all_jobs() -> None:
    lost: list[str] = []
    jobs = Jobs(lambda: None, lambda unit: lost[0] if lost else "")

    async def work(bus: Bus) -> str:
        raise AssertionError("it was begun")

    waiting = asyncio.create_task(jobs.do(1, work))
    gone = asyncio.create_task(jobs.do(1, work))
    last = asyncio.create_task(jobs.do(1, work))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    lost.append("unit 1 is lost: silence")
    assert await jobs.serve(_no_bus())
    with pytest.raises(UnitLost, match="unit 1 is lost"):
        await waiting
    with pytest.raises(UnitLost, match="unit 1 is lost"):
        await jobs.do(1, work)
    jobs.close(SourceLost("bus", "the port is gone"))
    with pytest.raises(SourceLost, match="the port is gone"):
        await last
    with pytest.raises(SourceLost):
        await jobs.do(1, work)
    assert gone.cancelled()
    assert not await jobs.serve(_no_bus())


async def test_too_many_jobs_are_refused_in_words() -> None:
    jobs = Jobs(lambda: None, lambda unit: "")

    async def work(bus: Bus) -> None:
        pass

    async with asyncio.TaskGroup() as tasks:
        for _ in range(MOST):
            tasks.create_task(jobs.do(1, work))
        await asyncio.sleep(0)
        with pytest.raises(NoAnswer, match="64 requests wait"):
            await jobs.do(1, work)
        while await jobs.serve(_no_bus()):
            pass


async def test_a_value_has_the_time_of_its_receipt_and_not_of_its_decoding() -> None:
    intake = MemoryIntake("bus")
    point = point_of(signal("s", "u16", holding=0))
    now = asyncio.get_running_loop().time()
    before = intake.observe("clock", 0)
    async with asyncio.TaskGroup() as tasks:
        readings = Readings(intake, Outbox(intake, tasks, lambda: None), _no_bus(), {})
        await readings.take(block_of([point]), Reply((41,), now - 2.0))
    [seen] = intake.seen
    assert before.mono_ms - seen.mono_ms == pytest.approx(2000, abs=50)
    assert before.seen_ms - seen.seen_ms == pytest.approx(2000, abs=50)
    assert seen.stamp == before.stamp, "a time of receipt, not of the device"
