"""The influxdb sink against far ends that are no InfluxDB, or a strange one: nothing is lost."""

import asyncio
import gzip
import json
import logging
import resource
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import influxdb
from adapters._influx_wire import LARGEST, LARGEST_BODY, _unpacked
from adapters._line_protocol import points
from adapters._line_telemetry import without
from edge.contract import TELEMETRY, Outlet, Record, Sink, SinkLost, SinkRefused
from tests.support.records import AT_MS, count, record
from tests.support.stub import Stub, stub

OUTLET = Outlet("plant-influx", "line-1", "acme/leeds", Path("/nonexistent"))
MB = 1 << 20


def open_sink(port: int, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    table = {"type": "influxdb", "url": f"http://127.0.0.1:{port}", "bucket": "edge", "gzip": False}
    return influxdb.connect(influxdb.Settings.model_validate({**table, "timeout": "5s", **settings}), OUTLET)


def posted(far: Stub) -> list[bytes]:
    return [body for method, _, body in far.requests if method == "POST"]


# --- an answer that is no success -----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>", "Please log in"),
        (200, {}, b'{"error":"partial write: max-values-per-tag limit exceeded dropped=3"}', "dropped=3"),
        (200, {}, b"", "answers 200"), (202, {}, b"", "answers 202"),
        (302, {"Location": "http://login.example/"}, b"", "answers 302"),
        (200, {}, "Grüß Gott".encode("latin-1"), "Gott"),
    ],
)  # fmt: skip
async def test_only_204_is_success(status: int, headers: dict[str, str], body: bytes, said: str) -> None:
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.headers, far.body = status, headers, body
        with pytest.raises(SinkRefused, match="captive portal") as refused:
            await sink.write([count(1)])
        assert said in refused.value.reason
        assert "check url" in refused.value.reason


async def test_201_is_a_partial_write() -> None:
    """Of InfluxDB Cloud Dedicated; the good ones are delivered, the bad one is found."""
    async with stub() as far, open_sink(far.port) as sink:

        def judge(path: str, body: bytes) -> None:
            far.status = 201 if b"bad" in body else 204
            far.body = b'{"message":"partial write"}' if b"bad" in body else b""

        far.judge = judge
        receipt = await sink.write([record(1, "a", {"n": 1}), record(2, "bad", {"n": 1})])
    assert list(receipt.acknowledged) == [1]
    assert receipt.rejected == {2: "partial write"}


async def test_only_429_says_that_it_is_alive() -> None:
    async with stub() as far, open_sink(far.port) as sink:
        for status, alive in ((429, True), (503, False), (408, False)):
            far.status, far.headers = status, {"Retry-After": "9"}
            with pytest.raises(SinkLost) as lost:
                await sink.write([count(1)])
            assert lost.value.alive is alive


# --- an answer without end ------------------------------------------------------------------


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} As told", *lines, "", ""]).encode()


async def endless(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(again)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
    writer.write(first)
    while True:
        writer.write(again)
        await writer.drain()
        await asyncio.sleep(0.1)


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("first", "again", "kind"),
    [
        (head(200, "Connection: close"), b"x" * 65_536, SinkRefused),
        (head(200, "Transfer-Encoding: chunked"), b"10000\r\n" + b"x" * 65_536 + b"\r\n", SinkRefused),
        (head(503, "Content-Length: 99999999999"), b"x" * 65_536, SinkLost),
        (b"", head(100), SinkLost),
        (b"HTTP/1.1 204 x\r\n", b"A: b\r\n", SinkLost),
        (b"", b"x" * 65_536, SinkLost),
    ],
)
async def test_an_endless_answer_is_cut(first: bytes, again: bytes, kind: type[Exception]) -> None:
    before, started = peak(), time.monotonic()
    async with stub() as far, open_sink(far.port) as sink:
        far.raw = lambda writer: endless(writer, first, again)
        with pytest.raises(kind):
            await sink.write([count(1)])
        async with asyncio.timeout(5):
            while far.open:
                far.happened.clear()
                await far.happened.wait()
    assert time.monotonic() - started < 4
    assert peak() - before < 32 * MB


async def test_a_bomb_of_gzip_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MB)) for _ in range(256)) + packer.flush()
    before = peak()
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.headers, far.body = 400, {"Content-Encoding": "gzip"}, bomb
        with pytest.raises(SinkRefused, match="takes none of the events"):
            await sink.write([count(1)])
    assert peak() - before < 32 * MB


async def test_an_error_that_is_packed_is_read() -> None:
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.headers = 400, {"Content-Encoding": "gzip"}
        far.body = gzip.compress(b'{"message":"in a parcel"}')
        with pytest.raises(SinkRefused, match="in a parcel"):
            await sink.write([count(1)])
        assert far.connections == 1


@given(st.binary(max_size=500), st.sampled_from(["gzip", "deflate", "br", None]))
def test_any_packed_body_is_bounded(body: bytes, encoding: str | None) -> None:
    assert len(_unpacked(body, encoding)) <= LARGEST_BODY < LARGEST
    assert _unpacked(gzip.compress(body), "GZIP") == body


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"H"), (b"HTTP/1.1 204 x\r\nA: ", b"b"), (b"", head(100)),
        (head(200, "Content-Length: 9999"), b"x"),
    ],
)  # fmt: skip
async def test_a_request_ends_in_time_however_slowly_the_answer_comes(first: bytes, again: bytes) -> None:
    async with stub() as far:
        far.raw = lambda writer: dripping(writer, first, again)
        started = time.monotonic()
        with pytest.raises(SinkLost):
            async with open_sink(far.port, timeout="700ms"):
                pass
        assert 0.6 < time.monotonic() - started < 2
        far.raw = None
        async with open_sink(far.port, timeout="700ms") as sink:
            far.raw = lambda writer: dripping(writer, first, again)
            started = time.monotonic()
            with pytest.raises(SinkLost):
                await sink.write([count(1)])
            assert 0.6 < time.monotonic() - started < 2


async def test_a_request_ends_in_time_though_nobody_reads_it() -> None:
    ended = asyncio.Event()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head(204))
            await ended.wait()  # takes what the buffers hold, and no more
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            closed.set()

    closed = asyncio.Event()
    server = await asyncio.start_server(taken, "127.0.0.1", 0, limit=1000)
    async with server, open_sink(server.sockets[0].getsockname()[1], timeout="700ms") as sink:
        started = time.monotonic()
        with pytest.raises(SinkLost, match="no answer in time"):
            await sink.write([record(seq, "big", {"text": "x" * 60_000}) for seq in range(300)])
        assert 0.6 < time.monotonic() - started < 2
        ended.set()
        await closed.wait()


# --- a habit of hanging up ------------------------------------------------------------------


async def one_write_and(far: Stub, then: Callable[[], None]) -> None:
    async with asyncio.timeout(5), open_sink(far.port) as sink:
        await sink.write([count(1)])
        then()
        await asyncio.Event().wait()


@pytest.mark.parametrize(("method", "after_s"), [("any", 0.0), ("POST", 0.0), ("any", 0.15)])
async def test_a_server_that_always_hangs_up_is_not_taken_for_killed(
    method: str, after_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "lineside.influxdb")
    async with stub() as far:
        far.hangs_up, far.hangs_up_after_s = method, after_s
        async with open_sink(far.port) as sink:
            for seq in range(30):
                assert (await sink.write([count(seq)])).acknowledged == [seq]
            await asyncio.sleep(3 * influxdb.LOOK_S)
            assert (await sink.write([count(99)])).acknowledged == [99]
        assert len(posted(far)) <= 31 + 3
    assert [one.message.count("hangs up after every answer") for one in caplog.records] == [1]


async def test_a_server_that_always_hangs_up_and_is_killed_is_noticed() -> None:
    async with stub() as far:
        far.hangs_up = "any"
        with pytest.raises(SinkLost):
            await one_write_and(far, lambda: setattr(far, "half", True))  # nobody answers any more


async def test_a_hang_up_now_and_then_is_taken_for_a_kill() -> None:
    async with stub() as far:
        far.hangs_up = "POST"
        with pytest.raises(SinkLost, match="may have been killed"):
            await one_write_and(far, lambda: setattr(far, "hangs_up", ""))


# --- who is at fault ------------------------------------------------------------------------


async def test_one_400_costs_no_event() -> None:
    """A server that says yes and no in turn."""
    async with stub() as far, open_sink(far.port) as sink:

        def judge(path: str, body: bytes) -> None:
            far.status = 400 if len(posted(far)) % 2 else 204

        far.judge = judge
        for first in range(0, 60, 3):
            receipt = await sink.write([count(seq) for seq in range(first, first + 3)])
            assert not receipt.rejected
            assert sorted(receipt.acknowledged) == [first, first + 1, first + 2]


def takes_the_probe(far: Stub) -> Callable[[str, bytes], None]:
    def judge(path: str, body: bytes) -> None:
        far.status = 204 if body.startswith(influxdb.PROBE) else 400

    return judge


async def test_a_server_that_takes_nothing_but_the_probe_is_refused() -> None:
    events = [record(seq, f"type_{seq % 4}", {"n": seq}) for seq in range(40)]
    async with stub() as far, open_sink(far.port) as sink:
        far.judge = takes_the_probe(far)
        with pytest.raises(SinkRefused, match="takes none of the events"):
            await sink.write(events)


async def test_it_is_refused_too_where_the_events_come_one_by_one() -> None:
    async with stub() as far, open_sink(far.port) as sink:
        far.judge = takes_the_probe(far)
        for seq in range(2):
            assert set((await sink.write([record(seq, f"type_{seq}", {"n": 1})])).rejected) == {seq}
        with pytest.raises(SinkRefused):
            await sink.write([record(2, "type_2", {"n": 1})])


async def test_events_that_are_too_old_do_not_stop_the_others() -> None:
    """Of as many types as one likes: a point of their time is not taken either."""
    events = [record(seq, f"type_{seq % 4}", {"n": seq}) for seq in range(8)]
    async with stub() as far, open_sink(far.port) as sink:

        def judge(path: str, body: bytes) -> None:
            far.status = 204 if body == influxdb.PROBE else 422

        far.judge = judge
        assert set((await sink.write(events)).rejected) == set(range(8))
    assert b"%b %d" % (influxdb.PROBE, AT_MS * 1_000_000) in posted(far)


async def test_after_a_413_requests_are_smaller() -> None:
    async with stub() as far, open_sink(far.port) as sink:

        def judge(path: str, body: bytes) -> None:
            far.status = 413 if len(body) > 20_000 else 204

        far.judge = judge
        for first in (0, 500):
            far.requests.clear()
            receipt = await sink.write([count(seq) for seq in range(first, first + 300)])
            assert len(receipt.acknowledged) == 300
            sizes = Counter(len(body) > 20_000 for body in posted(far))
        assert not sizes[True]


# --- telemetry with a field of another type -------------------------------------------------


def telemetry(seq: int, values: str) -> Record:
    body = b'{"frames":[{"at":%d,"values":%b}]}' % (AT_MS + seq, values.encode())
    return Record(seq, f"k-{seq}", TELEMETRY, AT_MS, "receipt", 1, "line-1", "", body, b"{}", 1, "oven")


async def test_one_signal_of_another_type_does_not_keep_its_frame_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = (
        'partial write: field type conflict: input field \\"zone_2\\" on measurement \\"telemetry\\" is type'
    )
    async with stub() as far, open_sink(far.port) as sink:

        def judge(path: str, body: bytes) -> None:
            bad = b"zone_2=" in body
            far.status, far.body = (400, b'{"error":"%b"}' % words.encode()) if bad else (204, b"")

        far.judge = judge
        frames = [telemetry(seq, '{"zone_1":1.5,"zone_2":2.5}') for seq in range(4)]
        receipt = await sink.write([*frames, count(9)])
        assert sorted(receipt.acknowledged) == [0, 1, 2, 3, 9]
        far.requests.clear()
        await sink.write(frames)
        (once,) = posted(far)
    assert once.count(b'zone_1=1.5,omitted="zone_2"') == 4
    assert [one.message.count("zone_2 is not written") for one in caplog.records] == [1]


async def test_a_signal_alone_of_another_type_leaves_nothing_to_say() -> None:
    words = b'{"error":"field type conflict: input field \\"zone_2\\" on measurement \\"telemetry\\" is"}'
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.body = 400, words
        receipt = await sink.write([telemetry(1, '{"zone_2":1.5}')])
        assert list(receipt.acknowledged) == [1]


NAMES = st.from_regex(r"s_[a-z ,=]{0,4}", fullmatch=True)
VALUES = st.floats(-1e6, 1e6) | st.text("az ,=\"\\\n'_", max_size=8)


@given(st.dictionaries(NAMES, VALUES, min_size=2))
def test_a_field_is_taken_out_of_any_point(values: dict[str, float | str]) -> None:
    name, *others = values
    less = points(telemetry(1, json.dumps({other: values[other] for other in others})))
    start, _, stamp = less.rpartition(b" ")
    all_of_it = points(telemetry(1, json.dumps(values)))
    assert without(all_of_it, name) == b'%b,omitted="%b" %b' % (start, name.encode(), stamp)
    assert without(all_of_it, "another") == all_of_it


@given(st.binary(max_size=100), st.text(max_size=10))
def test_a_field_is_taken_out_of_anything(text: bytes, name: str) -> None:
    assert isinstance(without(text, name), bytes)
