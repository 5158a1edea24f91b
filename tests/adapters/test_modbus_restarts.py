"""A device on libmodbus that says who it is: its word comes before the values that it explains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from adapters import modbus
from edge.contract import Observation, Quality, SourceLost
from edge.observation import DEVICE, DeviceWord
from edge.production.line import Role
from edge.production.losses import Gap
from tests.adapters.modbus_support import Device, device, serial_line, settings, signal
from tests.support.intake import MemoryIntake
from tests.support.line import Core, counter, line, station

SERIAL = {"holding": 210, "as": "u16"}
UPTIME = {"holding": 200, "as": "u32", "words": "big", "tick": "1ms"}
HEARTBEAT = {"holding": 202, "as": "u16", "within": "400ms"}
TOTAL, STATE = "press.total", "press.state"
SIGNALS = [
    signal(TOTAL, "u16", unit=3, holding=100), signal(STATE, "u16", unit=3, holding=300),
    signal("other.total", "u16", unit=4, holding=100),
]  # fmt: skip


def words(intake: MemoryIntake) -> list[DeviceWord]:
    return [one.value for one in intake.seen if isinstance(one.value, DeviceWord)]


def counts(intake: MemoryIntake) -> list[Observation]:
    return [one for one in intake.seen if one.signal in (TOTAL, DEVICE)]


async def set_up(plc: Device, first: int = 500, serial: int = 7) -> None:
    await plc.tell(f"counter 3 100 16 0 {first}")
    await plc.tell("counter 3 200 32 1000 0")
    await plc.tell("counter 3 202 16 20 0")
    await plc.tell(f"set holding 210 {serial}")


@asynccontextmanager
async def lines(kind: str, program: Path, folder: Path) -> AsyncIterator[tuple[Device, dict[str, Any]]]:
    """A device that keeps its state over a restart, and the keys of its source."""
    state = str(folder / "state")
    if kind == "tcp":
        async with device(program, "tcp", "0", state) as plc:
            yield plc, {"host": f"tcp://127.0.0.1:{plc.port}"}
    else:
        async with serial_line(folder) as (far, near, _), device(program, "rtu", far, "3,4", state) as plc:
            yield plc, {"port": near, "baud": 115200, "worst_answer": "100ms"}


@asynccontextmanager
async def collected(intake: MemoryIntake, keys: dict[str, Any], **unit: Any) -> AsyncIterator[None]:
    """The source, begun again whenever its connection is lost."""
    how = settings(**{"timeout": "200ms", **keys}, unit={"3": unit})

    async def collect() -> None:
        while True:
            with suppress(SourceLost):
                await modbus.collect(how, SIGNALS, intake)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(collect())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_seen(intake: MemoryIntake, value: int) -> None:
    await intake.until(lambda: value in intake.values(TOTAL))


def just_before(intake: MemoryIntake, value: int) -> DeviceWord:
    """What was handed over right before this count came for the first time."""
    seen = counts(intake)
    place = next(at for at, one in enumerate(seen) if one.value == value)
    word = seen[place - 1].value
    assert isinstance(word, DeviceWord), seen[max(0, place - 3) : place + 1]
    return word


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_a_restart_is_told_before_the_first_value_after_it(
    kind: str, program: Path, tmp_path: Path
) -> None:
    intake = MemoryIntake("bus")
    async with lines(kind, program, tmp_path) as (plc, keys):
        await set_up(plc)
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME, identity_every="60s"):
            await until_seen(intake, 500)
            before = just_before(intake, 500)
            assert (before.device, before.signals, before.serial) == ("bus unit 3", (TOTAL, STATE), "7")
            await plc.tell("add 3 200 90000")
            await plc.kill()
            await plc.start()
            await until_seen(intake, 0)
    after = just_before(intake, 0)
    assert after.uptime_ms is not None
    assert after.uptime_ms < 20_000
    assert after.turns_ms == 1 << 32


async def test_a_counter_that_goes_back_is_explained_though_no_answer_was_missed(
    program: Path, tmp_path: Path
) -> None:
    """So fast that every poll was answered: the identity is read because of the count alone."""
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME, identity_every="60s"):
            await intake.until(lambda: intake.values(TOTAL).count(500) > 5)
            told = len(words(intake))
            await plc.tell("set holding 210 8")
            await plc.tell("add 3 100 5")
            await until_seen(intake, 505)
            assert len(words(intake)) == told
            await plc.tell("set holding 100 3")
            await until_seen(intake, 3)
    assert just_before(intake, 3).serial == "8"


async def test_a_unit_that_was_lost_says_who_it_is_before_anything_else(
    program: Path, tmp_path: Path
) -> None:
    """Another unit keeps the connection. When it is back its uptime is higher than it was said last."""
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        keys |= {"probe_every": "200ms"}
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME, identity_every="60s"):
            await until_seen(intake, 500)
            for total, uptime_ms in ((10, 0), (20, 5_000), (30, 10_000)):
                seen = len(intake.seen)
                await plc.tell("mute 3")
                await intake.until(lambda seen=seen: any(  # type: ignore[misc]
                    one.signal == TOTAL and one.quality is Quality.BAD for one in intake.seen[seen:]
                ))  # fmt: skip
                await plc.tell(f"counter 3 200 32 1000 {uptime_ms}")
                await plc.tell(f"counter 3 100 16 0 {total}")
                await plc.tell("speak 3")
                await until_seen(intake, total)
                told_ms = just_before(intake, total).uptime_ms
                assert told_ms is not None
                assert told_ms >= uptime_ms


@pytest.mark.parametrize("code", [5, 6])
async def test_a_unit_that_is_too_busy_to_say_who_it_is_is_asked_again(
    code: int, program: Path, tmp_path: Path
) -> None:
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME, identity_every="60s"):
            await until_seen(intake, 500)
            await plc.tell(f"code 200 {code}")
            await plc.tell("counter 3 200 32 1000 0")
            await plc.tell("set holding 100 3")
            await plc.tell("count")
            polled = 0
            while polled < 8:
                await asyncio.sleep(0.02)
                polled += await plc.tell("count")
            assert 3 not in intake.values(TOTAL)
            await plc.tell("code 200 0")
            await until_seen(intake, 3)
    told_ms = just_before(intake, 3).uptime_ms
    assert told_ms is not None
    assert told_ms < 60_000


async def test_a_unit_that_refuses_to_say_who_it_is_counts_as_before(program: Path, tmp_path: Path) -> None:
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        await plc.tell("code 210 2")
        await plc.tell("code 200 2")
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME, identity_every="200ms"):
            await until_seen(intake, 500)
            await plc.tell("set holding 100 2")
            await until_seen(intake, 2)
            await plc.tell("add 3 100 1")
            await until_seen(intake, 3)
    assert words(intake) == []


async def test_a_unit_that_says_one_of_two_things_is_told_of(program: Path, tmp_path: Path) -> None:
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        await plc.tell("code 200 2")
        async with collected(intake, keys, serial=SERIAL, uptime=UPTIME):
            await until_seen(intake, 500)
    word = just_before(intake, 500)
    assert (word.serial, word.uptime_ms) == ("7", None)


async def test_a_program_that_stands_still_makes_its_unit_bad_and_no_other(
    program: Path, tmp_path: Path
) -> None:
    intake = MemoryIntake("bus")
    async with lines("rtu", program, tmp_path) as (plc, keys):
        await set_up(plc)
        async with collected(intake, keys, heartbeat=HEARTBEAT):
            await until_seen(intake, 500)
            await plc.tell("rate 3 202 0")
            await intake.until(lambda: len(bad(intake)) == 2)
            await plc.tell("add 3 100 4")
            others = len(intake.values("other.total"))
            await intake.until(lambda: len(intake.values("other.total")) > others + 3)
            assert len(bad(intake)) == 2, "it is said once for each signal"
            assert 504 not in intake.values(TOTAL)
            await plc.tell("rate 3 202 20")
            await until_seen(intake, 504)
    assert {one.signal for one in bad(intake)} == {TOTAL, STATE}
    assert "heartbeat (holding 202) has not changed for 0.4 s" in bad(intake)[0].detail
    assert words(intake) == []


def bad(intake: MemoryIntake) -> list[Observation]:
    return [one for one in intake.seen if one.quality is Quality.BAD]


async def test_what_was_not_recorded_is_told_again(program: Path, tmp_path: Path) -> None:
    """The disk was full when the device said that it is another one."""
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc)
        async with collected(intake, keys, serial=SERIAL, identity_every="60s"):
            await until_seen(intake, 500)
            intake.failing = True
            await plc.tell("set holding 210 8")
            await plc.tell("set holding 100 3")
            polled = await plc.tell("count")
            while polled < 20:  # and nothing of it was recorded
                await asyncio.sleep(0.02)
                polled += await plc.tell("count")
            assert {one.serial for one in words(intake)} == {"7"}
            intake.failing = False
            await intake.until(lambda: words(intake)[-1].serial == "8")


async def test_a_restart_of_which_one_answer_is_missed_is_not_certain(program: Path, tmp_path: Path) -> None:
    """Soon after the one before: by its uptime, in seconds, it only went on, and its count is higher."""
    intake = MemoryIntake("bus")
    async with lines("tcp", program, tmp_path) as (plc, keys):
        await set_up(plc, first=5)
        await plc.tell("counter 3 200 32 1 0")
        keys |= {"timeout": "500ms"}
        async with collected(intake, keys, uptime=UPTIME | {"tick": "1s"}, identity_every="60s"):
            await until_seen(intake, 5)
            await plc.tell("mute 3")
            await plc.tell("counter 3 200 32 1 0")
            await plc.tell("set holding 100 8")
            while await plc.tell("count"):  # a request waits for its answer, and with it all others
                await asyncio.sleep(0.15)
            await plc.tell("speak 3")
            await until_seen(intake, 8)
    assert bad(intake) == []
    assert just_before(intake, 8).was_out_of_sight
    core = Core(line(station("press", counter("press", Role.TOTAL, 16))))
    for one in counts(intake):
        core.see(one)
    gaps = [event.data for event in core.events if isinstance(event.data, Gap)]
    assert [(gap.recovered, gap.certain) for gap in gaps] == [(3, False)]
    assert [count.quality for count in core.counts()] == ["baseline", "uncertain"]
