"""An OPC UA server that is lost, refuses, or shows a certificate."""

import asyncio
import time
from pathlib import Path

import pytest
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapters import opcua
from adapters._opcua.session import Pace
from edge.contract import (
    Secret,
    Signal,
    SourceError,
    SourceLost,
    SourceRefused,
)
from edge.observation import Missed
from tests.adapters import opcua_support
from tests.adapters.opcua_server import NAMESPACE, PASSWORD, OpcUaServer, opcua_server
from tests.adapters.opcua_support import collecting, counts, failure, settings, signals, through
from tests.support.intake import MemoryIntake
from tests.support.proxy import Proxy

running = opcua_support.running
server = opcua_support.server


# --- loss ---------------------------------------------------------------------------------------


async def test_a_restarted_server_with_other_namespace_indexes_is_read_anew() -> None:
    intake = MemoryIntake("press-plc")
    with opcua_server() as first:
        async with collecting(settings(first.endpoint), signals("Count"), intake) as task:
            first.tell("set Count 5")
            await intake.until(lambda: 5 in counts(intake))
            first.kill()
            lost = await task
        assert isinstance(lost, SourceLost)
        with opcua_server(first.port, padding=3) as second:
            second.tell("set Count 9")
            async with collecting(settings(second.endpoint), signals("Count"), intake):
                await intake.until(lambda: counts(intake)[-1] == 9)
                second.tell("set Count 10")
                await intake.until(lambda: counts(intake)[-1] == 10)
    assert intake.connections == 2


async def test_a_frozen_server_is_noticed(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    chosen = settings(server.endpoint, request_timeout="300ms")
    async with collecting(chosen, signals("Count"), intake, Pace(probe_s=0.1)) as task:
        await intake.until(lambda: counts(intake) != [])
        server.freeze()
        try:
            assert "no answer in time" in str(await task)
        finally:
            server.thaw()


async def test_a_cut_connection_is_noticed_at_once(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with Proxy(server.port) as proxy, collecting(through(proxy), signals("Count"), intake) as task:
        await intake.until(lambda: counts(intake) != [])
        cut_s = time.monotonic()
        proxy.cut()
        assert "the connection was closed" in str(await task)
        assert time.monotonic() - cut_s < 1.0


async def test_a_stalled_network_is_noticed_and_the_socket_is_closed_all_the_same(
    server: OpcUaServer,
) -> None:
    intake = MemoryIntake("press-plc")
    async with Proxy(server.port) as proxy:
        chosen = through(proxy, request_timeout="1500ms")
        async with collecting(chosen, signals("Count"), intake, Pace(probe_s=0.1)) as task:
            await intake.until(lambda: counts(intake) != [])
            proxy.stall()
            assert isinstance(await task, SourceLost)
        async with asyncio.timeout(5):
            proxy.flow()
            await proxy.idle()


async def test_a_subscription_that_watches_nothing_any_more_is_filled_again(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count", "State"), intake, Pace(0.2)) as task:
        await intake.until(lambda: len(intake.values("state")) > 3)
        server.tell("forget")
        server.tell("set State 7")
        await intake.until(lambda: 7 in intake.values("state"))
        server.tell("set State 8")
        await intake.until(lambda: 8 in intake.values("state"))
        assert not task.done()
    assert any(isinstance(one.value, Missed) for one in intake.seen)


async def test_a_subscription_without_keep_alives_is_dead(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(
        settings(server.endpoint, publish="50ms"), signals("State"), intake, Pace(0.2)
    ) as task:
        await intake.until(lambda: len(intake.values("state")) > 3)
        server.tell("mute")
        assert "no word from it" in str(await task)


# --- refusals ---------------------------------------------------------------------------------------


async def refusal(chosen: opcua.Settings, *watched: Signal[opcua.Address]) -> SourceError:
    async with asyncio.timeout(20):
        return await failure(chosen, watched or signals("Count"), MemoryIntake("press-plc"))


async def test_nothing_listens(unused_tcp_port: int) -> None:
    lost = await refusal(settings(f"opc.tcp://127.0.0.1:{unused_tcp_port}"))
    assert isinstance(lost, SourceLost)
    assert "nothing listens there" in str(lost)


async def test_a_host_without_an_address() -> None:
    lost = await refusal(settings("opc.tcp://press.invalid:4840"))
    assert isinstance(lost, SourceLost)
    assert "cannot be resolved" in str(lost)


async def test_the_user_and_the_password(
    server: OpcUaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESS", PASSWORD)
    intake = MemoryIntake("press-plc")
    right = settings(server.endpoint, user="lineside", password=Secret(env="PRESS"))
    async with collecting(right, signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
    monkeypatch.setenv("PRESS", "wrong")
    wrong = await refusal(right)
    assert isinstance(wrong, SourceRefused)
    assert "check user and password" in str(wrong)
    assert "wrong" not in str(wrong)
    absent = settings(server.endpoint, user="lineside", password=Secret(file=str(tmp_path / "absent")))
    assert "the password cannot be read" in str(await refusal(absent))


async def test_no_signal_in_a_namespace_of_the_server(server: OpcUaServer) -> None:
    refused = await refusal(settings(server.endpoint), *signals("Count", "State", namespace="urn:nowhere"))
    assert isinstance(refused, SourceRefused)
    assert "no namespace urn:nowhere" in str(refused)
    assert NAMESPACE in str(refused)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"ACKF\x00\x00\x00\x00" * 9,
        b"MSGC\x00\x00\x00\x7f",
        b"ERRF\x10\x00\x00\x00\x00\x00\x7d\x80\xff\xff\xff\xff",
    ],
    ids=["http", "size 0", "2 GB", "busy"],
)
async def test_what_is_not_opc_ua_ends_the_attempt(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        began_s = time.monotonic()
        error = await refusal(settings(f"opc.tcp://127.0.0.1:{port}", request_timeout="500ms"))
    assert isinstance(error, SourceRefused | SourceLost)
    assert time.monotonic() - began_s < 3


# --- certificates -------------------------------------------------------------------------------------


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    files = folder / f"{name}.pem", folder / f"{name}.der"
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    await setup_self_signed_certificate(*files, f"urn:lineside:{name}", "localhost", usage, {})
    return files


async def test_signed_and_encrypted_with_the_servers_own_certificate_only(tmp_path: Path) -> None:
    key, ours = await certificate(tmp_path, "test-edge")
    server_key, theirs = await certificate(tmp_path, "test-server")
    secured = {
        "security": "Basic256Sha256:SignAndEncrypt", "certificate": str(ours), "key": str(key),
        "server_certificate": str(theirs),
    }  # fmt: skip
    intake = MemoryIntake("press-plc")
    with opcua_server(files=[theirs, server_key]) as server:
        async with collecting(settings(server.endpoint, **secured), signals("Count"), intake):
            server.tell("set Count 3")
            await intake.until(lambda: 3 in counts(intake))
        impostor = await refusal(
            settings(server.endpoint, request_timeout="500ms", **secured | {"server_certificate": str(ours)})
        )
        assert isinstance(impostor, SourceError)
        unread = await refusal(settings(server.endpoint, **secured | {"key": str(tmp_path / "absent")}))
        assert isinstance(unread, SourceRefused)
        assert "absent cannot be read" in str(unread)
        unusable = await refusal(settings(server.endpoint, **secured | {"certificate": str(key)}))
        assert isinstance(unusable, SourceRefused)


async def test_security_that_the_server_does_not_offer(server: OpcUaServer, tmp_path: Path) -> None:
    key, ours = await certificate(tmp_path, "test-edge")
    chosen = settings(
        server.endpoint, security="Basic256Sha256:Sign", certificate=str(ours), key=str(key),
        server_certificate=str(ours), request_timeout="500ms",
    )  # fmt: skip
    assert isinstance(await refusal(chosen), SourceError)
