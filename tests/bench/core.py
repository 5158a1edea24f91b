"""Core, journal and recorder on a journal that begins empty: the rate, the delay, the bytes."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from edge.journal import Journal
from edge.observation import TICK, Observation, TestResult
from edge.production import Line
from edge.production.line import CounterSpec, Role, StationSpec
from edge.recorder import Recorder
from tests.bench.floor import Feeder
from tests.bench.process import Figures, write_bytes

STATIONS = 50
BATCHES = (1_000, 100, 10)


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
    journal = Journal(folder / f"journal-{batch}.db")
    feeder, seen = Feeder(bench_line(), journal), list(readings(count))
    gc.freeze()  # as the agent does; nobody holds so many observations there
    begin = time.perf_counter()
    feeder.feed(seen, batch)
    wall_s = time.perf_counter() - begin
    events = journal.head
    journal.close()
    return {
        "observations_per_s": count / wall_s,
        "events_per_s": events / wall_s,
        "core_cpu_us_each": feeder.core_s / count * 1e6,
        "journal_cpu_us_each": feeder.journal_s / count * 1e6,
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
        start, before = time.monotonic(), write_bytes()
        while (passed := time.monotonic() - start) < seconds:
            await recorder.emit(_poll(int(passed * parts_per_s)))
            await asyncio.sleep(max(0.0, start + passed + 0.25 - time.monotonic()))
        found = write_bytes() - before

    await _with_recorder(folder, work)
    return {"MB_per_hour": found * 3600 / seconds / 1e6}


def _poll(made: int) -> list[Observation]:
    wall_ms, mono_ms = _clocks()
    return [
        Observation("s0.total", made, wall_ms, wall_ms, mono_ms, "boot"),
        Observation(TICK, None, wall_ms, wall_ms, mono_ms, "boot"),
    ]


def rates(folder: Path, count: int, seconds: int) -> Iterator[tuple[str, Figures]]:
    """Every figure of a fresh journal, in turn."""
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
