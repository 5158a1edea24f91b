"""Writing to coils and registers: what is sent, what is read back, and what a device makes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from adapters import modbus
from adapters._modbus.rtu import sealed
from adapters._modbus.write import Write
from edge.contract import Done, DoneState, Signal, Target, WriteValue
from tests.adapters.modbus_support import (
    Device,
    build_device,
    collecting,
    device,
    serial_line,
    settings,
    signal,
    traced,
)
from tests.adapters.modbus_talk import host
from tests.adapters.modbus_write_support import place
from tests.support.intake import MemoryIntake


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_device(tmp_path_factory.mktemp("device"))


def targets(**places: Write) -> list[Target[Write]]:
    return [Target(name, address, timedelta(milliseconds=300)) for name, address in places.items()]


@asynccontextmanager
async def written(
    where: modbus.Settings, some: list[Target[Write]], signals: Sequence[Signal[modbus.Address]] = ()
) -> AsyncIterator[MemoryIntake]:
    intake = MemoryIntake("bus-1")
    intake.targets = some
    async with collecting(where, list(signals), intake):
        yield intake


@asynccontextmanager
async def tcp(
    program: Path,
    places: Mapping[str, Write] | None = None,
    *,
    signals: Sequence[Signal[modbus.Address]] = (),
    **more: Write,
) -> AsyncIterator[tuple[Device, MemoryIntake]]:
    async with device(program, "tcp") as plc:
        where = settings(host=f"tcp://127.0.0.1:{plc.port}", timeout="300ms", probe_every="300ms")
        async with written(where, targets(**(places or {}), **more), signals) as intake:
            yield plc, intake


async def done(
    intake: MemoryIntake, target: str, value: WriteValue, *, only_look: bool = False,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Done:  # fmt: skip
    number = intake.write(target, value, only_look=only_look, is_wanted=is_wanted)
    await intake.until_sampled(lambda: number in intake.done)
    return intake.done[number]


async def test_values_of_every_kind_are_written_in_one_request_and_read_back(program: Path) -> None:
    places = {
        "coil": place(coil=7), "u16": place(holding=10, as_="u16"), "bcd": place(holding=11, as_="bcd16"),
        "u32": place(holding=20, as_="u32", order="CDAB"), "f32": place(holding=22, as_="f32", order="DCBA"),
        "u64": place(holding=24, as_="u64", order="GHEFCDAB"),
        "scaled": place(holding=28, as_="u16", scale=0.1),
        "text": place(holding=30, as_="text", length=4), "far": place(holding=40, as_="u16", unit=9),
    }  # fmt: skip
    cases: list[tuple[str, WriteValue, str, str]] = [
        ("coil", True, "true", "1 coil 7 1"), ("u16", 1042, "1042", "1 holding 10 1042"),
        ("bcd", "1042", "1042", f"1 holding 11 {0x1042}"), ("u32", "70000", "70000", "1 holding 20 4464 1"),
        ("f32", 229.01, "229.00999450683594", f"1 holding 22 {0x8F02} {0x6543}"),
        ("u64", 1 << 48, str(1 << 48), "1 holding 24 0 0 0 1"), ("scaled", 22.9, "22.9", "1 holding 28 229"),
        ("text", "WO-1042", "WO-1042", "1 holding 30 22351 11569 12340 12800"),
        ("far", 5, "5", "9 holding 40 5"),
    ]  # fmt: skip
    known: set[str] = set()
    async with tcp(program, places) as (plc, intake):
        for target, value, found, wrote in cases:
            before = await done(intake, target, value, only_look=True)
            assert before.state is DoneState.OTHER
            assert await plc.wrote() == [""], "a look writes nothing"
            assert await done(intake, target, value) == Done(DoneState.THERE, found)
            assert await plc.wrote() == [wrote]
            assert await done(intake, target, value, only_look=True) == Done(DoneState.THERE, found)
            wide = target in ("u32", "f32", "u64", "text")
            used = {"5"} if target == "coil" else {"16"} if wide else {"6"}
            seen = set((await plc.asked("functions")).split()) - {"1", "3"}
            assert seen - known == used - known, "the plain function first"
            known |= seen


async def test_a_bit_is_written_and_its_neighbours_stay(program: Path) -> None:
    places = {
        "a": place(holding=50, bit=3),
        "b": place(holding=50, bit=4),
        "c": place(address="40052.0", bytes="little"),
    }
    async with tcp(program, places) as (plc, intake):
        await plc.set("holding", 50, 0xF0A1)
        assert await done(intake, "a", True) == Done(DoneState.THERE, "true")
        assert await done(intake, "c", True) == Done(DoneState.THERE, "true")
        assert await plc.wrote() == [f"1 holding 50 {0xF0A9}", "1 holding 51 256"]
        await plc.tell("lacks 22")
        both = await asyncio.gather(done(intake, "a", False), done(intake, "b", True))
        assert [one.state for one in both] == [DoneState.THERE] * 2
        assert await plc.tell("get holding 50") == 0xF0B1, "each was written back with the other's change"


@pytest.mark.parametrize(("lacking", "instead"), [(5, "coil 7 1"), (6, "holding 10 1")])
async def test_a_device_that_knows_one_function_of_two_is_asked_by_that(
    program: Path, lacking: int, instead: str
) -> None:
    async with tcp(program, coil=place(coil=7), register=place(holding=10, as_="u16")) as (plc, intake):
        await plc.tell(f"lacks {lacking}")
        for target in ("coil", "register"):
            assert (await done(intake, target, True)).state is DoneState.THERE
        assert f"1 {instead}" in await plc.wrote()


async def test_a_wide_value_is_never_written_in_parts(program: Path) -> None:
    async with tcp(program, wide=place(holding=10, as_="u32", words="big")) as (plc, intake):
        await plc.tell("lacks 16")
        told = await done(intake, "wide", 70_000)
        assert told == Done(
            DoneState.REFUSED,
            detail="unit 1 holding 10 to 11 cannot be written: the device does not know function 16, which "
            "writes it in one request for 2 registers (exception 1, illegal function)",
        )  # fmt: skip
        assert await plc.wrote() == [""]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, "has no such place, or lets nobody write it (exception 2, illegal data address)"),
        (3, "does not take this value there (exception 3"), (4, "failed while it wrote (exception 4"),
        (7, "exception 7, negative acknowledge"), (8, "exception 8, memory parity error"),
    ],
)  # fmt: skip
async def test_each_refusal_says_what_is_wrong(program: Path, code: int, words: str) -> None:
    async with tcp(program, x=place(holding=10, as_="u16"), y=place(holding=11, as_="u16")) as (plc, intake):
        await plc.tell(f"code 10 {code}")
        told = await done(intake, "x", 5)
        assert told.state is DoneState.REFUSED
        assert f"unit 1 holding 10 cannot be written: {words}" in told.detail.replace("the device ", "")
        read = await done(intake, "x", 5, only_look=True)
        assert read.state is DoneState.REFUSED
        assert "unit 1 holding 10 cannot be read: exception" in read.detail
        assert (await done(intake, "y", 5)).state is DoneState.THERE


async def test_a_device_that_is_busy_is_asked_again_in_a_moment(program: Path) -> None:
    async with tcp(program, x=place(holding=10, as_="u16")) as (plc, intake):
        await plc.tell("fault 1 6 2")
        assert await done(intake, "x", 5) == Done(DoneState.THERE, "5")
        assert await plc.wrote() == ["1 holding 10 5"]


async def test_a_value_that_does_not_fit_is_told_apart_and_nothing_is_sent(program: Path) -> None:
    async with tcp(program, x=place(holding=10, as_="u16")) as (plc, intake):
        for only_look in (True, False):
            told = await done(intake, "x", "WO-1", only_look=only_look)
            assert told == Done(DoneState.UNFIT, detail="the place is a u16: 'WO-1' does not fit there")
        assert await plc.wrote() == [""]


async def test_a_write_whose_answer_is_lost_is_looked_at_and_not_repeated(program: Path) -> None:
    async with tcp(program, x=place(holding=10, as_="u16")) as (plc, intake):
        assert (await done(intake, "x", 5, only_look=True)).state is DoneState.OTHER
        await plc.tell("lie unit 1")
        assert await done(intake, "x", 5) == Done(DoneState.THERE, "5")
        assert await plc.wrote() == ["1 holding 10 5"]


async def test_a_unit_that_does_not_answer_is_told_in_words(program: Path) -> None:
    async with tcp(
        program, signals=[signal("press.good", "u16", holding=0)], x=place(holding=10, as_="u16", unit=3)
    ) as (plc, intake):
        await plc.tell("mute 3")
        told = await done(intake, "x", 5)
        assert told.state is DoneState.SILENT
        assert "unit 3" in told.detail
        assert "no answer within 0.3 s" in told.detail
        seen = len(intake.values("press.good"))
        await intake.until(lambda: len(intake.values("press.good")) > seen + 3)
        await plc.tell("speak 3")
        async with asyncio.timeout(10):
            while (await done(intake, "x", 5)).state is not DoneState.THERE:
                await asyncio.sleep(0.05)
        assert await plc.wrote() == ["3 holding 10 5"]


async def test_what_is_not_wanted_any_more_at_its_turn_is_not_sent(program: Path) -> None:
    async with tcp(program, x=place(holding=10, as_="u16"), bit=place(holding=11, bit=0)) as (plc, intake):
        await plc.tell("lacks 22")
        for target in ("x", "bit"):
            told = await done(intake, target, 1, is_wanted=lambda: False)
            assert told == Done(DoneState.STALE, detail="another value was wanted before it was written")
        asked = iter([True, True, False])
        told = await done(intake, "bit", 1, is_wanted=lambda: next(asked))
        assert told.state is DoneState.STALE, "by hand it is asked once more after the read"
        assert await plc.wrote() == [""]


async def test_what_the_device_does_not_keep_is_told_as_it_reads_back(program: Path) -> None:
    signals = [signal("press.good", "u16", holding=0)]
    async with tcp(program, signals=signals, x=place(holding=10, as_="f32", words="big")) as (plc, intake):
        await plc.set("holding", 10, 0x7FC0, 0)
        assert await done(intake, "x", 1.0, only_look=True) == Done(
            DoneState.OTHER, "7FC0 0000 (hexadecimal)"
        )
        functions = await plc.asked("functions")
        assert not {"5", "6", "15", "16", "22"} & set(functions.split()), "nothing is written unasked"


async def test_on_a_serial_line_it_is_the_same(program: Path, tmp_path: Path) -> None:
    places = targets(
        coil=place(coil=7, unit=3), bit=place(holding=50, bit=3, unit=3),
        order=place(holding=30, as_="text", length=4, unit=3),
    )  # fmt: skip
    async with serial_line(tmp_path) as (theirs, ours, _), device(program, "rtu", theirs, "3") as plc:
        where = settings(port=ours, parity="none", timeout="300ms", worst_answer="100ms")
        async with written(where, places, [signal("press.good", "u16", holding=0, unit=3)]) as intake:
            assert await done(intake, "coil", True) == Done(DoneState.THERE, "true")
            assert await done(intake, "bit", True) == Done(DoneState.THERE, "true")
            assert await done(intake, "order", "WO-1") == Done(DoneState.THERE, "WO-1")
            assert await plc.wrote() == ["3 coil 7 1", "3 holding 50 8", "3 holding 30 22351 11569 0 0"]


async def test_a_unit_that_is_only_written_is_asked_when_it_connects_and_once_in_a_while(
    program: Path, tmp_path: Path
) -> None:
    async with tcp(program, x=place(holding=10, as_="u16", unit=3)) as (plc, intake):
        await told_of(lambda: intake.connections == 1)
        await plc.tell(f"trace {tmp_path / 'trace'}")
        await told_of(lambda: len(traced(tmp_path / "trace")) > 2)
        assert {(one.unit, one.function) for one in traced(tmp_path / "trace")} == {(3, 3)}
        assert await plc.wrote() == [""], "it is only looked whether the unit is there"


async def told_of(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_confirmation_does_not_rest_on_one_answer() -> None:
    """The device takes no write, and an answer from before is repeated right after the read that is to
    confirm it: on a serial line nothing tells it from the true one."""
    held, sent = [5], list[bytes]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            ask = await reader.readexactly(8)
            if ask[1] != 3:
                writer.write(ask)  # the echo of a write that is not done
                held[:] = [7]
                continue
            count = ask[5]
            answer = sealed(bytes((1, 3, 2 * count)) + b"".join(held[0].to_bytes(2) for _ in range(count)))
            old = [one for one in sent if len(one) == len(answer) and one != answer]
            if old:
                writer.write(old[-1])
                sent.clear()
                await asyncio.sleep(0.02)
            else:
                sent.append(answer)
            writer.write(answer)

    async with host(talk) as port:
        where = settings(host=f"rtu+tcp://127.0.0.1:{port}", timeout="300ms", worst_answer="100ms")
        async with written(where, targets(x=place(holding=10, as_="u16"))) as intake:
            assert (await done(intake, "x", 5, only_look=True)).state is DoneState.THERE
            assert (await done(intake, "x", 5)).state is DoneState.OTHER
