"""The OPC UA source against a real server in a process of its own, and a proxy that fails on command."""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from adapters._opcua.session import Pace
from edge.contract import (
    Observation,
    Outcome,
    Quality,
    Stamp,
    Value,
)
from tests.adapters import opcua_support
from tests.adapters.opcua_server import NAMESPACE, OpcUaServer
from tests.adapters.opcua_support import collecting, counts, settings, signals, through
from tests.support.intake import MemoryIntake
from tests.support.proxy import Proxy

running = opcua_support.running
server = opcua_support.server

NAMES = ("Count", "Reject", "State", "Temperature", "Running", "Order")


def all_known(intake: MemoryIntake, *names: str) -> bool:
    return {name.lower() for name in names} <= {one.signal for one in intake.seen}


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what no hand-over announces."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def answered(intake: MemoryIntake, number: int) -> None:
    """Wait for the answer to one ask."""
    await intake.until(lambda: any(one.answers == number for one in reversed(intake.seen)))


# --- values -----------------------------------------------------------------------------------


async def test_everything_is_read_after_a_connect(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals(*NAMES), intake):
        await intake.until(lambda: all_known(intake, *NAMES))
        first = {one.signal: one.value for one in reversed(intake.seen)}
    assert first == {
        "count": 0, "reject": 2**63 + 1, "state": 6, "temperature": 20.5, "running": True, "order": "WO-1001",
    }  # fmt: skip
    assert {type(value) for value in first.values()} == {int, float, bool, str}
    assert intake.connections == 1


async def test_every_change_is_notified_in_order_with_the_servers_time(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 100")
        await intake.until(lambda: 60 in counts(intake))
    changed = [one for one in intake.seen if one.value and one.stamp is Stamp.SOURCE]
    assert [one.value for one in changed] == list(range(1, len(changed) + 1))
    assert all(early.at_ms <= late.at_ms for early, late in pairwise(changed))
    assert all(abs(one.seen_ms - one.at_ms) < 1500 for one in changed)


async def test_a_signal_that_never_changes_stays_fresh(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("State"), intake, Pace(probe_s=0.1)):
        await intake.until(lambda: len(intake.values("state")) > 8)
    assert set(intake.values("state")) == {6}


async def test_one_unknown_node_is_named_once_and_blocks_no_other(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    watched = [*signals("Missing", "Count"), *signals("State", namespace="urn:nowhere")]
    async with collecting(settings(server.endpoint), watched, intake, Pace(probe_s=0.1)):
        await intake.until(lambda: len(counts(intake)) > 5)
    bad = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert sum(one.quality is Quality.BAD for one in intake.seen) == 2
    assert bad["missing"].startswith(f"nsu={NAMESPACE};s=Missing: the server has no such node")
    assert "urn:nowhere" in bad["state"]
    assert NAMESPACE in bad["state"]


async def test_a_node_that_appears_later_is_found(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    pace = Pace(probe_s=0.1, mend_s=0.3)
    async with collecting(settings(server.endpoint), signals("Late", "Count"), intake, pace):
        await intake.until(lambda: all_known(intake, "Late", "Count"))
        server.tell("add Late")
        await intake.until(lambda: 7 in intake.values("late"))
    assert [one.quality for one in intake.seen if one.signal == "late"].count(Quality.BAD) == 1


async def test_what_cannot_be_a_value_is_bad_and_says_why(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Curve", "Stamp", "Count"), intake):
        await intake.until(lambda: all_known(intake, "Curve", "Stamp"))
        server.tell("status Count 0x80320000")
        await intake.until(lambda: any(one.detail == "BadWaitingForInitialData" for one in intake.seen))
        server.tell("status Count 0x40920000")
        await intake.until(lambda: any(one.quality is Quality.UNCERTAIN for one in intake.seen))
    words = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert "it is an array" in words["curve"]
    assert intake.values("stamp")[0] == "2026-05-04T00:00:00.000Z"
    assert (
        next(one.detail for one in intake.seen if one.quality is Quality.UNCERTAIN) == "UncertainInitialValue"
    )


async def test_an_overflow_is_uncertain_and_read_again_at_once(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=60)):
        await intake.until(lambda: counts(intake) != [])
        before = len(intake.seen)
        server.tell("status Count 0x480")
        await intake.until(lambda: len(intake.seen) > before + 1)
    assert all(one.quality is Quality.UNCERTAIN for one in intake.seen[before:])
    assert "overflow" in intake.seen[-1].detail
    assert intake.seen[-1].stamp is Stamp.SOURCE


async def test_a_clock_that_lies_is_not_believed_and_silences_nothing(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 20")
        await answered(intake, intake.ask("count"))
        server.tell("clock -420")
        before = len(intake.seen)
        await intake.until(lambda: len(intake.seen) > before + 20)
    counted = [one for one in intake.seen[before:] if one.value]
    assert counted[-1].stamp is Stamp.RECEIPT
    assert counts(intake) == sorted(counts(intake))


# --- fresh reads ------------------------------------------------------------------------------


async def test_an_ask_is_answered_at_once_and_the_counter_never_goes_back(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    waits: list[float] = []
    async with collecting(settings(server.endpoint, publish="200ms"), signals("Count", "State"), intake):
        await intake.until(lambda: all_known(intake, "Count", "State"))
        server.tell("run 50")
        while max(counts(intake)) < 100:
            asked_s = time.monotonic()
            await answered(intake, intake.ask("count"))
            waits.append(time.monotonic() - asked_s)
        await intake.until(lambda: max(counts(intake)) >= 120)
    values = counts(intake)
    assert values == sorted(values)
    assert sorted(waits)[len(waits) // 2] < 0.1
    assert max(waits) < 0.5
    assert {one.signal for one in intake.seen if one.answers} == {"count"}
    assert len(waits) > 50


async def test_a_server_that_publishes_slower_than_asked_makes_no_counter_go_back(
    server: OpcUaServer,
) -> None:
    intake = MemoryIntake("press-plc")
    server.tell("slowest 1000")
    async with collecting(settings(server.endpoint, publish="20ms"), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 50")
        await intake.until(lambda: max(counts(intake)) >= 20)
        published = max(counts(intake))
        while max(counts(intake)) < published + 15:
            await answered(intake, intake.ask("count"))
        await intake.until(lambda: max(counts(intake)) > published + 90)
    assert counts(intake) == sorted(counts(intake))


async def test_an_ask_for_an_unknown_node_is_answered_too(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Missing", "Count"), intake):
        number = intake.ask("count", "missing", "somebody-elses")
        await intake.until(lambda: sum(one.answers == number for one in intake.seen) == 2)
    answers = {one.signal: one.quality for one in intake.seen if one.answers}
    assert answers == {"count": Quality.GOOD, "missing": Quality.BAD}


# --- a slow or failing journal -----------------------------------------------------------------


class HeldIntake(MemoryIntake):
    """One whose disk takes its time."""

    def __init__(self) -> None:
        super().__init__("press-plc")
        self.free = asyncio.Event()
        self.batches: list[int] = []
        self.arrived = 0

    def observe(self, signal: str, value: Value, **more: Any) -> Observation:
        self.arrived += 1
        return super().observe(signal, value, **more)

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.batches.append(len(observations))
        outcomes = await super().emit(observations)
        if len(self.batches) > 1:
            await self.free.wait()
        return outcomes


async def test_while_the_disk_is_slow_values_gather_in_order(server: OpcUaServer) -> None:
    intake = HeldIntake()
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=60)):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 100")
        await intake.until(lambda: len(intake.batches) == 2)
        await eventually(lambda: intake.arrived > len(intake.seen) + 20)
        await answered(intake, intake.ask("count"))
        intake.free.set()
        await intake.until(lambda: 80 in counts(intake))
    values = counts(intake)
    assert values == sorted(values)


async def test_what_is_not_recorded_is_read_again(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    intake.failing = True
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=0.1)) as task:
        await eventually(lambda: intake.connections == 1)
        server.tell("set Count 41")
        intake.failing = False
        await intake.until(lambda: 41 in counts(intake))
        assert not task.done()


# --- the end --------------------------------------------------------------------------------------


async def test_cancelling_leaves_no_task_and_no_connection(server: OpcUaServer) -> None:
    before = asyncio.all_tasks()
    intake = MemoryIntake("press-plc")
    async with Proxy(server.port) as proxy:
        async with collecting(through(proxy), signals("Count"), intake):
            await intake.until(lambda: counts(intake) != [])
            stop_s = time.monotonic()
        assert time.monotonic() - stop_s < 0.5
        async with asyncio.timeout(5):
            await proxy.idle()
    assert asyncio.all_tasks() == before


async def test_cancelling_in_the_middle_of_a_connect_leaves_nothing(server: OpcUaServer) -> None:
    before = asyncio.all_tasks()
    async with Proxy(server.port) as proxy:
        proxy.stall()
        async with collecting(through(proxy), signals("Count"), MemoryIntake("press-plc")):
            await eventually(lambda: proxy.connections == 1)
        proxy.flow()
        async with asyncio.timeout(5):
            await proxy.idle()
    assert asyncio.all_tasks() == before
