"""What one would write in an afternoon: polls, publishes, writes points, and keeps nothing.

`python -m tests.bench.bare MODBUS MQTT INFLUX REGISTERS EVERY_MS`: three ports of this machine. The agent is
compared with it: pymodbus, paho-mqtt with QoS 1 and influxdb-client, as their manuals show them.
"""

import asyncio
import json
import sys
import time

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pymodbus.client import AsyncModbusTcpClient

AT_ONCE = 125
TOPIC = "acme/leeds/bench/oven/_telemetry/oven"


async def main(modbus: int, mqtt: int, influx: int, registers: int, every_s: float) -> None:
    device = AsyncModbusTcpClient("127.0.0.1", port=modbus)
    await device.connect()
    broker = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    broker.connect("127.0.0.1", mqtt)
    broker.loop_start()
    database = InfluxDBClient(f"http://127.0.0.1:{influx}", token="t", org="-")
    points = database.write_api(write_options=SYNCHRONOUS)
    names = [f"r_{number:04}" for number in range(registers)]
    due = time.monotonic()
    while True:
        values: list[int] = []
        for start in range(0, registers, AT_ONCE):
            answer = await device.read_holding_registers(start, count=min(AT_ONCE, registers - start))
            values += answer.registers
        at_ms = time.time_ns() // 1_000_000
        body = json.dumps({"at": at_ms, "values": dict(zip(names, values, strict=True))})
        broker.publish(TOPIC, body, 1)
        fields = ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        line = f"telemetry,line=bench,name=oven {fields} {at_ms}000000"
        await asyncio.to_thread(points.write, "bench", record=line)
        due += every_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    ports = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(ports[0], ports[1], ports[2], ports[3], ports[4] / 1000))
