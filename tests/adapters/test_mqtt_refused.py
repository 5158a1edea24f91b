"""What a broker refuses, and the sentence that each reason becomes."""

import asyncio
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from adapters._mqtt_errors import FAILURE, Party, refusal, unreachable
from adapters._mqtt_messages import Flight, Message, reason
from edge.contract import SinkError, SinkLost, SinkRefused
from tests.adapters import mqtt_support
from tests.adapters.mqtt_support import ROOT, far_end, open_sink
from tests.support.records import count, record
from tests.support.servers import (
    FarEnd,
    certificates,
    mosquitto,
    mosquitto_password,
)

broker = mqtt_support.broker


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
