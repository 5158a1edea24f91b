"""What every simulator has in common as a process: arguments, commands, its end.

A simulator reads commands from standard input, one a line, and answers each with one JSON
line on standard output; the very first line there is `{"ready": {...}}`. It ends on `exit`,
on the end of standard input (so it never outlives its parent), on SIGTERM and on SIGINT.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from msgspec import Struct

from simulators.records import Did, NotUnderstood, Ready, TruthFile, Where, encode, wall_ms

EXIT = "exit"
_LONGEST_LINE = 4096
_STDIN, _STDOUT = 0, 1


class Console:
    """The parent's end of the process. Enter it inside the running loop."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._partial = b""
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> "Console":
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        try:
            loop.add_reader(_STDIN, self._read)
        except PermissionError:
            sys.exit("standard input must be a pipe or a terminal: commands come in there")
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(_STDIN)

    async def command(self, timeout_s: float | None = None) -> str | None:
        """The next command, stripped; EXIT at the end of input; None after `timeout_s`."""
        if not self._lines:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
        return self._lines.popleft() if self._lines else None

    async def commands(self) -> AsyncIterator[str]:
        """Every command but EXIT, which ends it."""
        while (command := await self.command()) != EXIT:
            if command is not None:
                yield command

    def say(self, line: Struct) -> None:
        """One line to the parent. Where it has gone, the end of input says so in a moment."""
        with contextlib.suppress(BrokenPipeError):
            os.write(_STDOUT, encode(line))

    def ready(self, where: Where) -> None:
        self.say(Ready(where))

    def did(self, command: str) -> None:
        self.say(Did(command, wall_ms()))

    def refuse(self, command: str, known: str) -> None:
        self.say(NotUnderstood(f"{command!r} is not a command; there are: {known}"))

    def _read(self) -> None:
        received = os.read(_STDIN, _LONGEST_LINE)
        if not received:
            asyncio.get_running_loop().remove_reader(_STDIN)
            self._give(EXIT)
            return
        *lines, self._partial = (self._partial + received).split(b"\n")
        self._partial = self._partial[:_LONGEST_LINE]
        for line in lines:
            self._give(line.decode("utf-8", "replace").strip())

    def _end(self) -> None:
        """Told to end from outside: commands that still wait are not begun."""
        self._lines.clear()
        self._give(EXIT)

    def _give(self, line: str) -> None:
        self._lines.append(line)
        self._arrived.set()


def arguments(module: str, description: str) -> argparse.ArgumentParser:
    """A parser with what every simulator takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same parts")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="append the ground truth to this file")
    return parser


def run(main: Callable[[Console, TruthFile], Coroutine[Any, Any, None]], truth: Path | None) -> None:
    """Run `main` from the first line of output to an orderly end."""

    async def whole() -> None:
        async with Console() as console:
            await main(console, lines)

    with contextlib.closing(TruthFile(truth)) as lines:
        asyncio.run(whole())
