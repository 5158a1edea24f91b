"""Delivery from a journal to a broker that is killed with -9, and with it what it had confirmed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters import mqtt
from edge.clock import SystemClock
from edge.contract import Outlet
from edge.delivery import Delivery
from edge.journal.sinks import SinkReader
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.delivering import at_work
from tests.support.line import line, recording, see
from tests.support.proxy import Proxy
from tests.support.servers import FarEnd, heard, mosquitto, session

SELDOM = (
    "allow_anonymous true", "autosave_interval 1800", "autosave_on_changes false", "max_queued_messages 0"
)  # fmt: skip
"""What mosquitto does unless told otherwise: it saves every half hour, and when it is stopped in order."""
ALL = "line-1/#"

pytestmark = pytest.mark.timeout(60)


class Bench:
    """A recorder at work, and a delivery from its journal to a broker."""

    def __init__(self, recorder: Recorder, path: Path, port: int, **settings: str) -> None:
        self._recorder, self._path = recorder, path
        table: dict[str, Any] = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "1s"}
        self._settings = mqtt.Settings.model_validate(table | settings)
        self._clock = ManualClock()

    async def happen(self, events: int) -> None:
        self._clock.pass_ms(1000)
        await self._recorder.emit([see(self._clock, "gun-1", f"rubbish {n}") for n in range(events)])

    async def count(self, raw: int) -> None:
        """The counter of parts stands here now."""
        self._clock.pass_ms(1000)
        await self._recorder.emit([see(self._clock, "press.total", raw)])

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[Delivery]:
        """Until the end of the block; then stopped as the agent does it."""
        reader, health = SinkReader(self._path, "line-1"), {"/health": b'{"online":true}'}
        delivery = Delivery("uns", self._settings, reader, self._recorder, lambda: health, SystemClock())
        outlet = Outlet("uns", "line-1", "", self._path.parent)
        try:
            async with at_work(delivery, lambda: mqtt.connect(self._settings, outlet)):
                yield delivery
        finally:
            reader.close()

    def ids(self) -> list[str]:
        """Of every event on disk."""
        reader = SinkReader(self._path, "line-1")
        try:
            return [one.id for one in reader.records(1, reader.head(), 100_000)]
        finally:
            reader.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


async def delivered(delivery: Delivery) -> None:
    await until(lambda: delivery.pending == 0 and delivery.state == "connected")


async def arrived(port: int, collected: tuple[str, ...]) -> set[str]:
    """The ids of the events that were collected, however often."""
    messages = await heard(port, ALL, 100_000, *collected, within_s=1)
    return {one.json["id"] for one in messages if "/_event/" in one.topic}


async def saved(broker: FarEnd, text: bytes) -> None:
    """Have the broker save, and wait until its file has this in it."""
    broker._signal(signal.SIGUSR1)
    file = broker.folder / "mosquitto.db"
    await until(lambda: file.exists() and text in file.read_bytes())


async def test_what_a_killed_broker_had_confirmed_after_its_last_save_comes_again(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "m", options=SELDOM) as broker,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", broker.port, replay="1ms")  # by the mark alone
        collected = await session(broker.port, "mes", ALL)
        async with bench.delivering() as delivery:
            await bench.happen(100)
            await delivered(delivery)
            (mark,) = await heard(broker.port, "line-1/_mark/uns", 1)
            await saved(broker, b'"id":"%b"' % mark.json["id"].encode())
            for _ in range(5):
                await bench.happen(100)
                await delivered(delivery)
            broker.kill()
            await bench.happen(7)
            await until(lambda: delivery.state == "lost")
            await broker.start()
            await delivered(delivery)
        ids = bench.ids()
        assert len(ids) == len(set(ids)) >= 607
        assert await arrived(broker.port, collected) == set(ids)


async def test_of_a_broker_that_has_saved_nothing_the_last_seconds_come_again(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "m", options=SELDOM) as broker,
        Proxy(broker.port) as proxy,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", proxy.port)
        async with bench.delivering() as delivery:
            await bench.happen(300)
            await delivered(delivery)
            proxy.refuse()
            broker.kill()
            await bench.happen(7)
            await until(lambda: delivery.state == "lost")
            await broker.start()
            collected = await session(broker.port, "mes", ALL)
            await proxy.accept()
            await delivered(delivery)
        ids = bench.ids()
        assert await arrived(broker.port, collected) == set(ids)


async def test_a_broker_killed_again_and_again_gets_every_event(
    tmp_path: Path,
) -> None:
    async with (
        mosquitto(tmp_path / "m", options=SELDOM) as broker,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", broker.port)
        got: set[str] = set()
        async with bench.delivering() as delivery:
            for _ in range(3):
                await broker.stop()
                await broker.start()
                collected = await session(broker.port, "mes", ALL)
                await saved(broker, b"mes")
                for _ in range(10):
                    await bench.happen(20)
                    await asyncio.sleep(0)
                broker.kill()
                await broker.start()
                await bench.happen(1)
                await delivered(delivery)
                got |= await arrived(broker.port, collected)
        assert got == set(bench.ids())


async def test_a_broker_killed_while_nothing_happens_soon_shows_the_agent_online_again(
    tmp_path: Path,
) -> None:
    topic = "line-1/_state/health"
    async with (
        mosquitto(tmp_path / "m", options=SELDOM) as broker,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", broker.port)
        async with bench.delivering() as delivery:
            await bench.happen(1)
            await delivered(delivery)
            assert [one.json for one in await heard(broker.port, topic, 1)] == [{"online": True}]
            broker.kill()
            await until(lambda: delivery.state == "lost")
            await broker.start()
            (health,) = await heard(broker.port, topic, 1)
            assert health.json == {"online": True}
