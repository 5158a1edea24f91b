"""The influxdb sink's one connection: a server that is gone is noticed, one that is only tidy is not."""

import asyncio
import socket
import ssl
import subprocess
import sys
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client.rest import ApiException
from urllib3 import HTTPHeaderDict

from adapters import influxdb
from adapters._influx_server import LONGEST_WAIT_S, reason_of, wait_of
from edge.contract import TELEMETRY, Outlet, Record, Sink, SinkLost, SinkRefused
from tests.support.records import count
from tests.support.servers import certificates, victoria_metrics
from tests.support.stub import Stub, stub

OUTLET = Outlet("plant-influx", "line-1", "acme/leeds", Path("/nonexistent"))


def open_sink(port: int, scheme: str = "http", **settings: Any) -> AbstractAsyncContextManager[Sink]:
    url = f"{scheme}://127.0.0.1:{port}"
    table = {"type": "influxdb", "url": url, "bucket": "edge", "timeout": "5s", **settings}
    return influxdb.connect(influxdb.Settings.model_validate(table), OUTLET)


async def until_lost(sink: AbstractAsyncContextManager[Sink], then: Any) -> str:
    """Write, let `then` happen, write no more; what is said when it is lost."""

    async def go_on() -> None:
        async with asyncio.timeout(10), sink as one:
            assert (await one.write([count(1)])).acknowledged == [1]
            await then()
            await asyncio.Event().wait()

    with pytest.raises(SinkLost) as lost:
        await go_on()
    assert lost.value.after_s == 0
    return lost.value.reason


# --- a server that is gone ------------------------------------------------------------------


async def test_a_hang_up_is_noticed_while_nothing_is_written() -> None:
    async with stub() as far:
        started = time.monotonic()
        assert "may have been killed" in await until_lost(open_sink(far.port), far.hang_up)
        assert time.monotonic() - started < 2


async def test_a_hang_up_is_noticed_under_tls(tmp_path: Path) -> None:
    certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "srv.crt", tmp_path / "srv.key")
    async with stub(context) as far:
        sink = open_sink(far.port, "https", ca=str(tmp_path / "ca.crt"))
        assert "may have been killed" in await until_lost(sink, far.hang_up)


async def test_a_kill_is_noticed_while_nothing_is_written(tmp_path: Path) -> None:
    async with victoria_metrics(tmp_path) as server:

        async def kill_and_restart() -> None:
            server.kill()
            await server.start()

        assert "may have been killed" in await until_lost(open_sink(server.port), kill_and_restart)


async def test_a_server_that_falls_silent_is_noticed_though_it_does_not_hang_up() -> None:
    """As one whose power failed, or whose cable was pulled."""
    async with stub() as far:

        async def fall_silent() -> None:
            far.silent = True

        sink = open_sink(far.port, timeout="300ms")
        assert "no answer in time" in await until_lost(sink, fall_silent)
        assert far.requests[-1][:2] == ("GET", "/ping")


async def test_no_write_goes_over_a_new_connection_when_the_old_one_was_cut() -> None:
    """What was acknowledged over the old one may be gone: it has to come first."""
    async with stub() as far:
        async with open_sink(far.port) as sink:
            await sink.write([count(1)])
            await far.hang_up()
            with pytest.raises(SinkLost, match="may have been killed"):
                await sink.write([count(2)])
        posted = [(path, body) for method, path, body in far.requests if method == "POST"]
        assert {path for path, _ in posted} == {"/api/v2/write?org=-&bucket=edge&precision=ns"}
        assert len(posted) == 2
        assert posted[0] == posted[1]  # the first batch again, to see whether hanging up is a habit


# --- a server that is only tidy -------------------------------------------------------------


async def test_a_hang_up_long_after_the_last_write_is_no_loss() -> None:
    async with stub() as far, open_sink(far.port, replay="50ms") as sink:
        await sink.write([count(1)])
        await asyncio.sleep(3 * influxdb.LOOK_S)
        await far.hang_up()
        assert (await sink.write([count(2)])).acknowledged == [2]
        assert far.connections == 2


async def test_a_hang_up_before_anything_was_taken_is_no_loss() -> None:
    async with stub() as far, open_sink(far.port) as sink:
        await far.hang_up()
        await asyncio.sleep(3 * influxdb.LOOK_S)
        assert (await sink.write([count(1)])).acknowledged == [1]


async def test_a_server_that_announces_the_end_of_each_connection_is_no_loss() -> None:
    async with stub() as far:
        far.headers = {"Connection": "close"}
        async with open_sink(far.port) as sink:
            for seq in range(3):
                assert (await sink.write([count(seq)])).acknowledged == [seq]
                await asyncio.sleep(1.5 * influxdb.LOOK_S)
        assert far.connections == 4


async def test_a_live_server_is_asked_for_a_sign_of_life_until_its_events_are_settled() -> None:
    async with stub() as far, open_sink(far.port, replay="1ms") as sink:
        await sink.write([count(1)])
        async with asyncio.timeout(10):
            while len(far.requests) < 3:
                far.happened.clear()
                await far.happened.wait()
        assert [method for method, _, _ in far.requests] == ["GET", "POST", "GET"]
        assert far.connections == 1


# --- the end --------------------------------------------------------------------------------


async def _closing_s(far: Stub, sink: AbstractAsyncContextManager[Sink]) -> float:
    """How long it takes to end while a write waits for its answer."""

    async def write_for_ever() -> None:
        async with sink as one:
            far.silent = True
            await one.write([count(1)])

    async with asyncio.TaskGroup() as group:
        task = group.create_task(write_for_ever())
        async with asyncio.timeout(10):
            while len(far.requests) < 2:
                far.happened.clear()
                await far.happened.wait()
        started = time.monotonic()
        task.cancel()
        async with asyncio.timeout(10):
            while far.open:
                far.happened.clear()
                await far.happened.wait()
    return time.monotonic() - started


async def test_it_ends_at_once_though_the_server_does_not_answer() -> None:
    async with stub() as far:
        assert await _closing_s(far, open_sink(far.port, timeout="60s")) < 1


def test_a_loop_does_not_wait_for_a_request_that_does_not_end() -> None:
    """`asyncio.run` waits for the threads of its own executor; this must not be one of them."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:

        async def cancelled() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), open_sink(deaf.getsockname()[1], timeout="60s"):
                    pass

        started = time.monotonic()
        asyncio.run(cancelled())
        assert time.monotonic() - started < 2


def test_a_process_does_not_wait_for_a_request_that_does_not_end() -> None:
    """A name server that does not answer cannot be interrupted."""
    program = """if True:
        import asyncio, time
        from adapters._influx_wire import Hand

        async def main():
            hand = Hand("test")
            try:
                async with asyncio.timeout(0.1):
                    await hand.do(lambda: time.sleep(60))
            except TimeoutError:
                hand.let_go(lambda: None)

        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


async def test_half_an_answer_is_a_loss() -> None:
    async with stub() as far, open_sink(far.port) as sink:
        far.half = True
        with pytest.raises(SinkLost, match="the connection broke"):
            await sink.write([count(1)])


async def test_an_error_of_the_caller_comes_out_as_it_is() -> None:
    async with stub() as far:
        with pytest.raises(ZeroDivisionError):
            async with open_sink(far.port):
                _ = 1 / 0


async def test_what_has_no_points_is_acknowledged_and_not_sent() -> None:
    empty = Record(7, "k-7", TELEMETRY, 1, "receipt", 1, "line-1", "", b'{"frames":[]}', b"{}", 1, "oven")
    async with stub() as far, open_sink(far.port, gzip=False) as sink:
        assert list((await sink.write([empty])).acknowledged) == [7]
        assert sorted((await sink.write([count(6, context={}), empty])).acknowledged) == [6, 7]
    (posted,) = (body for method, _, body in far.requests if method == "POST")
    assert len(posted.splitlines()) == 2


async def test_a_redirect_is_refused_and_not_followed() -> None:
    async with stub() as far, stub() as elsewhere, open_sink(far.port) as sink:
        far.status, far.headers = 307, {"Location": f"http://127.0.0.1:{elsewhere.port}/api/v2/write"}
        with pytest.raises(SinkRefused, match="307"):
            await sink.write([count(1)])
        assert not elsewhere.requests


# --- what the servers say -------------------------------------------------------------------

LINE_3 = b'{"original_line":"x","line_number":2,"error_message":"invalid column type for column \'n\'"}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"code":"unprocessable entity","message":"field type conflict"}', "field type conflict"),
        (b'{"error":"partial write: dropped=1"}', "partial write: dropped=1"),
        (b'{"error":"partial write of line protocol occurred","data":[%b]}' % LINE_3,
         "partial write of line protocol occurred: invalid column type for column 'n'"),
        (b'{"error":"no line","data":%b}' % LINE_3, "no line: invalid column type for column 'n'"),
        (b'{"error":"odd","data":[1]}', '{"error":"odd","data":[1]}'),
        (b"<html>\n no\n</html>", "<html> no </html>"),
        (b"", "As told"),
    ],
)  # fmt: skip
async def test_the_reason_is_in_the_servers_own_words(body: bytes, said: str) -> None:
    """Of 2.x, 1.x and 3.x, and of what stands before them."""
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.body = 400, body
        with pytest.raises(SinkRefused, match="takes none of the events") as refused:
            await sink.write([count(1)])
    assert f"takes none of the events: {said}; " in refused.value.reason


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_body_of_an_error_is_a_reason(body: bytes) -> None:
    error = ApiException(status=400, reason="Bad Request")  # type: ignore[no-untyped-call]
    error.body = body.decode("utf-8", "replace")
    assert 0 < len(reason_of(error)) <= 304


# --- how long it wants to be left alone -----------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_wants_to_be_left_alone_says_for_how_long(status: int) -> None:
    async with stub() as far, open_sink(far.port) as sink:
        far.status, far.headers = status, {"Retry-After": "17"}
        with pytest.raises(SinkLost, match=str(status)) as lost:
            await sink.write([count(1)])
        assert lost.value.after_s == 17


async def test_a_proxy_that_asks_for_patience_while_nothing_is_written_tells_of_a_loss() -> None:
    async with stub() as far:

        async def be_away() -> None:
            far.status, far.headers = 503, {"Retry-After": "60"}

        started = time.monotonic()
        assert "503" in await until_lost(open_sink(far.port), be_away)
        assert time.monotonic() - started < 5


def answer(headers: dict[str, str]) -> ApiException:
    error = ApiException(status=429)  # type: ignore[no-untyped-call]
    error.headers = HTTPHeaderDict(headers)
    return error


def test_a_date_is_compared_with_the_servers_own_clock() -> None:
    now = datetime(1999, 1, 1, tzinfo=UTC)
    late = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert wait_of(answer({"Retry-After": late, "Date": format_datetime(now, usegmt=True)})) == 90
    assert wait_of(answer({"Retry-After": late})) == 0
    assert wait_of(answer({})) == 0


@given(st.text(max_size=30) | st.integers().map(str), st.none() | st.text(max_size=30))
def test_any_retry_after_is_a_bounded_wait(told: str, date: str | None) -> None:
    headers = {"Retry-After": told} | ({} if date is None else {"Date": date})
    assert 0 <= wait_of(answer(headers)) <= LONGEST_WAIT_S
