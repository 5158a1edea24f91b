"""The packer as a process, read by pymodbus's client over TCP and over a serial port."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from simulators.launch import Running, simulator
from simulators.records import Made, read_truth

ModbusClient = AsyncModbusTcpClient | AsyncModbusSerialClient


@asynccontextmanager
async def packer(wire: str, tmp_path: Path, *arguments: str) -> AsyncIterator[tuple[Running, ModbusClient]]:
    link = tmp_path / "bus"
    where = ("--tcp",) if wire == "tcp" else ("--rtu", "--pty", str(link))
    async with simulator("modbus_packer", *where, *arguments) as running:
        client: ModbusClient
        if wire == "tcp":
            client = AsyncModbusTcpClient(running.where.host, port=running.where.port, retries=0, timeout=1)
        else:
            assert running.where.device == str(link)
            client = AsyncModbusSerialClient(str(link), baudrate=19_200, retries=0, timeout=1)
        assert await client.connect()
        try:
            yield running, client
        finally:
            client.close()


async def read(client: ModbusClient) -> tuple[int, int, int]:
    """Good, reject and state of one block read."""
    answer = await client.read_holding_registers(100, count=5, device_id=3)
    assert not answer.isError()
    words = answer.registers
    return words[0] | words[1] << 16, words[2] | words[3] << 16, words[4]


@pytest.mark.parametrize("wire", ["tcp", "rtu"])
async def test_a_block_read_shows_a_part_as_a_whole_and_within_the_truths_window(
    wire: str, tmp_path: Path
) -> None:
    truth = tmp_path / "packer.truth"
    fast = ("--cycle", "0.004", "--scrap", "0.3", "--truth", str(truth))
    first = ("--first-good", "65530", "--first-reject", "131070")
    async with packer(wire, tmp_path, *fast, *first) as (running, client):
        assert await read(client) == (65_530, 131_070, 2)
        readings = []
        await running.do("start")
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            asked_ms = time.time() * 1000
            good, reject, state = await read(client)
            readings.append((asked_ms, good - 65_530, reject - 131_070, time.time() * 1000))
            assert state == 6
        await running.do("stop")
        good, reject, state = await read(client)
    parts = read_truth(truth, Made)
    made_good = sum(part.good for part in parts)
    assert (good, reject, state) == (65_530 + made_good, 131_070 + len(parts) - made_good, 2)
    assert made_good > 10
    for asked_ms, good, reject, answered_ms in readings:
        shown = parts[: good + reject]
        assert sum(part.good for part in shown) == good
        assert sum(part.to_ms < asked_ms for part in parts) <= len(shown)
        assert len(shown) <= sum(part.from_ms <= answered_ms for part in parts)


async def test_sixteen_bits_roll_over_in_one_register(tmp_path: Path) -> None:
    first = ("--bits", "16", "--first-good", "65533", "--cycle", "0.02", "--scrap", "0")
    truth = tmp_path / "packer.truth"
    async with packer("tcp", tmp_path, *first, "--running", "--truth", str(truth)) as (running, client):
        while (await read(client))[0] > 60_000:
            await asyncio.sleep(0.01)
        await running.do("stop")
        answer = await client.read_holding_registers(100, count=4, device_id=3)
        made = len(read_truth(truth, Made))
        assert answer.registers == [(65_533 + made) % 65_536, 0, 0, 0]
        await running.do("reset")
        assert await read(client) == (0, 0, 2)


@pytest.mark.parametrize("wire", ["tcp", "rtu"])
async def test_another_unit_is_silence_and_another_register_an_exception(wire: str, tmp_path: Path) -> None:
    async with packer(wire, tmp_path) as (_, client):
        with pytest.raises(ModbusIOException):
            await client.read_holding_registers(100, count=5, device_id=4)
        beyond = await client.read_holding_registers(105, count=1, device_id=3)
        assert (beyond.isError(), beyond.exception_code) == (True, 2)
        written = await client.write_register(100, 7, device_id=3)
        assert written.isError()
        assert await read(client) == (0, 0, 2)


async def test_it_serves_on_a_serial_port_that_exists(tmp_path: Path) -> None:
    """The port is one end of a pair that socat makes, as a cable between two adapters."""
    ends = [tmp_path / "a", tmp_path / "b"]
    cable = await asyncio.create_subprocess_exec("socat", *(f"pty,raw,echo=0,link={end}" for end in ends))
    try:
        while not all(end.exists() for end in ends):
            await asyncio.sleep(0.01)
        async with simulator("modbus_packer", "--rtu", "--port", str(ends[0])) as running:
            assert running.where.device == str(ends[0])
            client = AsyncModbusSerialClient(str(ends[1]), baudrate=19_200, retries=0, timeout=1)
            assert await client.connect()
            assert await read(client) == (0, 0, 2)
            client.close()
    finally:
        cable.terminate()
        await cable.wait()
