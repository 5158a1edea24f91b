"""The small database, written to by influxdb-client and by anything else."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from simulators.cuttable import HOST
from simulators.points_db import BadRequest, Point, PointsDb, read_points

LINES = 'count,line=l\\ 1,kind=good produced=1i,text="a b, 12" 1777875129412000017\norder_total good=2i 5\n'


def write(url: str, text: str, *, gzip: bool) -> None:
    with InfluxDBClient(url, token="", org="-", enable_gzip=gzip, retries=False) as one:
        assert one.ping()
        one.write_api(write_options=SYNCHRONOUS).write("bucket", record=text)


@pytest.mark.parametrize("gzip", [True, False])
async def test_points_are_told_by_name_and_time(gzip: bool) -> None:
    heard: list[Point] = []
    async with PointsDb(heard.extend).open() as database:
        await asyncio.to_thread(write, database.url, LINES, gzip=gzip)
    assert heard == [Point("count", 1777875129412000017), Point("order_total", 5)]


async def test_what_is_no_line_protocol_is_refused() -> None:
    heard: list[Point] = []
    async with PointsDb(heard.extend).open() as database:
        with pytest.raises(ApiException) as caught:
            await asyncio.to_thread(write, database.url, "count produced=1i", gzip=False)
    assert caught.value.status == 400
    assert heard == []


async def test_cut_off_nobody_listens_until_it_is_healed() -> None:
    async with PointsDb().open() as database:
        await database.cut()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(HOST, database.port)
        await database.heal()
        await asyncio.to_thread(write, database.url, LINES, gzip=False)


@given(st.binary(max_size=300))
def test_any_body_is_points_or_refused(body: bytes) -> None:
    try:
        points = read_points(body)
    except BadRequest:
        return
    assert len(points) <= body.count(b"\n") + 1


@given(st.binary(max_size=300))
@settings(max_examples=30, deadline=None)
def test_whatever_is_sent_the_database_goes_on(noise: bytes) -> None:
    async def talk() -> None:
        async with PointsDb().open() as database:
            for head in (
                b"",
                b"POST /write HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection(HOST, database.port)
                writer.write(head + noise)
                writer.write_eof()
                async with asyncio.timeout(5):
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
                writer.close()

    asyncio.run(talk())
