"""Delivery from a journal to a victoria-metrics that is killed with -9, and with it what it had taken."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters import influxdb
from edge.clock import SystemClock
from edge.contract import Outlet
from edge.delivery import Delivery
from edge.journal.sinks import SinkReader
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.delivering import at_work
from tests.support.line import line, recording, see
from tests.support.servers import FarEnd, victoria_metrics, victoria_values

pytestmark = pytest.mark.timeout(90)

VISIBLE_S = 30.0
"""Until a fresh series shows in queries, on a busy machine."""

Points = set[tuple[str, int]]
"""Type and time of events; each has a millisecond of its own, for victoria-metrics keeps no more."""


class Bench:
    """A recorder at work, and a delivery from its journal to a database."""

    def __init__(self, recorder: Recorder, path: Path, url: str, replay: str) -> None:
        self._recorder, self._path, self._clock = recorder, path, ManualClock()
        table = {"type": "influxdb", "url": url, "bucket": "edge", "timeout": "5s", "replay": replay}
        self._settings = influxdb.Settings.model_validate(table)

    async def happen(self, events: int) -> None:
        seen = []
        for number in range(events):
            self._clock.pass_ms(1000)
            seen.append(see(self._clock, "gun-1", f"rubbish {number}"))
        await self._recorder.emit(seen)

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[Delivery]:
        """Until the end of the block; then stopped as the agent does it."""
        reader = SinkReader(self._path, "line-1")
        delivery = Delivery("db", self._settings, reader, self._recorder, dict, SystemClock())
        outlet = Outlet("db", "line-1", "", self._path.parent)
        try:
            async with at_work(delivery, lambda: influxdb.connect(self._settings, outlet)):
                yield delivery
        finally:
            reader.close()

    def made(self) -> Points:
        reader = SinkReader(self._path, "line-1")
        try:
            found = [(one.type, one.at_ms) for one in reader.records(1, reader.head(), 100_000)]
        finally:
            reader.close()
        assert len(found) == len(set(found))
        return set(found)


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


async def delivered(delivery: Delivery) -> None:
    await until(lambda: delivery.pending == 0 and delivery.state == "connected")


def kept(server: FarEnd) -> Points:
    found = victoria_values(server.port, '{__name__=~".+_attribution"}')
    return {
        (json.loads(series)["__name__"].removesuffix("_attribution"), at_ms)
        for series, values in found.items()
        for at_ms, _ in values
    }


async def all_kept(server: FarEnd, wanted: Points) -> None:
    async with asyncio.timeout(VISIBLE_S):
        while wanted - await asyncio.to_thread(kept, server):
            await asyncio.sleep(0.3)


@asynccontextmanager
async def bench_of(tmp_path: Path, replay: str = "15s") -> AsyncIterator[tuple[Bench, FarEnd]]:
    async with (
        victoria_metrics(tmp_path / "vm") as server,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        yield Bench(recorder, tmp_path / "journal.db", server.url, replay), server


async def test_what_was_acknowledged_before_a_kill_comes_again_though_nothing_happens(tmp_path: Path) -> None:
    async with bench_of(tmp_path) as (bench, server), bench.delivering() as delivery:
        await bench.happen(300)
        await delivered(delivery)
        await asyncio.sleep(1)  # idle: nothing is written, and nobody looks but the sink
        server.kill()
        await server.start()
        await all_kept(server, bench.made())


async def test_a_server_killed_again_and_again_while_parts_are_made_gets_every_event(tmp_path: Path) -> None:
    async with bench_of(tmp_path) as (bench, server), bench.delivering():
        for _ in range(3):
            for _ in range(10):
                await bench.happen(20)
                await asyncio.sleep(0)
            server.kill()
            await bench.happen(5)
            await server.start()
        await bench.happen(1)
        await all_kept(server, bench.made())


async def test_without_a_replay_window_something_is_missing(tmp_path: Path) -> None:
    """The window is what saves it: else these tests could not fail."""
    async with bench_of(tmp_path, replay="1ms") as (bench, server), bench.delivering() as delivery:
        await bench.happen(300)
        await delivered(delivery)
        server.kill()
        await server.start()
        await bench.happen(1)
        await delivered(delivery)
        last = max(bench.made(), key=lambda point: point[1])
        await all_kept(server, {last})
        assert bench.made() - kept(server)
