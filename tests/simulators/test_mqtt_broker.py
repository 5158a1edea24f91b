"""The small broker, talked to by paho-mqtt and by anything else."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulators.cuttable import HOST
from simulators.mqtt_broker import Broker, matches


class Client:
    """paho-mqtt in its own thread."""

    def __init__(
        self, port: int, version: MQTTProtocolVersion, name: str = "c", *, fresh: bool = True
    ) -> None:
        is_five = version is MQTTProtocolVersion.MQTTv5
        clean = None if is_five else fresh
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=version, clean_session=clean
        )
        self.heard: list[tuple[str, bytes, bool]] = []
        self.connected, self.arrived = threading.Event(), threading.Condition()
        self.mqtt.on_connect = lambda *_: self.connected.set()
        self.mqtt.on_message = self._hear
        self.subscribed = threading.Event()
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set()
        if is_five:
            self.mqtt.connect(HOST, port, clean_start=fresh)
        else:
            self.mqtt.connect(HOST, port)
        self.mqtt.loop_start()
        assert self.connected.wait(5)

    def subscribe(self, pattern: str) -> None:
        self.mqtt.subscribe(pattern, qos=1)
        assert self.subscribed.wait(5)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self.mqtt.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(5)

    def wait_for(self, count: int) -> list[tuple[str, bytes, bool]]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.heard) >= count, 5), self.heard
            return list(self.heard)

    def end(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def _hear(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self.arrived:
            self.heard.append((message.topic, bytes(message.payload), message.retain))
            self.arrived.notify_all()


@contextmanager
def client(
    port: int, version: MQTTProtocolVersion, name: str = "c", *, fresh: bool = True
) -> Iterator[Client]:
    one = Client(port, version, name, fresh=fresh)
    try:
        yield one
    finally:
        one.end()


VERSIONS = [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_published_is_heard_here_and_by_subscribers(version: MQTTProtocolVersion) -> None:
    heard: list[tuple[str, bytes, bool]] = []

    def talk(broker: Broker) -> list[tuple[str, bytes, bool]]:
        with (
            client(broker.port, version, "reader") as reader,
            client(broker.port, version, "writer") as writer,
        ):
            reader.subscribe("a/+/c/#")
            for number in range(50):
                writer.publish(f"a/{number}/c", b"%d" % number)
            writer.publish("a/x/other", b"not asked for", qos=0)
            writer.publish("a/x/c/d", b"last")
            got = reader.wait_for(51)
            deadline_s = time.monotonic() + 10  # a writer that left would not be acknowledged any more
            while len(broker.acknowledged) < 51 and time.monotonic() < deadline_s:
                time.sleep(0.01)
            return got

    async with Broker(lambda *told: heard.append(told)).open() as broker:
        got = await asyncio.to_thread(talk, broker)
    assert got == [*((f"a/{n}/c", b"%d" % n, False) for n in range(50)), ("a/x/c/d", b"last", False)]
    assert len(heard) == 52
    assert len(broker.acknowledged) == 51


@pytest.mark.parametrize("version", VERSIONS)
async def test_retained_messages_are_kept_and_taken_back(version: MQTTProtocolVersion) -> None:
    def talk(port: int) -> list[tuple[str, bytes, bool]]:
        with client(port, version) as one:
            one.publish("state/a", b"old", retain=True)
            one.publish("state/a", b"new", retain=True)
            one.publish("state/b", b"gone", retain=True)
            one.publish("state/b", b"", retain=True)
            one.subscribe("state/#")
            return one.wait_for(1)

    async with Broker().open() as broker:
        assert await asyncio.to_thread(talk, broker.port) == [("state/a", b"new", True)]
        assert broker.retained == {"state/a": b"new"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_waits_for_its_client(version: MQTTProtocolVersion) -> None:
    def subscribe(port: int) -> None:
        with client(port, version, "mine", fresh=False) as one:
            one.subscribe("orders")

    def come_back(port: int) -> list[tuple[str, bytes, bool]]:
        with client(port, version, "mine", fresh=False) as one:
            return one.wait_for(2)

    async with Broker().open() as broker:
        await asyncio.to_thread(subscribe, broker.port)
        broker.publish("orders", b"1")
        broker.publish("orders", b"2")
        await broker.cut()
        await broker.heal()
        assert [payload for _, payload, _ in await asyncio.to_thread(come_back, broker.port)] == [b"1", b"2"]


async def test_cut_off_nobody_listens_and_every_connection_ends() -> None:
    async with Broker().open() as broker:
        reader, writer = await asyncio.open_connection(HOST, broker.port)
        await broker.cut()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(HOST, broker.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        await broker.heal()
        _, writer = await asyncio.open_connection(HOST, broker.port)
        writer.close()


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_whatever_is_sent_the_broker_goes_on(noise: bytes) -> None:
    async def talk() -> None:
        async with Broker().open() as broker:
            for beginning in (b"", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc"):
                reader, writer = await asyncio.open_connection(HOST, broker.port)
                writer.write(beginning + noise)
                writer.write_eof()
                async with asyncio.timeout(5):
                    with suppress(ConnectionError):
                        await reader.read()
                writer.close()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("pattern", "topic", "is_in"),
    [
        ("a/b", "a/b", True), ("a/b", "a/b/c", False), ("a/+", "a/b", True), ("a/+", "a", False),
        ("a/#", "a", True), ("a/#", "a/b/c", True), ("#", "a/b", True), ("#", "$SYS/x", False),
        ("+/b", "/b", True), ("a/+/c", "a/b/d", False),
    ],
)  # fmt: skip
def test_topic_filters(pattern: str, topic: str, is_in: bool) -> None:
    assert matches(pattern, topic) is is_in
