"""Brokers of MQTT 3.1.1, those that hang up instead of denying, and the packets alone."""

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import mqtt
from adapters._mqtt_delivery import Delivery, decode
from adapters._mqtt_messages import Message
from edge.contract import Mark, Record, SinkLost, SinkRefused
from tests.adapters import mqtt_session_support
from tests.adapters.mqtt_far_end import CONNACK, PUBLISH, SUBSCRIBE, Talk, played
from tests.adapters.mqtt_session_support import opened, table
from tests.adapters.mqtt_support import ROOT
from tests.support.records import count, record
from tests.support.servers import FarEnd, heard, mosquitto, session

broker = mqtt_session_support.broker


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
