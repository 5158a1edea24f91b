"""The OPC UA source against a real server in a process of its own, and a proxy that fails on command."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapters import opcua
from adapters._opcua.connect import connect
from adapters._opcua.security import Party
from adapters._opcua.session import Pace, Plan, Session
from edge.contract import (
    Observation,
    Outcome,
    Quality,
    Secret,
    Signal,
    SourceError,
    SourceLost,
    SourceRefused,
    Stamp,
    Value,
)
from edge.observation import Missed
from tests.adapters.opcua_server import NAMESPACE, PASSWORD, OpcUaServer, opcua_server
from tests.support.intake import MemoryIntake
from tests.support.proxy import Proxy

NAMES = ("Count", "Reject", "State", "Temperature", "Running", "Order")
FAST = timedelta(milliseconds=50)


def settings(endpoint: str, **more: object) -> opcua.Settings:
    usual = {"type": "opcua", "endpoint": endpoint, "publish": "100ms", "security": "None"}
    return opcua.Settings.model_validate(usual | more)


def through(proxy: Proxy, **more: object) -> opcua.Settings:
    return settings(f"opc.tcp://127.0.0.1:{proxy.port}", **more)


def signals(*names: str, namespace: str = NAMESPACE) -> list[Signal[opcua.Address]]:
    return [Signal(name.lower(), opcua.Address(node=f"nsu={namespace};s={name}"), FAST) for name in names]


async def failure(
    chosen: opcua.Settings,
    watched: Sequence[Signal[opcua.Address]],
    intake: MemoryIntake,
    pace: Pace | None = None,
) -> SourceError:
    """How a connection ended; `pace` hurries what takes seconds otherwise."""
    try:
        if pace is None:
            await opcua.collect(chosen, watched, intake)
        else:
            party = Party(intake.name, intake.data, intake.line)
            async with connect(chosen, party) as (link, _):
                plan = Plan(chosen.publish.total_seconds(), chosen.subscribe)
                await Session(link, watched, intake, plan, pace).run()
    except SourceError as error:
        return error
    raise AssertionError("a source never returns")


@asynccontextmanager
async def collecting(
    chosen: opcua.Settings,
    watched: Sequence[Signal[opcua.Address]],
    intake: MemoryIntake,
    pace: Pace | None = None,
) -> AsyncIterator[asyncio.Task[SourceError]]:
    """A connection in the background; the body may wait for its failure."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(failure(chosen, watched, intake, pace))
        yield task
        task.cancel()


def all_known(intake: MemoryIntake, *names: str) -> bool:
    return {name.lower() for name in names} <= {one.signal for one in intake.seen}


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what no hand-over announces."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def answered(intake: MemoryIntake, number: int) -> None:
    """Wait for the answer to one ask."""
    await intake.until(lambda: any(one.answers == number for one in reversed(intake.seen)))


def counts(intake: MemoryIntake) -> list[int]:
    """The good values of the counter, in the order in which they were handed over."""
    return [value for value in intake.values("count") if isinstance(value, int)]


@pytest.fixture(scope="module")
def running() -> Iterator[OpcUaServer]:
    with opcua_server() as started:
        yield started


@pytest.fixture
def server(running: OpcUaServer) -> OpcUaServer:
    """One server for all, as after its start; a test that kills starts its own."""
    running.tell("reset")
    return running


# --- values -----------------------------------------------------------------------------------


async def test_everything_is_read_after_a_connect(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals(*NAMES), intake):
        await intake.until(lambda: all_known(intake, *NAMES))
        first = {one.signal: one.value for one in reversed(intake.seen)}
    assert first == {
        "count": 0, "reject": 2**63 + 1, "state": 6, "temperature": 20.5, "running": True, "order": "WO-1001",
    }  # fmt: skip
    assert {type(value) for value in first.values()} == {int, float, bool, str}
    assert intake.connections == 1


async def test_every_change_is_notified_in_order_with_the_servers_time(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 100")
        await intake.until(lambda: 60 in counts(intake))
    changed = [one for one in intake.seen if one.value and one.stamp is Stamp.SOURCE]
    assert [one.value for one in changed] == list(range(1, len(changed) + 1))
    assert all(early.at_ms <= late.at_ms for early, late in pairwise(changed))
    assert all(abs(one.seen_ms - one.at_ms) < 1500 for one in changed)


async def test_a_signal_that_never_changes_stays_fresh(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("State"), intake, Pace(probe_s=0.1)):
        await intake.until(lambda: len(intake.values("state")) > 8)
    assert set(intake.values("state")) == {6}


async def test_one_unknown_node_is_named_once_and_blocks_no_other(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    watched = [*signals("Missing", "Count"), *signals("State", namespace="urn:nowhere")]
    async with collecting(settings(server.endpoint), watched, intake, Pace(probe_s=0.1)):
        await intake.until(lambda: len(counts(intake)) > 5)
    bad = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert sum(one.quality is Quality.BAD for one in intake.seen) == 2
    assert bad["missing"].startswith(f"nsu={NAMESPACE};s=Missing: the server has no such node")
    assert "urn:nowhere" in bad["state"]
    assert NAMESPACE in bad["state"]


async def test_a_node_that_appears_later_is_found(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    pace = Pace(probe_s=0.1, mend_s=0.3)
    async with collecting(settings(server.endpoint), signals("Late", "Count"), intake, pace):
        await intake.until(lambda: all_known(intake, "Late", "Count"))
        server.tell("add Late")
        await intake.until(lambda: 7 in intake.values("late"))
    assert [one.quality for one in intake.seen if one.signal == "late"].count(Quality.BAD) == 1


async def test_what_cannot_be_a_value_is_bad_and_says_why(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Curve", "Stamp", "Count"), intake):
        await intake.until(lambda: all_known(intake, "Curve", "Stamp"))
        server.tell("status Count 0x80320000")
        await intake.until(lambda: any(one.detail == "BadWaitingForInitialData" for one in intake.seen))
        server.tell("status Count 0x40920000")
        await intake.until(lambda: any(one.quality is Quality.UNCERTAIN for one in intake.seen))
    words = {one.signal: one.detail for one in intake.seen if one.quality is Quality.BAD}
    assert "it is an array" in words["curve"]
    assert intake.values("stamp")[0] == "2026-05-04T00:00:00.000Z"
    assert (
        next(one.detail for one in intake.seen if one.quality is Quality.UNCERTAIN) == "UncertainInitialValue"
    )


async def test_an_overflow_is_uncertain_and_read_again_at_once(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=60)):
        await intake.until(lambda: counts(intake) != [])
        before = len(intake.seen)
        server.tell("status Count 0x480")
        await intake.until(lambda: len(intake.seen) > before + 1)
    assert all(one.quality is Quality.UNCERTAIN for one in intake.seen[before:])
    assert "overflow" in intake.seen[-1].detail
    assert intake.seen[-1].stamp is Stamp.SOURCE


async def test_a_clock_that_lies_is_not_believed_and_silences_nothing(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 20")
        await answered(intake, intake.ask("count"))
        server.tell("clock -420")
        before = len(intake.seen)
        await intake.until(lambda: len(intake.seen) > before + 20)
    counted = [one for one in intake.seen[before:] if one.value]
    assert counted[-1].stamp is Stamp.RECEIPT
    assert counts(intake) == sorted(counts(intake))


# --- fresh reads ------------------------------------------------------------------------------


async def test_an_ask_is_answered_at_once_and_the_counter_never_goes_back(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    waits: list[float] = []
    async with collecting(settings(server.endpoint, publish="200ms"), signals("Count", "State"), intake):
        await intake.until(lambda: all_known(intake, "Count", "State"))
        server.tell("run 50")
        while max(counts(intake)) < 100:
            asked_s = time.monotonic()
            await answered(intake, intake.ask("count"))
            waits.append(time.monotonic() - asked_s)
        await intake.until(lambda: max(counts(intake)) >= 120)
    values = counts(intake)
    assert values == sorted(values)
    assert sorted(waits)[len(waits) // 2] < 0.1
    assert max(waits) < 0.5
    assert {one.signal for one in intake.seen if one.answers} == {"count"}
    assert len(waits) > 50


async def test_a_server_that_publishes_slower_than_asked_makes_no_counter_go_back(
    server: OpcUaServer,
) -> None:
    intake = MemoryIntake("press-plc")
    server.tell("slowest 1000")
    async with collecting(settings(server.endpoint, publish="20ms"), signals("Count"), intake):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 50")
        await intake.until(lambda: max(counts(intake)) >= 20)
        published = max(counts(intake))
        while max(counts(intake)) < published + 15:
            await answered(intake, intake.ask("count"))
        await intake.until(lambda: max(counts(intake)) > published + 90)
    assert counts(intake) == sorted(counts(intake))


async def test_an_ask_for_an_unknown_node_is_answered_too(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    async with collecting(settings(server.endpoint), signals("Missing", "Count"), intake):
        number = intake.ask("count", "missing", "somebody-elses")
        await intake.until(lambda: sum(one.answers == number for one in intake.seen) == 2)
    answers = {one.signal: one.quality for one in intake.seen if one.answers}
    assert answers == {"count": Quality.GOOD, "missing": Quality.BAD}


# --- a slow or failing journal -----------------------------------------------------------------


class HeldIntake(MemoryIntake):
    """One whose disk takes its time."""

    def __init__(self) -> None:
        super().__init__("press-plc")
        self.free = asyncio.Event()
        self.batches: list[int] = []
        self.arrived = 0

    def observe(self, signal: str, value: Value, **more: Any) -> Observation:
        self.arrived += 1
        return super().observe(signal, value, **more)

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.batches.append(len(observations))
        outcomes = await super().emit(observations)
        if len(self.batches) > 1:
            await self.free.wait()
        return outcomes


async def test_while_the_disk_is_slow_values_gather_in_order(server: OpcUaServer) -> None:
    intake = HeldIntake()
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=60)):
        await intake.until(lambda: counts(intake) != [])
        server.tell("run 100")
        await intake.until(lambda: len(intake.batches) == 2)
        await eventually(lambda: intake.arrived > len(intake.seen) + 20)
        await answered(intake, intake.ask("count"))
        intake.free.set()
        await intake.until(lambda: 80 in counts(intake))
    values = counts(intake)
    assert values == sorted(values)


async def test_what_is_not_recorded_is_read_again(server: OpcUaServer) -> None:
    intake = MemoryIntake("press-plc")
    intake.failing = True
    async with collecting(settings(server.endpoint), signals("Count"), intake, Pace(probe_s=0.1)) as task:
        await eventually(lambda: intake.connections == 1)
        server.tell("set Count 41")
        intake.failing = False
        await intake.until(lambda: 41 in counts(intake))
        assert not task.done()


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


# --- the end --------------------------------------------------------------------------------------


async def test_cancelling_leaves_no_task_and_no_connection(server: OpcUaServer) -> None:
    before = asyncio.all_tasks()
    intake = MemoryIntake("press-plc")
    async with Proxy(server.port) as proxy:
        async with collecting(through(proxy), signals("Count"), intake):
            await intake.until(lambda: counts(intake) != [])
            stop_s = time.monotonic()
        assert time.monotonic() - stop_s < 0.5
        async with asyncio.timeout(5):
            await proxy.idle()
    assert asyncio.all_tasks() == before


async def test_cancelling_in_the_middle_of_a_connect_leaves_nothing(server: OpcUaServer) -> None:
    before = asyncio.all_tasks()
    async with Proxy(server.port) as proxy:
        proxy.stall()
        async with collecting(through(proxy), signals("Count"), MemoryIntake("press-plc")):
            await eventually(lambda: proxy.connections == 1)
        proxy.flow()
        async with asyncio.timeout(5):
            await proxy.idle()
    assert asyncio.all_tasks() == before


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
