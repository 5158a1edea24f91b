"""Devices, lines and a running `collect` for the Modbus tests."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters import modbus
from edge.contract import Intake, Output, Signal


def build_device(folder: Path) -> Path:
    """Compile modbus_device.c; libmodbus-dev and gcc have to be there."""
    program = folder / "modbus_device"
    source = Path(__file__).with_name("modbus_device.c")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], check=True, capture_output=True, text=True
    ).stdout.split()
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source, *flags], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Request:
    """A line of a device's `trace`: a request as it came."""

    at_ns: int
    """time.monotonic_ns() at its receipt."""
    connection: int
    """1 for the first."""
    unit: int
    function: int
    start: int
    count: int


def traced(path: Path) -> list[Request]:
    """What a device told to `trace PATH` so far."""
    lines = path.read_text(encoding="ascii").split("\n")[:-1] if path.exists() else []
    return [Request(*map(int, line.split())) for line in lines]


class Device:
    """A running modbus_device: `port` is its TCP port; `tell` gives it a command."""

    def __init__(self, program: Path, arguments: tuple[str, ...]) -> None:
        self._program = program
        self._arguments = arguments
        self._turn = asyncio.Lock()
        self.port = 0

    async def start(self) -> None:
        """Begin, or begin again after `stop` or `kill`, then at the port that it had."""
        arguments = list(self._arguments)
        at = {"tcp": 1, "rtu-tcp": 2}.get(arguments[0])
        if at is not None and self.port:
            arguments[at : at + 1] = [str(self.port)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            self._program, *arguments, stdin=pipe, stdout=pipe, limit=2**21
        )
        assert self._process.stdout is not None
        ready, port = (await asyncio.wait_for(self._process.stdout.readline(), 5)).split()
        assert ready == b"READY"
        self.port = int(port)

    async def stop(self) -> None:
        await _end(self._process)

    async def kill(self) -> None:
        """As a cut of its power: what it was told is forgotten, but for a state file."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def tell(self, command: str) -> int:
        """A command of modbus_device.c; gives the number of requests since the last `count`."""
        return int(await self.asked(command))

    async def wrote(self) -> list[str]:
        """What was written since the last time: `"5 coil 0 1"`."""
        return (await self.asked("wrote")).removesuffix(";").split(";")

    async def made(self, unit: int, address: int) -> int:
        """Parts that a counter made in all: what is true, whatever it shows."""
        return int(await self.asked(f"made {unit} {address}"))

    async def connections(self) -> tuple[int, int, int]:
        """How many are open, how many were at once, and how many there were."""
        now, most, total = map(int, (await self.asked("connections")).split())
        return now, most, total

    async def asked(self, command: str) -> str:
        """A command's answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(f"{command}\n".encode())
            return (await asyncio.wait_for(self._process.stdout.readline(), 5)).decode().strip()

    async def set(self, table: str, address: int, *values: int) -> None:
        for first in range(0, len(values), 500):
            some = " ".join(map(str, values[first : first + 500]))
            await self.tell(f"set {table} {address + first} {some}")


@asynccontextmanager
async def device(program: Path, *arguments: str) -> AsyncIterator[Device]:
    one = Device(program, arguments)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


@asynccontextmanager
async def serial_line(folder: Path) -> AsyncIterator[tuple[str, str, Callable[[], Awaitable[None]]]]:
    """Two serial ports joined by socat: the device's, ours, and a function that unplugs them."""
    ends = (str(folder / "device"), str(folder / "agent"))
    process = await asyncio.create_subprocess_exec(
        "socat", "-d", "-d", *(f"pty,raw,echo=0,link={end}" for end in ends), stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(5):
            while b"starting data transfer" not in await process.stderr.readline():
                pass
        yield (*ends, lambda: _end(process))
    finally:
        await _end(process)


def output(**keys: Any) -> Output[modbus.Switch]:
    """Such as `output(unit=5, coil=0)`."""
    address = modbus.Switch.model_validate(keys)
    return Output(address.identity(), address)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()  # its order to end
    elif process.returncode is None:
        process.terminate()
    await process.wait()


def settings(**keys: Any) -> modbus.Settings:
    return modbus.Settings.model_validate({"type": "modbus", **keys})


def signal(name: str, as_: str | None = None, every: float = 0.05, **keys: Any) -> Signal[modbus.Address]:
    """A signal; `as_` is the key `as`, `every` is in seconds."""
    kind = {} if as_ is None else {"as": as_}
    return Signal(name, modbus.Address.model_validate(keys | kind), timedelta(seconds=every))


@asynccontextmanager
async def collecting(
    how: modbus.Settings, signals: list[Signal[modbus.Address]], intake: Intake
) -> AsyncIterator[asyncio.Task[None]]:
    """`collect` at work; cancelled at the end. What it raised before is raised then."""
    task = asyncio.create_task(modbus.collect(how, signals, intake))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
