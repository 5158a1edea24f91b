r"""A leak tester on a serial port: `python -m simulators.testrig --link PATH`.

One line a result, and the next unit only when the host has taken this one:

    unit=U-0001;program=LEAK;revision=B;number=1;leak=0.12:mbar:0:0.5;result=PASS*HH\r\n

A step is value:unit of measure:low:high. HH is the exclusive or of all bytes before the
`*`, in two upper-case hexadecimal digits, as NMEA 0183 has it. The host answers ACK (0x06)
once the result is on disk; after NAK (0x15) or silence the same line goes out again.
"""

import argparse
import asyncio
import random
import time
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path

from simulators.process import Console, arguments, run
from simulators.ptyport import Answers
from simulators.records import ResultAcked, ResultMade, TruthFile, Where, wall_ms

COMMANDS = "start, stop, exit"
_HIGH_MBAR = 0.5
_PAUSE_AFTER_NAK_S = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one leak test."""

    number: int
    leak_mbar: float

    @property
    def unit(self) -> str:
        return f"U-{self.number:04d}"

    @property
    def passed(self) -> bool:
        return self.leak_mbar <= _HIGH_MBAR

    def line(self) -> bytes:
        """As it goes over the wire."""
        verdict = "PASS" if self.passed else "FAIL"
        text = (
            f"unit={self.unit};program=LEAK;revision=B;number={self.number};"
            f"leak={self.leak_mbar:.2f}:mbar:0:{_HIGH_MBAR};result={verdict}"
        ).encode("ascii")
        return text + b"*%02X\r\n" % reduce(xor, text)


def draw_result(number: int, fail: float, chance: random.Random) -> Result:
    """The result of unit `number`; `fail` is the chance to fail, 0 to 1."""
    failed = chance.random() < fail
    spread = chance.random()
    return Result(number, round(0.6 + spread if failed else 0.02 + 0.4 * spread, 2))


class Rig:
    """Tests while it is switched on; a result once made is brought home even after `stop`."""

    def __init__(self, options: argparse.Namespace, truth: TruthFile) -> None:
        self.answers = Answers(options.link)
        self.on = asyncio.Event()
        self._options = options
        self._truth = truth
        self._chance = random.Random(f"{options.seed} leak")

    async def work(self) -> None:
        """One unit a cycle, for ever."""
        number = self._options.first
        while True:
            await self.on.wait()
            begun_s = time.monotonic()
            await self._test(number)
            number += 1
            await asyncio.sleep(max(begun_s + self._options.cycle - time.monotonic(), 0.0))

    async def _test(self, number: int) -> None:
        result = draw_result(number, self._options.fail, self._chance)
        self._truth.write(ResultMade(number, result.unit, result.passed, wall_ms()))
        line = result.line()
        if self._options.cut and number % self._options.cut == 0:
            self.answers.send(line[: len(line) // 2])
            await asyncio.sleep(self._options.cut_pause)
        tries = await self._deliver(line)
        self._truth.write(ResultAcked(number, wall_ms(), tries))

    async def _deliver(self, line: bytes) -> int:
        tries = 1
        while (answer := await self.answers.ask(line, self._options.patience)) != Answers.ACK:
            tries += 1
            if answer == Answers.NAK:
                await asyncio.sleep(_PAUSE_AFTER_NAK_S)
        return tries


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The rig, until the end of input."""
    rig = Rig(options, truth)
    with rig.answers.open():
        console.ready(Where(device=str(options.link)))
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.work(), name="rig")
            await obey(rig, console)
            working.cancel()


async def obey(rig: Rig, console: Console) -> None:
    """Switch the rig on and off until the end of input."""
    switches = {"start": rig.on.set, "stop": rig.on.clear}
    async for command in console.commands():
        if command in switches:
            switches[command]()
            console.did(command)
        else:
            console.refuse(command, COMMANDS)


def main() -> None:
    parser = arguments("simulators.testrig", "A leak tester on a pseudo-terminal.")
    parser.add_argument("--link", type=Path, required=True, help="where the host finds the port")
    parser.add_argument("--cycle", type=float, default=3.0, metavar="S", help="seconds a unit")
    parser.add_argument("--fail", type=float, default=0.1, help="the chance of a unit to fail")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first running number")
    parser.add_argument("--patience", type=float, default=2.0, metavar="S", help="wait for an answer")
    parser.add_argument("--cut", type=int, default=0, metavar="N", help="cut every Nth line; 0: none")
    parser.add_argument("--cut-pause", type=float, default=0.3, metavar="S", help="silence after a cut")
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
