"""A broker that takes some of it, or nothing: what is kept, what is rejected, what goes on all the same."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._mqtt_doubt import Doubts
from adapters._mqtt_messages import TOO_LARGE, USUAL, Flight, Message
from edge.contract import TELEMETRY, Mark, Record, SinkLost
from tests.adapters.mqtt_far_end import PUBLISH, Packet, Talk, played
from tests.adapters.mqtt_session_support import opened, table
from tests.adapters.mqtt_support import ROOT
from tests.adapters.test_mqtt_killed import ALL, Bench, arrived, until
from tests.support.line import line, recording
from tests.support.records import count, record
from tests.support.servers import heard, mosquitto, session

INVALID = 0x99


def answering(code: Callable[[Packet], int]) -> Callable[[Talk], Awaitable[None]]:
    """A broker that answers each message with such a reason code."""

    async def talk(talk: Talk) -> None:
        await talk.accept()
        while True:
            packet = await talk.read()
            if packet.kind == PUBLISH:
                talk.confirm(packet, code(packet))

    return talk


# --- states ---------------------------------------------------------------------------------------


async def test_denied_states_are_said_once_and_the_events_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic write {ROOT}/+/_event/#\ntopic readwrite {ROOT}/_mark/#\n")
    acl.chmod(0o600)
    options = ["allow_anonymous true", f"acl_file {acl}"]
    states = {"/health": b'{"online":true}', "press/job": b'{"order":"WO-1"}'}
    async with mosquitto(tmp_path / "m", options=options) as server:
        settings = table(server.port)
        for _ in range(3):
            async with opened(settings) as sink:
                await sink.show(states)
                await sink.show({"press/job": b'{"order":"WO-2"}'})
                assert list((await sink.write([count(1)])).acknowledged) == [1]
                await sink.mark(Mark(1, "k3f9-1"))
        assert caplog.text.count("the broker does not take 2 states") == 1
        assert re.search(r"/_state/health: .*Not authorized; check the broker's access list", caplog.text)
        async with opened(settings) as sink:
            await sink.show(states)
            acl.write_text(f"topic readwrite {ROOT}/#\n")
            server._signal(signal.SIGHUP)
            async with asyncio.timeout(5):
                while not await heard(server.port, f"{ROOT}/press/_state/job", 1, within_s=1):
                    await sink.mark(Mark(2, "k3f9-2"))  # as delivery does it while nothing happens
            got = {one.topic: one.json for one in await heard(server.port, f"{ROOT}/#", 3) if one.retained}
    assert got[f"{ROOT}/press/_state/job"] == {"order": "WO-1"}
    assert got[f"{ROOT}/_state/health"] == {"online": True}


async def test_a_connection_that_breaks_over_denied_states_is_lost_all_the_same() -> None:
    async def breaks(talk: Talk) -> None:
        await talk.accept()
        talk.confirm(await talk.read(), 0x87)

    async with played(breaks) as port, opened(table(port)) as sink:
        with pytest.raises(SinkLost, match="broke"):
            await sink.show({"/health": b"{}", "press/job": b"{}"})


# --- events ---------------------------------------------------------------------------------------


async def test_a_broker_that_rejects_everything_gets_it_all_when_it_is_put_right() -> None:
    code = INVALID
    events = [count(seq) for seq in range(100)]
    async with played(answering(lambda packet: code)) as port:
        settings = table(port)
        for _ in range(2):
            async with opened(settings) as sink:
                for _ in range(3):
                    receipt = await sink.write(events)
                    assert (list(receipt.acknowledged), dict(receipt.rejected)) == ([], {})
                    assert set(receipt.refused) == set(range(100))
        words = r"press/_event/count: .*Payload format invalid; it has taken no other event since"
        assert re.search(words, receipt.refused[0])
        code = 0
        async with opened(settings) as sink:
            receipt = await sink.write(events)
    assert sorted(receipt.acknowledged) == list(range(100))
    assert not receipt.refused


async def test_a_broker_that_turns_bad_after_it_has_taken_some_rejects_none_for_good() -> None:
    left = 150

    def turn(packet: Packet) -> int:
        nonlocal left
        left -= 1
        return 0 if left >= 0 else INVALID

    async with played(answering(turn)) as port, opened(table(port)) as sink:
        for start in range(0, 400, 100):
            receipt = await sink.write([count(seq) for seq in range(start, start + 100)])
            assert not receipt.rejected
            assert len(receipt.acknowledged) + len(receipt.refused) == 100
    assert left < 0


def only_scans(packet: Packet) -> int:
    return INVALID if packet.topic.endswith("/scan") else 0


async def test_an_event_is_rejected_when_others_went_through_after_its_rejection() -> None:
    bad = record(7, "scan", {})
    async with played(answering(only_scans)) as port:
        settings = table(port)
        async with opened(settings) as sink:
            assert set((await sink.write([bad])).refused) == {7}
            assert set((await sink.write([bad])).refused) == {7}
            await sink.write([count(8)])
        async with opened(settings) as sink:
            receipt = await sink.write([bad])
            assert not receipt.refused
            assert "Payload format invalid" in receipt.rejected[7]
            receipt = await sink.write([record(9, "scan", {}), count(10), record(11, "scan", {})])
            assert (set(receipt.rejected), set(receipt.refused)) == ({9}, {11})


async def test_telemetry_that_is_taken_does_not_show_that_events_are() -> None:
    def no_events(packet: Packet) -> int:
        return INVALID if "/_event/" in packet.topic else 0

    records: list[Record] = [count(1), record(2, TELEMETRY, {}), count(3), record(4, TELEMETRY, {})]
    async with played(answering(no_events)) as port, opened(table(port)) as sink:
        for _ in range(2):
            receipt = await sink.write(records)
            assert sorted(receipt.acknowledged) == [2, 4]
            assert (set(receipt.rejected), set(receipt.refused)) == (set(), {1, 3})


@pytest.mark.parametrize("limit", ["max_packet_size 350", "message_size_limit 300"])
async def test_a_limit_below_a_usual_event_is_said_as_what_it_is(tmp_path: Path, limit: str) -> None:
    small, large = record(1, "cycle", {}, {}), record(3, "scan", {"label": "x" * USUAL})
    options = ["allow_anonymous true", limit]
    async with mosquitto(tmp_path / "m", options=options) as server, opened(table(server.port)) as sink:
        receipt = await sink.write([count(2), large, small])
    assert len(small.json) < 280 < 300 < len(count(2).json)
    assert list(receipt.acknowledged) == [1]
    assert set(receipt.rejected) == {3}
    assert "raise its limit (mosquitto: max_packet_size, message_size_limit)" in receipt.refused[2]


ANSWERS = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=6)


@given(st.lists(ANSWERS, max_size=20))
def test_what_is_rejected_for_good_was_rejected_before_another_was_taken(
    flights: Sequence[Sequence[tuple[int, bool, bool]]],
) -> None:
    """Each answer: seq, whether it is taken, whether it is an event."""
    doubts, suspicious = Doubts(), dict[int, int]()
    taken = 0
    with asyncio.Runner() as runner:
        landed = runner.get_loop().create_future()
    for answers in flights:
        flight = Flight(len(answers) + 1, landed)
        once = {seq: (good, event) for seq, good, event in answers}
        first = dict[int, int]()
        for seq, (good, event) in once.items():
            flight.answered(Message(seq, "t", b"", proves=event), 0 if good else INVALID)
            taken += good and event
            if not good:
                first[seq] = suspicious.get(seq, taken)
        doubts.judge(flight)
        assert set(flight.acknowledged) == {seq for seq, (good, _) in once.items() if good}
        assert {*flight.rejected, *flight.refused} == {seq for seq, (good, _) in once.items() if not good}
        assert all(first[seq] < taken for seq in flight.rejected)
        suspicious |= first


@pytest.mark.parametrize(("size", "rejected"), [(USUAL, False), (USUAL + 1, True)])
async def test_too_large_is_an_events_fault_only_where_it_is_larger_than_usual(
    size: int, rejected: bool
) -> None:
    flight = Flight(1, asyncio.get_running_loop().create_future())
    message = Message(1, "t", b"")
    flight.answered(Message(1, "t", b"x" * (size - message.size())), TOO_LARGE)
    assert bool(flight.rejected) is rejected


# --- with delivery ------------------------------------------------------------------------------


async def test_one_denied_topic_and_denied_states_hold_up_no_other(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write line-1/press/_event/scan\ntopic readwrite line-1/_mark/#\ntopic read #\n")
    acl.chmod(0o600)
    options = ["allow_anonymous true", f"acl_file {acl}"]
    async with (
        mosquitto(tmp_path / "m", options=options) as broker,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", broker.port)
        collected = await session(broker.port, "mes", ALL)
        async with bench.delivering() as delivery:
            for raw in range(6):
                await bench.happen(100)
                await bench.count(raw)
            await until(lambda: delivery.status().delivered == 600)
            status = delivery.status()
            assert (status.state, status.rejected) == ("refused", 0)
            assert re.search(
                r"denied and kept.*Not authorized; check the broker's access list", status.reason
            )
            assert status.pending == len(bench.ids()) - 600 >= 5
        assert len(await arrived(broker.port, collected)) == 600


async def test_a_broker_that_rejects_whatever_comes_puts_nothing_into_quarantine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        played(answering(lambda packet: INVALID if "/_event/" in packet.topic else 0)) as port,
        recording(line(), tmp_path / "journal.db") as recorder,
    ):
        bench = Bench(recorder, tmp_path / "journal.db", port)
        async with bench.delivering() as delivery:
            for raw in range(6):
                await bench.happen(100)
                await bench.count(raw)
            await until(lambda: delivery.state == "refused")
            await bench.happen(20)
            status = delivery.status()
            assert (status.delivered, status.rejected) == (0, 0)
            assert status.pending == len(bench.ids()) >= 625
            assert "the fault may be the broker's" in status.reason
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) <= 3
