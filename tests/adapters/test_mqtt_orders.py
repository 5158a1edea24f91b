"""Orders over MQTT against a real mosquitto: each is taken once and answered, whatever dies in between."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mqtt_orders
from edge.contract import SourceLost
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
    until,
)
from tests.support.intake import MemoryIntake
from tests.support.servers import FarEnd, heard, mosquitto, session

broker = mqtt_orders_support.broker
intake = mqtt_orders_support.intake

pytestmark = pytest.mark.timeout(60)


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
