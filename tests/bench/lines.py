"""Line protocol from the journal to victoria-metrics and to a file, and the journal itself: each beside what
the bare library does with the same in the same run.

The bare client has two kinds of work: lines that are ready, which leaves out what delivery is for (reading,
rendering, booking), and `Point` objects made from the values, as its manual shows it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteApi
from msgspec import json

from adapters import file, influxdb
from adapters._line_protocol import points
from edge.batches import Batch
from edge.contract import Record
from edge.journal import Journal
from edge.journal.sinks import SinkReader
from edge.observation import Stamp
from edge.production.context import Context
from edge.production.events import Event
from edge.production.state import Row, encode_row
from simulators.far_ends import victoria_metrics
from tests.bench.core import bench_line, readings
from tests.bench.delivery import NAME, Run, compared, delivered, filled, records
from tests.bench.floor import BASE_MS, BOOT, Feeder
from tests.bench.process import Figures

AT_ONCE = 500
"""Events in one write: what delivery does unless told otherwise."""
SIGNALS = 1_000
FRAMES = 4
"""In one batch."""


def lines(folder: Path, events: int, rounds: int) -> Iterator[tuple[str, Figures]]:
    """A backlog of so many events to each far end that takes line protocol, and to the disk."""
    folder.mkdir()
    yield "append to the journal", _appended(folder, events, rounds)
    path = filled(folder / "journal.db", events)
    for name, figures in asyncio.run(_to_file(folder, path, rounds)).items():
        yield f"delivery to a file, line protocol, beside {name}", figures
    for gzip in (False, True):
        words = "gzip" if gzip else "plain"
        for name, figures in asyncio.run(_to_victoria(folder / words, path, rounds, gzip)).items():
            yield f"delivery to victoria-metrics, {words}, beside the client with {name}", figures
    frames = max(events // 20, FRAMES)
    place = _sampled(folder / "telemetry.db", frames)
    for gzip in (False, True):
        words = "gzip" if gzip else "plain"
        figures = asyncio.run(_telemetry(folder / f"telemetry-{words}", place, rounds, gzip))
        yield f"telemetry to victoria-metrics, {words}, points of {SIGNALS:,} values", figures


# --- victoria-metrics -----------------------------------------------------------------------


async def _to_victoria(folder: Path, path: Path, rounds: int, gzip: bool) -> dict[str, Figures]:
    told = [one for one in records(path) if one.data is not None and one.context is not None]
    ready = [points(one).decode() for one in told]
    ours: list[Run] = []
    bare: dict[str, list[Run]] = {"lines that are ready": [], "Point objects": []}
    async with victoria_metrics(folder) as server:
        table = {"type": "influxdb", "url": server.url, "bucket": "bench", "gzip": gzip}
        client = InfluxDBClient(server.url, token="t", org="-", enable_gzip=gzip)
        api = client.write_api(write_options=SYNCHRONOUS)
        for _ in range(rounds):
            bare["lines that are ready"].append(await asyncio.to_thread(_written, api, ready))
            bare["Point objects"].append(await asyncio.to_thread(_as_points, api, told))
            ours.append(await delivered(path, influxdb, table))
        client.close()  # type: ignore[no-untyped-call]
    return {name: compared(ours, runs) for name, runs in bare.items()}


def _written(api: WriteApi, ready: Sequence[str]) -> Run:
    return _timed(lambda start: api.write("bench", record=ready[start : start + AT_ONCE]), len(ready))


def _as_points(api: WriteApi, told: Sequence[Record]) -> Run:
    def write(start: int) -> None:
        api.write("bench", record=[_made(one) for one in told[start : start + AT_ONCE]])

    return _timed(write, len(told))


def _made(one: Record) -> Point:
    """Of values that are decoded already, and none for the order: less than ours."""
    point: Point = Point(one.type).tag("line", one.line).tag("station", one.station)  # type: ignore[no-untyped-call]
    for key, value in (*one.data.items(), *one.context.items()):
        point.field(key, value)  # type: ignore[no-untyped-call]
    point.time(one.at_ms * 1_000_000 + one.seq)  # type: ignore[no-untyped-call]
    return point


# --- telemetry ------------------------------------------------------------------------------


def _sampled(path: Path, frames: int) -> Path:
    """A journal with batches as the agent makes them of registers that are read all together."""
    journal, names = Journal(path), [f"r_{number:04}" for number in range(SIGNALS)]
    for start in range(0, frames, FRAMES):
        bodies = b",".join(_frame(names, number) for number in range(start, start + FRAMES))
        at_ms = BASE_MS + start
        values = FRAMES * SIGNALS
        one = Batch("oven", "oven", at_ms, at_ms, start, BOOT, Stamp.RECEIPT, bodies, values)
        journal.commit(telemetry=[(one, Context(order="WO-1001", run="r7"))])
    journal.close()
    return path


def _frame(names: Sequence[str], number: int) -> bytes:
    values = {name: (number * 7919 + place * 104_729) % 65_536 for place, name in enumerate(names)}
    return json.encode({"at": BASE_MS + number, "values": values})


def _batches(path: Path) -> Iterator[Record]:
    reader, first = SinkReader(path, NAME), 1
    while found := reader.records(first, reader.head()):
        yield from found
        first = found[-1].seq + 1
    reader.close()


async def _telemetry(folder: Path, path: Path, rounds: int, gzip: bool) -> Figures:
    """A point a frame; the client gets lines that are ready."""
    ready = [line for one in _batches(path) for line in points(one).decode().splitlines()]
    ours, bare = [], []
    async with victoria_metrics(folder) as server:
        table = {"type": "influxdb", "url": server.url, "bucket": "bench", "gzip": gzip}
        with InfluxDBClient(server.url, token="t", org="-", enable_gzip=gzip) as client:
            api = client.write_api(write_options=SYNCHRONOUS)
            for _ in range(rounds):
                bare.append(await asyncio.to_thread(_written, api, ready))
                ours.append(replace(await delivered(path, influxdb, table), events=len(ready)))
    return compared(ours, bare)


# --- a file ---------------------------------------------------------------------------------


async def _to_file(folder: Path, path: Path, rounds: int) -> dict[str, Figures]:
    told = records(path)
    ready = [points(one).decode() + "\n" for one in told]
    ours: list[Run] = []
    bare: dict[str, list[Run]] = {"lines that are ready": [], "Point objects": []}
    for turn in range(rounds):
        place = folder / f"bare-{turn}"
        make = partial(_lines_of, told)
        bare["lines that are ready"].append(_appended_to(place, lambda part: ready[part], len(ready)))
        bare["Point objects"].append(_appended_to(place, make, len(told)))
        place.unlink()
        table = {"type": "file", "format": "line-protocol", "linger": "1ms", "rotate": "1GB"}
        ours.append(await delivered(path, file, table))
    return {name: compared(ours, runs) for name, runs in bare.items()}


def _lines_of(told: Sequence[Record], part: slice) -> list[str]:
    return [f"{_made(one).to_line_protocol()}\n" for one in told[part]]  # type: ignore[no-untyped-call]


def _appended_to(path: Path, some: Callable[[slice], list[str]], events: int) -> Run:
    """Each write is flushed to the disk."""
    with path.open("a", encoding="utf-8") as out:

        def write(start: int) -> None:
            out.writelines(some(slice(start, start + AT_ONCE)))
            out.flush()
            os.fsync(out.fileno())

        return _timed(write, events)


# --- the journal ----------------------------------------------------------------------------

Commit = tuple[list[tuple[Event, bytes]], dict[str, Row]]


class _Tapped(Journal):
    """Keeps what is committed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[Commit] = []

    def commit(self, events: Any = (), rows: Any = None, *others: Any, **named: Any) -> int:
        self.commits.append((list(events), dict(rows or {})))
        return super().commit(events, rows, *others, **named)


def _appended(folder: Path, events: int, rounds: int) -> Figures:
    """Commits of 100 observations: events and the rows of what is so now, FULL, by ours and by apsw alone."""
    tapped = _Tapped(folder / "tapped.db")
    Feeder(bench_line(), tapped).feed(list(islice(readings(events), events)), 100)
    tapped.close()
    ours, bare = [], []
    for turn in range(rounds):
        bare.append(_apsw(folder / f"bare-{turn}.db", tapped.commits))
        ours.append(_journal(folder / f"ours-{turn}.db", tapped.commits))
    return compared(ours, bare)


def _journal(path: Path, commits: Sequence[Commit]) -> Run:
    journal = Journal(path)
    run = _clocked(journal.commit, commits)
    journal.close()
    return run


def _apsw(path: Path, commits: Sequence[Commit]) -> Run:
    """The same bytes into two tables without an index."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, type TEXT, at_ms INTEGER, station TEXT, data BLOB)"
    )
    db.execute("CREATE TABLE state (key TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
    run = _clocked(lambda events, rows: _insert(db, events, rows), commits)
    db.close()
    return run


def _insert(db: apsw.Connection, events: list[tuple[Event, bytes]], rows: dict[str, Row]) -> None:
    with db:
        db.executemany(
            "INSERT INTO event (type, at_ms, station, data) VALUES (?, ?, ?, ?)",
            [(type(event.data).type, event.at_ms, event.station, data) for event, data in events],
        )
        db.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?)",
            [(key, encode_row(row)) for key, row in rows.items()],
        )


def _clocked(
    work: Callable[[list[tuple[Event, bytes]], dict[str, Row]], object], commits: Sequence[Commit]
) -> Run:
    events = sum(len(events) for events, _ in commits)
    begin, cpu = time.perf_counter(), time.process_time()
    for one in commits:
        work(*one)
    return Run(events, time.perf_counter() - begin, time.process_time() - cpu)


def _timed(write: Callable[[int], object], events: int) -> Run:
    begin, cpu = time.perf_counter(), time.process_time()
    for start in range(0, events, AT_ONCE):
        write(start)
    return Run(events, time.perf_counter() - begin, time.process_time() - cpu)
