"""How a place that is written is said in the file, and the one request that it becomes."""

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
from adapters._writes import MisfitError
from edge.config import load
from edge.contract import Span, WriteValue
from edge.errors import ConfigError
from tests.adapters.modbus_write_support import place

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
