"""What an event costs, and what the agent holds in memory, as the journal grows.

    python -m tests.bench.growth JOURNAL UNITS

is one measurement in a process of its own: so many units more, in a journal that was built before.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edge.journal import Journal
from edge.observation import Observation
from tests.bench.floor import STATIONS, Feeder, Shift, floor
from tests.bench.grown import BLOCK_UNITS, Say, grow, token
from tests.bench.process import Figures, highest_mb, medians, noise_percent, resident_mb, write_bytes

MEASURED = 12_000
"""Units: enough that the rows in memory are let go of at least once."""
WARM = 1_000
BATCH = 30
"""Observations a commit."""
OLD_EVERY = 10
"""One unit in so many has been here before, any time: its row is somewhere in the file."""


def growth(folder: Path, sizes: tuple[int, ...], rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """Every size in turn, and that several times, so that a busy moment hits all alike."""
    built = {size: _build(folder, size, say) for size in sizes}
    found: dict[int, list[Figures]] = {size: [] for size in sizes}
    for turn in range(rounds):
        for size in sizes:
            say(f"round {turn + 1} of {rounds}: {size:,} units")
            found[size].append(_measure(folder, built[size], size))
    for size in sizes:
        noise = {"noise_percent": noise_percent(found[size], "core_cpu_us")}
        yield f"a journal of {size:,} units", medians(found[size]) | noise
    first, last = medians(found[sizes[0]]), medians(found[sizes[-1]])
    ratios = {name: last[name] / first[name] for name in first if first[name]}
    yield f"{sizes[-1]:,} units against {sizes[0]:,}, ratio", ratios


def _build(folder: Path, units: int, say: Say) -> Path:
    path = folder / f"units-{units}.db"
    grow(path, units, lambda text: say(f"building {units:,} units: {text}"))
    return path


def _measure(folder: Path, built: Path, units: int) -> Figures:
    """On a copy: what is measured must not make the small one larger."""
    path = folder / "measured" / built.name
    path.parent.mkdir()
    try:
        shutil.copyfile(built, path)
        command = [sys.executable, "-m", "tests.bench.growth", str(path), str(units)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    finally:
        shutil.rmtree(path.parent)
    figures: Figures = json.loads(said)
    return figures


def _units_more(path: Path, units: int) -> Figures:
    """The figures of an event, and of the process at its end."""
    journal = Journal(path)
    feeder, shift = Feeder(floor(path.parent), journal), Shift("NEW", 60_000_000)
    feeder.feed([*shift.begin(10**6)], 1)
    _feed(feeder, shift, 0, WARM, 0)
    figures = _cost(feeder, shift, WARM, 0)
    again = _cost(feeder, shift, WARM + MEASURED, units)
    figures |= {f"{name}_with_old": value for name, value in again.items()}
    figures |= {"resident_MB": resident_mb(), "highest_MB": highest_mb()}
    journal.close()
    return figures


def _cost(feeder: Feeder, shift: Shift, first: int, old: int) -> Figures:
    """Of one event of the next units."""
    feeder.core_s = feeder.journal_s = 0.0
    before, head = write_bytes(), feeder.journal.head
    for number in range(first, first + MEASURED, WARM):
        _feed(feeder, shift, number, number + WARM, old)
    events = feeder.journal.head - head
    return {
        "core_cpu_us": feeder.core_s / events * 1e6,
        "journal_cpu_us": feeder.journal_s / events * 1e6,
        "written_bytes": (write_bytes() - before) / events,
    }


def _feed(feeder: Feeder, shift: Shift, first: int, last: int, old: int) -> None:
    """Units of these numbers; where `old` says how many were built, every so many is one of those."""
    seen: list[Observation] = []
    for number in range(first, last):
        serial = _old_serial(number, old) if old and number % OLD_EVERY == 0 else ""
        seen += shift.unit(number, number // STATIONS + 1, serial)
    feeder.feed(seen, BATCH)


def _old_serial(number: int, units: int) -> str:
    """Spread over all that were built, without an order."""
    place = number * 7_919_977 % units
    return Shift(token(place // BLOCK_UNITS)).serial(place % BLOCK_UNITS)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_units_more(Path(sys.argv[1]), int(sys.argv[2]))))
