"""A thousand registers every 100 ms, from Modbus through the journal to MQTT and InfluxDB, and its price
beside a bare script that does the same and keeps nothing.

Device, broker (mosquitto) and database (victoria-metrics) are processes of their own; what is measured is the
process that polls: its CPU time and memory, how many values come out, and how old they are at a subscriber.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulators.far_ends import mosquitto, victoria_metrics
from tests.bench.bare import TOPIC
from tests.bench.grown import Say
from tests.bench.process import Figures, cpu_s_of, medians, resident_mb_of

REGISTERS = 1_000
EVERY_MS = 100
WARM_S = 4.0

_CONFIG = """
[line]
name = "bench"
path = "acme/leeds"

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:{modbus}"
max_registers = 125

[[station]]
name = "oven"
ideal_cycle = "2s"
state = {{ source = "plc", holding = 900, as = "u16", map = {{ 1 = "Execute" }}, every = "10s" }}

[telemetry.oven]
source = "plc"
station = "oven"
as = "u16"
every = "{every_ms}ms"
{signals}

[sink.broker]
type = "mqtt"
broker = ["mqtt://127.0.0.1:{mqtt}"]

[sink.database]
type = "influxdb"
url = "http://127.0.0.1:{influx}"
bucket = "bench"
gzip = false
"""


@dataclass(slots=True)
class Subscriber:
    """What comes out: how many values, and how old the newest of each message is."""

    values: int = 0
    ages_ms: list[int] = field(default_factory=list)

    def take(self, message: MQTTMessage) -> None:
        now_ms = time.time_ns() // 1_000_000
        body = json.loads(message.payload)
        for frame in body["data"]["frames"] if "id" in body else [body]:
            values = frame.get("values", {})
            self.values += len(values)
            if "r_0000" in values:
                self.ages_ms.append((now_ms - values["r_0000"]) & 0xFFFF)


@contextmanager
def subscribed(port: int) -> Iterator[Subscriber]:
    found = Subscriber()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: found.take(message)
    client.connect("127.0.0.1", port)
    client.subscribe(TOPIC, 1)
    client.loop_start()
    try:
        yield found
    finally:
        client.loop_stop()
        client.disconnect()


@contextmanager
def _process(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Ended after."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def telemetry(folder: Path, seconds: float, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """Both in turn, `rounds` times; the medians, and what the agent costs of the script."""
    found: dict[str, list[Figures]] = {"bare script": [], "Lineside": []}
    for turn in range(rounds):
        for name, figures in found.items():
            say(f"round {turn + 1} of {rounds}: {name}")
            place = folder / f"{name.split()[0]}-{turn}"
            place.mkdir()
            figures.append(asyncio.run(_measured(name, place, seconds)))
    middle = {name: medians(figures) for name, figures in found.items()}
    for name, one in middle.items():
        yield f"telemetry, {REGISTERS:,} registers every {EVERY_MS} ms, {name}", one
    bare, ours = middle["bare script"], middle["Lineside"]
    yield "telemetry, Lineside to the bare script", {"CPU": ours["CPU %"] / bare["CPU %"]}


async def _measured(name: str, folder: Path, seconds: float) -> Figures:
    with _process("tests.bench.registers", log=folder / "device.log") as device:
        assert device.stdout is not None
        modbus = int(device.stdout.readline())
        async with mosquitto(folder / "mqtt") as broker, victoria_metrics(folder / "vm") as database:
            if name == "Lineside":
                command = _agent(folder, modbus, broker.port, database.port)
            else:
                ports = (modbus, broker.port, database.port, REGISTERS, EVERY_MS)
                command = ["tests.bench.bare", *map(str, ports)]
            with subscribed(broker.port) as subscriber, _process(*command, log=folder / "log") as process:
                await asyncio.sleep(WARM_S)
                return await _watch(process, subscriber, database.port, seconds, folder / "log")


def _agent(folder: Path, modbus: int, mqtt: int, influx: int) -> list[str]:
    signals = "\n".join(f"r_{number:04} = {{ holding = {number} }}" for number in range(REGISTERS))
    text = _CONFIG.format(modbus=modbus, mqtt=mqtt, influx=influx, every_ms=EVERY_MS, signals=signals)
    config = folder / "line.toml"
    config.write_text(text, encoding="utf-8")
    return ["edge", "run", str(config), "--data", str(folder / "data")]


async def _watch(
    process: subprocess.Popen[bytes], subscriber: Subscriber, influx: int, seconds: float, log: Path
) -> Figures:
    rows, cpu_s, begin = _rows(influx), cpu_s_of(process.pid), time.monotonic()
    subscriber.values, subscriber.ages_ms = 0, []
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - begin
    if process.poll() is not None or not subscriber.ages_ms:
        raise RuntimeError(f"nothing came out; it said:\n{log.read_text(encoding='utf-8')}")
    ages = statistics.quantiles(subscriber.ages_ms, n=100)
    return {
        "values/s to MQTT": subscriber.values / took_s,
        "values/s to InfluxDB": (_rows(influx) - rows) / took_s,
        "CPU %": (cpu_s_of(process.pid) - cpu_s) / took_s * 100,
        "p50 ms": ages[49],
        "p99 ms": ages[98],
        "MB": resident_mb_of(process.pid),
    }


def _rows(port: int) -> float:
    """Values that victoria-metrics has taken so far."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith('vm_rows_inserted_total{type="influx"}')]
    return float(found[0].split()[1]) if found else 0.0
