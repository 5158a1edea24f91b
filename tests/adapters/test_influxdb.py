"""The influxdb sink against real servers: the engine of InfluxDB 1.6, which rejects, and victoria-metrics."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import urllib3.exceptions
from influxdb_client.rest import ApiException
from pydantic import ValidationError
from urllib3 import HTTPConnectionPool

from adapters import influxdb
from adapters._influx_server import Server
from adapters._influx_wire import Hand, Wire
from edge.contract import Outlet, Receipt, Sink, SinkError, SinkLost, SinkRefused
from tests.support.records import AT_MS, count, record
from tests.support.servers import (
    FarEnd,
    Front,
    free_port,
    influxd,
    query_influx,
    v2_front,
    victoria_metrics,
    victoria_values,
)

OUTLET = Outlet("plant-influx", "line-1", "acme/leeds", Path("/nonexistent"))


def parsed(url: str, **settings: Any) -> influxdb.Settings:
    table = {"type": "influxdb", "url": url, "bucket": "edge", "timeout": "5s", **settings}
    return influxdb.Settings.model_validate(table)


def open_sink(url: str, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    return influxdb.connect(parsed(url, **settings), OUTLET)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FarEnd]:
    async with influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def front(engine: FarEnd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    monkeypatch.setenv("TEST_INFLUX_TOKEN", "s3cret")
    with v2_front(engine) as server:
        yield server


TOKEN = {"env": "TEST_INFLUX_TOKEN"}


# --- the engine of InfluxDB -----------------------------------------------------------------


@pytest.mark.parametrize("gzip", [True, False])
async def test_events_become_points_with_their_types(engine: FarEnd, front: Front, gzip: bool) -> None:
    first = 1000 if gzip else 2000
    async with open_sink(front.url, token=TOKEN, gzip=gzip) as sink:
        receipt = await sink.write([count(seq) for seq in range(first, first + 500)])
        assert list(receipt.acknowledged) == list(range(first, first + 500))
        await sink.show({"/health": b"{}"})
    rows = query_influx(engine.port, f"SELECT * FROM count WHERE raw >= {first} AND raw < {first + 1000}")
    assert [row["raw"] for row in rows] == list(range(first, first + 500))
    assert rows[0]["time"] == AT_MS * 1_000_000 + first
    assert {row["order"] for row in rows} == {"WO-1001"}
    assert [status for status, _, _ in front.requests] == [204]
    assert front.requests[0][2] == ("gzip" if gzip else "")


async def test_a_repeat_changes_nothing(engine: FarEnd, front: Front) -> None:
    async with open_sink(front.url, token=TOKEN) as sink:
        for _ in range(3):
            await sink.write([record(seq, "repeat", {"n": seq}) for seq in range(10)])
    assert len(query_influx(engine.port, "SELECT n FROM repeat")) == 10


@pytest.mark.parametrize("bad", [{0}, {9}, {3, 4}, {0, 5, 9}, set(range(10))])
async def test_a_field_that_changes_its_type_is_rejected_and_the_rest_is_stored(
    engine: FarEnd, front: Front, bad: set[int]
) -> None:
    name = "conflict" + "".join(map(str, sorted(bad)))
    async with open_sink(front.url, token=TOKEN) as sink:
        await sink.write([record(100, name, {"n": 1})])
        events = [record(seq, name, {"n": "a text" if seq in bad else seq}) for seq in range(10)]
        receipt = await sink.write(events)
    assert set(receipt.rejected) == bad
    assert all("field type conflict" in reason for reason in receipt.rejected.values())
    assert sorted(receipt.acknowledged) == sorted(set(range(10)) - bad)
    stored = {row["n"] for row in query_influx(engine.port, f"SELECT n FROM {name}")}
    assert stored >= set(range(10)) - bad


async def test_a_point_that_cannot_be_read_is_rejected_alone(front: Front) -> None:
    beyond = record(2, "late", {"n": 1}, at_ms=2**53)
    async with open_sink(front.url, token=TOKEN) as sink:
        receipt = await sink.write([count(1), beyond, count(3)])
    assert set(receipt.rejected) == {2}
    assert sorted(receipt.acknowledged) == [1, 3]


async def test_many_bad_events_are_found_over_several_writes(engine: FarEnd, front: Front) -> None:
    async with open_sink(front.url, token=TOKEN) as sink:
        await sink.write([record(1000, "spoilt", {"n": 1})])
        waiting = {seq: record(seq, "spoilt", {"n": "text"}) for seq in range(100)}
        for _ in range(10):
            front.requests.clear()
            receipt = await sink.write(list(waiting.values()))
            assert receipt.rejected
            assert len(front.requests) <= influxdb.REQUESTS + 1  # and one probe of the server
            for seq in receipt.rejected:
                del waiting[seq]
            if not waiting:
                break
    assert not waiting


async def test_a_batch_that_is_too_large_is_split(engine: FarEnd, front: Front) -> None:
    front.largest = 2000
    huge = record(50, "split", {"n": 50, "text": "x" * 3000})
    async with open_sink(front.url, token=TOKEN) as sink:
        receipt = await sink.write([*(record(seq, "split", {"n": seq}) for seq in range(50)), huge])
    assert set(receipt.rejected) == {50}
    assert sorted(receipt.acknowledged) == list(range(50))
    assert len(query_influx(engine.port, "SELECT n FROM split")) == 50


async def test_nothing_to_write_is_not_sent(front: Front) -> None:
    async with open_sink(front.url, token=TOKEN) as sink:
        assert await sink.write([]) == Receipt([], {})
    assert not front.requests


async def test_a_wrong_token_is_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INFLUX_TOKEN", "wrong")
    async with open_sink(front.url, token=TOKEN) as sink:
        with pytest.raises(SinkRefused, match=r"401: unauthorized access; check the token"):
            await sink.write([count(1)])
    async with open_sink(front.url) as sink:
        with pytest.raises(SinkRefused, match="401"):
            await sink.write([count(1)])


@pytest.mark.parametrize("text", ["", "pass\nword", "schlüssel"])
async def test_a_token_that_cannot_be_one_is_refused(
    front: Front, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.delenv("TEST_INFLUX_TOKEN")
    if text:
        monkeypatch.setenv("TEST_INFLUX_TOKEN", text)
    with pytest.raises(SinkRefused, match="token"):
        async with open_sink(front.url, token=TOKEN):
            pass


async def test_a_bucket_that_is_not_there_is_refused(front: Front) -> None:
    async with open_sink(front.url, token=TOKEN, bucket="elsewhere") as sink:
        with pytest.raises(SinkRefused, match=r"404: database not found.*create the bucket"):
            await sink.write([count(1)])


async def test_a_server_without_the_v2_api_is_refused(engine: FarEnd) -> None:
    async with open_sink(engine.url) as sink:
        with pytest.raises(SinkRefused, match="404"):
            await sink.write([count(1)])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, SinkLost), (502, SinkLost), (503, SinkLost), (429, SinkLost), (408, SinkLost),
        (401, SinkRefused), (403, SinkRefused), (405, SinkRefused), (301, SinkRefused),
    ],
)  # fmt: skip
async def test_each_status_has_its_meaning(front: Front, status: int, kind: type[SinkError]) -> None:
    async with open_sink(front.url, token=TOKEN) as sink:
        front.forced = status
        with pytest.raises(kind, match=str(status)):
            await sink.write([count(1), count(2)])
    assert len(front.requests) == 1


async def test_a_server_that_fails_in_the_middle_leaves_a_partial_receipt(front: Front) -> None:
    class Failing(Server):
        def write(self, points: bytes) -> None:
            if len(front.requests) == 3:
                front.forced = 503
            super().write(points)

    wire, hand = Wire(), Hand("test")
    server = Failing("plant-influx", parsed(front.url, token=TOKEN), wire)
    server.write(b"half n=1i 1")
    events = [record(seq, "half", {"n": "text" if seq == 3 else seq}) for seq in range(4)]
    receipt = await influxdb.InfluxSink(server, wire, hand, replay_s=15.0).write(events)
    hand.let_go(server.close)
    assert list(receipt.acknowledged) == [0, 1]
    assert not receipt.rejected


# --- a server that is not there -------------------------------------------------------------


async def test_a_server_that_is_down_is_lost_at_once() -> None:
    with pytest.raises(SinkLost, match="nobody listens"):
        async with open_sink(f"http://127.0.0.1:{free_port()}"):
            pass
    with pytest.raises(SinkLost, match="name is not known"):
        async with open_sink("http://no-such-host.invalid:8086"):
            pass


async def test_a_server_that_never_answers_is_lost_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(SinkLost, match="no answer in time"):
            async with open_sink(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout="200ms"):
                pass
        assert time.monotonic() - started < 2


async def test_tls_to_a_port_without_it_is_refused(front: Front) -> None:
    with pytest.raises(SinkRefused, match="TLS"):
        async with open_sink(front.url.replace("http:", "https:")):
            pass


async def test_the_loop_goes_on_while_the_server_stalls(tmp_path: Path) -> None:
    async with influxd(tmp_path) as server:
        with v2_front(server) as front:
            async with open_sink(front.url, timeout="400ms") as sink:
                front.token = ""
                server.stall()
                ticks = 0
                async with asyncio.TaskGroup() as group:
                    write = group.create_task(_outcome(sink))
                    while not write.done():
                        await asyncio.sleep(0.01)
                        ticks += 1
            server.resume()
    assert isinstance(write.result(), SinkError)
    assert ticks > 10


async def _outcome(sink: Sink) -> SinkError | Receipt:
    try:
        return await sink.write([count(1)])
    except SinkError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.ConnectTimeoutError(), urllib3.exceptions.ProtocolError("x"),
        urllib3.exceptions.ReadTimeoutError(HTTPConnectionPool("h"), "u", "m"),
        urllib3.exceptions.IncompleteRead(1, 2), urllib3.exceptions.DecodeError(),
        urllib3.exceptions.InvalidHeader(), ConnectionResetError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    ],
)  # fmt: skip
def test_each_error_of_the_connection_is_a_loss(error: Exception) -> None:
    server = Server("plant-influx", parsed("http://127.0.0.1:1"), Wire())
    assert isinstance(server.failure(error), SinkLost)
    server.close()


def test_every_error_of_the_library_is_known() -> None:
    """HTTPError is the root of urllib3's, ApiException of what the client makes of an answer."""
    own = [
        one for one in vars(urllib3.exceptions).values()
        if isinstance(one, type) and issubclass(one, Exception) and not issubclass(one, Warning)
        and one.__module__ == "urllib3.exceptions"
    ]  # fmt: skip
    assert len(own) > 20
    strangers = [one for one in own if not issubclass(one, urllib3.exceptions.HTTPError)]
    assert {one.__name__ for one in strangers} <= {"ProxySchemeUnsupported"}
    server = Server("plant-influx", parsed("http://127.0.0.1:1"), Wire())
    untrusted = ApiException(status=0, reason="SSLError")  # type: ignore[no-untyped-call]
    assert isinstance(server.failure(untrusted), SinkRefused)
    server.close()


# --- victoria-metrics -----------------------------------------------------------------------


async def test_victoria_metrics_holds_every_count(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    async with victoria_metrics(tmp_path) as server:
        async with open_sink(server.url) as sink:
            events = [
                record(seq, "count", {"role": "good", "produced": 1}, {}, at_ms=now_ms - 5000 + seq)
                for seq in range(300)
            ]
            assert len((await sink.write(events)).acknowledged) == 300
        async with asyncio.timeout(15):
            while not (found := victoria_values(server.port, '{__name__="count_produced"}')):
                await asyncio.sleep(0.2)
    (points,) = found.values()
    assert len(points) == 300
    assert sum(value for _, value in points) == 300


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"url": "influx.local:8086"}, {"url": "mqtt://h"}, {"url": "http://"}, {"url": "http://h:99999"},
        {"url": "http://u:p@h"}, {"url": "http://h?x=1"}, {"bucket": ""}, {"token": "literal"},
        {"timeout": "0s"}, {"retries": 3}, {"api": "v3"}, {"api": 1},
        {"user": "edge", "password": {"env": "P"}}, {"api": "v1", "token": {"env": "T"}},
        {"api": "v1", "user": "edge"}, {"api": "v1", "password": {"env": "P"}},
        {"api": "v1", "user": "a:b", "password": {"env": "P"}},
        {"api": "v1", "user": "", "password": {"env": "P"}},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_faults(fault: dict[str, Any]) -> None:
    table = {"type": "influxdb", "url": "http://h:8086", "bucket": "edge", **fault}
    with pytest.raises(ValidationError):
        influxdb.Settings.model_validate(table)


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_finds_fault_with_everything_costs_no_event(front: Front, status: int) -> None:
    """A proxy in the way, or another bucket: no event is given up, and all arrive when it is gone."""
    events = [count(seq) for seq in range(1, 6)]
    async with open_sink(front.url, token=TOKEN) as sink:
        front.forced = status
        with pytest.raises(SinkRefused, match="takes none of the events"):
            await sink.write(events)
        front.forced = 0
        assert (await sink.write(events)).acknowledged == [1, 2, 3, 4, 5]
