"""The mqtt sink against a real mosquitto: what is acknowledged is there, whatever dies."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import mqtt
from adapters._mqtt_broker import Address, parse_address, topic_level, topic_of
from edge.contract import Outlet, Receipt, SinkError, SinkLost
from tests.adapters import mqtt_support
from tests.adapters.mqtt_support import CONNACK, ROOT, far_end, open_sink
from tests.support.records import count, record
from tests.support.servers import (
    FarEnd,
    free_port,
    heard,
    session,
)

broker = mqtt_support.broker


# --- events and states ----------------------------------------------------------------------


async def test_each_event_goes_to_the_topic_of_its_station_and_type(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", "#")
    events = [count(1), record(2, "health", {"ok": True}, station="")]
    async with open_sink(broker.port) as sink:
        receipt = await sink.write(events)
    assert sorted(receipt.acknowledged) == [1, 2]
    assert not receipt.rejected
    got = await heard(broker.port, "#", 2, *collected)
    assert [one.topic for one in got] == [f"{ROOT}/press/_event/count", f"{ROOT}/_event/health"]
    assert [one.payload for one in got] == [one.json for one in events]
    assert all(one.qos == 1 and not one.retained for one in got)


async def test_a_thousand_events_arrive_once_each_and_in_order(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", "#")
    events = [count(seq) for seq in range(900)]
    async with open_sink(broker.port) as sink:
        receipts = [await sink.write(events[:400]), await sink.write(events[400:])]
    assert [seq for receipt in receipts for seq in receipt.acknowledged] == list(range(900))
    got = await heard(broker.port, f"{ROOT}/+/_event/count", 900, *collected)
    assert [one.json["seq"] for one in got] == list(range(900))


async def test_nothing_to_write_needs_no_answer(broker: FarEnd) -> None:
    async with open_sink(broker.port) as sink:
        assert await sink.write([]) == Receipt([], {})


async def test_states_are_retained_and_the_last_one_stays(broker: FarEnd) -> None:
    async with open_sink(broker.port) as sink:
        await sink.show({"press/job": b'{"order":"WO-1"}', "/health": b'{"online":true}'})
        await sink.show({"press/job": b'{"order":"WO-2"}'})
        got = {one.topic: one for one in await heard(broker.port, "#", 2)}
    assert all(one.retained for one in got.values())
    assert got[f"{ROOT}/press/_state/job"].json == {"order": "WO-2"}
    assert got[f"{ROOT}/_state/health"].json == {"online": True}


async def test_an_orderly_end_says_so_in_the_retained_health(broker: FarEnd) -> None:
    async with open_sink(broker.port) as sink:
        await sink.show({"/health": b'{"online":true}'})
    (health,) = await heard(broker.port, "#", 1)
    assert health.json == {"online": False, "reason": "stopped"}
    assert health.retained


async def test_a_cancelled_sink_says_goodbye_too(broker: FarEnd) -> None:
    connected = asyncio.Event()

    async def deliver() -> None:
        async with open_sink(broker.port):
            connected.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(deliver())
        await connected.wait()
        task.cancel()
    (health,) = await heard(broker.port, "#", 1)
    assert health.json == {"online": False, "reason": "stopped"}


CLIENT = """
import asyncio, sys
from tests.adapters.test_mqtt import open_sink

async def main():
    async with open_sink(int(sys.argv[1]), client_id="doomed") as sink:
        await sink.show({"/health": b'{"online":true}'})
        print("shown", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_kill_minus_9_of_the_agent_leaves_its_last_will(broker: FarEnd) -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, str(broker.port), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    assert await agent.stdout.readline() == b"shown\n"
    collected = await session(broker.port, "test", "#")
    agent.send_signal(signal.SIGKILL)
    await agent.communicate()
    states = [one.json for one in await heard(broker.port, "#", 2, *collected)]
    assert states == [{"online": True}, {"online": False, "reason": "lost"}]


# --- a broker that dies, stalls, comes back -------------------------------------------------


async def test_a_connection_that_breaks_in_the_middle_leaves_a_partial_receipt() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(b"\x40\x02\x00\x01\x40\x02\x00\x02")

    async with far_end(talk) as port, open_sink(port) as sink:
        receipt = await sink.write([count(seq) for seq in range(10, 100)])
        assert list(receipt.acknowledged) == [10, 11]
        assert not receipt.rejected
        with pytest.raises(SinkLost):
            await sink.write([count(12)])


async def test_a_broker_killed_while_it_is_written_to_gets_the_rest_when_it_is_back(broker: FarEnd) -> None:
    done: set[int] = set()

    async def deliver() -> None:
        async with open_sink(broker.port) as sink:
            for start in range(0, 10**9, 100):
                receipt = await sink.write([count(seq) for seq in range(start, start + 100)])
                done.update(receipt.acknowledged)

    async with asyncio.TaskGroup() as group:
        delivery = group.create_task(expect(SinkLost, deliver()))
        await heard(broker.port, f"{ROOT}/press/_event/count", 1)
        broker.kill()
    assert "broke" in delivery.result()
    assert done == set(range(len(done)))
    await broker.start()
    collected = await session(broker.port, "test", "#")
    async with open_sink(broker.port) as sink:
        await sink.write([count(seq) for seq in range(len(done), len(done) + 50)])
    got = [one.json["seq"] for one in await heard(broker.port, "#", 50, *collected)]
    assert got == list(range(len(done), len(done) + 50))


async def expect(kind: type[SinkError], work: Awaitable[None]) -> str:
    with pytest.raises(kind) as caught:
        await work
    return str(caught.value)


async def test_a_broker_that_dies_before_it_acknowledged_anything_is_lost(broker: FarEnd) -> None:
    async with open_sink(broker.port) as sink:
        broker.kill()
        with pytest.raises(SinkLost, match=r"broke|closed"):
            await sink.write([count(1)])
        with pytest.raises(SinkLost):
            await sink.show({"/health": b"{}"})


async def test_a_stalled_broker_is_lost_after_the_timeout(broker: FarEnd) -> None:
    async with open_sink(broker.port, timeout="300ms") as sink:
        broker.stall()
        with pytest.raises(SinkLost, match=r"confirmed nothing for 0\.3 s"):
            async with asyncio.timeout(3):
                await sink.write([count(1), count(2)])


async def test_a_stalled_broker_cannot_hold_up_a_connect(broker: FarEnd) -> None:
    broker.stall()
    with pytest.raises(SinkLost, match=r"did not answer within 0\.3 s"):
        async with asyncio.timeout(3), open_sink(broker.port, timeout="300ms"):
            pass


async def test_what_a_cancelled_write_had_not_sent_is_not_sent(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", "#")
    async with open_sink(broker.port, in_flight=1) as sink:
        broker.stall()
        async with asyncio.TaskGroup() as group:
            write = group.create_task(sink.write([count(1), count(2)]))
            await asyncio.sleep(0)
            write.cancel()
        broker.resume()
        receipt = await sink.write([count(3)])
    assert list(receipt.acknowledged) == [3]
    got = await heard(broker.port, "#", 2, *collected)
    assert [one.json["seq"] for one in got] == [1, 3]


async def test_live_and_backlog_can_be_written_at_once(broker: FarEnd) -> None:
    async with open_sink(broker.port, in_flight=3) as sink, asyncio.TaskGroup() as group:
        backlog = group.create_task(sink.write([count(seq) for seq in range(200)]))
        live = group.create_task(sink.write([count(1000)]))
    assert len(backlog.result().acknowledged) == 200
    assert list(live.result().acknowledged) == [1000]


async def test_brokers_are_tried_in_turn(broker: FarEnd) -> None:
    brokers = [f"mqtt://127.0.0.1:{free_port()}", f"mqtt://127.0.0.1:{broker.port}"]
    async with open_sink(0, broker=brokers) as sink:
        assert list((await sink.write([count(1)])).acknowledged) == [1]


async def test_no_broker_at_all_names_each(broker: FarEnd) -> None:
    dead = [f"mqtt://127.0.0.1:{free_port()}", "mqtt://no-such-host.invalid"]
    with pytest.raises(SinkLost, match=r"nothing listens.*is not known"):
        async with open_sink(0, broker=dead):
            pass


# --- topics and settings --------------------------------------------------------------------


@given(st.text(), st.text(), st.text(min_size=1), st.text(min_size=1))
def test_any_name_gives_a_topic_to_publish_to(path: str, station: str, line: str, kind: str) -> None:
    topic = topic_of(Outlet("uns", line, path, Path()), station, "_event", kind)
    assert not set(topic) & set("+#\0")
    assert topic[0] not in "/$"
    assert all(topic.split("/"))
    assert topic.split("/")[-2:] == ["_event", topic_level(kind)]


def test_an_empty_path_leaves_no_empty_level() -> None:
    outlet = Outlet("uns", "line-1", "", Path())
    assert topic_of(outlet, "", "_event", "health") == "line-1/_event/health"
    assert topic_of(outlet, "a/b+c", "_state", "job") == "line-1/a_b_c/_state/job"


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker-a.plant.local", "broker-a.plant.local", 8883, True),
        ("mqtt://[::1]:2883", "::1", 2883, False),
    ],
)
def test_a_broker_is_written_as_a_url(url: str, host: str, port: int, tls: bool) -> None:
    assert parse_address(url) == Address(url, host, port, tls)


@pytest.mark.parametrize(
    "fault",
    [
        {"broker": "broker:1883"}, {"broker": "http://b"}, {"broker": []}, {"broker": "mqtt://"},
        {"broker": "mqtt://b:99999"}, {"broker": "mqtt://u:p@b"}, {"broker": "mqtt://b/topic"},
        {"broker": ["mqtt://b", "nonsense"]}, {"keepalive": "500ms"}, {"keepalive": "2d"}, {"in_flight": 0},
        {"password": {"env": "X"}}, {"password": "literal", "user": "u"}, {"key": "/k"}, {"qos": 2},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_faults(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mqtt.Settings.model_validate({"type": "mqtt", "broker": "mqtt://b", **fault})


def test_the_will_is_json() -> None:
    assert json.loads(mqtt._offline("lost")) == {"online": False, "reason": "lost"}
