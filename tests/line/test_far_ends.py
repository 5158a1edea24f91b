"""Delivery over real wires: what far ends do to it, and that every event arrives all the same.

A stub answers as no server should, InfluxDB 1.6 rejects a conflict of types, mosquitto was away for an hour.
"""

import asyncio
import http.client
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters import influxdb, mqtt
from edge.contract import Outlet
from edge.delivery import Delivery
from edge.house import House
from edge.journal.sinks import SinkReader
from edge.observation import TestResult
from edge.quarantine import RetryRejected
from edge.recorder import Recorder
from tests.line.test_agent import agent
from tests.support.agent import Agent
from tests.support.delivering import Bench, at_work
from tests.support.line import line, recording, run_quickly, see
from tests.support.servers import heard, influxd, mosquitto, query_influx, session, v2_front
from tests.support.stub import Stub, stub

EVENTS = 60
QUICK = 10
"""A second of the agent's pauses takes a tenth of one."""


@asynccontextmanager
async def delivering(
    recorder: Recorder, path: Path, module: Any, name: str = "far", **settings: Any
) -> AsyncIterator[Delivery]:
    """A real sink, a module of `adapters`, delivered to as the agent does it."""
    made = module.Settings.model_validate({"type": module.__name__.rpartition(".")[2], **settings})
    reader = SinkReader(path, "line-1")
    delivery = Delivery(name, made, reader, recorder, dict)
    outlet = Outlet(name, "line-1", "", path.parent / name)
    try:
        async with at_work(delivery, lambda: module.connect(made, outlet)):
            yield delivery
    finally:
        reader.close()


async def until(holds: Callable[[], bool], within_s: float = 300.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


# --- a stub that answers as no server should --------------------------------------------------------------


@dataclass
class Mind:
    """What the stub makes of a write, and what it has been sent."""

    one: Stub
    fault: Callable[[Stub, list[int]], None]
    """Sets what is wrong with the answer to a write of these."""
    is_wrong: bool = True
    writes: list[list[int]] = field(default_factory=list)
    stored: dict[int, set[bytes]] = field(default_factory=dict)
    """By seq, every form in which it came."""

    def __call__(self, path: str, body: bytes) -> None:
        one = self.one
        one.status, one.silent, one.half, one.headers = 204, False, False, {}
        if "write" not in path or b"lineside_probe" in body:
            return
        seqs = [int(text.rpartition(b" ")[2]) % 1_000_000 for text in body.splitlines()]
        self.writes.append(seqs)
        if self.is_wrong:
            self.fault(one, seqs)
        if one.status == 204 and not one.silent:
            for seq, text in zip(seqs, body.splitlines(), strict=True):
                self.stored.setdefault(seq, set()).add(text)


def status(number: int, **headers: str) -> Callable[[Stub, list[int]], None]:
    def fault(one: Stub, seqs: list[int]) -> None:
        one.status, one.headers = number, {key.replace("_", "-"): text for key, text in headers.items()}

    return fault


def half(one: Stub, seqs: list[int]) -> None:
    one.half = True


def silent(one: Stub, seqs: list[int]) -> None:
    one.silent = True


def too_large(one: Stub, seqs: list[int]) -> None:
    one.status = 413 if len(seqs) > 7 else 204


FAULTS = {
    "401": (status(401), "refused"),
    "429": (status(429, Retry_After="2"), "lost"),
    "500": (status(500), "lost"),
    "503": (status(503), "lost"),
    "half an answer": (half, "lost"),
    "no answer": (silent, "lost"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_after_any_fault_every_event_arrives(tmp_path: Path, name: str) -> None:
    fault, state = FAULTS[name]

    async def runs() -> None:
        path = tmp_path / "journal.db"
        async with recording(line(), path) as recorder, stub() as one:
            bench, mind = Bench(recorder, path), Mind(one, fault)
            one.judge = mind
            await bench.happen(EVENTS)
            settings: dict[str, Any] = {
                "url": f"http://127.0.0.1:{one.port}",
                "bucket": "b",
                "gzip": False,
                "timeout": "2s",
            }
            async with delivering(recorder, path, influxdb, batch=25, **settings) as delivery:
                await until(lambda: len(mind.writes) >= 2 and delivery.state == state)
                assert delivery.reason
                assert delivery.pending == EVENTS, "nothing is settled by a fault"
                if name == "429":
                    await waits_as_told(mind)
                mind.is_wrong, before = False, len(mind.writes)
                await bench.happen(3)
                await until(lambda: delivery.pending == 0)
                assert (delivery.state, delivery.reason) == ("connected", "")
            assert sorted(mind.stored) == list(range(1, EVENTS + 4)), "no id is missing"
            assert {len(forms) for forms in mind.stored.values()} == {1}, "repeats are the same to the byte"
            assert all(one == sorted(one) for one in mind.writes)
            backlog = [seq for one in mind.writes[before:] for seq in one if seq <= EVENTS]
            assert backlog == list(range(1, EVENTS + 1)), "ascending within its lane"
            assert mind.writes.count(list(range(1, 26))) >= 2, "the first batch had to come again"

    run_quickly(runs(), QUICK)


async def waits_as_told(mind: Mind) -> None:
    """`Retry-After: 2`, where the first pause would be half a second."""
    loop, count = asyncio.get_running_loop(), len(mind.writes)
    await until(lambda: len(mind.writes) > count)
    began, count = loop.time(), len(mind.writes)
    await until(lambda: len(mind.writes) > count)
    assert loop.time() - began >= 2.0


def test_a_batch_that_is_too_large_goes_in_pieces(tmp_path: Path) -> None:
    async def runs() -> None:
        path = tmp_path / "journal.db"
        async with recording(line(), path) as recorder, stub() as one:
            bench, mind = Bench(recorder, path), Mind(one, too_large)
            one.judge = mind
            await bench.happen(EVENTS)
            settings: dict[str, Any] = {"url": f"http://127.0.0.1:{one.port}", "bucket": "b", "gzip": False}
            async with delivering(recorder, path, influxdb, batch=25, **settings) as delivery:
                await until(lambda: delivery.pending == 0)
            stored = [seqs for seqs in mind.writes if len(seqs) <= 7]
            assert [seq for seqs in stored for seq in seqs] == list(range(1, EVENTS + 1)), (
                "each once, in order"
            )

    run_quickly(runs(), QUICK)


def test_one_that_it_finds_fault_with_is_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def runs() -> None:
        path = tmp_path / "journal.db"

        def bad(one: Stub, seqs: list[int]) -> None:
            one.status, one.body = 204, b""
            if {7, 33} & set(seqs):
                one.status, one.body = 422, b'{"code":"unprocessable entity","message":"not this one"}'

        async with recording(line(), path) as recorder, stub() as one:
            bench, mind = Bench(recorder, path), Mind(one, bad)
            one.judge = mind
            await bench.happen(EVENTS)
            settings: dict[str, Any] = {"url": f"http://127.0.0.1:{one.port}", "bucket": "b", "gzip": False}
            async with delivering(recorder, path, influxdb, batch=25, **settings) as delivery:
                await until(lambda: delivery.pending == 0)
                status = delivery.status()
                assert (status.delivered, status.rejected) == (EVENTS - 2, 2)
                assert sorted(mind.stored) == [seq for seq in range(1, EVENTS + 1) if seq not in (7, 33)]
                await bench.happen(1)  # takes what is noted to the disk
                await until(lambda: delivery.pending == 0)
                reader = SinkReader(path, "line-1")
                await until(lambda: len(reader.rejected_events("far")) == 2)
                assert {(one.seq, "not this one" in one.reason) for one in reader.rejected_events("far")} == {
                    (7, True), (33, True),
                }  # fmt: skip
                reader.close()
                mind.is_wrong, one.body = False, b""
                await RetryRejected("far").carry_out(House(recorder, ["far"], {"far": delivery}))
                await until(lambda: delivery.pending == 0)
                assert {7, 33} <= mind.stored.keys(), "put right, they arrive"
                assert delivery.status().rejected == 0

    run_quickly(runs(), QUICK)


# --- InfluxDB 1.6 -----------------------------------------------------------------------------------------


async def test_a_real_conflict_of_types_is_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Somebody else writes a number where a scan has its text: in that shard it never takes another type."""
    path = tmp_path / "journal.db"
    async with recording(line(), path) as recorder, influxd(tmp_path / "influx") as engine:
        with v2_front(engine, token="") as front:
            bench = Bench(recorder, path)
            occupy(engine.port, "label", bench.clock.wall_ms())
            for number in range(3):
                await bench.happen(1)
                result = TestResult(f"SN-{number}", "leak", True)
                await recorder.emit([see(bench.clock, "rig-press", result)])
            async with delivering(recorder, path, influxdb, url=front.url, bucket="edge") as delivery:
                await until(lambda: delivery.pending == 0, 20)
                status = delivery.status()
                assert (status.state, status.rejected) == ("connected", 3)
                assert status.delivered == recorder.head - 3
        assert len(query_influx(engine.port, "SELECT * FROM test")) == 3
    reader = SinkReader(path, "line-1")
    scans = [one.seq for one in reader.records(1, recorder.head) if one.type == "scan"]
    rejected = reader.rejected_events("far")
    reader.close()
    assert [one.seq for one in rejected] == scans
    assert all("conflict" in one.reason for one in rejected), rejected


def occupy(port: int, name: str, at_ms: int) -> None:
    """From now on `name` of a scan is a number there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    point = f"scan,line=other {name}=1.5 {at_ms * 1_000_000}"
    connection.request("POST", "/write?db=edge", point.encode())
    assert connection.getresponse().status == 204
    connection.close()


# --- mosquitto ---------------------------------------------------------------------------------------------


QUEUES = (
    "allow_anonymous true",
    "autosave_on_changes false",
    "autosave_interval 1800",
    "max_queued_messages 0",
)
"""Saving a long queue at every change would be all that it does."""


async def test_an_hour_of_backlog_goes_out_beside_live_events(tmp_path: Path) -> None:
    """Two events a second for an hour while the broker is away: none is missing, and new ones do not wait."""
    path, backlog = tmp_path / "journal.db", 7_200
    async with (
        recording(line(), path) as recorder,
        mosquitto(tmp_path / "mosquitto", options=QUEUES) as broker,
    ):
        bench = Bench(recorder, path)
        await bench.happen(backlog)
        durable = await session(broker.port, "all-of-it", "line-1/press/_event/#")
        settings: dict[str, Any] = {
            "broker": [f"mqtt://127.0.0.1:{broker.port}"],
            "backlog_rate": 2_000,
            "batch": 200,
        }
        async with delivering(recorder, path, mqtt, **settings) as delivery:
            await until(lambda: delivery.state == "connected", 20)
            listening = asyncio.create_task(
                heard(broker.port, "line-1/press/_event/#", backlog + 5, *durable, within_s=40)
            )
            late = []
            for _ in range(5):
                began, head = time.monotonic(), recorder.head
                await bench.happen(1)
                await until(lambda head=head: head + 1 not in missing(delivery), 20)  # type: ignore[misc]
                late.append(time.monotonic() - began)
            assert delivery.pending > 0, "the backlog is still going out"
            assert max(late) < 2.0
            assert delivery.status().eta_s
            await until(lambda: delivery.pending == 0, 40)
        messages = await listening
    ids = {one.json["id"] for one in messages if one.payload and b'"seq"' in one.payload}
    assert {int(one.rpartition("-")[2]) for one in ids} == set(range(1, backlog + 6))


def missing(delivery: Delivery) -> set[int]:
    return {seq for first, last in delivery._settled.missing(1, 10**6) for seq in (first, last)}


# --- as a person has it ------------------------------------------------------------------------------------

LINE = """
[line]
name = "line-1"
badge = "optional"
[source.gun-1]
type = "serial-scanner"
port = "{folder}/gun-1"
[[station]]
name = "press"
ideal_cycle = "1s"
scanner = "gun-1"
[sink.far]
type = "influxdb"
url = "http://127.0.0.1:{packer}"
bucket = "b"
gzip = false
"""


async def lineside(running: Agent, *words: str) -> tuple[int, str]:
    typed = ["-m", "edge", *words, "--line", str(running.folder / "line.toml")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *typed, "--data", str(running.folder / "data"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, said.decode()


async def said(running: Agent, *words: str, until: str) -> str:
    """What the command prints, as soon as this is in it."""
    async with asyncio.timeout(30):
        while until not in (text := (await lineside(running, *words))[1]):
            pass
    return text


@pytest.mark.timeout(120)
async def test_a_running_agent_says_how_its_sinks_are_and_does_what_it_is_told(tmp_path: Path) -> None:
    def no_orders(one: Stub, seqs: list[int]) -> None:
        one.status, one.body = 204, b""
        if b"work_order," in one.requests[-1][2]:
            one.status, one.body = 422, b'{"code":"unprocessable entity","message":"no orders here"}'

    orders = tmp_path / "orders.csv"
    orders.write_text("id,item,quantity\nWO-7,P7,40\n", encoding="utf-8")
    async with stub() as one:
        mind = Mind(one, status(401))
        one.judge = mind
        async with agent(tmp_path, str(one.port), LINE) as running:
            await running.until(lambda: "is up" in running.log)
            code, _ = await lineside(running, "orders", "import", str(orders))
            assert code == 0
            text = await said(running, "sink", "list", until="refused")
            assert "far: refused: 0 delivered" in text
            assert "check the token" in text
            mind.fault = no_orders
            text = await said(running, "quarantine", "list", until="no orders here")
            assert "far: event" in text
            text = await said(running, "sink", "list", until="connected")
            assert "0 to deliver" in text
            assert "1 rejected for ever" in text
            mind.is_wrong, one.body, before = False, b"", len(mind.writes)
            assert await lineside(running, "quarantine", "retry", "far", "--all") == (
                0, "far: 1 event to be sent again\n",
            )  # fmt: skip
            await running.until(lambda: len(mind.writes) > before)
            assert await said(running, "quarantine", "list", until="nothing is in quarantine")
            assert await running.stop() == 0
        code, text = await lineside(running, "sink", "list")
        assert text.startswith("far: no agent runs: ")
        assert ", 0 to deliver" in text
