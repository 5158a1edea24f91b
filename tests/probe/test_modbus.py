"""A device of another make is probed; its TOML is taken as it is printed, and the adapter reads it."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from adapters._modbus import probe as modbus
from adapters._modbus.encode import encoded
from adapters._modbus.values import Form
from edge.errors import SourceLost
from edge.probe.modbus import Typed, concluded, wished
from tests.adapters.modbus_support import device, serial_line
from tests.probe.modbus_support import BUS, READS, functions, pairs, probed, read_with, registers, tcp_device

# --- what is found, and read with what is printed -------------------------------------------------


async def test_the_ranges_and_the_counter_of_a_device_are_found_and_read(
    tmp_path: Path, program: Path
) -> None:
    async with device(program, "tcp") as one:
        await one.tell("identify ACME PM-3000")
        await one.tell("counter 1 40 16 15 100")
        end, _, told = await probed(f"tcp://127.0.0.1:{one.port}", for_s=0.8)
        assert end.runs, end.words
        assert 'total = { source = "bus-1", unit = 1, holding = 40, as = "u16" }' in end.toml
        assert "  unit 1: maker ACME PM-3000" in told
        assert [row for row in told if row.startswith("  unit 1 holding 0-999")]
        assert [row for row in told if row.startswith("  unit 1 discrete 0-999")]
        made = await one.made(1, 40)
        values = await read_with(tmp_path, end.toml, lambda all_: "station-1.total" in all_)
        assert values["station-1.total"] >= 100 + made - 1
        assert await functions(one) <= READS
        assert await one.wrote() == [""]


async def test_the_live_units_of_a_bus_are_found_and_the_dead_cost_a_timeout_each(
    tmp_path: Path, program: Path
) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1,3") as one:
        await one.set("holding", 100, 7, 8)
        end, _, told = await probed(
            f"rtu://{near}?baud=9600&parity=none",
            timeout_s=0.1,
            units="1-4",
            range="98-103",
            tables="holding",
        )
        assert [row for row in told if "answers" in row] == [
            "unit 1 answers (holding 0 holds 0)", "unit 3 answers (holding 0 holds 0)",
        ]  # fmt: skip
        assert "  unit 3 holding 98-103" in told
        assert end.runs, end.words
        assert f'port = "{near}"\nbaud = 9600\nparity = "none"' in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: len(all_) >= 4)
        assert values["unit_3_holding_101"] == 8
        assert await functions(one) <= READS


async def test_units_behind_a_device_server_are_found(program: Path) -> None:
    async with device(program, "rtu-tcp", "2,5", "0") as one:
        url = f"rtu+tcp://127.0.0.1:{one.port}"
        end, _, told = await probed(url, timeout_s=0.05, units="1-5", range="0-3", tables="input")
        assert [row[:14] for row in told if "answers" in row] == ["unit 2 answers", "unit 5 answers"]
        assert f'host = "{url}"' in end.toml


async def test_a_gateway_that_has_no_answer_of_a_unit_has_no_such_unit(program: Path) -> None:
    async with device(program, "tcp") as one:
        for unit, code in ((1, 11), (3, 10), (213, 11)):
            await one.tell(f"fault {unit} {code}")
        url = f"tcp://127.0.0.1:{one.port}"
        _, _, told = await probed(url, units="1-3", range="0-1", tables="holding")
        assert [row[:14] for row in told if "answers" in row] == ["unit 2 answers"]


async def test_what_a_device_refuses_goes_into_the_proposal(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("longest 25 3")
        await one.tell("code 30 2")
        await one.set("holding", 28, 1, 2, 0, 3)
        end, _, told = await probed(
            f"tcp://127.0.0.1:{one.port}", range="0-99", requests=300, tables="holding"
        )
        assert "  unit 1 holding 0-29, 31-99; 25 in one request at the most" in told
        assert "max_registers = 25\nmax_gap = 0\n" in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: len(all_) >= 3)
        assert values == {"holding_28": 1, "holding_29": 2, "holding_31": 3}


async def test_a_meter_that_gives_pairs_only_is_proposed_in_pairs(tmp_path: Path) -> None:
    high, low = encoded(Form("f32", "CDAB"), 48.5)
    began_s = time.monotonic()
    values = {4: high, 5: low, 42: 0xFFFF, 43: 0xFF00}

    def answer(pdu: bytes) -> bytes:
        values[40], values[41] = divmod(70_000 + int(14 * (time.monotonic() - began_s)), 0x10000)
        return pairs(values)(pdu)

    async with tcp_device(answer) as (url, _):
        end, _, _ = await probed(url, for_s=1.0, units="1")
        assert end.runs, end.words
        assert 'total = { source = "bus-1", unit = 1, input = 40, as = "u32", order = "ABCD"' in end.toml
        end, _, _ = await probed(url, units="1", range="0-9")
        assert end.runs, end.words
        assert 'input_4 = { unit = 1, input = 4, as = "f32", order = "CDAB" }' in end.toml
        values_ = await read_with(tmp_path, end.toml, lambda all_: "input_4" in all_)
    assert values_ == {"input_4": 48.5}
    assert "unit 1 input gives two registers from an even address on, or none" in " ".join(end.words)


async def test_nothing_but_zeros_is_said(program: Path) -> None:
    async with device(program, "tcp") as one:
        end, _, _ = await probed(f"tcp://127.0.0.1:{one.port}", range="0-9", tables="holding")
    assert not end.runs
    assert end.words[-1] == "no register held anything but 0: look again while the machine runs"


# --- devices that are not as they should be -------------------------------------------------------


ODD: dict[str, Callable[[bytes], bytes | None]] = {
    "everything": lambda pdu: registers(pdu) if pdu[0] < 5 else bytes([pdu[0] | 0x80, 1]),
    "knows nothing": lambda pdu: bytes([pdu[0] | 0x80, 1]),
    "refuses all": lambda pdu: bytes([pdu[0] | 0x80, 2]),
    "fails": lambda pdu: bytes([pdu[0] | 0x80, 4]),
    "an exception of its own": lambda pdu: bytes([pdu[0] | 0x80, 200]),
    "noise for an identity": lambda pdu: (
        registers(pdu) if pdu[0] < 5 else pdu[:1] + b"\x0e\x01" + b"\xff" * 40
    ),
    "an endless identity": lambda pdu: (
        registers(pdu)
        if pdu[0] < 5
        else b"\x2b\x0e" + bytes([pdu[2], 0x83, 0xFF, pdu[3] + 1 & 0xFF, 0])
        if pdu[0] == 43
        else b"\x91\x01"
    ),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_a_device_answers_nothing_is_written(odd: str) -> None:
    async with tcp_device(ODD[odd]) as (url, seen):
        for shows in ("", "3"):
            end, _, _ = await probed(url, timeout_s=0.1, requests=6, shows=shows, units="1")
            assert "\x1b" not in end.toml
    assert {3, 4} <= set(seen) <= READS
    assert {43, 17} & set(seen)


async def test_a_device_that_closes_after_each_answer_is_probed_all_the_same() -> None:
    async with tcp_device(ODD["everything"], closes=True) as (url, seen):
        end, _, told = await probed(url, timeout_s=0.5, range="0-20", tables="holding", units="1")
    assert end.runs, end.words
    assert "  unit 1 holding 0-20" in told
    assert set(seen) <= READS


async def test_a_device_that_goes_away_leaves_what_was_found(program: Path) -> None:
    async with device(program, "tcp") as one:
        words = Typed(f"tcp://127.0.0.1:{one.port}", units="1", tables="holding")
        told: list[str] = []

        def tell(row: str) -> None:
            told.append(row)
            if row.startswith("watching"):
                stops.append(asyncio.create_task(one.kill()))

        stops: list[asyncio.Task[None]] = []
        wish = wished(BUS, words, 5.0, 0.0, 0.2)
        report = await asyncio.wait_for(BUS.probe(wish, asyncio.Event(), tell), 10)
        await asyncio.gather(*stops)
        end = concluded(report, words)
    assert not end.runs
    assert "ended before its end" in " ".join(end.words)
    assert "  unit 1 holding 0-999" in told


async def test_nobody_there_is_said(tmp_path: Path, program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("mute 256")
        with pytest.raises(SourceLost, match=r"none of 4 units answered \(no answer.*--units names others"):
            await probed(f"tcp://127.0.0.1:{one.port}", timeout_s=0.05, units="1-4")
    async with serial_line(tmp_path) as (_, near, _unplug):
        with pytest.raises(SourceLost, match=r"none of 4 units answered \(no answer.*rate and parity"):
            await probed(f"{near}?baud=9600&parity=none", timeout_s=0.05, units="1-4")


async def test_a_device_with_no_connection_left_is_said_to_be_one(program: Path) -> None:
    async with device(program, "tcp") as one:
        await one.tell("limit 1 close")
        with socket.create_connection(("127.0.0.1", one.port)):
            while (await one.connections())[0] < 1:
                await asyncio.sleep(0.005)
            with pytest.raises(SourceLost, match=r"many devices take one connection only"):
                await probed(f"tcp://127.0.0.1:{one.port}", timeout_s=0.2, units="1")


async def test_a_slow_bus_gets_a_proposal_that_it_can_keep(tmp_path: Path, program: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _), device(program, "rtu", far, "1") as one:
        await one.tell("pace 4800")
        for at in range(0, 45, 11):
            await one.set("holding", at, at + 1)
        end, _, _ = await probed(
            f"{near}?baud=4800", timeout_s=0.3, units="1", range="0-44", tables="holding", requests=12
        )
        assert end.runs, end.words
        assert 'every = "1s"' not in end.toml, "the check adds up what the bus takes, and has passed it"


async def test_noise_in_the_place_of_an_answer_is_told(tmp_path: Path) -> None:
    async with serial_line(tmp_path) as (far, near, _unplug):
        with serial.Serial(far, timeout=0) as port:
            told: list[str] = []
            words = Typed(f"{near}?baud=9600&parity=none", units="7")
            wish = wished(BUS, words, 0, 0, 0.1)
            task = asyncio.create_task(modbus.probe(wish, asyncio.Event(), told.append))
            while not task.done():
                if port.read(300):
                    port.write(b"\x07\x03\x02\xff\xff\x00\x00\x00\x00")
                await asyncio.sleep(0.002)
            with pytest.raises(SourceLost, match="bytes that are not one"):
                await task
    assert [row for row in told if row.startswith("unit 7: no answer")]


async def test_units_behind_a_gateway_that_knows_who_is_there_are_found() -> None:
    def answer(pdu: bytes, unit: int) -> bytes:
        return registers(pdu) if unit == 17 else bytes([pdu[0] | 0x80, 11])

    async with tcp_device(answer) as (url, _):
        _, report, told = await probed(url, for_s=0.0, at="3", shows="3")
    assert [row[:15] for row in told if "answers" in row] == ["unit 17 answers"]
    assert report.telemetry["shown"]["unit"] == 17


async def test_a_gateway_with_nobody_behind_it_is_said_to_be_one() -> None:
    async with tcp_device(lambda pdu, _: bytes([pdu[0] | 0x80, 10])) as (url, _):
        with pytest.raises(SourceLost, match="is a gateway, and none of 249 units answered"):
            await probed(url)


async def test_a_slow_device_is_looked_at_often_enough_to_see_a_counter() -> None:
    began_s = time.monotonic()

    def answer(pdu: bytes, _: int) -> bytes:
        if pdu[0] != 3 or pdu[1:5] not in (b"\0\x09\0\1", b"\0\0\0\1"):
            return bytes([pdu[0] | 0x80, 2])
        time.sleep(0.06)
        made = 100 + int((time.monotonic() - began_s) * 9)
        return b"\x03\x02" + (made if pdu[2] else 0).to_bytes(2, "big")

    async with tcp_device(answer) as (url, _):
        end, _, told = await probed(url, for_s=0.2, units="1", range="9-9", tables="holding")
    assert "1 address can be read, 1 of them changed in 4 looks" in end.words
    assert [row for row in told if "it looks 4 times" in row], told
