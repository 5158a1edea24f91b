"""The rate and parity of a serial bus are looked for, and only a device that is set so answers."""

import asyncio
import os
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters._modbus.lines import Parity, SerialLine
from adapters._modbus.probe_ask import Asker
from adapters._modbus.probe_rate import RATES, Port, Rate, Search
from adapters._modbus.rtu import is_sealed, sealed
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link
from edge.errors import SourceLost
from tests.probe.modbus_support import READS, probed, read_with
from tests.support.ptys import PtyDevice


@dataclass
class SetDevice:
    """A unit that hears only what is sent at its own rate; its registers hold their address plus 1,000.

    A pseudo-terminal keeps the speed that a program gave it, which its other end can read. It has no parity:
    what the probe set is told by the test.
    """

    cable: PtyDevice
    near: int
    baud: int
    parity: Parity = "none"
    unit: int = 1
    deaf_to: frozenset[bytes] = frozenset()
    """Addresses whose requests it never understands."""
    babbles: bool = False
    """It is never silent while the port has another rate."""
    line_parity: Parity = "none"
    """As the port was set last."""
    heard: list[tuple[int, int]] = field(default_factory=list)
    """Speed of the port and function of each request that came."""
    buffer: bytes = b""

    def ready(self) -> None:
        self.buffer += os.read(self.near, 4096)
        if is_sealed(self.buffer):
            frame, self.buffer = self.buffer, b""
            self._heard(frame)

    def _heard(self, frame: bytes) -> None:
        speed = termios.tcgetattr(self.near)[4]
        self.heard.append((speed, frame[1]))
        if (speed, self.line_parity) != (_SPEEDS[self.baud], self.parity):
            if self.babbles:
                os.write(self.near, b"\x80\xf8" * 20)
            return
        if frame[0] == self.unit and frame[2:4] not in self.deaf_to:
            os.write(self.near, sealed(frame[:1] + self._answer(frame[1], frame[2:])))

    def _answer(self, function: int, rest: bytes) -> bytes:
        if function not in (3, 4):
            return bytes((function | 0x80, 1))
        start, count = struct.unpack(">HH", rest[:4])
        cells = struct.pack(f">{count}H", *(1000 + start + at for at in range(count)))
        return bytes((function, len(cells))) + cells


_SPEEDS = {baud: getattr(termios, f"B{baud}") for baud in {baud for baud, _ in RATES}}


@asynccontextmanager
async def set_device(folder: Path, baud: int, **more: object) -> AsyncIterator[SetDevice]:
    cable = PtyDevice(folder / "bus")
    near = os.dup(cable._fd)
    device = SetDevice(cable, near, baud, **more)  # type: ignore[arg-type]
    asyncio.get_running_loop().add_reader(near, device.ready)
    try:
        yield device
    finally:
        asyncio.get_running_loop().remove_reader(near)
        os.close(near)
        cable.unplug()


async def searched(
    device: SetDevice, *, units: tuple[int, ...] = (), **known: object
) -> tuple[SerialLine, list[str]]:
    told: list[str] = []

    def link_of(line: SerialLine) -> Link:
        device.line_parity = line.parity
        return Link("bus-1", line, lambda _: Manner(0.15, 0.01, 0.0, None), lambda: None)

    line = SerialLine(device.cable.port, int(str(known.get("baud", 19_200))), "even", 1)
    search = Search(
        Port.of(line, known), units, link_of, lambda link: Asker(link, asyncio.Event(), 0.0), told.append, 0.0
    )
    return await search.found("bus-1"), told


async def test_a_device_is_found_at_its_rate_and_read_with_what_is_printed(tmp_path: Path) -> None:
    async with set_device(tmp_path, 19_200) as device:
        port = device.cable.port
        end, _, told = await probed(port, timeout_s=0.1, units="1", range="0-3", tables="holding")
        assert end.runs, end.words
        assert "unit 1 answers at 19200 baud, parity even" in told, "a pseudo-terminal has no parity"
        assert f'port = "{port}"\nbaud = 19200\nparity = "even"\n' in end.toml
        values = await read_with(tmp_path, end.toml, lambda all_: len(all_) >= 4)
        assert values["holding_3"] == 1003
    assert {function for _, function in device.heard} <= READS
    assert {speed for speed, _ in device.heard} == {termios.B9600, termios.B19200}


@pytest.mark.parametrize("rate", [RATES[1], RATES[3]])
async def test_rate_and_parity_are_found_together(rate: Rate, tmp_path: Path) -> None:
    async with set_device(tmp_path, rate[0], parity=rate[1]) as device:
        line, told = await searched(device, units=(1,))
    assert (line.baud, line.parity) == rate
    assert told[0].startswith("rate and parity are looked for")
    tried = [f"  {baud} baud, parity {parity}: unit 1" for baud, parity in RATES[: RATES.index(rate) + 1]]
    assert told[1:-1] == tried


async def test_what_is_given_is_not_tried_otherwise(tmp_path: Path) -> None:
    async with set_device(tmp_path, 19_200, parity="odd") as device:
        line, _ = await searched(device, units=(1,), baud=19_200)
    assert (line.baud, line.parity) == (19_200, "odd")
    assert {speed for speed, _ in device.heard} == {termios.B19200}


async def test_units_beyond_the_first_are_asked_once_all_rates_were_tried(tmp_path: Path) -> None:
    async with set_device(tmp_path, 9600, unit=4, parity="even") as device:
        line, told = await searched(device, units=(2, 3, 1, 4), baud=9600, parity="even")
    assert (line.baud, line.parity) == (9600, "even")
    assert "  9600 baud, parity even: unit 4" in told


async def test_a_rate_at_which_some_requests_are_lost_is_taken_last(tmp_path: Path) -> None:
    """Bits of a wrong parity fit some requests by chance."""
    async with set_device(tmp_path, 9600, deaf_to=frozenset([b"\0\2"])) as device:
        line, told = await searched(device, units=(1,), baud=9600)
    assert (line.baud, line.parity) == (9600, "none")
    assert "  9600 baud, parity none: unit 1 answers, but not to 1 of 3 more reads" in told
    assert "  9600 baud, parity odd: unit 1" in told, "the others were tried too"


async def test_where_nobody_answers_it_says_what_was_tried(tmp_path: Path) -> None:
    async with set_device(tmp_path, 4800, unit=77, babbles=True) as device:
        with pytest.raises(SourceLost, match="is open, and nobody answered at 9600 none, 9600 even") as lost:
            await searched(device, units=(1,), baud=9600)
    assert "something was heard that is no answer" in str(lost.value)
    assert "wires A and B" in str(lost.value)
