"""Orders over MQTT against a real mosquitto: each is taken once and answered, whatever dies in between."""

import asyncio
import contextlib
import json
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from adapters import mqtt_orders
from adapters._mqtt_client import CHUNK, Listener
from adapters._mqtt_delivery import MOST_PROPERTIES, Delivery, decode
from edge.config import load
from edge.contract import SourceLost, SourceRefused
from edge.errors import ConfigError
from edge.intake import SourceIntake
from tests.adapters.test_mqtt import far_end
from tests.support.clock import ManualClock
from tests.support.intake import MemoryIntake
from tests.support.line import events_on_disk, line, recording
from tests.support.servers import FarEnd, Heard, heard, mosquitto, mosquitto_password, session

pytestmark = pytest.mark.timeout(60)

COMMAND = "acme/leeds/assembly/line-1/_command/order"
RESULT = f"{COMMAND}/result"


def order(name: str = "WO-1", quantity: int = 100) -> bytes:
    return json.dumps({"id": name, "item": "P7", "quantity": quantity}).encode()


# --- who sends --------------------------------------------------------------------------------


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


# --- who listens ------------------------------------------------------------------------------


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


async def lost(port: int, kind: type[Exception], **more: Any) -> str:
    with pytest.raises(kind) as caught:
        async with asyncio.timeout(10):
            await mqtt_orders.collect(settings(port, **more), [], MemoryIntake("erp"))
    return str(caught.value)


def counts(answer: Heard) -> tuple[int, int, int]:
    return answer.json["accepted"], answer.json["duplicates"], answer.json["refused"]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("erp")


# --- orders and their answers -------------------------------------------------------------------


async def test_an_order_is_taken_and_answered(broker: FarEnd, intake: MemoryIntake) -> None:
    collected = await session(broker.port, "test", RESULT)
    async with listening(broker.port, intake):
        assert await send(broker.port, order(), order(), order("wo 2")) == [0, 0, 0]
        got = await heard(broker.port, RESULT, 3, *collected)
    assert [counts(one) for one in got] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert got[0].json["orders"] == [{"row": 1, "line": 1, "id": "WO-1", "verdict": "accepted", "words": ""}]
    assert all(one.qos == 1 and not one.retained for one in got)
    assert list(intake.known) == ["WO-1"]


async def test_the_answer_goes_where_its_sender_wants_it(broker: FarEnd, intake: MemoryIntake) -> None:
    collected = await session(broker.port, "test", "erp/#")
    wanted = prop(0x08, b"erp/answers/7") + prop(0x09, b"no 42") + prop(0x26, b"who", b"erp")
    async with listening(broker.port, intake):
        await send(broker.port, Sent(order(), wanted))
        (got,) = await heard(broker.port, "erp/#", 1, *collected, "-F", "%r|%q|%t %D|%x")
    assert (got.topic, counts(got)) == ("erp/answers/7 no 42", (1, 0, 0))


@pytest.mark.parametrize("wanted", [COMMAND, "$SYS/broker/load", "acme/line-1/press/_state/job"])
async def test_nobody_gets_the_agent_to_speak_where_it_must_not(
    broker: FarEnd, intake: MemoryIntake, wanted: str
) -> None:
    collected = await session(broker.port, "test", "#")
    async with listening(broker.port, intake):
        await send(broker.port, Sent(order(), prop(0x08, wanted.encode()) + prop(0x09, b"id")))
        got = await heard(broker.port, "#", 2, *collected, "-F", "%r|%q|%t %D|%x")
    assert [one.topic for one in got] == [f"{COMMAND} id", f"{RESULT} id"]
    assert len(intake.messages) == 1


@pytest.mark.parametrize(
    ("topic", "sane"),
    [
        ("erp/answers", True), ("a", True), ("ä b/c", True), ("", False), ("a/+/b", False), ("a/#", False),
        ("$SYS/x", False), ("$share/g/x", False), ("a\0b", False), ("a\nb", False), ("a\ufeffb", False),
        ("x" * 1001, False), ("spBv1.0/g/NCMD/n", False), ("p/line-2/_command/order", False),
        ("p/line-1/press/_event/count", False), (RESULT, False),
    ],
)  # fmt: skip
def test_topics_that_an_answer_may_go_to(topic: str, sane: bool) -> None:
    assert mqtt_orders.is_sane(topic) is sane


@given(st.text())
def test_whatever_is_wanted_the_answer_has_a_topic(wanted: str) -> None:
    for topic in mqtt_orders.answer_topics(MemoryIntake("erp"), wanted):
        assert topic
        assert topic[0] != "$"
        assert not set(topic) & set("+#\0\n")
    assert topic == RESULT


# --- nothing lost, nothing twice ----------------------------------------------------------------


async def test_orders_that_come_while_the_agent_is_away_wait_for_it(
    broker: FarEnd, intake: MemoryIntake, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(broker.port, intake):
        await send(broker.port, order("WO-1"))
        await until(lambda: len(intake.known) == 1)
    caplog.clear()
    await send(broker.port, *(order(f"WO-{number}") for number in range(2, 102)))
    async with listening(broker.port, intake):
        await until(lambda: len(intake.known) == 101)
        await send(broker.port, order("WO-102"))
        await until(lambda: len(intake.known) == 102)
    assert caplog.text == ""
    async with listening(broker.port, intake):
        await send(broker.port, order("WO-103"))
        await until(lambda: len(intake.known) == 103)
    came = list(dict.fromkeys(json.loads(one)["id"] for one in intake.messages))
    assert came == [f"WO-{number}" for number in range(1, 104)]
    assert len(intake.messages) - len(came) <= 2, "only what was under way at the two ends came again"


async def test_what_is_not_on_disk_is_not_acknowledged(broker: FarEnd, intake: MemoryIntake) -> None:
    collected = await session(broker.port, "test", RESULT)
    intake.failing = True
    async with listening(broker.port, intake):
        await send(broker.port, *(order(f"WO-{number}") for number in range(10)))
        await until(lambda: len(intake.messages) >= 2)
    assert not intake.known
    intake.failing = False
    async with listening(broker.port, intake):
        await until(lambda: len(intake.known) == 10)
    got = await heard(broker.port, RESULT, 10, *collected)
    assert [counts(one) for one in got] == [(1, 0, 0)] * 10


async def test_an_order_waits_until_it_can_be_recorded(
    broker: FarEnd, intake: MemoryIntake, caplog: pytest.LogCaptureFixture
) -> None:
    collected = await session(broker.port, "test", RESULT)
    intake.failing = True
    async with listening(broker.port, intake):
        caplog.clear()
        await send(broker.port, Sent(order(), qos=0), order("WO-2"))
        await until(lambda: len(intake.messages) >= 2)
        intake.failing = False
        got = await heard(broker.port, RESULT, 2, *collected)
    assert [counts(one) for one in got] == [(1, 0, 0)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "erp: an order waits: not recorded: the test says so"
    ]


async def test_a_broker_that_restarts_gives_again_what_was_not_acknowledged(
    broker: FarEnd, intake: MemoryIntake
) -> None:
    intake.failing = True

    async def listen() -> None:
        async with listening(broker.port, intake):
            await send(broker.port, order())
            await until(lambda: bool(intake.messages))
            await broker.stop()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await listen()
    assert caught.group_contains(SourceLost, match="broke")
    intake.failing = False
    await broker.start()
    async with listening(broker.port, intake):
        await until(lambda: "WO-1" in intake.known)


async def test_messages_that_expired_do_not_stop_the_orders_behind_them(
    broker: FarEnd, intake: MemoryIntake
) -> None:
    """mosquitto 2.0 leaves what is behind them where it is until the next message, or the next connect."""
    async with listening(broker.port, intake):
        pass
    began = time.monotonic()
    expired = [Sent(order(f"OLD-{number}"), b"\x02\0\0\0\1") for number in range(45)]
    await send(broker.port, *expired, order("NEW"))
    await until(lambda: time.monotonic() > began + 2.1)
    async with listening(broker.port, intake, renew="1s"):
        await until(lambda: "NEW" in intake.known)
    assert list(intake.known) == ["NEW"]


async def test_a_broker_that_has_forgotten_the_agent_is_told_of(
    tmp_path: Path, intake: MemoryIntake, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("allow_anonymous true", "persistence false")
    async with mosquitto(tmp_path / "mosquitto", options=options) as broker:
        with contextlib.suppress(ExceptionGroup):
            async with listening(broker.port, intake):
                broker.kill()
                await asyncio.Event().wait()
        await broker.start()
        await send(broker.port, order("WO-1"))
        caplog.clear()
        async with listening(broker.port, intake):
            assert "has not known this agent until now" in caplog.text
            await send(broker.port, order("WO-2"))
            await until(lambda: "WO-2" in intake.known)
    assert list(intake.known) == ["WO-2"]


# --- hostile messages ---------------------------------------------------------------------------

BAD = [
    b"", b"\x00", b"\xff\xfe\x00garbage", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"[1,2,null]", b"nul",
    b'{"id":"WO-1","item":"P7","quantity":1e999}', b'[{"quantity":' + b"9" * 5000 + b"}]",
    b"\xef\xbb\xbf[]garbage", b'[{"id":"WO-1"}', b'"WO-1"',
]  # fmt: skip


async def test_a_bad_message_is_answered_and_never_comes_again(broker: FarEnd, intake: MemoryIntake) -> None:
    collected = await session(broker.port, "test", RESULT)
    async with listening(broker.port, intake):
        await send(broker.port, *BAD, order("WO-2"))
        got = await heard(broker.port, RESULT, len(BAD) + 1, *collected)
    assert all(one.json["accepted"] == 0 and one.json["refused"] for one in got[:-1])
    assert all(entry["words"] for one in got[:-1] for entry in one.json["orders"])
    assert counts(got[-1]) == (1, 0, 0)
    again = MemoryIntake("erp")
    async with listening(broker.port, again):
        await send(broker.port, order("WO-3"))
        await until(lambda: "WO-3" in again.known)
    assert set(again.messages) <= {order("WO-2"), order("WO-3")}


PROPERTIES = {
    "BOM in a text": (prop(0x03, "\ufeffjson".encode()) + prop(0x26, b"a\xef\xbb\xbf", b"b"), ""),
    "BOM in the response topic": (prop(0x08, "\ufeffanswers".encode()), ""),
    "many": (prop(0x26, b"", b"") * 180_000, "properties are larger"),
    "all kinds": (b"\x01\x01\x02\x00\x00\x0e\x10" + prop(0x03, b"json"), ""),
}


@pytest.mark.parametrize("name", PROPERTIES)
async def test_strange_properties_neither_stop_nor_slow_the_agent(
    broker: FarEnd, intake: MemoryIntake, name: str
) -> None:
    """paho-mqtt 2.2 hangs up on a BOM, again at each redelivery, and is quadratic in the properties."""
    properties, fault = PROPERTIES[name]
    collected = await session(broker.port, "test", RESULT)
    async with listening(broker.port, intake):
        began = time.process_time()
        await send(broker.port, Sent(order(), properties), order("WO-2"))
        got = await heard(broker.port, RESULT, 2, *collected)
        assert time.process_time() - began < 2
    assert counts(got[0]) == ((0, 0, 1) if fault else (1, 0, 0))
    assert fault in json.dumps(got[0].json)
    assert counts(got[1]) == (1, 0, 0)


async def test_a_retained_order_is_refused_once_and_changes_nothing(
    broker: FarEnd, intake: MemoryIntake
) -> None:
    await send(broker.port, Sent(order("WO-1", 1), retain=True))
    collected = await session(broker.port, "test", RESULT)
    for name in ("WO-2", "WO-3"):
        async with listening(broker.port, intake):
            await send(broker.port, order(name))
            await until(lambda name=name: name in intake.known)  # type: ignore[misc]
    refused, *others = await heard(broker.port, RESULT, 4, *collected, within_s=1)
    assert counts(refused) == (0, 0, 1)
    assert "without the retain flag" in refused.json["orders"][0]["words"]
    assert not [one for one in others if one.json["refused"]]
    assert "WO-1" not in intake.known


async def test_a_large_message_is_taken_and_one_too_large_is_refused(
    broker: FarEnd, intake: MemoryIntake
) -> None:
    collected = await session(broker.port, "test", RESULT)
    async with listening(broker.port, intake, largest="10MB"):
        large = b"[" + b",".join(order(f"WO-{number}") for number in range(1_000)) + b"]"
        rest = b" " * (10_000_000 - len(large))
        too_large = [large + rest + b" ", b" " * 30_000_000]
        await send(broker.port, large + rest, *too_large, order("LAST"))
        got = await heard(broker.port, RESULT, 4, *collected)
    assert [counts(one) for one in got] == [(1_000, 0, 0), (0, 0, 1), (0, 0, 1), (1, 0, 0)]
    assert [entry["row"] for entry in got[0].json["orders"]] == list(range(1, 1_001))
    assert all("larger than 10,000,000 bytes" in json.dumps(one.json) for one in got[1:3])
    assert intake.messages[1:] == [order("LAST")]


async def test_of_a_message_too_large_only_the_beginning_is_kept(intake: MemoryIntake) -> None:
    kept: list[int] = []
    client = Listener()
    client.longest = 200_000
    client.on_delivery = lambda delivery: kept.append(len(delivery.payload))
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        client._sock = near
        for size in (150_000, 3_000_000, 7):
            packet = memoryview(Sent(b"x" * size).packet(1))
            while packet:
                packet = packet[far.send(packet[:50_000]) :]
                client.loop_read()
                assert len(client._in_packet["packet"]) <= 200_000 + CHUNK
            await until(lambda size=size: client.loop_read() == 0 and kept[-1:] != [])  # type: ignore[misc]
        client._sock = None
    assert kept[0] == 150_000
    assert 190_000 < kept[1] <= 200_000 + CHUNK
    assert kept[2] == 7


async def test_hundreds_of_messages_are_answered_in_their_order(broker: FarEnd, intake: MemoryIntake) -> None:
    collected = await session(broker.port, "test", RESULT)
    async with listening(broker.port, intake):
        assert set(await send(broker.port, *(order(f"WO-{number}") for number in range(300)))) == {0}
        got = await heard(broker.port, RESULT, 300, *collected, within_s=20)
    assert [one.json["orders"][0]["id"] for one in got] == [f"WO-{number}" for number in range(300)]
    assert len(intake.messages) == 300


async def test_a_flood_of_qos_0_is_bounded_and_told(
    broker: FarEnd, intake: MemoryIntake, caplog: pytest.LogCaptureFixture
) -> None:
    intake.failing = True
    async with listening(broker.port, intake):
        caplog.clear()
        much = b" " * 3_000
        await send(broker.port, *(Sent(order(f"WO-{number}") + much, qos=0) for number in range(3_000)))
        await until(lambda: "send them with QoS 1" in caplog.text)
        intake.failing = False
        await send(broker.port, order("LAST"))
        await until(lambda: "LAST" in intake.known)
    assert caplog.text.count("send them with QoS 1") == 1
    assert 2 < len(intake.known) < 2_200


# --- brokers that say no, or lie ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "answered"),
    [
        ("topic read {command}\ntopic write {result}", [COMMAND, RESULT]),
        ("topic read {command}", [COMMAND]),
    ],
)
async def test_an_answer_that_the_broker_refuses_never_holds_up_the_orders(
    tmp_path: Path, intake: MemoryIntake, caplog: pytest.LogCaptureFixture, rules: str,
    answered: Sequence[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("ERP", "secret")
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    mosquitto_password(folder / "users", "line", "secret")
    acl = f"topic readwrite #\nuser line\n{rules.format(command=COMMAND, result=RESULT)}\n"
    (folder / "acl").write_text(acl)
    options = ("allow_anonymous true", f"password_file {folder}/users", f"acl_file {folder}/acl")
    login = {"user": "line", "password": {"env": "ERP"}}
    async with mosquitto(folder, options=options) as broker:
        collected = await session(broker.port, "test", "#")
        async with listening(broker.port, intake, **login):
            await send(broker.port, Sent(order(), prop(0x08, b"erp/answers")))
            await until(lambda: "WO-1" in intake.known)
            await send(broker.port, order("WO-2"))
            await until(lambda: "WO-2" in intake.known)
        got = await heard(broker.port, "#", 4, *collected, within_s=1)
    assert [one.topic for one in got if one.topic == RESULT] == [RESULT] * (2 * (len(answered) - 1))
    assert "erp/answers" not in [one.topic for one in got]
    assert ("an answer to an order cannot be sent" in caplog.text) is (RESULT not in answered)


CONNACK = bytes([0x20, 3, 0, 0, 0])


async def test_a_subscription_that_is_denied_is_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(b"\x90\x04\x00\x01\x00\x87")
        await reader.read(1000)

    async with far_end(talk) as port:
        words = await lost(port, SourceRefused)
    assert "does not let it subscribe: Not authorized; check the broker's access list" in words


async def test_what_has_no_room_is_given_again_in_its_order(broker: FarEnd, intake: MemoryIntake) -> None:
    """mosquitto 2.0 sends more than the Receive Maximum of what it has kept."""
    async with listening(broker.port, intake, largest="10KB"):
        pass
    numbers = [f"WO-{number}" for number in range(200)]
    await send(broker.port, *(order(name) + b" " * 9_000 for name in numbers))
    tries = 0
    while len(intake.known) < 200:
        tries += 1
        with contextlib.suppress(ExceptionGroup):
            async with listening(broker.port, intake, largest="10KB"):
                await until(lambda: len(intake.known) == 200)
    assert 1 < tries < 10
    first = list(dict.fromkeys(json.loads(one)["id"] for one in intake.messages))
    assert first == numbers


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (b"\x34\x05\x00\x01t\x00\x00", SourceLost),  # QoS 2
        (b"\x32\x02\x00\x09", SourceLost),
        (b"\x32\xff\xff\xff\x7f", SourceLost),
        (b"\xe0\x01\x8b", SourceLost),
        (b"\xe0\x01\x87", SourceRefused),
    ],
)
async def test_what_no_broker_sends_ends_the_connection(packet: bytes, kind: type[Exception]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK + packet)
        await reader.read(1000)
        await reader.read(1000)

    async with far_end(talk) as port:
        assert f"mqtt://127.0.0.1:{port}" in await lost(port, kind, timeout="500ms")


async def test_a_subscription_that_nobody_answers_is_lost() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        await reader.read(1000)

    async with far_end(talk) as port:
        words = await lost(port, SourceLost, timeout="300ms")
    assert "did not answer a subscription within 0.3 s" in words


# --- the decoder ----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=40)


@given(texts, st.binary(max_size=40), st.lists(st.tuples(texts, texts)), st.binary(), st.integers(1, 65_535))
def test_what_paho_encodes_is_read(
    topic: str, correlation: bytes, users: list[tuple[str, str]], payload: bytes, mid: int
) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic, properties.CorrelationData = topic, correlation
    properties.UserProperty, properties.MessageExpiryInterval = users, 7
    properties.PayloadFormatIndicator, properties.ContentType = 1, "json"
    body = struct.pack("!H1sH", 1, b"t", mid) + properties.pack() + payload  # type: ignore[no-untyped-call]
    assert decode(0x32, body) == Delivery(mid, 1, False, payload, topic, correlation)
    whole = len(body) - len(payload)
    for end in range(whole):
        with pytest.raises(ValueError, match=r"ends? before"):
            decode(0x32, body[:end])


@given(st.integers(0, 255), st.binary(max_size=200))
def test_no_bytes_do_any_harm(first: int, body: bytes) -> None:
    with contextlib.suppress(ValueError):
        delivery = decode(first, body)
        assert len(delivery.payload) <= len(body)
        assert delivery.qos in (0, 1)


@given(st.binary(max_size=200))
def test_no_properties_do_any_harm(properties: bytes) -> None:
    body = b"\x00\x01t\x00\x07" + varint(len(properties)) + properties + b"{}"
    delivery = decode(0x32, body)
    assert (delivery.mid, delivery.payload) == (7, b"{}")
    assert not (delivery.fault and delivery.response_topic)


def test_too_many_properties_are_not_looked_at() -> None:
    properties = b"\x00" * (MOST_PROPERTIES + 1)
    delivery = decode(0x32, b"\x00\x01t\x00\x07" + varint(len(properties)) + properties + b"{}")
    assert "larger than 65,536 bytes" in delivery.fault


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"session_expiry": "1s"}, {"session_expiry": "2y"}, {"largest": "11MB"}, {"largest": "10B"},
        {"in_flight": 3}, {"linger": "1s"}, {"broker": "http://b"}, {"key": "/k"},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_faults(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mqtt_orders.Settings.model_validate({"type": "mqtt-orders", "broker": "mqtt://b", **fault})


LINE = """
[line]
name = "line-1"
path = "acme/leeds/assembly"
badge = "optional"
data = "data"

[source.erp]
type = "mqtt-orders"
broker = "mqtt://127.0.0.1:{port}"

[source.gun]
type = "serial-scanner"
port = "{folder}/gun"

[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun"
"""


def written(folder: Path, port: int = 1883, more: str = "") -> Path:
    file = folder / "line.toml"
    file.write_text(LINE.format(folder=folder, port=port) + more)
    return file


def test_no_station_need_name_a_source_of_orders(tmp_path: Path) -> None:
    assert load(written(tmp_path)).warnings == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('[[station]]\nname = "a"\nideal_cycle = "1s"\nscanner = "erp"', "gives orders; it sends no labels"),
        ('[[station]]\nname = "a"\nideal_cycle = "1s"\nrig = "erp"', "gives orders; it sends no results"),
        (
            '[[station]]\nname = "a"\nideal_cycle = "1s"\ntotal = { source = "erp" }',
            "it has no signals to read",
        ),
        (
            '[source.two]\ntype = "mqtt-orders"\nbroker = "mqtt://127.0.0.1:1883"',
            "as lineside-orders is already used by source.erp",
        ),
        (
            '[sink.uns]\ntype = "mqtt"\nbroker = "mqtt://127.0.0.1:1883"\nclient_id = "lineside-orders"',
            "as lineside-orders is already used by source.erp",
        ),
    ],
)
def test_what_a_source_of_orders_is_not(tmp_path: Path, more: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(written(tmp_path, more=more))


# --- the agent's side ---------------------------------------------------------------------------------


async def test_an_answer_is_no_longer_than_it_may_be(tmp_path: Path) -> None:
    async with recording(line(), tmp_path / "journal.db") as recorder:
        intake = SourceIntake("erp", ManualClock(), recorder, lambda: None, "acme")
        assert (intake.line, intake.path) == ("line-1", "acme")
        good = [json.loads(order(f"W-{number}")) for number in range(1_200)]
        many = good + [{"id": f"X-{number}"} for number in range(300)]
        whole = json.loads(await intake.orders(json.dumps(many).encode(), 1_000_000))
        assert len(whole["orders"]) == 1_500
        for longest in (100_000, 5_000, 100, 0):
            body = await intake.orders(json.dumps(many).encode(), longest)
            answer = json.loads(body)
            assert len(body) <= max(longest, 60)
            assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (0, 1_200, 300)
            told = [entry["id"] for entry in answer["orders"]]
            assert told == [f"X-{number}" for number in range(len(told))]
            assert len(told) == 300 or longest < 100_000
    came = [event for event in events_on_disk(tmp_path / "journal.db") if event["type"] == "work_order"]
    assert (len(came), {event["by"] for event in came}) == (1_200, {"erp"})


@asynccontextmanager
async def agent(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`lineside run` once it listens to the broker; killed at the end if it still runs."""
    log = file.parent / "agent.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", "run", str(file), stdout=output, stderr=output
        )
    try:
        await until(lambda: "erp: connected" in log.read_text(), 30)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert "Traceback" not in log.read_text()


async def listed(file: Path) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "orders", "list", "--line", str(file), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return [row.split()[0] for row in out.decode().splitlines()[1:]]


async def test_results_are_told_to_who_asks(broker: FarEnd, tmp_path: Path) -> None:
    """From the journal of a real agent; what asks is no order, and what is nearly a question is one."""
    file = written(tmp_path, broker.port)
    async with agent(file):
        collected = await session(broker.port, "test", RESULT)
        questions = [b'{"results":"WO-1"}', b'{"results":"NONE"}', b'{"results":7}']
        await send(broker.port, order("WO-1", 40), *questions)
        taken, result, none, odd = await heard(broker.port, RESULT, 4, *collected)
    assert taken.json["accepted"] == 1
    [job] = result.json
    assert (job["order"], job["state"], job["quantity"], job["produced"]) == ("WO-1", "AllowedToStart", 40, 0)
    assert none.json == []
    assert odd.json["refused"] == 1


async def test_orders_outlive_kill_minus_9_of_the_agent(broker: FarEnd, tmp_path: Path) -> None:
    file = written(tmp_path, broker.port)
    async with agent(file):
        pass  # the broker knows it from now on
    collected = await session(broker.port, "test", RESULT)
    await send(broker.port, order("BEFORE"))
    numbers = [f"N-{number}" for number in range(300)]
    async with agent(file) as process, asyncio.TaskGroup() as group:
        await send(broker.port, order("DURING"))
        group.create_task(send(broker.port, *map(order, numbers)))
        await heard(broker.port, RESULT, 20, *collected)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await send(broker.port, order("AWAY"))
    got: dict[str, list[str]] = {}
    async with agent(file) as process:
        await send(broker.port, order("LAST"))
        while "LAST" not in got:
            for one in await heard(broker.port, RESULT, 1, *collected):
                [entry] = one.json["orders"]
                got.setdefault(entry["id"], []).append(entry["verdict"])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    assert sorted(await listed(file)) == sorted(["BEFORE", "DURING", "AWAY", "LAST", *numbers])
    assert got["AWAY"] == ["accepted"]
    again = [name for name, verdicts in got.items() if verdicts != ["accepted"]]
    assert len(again) <= 1
    assert all(verdicts[-1] == "duplicate" for name, verdicts in got.items() if name in again)
