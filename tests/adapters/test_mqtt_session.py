"""What outlives a connection of the mqtt sink: its session, its mark, its turn among several brokers."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mqtt
from adapters._mqtt_delivery import Delivery, decode
from adapters._mqtt_messages import Message
from edge.contract import Mark, Record, Sink, SinkLost, SinkRefused
from tests.adapters.mqtt_far_end import CONNACK, PUBLISH, SUBSCRIBE, Packet, Talk, played
from tests.adapters.test_mqtt import OUTLET, ROOT
from tests.support.proxy import Proxy
from tests.support.records import count, record
from tests.support.servers import FarEnd, free_port, heard, mosquitto, mosquitto_password, session

MARK = f"{ROOT}/_mark/uns"


def table(port: int, **settings: Any) -> mqtt.Settings:
    """One table of the TOML: what connects with it twice goes on with what it has."""
    given = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "2s", **settings}
    return mqtt.Settings.model_validate(given)


def opened(settings: mqtt.Settings) -> AbstractAsyncContextManager[Sink]:
    return mqtt.connect(settings, OUTLET)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server


# --- the session ------------------------------------------------------------------------------------


async def test_what_was_not_confirmed_goes_again_as_the_repeat_it_is() -> None:
    connects: list[Packet] = []
    seen: list[Packet] = []

    async def breaks(talk: Talk) -> None:
        connects.append(await talk.accept())
        sent = [await talk.read() for _ in range(5)]
        talk.confirm(sent[1])
        seen.extend(sent)

    async def goes_on(talk: Talk) -> None:
        connects.append(await talk.accept(present=True))
        while (packet := await talk.read()).kind == PUBLISH:
            seen.append(packet)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        events = [count(seq) for seq in range(5)]
        async with opened(settings) as sink:
            assert list((await sink.write(events)).acknowledged) == [1]
        async with opened(settings) as sink:
            late = record(9, "count", {})
            receipt = await sink.write([late, *(events[seq] for seq in (0, 2, 3, 4))])
            assert sorted(receipt.acknowledged) == [0, 2, 3, 4, 9]
    assert [one.clean for one in connects] == [True, False]
    first, again, (new, *_) = seen[:5], seen[5:9], seen[9:]
    assert [one.mid for one in again] == [first[n].mid for n in (0, 2, 3, 4)]
    assert [one.body for one in again] == [first[n].body for n in (0, 2, 3, 4)]
    assert all(one.again for one in again)
    assert not any(one.again for one in (*first, new))
    assert new.mid not in {one.mid for one in first}


async def test_an_answer_that_came_before_it_was_asked_for_is_kept() -> None:
    """The broker confirms the repeats at once; delivery asks for them when it has shown the states."""

    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    events = [count(1)]
    bodies: list[bytes] = []

    async def goes_on(talk: Talk) -> None:
        await talk.accept(present=True)
        while (packet := await talk.read()).kind == PUBLISH:
            bodies.append(packet.body)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write(events)
        async with opened(settings) as sink:
            await sink.show({"/health": b"{}"})
            assert list((await sink.write(events)).acknowledged) == [1]
    assert len([body for body in bodies if body.endswith(events[0].json)]) == 1


async def test_an_event_that_has_changed_meanwhile_is_sent_as_it_is_now() -> None:
    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    bodies: list[bytes] = []

    async def goes_on(talk: Talk) -> None:
        await talk.accept(present=True)
        while (packet := await talk.read()).kind == PUBLISH:
            bodies.append(packet.body)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port)
        before = count(1)
        after = count(1, context={})
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write([before])
        async with opened(settings) as sink:
            assert list((await sink.write([after])).acknowledged) == [1]
    assert bodies[0].endswith(before.json)
    assert bodies[1].endswith(after.json)


async def test_a_session_that_the_broker_has_lost_is_not_gone_on_with() -> None:
    again: list[bool] = []

    async def breaks(talk: Talk) -> None:
        await talk.accept()
        await talk.read()

    async def forgot(talk: Talk) -> None:
        await talk.accept(present=False)
        while (packet := await talk.read()).kind == PUBLISH:
            again.append(packet.again)
            talk.confirm(packet)

    async with played(breaks, forgot) as port:
        settings = table(port)
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write([count(1)])
        async with opened(settings) as sink:
            assert list((await sink.write([count(1)])).acknowledged) == [1]
    assert again == [False, False]  # the event, and the goodbye


async def test_a_broken_connection_to_a_real_broker_is_gone_on_with(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", f"{ROOT}/press/#")
    async with Proxy(broker.port) as proxy:
        settings = table(proxy.port, timeout="1s")
        async with opened(settings) as sink:
            await sink.write([count(0)])
            proxy.stall()
            with pytest.raises(SinkLost):
                await sink.write([count(seq) for seq in range(1, 40)])
        proxy.cut()
        async with opened(settings) as sink:
            receipt = await sink.write([count(seq) for seq in range(1, 40)])
            assert sorted(receipt.acknowledged) == list(range(1, 40))
    got = [one.json["seq"] for one in await heard(broker.port, "#", 40, *collected)]
    assert set(got) == set(range(40))


async def test_the_session_of_an_agent_that_stopped_in_order_is_gone(broker: FarEnd) -> None:
    for _ in range(2):
        async with opened(table(broker.port)) as sink:
            await sink.write([count(1)])
    (clients,) = await heard(broker.port, "$SYS/broker/clients/disconnected", 1)
    assert clients.payload == b"0"


# --- 3.1.1 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no", [bytes([0, 1]), bytes([0, 0x84, 0])])
async def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(
    no: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    versions: list[int] = []

    async def talk(talk: Talk) -> None:
        connect = await talk.read()
        versions.append(connect.version)
        if connect.version == 5:
            talk.send(CONNACK << 4, no)
            return
        talk.send(CONNACK << 4, b"\x00\x00")
        await talk.serve()

    async with played(talk) as port:
        settings = table(port)
        for _ in range(2):
            async with opened(settings) as sink:
                receipt = await sink.write([count(seq) for seq in range(50)])
                assert sorted(receipt.acknowledged) == list(range(50))
        with pytest.raises(SinkRefused, match="does not speak the version of MQTT"):
            async with opened(table(port, protocol="5")):
                pass
        async with opened(table(port, protocol="3.1.1")) as sink:
            await sink.write([count(1)])
    assert versions == [5, 4, 5, 4, 5, 4]
    assert caplog.text.count("what its access list denies looks delivered") == 2  # once for each table


async def test_a_broker_that_just_hangs_up_is_not_taken_for_an_old_one() -> None:
    versions: list[int] = []

    async def talk(talk: Talk) -> None:
        versions.append((await talk.read()).version)

    async with played(talk) as port:
        with pytest.raises(SinkLost, match=r'protocol = "3\.1\.1"'):
            async with opened(table(port)):
                pass
    assert versions == [5]


async def test_3_1_1_delivers_shows_and_marks(broker: FarEnd) -> None:
    collected = await session(broker.port, "test", f"{ROOT}/press/_event/#")
    settings = table(broker.port, protocol="3.1.1")
    async with opened(settings) as sink:
        await sink.show({"press/job": b'{"order":"WO-1"}'})
        receipt = await sink.write([count(seq) for seq in range(300)])
        assert len(receipt.acknowledged) == 300
        assert await sink.kept() is None
        await sink.mark(Mark(299, "k3f9-299"))
        assert await sink.kept() == Mark(299, "k3f9-299")
    got = [one.json["seq"] for one in await heard(broker.port, "#", 300, *collected)]
    assert got == list(range(300))
    (state,) = await heard(broker.port, f"{ROOT}/press/_state/job", 1)
    assert state.retained


async def test_3_1_1_goes_on_with_its_session_too() -> None:
    repeats: list[bool] = []

    async def breaks(talk: Talk) -> None:
        assert not (await talk.accept()).clean
        await talk.read()

    async def goes_on(talk: Talk) -> None:
        assert not (await talk.accept(present=True)).clean
        while (packet := await talk.read()).kind == PUBLISH:
            repeats.append(packet.again)
            talk.confirm(packet)

    async with played(breaks, goes_on) as port:
        settings = table(port, protocol="3.1.1")
        async with opened(settings) as sink:
            with pytest.raises(SinkLost):
                await sink.write([count(1)])
        async with opened(settings) as sink:
            assert list((await sink.write([count(1)])).acknowledged) == [1]
    assert repeats == [True, False]


# --- the mark ---------------------------------------------------------------------------------------


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


# --- a broker that hangs up instead of denying -----------------------------------------------------


async def drained(settings: mqtt.Settings, left: list[Record], *, tries: int) -> dict[int, str]:
    """As delivery does it: connect, show, write what is left, until all is settled; what was rejected."""
    rejected: dict[int, str] = {}
    for _ in range(tries):
        with suppress(SinkLost):
            async with opened(settings) as sink:
                await sink.show({"/health": b"{}"})
                while left:
                    receipt = await sink.write(left)
                    rejected |= receipt.rejected
                    settled = {*receipt.acknowledged, *receipt.rejected}
                    left[:] = [one for one in left if one.seq not in settled]
                return rejected
    raise AssertionError(f"{len(left)} are left")


async def test_3_1_1_rejects_only_the_event_over_which_a_real_broker_hangs_up(tmp_path: Path) -> None:
    options = ["allow_anonymous true", "max_packet_size 600"]
    async with mosquitto(tmp_path / "m", options=options) as server:
        collected = await session(server.port, "test", f"{ROOT}/+/_event/#")
        left = [count(seq) for seq in range(60)]
        left[30:30] = [record(100, "scan", {"label": "x" * 5_000})]
        left.append(record(101, "scan", {"label": "y" * 5_000}))
        rejected = await drained(table(server.port, protocol="3.1.1"), left, tries=30)
        topic = f"{ROOT}/+/_event/#"
        got = {one.json["seq"] for one in await heard(server.port, topic, 500, *collected, within_s=1)}
    assert set(rejected) == {100, 101}
    assert "the broker hangs up over it, 5" in rejected[100]
    assert got >= set(range(60))


async def test_a_broker_that_breaks_off_by_chance_rejects_nothing() -> None:
    """Each connection dies after some ten messages, wherever that is."""
    taken: set[bytes] = set()

    async def brittle(talk: Talk) -> None:
        await talk.accept()
        for _ in range(13):
            packet = await talk.read()
            if packet.kind == PUBLISH:
                taken.add(packet.body)
                talk.confirm(packet)
            elif packet.kind == SUBSCRIBE:
                talk.send(0x90, struct.pack("!HBB", packet.mid, 0, 0x87))

    async with played(brittle) as port:
        left = [count(seq) for seq in range(100)]
        assert await drained(table(port), left, tries=30) == {}
    assert all(any(body.endswith(count(seq).json) for body in taken) for seq in range(100))


# --- an idle connection, and several brokers --------------------------------------------------------


async def idle(sink: Sink) -> None:
    """As delivery does it while nothing happens, only more often."""
    while True:
        await sink.mark(Mark(1, "k3f9-1"))
        await asyncio.sleep(0.05)


async def test_an_idle_agent_notices_a_broker_that_stalls(broker: FarEnd) -> None:
    async with opened(table(broker.port, keepalive="1s", timeout="300ms")) as sink:
        await sink.mark(Mark(1, "k3f9-1"))
        broker.stall()
        async with asyncio.timeout(5):
            with pytest.raises(SinkLost, match=r"answered no ping for 0\.3 s"):
                await idle(sink)


async def test_an_idle_agent_notices_a_broker_that_was_killed(broker: FarEnd) -> None:
    async with opened(table(broker.port)) as sink:
        await sink.mark(Mark(1, "k3f9-1"))
        broker.kill()
        async with asyncio.timeout(5):
            with pytest.raises(SinkLost, match="broke"):
                await idle(sink)


async def test_a_broker_that_greets_and_confirms_nothing_is_tried_last(broker: FarEnd) -> None:
    """As a node of a cluster that has lost its quorum."""
    greeted = 0

    async def half_dead(talk: Talk) -> None:
        nonlocal greeted
        await talk.accept()
        greeted += 1
        while True:
            await talk.read()

    async with played(half_dead) as port:
        brokers = [f"mqtt://127.0.0.1:{port}", f"mqtt://127.0.0.1:{broker.port}"]
        settings = table(0, broker=brokers, timeout="300ms")
        async with opened(settings) as sink:
            with pytest.raises(SinkLost, match="confirmed nothing"):
                await sink.write([count(1)])
        for _ in range(2):
            async with opened(settings) as sink:
                assert list((await sink.write([count(1)])).acknowledged) == [1]
    assert greeted == 1


async def test_after_a_break_the_broker_that_served_is_tried_first(broker: FarEnd) -> None:
    settings = table(0, broker=[f"mqtt://127.0.0.1:{free_port()}", f"mqtt://127.0.0.1:{broker.port}"])
    async with opened(settings) as sink:
        await sink.write([count(1)])
        broker.kill()
        with pytest.raises(SinkLost):
            await sink.write([count(2)])
    await broker.start()
    assert settings._memory.session.turn == 1
    async with opened(settings) as sink:
        assert list((await sink.write([count(2)])).acknowledged) == [2]


# --- packets ----------------------------------------------------------------------------------------


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100),
    st.binary(max_size=400), st.integers(1, 65_535), st.booleans(), st.booleans(),
    st.one_of(st.none(), st.binary(max_size=300)), st.booleans(),
)  # fmt: skip
def test_a_message_is_read_as_it_was_written(
    topic: str, payload: bytes, mid: int, retain: bool, five: bool, correlation: bytes | None, again: bool
) -> None:
    message = Message(1, topic, payload, retain, correlation)
    packet = message.packet(mid, five=five, again=again)
    assert len(packet) <= message.size()
    start = 1
    while packet[start] & 0x80:
        start += 1
    length = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(packet[1 : start + 1]))
    body = packet[start + 1 :]
    assert length == len(body)
    assert bool(packet[0] & 0x08) is again
    expected = Delivery(mid, 1, retain, payload, correlation=correlation if five else None)
    assert decode(packet[0], body, five=five) == expected
    assert body[2:].startswith(topic.encode())
