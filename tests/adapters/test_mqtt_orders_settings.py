"""Orders over MQTT: the decoder, the settings, and the agent that they are for."""

import asyncio
import contextlib
import json
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from adapters import mqtt_orders
from adapters._mqtt_delivery import MOST_PROPERTIES, Delivery, decode
from edge.config import load
from edge.errors import ConfigError
from edge.intake import SourceIntake
from tests.adapters import mqtt_orders_support
from tests.adapters.mqtt_orders_support import RESULT, order, send, texts, until, varint
from tests.support.clock import ManualClock
from tests.support.line import events_on_disk, line, recording
from tests.support.servers import FarEnd, heard, session

broker = mqtt_orders_support.broker
intake = mqtt_orders_support.intake

pytestmark = pytest.mark.timeout(60)


# --- the decoder ----------------------------------------------------------------------------------


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
