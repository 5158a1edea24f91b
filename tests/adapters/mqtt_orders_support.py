"""Who sends orders, and who listens to what became of them."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from adapters import mqtt_orders
from tests.support.intake import MemoryIntake
from tests.support.servers import FarEnd, Heard, mosquitto

COMMAND = "acme/leeds/assembly/line-1/_command/order"
RESULT = f"{COMMAND}/result"


def order(name: str = "WO-1", quantity: int = 100) -> bytes:
    return json.dumps({"id": name, "item": "P7", "quantity": quantity}).encode()


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it goes to the broker, its properties in bytes."""

    payload: bytes
    properties: bytes = b""
    qos: int = 1
    retain: bool = False
    topic: str = COMMAND

    def packet(self, mid: int) -> bytes:
        topic = self.topic.encode()
        head = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if self.qos else b"")
        body = head + varint(len(self.properties)) + self.properties + self.payload
        return bytes([0x30 | self.qos << 1 | self.retain]) + varint(len(body)) + body


def varint(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def prop(kind: int, *texts: bytes) -> bytes:
    return bytes([kind]) + b"".join(struct.pack("!H", len(text)) + text for text in texts)


async def send(port: int, *messages: Sent | bytes) -> list[int]:
    """Publish over one connection; gives the broker's reason code for each of QoS 1."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\xff\xff\x00\x00")
        assert (await _packet(reader))[0] == 0x20
        sent = [one if isinstance(one, Sent) else Sent(one) for one in messages]
        codes: list[int] = []
        for start in range(0, len(sent), 20):  # mosquitto's own Receive Maximum
            for mid, one in enumerate(sent[start : start + 20], 1):
                writer.write(one.packet(mid))
            await writer.drain()
            for _ in [one for one in sent[start : start + 20] if one.qos]:
                first, body = await _packet(reader)
                assert first == 0x40, (first, body)
                codes.append(body[2] if len(body) > 2 else 0)
        writer.write(b"\xe0\x00")
        await reader.read()
        return codes
    finally:
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first, await reader.readexactly(length)


def settings(port: int, **more: Any) -> mqtt_orders.Settings:
    table = {"type": "mqtt-orders", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "5s", **more}
    return mqtt_orders.Settings.model_validate(table)


@asynccontextmanager
async def listening(port: int, intake: MemoryIntake, **more: Any) -> AsyncIterator[None]:
    """The source at work; cancelled at the end."""
    connections = intake.connections
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mqtt_orders.collect(settings(port, **more), [], intake))
        await until(lambda: intake.connections > connections)
        yield
        task.cancel()


async def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.005)


def counts(answer: Heard) -> tuple[int, int, int]:
    return answer.json["accepted"], answer.json["duplicates"], answer.json["refused"]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("erp")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=40)
