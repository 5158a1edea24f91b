"""From the journal to a far end, beside what the bare library does with the same bytes in the same run."""

import asyncio
import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from adapters import mqtt
from edge.contract import Outlet, Record
from edge.delivery import Delivery
from edge.journal import Journal
from edge.journal.sinks import SinkReader
from edge.recorder import Recorder
from simulators.far_ends import mosquitto
from tests.bench.core import bench_line, readings
from tests.bench.floor import Feeder
from tests.bench.process import Figures

NAME = "bench"
NO_LIMIT = 1_000_000
"""Events of the backlog a second."""


MOST = 60_000
"""paho-mqtt alone gives an id twice where more than 65,535 messages wait, and waits for ever then."""


@dataclass(frozen=True, slots=True)
class Run:
    """How long so many events took, and what of a core."""

    events: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.events * 1e6


def delivery(folder: Path, events: int, rounds: int) -> Iterator[tuple[str, Figures]]:
    """A backlog of so many events, to each far end."""
    path = filled(folder / "journal.db", min(events, MOST))
    gc.freeze()  # as the agent does
    yield "delivery to mosquitto", asyncio.run(_to_mosquitto(folder, path, rounds))


def filled(path: Path, events: int) -> Path:
    """A journal with about so many events: each counted part has one of its count and one of its cycle."""
    journal = Journal(path)
    Feeder(bench_line(), journal).feed(list(readings(events // 2)), 1_000)
    journal.close()
    return path


def compared(ours: Sequence[Run], bare: Sequence[Run]) -> Figures:
    """Medians, and ours as a share of the bare library's."""
    rate, other = (statistics.median(run.per_s for run in runs) for runs in (ours, bare))
    return {
        "events_per_s": rate,
        "bare_per_s": other,
        "share_percent": rate / other * 100,
        "cpu_us_each": statistics.median(run.cpu_us for run in ours),
        "bare_cpu_us_each": statistics.median(run.cpu_us for run in bare),
    }


# --- ours -------------------------------------------------------------------------------------------


async def delivered(path: Path, module: Any, table: dict[str, Any]) -> Run:
    """By the sink of this module, from its first answer until the last event is acknowledged and booked."""
    sink = f"{NAME}-{time.monotonic_ns()}"  # one that has nothing yet
    settings = module.Settings.model_validate({"backlog_rate": NO_LIMIT, **table})
    outlet = Outlet(sink, NAME, "", path.parent / sink)
    journal, reader = Journal(path), SinkReader(path, NAME)
    recorder = Recorder(bench_line(), journal, lambda signals: [])
    try:
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(recorder.run())
            delivery = Delivery(sink, settings, reader, recorder, dict)
            delivering = group.create_task(delivery.run(lambda: module.connect(settings, outlet)))
            whole = delivery.pending
            while delivery.pending == whole:  # the bare library is measured from its first event too
                await asyncio.sleep(0.001)
            events, begin, cpu = delivery.pending, time.perf_counter(), time.process_time()
            while delivery.pending:
                await asyncio.sleep(0.005)
            run = Run(events, time.perf_counter() - begin, time.process_time() - cpu)
            for task in (delivering, recording):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    finally:
        reader.close()
        journal.close()
    return run


def records(path: Path) -> list[Record]:
    """Every event of the journal, its JSON made."""
    reader = SinkReader(path, NAME)
    try:
        found = reader.records(1, reader.head(), 10**9)
        return [one for one in found if one.json]
    finally:
        reader.close()


# --- mosquitto --------------------------------------------------------------------------------------


async def _to_mosquitto(folder: Path, path: Path, rounds: int) -> Figures:
    ours, bare = [], []
    payloads = [one.json for one in records(path)]
    async with mosquitto(folder / "mosquitto") as broker:
        table = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{broker.port}"}
        for _ in range(rounds):
            bare.append(await asyncio.to_thread(published, broker.port, payloads))
            ours.append(await delivered(path, mqtt, table))
    return compared(ours, bare)


def published(port: int, payloads: Sequence[bytes]) -> Run:
    """By paho-mqtt alone as its manual shows it: its own thread, MQTT 5, QoS 1, 20 in flight."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    connected, left, done = threading.Event(), len(payloads), threading.Event()

    def confirmed(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_connect = lambda *_: connected.set()
    client.on_publish = confirmed
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait(10)
    run = _timed(lambda: _publish(client, payloads, done), len(payloads))
    client.disconnect()
    client.loop_stop()
    return run


def _publish(client: Client, payloads: Sequence[bytes], done: threading.Event) -> None:
    for payload in payloads:
        client.publish("bench/press/_event/count", payload, 1)
    done.wait(120)


def _timed(work: Callable[[], None], events: int) -> Run:
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return Run(events, time.perf_counter() - begin, time.process_time() - cpu)
