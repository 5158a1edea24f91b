r"""A leak tester: `python -m simulators.testrig --link PATH`, or `--tcp PORT`, or `--call PORT`.

One result a unit, and the next unit only when the host has taken this one. By default a line:

    unit=U-0001;program=LEAK;revision=B;number=1;leak=0.12:mbar:0:0.5;result=PASS*HH\r\n

A step is value:unit of measure:low:high. HH is the exclusive or of all bytes before the
`*`, in two upper-case hexadecimal digits, as NMEA 0183 has it. The host answers ACK (0x06)
once the result is on disk; after NAK (0x15) or silence the same line goes out again.

`--frame stx`: STX (0x02), the text without `*HH`, ETX (0x03), LRC: the exclusive or of text and ETX, any
byte. `--frame enq`: the rig asks with ENQ (0x05) until the host says ACK, then sends an STX frame, and
ends with EOT (0x04) when that is acknowledged. `--text csv` and `--text json` write the same otherwise:

    U-0001;LEAK;B;1;0.12;mbar;0;0.5;PASS
    {"unit":"U-0001","program":"LEAK","revision":"B","number":1,"leak":0.12,"result":"PASS"}
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor

from simulators.carriers import add_carrier, carrier
from simulators.faults import NOISE, add_faults, due, faults
from simulators.process import Console, arguments, run
from simulators.records import ResultAcked, ResultMade, TruthFile, wall_ms
from simulators.speaker import Speaker

COMMANDS = "start, stop, exit"
STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
_HIGH_MBAR = 0.5
_PAUSE_AFTER_NAK_S = 0.2
_FAULTS = ("noise", "merge", "wrong_sum", "double", "hang_up", "cut")


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

    @property
    def verdict(self) -> str:
        return "PASS" if self.passed else "FAIL"

    def text(self, kind: str = "key=value") -> bytes:
        """What it says, without frame and checksum."""
        leak = f"{self.leak_mbar:.2f}"
        if kind == "csv":
            return f"{self.unit};LEAK;B;{self.number};{leak};mbar;0;{_HIGH_MBAR};{self.verdict}".encode()
        if kind == "json":
            said = {
                "unit": self.unit, "program": "LEAK", "revision": "B", "number": self.number,
                "leak": self.leak_mbar, "result": self.verdict,
            }  # fmt: skip
            return json.dumps(said, separators=(",", ":")).encode()
        return (
            f"unit={self.unit};program=LEAK;revision=B;number={self.number};"
            f"leak={leak}:mbar:0:{_HIGH_MBAR};result={self.verdict}"
        ).encode("ascii")

    def line(self, kind: str = "key=value") -> bytes:
        """As a line, with its checksum."""
        return lined(self.text(kind))


def lined(text: bytes, flip: int = 0) -> bytes:
    r"""`text*HH\r\n`; `flip` is what is wrong with the checksum."""
    return text + b"*%02X\r\n" % (reduce(xor, text) ^ flip)


def enclosed(text: bytes, flip: int = 0) -> bytes:
    """STX text ETX LRC."""
    body = text + ETX
    return STX + body + bytes([reduce(xor, body) ^ flip])


def draw_result(number: int, fail: float, chance: random.Random) -> Result:
    """The result of unit `number`; `fail` is the chance to fail, 0 to 1."""
    failed = chance.random() < fail
    spread = chance.random()
    return Result(number, round(0.6 + spread if failed else 0.02 + 0.4 * spread, 2))


class Rig:
    """Tests while it is switched on; a result once made is brought home even after `stop`."""

    def __init__(self, options: argparse.Namespace, truth: TruthFile) -> None:
        self.speaker = Speaker(carrier(options))
        self.on = asyncio.Event()
        self._options = options
        self._faults = faults(options)
        self._truth = truth
        self._chance = random.Random(f"{options.seed} leak")
        self._framed: Callable[..., bytes] = lined if options.frame == "line" else enclosed

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
        text = result.text(self._options.text)
        await self._go_wrong(number, text)
        tries = await self._deliver(self._framed(text), double=due(self._faults.double, number))
        if self._options.frame == "enq":
            self.speaker.send(EOT)
        self._truth.write(ResultAcked(number, wall_ms(), tries))

    async def _go_wrong(self, number: int, text: bytes) -> None:
        """What comes before the result as it should be."""
        frame = self._framed(text)
        if due(self._faults.cut, number):
            self.speaker.send(frame[: len(frame) // 2])
            await asyncio.sleep(self._options.cut_pause)
        if due(self._faults.hang_up, number):
            self.speaker.send(frame[: len(frame) // 2])
            await self.speaker.hang_up(self._options.away)
        if due(self._faults.wrong_sum, number):
            await self._try(self._framed(text, 0x55))
        if due(self._faults.merge, number):
            await self._try(frame[: len(frame) - 2] + frame)
        if due(self._faults.noise, number):
            self.speaker.send(NOISE)

    async def _deliver(self, frame: bytes, *, double: bool) -> int:
        tries = 1
        while (answer := await self._try(frame * (2 if double and tries == 1 else 1))) != ACK:
            tries += 1
            if answer == NAK:
                await asyncio.sleep(_PAUSE_AFTER_NAK_S)
        return tries

    async def _try(self, data: bytes) -> bytes | None:
        """What the host says to it; with `enq` the host is asked whether it listens first."""
        patience_s = self._options.patience
        if self._options.frame == "enq" and await self.speaker.ask(ENQ, [ACK, NAK], patience_s) != ACK:
            return None
        return await self.speaker.ask(data, [ACK, NAK], patience_s)


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The rig, until the end of input."""
    rig = Rig(options, truth)
    with rig.speaker.open():
        console.ready(rig.speaker.carrier.where)
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(rig.work(), name="rig")
            await obey(rig.on, console)
            working.cancel()


async def obey(on: asyncio.Event, console: Console) -> None:
    """Switch a rig on and off until the end of input."""
    switches = {"start": on.set, "stop": on.clear}
    async for command in console.commands():
        if command in switches:
            switches[command]()
            console.did(command)
        else:
            console.refuse(command, COMMANDS)


def main() -> None:
    parser = arguments("simulators.testrig", "A leak tester on a pseudo-terminal or on TCP.")
    add_carrier(parser)
    parser.add_argument("--frame", choices=("line", "stx", "enq"), default="line", help="how it is framed")
    parser.add_argument("--text", choices=("key=value", "csv", "json"), default="key=value", help="its form")
    parser.add_argument("--cycle", type=float, default=3.0, metavar="S", help="seconds a unit")
    parser.add_argument("--fail", type=float, default=0.1, help="the chance of a unit to fail")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first running number")
    parser.add_argument("--patience", type=float, default=2.0, metavar="S", help="wait for an answer")
    parser.add_argument("--cut-pause", type=float, default=0.3, metavar="S", help="silence after a cut")
    parser.add_argument("--away", type=float, default=1.0, metavar="S", help="of a plug that was pulled")
    add_faults(parser, *_FAULTS)
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
