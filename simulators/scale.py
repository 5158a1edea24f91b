r"""A scale that speaks MT-SICS: `python -m simulators.scale --link PATH`, or `--tcp PORT`, or `--call PORT`.

`S\r\n` asks for the weight once it is steady, `SI\r\n` for the weight of now. The answers:

    S S     12.34 g      steady
    S D     11.90 g      it still moves (only to SI)
    S +  / S -           too much on it, or less than nothing
    S I                  not now: it did not come to rest within `--patience`
    ES                   it does not know this command

The weight has ten characters, right-aligned. With `--push` it also sends `S S ...` by itself whenever it
comes to rest loaded; with `--stream S` it says the weight of now every so many seconds, asked or not.
Nothing is acknowledged. Source: Mettler-Toledo, MT-SICS reference manual, commands S, SI, SIR.

Commands on standard input: `put WEIGHT` (it comes to rest after `--settle`), `take`, `exit`.
"""

import argparse
import asyncio
import random
import time

from simulators.carriers import add_carrier, carrier
from simulators.faults import NOISE, add_faults, due, faults
from simulators.process import Console, arguments, run
from simulators.records import TruthFile, Weighed, wall_ms
from simulators.speaker import Speaker

COMMANDS = "put WEIGHT, take, exit"
_END = b"\r\n"
_LOOK_S = 0.01


class Scale:
    """The pan and what is on it."""

    def __init__(self, options: argparse.Namespace, truth: TruthFile) -> None:
        self.speaker = Speaker(carrier(options))
        self._options = options
        self._faults = faults(options)
        self._truth = truth
        self._chance = random.Random(f"{options.seed} scale")
        self._weight = 0.0
        self._steady_at_s = 0.0
        self._sent = 0
        self._put = 0
        self._told = True

    def load(self, weight: float) -> None:
        self._weight = weight
        self._steady_at_s = time.monotonic() + self._options.settle
        self._told = False

    async def rest(self) -> None:
        """Say so whenever it comes to rest; for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._told or not self._is_steady:
                continue
            self._told = True
            if self._weight:
                self._put += 1
                self._truth.write(Weighed(self._put, self._weight, wall_ms()))
            if self._weight and self._options.push:
                self._say(self._reading())

    async def answer(self) -> None:
        """What the host asks; for ever."""
        while True:
            command = (await self.speaker.line(_END)).strip()
            if command == b"SI":
                self._say(self._reading())
            elif command == b"S":
                await self._answer_steady()
            else:
                self._say(b"ES")

    async def stream(self) -> None:
        """The weight of now, again and again; for ever."""
        while self._options.stream:
            self._say(self._reading())
            await asyncio.sleep(self._options.stream)

    async def _answer_steady(self) -> None:
        moving_s = max(self._steady_at_s - time.monotonic(), 0.0)
        await asyncio.sleep(min(moving_s, self._options.patience))
        self._say(self._reading() if self._is_steady else b"S I")

    @property
    def _is_steady(self) -> bool:
        return time.monotonic() >= self._steady_at_s

    def _reading(self) -> bytes:
        if self._weight > self._options.most:
            return b"S +"
        if self._weight < 0:
            return b"S -"
        if self._is_steady:
            return b"S S %10.2f %s" % (self._weight, self._options.unit.encode())
        moving = self._weight * self._chance.uniform(0.2, 1.1)
        return b"S D %10.2f %s" % (moving, self._options.unit.encode())

    def _say(self, text: bytes) -> None:
        self._sent += 1
        if due(self._faults.noise, self._sent):
            self.speaker.send(NOISE)
        if due(self._faults.cut, self._sent):
            self.speaker.send(text[: len(text) // 2])
        elif due(self._faults.merge, self._sent):
            self.speaker.send(text + text + _END)
        else:
            self.speaker.send((text + _END) * (2 if due(self._faults.double, self._sent) else 1))


async def serve(options: argparse.Namespace, console: Console, truth: TruthFile) -> None:
    """The scale, until the end of input."""
    scale = Scale(options, truth)
    with scale.speaker.open():
        console.ready(scale.speaker.carrier.where)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(one()) for one in (scale.rest, scale.answer, scale.stream)]
            await _obey(scale, console)
            for one in working:
                one.cancel()


async def _obey(scale: Scale, console: Console) -> None:
    async for command in console.commands():
        verb, _, weight = command.partition(" ")
        try:
            loaded = 0.0 if command == "take" else float(weight)
        except ValueError:
            verb = ""
        if verb not in ("put", "take"):
            console.refuse(command, COMMANDS)
            continue
        scale.load(loaded)
        console.did(command)


def main() -> None:
    parser = arguments("simulators.scale", "A scale on a pseudo-terminal or on TCP.")
    add_carrier(parser)
    parser.add_argument("--push", action="store_true", help="say the weight whenever it comes to rest loaded")
    parser.add_argument("--stream", type=float, default=0.0, metavar="S", help="say the weight all the time")
    parser.add_argument("--settle", type=float, default=0.3, metavar="S", help="until it rests")
    parser.add_argument("--patience", type=float, default=2.0, metavar="S", help="wait for it to rest")
    parser.add_argument("--most", type=float, default=6000.0, metavar="WEIGHT", help="its capacity")
    parser.add_argument("--unit", default="g", help="of the weight")
    add_faults(parser, "noise", "cut", "merge", "double")
    options = parser.parse_args()
    run(lambda console, truth: serve(options, console, truth), options.truth)


if __name__ == "__main__":
    main()
