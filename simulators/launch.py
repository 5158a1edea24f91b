"""Start a simulator as a process of its own and talk to it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from simulators.records import Did, Ready, Scan, Where

AnswerT = TypeVar("AnswerT", bound=Struct)
_PATIENCE_S = 30.0
"""asyncua alone takes a second to build its address space, on a Pi ten."""


class SimulatorFailed(Exception):
    """A simulator ended, or said something that was not expected."""

    def __init__(self, module: str, said: str) -> None:
        super().__init__(f"simulator {module}: {said or 'ended without a word; see its standard error'}")


class Running:
    """A simulator that is ready. One command at a time."""

    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        self._module = module
        self._process = process
        self.where = Where()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def do(self, command: str) -> Did:
        """A command of a machine or a rig; it has taken effect when this returns."""
        return await self._ask(command, Did)

    async def scan(self, label: str, verb: str = "scan") -> Scan:
        """Pull the trigger of a scanner; returns with the host's answer or without.

        Another verb says what goes wrong: `cut`, `merge`, `noise`, `double`, `hang-up`.
        """
        return await self._ask(f"{verb} {label}", Scan)

    async def become_ready(self) -> None:
        self.where = (await self._heard(Ready)).ready

    async def end(self) -> int:
        """Close its standard input, wait for its end and return its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._process.stdin.wait_closed()
        try:
            return await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _ask(self, command: str, kind: type[AnswerT]) -> AnswerT:
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        return await self._heard(kind)

    async def _heard(self, kind: type[AnswerT]) -> AnswerT:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _PATIENCE_S)
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise SimulatorFailed(self._module, line.decode("utf-8", "replace").strip()) from error


@contextlib.asynccontextmanager
async def simulator(module: str, *arguments: str) -> AsyncIterator[Running]:
    """`async with simulator("opcua_press", "--cycle", "0.5") as press:`, ready, and ended after.

    Raises SimulatorFailed where it does not become ready.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"simulators.{module}", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent; it ends its simulators in order
    )  # fmt: skip
    running = Running(module, process)
    try:
        await running.become_ready()
        yield running
    finally:
        await running.end()
