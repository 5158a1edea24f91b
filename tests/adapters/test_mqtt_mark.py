"""The mark that the mqtt sink leaves with its broker."""

import asyncio
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mqtt
from edge.contract import Mark, Sink, SinkLost
from tests.adapters import mqtt_session_support
from tests.adapters.mqtt_far_end import PUBLISH, SUBSCRIBE, Talk, played
from tests.adapters.mqtt_session_support import opened, table
from tests.adapters.mqtt_support import ROOT
from tests.support.records import count
from tests.support.servers import FarEnd, heard, mosquitto, mosquitto_password, session

broker = mqtt_session_support.broker

MARK = f"{ROOT}/_mark/uns"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_mark_outlives_the_connection_and_the_broker(broker: FarEnd, protocol: str) -> None:
    settings = table(broker.port, protocol=protocol)
    async with opened(settings) as sink:
        assert await sink.kept() is None
        await sink.mark(Mark(7, "k3f9-7"))
        await sink.mark(Mark(8, "k3f9-8"))
    await broker.stop()
    await broker.start()
    async with opened(settings) as sink:
        assert await sink.kept() == Mark(8, "k3f9-8")
        assert len((await sink.write([count(9)])).acknowledged) == 1
    (mark,) = await heard(broker.port, MARK, 1)
    assert mark.retained
    assert mark.json == {"seq": 8, "id": "k3f9-8"}


async def test_the_same_mark_is_left_once_and_no_mark_comes_back_as_an_event(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", f"{ROOT}/_mark/#")
    async with opened(table(broker.port)) as sink:
        assert await sink.kept() is None
        for seq in (1, 1, 1, 2):
            await sink.mark(Mark(seq, f"k3f9-{seq}"))
    got = await heard(broker.port, f"{ROOT}/_mark/#", 3, *collected, within_s=1)
    assert [one.json["seq"] for one in got if not one.retained] == [1, 2]


@pytest.mark.parametrize(
    "payload", ["", "nonsense", "[]", '{"seq":-1,"id":"x"}', '{"seq":"1","id":"x"}', '{"seq":1}',
                '{"seq":99999999999999999999,"id":"x"}', '{"seq":1,"id":"' + "x" * 101 + '"}'],
)  # fmt: skip
def test_what_is_no_mark_is_none(payload: str) -> None:
    assert mqtt.read_mark(payload.encode()) is None


@given(st.binary(max_size=200))
def test_no_bytes_under_the_mark_do_any_harm(payload: bytes) -> None:
    mark = mqtt.read_mark(payload)
    assert mark is None or mark.seq >= 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_huge_message_in_place_of_the_mark_stops_nothing(broker: FarEnd, protocol: str) -> None:
    huge = broker.folder / "huge"
    huge.write_bytes(b"x" * 5_000_000)
    publish = await asyncio.create_subprocess_exec(
        "mosquitto_pub", "-p", str(broker.port), "-q", "1", "-r", "-t", MARK, "-f", str(huge)
    )
    assert await publish.wait() == 0
    async with opened(table(broker.port, protocol=protocol)) as sink:
        assert await sink.kept() is None
        assert len((await sink.write([count(seq) for seq in range(100)])).acknowledged) == 100
        await sink.mark(Mark(99, "k3f9-99"))
        assert await sink.kept() == Mark(99, "k3f9-99")


async def test_a_broker_that_denies_the_mark_is_delivered_to_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    mosquitto_password(folder / "users", "line", "secret")
    (folder / "acl").write_text(f"user line\ntopic write {ROOT}/press/#\ntopic write {ROOT}/_state/#\n")
    options = ("allow_anonymous false", f"password_file {folder}/users", f"acl_file {folder}/acl")
    monkeypatch.setenv("LINE", "secret")
    async with mosquitto(folder, options=options) as server:
        settings = table(server.port, user="line", password={"env": "LINE"})
        for _ in range(2):
            async with opened(settings) as sink:
                assert await sink.kept() is None
                await sink.mark(Mark(1, "k3f9-1"))
                await sink.mark(Mark(2, "k3f9-2"))
                assert len((await sink.write([count(1)])).acknowledged) == 1
    assert caplog.text.count(f"no mark can be left at {MARK}") == 1
    assert "Not authorized" in caplog.text


@pytest.mark.parametrize("at", [SUBSCRIBE, PUBLISH])
async def test_a_broker_that_hangs_up_over_the_mark_is_left_in_peace(
    at: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def touchy(talk: Talk) -> None:
        await talk.accept()
        while True:
            packet = await talk.read()
            if packet.kind == at and (at == SUBSCRIBE or packet.topic == MARK):
                return
            if packet.kind == PUBLISH:
                talk.confirm(packet)
            elif packet.kind == SUBSCRIBE:
                talk.send(0x90, struct.pack("!HBB", packet.mid, 0, 0))

    async with played(touchy) as port:
        settings = table(port)
        for attempt in range(4):
            async with opened(settings) as sink:
                if attempt < mqtt.HANG_UPS:
                    with pytest.raises(SinkLost):
                        await marked(sink)
                else:
                    await marked(sink)
                    assert len((await sink.write([count(1)])).acknowledged) == 1
    assert caplog.text.count("hangs up over") == 1


async def marked(sink: Sink) -> None:
    await sink.kept()
    await sink.mark(Mark(1, "k3f9-1"))


async def test_a_broker_that_stalls_over_the_mark_is_not_taken_for_a_touchy_one(broker: FarEnd) -> None:
    settings = table(broker.port, timeout="300ms")
    for _ in range(3):
        async with opened(settings) as sink:
            broker.stall()
            with pytest.raises(SinkLost, match="confirmed nothing"):
                await sink.mark(Mark(1, "k3f9-1"))
            broker.resume()
    async with opened(settings) as sink:
        await sink.mark(Mark(2, "k3f9-2"))
        assert await sink.kept() == Mark(2, "k3f9-2")


async def test_a_subscription_that_nobody_answers_costs_a_second() -> None:
    async def mute(talk: Talk) -> None:
        await talk.accept()
        while True:
            packet = await talk.read()
            if packet.kind == PUBLISH:
                talk.confirm(packet)

    async with played(mute) as port, opened(table(port)) as sink, asyncio.timeout(3):
        assert await sink.kept() is None
        assert len((await sink.write([count(1)])).acknowledged) == 1
