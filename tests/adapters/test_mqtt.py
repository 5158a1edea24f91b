"""The mqtt sink against a real mosquitto: what is acknowledged is there, and every no has its sentence."""

import asyncio
import json
import re
import signal
import socket
import ssl
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from adapters import mqtt
from adapters._mqtt_broker import Address, parse_address, topic_level, topic_of
from adapters._mqtt_errors import FAILURE, Party, refusal, unreachable
from adapters._mqtt_messages import Flight, Message, reason
from edge.contract import Outlet, Receipt, Sink, SinkError, SinkLost, SinkRefused
from tests.support.records import count, record
from tests.support.servers import (
    FarEnd,
    certificates,
    free_port,
    heard,
    mosquitto,
    mosquitto_password,
    session,
)

OUTLET = Outlet("uns", "line-1", "acme/leeds/assembly", Path("/nonexistent"))
ROOT = "acme/leeds/assembly/line-1"


def open_sink(port: int, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    table = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "5s", **settings}
    return mqtt.connect(mqtt.Settings.model_validate(table), OUTLET)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server


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


# --- a broker that says no ------------------------------------------------------------------


async def test_a_denied_topic_is_refused_and_the_others_are_taken(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic write {ROOT}/press/#\ntopic write {ROOT}/_state/#\n")
    acl.chmod(0o600)
    options = ["allow_anonymous true", f"acl_file {acl}"]
    async with mosquitto(tmp_path / "m", options=options) as server, open_sink(server.port) as sink:
        denied = record(2, "count", {}, station="packer")
        receipt = await sink.write([count(1), denied, count(3)])
        assert sorted(receipt.acknowledged) == [1, 3]
        assert not receipt.rejected
        assert set(receipt.refused) == {2}
        alone = await sink.write([denied])
        assert (list(alone.acknowledged), dict(alone.rejected)) == ([], {})
        assert re.search(r"packer/_event/count: .*Not authorized.*access list", alone.refused[2])
        assert list((await sink.write([count(4)])).acknowledged) == [4]


async def test_a_wrong_password_is_refused_and_the_right_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosquitto_password(tmp_path / "passwd", "lineside", "right")
    options = ["allow_anonymous false", f"password_file {tmp_path / 'passwd'}"]
    access: dict[str, Any] = {"user": "lineside", "password": {"env": "TEST_MQTT_PASSWORD"}}
    async with mosquitto(tmp_path / "m", options=options) as server:
        monkeypatch.setenv("TEST_MQTT_PASSWORD", "wrong")
        with pytest.raises(SinkRefused, match=r"Not authorized; check user, password"):
            async with open_sink(server.port, **access):
                pass
        monkeypatch.delenv("TEST_MQTT_PASSWORD")
        both = [f"mqtt://{host}:{server.port}" for host in ("127.0.0.1", "localhost")]
        with pytest.raises(SinkRefused, match="password cannot be read") as refusal:
            async with open_sink(server.port, **access, broker=both):
                pass
        assert str(refusal.value).count("password") == 1, "it is the same for all brokers"
        assert f"lineside at {', '.join(both)}" in str(refusal.value)
        monkeypatch.setenv("TEST_MQTT_PASSWORD", "right")
        async with open_sink(server.port, **access) as sink:
            assert list((await sink.write([count(1)])).acknowledged) == [1]


@pytest.mark.parametrize("limit", ["max_packet_size 600", "message_size_limit 500"])
async def test_an_event_that_is_too_large_is_rejected_alone(tmp_path: Path, limit: str) -> None:
    options = ["allow_anonymous true", limit]
    async with mosquitto(tmp_path / "m", options=options) as server, open_sink(server.port) as sink:
        large = record(2, "scan", {"label": "x" * 5000})
        receipt = await sink.write([count(1), large, count(3)])
    assert sorted(receipt.acknowledged) == [1, 3]
    assert set(receipt.rejected) == {2}


async def test_a_connection_taken_over_by_another_client_hints_at_the_client_id(broker: FarEnd) -> None:
    # mosquitto hangs up without a word; since 2.0.21 it says why (0x8E), and then the sink is refused.
    async with open_sink(broker.port) as first, open_sink(broker.port):
        with pytest.raises(SinkError, match=r"share a client_id|uses this client_id"):
            await first.write([count(1)])


async def test_tls_is_checked_both_ways(tmp_path: Path) -> None:
    certificates(tmp_path)
    options = [f"cafile {tmp_path}/ca.crt", f"certfile {tmp_path}/srv.crt", f"keyfile {tmp_path}/srv.key"]
    options += ["require_certificate true", "use_identity_as_username true", "allow_anonymous false"]
    ca, own = str(tmp_path / "ca.crt"), {"cert": f"{tmp_path}/cli.crt", "key": f"{tmp_path}/cli.key"}
    async with mosquitto(tmp_path / "m", options=options) as server:
        url = f"mqtts://localhost:{server.port}"
        async with open_sink(0, broker=url, ca=ca, **own) as sink:
            events = [count(seq) for seq in range(300)]
            assert len((await sink.write(events)).acknowledged) == 300
        with pytest.raises(SinkRefused, match=r"not trusted.*set `ca`"):
            async with open_sink(0, broker=url, **own):
                pass
        with pytest.raises(SinkLost, match="client certificate"):
            async with open_sink(0, broker=url, ca=ca):
                pass
        with pytest.raises(SinkLost, match="TLS"):
            async with open_sink(server.port):
                pass
        with pytest.raises(SinkRefused, match=r"certificate cannot be used \(/no/ca.pem\)"):
            async with open_sink(0, broker=url, ca="/no/ca.pem"):
                pass


def strictly(folder: Path) -> ssl.SSLContext:
    """As Python 3.13 checks a server's certificate by default."""
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("authority_usage", [True, False])
async def test_an_authority_that_python_3_13_would_not_have_is_named(
    tmp_path: Path, authority_usage: bool
) -> None:
    certificates(tmp_path, authority_usage=authority_usage)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(tmp_path / "srv.crt", tmp_path / "srv.key")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async def greet(port: int) -> None:
        _, writer = await asyncio.open_connection("localhost", port, ssl=strictly(tmp_path))
        writer.close()

    async with far_end(talk, own) as port:
        if authority_usage:
            await greet(port)
            return
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await greet(port)
    error = unreachable(Party.of_sink("uns"), "mqtts://b", caught.value)
    assert isinstance(error, SinkRefused)
    assert "keyUsage=critical,keyCertSign,cRLSign" in error.reason
    assert "set `ca`" not in error.reason


async def test_a_connection_that_nobody_waits_for_any_more_takes_over_no_session(tmp_path: Path) -> None:
    certificates(tmp_path)
    trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusted.load_cert_chain(tmp_path / "srv.crt", tmp_path / "srv.key")
    dialled, given_up = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def accept(listener: socket.socket) -> bytes:
        """Shake hands when the client has given up, and give what it sends then."""
        connection, _ = listener.accept()
        loop.call_soon_threadsafe(dialled.set)
        given_up.wait(5)
        connection.settimeout(5)
        with trusted.wrap_socket(connection, server_side=True) as secured:
            try:
                return secured.recv(1000)
            except OSError:
                return b""

    async def deliver(port: int) -> None:
        async with open_sink(0, broker=f"mqtts://localhost:{port}", ca=str(tmp_path / "ca.crt")):
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(asyncio.to_thread(accept, listener))
            task = group.create_task(deliver(listener.getsockname()[1]))
            await dialled.wait()
            task.cancel()
            await asyncio.wait([task])
            given_up.set()
    assert sent.result() == b""


async def test_tls_to_a_port_without_it_is_refused(broker: FarEnd) -> None:
    with pytest.raises(SinkError, match=r"TLS|closed"):
        async with open_sink(0, broker=f"mqtts://127.0.0.1:{broker.port}"):
            pass


# --- a far end that is no broker ------------------------------------------------------------

CONNACK = bytes([0x20, 3, 0, 0, 0])


@asynccontextmanager
async def far_end(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_packets_that_share_a_tls_record_are_all_read(tmp_path: Path) -> None:
    certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "srv.crt", tmp_path / "srv.key")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(b"\x40\x02\x00\x01" + bytes([0xE0, 2, 0x8B, 0]))
        while await reader.read(1000):
            pass

    own = {"ca": str(tmp_path / "ca.crt"), "timeout": "2s", "in_flight": 1}
    async with far_end(talk, tls) as port, open_sink(0, broker=f"mqtts://localhost:{port}", **own) as sink:
        assert list((await sink.write([count(1)])).acknowledged) == [1]
        with pytest.raises(SinkLost, match="Server shutting down"):
            async with asyncio.timeout(1):
                await sink.write([count(2)])


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [(0x8E, SinkRefused, "give each agent its own"), (0x8B, SinkLost, "Server shutting down")],
)
async def test_a_broker_that_says_why_it_hangs_up_is_quoted(
    code: int, kind: type[SinkError], words: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK)
        await reader.read(1000)
        writer.write(bytes([0xE0, 2, code, 0]))

    async with far_end(talk) as port, open_sink(port) as sink:
        with pytest.raises(kind, match=words):
            await sink.write([count(1)])


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x20\x00",
        bytes([0x20, 3, 0, 0x42, 0]),
    ],
)  # fmt: skip
async def test_a_far_end_that_is_no_broker_is_told_apart(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()

    async with far_end(talk) as port:
        with pytest.raises(SinkLost, match="before it accepted it"):
            async with asyncio.timeout(3), open_sink(port):
                pass


async def test_a_packet_of_200_mb_is_not_collected() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x5F]))
        while True:
            writer.write(bytes(100_000))
            await writer.drain()

    async with far_end(talk) as port, asyncio.timeout(3), open_sink(port) as sink:
        with pytest.raises(SinkLost, match="no broker sends"):
            await sink.write([count(1)])


async def test_the_limits_of_the_broker_are_kept() -> None:
    seen: list[int] = []
    crowd = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        # Receive Maximum 2.
        writer.write(bytes([0x20, 6, 0, 0, 3, 0x21, 0, 2]))
        waiting: list[bytes] = []
        async with asyncio.timeout(5):
            while len(seen) < 6:
                head = await reader.readexactly(2)
                length = head[1] & 0x7F
                if head[1] & 0x80:
                    length |= (await reader.readexactly(1))[0] << 7
                body = await reader.readexactly(length)
                topic = struct.unpack("!H", body[:2])[0]
                waiting.append(body[2 + topic : 4 + topic])
                seen.append(len(waiting))
                if len(waiting) == 2:
                    writer.write(b"".join(b"\x40\x02" + mid for mid in waiting))
                    waiting.clear()
        await crowd.wait()

    async with far_end(talk) as port, open_sink(port, timeout="1s") as sink:
        receipt = await sink.write([count(seq) for seq in range(6)])
        crowd.set()
    assert list(receipt.acknowledged) == list(range(6))
    assert seen == [1, 2, 1, 2, 1, 2]


async def test_a_broker_without_qos_1_is_refused() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(bytes([0x20, 5, 0, 0, 2, 0x24, 0]))
        await reader.read(1000)

    async with far_end(talk) as port:
        with pytest.raises(SinkRefused, match="confirms no message"):
            async with open_sink(port):
                pass


# --- every reason has its meaning -----------------------------------------------------------


@pytest.mark.parametrize("packet", [PacketTypes.CONNACK, PacketTypes.DISCONNECT])
def test_each_reason_code_to_a_connection_has_its_meaning(packet: int) -> None:
    lasting: dict[type[Exception], int] = {SinkLost: 0, SinkRefused: 0}
    for code, names in ReasonCode.names.items():
        if code >= FAILURE and any(packet in packets for packets in names.values()):
            error = refusal(Party.of_sink("uns"), "mqtt://b", ReasonCode(packet, identifier=code))
            lasting[type(error)] += 1
            assert "mqtt://b answers: " in str(error)
    assert lasting[SinkLost] >= 5
    assert lasting[SinkRefused] >= 8


async def test_each_reason_code_to_a_message_has_its_meaning() -> None:
    codes = [code for code in ReasonCode.names if code >= FAILURE]
    assert len(codes) > 20
    for code in codes:
        flight = Flight(1, asyncio.get_running_loop().create_future())
        flight.answered(Message(7, "t", b""), code)
        assert flight.landed.done()
        assert not flight.acknowledged
        assert bool(flight.rejected) != bool(flight.refusal)
        assert reason(code) in (*ReasonCode.names[code],)
        assert reason(code) in (flight.refusal or flight.rejected[7])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "Connection refused"), SinkLost),
        (ConnectionResetError(104, "Connection reset by peer"), SinkLost),
        (ssl.SSLEOFError(8, "EOF occurred"), SinkLost),
        (ssl.SSLError(1, "wrong version number"), SinkRefused),
        (ssl.SSLCertVerificationError("expired"), SinkRefused),
        (OSError(113, "No route to host"), SinkLost),
        (socket.gaierror(-2, "Name or service not known"), SinkLost),
    ],
)
def test_each_error_of_the_socket_and_of_tls_has_its_meaning(error: OSError, kind: type[SinkError]) -> None:
    assert type(unreachable(Party.of_sink("uns"), "mqtt://b", error)) is kind


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
