"""A machine as a process: its arguments, and the loop that lets it run in real time."""

import argparse
import time
from typing import Protocol

from simulators.machine import Counters, Machine, MachineSpec, Part, RandomStops, State
from simulators.process import EXIT, Console, arguments
from simulators.records import Made, TruthFile, wall_ms

COMMANDS = "start, stop, reset, exit"


class Panel(Protocol):
    """What of a machine can be seen from outside."""

    async def show_counters(self, counters: Counters) -> None:
        """Show all counters, so that no reader sees some of a part's and not the others."""

    async def show_state(self, state: State) -> None: ...


class Station:
    """One machine behind one panel."""

    def __init__(self, name: str, machine: Machine, panel: Panel, truth: TruthFile) -> None:
        self._name = name
        self._machine = machine
        self._panel = panel
        self._truth = truth
        self._shown_state: State | None = None

    async def show(self) -> None:
        """Show what the machine is now; before anybody can look."""
        await self._panel.show_counters(self._machine.counters)
        await self._show_state()

    async def run(self, console: Console) -> None:
        """Make parts and obey commands until EXIT."""
        while (command := await console.command(self._wait_s())) != EXIT:
            known = command is None or self._obey(command)
            await self._catch_up(time.monotonic())
            if command == "reset":
                await self._panel.show_counters(self._machine.counters)
            if command is not None:
                console.did(command) if known else console.refuse(command, COMMANDS)

    def start(self) -> None:
        self._machine.start(time.monotonic())

    def _wait_s(self) -> float | None:
        due_s = self._machine.next_event_s
        return None if due_s is None else max(due_s - time.monotonic(), 0.0)

    def _obey(self, command: str) -> bool:
        commands = {"start": self._machine.start, "stop": self._machine.stop, "reset": self._machine.reset}
        if command in commands:
            commands[command](time.monotonic())
        return command in commands

    async def _catch_up(self, now_s: float) -> None:
        for part in self._machine.advance(now_s):
            await self._count(part)
        await self._show_state()

    async def _count(self, part: Part) -> None:
        from_ms = wall_ms()
        await self._panel.show_counters(part.counters)
        self._truth.write(Made(part.number, part.good, from_ms, wall_ms(), self._name))

    async def _show_state(self) -> None:
        if self._machine.state is not self._shown_state:
            self._shown_state = self._machine.state
            await self._panel.show_state(self._shown_state)


def machine_arguments(module: str, description: str, station: str) -> argparse.ArgumentParser:
    """A parser with what every machine takes."""
    parser = arguments(module, description)
    parser.add_argument("--station", default=station, help="the name in the ground truth")
    parser.add_argument("--cycle", type=float, default=1.0, metavar="S", help="mean seconds a part")
    parser.add_argument("--jitter", type=float, default=0.05, help="how far a cycle strays, as a fraction")
    parser.add_argument("--scrap", type=float, default=0.02, help="the chance of a part to be scrap")
    parser.add_argument("--bits", type=int, choices=(16, 32), default=32, help="the counters' width")
    parser.add_argument("--first-total", type=int, default=0, metavar="N", help="the total at the start")
    parser.add_argument("--first-good", type=int, default=0, metavar="N", help="the good at the start")
    parser.add_argument("--first-reject", type=int, default=0, metavar="N", help="the rejects at the start")
    parser.add_argument("--stop-every", type=float, metavar="S", help="mean running time to a random stop")
    parser.add_argument("--stop-length", type=float, default=5.0, metavar="S", help="its mean length")
    parser.add_argument("--running", action="store_true", help="begin running, not stopped")
    return parser


def machine_from(options: argparse.Namespace) -> Machine:
    """The machine that the arguments describe; leaves the process where they make no sense."""
    stops = options.stop_every
    try:
        spec = MachineSpec(
            cycle_s=options.cycle,
            jitter=options.jitter,
            scrap=options.scrap,
            counter_bits=options.bits,
            first=Counters(options.first_total, options.first_good, options.first_reject),
            stops=None if stops is None else RandomStops(stops, options.stop_length),
        )
    except ValueError as error:
        raise SystemExit(f"such a machine cannot exist: {error}") from error
    return Machine(spec, options.seed)
