"""`make bench`: the figures that the README quotes, each measured here and now.

Times are of one process on a machine that may be busy; take ratios, and run it again.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from edge.journal import Journal
from edge.journal.store import encode_data
from edge.observation import TICK, Observation, TestResult
from edge.production import Line, decide, needs
from edge.production.line import CounterSpec, Role, StationSpec
from edge.recorder import Recorder
from edge.working import WorkingRows

STATIONS = 50
BATCHES = (1_000, 100, 10)
Figures = dict[str, float]


def bench_line() -> Line:
    """50 stations with one counter and one test rig each."""
    return Line("bench", tuple(_station(number) for number in range(STATIONS)), badge_required=False)


def _station(number: int) -> StationSpec:
    name = f"s{number}"
    counter = CounterSpec(f"{name}.total", Role.TOTAL, "plc", f"counter/plc|{number}", 1 << 32)
    return StationSpec(name, 50, 1.0, 60_000, (counter,), rig=f"rig-{number}")


def readings(count: int) -> Iterator[Observation]:
    """Every one counts a part: the dearest kind of observation."""
    for number in range(count):
        place, raw = number % STATIONS, number // STATIONS
        now_ms = 1_777_900_000_000 + raw * 50
        yield Observation(f"s{place}.total", raw, now_ms, now_ms, raw * 50 + 1_000, "boot")


def core_and_journal(folder: Path, batch: int, count: int) -> Figures:
    """Observations through needs, decide, encoding and FULL commits, on one thread."""
    line, journal = bench_line(), Journal(folder / f"journal-{batch}.db")
    rows, seen = WorkingRows(journal), list(readings(count))
    core_s = journal_s = 0.0
    begin = time.perf_counter()
    for start in range(0, count, batch):
        before = time.thread_time()
        events = []
        for one in seen[start : start + batch]:
            rows.load(needs(line, one, rows))
            decision = decide(line, rows, one)
            rows.change(decision.rows)
            events += [(event, encode_data(event.data)) for event in decision.events]
        between = time.thread_time()
        journal.commit(events, rows.changed())
        rows.committed()
        core_s, journal_s = core_s + between - before, journal_s + time.thread_time() - between
    wall_s = time.perf_counter() - begin
    events_in = journal.head
    journal.close()
    return {
        "observations_per_s": count / wall_s,
        "events_per_s": events_in / wall_s,
        "core_cpu_us_each": core_s / count * 1e6,
        "journal_cpu_us_each": journal_s / count * 1e6,
    }


async def _with_recorder(folder: Path, work: Callable[[Recorder], Awaitable[None]]) -> None:
    journal = Journal(folder / "recorder.db")
    recorder = Recorder(bench_line(), journal, lambda signals: [])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        await work(recorder)
        task.cancel()
    journal.close()


async def emit_to_durable(folder: Path, per_s: int, seconds: float, urgent: bool) -> Figures:
    """How long `await emit` takes at a steady rate: test results at once, samples together."""
    took: list[float] = []

    async def one(recorder: Recorder, number: int) -> None:
        begin = time.perf_counter()
        await recorder.emit([_result(number) if urgent else _sample(number)])
        took.append(time.perf_counter() - begin)

    async def work(recorder: Recorder) -> None:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(max(0.0, start + number / per_s - time.perf_counter()))
                group.create_task(one(recorder, number))

    await _with_recorder(folder, work)
    cuts = statistics.quantiles(took, n=100)
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000, "measured": float(len(took))}


def _clocks() -> tuple[int, int]:
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000


def _sample(number: int) -> Observation:
    wall_ms, mono_ms = _clocks()
    signal = f"s{number % STATIONS}.total"
    return Observation(signal, number // STATIONS, wall_ms, wall_ms, mono_ms, "boot")


def _result(number: int) -> Observation:
    wall_ms, mono_ms = _clocks()
    result = TestResult(f"U-{number}", "LEAK", True, number=str(number))
    return Observation(f"rig-{number % STATIONS}", result, wall_ms, wall_ms, mono_ms, "boot")


async def written(folder: Path, seconds: int, parts_per_s: float) -> Figures:
    """Bytes that reach the disk in an hour, from polling every 250 ms and a tick a second.

    Opening and closing the journal is left out: it happens once.
    """
    found = 0

    async def work(recorder: Recorder) -> None:
        nonlocal found
        await recorder.emit(_poll(0))
        start, before = time.monotonic(), _write_bytes()
        while (passed := time.monotonic() - start) < seconds:
            await recorder.emit(_poll(int(passed * parts_per_s)))
            await asyncio.sleep(max(0.0, start + passed + 0.25 - time.monotonic()))
        found = _write_bytes() - before

    await _with_recorder(folder, work)
    return {"MB_per_hour": found * 3600 / seconds / 1e6}


def _poll(made: int) -> list[Observation]:
    wall_ms, mono_ms = _clocks()
    return [
        Observation("s0.total", made, wall_ms, wall_ms, mono_ms, "boot"),
        Observation(TICK, None, wall_ms, wall_ms, mono_ms, "boot"),
    ]


def _write_bytes() -> int:
    """What this process had written to storage (proc(5), io); 0 on a folder in memory."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def measure(short: bool) -> Iterator[tuple[str, Figures]]:
    """Every figure, in turn."""
    count, seconds = (20_000, 3) if short else (200_000, 20)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        for batch in BATCHES:
            figures = core_and_journal(folder, batch, count if batch > 10 else count // 10)
            yield f"core and journal, {batch} a commit", figures
        for urgent in (True, False):
            figures = asyncio.run(emit_to_durable(_fresh(folder, urgent), 1_000, seconds / 2, urgent))
            yield f"emit to durable, 1,000 {'test results' if urgent else 'samples'} a second", figures
        for rate, words in ((0.0, "an idle line"), (1.0, "a line at 1 part/s")):
            figures = asyncio.run(written(_fresh(folder, rate), seconds, rate))
            yield f"written to disk, {words}", figures


def _fresh(folder: Path, name: object) -> Path:
    path = folder / str(name)
    path.mkdir()
    return path


def main() -> None:
    """Print a figure as soon as it is there."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less exact, in a tenth of the time")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args()
    found = {}
    for name, figures in measure(options.short):
        found[name] = figures
        if not options.json:
            said = ", ".join(f"{what} {value:,.1f}" for what, value in figures.items())
            sys.stdout.write(f"{name}: {said}\n")
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")


main()
