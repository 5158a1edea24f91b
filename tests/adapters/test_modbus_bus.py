"""Units that are dead, die, come back, fail now and then or are busy: what the others notice of it."""

import asyncio
import itertools
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from adapters import modbus
from edge.contract import Quality, SourceLost
from edge.observation import DEVICE
from tests.adapters.modbus_support import (
    Device,
    collecting,
    device,
    output,
    serial_line,
    settings,
    signal,
    traced,
)
from tests.support.intake import MemoryIntake


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("bus")


def bad(intake: MemoryIntake, name: str) -> list[str]:
    return [one.detail for one in intake.seen if one.signal == name and one.quality is Quality.BAD]


def tcp(port: int, **keys: object) -> modbus.Settings:
    return settings(host=f"tcp://127.0.0.1:{port}", **keys)


Answer = Callable[[int, int, int], list[int] | int | None]
"""Unit, start and count to the registers, an exception code, or None: no answer."""


class Slave:
    """A Modbus TCP slave for function 3 that answers as the test says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.connections = 0
        self.asked: list[tuple[int, int, int]] = []
        self.closes = False
        """Close the connection instead of staying silent."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readexactly(8)
                number, _, _, unit, function = struct.unpack(">HHHBB", head)
                start, count = struct.unpack(">HH", await reader.readexactly(4))
                self.asked.append((unit, start, count))
                answer = self.answer(unit, start, count)
                if answer is None and self.closes:
                    return
                if answer is not None:
                    writer.write(struct.pack(">HH", number, 0) + self._pdu(unit, function, answer))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    @staticmethod
    def _pdu(unit: int, function: int, answer: list[int] | int) -> bytes:
        if isinstance(answer, int):
            return struct.pack(">HBBB", 3, unit, function | 0x80, answer)
        size = 2 * len(answer)
        return struct.pack(f">HBBB{len(answer)}H", 3 + size, unit, function, size, *answer)


@asynccontextmanager
async def slave(answer: Answer) -> AsyncIterator[Slave]:
    one = Slave(answer)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()


# --- a dead unit --------------------------------------------------------------------------------


async def test_two_live_units_keep_their_period_beside_one_that_is_dead_dies_and_comes_back(
    program: Path, tmp_path: Path, intake: MemoryIntake
) -> None:
    trace, every, probe = tmp_path / "trace", 0.1, 1.2
    signals = [signal(f"u{unit}", "u16", every, unit=unit, holding=unit) for unit in (1, 2, 3)]
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1,2,3") as plc:
        await plc.tell("mute 2")
        await plc.tell(f"trace {trace}")
        how = settings(port=near, parity="none", timeout="40ms", worst_answer="40ms", probe_every=f"{probe}s")
        async with collecting(how, signals, intake):
            await intake.until(lambda: len(intake.values("u1")) >= 15)
            assert len(bad(intake, "u2")) == 1
            await plc.tell("speak 2")
            await intake.until(lambda: len(intake.values("u2")) >= 5)
            await plc.tell("mute 2")
            await intake.until(lambda: len(bad(intake, "u2")) == 2)
            seen = len(intake.values("u3"))
            await intake.until(lambda: len(intake.values("u3")) >= seen + 12)
    asked = traced(trace)
    for unit in (1, 3):
        times = [one.at_ns / 1e9 for one in asked if one.unit == unit]
        mean = (times[-1] - times[0]) / (len(times) - 1)
        assert mean == pytest.approx(every, rel=0.2)
    assert intake.connections == 1


@pytest.mark.parametrize("closes", [False, True])
async def test_a_gateway_that_closes_when_it_is_asked_for_a_dead_unit_keeps_its_live_ones(
    intake: MemoryIntake, closes: bool
) -> None:
    async with slave(lambda unit, start, count: None if unit == 2 else [7] * count) as gateway:
        gateway.closes = closes
        how = tcp(gateway.port, timeout="60ms", probe_every="400ms")
        signals = [signal(f"u{unit}", "u16", 0.02, unit=unit, holding=0) for unit in (1, 2)]
        began = asyncio.get_running_loop().time()
        async with collecting(how, signals, intake):
            await intake.until(lambda: len(intake.values("u1")) >= 60)
        lasted_s = asyncio.get_running_loop().time() - began
    requests = len([unit for unit, _, _ in gateway.asked if unit == 2])
    a_probe = 3 if closes else 1  # a read that is answered by a close is tried again by the wire
    assert 3 <= requests <= a_probe * (2 + lasted_s / 0.4 + 1)
    assert len(bad(intake, "u2")) == 1
    assert intake.connections == 1


async def test_units_that_are_all_dead_end_the_connection_and_are_asked_once_each_on_the_next(
    intake: MemoryIntake,
) -> None:
    async with slave(lambda unit, start, count: 11) as dead:
        signals = [signal(f"u{unit}", "u16", 0.02, unit=unit, holding=0) for unit in (1, 2, 3)]
        for requests in (6, 3):
            dead.asked.clear()
            with pytest.raises(SourceLost, match="no unit answers"):
                await asyncio.wait_for(modbus.collect(tcp(dead.port, timeout="30ms"), signals, intake), 5)
            assert Counter(unit for unit, _, _ in dead.asked) == dict.fromkeys((1, 2, 3), requests // 3)


async def test_a_unit_that_fails_every_third_time_leaves_the_bus_to_the_others(intake: MemoryIntake) -> None:
    turns = itertools.count()
    timeout_s = 0.1

    def answer(unit: int, start: int, count: int) -> list[int] | None:
        return None if unit == 2 and next(turns) % 3 == 0 else [unit] * count

    async with slave(answer) as gateway:
        signals = [signal(f"u{unit}", "u16", 0.04, unit=unit, holding=0) for unit in (1, 2)]
        async with collecting(tcp(gateway.port, timeout=f"{timeout_s * 1000:g}ms"), signals, intake):
            await intake.until(lambda: len(intake.values("u1")) >= 10)
            began = asyncio.get_running_loop().time()
            before, failed = len(intake.values("u1")), next(turns)
            await intake.until(lambda: len(intake.values("u1")) >= before + 60)
            lasted_s = asyncio.get_running_loop().time() - began
    assert lasted_s <= 60 * 0.04 * 1.4 + timeout_s, "the live unit lost its period"
    assert next(turns) > failed + 1, "the unit is not given up either"
    assert len(intake.values("u2")) > 3


# --- exceptions ---------------------------------------------------------------------------------


async def test_a_busy_unit_is_left_alone_for_a_moment_and_the_others_go_on(
    plc: Device, intake: MemoryIntake
) -> None:
    await plc.tell("fault 2 6")
    signals = [signal(f"u{unit}", "u16", 0.01, unit=unit, holding=0) for unit in (1, 2)]
    async with collecting(tcp(plc.port), signals, intake):
        await intake.until(lambda: len(intake.values("u1")) >= 90)
        assert bad(intake, "u2") == ["unit 2 holding 0: exception 6, server device busy"]
        assert await plc.tell("count") <= len(intake.values("u1")) + 6
        await plc.tell("fault 2 0")
        await intake.until(lambda: len(intake.values("u2")) >= 3)


async def test_a_unit_that_is_busy_once_is_not_told(plc: Device, intake: MemoryIntake) -> None:
    async with collecting(tcp(plc.port), [signal("u2", "u16", 0.02, unit=2, holding=0)], intake):
        await intake.until(lambda: len(intake.values("u2")) >= 2)
        await plc.tell("fault 2 5 1")
        seen = len(intake.values("u2"))
        await intake.until(lambda: len(intake.values("u2")) >= seen + 5)
    assert not bad(intake, "u2")


async def test_a_device_that_refuses_everything_while_it_starts_is_not_taken_apart(
    intake: MemoryIntake,
) -> None:
    refuses = [False]
    async with slave(lambda unit, start, count: 2 if refuses[0] else [5] * count) as plc:
        signals = [signal(f"s{at}", "u16", 0.02, holding=at) for at in range(50)]
        async with collecting(tcp(plc.port, probe_every="300ms"), signals, intake):
            await intake.until(lambda: len(intake.values("s0")) >= 3)
            refuses[0] = True
            plc.asked.clear()
            while len(plc.asked) < 1:
                await asyncio.sleep(0.01)
            refuses[0] = False
            seen = len(intake.values("s49"))
            await intake.until(lambda: len(intake.values("s49")) >= seen + 5)
    assert {count for _, _, count in plc.asked} == {50}
    assert not bad(intake, "s7")


async def test_a_register_that_comes_back_is_read_in_one_request_with_the_others(
    intake: MemoryIntake,
) -> None:
    refused = {4}

    def answer(unit: int, start: int, count: int) -> list[int] | int:
        return 2 if refused & set(range(start, start + count)) else [5] * count

    async with slave(answer) as plc:
        signals = [signal(f"s{at}", "u16", 0.02, holding=at) for at in range(10)]
        async with collecting(tcp(plc.port, probe_every="300ms"), signals, intake):
            await intake.until(lambda: len(intake.values("s9")) >= 10)
            assert bad(intake, "s4") == ["unit 1 holding 4: exception 2, illegal data address"]
            plc.asked.clear()
            await intake.until(lambda: len(plc.asked) >= 10)
            assert {(start, count) for _, start, count in plc.asked} <= {(0, 4), (5, 5), (4, 1)}
            refused.clear()
            await intake.until(lambda: len(intake.values("s4")) >= 3)
            plc.asked.clear()
            await intake.until(lambda: len(plc.asked) >= 3)
            assert {(start, count) for _, start, count in plc.asked} == {(0, 10)}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_three_units_do_the_fourth_goes_on_and_all_is_as_before_in_the_end(
    intake: MemoryIntake, seed: int
) -> None:
    rng, units, places = Random(seed), (1, 2, 3, 4), (0, 1, 2, 5, 6, 9, 30)
    mood = dict.fromkeys(units, "well")
    refused: dict[int, set[int]] = {unit: set() for unit in units}
    silent = {"dead": 1.0, "flapping": 0.3}
    codes = {"busy": (0.5, 6), "starting": (1.0, 2), "failing": (1.0, 4), "behind a gateway": (1.0, 11)}

    def answer(unit: int, start: int, count: int) -> list[int] | int | None:
        if rng.random() < silent.get(mood[unit], 0.0):
            return None
        share, code = codes.get(mood[unit], (0.0, 0))
        if rng.random() < share:
            return code
        if refused[unit] & set(range(start, start + count)):
            return 2
        return [1000 * unit + at for at in range(start, start + count)]

    signals = [signal(f"{u} {at}", "u16", 0.02, unit=u, holding=at) for u in units for at in places]
    async with slave(answer) as plc:
        how = tcp(plc.port, timeout="80ms", probe_every="200ms")
        async with collecting(how, signals, intake) as task:
            for _ in range(40):
                for unit in units[1:]:
                    if rng.random() < 0.3:
                        mood[unit] = rng.choice(["well", *silent, *codes])
                    if rng.random() < 0.2:
                        refused[unit] = set(rng.sample(range(31), rng.choice([0, 0, 1, 3])))
                plc.closes = rng.random() < 0.5
                seen = len(intake.values("1 0"))
                await intake.until(lambda seen=seen: len(intake.values("1 0")) > seen + 1, 5)  # type: ignore[misc]
            mood.update(dict.fromkeys(units, "well"))
            for cells in refused.values():
                cells.clear()
            told = {one.name: len(intake.values(one.name)) for one in signals}
            await intake.until(lambda: all(len(intake.values(one)) >= told[one] + 20 for one in told))
            assert not task.done()
    assert all(
        one.value == 1000 * int(one.signal.split()[0]) + int(one.signal.split()[1])
        for one in intake.seen
        if one.quality is Quality.GOOD
    )


# --- what a device says of itself ---------------------------------------------------------------


async def test_a_counter_that_went_back_is_handed_over_after_what_the_device_says_of_itself(
    intake: MemoryIntake,
) -> None:
    cells = {0: 100, 10: 500}

    def answer(unit: int, start: int, count: int) -> list[int]:
        return [cells.get(at, 0) for at in range(start, start + count)]

    async with slave(answer) as plc:
        unit = {"3": {"uptime": {"holding": 10, "as": "u16"}, "identity_every": "60s"}}
        what = [signal("press.total", "u16", 0.02, unit=3, holding=0)]
        async with collecting(tcp(plc.port, unit=unit, max_gap=0), what, intake):
            await intake.until(lambda: len(intake.values("press.total")) >= 3)
            cells.update({0: 3, 10: 1})
            await intake.until(lambda: 3 in intake.values("press.total"))
    order = [one.signal if one.value != 3 else "three" for one in intake.seen]
    assert order[0] == DEVICE, "before the first value, too"
    assert order[order.index("three") - 1] == DEVICE
    assert intake.renewals >= 1


async def test_a_connection_that_was_closed_puts_lamps_in_doubt(plc: Device, intake: MemoryIntake) -> None:
    lamp = output(unit=5, coil=0)
    intake.outputs = [lamp]
    async with collecting(tcp(plc.port), [signal("s", "u16", 60, unit=5, holding=0)], intake):
        await intake.until_sampled(lambda: 0 in intake.answered)
        number = intake.switch([lamp.name])
        await intake.until_sampled(lambda: number in intake.answered)
        await plc.wrote()
        await plc.tell("drop")
        await intake.until_sampled(lambda: intake.renewals > 0)
        while (wrote := await plc.wrote()) == [""]:
            await asyncio.sleep(0.01)
    assert wrote == ["5 coil 0 1"]
    assert intake.connections == 1


# --- for people ---------------------------------------------------------------------------------


async def test_each_unit_is_told_with_its_counts(plc: Device, intake: MemoryIntake) -> None:
    await plc.tell("mute 2")
    await plc.tell("code 7 2")
    signals = [signal(f"u{unit}", "u16", 0.02, unit=unit, holding=0) for unit in (1, 2)]
    signals += [signal("refused", "u16", 0.02, unit=1, holding=7), signal("u4", "u16", 60, unit=4, holding=0)]
    async with collecting(tcp(plc.port, timeout="50ms", max_gap=0), signals, intake):
        await intake.until_sampled(lambda: intake.tallies.get("unit 2", None) is not None)
        await intake.until_sampled(lambda: intake.tallies["unit 2"].state == "lost")
    one, two = intake.tallies["unit 1"], intake.tallies["unit 2"]
    assert (one.state, one.detail) == ("refuses", "unit 1 refuses holding 7")
    assert dict(one.counts)["exception 2, illegal data address"] >= 1
    assert dict(one.counts)["requests"] >= len(intake.values("u1"))
    assert one.answer_ms is not None
    assert one.slowest_ms is not None
    assert 0 < one.answer_ms <= one.slowest_ms < 1000
    assert two.detail == "unit 2 is lost: no answer within 0.05 s"
    assert dict(two.counts)["timeouts"] >= 2
    assert two.answer_ms is None
    assert intake.tallies["unit 4"].state == "answers"


async def test_counts_outlive_the_connection(plc: Device, intake: MemoryIntake) -> None:
    for _ in range(2):
        seen = len(intake.seen)
        async with collecting(tcp(plc.port), [signal("s", "u16", 60, holding=0)], intake):
            while len(intake.seen) == seen:
                await asyncio.sleep(0.005)
    assert dict(intake.tallies["unit 1"].counts)["requests"] == 2


async def test_slots_that_a_slow_unit_misses_are_counted(plc: Device, intake: MemoryIntake) -> None:
    await plc.tell("slow 1 60")
    async with collecting(tcp(plc.port), [signal("s", "u16", 0.02, holding=0)], intake):
        await intake.until(lambda: len(intake.values("s")) >= 8)
    assert dict(intake.tallies["unit 1"].counts)["missed slots"] >= 8
