"""The influxdb sink with `api = "v1"` against a real InfluxDB 1.6."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from adapters import influxdb
from adapters._influx_server import Server
from adapters._influx_wire import Hand, Wire
from edge.contract import TELEMETRY, Outlet, Record, Sink, SinkRefused
from tests.support.records import AT_MS, count, record
from tests.support.servers import FarEnd, _influx, influxd, query_influx

OUTLET = Outlet("plant-influx", "line-1", "acme/leeds", Path("/nonexistent"))


def open_sink(server: FarEnd, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    table = {
        "type": "influxdb",
        "url": server.url,
        "api": "v1",
        "bucket": "edge",
        "timeout": "5s",
        **settings,
    }
    return influxdb.connect(influxdb.Settings.model_validate(table), OUTLET)


def say(server: FarEnd, statement: str, **login: str) -> None:
    status, body = _influx(server.port, "POST", f"/query?{urlencode({'q': statement, **login})}")
    assert status == 200, body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FarEnd]:
    async with influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.mark.parametrize("gzip", [True, False])
async def test_events_become_points(engine: FarEnd, gzip: bool) -> None:
    first = 1000 if gzip else 2000
    async with open_sink(engine, gzip=gzip) as sink:
        receipt = await sink.write([count(seq) for seq in range(first, first + 500)])
        again = await sink.write([count(seq) for seq in range(first, first + 500)])
    assert list(receipt.acknowledged) == list(again.acknowledged) == list(range(first, first + 500))
    rows = query_influx(engine.port, f"SELECT * FROM count WHERE raw >= {first} AND raw < {first + 1000}")
    assert [row["raw"] for row in rows] == list(range(first, first + 500))
    assert rows[0]["time"] == AT_MS * 1_000_000 + first


async def test_a_retention_policy_is_named_after_the_database(engine: FarEnd) -> None:
    say(engine, "CREATE RETENTION POLICY short ON edge DURATION INF REPLICATION 1")
    async with open_sink(engine, bucket="edge/short") as sink:
        await sink.write([record(1, "kept", {"n": 1})])
    assert query_influx(engine.port, "SELECT n FROM edge.short.kept")
    assert not query_influx(engine.port, "SELECT n FROM edge.autogen.kept")


async def test_a_type_conflict_is_rejected_with_the_servers_own_words(engine: FarEnd) -> None:
    async with open_sink(engine) as sink:
        await sink.write([record(100, "odd", {"n": 1})])
        receipt = await sink.write(
            [record(seq, "odd", {"n": "text" if seq == 3 else seq}) for seq in range(6)]
        )
    assert sorted(receipt.acknowledged) == [0, 1, 2, 4, 5]
    (reason,) = receipt.rejected.values()
    assert reason.startswith("partial write: field type conflict")


async def test_what_is_older_than_the_database_keeps_is_rejected_in_one_go(engine: FarEnd) -> None:
    """A long outage: InfluxDB says how many points it dropped, so that nothing need be searched for."""
    say(engine, "CREATE DATABASE young WITH DURATION 1h REPLICATION 1")
    events = [record(seq, f"old_{seq % 4}", {"n": seq}) for seq in range(500)]
    requests: list[bytes] = []

    class Counting(Server):
        def write(self, points: bytes) -> None:
            requests.append(points)
            super().write(points)

    table = {"type": "influxdb", "url": engine.url, "api": "v1", "bucket": "young"}
    wire, hand = Wire(), Hand("test")
    server = Counting("plant-influx", influxdb.Settings.model_validate(table), wire)
    receipt = await influxdb.InfluxSink(server, wire, hand, replay_s=15.0).write(events)
    hand.let_go(server.close)
    assert set(receipt.rejected) == set(range(500))
    assert "retention policy" in receipt.rejected[0]
    assert requests[1] == requests[0]
    assert requests[2] == influxdb.PROBE
    assert requests[4] == b"%b %d" % (influxdb.PROBE, AT_MS * 1_000_000)  # too old, whatever it says
    assert len(requests) == 5


async def test_a_signal_with_another_type_is_left_out_of_its_frame(engine: FarEnd) -> None:
    def frame(seq: int, values: bytes) -> Record:
        body = b'{"frames":[{"at":%d,"values":%b}]}' % (AT_MS + seq, values)
        return Record(seq, f"k-{seq}", TELEMETRY, AT_MS, "receipt", 1, "line-1", "", body, b"{}", 1, "oven")

    async with open_sink(engine) as sink:
        await sink.write([frame(1, b'{"zone 2":"cold"}')])
        receipt = await sink.write([frame(seq, b'{"zone 1":1.5,"zone 2":2.5}') for seq in range(2, 30)])
    assert not receipt.rejected
    assert len(receipt.acknowledged) == 28
    rows = query_influx(engine.port, "SELECT * FROM telemetry")
    assert [row["zone 1"] for row in rows[1:]] == [1.5] * 28
    assert {row["omitted"] for row in rows[1:]} == {"zone 2"}


async def test_a_database_that_is_not_there_is_refused(engine: FarEnd) -> None:
    async with open_sink(engine, bucket="elsewhere") as sink:
        with pytest.raises(SinkRefused, match=r"404: database not found.*create the database"):
            await sink.write([count(1)])


async def test_a_user_needs_the_right_password_and_the_right_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFLUXDB_HTTP_AUTH_ENABLED", "true")
    monkeypatch.setenv("GOOD", "pässword:1")
    monkeypatch.setenv("WRONG", "other")
    async with influxd(tmp_path) as server:
        login = {"u": "root", "p": "root"}
        say(server, "CREATE USER root WITH PASSWORD 'root' WITH ALL PRIVILEGES")
        say(server, "CREATE DATABASE edge; CREATE USER agent WITH PASSWORD 'pässword:1'", **login)
        user = {"user": "agent", "password": {"env": "GOOD"}}
        async with open_sink(server, **user) as sink:
            with pytest.raises(SinkRefused, match=r"403: .*give the user the right to write"):
                await sink.write([count(1)])
        say(server, "GRANT WRITE ON edge TO agent", **login)
        async with open_sink(server, **user) as sink:
            assert (await sink.write([count(1)])).acknowledged == [1]
        async with open_sink(server, user="agent", password={"env": "WRONG"}) as sink:
            with pytest.raises(SinkRefused, match=r"401: .*check user and password"):
                await sink.write([count(1)])
        async with open_sink(server) as sink:
            with pytest.raises(SinkRefused, match="401"):
                await sink.write([count(1)])
    with pytest.raises(SinkRefused, match="the password cannot be read"):
        async with open_sink(server, user="agent", password={"env": "NOT_THERE"}):
            pass
