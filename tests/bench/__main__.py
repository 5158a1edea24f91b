"""`make bench`: the figures that the README quotes, each measured here and now.

Times are of one process on a machine that may be busy; take ratios, and run it again. The large journals lie
in a folder that is made where this is started, and are gone at the end.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.bench.core import rates
from tests.bench.corrections import corrections
from tests.bench.delivery import delivery
from tests.bench.grown import BYTES_A_UNIT, EVENTS_A_UNIT, on_terminal
from tests.bench.growth import growth
from tests.bench.lines import lines
from tests.bench.modbus import modbus
from tests.bench.opcua import opcua
from tests.bench.price import prices
from tests.bench.process import Figures
from tests.bench.start import start
from tests.bench.telemetry import telemetry

MARGIN = 2
"""So many times the room that is taken must be free: the disk is not for this alone."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    observations: int
    seconds: int
    sizes: tuple[int, ...]
    """Units in the journals that are compared."""
    history: int
    """Units in the journal that the agent starts with."""
    parts: tuple[int, ...]
    """That are given to another owner."""
    rounds: int
    turns: int
    """Of what runs live for some seconds, each with processes of its own."""

    @property
    def room(self) -> int:
        """Bytes on the disk at the most: the journal to start with, or those to compare and a copy of one."""
        return max(2 * sum(self.sizes), self.history) * BYTES_A_UNIT


FULL = Scale(200_000, 20, (10_000, 100_000, 1_000_000), 2_000_000, (1_000, 100_000), 5, 3)
QUICK = Scale(20_000, 3, (10_000, 100_000), 200_000, (1_000, 10_000), 2, 1)

LARGE = ("growth", "corrections", "start")
"""Parts that build journals."""

Part = Callable[[Path], Iterator[tuple[str, Figures]]]


def parts_of(scale: Scale) -> dict[str, Part]:
    """What can be measured, by its name; each in a folder of its own."""
    return {
        "core": lambda folder: rates(folder, scale.observations, scale.seconds),
        "growth": lambda folder: growth(folder, scale.sizes, scale.rounds, on_terminal),
        "corrections": lambda folder: corrections(
            folder, scale.sizes[-1], scale.parts, scale.rounds, on_terminal
        ),
        "price": lambda folder: prices(folder, 100_000, 2_000, 2, on_terminal),
        "telemetry": lambda folder: telemetry(folder, scale.seconds, scale.turns, on_terminal),
        "modbus": lambda folder: modbus(folder, scale.seconds, scale.turns, on_terminal),
        "opcua": lambda folder: opcua(folder, scale.seconds, scale.turns, on_terminal),
        "delivery": lambda folder: chain(
            delivery(folder, scale.observations, scale.rounds),
            lines(folder / "lines", scale.observations // 4, min(scale.rounds, 3)),
        ),
        "start": lambda folder: start(folder, scale.history, scale.rounds, on_terminal),
    }


def fitting(scale: Scale, free: int) -> Scale:
    """The quick one where the disk has no room for the full one. Exits where it has none for either."""
    for one in (scale, QUICK):
        if one.room * MARGIN <= free:
            return one
    sys.exit(f"{free // 10**6:,} MB are free here, {QUICK.room * MARGIN // 10**6:,} MB are needed")


def _said_size(scale: Scale, wanted: Scale) -> str:
    words = f"The largest journal will have {scale.history * EVENTS_A_UNIT:,} events"
    less = (
        f"; with {wanted.room * MARGIN // 10**6:,} MB free it would be larger" if scale is not wanted else ""
    )
    return f"{words}; up to {scale.room // 10**6:,} MB are taken in {Path.cwd()} for some minutes{less}.\n"


def measure(scale: Scale, names: list[str]) -> Iterator[tuple[str, Figures]]:
    """Every figure of these parts, in turn."""
    parts = parts_of(scale)
    for name in names or parts:
        if not sys.stderr.isatty():
            sys.stderr.write(f"measuring {name}\n")
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
            yield from parts[name](Path(folder))


def main() -> None:
    """Print a figure as soon as it is there."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts_of(QUICK))}; else all")
    parser.add_argument("--quick", action="store_true", help="less exact, without the largest journals")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts_of(QUICK)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the folder is removed
    scale = wanted = QUICK if options.quick else FULL
    if not options.parts or set(options.parts) & set(LARGE):
        scale = fitting(wanted, shutil.disk_usage(Path.cwd()).free)
        sys.stderr.write(_said_size(scale, wanted))
    found = {}
    for name, figures in measure(scale, options.parts):
        found[name] = figures
        if not options.json:
            _print(name, figures)
    on_terminal("")
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")


def _print(name: str, figures: Figures) -> None:
    on_terminal("")
    said = ", ".join(f"{what} {_rounded(value)}" for what, value in figures.items())
    sys.stdout.write(f"{name}: {said}\n")
    sys.stdout.flush()


def _rounded(value: float) -> str:
    """Ratios and seconds need two places, rates none."""
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"


main()
