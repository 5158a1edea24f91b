"""A packer behind Modbus: `python -m simulators.modbus_packer --tcp | --rtu ...`.

Holding registers, zero-based, low word first:

    100-101   good      with --bits 16 only 100 counts and 101 stays 0
    102-103   reject    likewise
    104       state     the PackML state's code

Only the unit's own id is answered; other ids meet silence, as on a bus. Registers cannot
be written. `--tcp` listens on the loopback interface. `--rtu --port DEVICE` speaks on a serial port,
`--rtu --pty LINK` on a pseudo-terminal that it makes and that a host opens at LINK.
"""

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators.machine import Counters, State
from simulators.process import Console, run
from simulators.ptyport import PtyPort
from simulators.records import TruthFile, Where
from simulators.station import Station, machine_arguments, machine_from

FIRST_REGISTER = 100
_HOST = "127.0.0.1"
_ALL_ADDRESSES = 65_536


class PackerPanel:
    """The packer's registers, replaced as a whole: one request never sees half of a part."""

    def __init__(self) -> None:
        self._counts = [0, 0, 0, 0]
        self._state = 0

    async def show_counters(self, counters: Counters) -> None:
        self._counts = [*_words(counters.good), *_words(counters.reject)]

    async def show_state(self, state: State) -> None:
        self._state = int(state)

    async def refresh(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by pymodbus at every request, without a pause before it takes the registers."""
        registers[:5] = [*self._counts, self._state]
        return None


async def _silence(
    function: int,
    start: int,
    address: int,
    count: int,
    registers: list[int],
    written: list[int] | list[bool] | None,
) -> ExcCodes | None:
    raise NoSuchIdException("another unit's request")


def devices(panel: PackerPanel, unit: int) -> list[SimDevice]:
    """The packer, and the silence of all other ids (pymodbus takes id 0 for those)."""
    mine = SimData(FIRST_REGISTER, values=[0] * 5, datatype=DataType.REGISTERS, readonly=True)
    others = SimData(0, count=_ALL_ADDRESSES, datatype=DataType.REGISTERS)
    return [SimDevice(unit, [mine], action=panel.refresh), SimDevice(0, [others], action=_silence)]


@contextlib.asynccontextmanager
async def tcp(units: list[SimDevice], port: int) -> AsyncIterator[Where]:
    """Serve on a TCP port of the loopback interface; 0 takes a free one."""
    server = ModbusTcpServer(units, address=(_HOST, port), ignore_missing_devices=True)
    await server.serve_forever(background=True)
    try:
        assert isinstance(server.transport, asyncio.Server)
        yield Where(host=_HOST, port=server.transport.sockets[0].getsockname()[1])
    finally:
        server.close()


@contextlib.asynccontextmanager
async def rtu(units: list[SimDevice], device: str, baud: int) -> AsyncIterator[Where]:
    """Serve on a serial port that exists."""
    server = ModbusSerialServer(units, port=device, baudrate=baud, ignore_missing_devices=True)
    await server.serve_forever(background=True)
    try:
        yield Where(device=device)
    finally:
        server.close()


@contextlib.asynccontextmanager
async def rtu_on_pty(units: list[SimDevice], link: Path, baud: int) -> AsyncIterator[Where]:
    """Serve on a pseudo-terminal of its own.

    pymodbus opens a port by its path, and the device's end of a pty has none; so it gets the
    host's end of a second pty, and bytes pass between the two.
    """
    outer = PtyPort(link)
    inner = PtyPort()
    with outer.open(inner.send), inner.open(outer.send):
        async with rtu(units, inner.path, baud):
            yield Where(device=str(link))


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The packer, from its first register to the end of input."""
    panel = PackerPanel()
    units = devices(panel, options.unit)
    station = Station(options.station, machine_from(options), panel, truth)
    await station.show()
    async with _line(options, units) as where:
        console.ready(where)
        if options.running:
            station.start()
        await station.run(console)


def _line(
    options: argparse.Namespace, units: list[SimDevice]
) -> contextlib.AbstractAsyncContextManager[Where]:
    if options.tcp:
        return tcp(units, int(options.port or 0))
    if options.pty is not None:
        return rtu_on_pty(units, options.pty, options.baud)
    return rtu(units, options.port, options.baud)


def _words(value: int) -> tuple[int, int]:
    return value & 0xFFFF, value >> 16


def main() -> None:
    parser = machine_arguments("simulators.modbus_packer", "A packer behind Modbus.", "packer")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--tcp", action="store_true", help="Modbus TCP on 127.0.0.1")
    kind.add_argument("--rtu", action="store_true", help="Modbus RTU on a serial port")
    parser.add_argument("--port", help="TCP: the port, a free one without; RTU: the serial port's path")
    parser.add_argument("--pty", type=Path, metavar="LINK", help="RTU: make a pseudo-terminal at LINK")
    parser.add_argument("--baud", type=int, default=19_200, help="RTU: bits a second")
    parser.add_argument("--unit", type=int, default=3, help="unit id, 1 to 247")
    options = parser.parse_args()
    if options.rtu and (options.port is None) == (options.pty is None):
        parser.error("--rtu takes either --port DEVICE or --pty LINK")
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
