"""16-bit counters that roll over, agents that are killed, a device that is cut off and swapped: what is
counted is what was made, or short by exactly what the ledger says nobody can know."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.config import load
from edge.errors import JournalError
from edge.journal import JournalReader
from edge.ledger import Interval, Ledger, read_ledger
from tests.adapters.modbus_support import Device, build_device, device
from tests.support.agent import Agent, running_agent

TURN = 1 << 16
LINE = """
[line]
name = "line-1"
badge = "optional"

[source.bus]
type = "modbus"
host = "tcp://127.0.0.1:{port}"
timeout = "200ms"

[source.bus.unit.1]
serial = {{ holding = 210, as = "text", length = 2 }}
uptime = {{ holding = 200, as = "u32", words = "big", tick = "1ms" }}
identity_every = "1s"
{more}
{stations}
[sink.file]
type = "file"
linger = "1ms"
"""
STATION = """
[[station]]
name = "c{at}"
ideal_cycle = "{ideal}"
[station.total]
source = "bus"
unit = 1
holding = {at}
as = "u16"
every = "100ms"
"""
ALIVE = 'heartbeat = { holding = 202, as = "u16", within = "2s" }'


def text(words: str) -> str:
    """The cells of a text of two registers."""
    octets = words.encode().ljust(4, b"\0")
    return " ".join(str(int.from_bytes(octets[at : at + 2])) for at in (0, 2))


@dataclass
class Death:
    """The power of the device was cut: when, by the wall clock, and what each counter had shown."""

    from_ms: int
    until_ms: int = 0
    shown: dict[int, int] = field(default_factory=dict)


@dataclass
class Plant:
    """Counters in one unit, and the agent's line. `resets` begin at zero after a cut, `keeps` go on."""

    folder: Path
    plc: Device
    resets: Sequence[int]
    keeps: Sequence[int]
    ideal: str
    more: str
    deaths: list[Death] = field(default_factory=list)

    @property
    def counters(self) -> Sequence[int]:
        return (*self.resets, *self.keeps)

    @property
    def line(self) -> str:
        stations = "".join(STATION.format(at=at, ideal=self.ideal) for at in self.counters)
        return LINE.format(port=self.plc.port, stations=stations, more=self.more)

    async def set_up(self, first: dict[int, int], serial: str = "A-1") -> None:
        for at in self.counters:
            keep = " keep" if at in self.keeps else ""
            await self.plc.tell(f"counter 1 {at} 16 0 {first[at]}{keep}")
        await self.plc.tell("counter 1 200 32 1000 0")
        await self.plc.tell("counter 1 202 16 5 0")
        await self.plc.tell(f"set holding 210 {text(serial)}")

    async def rate(self, parts_per_s: int) -> None:
        for at in self.counters:
            await self.plc.tell(f"rate 1 {at} {parts_per_s}")

    async def cut(self, off_s: float) -> None:
        """Its power, for so long; it begins to count again at once."""
        death = Death(time.time_ns() // 1_000_000)
        await self.plc.kill()
        death.until_ms = time.time_ns() // 1_000_000 + 1
        await asyncio.sleep(off_s)
        await self.plc.start()
        for at in self.resets:
            death.shown[at] = await self._made_before(at)
        self.deaths.append(death)

    async def _made_before(self, at: int) -> int:
        """Parts that a counter had made when it was cut off: all but those that it shows now."""
        while True:
            before = await self.plc.made(1, at)
            shown = await self.shown(at)
            if before == await self.plc.made(1, at):
                return before - shown

    async def made(self) -> dict[str, int]:
        return {f"c{at}": await self.plc.made(1, at) for at in self.counters}

    async def shows_more_than_it_can_make_soon(self, *counters: int) -> None:
        """Else nobody can tell, after a cut, whether it has begun anew and passed where it was, or whether it
        rolled over or began anew."""
        while not all([2_000 < await self.shown(at) < TURN - 4_000 for at in counters]):
            await asyncio.sleep(0.05)

    async def shown(self, at: int) -> int:
        return int(await self.plc.asked(f"get holding {at}"))

    def records(self) -> list[dict[str, Any]]:
        try:
            reader = JournalReader(self.folder / "data/journal.db", "line-1")
        except JournalError:  # the agent is just making it
            return []
        try:
            return [json.loads(one.json) for one in reader.records(1, reader.head(), 1_000_000)]
        finally:
            reader.close()

    def counts(self) -> list[dict[str, Any]]:
        return [one for one in self.records() if one["type"] == "count"]

    def counted(self) -> dict[str, int]:
        parts = Counter({f"c{at}": 0 for at in self.counters})
        for one in self.counts():
            parts[one["station"]] += one["data"]["produced"]
        return dict(parts)

    def qualities(self, at: int) -> Counter[str]:
        return Counter(one["data"]["quality"] for one in self.counts() if one["station"] == f"c{at}")

    def ledger(self) -> Ledger:
        reader = JournalReader(self.folder / "data/journal.db", "line-1")
        try:
            return read_ledger(reader, load(self.folder / "line.toml").line)
        finally:
            reader.close()

    async def begin(self, running: Agent) -> None:
        """Each counter has been read: from now on every part is to be counted."""
        await running.until(lambda: len({one["station"] for one in self.counts()}) == len(self.counters))

    async def settle(self, running: Agent, short: dict[str, int]) -> None:
        """The machines stand, and everything is counted but `short`."""
        await self.rate(0)
        wanted = {name: parts - short[name] for name, parts in (await self.made()).items()}
        await running.until(lambda: self.counted() == wanted, 15)

    def unknowable(self, first: dict[int, int]) -> dict[str, int]:
        """By the ledger: of each cut, what was made from the last reading that it names to the cut."""
        found = Counter({f"c{at}": 0 for at in self.counters})
        for at in self.resets:
            told = [one for one in self.counts() if one["station"] == f"c{at}"]
            lasts = [one["data"]["was"] for one in told if one["data"]["quality"] == "reset"]
            assert len(lasts) == len(self.deaths), told
            start, before = first[at], 0
            for death, was in zip(self.deaths, lasts, strict=True):
                shown = start + death.shown[at] - before
                found[f"c{at}"] += (shown - was) % TURN
                start, before = 0, death.shown[at]
        return dict(found)


@asynccontextmanager
async def plant(
    folder: Path, resets: Sequence[int], keeps: Sequence[int] = (), ideal: str = "4ms", more: str = ""
) -> AsyncIterator[Plant]:
    program = build_device(folder)
    async with device(program, "tcp", "0", str(folder / "state")) as plc:
        yield Plant(folder, plc, resets, keeps, ideal, more)


def of_cause(found: Ledger, cause: str) -> list[Interval]:
    return [one for one in found.intervals if one.cause == cause]


def assert_told(one: Plant) -> None:
    """The ledger has each cut, from before it to the new begin, and nothing else is open."""
    found = one.ledger()
    restarts = of_cause(found, "device-restarted")
    assert len(restarts) == len(one.deaths), found
    for interval, death in zip(restarts, one.deaths, strict=True):
        assert interval.until_ms is not None
        assert interval.since_ms <= death.until_ms, (interval, death)
        assert interval.until_ms >= death.from_ms, (interval, death)
        assert interval.until_ms - interval.since_ms < 10_000
    doubts = [
        why for interval in found.intervals if interval.cause not in ("device-restarted", "counter")
        for why in interval.uncertain
    ]  # fmt: skip
    assert all("first time" in why or "unseen" in why for why in doubts), doubts


async def test_counters_roll_over_while_agents_and_the_device_are_killed(tmp_path: Path) -> None:
    """Ten counters that roll over once, at different times; five that are kept over a cut."""
    resets, keeps = range(100, 110), range(110, 115)
    first = {at: TURN - 150 * (at - 99) for at in resets} | {at: 30_000 + at for at in keeps}
    async with plant(tmp_path, resets, keeps, ideal="2ms") as one:
        await one.set_up(first)
        async with running_agent(tmp_path, one.line) as agent:
            await one.begin(agent)
            await one.rate(800)
            await agent.until(lambda: one.qualities(104)["rollover"] == 1)
            agent.process.kill()
        async with running_agent(tmp_path, one.line) as agent:
            await one.shows_more_than_it_can_make_soon(*resets)
            await one.cut(0.2)
            await agent.until(lambda: one.qualities(109)["reset"] == 1)
            await one.shows_more_than_it_can_make_soon(*resets)
            agent.process.kill()
        await one.cut(0.0)
        async with running_agent(tmp_path, one.line) as agent:
            await agent.until(lambda: one.qualities(109)["reset"] == 2)
            agent.process.kill()
        async with running_agent(tmp_path, one.line) as agent:
            await one.settle(agent, one.unknowable(first))
        assert all(one.qualities(at)["reset"] == 0 for at in keeps)
        assert_told(one)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_ten_rollovers_three_kills_and_two_cuts(tmp_path: Path) -> None:
    """1,000 parts a second, that is eleven minutes: the counters that 50 parts a second have in 3.6 hours."""
    dice, first = random.Random(7), {100: 5_000, 101: 60_000}
    async with plant(tmp_path, (100,), (101,), ideal="1ms", more=ALIVE) as one:
        await one.set_up(first)
        happening = ["kill", "cut", "kill", "cut", "kill"]
        async with running_agent(tmp_path, one.line) as agent:
            await one.begin(agent)
            await one.rate(1_000)
            await asyncio.sleep(dice.uniform(90, 115))
            agent.process.kill()
        for what in happening[1:]:
            async with running_agent(tmp_path, one.line) as agent:
                await asyncio.sleep(dice.uniform(90, 115))
                if what == "cut":
                    await one.shows_more_than_it_can_make_soon(100, 101)
                    await one.cut(dice.uniform(0, 3))
                    await asyncio.sleep(dice.uniform(20, 40))
                agent.process.kill()
        async with running_agent(tmp_path, one.line) as agent:
            while (await one.made())["c101"] < 10 * TURN + 6_000:
                await asyncio.sleep(1)
            await one.settle(agent, one.unknowable(first))
        assert one.qualities(101)["rollover"] + one.qualities(101)["gap"] >= 10
        assert_told(one)


async def test_a_device_that_is_swapped_while_the_agent_is_off(tmp_path: Path) -> None:
    async with plant(tmp_path, (100,)) as one:
        await one.set_up({100: 5_000})
        async with running_agent(tmp_path, one.line) as agent:
            await one.begin(agent)
            await one.plc.tell("add 1 100 3")
            await agent.until(lambda: one.counted() == {"c100": 3})
            assert await agent.stop() == 0
        await one.set_up({100: 5_040}, "A-2")
        async with running_agent(tmp_path, one.line) as agent:
            await agent.until(lambda: one.qualities(100)["replaced"] == 1)
            await one.plc.tell("add 1 100 2")
            await agent.until(lambda: one.counted() == {"c100": 5})
        [swap] = of_cause(one.ledger(), "device-replaced")
        assert swap.subject == "bus unit 1"
        assert swap.detail == "its serial number is A-2, it was A-1"
        [why] = swap.uncertain
        assert why == "c100.total: another device's, from 5040: what the old one made after 5003 is not known"


async def test_a_counter_that_is_reset_by_hand_is_no_restart(tmp_path: Path) -> None:
    """The job's counter goes to zero while the device runs on: as every reset, after three looks."""
    async with plant(tmp_path, (100,)) as one:
        await one.set_up({100: 40_000})
        async with running_agent(tmp_path, one.line) as agent:
            await one.begin(agent)
            await one.plc.tell("add 1 100 5")
            await agent.until(lambda: one.counted() == {"c100": 5})
            await one.plc.tell("set holding 100 0")
            await agent.until(lambda: one.qualities(100)["reset"] == 1)
            await one.plc.tell("add 1 100 4")
            await agent.until(lambda: one.counted() == {"c100": 9})
        assert of_cause(one.ledger(), "device-restarted") == []


OTHER = """
[[station]]
name = "other"
ideal_cycle = "4ms"
[station.total]
source = "bus"
unit = 2
holding = 900
as = "u16"
every = "100ms"
"""


async def test_a_unit_that_restarts_twice_within_seconds_is_not_certain(tmp_path: Path) -> None:
    """Its neighbour keeps the connection. When it is seen again its counter has passed where it was, and its
    uptime too."""
    async with plant(tmp_path, (100,), (300, 400), more=OTHER) as one:
        await one.set_up({100: 5_000, 300: 7, 400: 7})
        await one.plc.tell("counter 1 200 32 10 90000")
        line = one.line.replace('tick = "1ms"', 'tick = "100ms"').replace('every = "1s"', 'every = "10s"')
        line = line.replace('timeout = "200ms"', 'timeout = "200ms"\nprobe_every = "300ms"')
        async with running_agent(tmp_path, line) as agent:
            await agent.until(lambda: len({each["station"] for each in one.counts()}) == 4)
            await _begin_anew(one, agent)
            await agent.until(lambda: one.qualities(100)["reset"] == 1)
            await asyncio.sleep(3)
            await _begin_anew(one, agent, silent_s=1.3, until=300)
            await agent.until(lambda: len(_gaps(one)) == 2)
        assert one.qualities(100)["uncertain"] == 1
        assert len(of_cause(one.ledger(), "device-restarted")) == 2
        assert [gap["certain"] for gap in _gaps(one)] == [False] * 2


def _gaps(one: Plant) -> list[dict[str, Any]]:
    told = (each["data"] for each in one.records() if each["type"] == "gap")
    return [gap for gap in told if gap["signal"] == "c100.total"]


async def _begin_anew(one: Plant, agent: Agent, silent_s: float = 0.0, until: int = 0) -> None:
    """Unit 1 is off until it is given up and for so long, and begins at zero; it is heard of again when its
    counter shows so much."""
    lost = len(_lost(agent))
    await one.plc.tell("mute 1")
    await agent.until(lambda: len(_lost(agent)) > lost)
    await asyncio.sleep(silent_s)
    await one.plc.tell("counter 1 200 32 10 0")
    await one.plc.tell("counter 1 100 16 50 0")
    while await one.shown(100) < until:
        await asyncio.sleep(0.05)
    await one.plc.tell("speak 1")


def _lost(agent: Agent) -> list[dict[str, Any]]:
    return [
        each for each in _health(agent) if each["subject"] == "c100.total" and each["state"] == "unreadable"
    ]


async def test_a_device_whose_program_stands_still_is_not_believed(tmp_path: Path) -> None:
    """It answers on, and what it shows is of yesterday; when it goes on, the counter has it all."""
    async with plant(tmp_path, (100,), more=ALIVE) as one:
        await one.set_up({100: 500})
        async with running_agent(tmp_path, one.line) as agent:
            await one.begin(agent)
            await one.plc.tell("rate 1 202 0")
            await agent.until(lambda: any(at["subject"] == "c100.total" for at in _health(agent)))
            told = [at for at in _health(agent) if at["subject"] == "c100.total"]
            assert "its program stands still" in told[0]["detail"]
            await one.plc.tell("add 1 100 7")
            await one.plc.tell("rate 1 202 5")
            await agent.until(lambda: one.counted() == {"c100": 7})
        [unread] = of_cause(one.ledger(), "signal-unreadable")
        assert unread.parts == 7


def _health(agent: Agent) -> list[dict[str, Any]]:
    return [event["data"] for event in agent.events("health")]
