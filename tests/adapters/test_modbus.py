"""The Modbus source against devices on libmodbus: TCP, and RTU over a pair of serial ports."""

import asyncio
import fcntl
import itertools
import os
import statistics
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from adapters import modbus
from adapters._modbus.lines import Parity, SerialLine
from edge.contract import Observation, Outcome, SourceLost
from tests.adapters import modbus_source_support
from tests.adapters.modbus_source_support import bad, rtu, tcp
from tests.adapters.modbus_support import (
    Device,
    collecting,
    device,
    serial_line,
    signal,
)
from tests.support.intake import MemoryIntake

intake = modbus_source_support.intake
_quiet_log = modbus_source_support._quiet_log


def halfwords(form: str, value: float) -> tuple[int, ...]:
    raw = struct.pack(f">{form}", value)
    return struct.unpack(f">{len(raw) // 2}H", raw)


# --- values -----------------------------------------------------------------------------------


async def test_every_table_and_kind_is_read(plc: Device, intake: MemoryIntake) -> None:
    await plc.set("holding", 0, 65535, *halfwords("I", 90211), *halfwords("I", 90211)[::-1])
    await plc.set("holding", 10, *halfwords("d", -229.01), *halfwords("f", 1.5), 0b100)
    await plc.set("input", 7, 41)
    await plc.set("coil", 3, 1)
    await plc.set("discrete", 999, 1)
    wanted = {
        "plain": (signal("plain", "u16", holding=0), 65535),
        "signed": (signal("signed", "i16", holding=0), -1),
        "big": (signal("big", "u32", holding=1, words="big"), 90211),
        "little": (signal("little", "u32", holding=3, words="little"), 90211),
        "double": (signal("double", "f64", holding=10, words="big"), -229.01),
        "float": (signal("float", "f32", holding=14, words="big"), 1.5),
        "bit": (signal("bit", holding=16, bit=2), True),
        "off": (signal("off", holding=16, bit=3), False),
        "input": (signal("input", "u16", input=7), 41),
        "coil": (signal("coil", coil=3), True),
        "discrete": (signal("discrete", discrete=999), True),
    }
    async with collecting(tcp(plc), [one for one, _ in wanted.values()], intake):
        await intake.until(lambda: {one.signal for one in intake.seen} == wanted.keys())
    assert {name: intake.values(name)[0] for name in wanted} == {n: value for n, (_, value) in wanted.items()}
    assert intake.connections == 1


async def test_neighbours_share_a_request_and_its_values_one_emit(plc: Device) -> None:
    sizes: list[int] = []

    class Counting(MemoryIntake):
        async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
            sizes.append(len(observations))
            return await super().emit(observations)

    intake = Counting("plc")
    signals = [signal(f"s{at}", "u16", every=30, holding=at) for at in range(0, 90, 9)]
    async with collecting(tcp(plc), signals, intake):
        await intake.until(lambda: len(intake.seen) == 10)
    assert sizes == [10]
    assert await plc.tell("count") == 1


async def test_every_reading_is_handed_over_changed_or_not(plc: Device, intake: MemoryIntake) -> None:
    async with collecting(tcp(plc), [signal("still", "u16", every=0.02, holding=0)], intake):
        await intake.until(lambda: len(intake.values("still")) >= 5)
    assert set(intake.values("still")) == {0}


async def test_a_float_that_is_no_number_is_bad_until_it_is_one(plc: Device, intake: MemoryIntake) -> None:
    await plc.set("holding", 0, 0x7FC0, 0)
    signals = [signal("f", "f32", holding=0, words="big"), signal("n", "u16", holding=2)]
    async with collecting(tcp(plc), signals, intake):
        await intake.until(lambda: len(intake.values("n")) >= 3)
        assert bad(intake, "f") == ["unit 1 holding 0 holds no number"]
        await plc.set("holding", 0, 0x3F80)
        await intake.until(lambda: intake.values("f")[-1:] == [1.0])


# --- cadence and hand-over ----------------------------------------------------------------------


class SlowDisk(MemoryIntake):
    """Every emit takes a quarter of a second, as a commit on a flash card may."""

    commit_s = 0.25

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.handed: dict[int, int] = {}
        """When the answer to each ask was handed over, in ms."""

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.handed |= {one.answers: self.observe("clock", 0).mono_ms for one in observations}
        await asyncio.sleep(self.commit_s)
        return await super().emit(observations)


async def test_a_slow_disk_changes_neither_cadence_nor_order(plc: Device) -> None:
    intake = SlowDisk("plc")
    async with collecting(tcp(plc), [signal("s", "u16", every=0.05, holding=0)], intake):
        await intake.until(lambda: len(intake.seen) >= 20)
    times = [one.mono_ms for one in intake.seen]
    assert times == sorted(times)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert abs(statistics.median(steps) - 50) <= 10, steps
    assert sum(steps) > 50 * (len(steps) - 1), "a missed slot was caught up"


async def test_readings_that_are_not_recorded_end_nothing(plc: Device, intake: MemoryIntake) -> None:
    intake.failing = True
    async with collecting(tcp(plc), [signal("s", "u16", every=0.02, holding=0)], intake):
        while await plc.tell("look") < 5:
            await asyncio.sleep(0.01)
        intake.failing = False
        await intake.until(lambda: len(intake.seen) >= 3)


# --- fresh reads --------------------------------------------------------------------------------


async def test_an_ask_is_answered_at_once_and_from_the_wire(plc: Device, intake: MemoryIntake) -> None:
    names = ["total", "reject", "other"]
    signals = [signal(name, every=60, holding=at, **{"as": "u16"}) for at, name in enumerate(names)]
    async with collecting(tcp(plc), signals, intake):
        await intake.until(lambda: len(intake.seen) == 3)
        await plc.set("holding", 0, 412, 3)
        await plc.tell("count")
        before = intake.observe("clock", 0).mono_ms
        number = intake.ask("total", "reject", "somebody else's")
        await intake.until(lambda: len(intake.seen) == 5, 2)
    answers = [(one.signal, one.value, one.answers) for one in intake.seen[3:]]
    assert answers == [("total", 412, number), ("reject", 3, number)]
    assert intake.seen[-1].mono_ms - before < 100
    assert await plc.tell("count") == 1


async def test_an_ask_is_answered_though_bus_and_disk_are_busy(plc: Device) -> None:
    intake = SlowDisk("plc")
    intake.commit_s = 2.0
    signals = [signal(f"s{at}", "u16", every=0.005, holding=9 * at) for at in range(100)]
    async with collecting(tcp(plc, max_gap=0), signals, intake):
        while await plc.tell("look") < 500:
            await asyncio.sleep(0.01)
        number = intake.ask("s3", "s4")
        before = intake.observe("clock", 0).mono_ms
        await intake.until(lambda: len([one for one in intake.seen if one.answers == number]) == 2)
    assert intake.handed[number] - before < 100
    mine = [one.mono_ms for one in intake.seen if one.signal == "s3"]
    assert mine == sorted(mine)


# --- the serial line ----------------------------------------------------------------------------


async def test_rtu_reads_and_owns_the_port(program: Path, tmp_path: Path, intake: MemoryIntake) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "7") as plc:
        await plc.set("holding", 0, 17, *halfwords("I", 90211)[::-1])
        signals = [
            signal("a", "u16", unit=7, holding=0),
            signal("b", "u32", unit=7, holding=1, words="little"),
            signal("c", unit=7, coil=0),
        ]
        async with collecting(rtu(near), signals, intake):
            await intake.until(lambda: len(intake.values("c")) >= 2)
            with pytest.raises(SourceLost, match="another program has it open"):
                await modbus.collect(rtu(near), signals, MemoryIntake("second"))
        assert intake.values("a")[0] == 17
        assert intake.values("b")[0] == 90211
        port = os.open(near, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(port)


async def test_rtu_sets_speed_and_stop_bits(program: Path, tmp_path: Path, intake: MemoryIntake) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1"):
        how = rtu(near, baud=9600, stop_bits=2)
        async with collecting(how, [signal("s", coil=0)], intake):
            await intake.until(lambda: bool(intake.seen))
            port = os.open(near, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            _, _, flags, _, _, speed, _ = termios.tcgetattr(port)
            os.close(port)
    assert speed == termios.B9600
    assert flags & termios.CSTOPB


@pytest.mark.parametrize(("parity", "letter"), [("none", "N"), ("even", "E"), ("odd", "O")])
async def test_rtu_asks_the_driver_for_the_parity(parity: Parity, letter: str) -> None:
    """A pseudo terminal has no parity to look at."""
    assert SerialLine("/dev/ttyS0", 9600, parity, 1).parity_letter == letter


async def test_rtu_a_line_where_nobody_answers_is_lost(tmp_path: Path, intake: MemoryIntake) -> None:
    async with serial_line(tmp_path) as (_, near, _):
        how = rtu(near, timeout="50ms", worst_answer="50ms")
        with pytest.raises(SourceLost, match="no unit answers; unit 3 coil 0: no answer within"):
            await asyncio.wait_for(modbus.collect(how, [signal("s", unit=3, coil=0)], intake), 5)


async def test_rtu_an_unplugged_port_is_lost(program: Path, tmp_path: Path, intake: MemoryIntake) -> None:
    async with serial_line(tmp_path) as (far, near, unplug), device(program, "rtu", far, "1"):
        task = asyncio.create_task(modbus.collect(rtu(near), [signal("s", every=60, coil=0)], intake))
        await intake.until(lambda: bool(intake.seen))
        await unplug()
        with pytest.raises(SourceLost, match="the port is gone"):
            await asyncio.wait_for(task, 5)


# --- an independent client ----------------------------------------------------------------------


async def mbpoll(*arguments: str) -> list[str]:
    """The values that mbpoll prints, one for each address."""
    process = await asyncio.create_subprocess_exec(
        "mbpoll", "-0", "-1", "-q", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 5)
    assert process.returncode == 0, out
    return [line.split(":", 1)[1].strip() for line in out.decode().splitlines() if line.startswith("[")]


async def test_mbpoll_reads_the_same_over_tcp(plc: Device, intake: MemoryIntake) -> None:
    await plc.set("holding", 0, *halfwords("f", 229.01), *halfwords("f", -0.5)[::-1], *halfwords("i", -90211))
    await plc.set("input", 0, 4711)
    signals = [
        signal("abcd", "f32", holding=0, words="big"),
        signal("cdab", "f32", holding=2, words="little"),
        signal("int", "i32", holding=4, words="big"),
        signal("input", "u16", input=0),
    ]
    async with collecting(tcp(plc), signals, intake):
        await intake.until(lambda: {one.signal for one in intake.seen} == {one.name for one in signals})
    at = ("-m", "tcp", "-p", str(plc.port))
    theirs = [
        (await mbpoll(*at, "-r", "0", "-t", "4:float", "-B", "127.0.0.1"))[0],
        (await mbpoll(*at, "-r", "2", "-t", "4:float", "127.0.0.1"))[0],
        (await mbpoll(*at, "-r", "4", "-t", "4:int", "-B", "127.0.0.1"))[0],
        (await mbpoll(*at, "-r", "0", "-t", "3", "127.0.0.1"))[0],
    ]
    ours = [intake.values(one.name)[0] for one in signals]
    assert [f"{value:g}" for value in ours if isinstance(value, float | int)] == [
        f"{float(text):g}" for text in theirs
    ]


async def test_mbpoll_reads_the_same_over_rtu(program: Path, tmp_path: Path, intake: MemoryIntake) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "7") as plc:
        await plc.set("holding", 40, 1, 2, 65535)
        signals = [signal(f"s{at}", "u16", unit=7, holding=at) for at in (40, 41, 42)]
        async with collecting(rtu(near), signals, intake):
            await intake.until(lambda: len(intake.seen) >= 3)
        at = ("-m", "rtu", "-b", "19200", "-P", "none", "-a", "7", "-r", "40", "-c", "3", "-t", "4:hex")
        theirs = await mbpoll(*at, near)
    assert [int(text, 16) for text in theirs] == [intake.values(f"s{at}")[0] for at in (40, 41, 42)]


# --- cancelling ---------------------------------------------------------------------------------


def open_sockets() -> int:
    names = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
    return len([name for name in names if name.startswith("socket:")])


async def test_cancelling_at_any_moment_ends_it_and_closes_the_connection(
    plc: Device, intake: MemoryIntake
) -> None:
    before = open_sockets()
    for step in range(60):
        what = [signal("s", "u16", every=0.001, holding=0)]
        async with collecting(tcp(plc), what, intake) as task:
            await asyncio.sleep(step * 0.0005)
        assert task.cancelled()
    while open_sockets() > before:
        await asyncio.sleep(0.01)
    assert intake.seen
