"""Hostile messages with orders, and brokers that say no, or lie."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters import mqtt_orders
from adapters._mqtt_client import CHUNK, Listener
from edge.contract import SourceLost, SourceRefused
from tests.adapters import mqtt_orders_support
from tests.adapters.mqtt_orders_support import (
    COMMAND,
    RESULT,
    Sent,
    counts,
    listening,
    order,
    prop,
    send,
    settings,
    until,
)
from tests.adapters.mqtt_support import far_end
from tests.support.intake import MemoryIntake
from tests.support.servers import FarEnd, heard, mosquitto, mosquitto_password, session

broker = mqtt_orders_support.broker
intake = mqtt_orders_support.intake

pytestmark = pytest.mark.timeout(60)


async def lost(port: int, kind: type[Exception], **more: Any) -> str:
    with pytest.raises(kind) as caught:
        async with asyncio.timeout(10):
            await mqtt_orders.collect(settings(port, **more), [], MemoryIntake("erp"))
    return str(caught.value)


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
