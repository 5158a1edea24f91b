"""Writing to coils and registers: what is sent, what is read back, and what a device makes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import WriteMultipleCoilsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from adapters import modbus
from adapters._modbus.orders import Order
from adapters._modbus.rtu import sealed
from adapters._modbus.write import Write
from adapters._writes import MisfitError
from edge.config import load
from edge.contract import Done, DoneState, Signal, Span, Target, WriteValue
from edge.errors import ConfigError
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
from tests.support.intake import MemoryIntake

# --- one request -------------------------------------------------------------------------------------

CELL = st.integers(0, 65_535)


def pdu(request: ModbusPDU) -> bytes:
    return bytes((request.function_code,)) + request.encode()


@given(
    CELL, CELL, st.booleans(), st.lists(CELL, min_size=1, max_size=123), st.lists(st.booleans(), min_size=1)
)
def test_requests_are_those_of_another_library(
    start: int, value: int, bit: bool, registers: list[int], bits: list[bool]
) -> None:
    for order, other in (
        (Order(3, 5, start, (int(bit),)), WriteSingleCoilRequest(address=start, bits=[bit])),
        (Order(3, 6, start, (value,)), WriteSingleRegisterRequest(address=start, registers=[value])),
        (Order(3, 15, start, tuple(map(int, bits))), WriteMultipleCoilsRequest(address=start, bits=bits)),
        (
            Order(3, 16, start, tuple(registers)),
            WriteMultipleRegistersRequest(address=start, registers=registers),
        ),
        (Order(3, 22, start, (value, 7)), MaskWriteRegisterRequest(address=start, and_mask=value, or_mask=7)),
    ):
        assert order.pdu == pdu(other)


def test_an_order_is_confirmed_by_its_echo_or_its_extent() -> None:
    assert Order(3, 6, 100, (7,)).echo == bytes.fromhex("0600640007")
    assert Order(3, 16, 100, (7, 8)).echo == bytes.fromhex("1000640002")
    assert Order(3, 15, 100, (1, 0, 1)).echo == bytes.fromhex("0f00640003")
    assert str(Order(3, 16, 100, (7, 8))) == "unit 3 holding 100 to 101 (function 16)"
    assert str(Order(3, 22, 100, (7, 8))) == "unit 3 holding 100 (function 22)"
    assert str(Order(3, 5, 2, (1,))) == "unit 3 coil 2 (function 5)"


# --- a place in the file ---------------------------------------------------------------------------------


def place(**keys: Any) -> Write:
    """Such as `place(holding=100, as_="u32", order="CDAB")`."""
    return Write.model_validate({key.rstrip("_"): value for key, value in keys.items()})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"coil": 5, "unit": 0}, "unit 0 is everybody"),
        ({"input": 5, "as_": "u16"}, "nobody can write an input register"),
        ({"discrete": 5}, "nobody can write a discrete input"),
        ({"address": 30_005, "as_": "u16"}, "nobody can write"),
        ({"holding": 5, "as_": "u16", "count": 4}, "single values"),
        ({"holding": 5, "as_": "u16", "together": "a"}, "single values"),
        ({"holding": 5, "as_": "u16", "priority": "low"}, "single values"),
        ({"holding": 5, "as_": "text", "length": 124}, "123 registers"),
        ({"holding": 5, "as_": "u16", "invalid": 0}, "leave out invalid"),
        ({"holding": 5, "as_": "text", "length": 4, "header": "s7"}, "a text with a header is only read"),
        ({"holding": 5}, "say what the register holds"),
        ({"coil": 5, "holding": 5, "as_": "u16"}, "exactly one"),
        ({}, "exactly one"),
        ({"holding": 5, "as_": "u32"}, "words"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        place(**keys)


CASES: list[tuple[dict[str, Any], WriteValue, tuple[int, ...]]] = [
    ({"coil": 5}, True, (1,)), ({"coil": 5}, 0, (0,)), ({"address": "00006"}, True, (1,)),
    ({"holding": 5, "as_": "u16"}, True, (1,)), ({"holding": 5, "as_": "u16"}, "1042", (1042,)),
    ({"holding": 5, "as_": "u16", "bytes": "little"}, 1, (256,)),
    ({"holding": 5, "as_": "i16"}, -2, (65_534,)), ({"address": 40_006, "as_": "u16"}, 7.0, (7,)),
    ({"holding": 5, "as_": "u32", "words": "big"}, "70000", (1, 4464)),
    ({"holding": 5, "as_": "u32", "order": "CDAB"}, 70_000, (4464, 1)),
    ({"holding": 5, "as_": "f32", "order": "DCBA"}, 229.01, (0x8F02, 0x6543)),
    ({"holding": 5, "as_": "u16", "scale": 0.1}, 229.1, (2291,)),
    ({"holding": 5, "as_": "u16", "scale": 0.1}, True, (10,)),
    ({"holding": 5, "as_": "bcd16"}, "1042", (0x1042,)),
    ({"holding": 5, "as_": "bool"}, True, (1,)), ({"holding": 5, "bit": 3}, True, (1,)),
    ({"address": "40006.3"}, False, (0,)),
    ({"holding": 5, "as_": "text", "length": 3}, "WO-1", (0x574F, 0x2D31, 0)),
    ({"holding": 5, "as_": "text", "length": 2, "bytes": "little"}, "ab", (0x6261, 0)),
    ({"holding": 5, "as_": "text", "length": 2}, True, (0x7472, 0x7565)),
    ({"holding": 5, "as_": "text", "length": 2}, "", (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "cells"), CASES)
def test_a_value_becomes_what_the_place_holds(
    keys: dict[str, Any], value: WriteValue, cells: tuple[int, ...]
) -> None:
    assert place(**keys).cells(value) == cells
    assert place(**keys).unfit(value) == ""


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        ({"coil": 5}, 2, "does not fit there"), ({"coil": 5}, "1", "does not fit there"),
        ({"holding": 5, "bit": 3}, 2, "does not fit there"),
        ({"holding": 5, "as_": "u16"}, "WO-1", "the place is a u16: 'WO-1' does not fit there"),
        ({"holding": 5, "as_": "u16"}, "", "does not fit there"),
        ({"holding": 5, "as_": "u16"}, "٣", "does not fit there"),
        ({"holding": 5, "as_": "u16"}, 70_000, "70000 does not fit: u16 holds 0 to 65535"),
        ({"holding": 5, "as_": "u16"}, -1, "does not fit"),
        ({"holding": 5, "as_": "u16"}, 0.5, "no whole number of steps"),
        ({"holding": 5, "as_": "u16", "scale": 0.1}, 0.25, "no whole number of steps of 0.1"),
        ({"holding": 5, "as_": "bcd16"}, 10_000, "0 to 9999"),
        ({"holding": 5, "as_": "u16", "scale": -0.5}, 1, "u16 holds -32767.5 to 0"),
        ({"holding": 5, "as_": "f32", "words": "big"}, 1e39, "more than f32 holds"),
        ({"holding": 5, "as_": "text", "length": 2}, "WO-10", "5 bytes, and 4 fit"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_in_words(
    keys: dict[str, Any], value: WriteValue, words: str
) -> None:
    with pytest.raises(MisfitError) as refused:
        place(**keys).cells(value)
    assert words in str(refused.value)
    assert place(**keys).unfit(value) == str(refused.value)


VALUES = st.one_of(
    st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(-1e15, 1e15),
    st.text(max_size=12),
)  # fmt: skip
KINDS = ("u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bcd64", "bool", "text")


@given(st.sampled_from(KINDS), st.sampled_from(("big", "little")), st.sampled_from(("big", "little")), VALUES)
def test_whatever_is_wanted_fits_or_is_refused(kind: str, words: str, octets: str, value: WriteValue) -> None:
    length = {"length": 6} if kind == "text" else {}
    order = {} if kind in ("u16", "i16", "bcd16", "bool", "text") else {"words": words}
    one = place(holding=5, as_=kind, bytes=octets, **length, **order)
    if one.unfit(value):
        return
    cells = one.cells(value)
    assert len(cells) == one.width
    assert all(0 <= cell <= 65_535 for cell in cells)
    held = one.decode()(cells, 0)
    if kind == "text":
        assert held == (str(value).lower() if isinstance(value, bool) else str(value))
    elif kind not in ("f32", "f64"):
        assert held == (int(value) if isinstance(value, str) else value)


def test_two_places_that_share_a_bit_overlap() -> None:
    whole, wide = place(holding=100, as_="u16"), place(holding=99, as_="u32", words="big")
    third, swapped = place(holding=100, bit=3), place(holding=100, bit=11, bytes="little")
    apart = [place(holding=101, as_="u16"), place(coil=100), place(holding=100, as_="u16", unit=2)]
    assert third.span() == swapped.span() == Span("unit 1 holding", 1603, 1604)
    assert place(coil=5).span() == modbus.Switch(coil=5).span()
    assert third.span() == modbus.Switch(holding=100, bit=3).span()
    for one in (whole, wide, third):
        assert one.span().overlaps(whole.span())
        assert modbus.Switch(holding=100).span().overlaps(one.span())
        assert not any(one.span().overlaps(other.span()) for other in apart)
    assert not third.span().overlaps(place(holding=100, bit=4).span())


LINE = """
[line]
name = "line-1"

[source.bus-1]
type = "modbus"
host = "tcp://127.0.0.1:1502"

[source.gun-1]
type = "serial-scanner"
port = "/dev/ttyS9"

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
good = {{ source = "bus-1", holding = 0, as = "u16" }}

[station.feedback]
source = "bus-1"
accepted = {{ holding = 50, bit = 1 }}
{writes}
"""


def write_line(folder: Path, *tables: str) -> Path:
    writes = "".join(f'\n[[station.write]]\nsource = "bus-1"\n{table}\n' for table in tables)
    file = folder / "line.toml"
    file.write_text(LINE.format(writes=writes))
    return file


def test_the_check_says_what_is_written_and_where(tmp_path: Path) -> None:
    config = load(write_line(tmp_path, 'what = "release"\nunit = 3\naddress = "00006"'))
    [write] = config.writes
    assert write.words() == (
        "writes release to bus-1 unit 3 coil 5 bool: true while a job runs there, else false; "
        "also when the agent starts"
    )


def test_the_check_knows_that_a_text_takes_an_empty_one(tmp_path: Path) -> None:
    text = 'what = "order"\nunit = 3\nholding = 30\nas = "text"\nlength = 8'
    [write] = load(write_line(tmp_path, text)).writes
    assert write.words() == (
        "writes order to bus-1 unit 3 holding 30 text length 8: the number of the order that runs there, "
        "an empty text where none runs; also when the agent starts"
    )


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (['what = "release"\ncoil = 5\non = 2'], "write[1].on: the place is a bool: 2 does not fit there"),
        (['what = "order"\nholding = 5\nas = "u16"'], "write[1].none: the place is a u16: '' does not fit"),
        (['what = "release"\nholding = 50\nas = "u16"'], "is a lamp's already: the two would fight"),
        (['what = "release"\nholding = 5\nas = "u32"\nwords = "big"', 'what = "hold"\nholding = 6\nbit = 0'],
         "is written for press.release already"),
        (['what = "release"\ninput = 5\nas = "u16"'], "nobody can write"),
    ],
)  # fmt: skip
def test_the_check_refuses_what_cannot_be_written(tmp_path: Path, tables: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_line(tmp_path, *tables))
    assert words in str(refused.value)


# --- a device of another make ----------------------------------------------------------------------------


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
