"""Devices that hold what they are told, read by pymodbus over TCP and on a pseudo-terminal."""

import asyncio
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from simulators.modbus_image import HOST, Cell, Image, Table, crc, encode, serve_rtu, serve_tcp

Client = AsyncModbusTcpClient | AsyncModbusSerialClient


def an_image() -> Image:
    image = Image()
    image.show(Cell(3, "holding", 100, "u32", "CDAB"), 70_000)
    image.show(Cell(3, "input", 7, "f32"), 1.5)
    image.show(Cell(3, "coil", 9), 1)
    image.show(Cell(3, "discrete", 2), 1)
    image.show(Cell(3, "holding", 200, "bool", bit=3), 1)
    image.show(Cell(3, "holding", 200, "bool", bit=0), 1)
    image.show(Cell(3, "holding", 200, "bool", bit=3), 0)
    return image


async def read_all(client: Client) -> None:
    data: Any = client.DATATYPE
    async with asyncio.timeout(10):
        await client.connect()
        counts = await client.read_holding_registers(100, count=2, device_id=3)
        assert client.convert_from_registers(counts.registers, data.UINT32, word_order="little") == 70_000
        level = await client.read_input_registers(7, count=2, device_id=3)
        assert client.convert_from_registers(level.registers, data.FLOAT32) == 1.5
        assert (await client.read_coils(8, count=3, device_id=3)).bits[:3] == [False, True, False]
        assert (await client.read_discrete_inputs(2, count=1, device_id=3)).bits[0]
        assert (await client.read_holding_registers(200, count=1, device_id=3)).registers == [1]
        refused = await client.write_register(100, 1, device_id=3)
        assert refused.isError()
        assert refused.exception_code == 1
    client.close()


async def test_over_tcp() -> None:
    async with serve_tcp(an_image()) as port:
        await read_all(AsyncModbusTcpClient(HOST, port=port, timeout=5, retries=0))


async def test_on_a_serial_line(tmp_path: Path) -> None:
    link = tmp_path / "bus"
    with serve_rtu(an_image(), link):
        await read_all(AsyncModbusSerialClient(str(link), baudrate=19200, timeout=5, retries=0))


def test_a_text_can_have_a_header_and_an_encoding() -> None:
    cell = Cell(1, "holding", 0, "text", length=4, encoding="latin-1", has_header=True)
    assert encode(cell, "Größe") == [0x0605, 0x4772, 0xF6DF, 0x6500]
    assert encode(cell, "Größenmaß")[0] == 0x0606


def test_another_unit_is_silent() -> None:
    assert an_image().answer(4, b"\x03\x00\x64\x00\x01") is None


@given(st.binary(max_size=12))
def test_any_request_is_answered_or_refused(request: bytes) -> None:
    reply = an_image().answer(3, request)
    assert reply is None or reply[0] & 0x7F == request[0] & 0x7F


WIDE = {"u32": (">I", "UINT32"), "i32": (">i", "INT32"), "u64": (">Q", "UINT64"), "f64": (">d", "FLOAT64")}


@given(st.sampled_from(sorted(WIDE)), st.sampled_from(["big", "little"]), st.binary(min_size=8, max_size=8))
def test_values_are_written_as_pymodbus_reads_them(kind: str, words: str, raw: bytes) -> None:
    layout, name = WIDE[kind]
    (value,) = struct.unpack(layout, raw[: struct.calcsize(layout)])
    if value != value:  # no number equals itself but NaN
        return
    client = AsyncModbusTcpClient
    straight = "ABCDEFGH"[: struct.calcsize(layout)]
    turned = "".join(straight[at : at + 2] for at in reversed(range(0, len(straight), 2)))
    registers = encode(Cell(1, "holding", 0, kind, straight if words == "big" else turned), value)
    order: Any = words
    assert client.convert_from_registers(registers, client.DATATYPE[name], word_order=order) == value


@pytest.mark.parametrize("table", ["coil", "discrete"])
def test_a_bit_is_a_bit(table: Table) -> None:
    assert encode(Cell(1, table, 0), 17) == [1]
    assert encode(Cell(1, table, 0), 0) == [0]


def test_bytes_of_a_register_can_be_turned() -> None:
    assert encode(Cell(1, "holding", 0, "u16", "BA"), 0x1234) == [0x3412]


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert crc(b"\x02\x07") == b"\x41\x12"  # MODBUS over Serial Line, 6.2.2


@pytest.mark.parametrize(
    ("cell", "value", "registers"),
    [
        (Cell(1, "holding", 0, "bcd32", "CDAB"), 12345678, [0x5678, 0x1234]),
        (Cell(1, "holding", 0, "text", length=2), "RUN", [0x5255, 0x4E00]),
        (Cell(1, "holding", 0, "text", "BA", length=2), "RUNNING", [0x5552, 0x4E4E]),
        (Cell(1, "holding", 0, "u16", scale=Fraction(1, 10), offset=Fraction(-40)), 19.96, [600]),
        (Cell(1, "holding", 0, "i16", scale=Fraction(1, 1000)), 119.7, [0x7FFF]),
        (Cell(1, "holding", 0, "u64", "CDABGHEF"), 0x0102030405060708, [0x0304, 0x0102, 0x0708, 0x0506]),
    ],
)
def test_what_is_shown_is_laid_as_the_address_has_it(
    cell: Cell, value: float | str, registers: list[int]
) -> None:
    assert encode(cell, value) == registers


def test_what_digits_cannot_show_is_refused() -> None:
    with pytest.raises(struct.error, match="4 digits"):
        encode(Cell(1, "holding", 0, "bcd16"), 10_000)
