"""`lineside board` over HTTP: what it answers, whom it refuses, how it starts and ends."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec import json

from edge.board.app import STALLED_MS, _bind, _hosts
from edge.board.web import LISTENERS
from edge.errors import BoardRefused
from tests.board.agent import fake_agent, write_line
from tests.board.http import ask, events
from tests.board.process import board, end, start


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_line(tmp_path)


async def test_it_waits_for_the_journal_and_then_follows_the_agent(file: Path) -> None:
    async with board(file) as shown, events(shown.port) as heard:
        first = await heard.snapshot()
        assert "There is no journal yet" in first["journal"]
        assert first["stations"][0]["trouble"] == "waiting for the journal"
        async with fake_agent(file) as agent:
            await agent.start_job("press")
            await heard.snapshot(lambda now: now["stations"][0]["order"] == "WO-1001")
            await agent.see("press.total", 3)
            live = await heard.snapshot(lambda now: now["stations"][0]["unassigned"] == 3)
            assert (live["journal"], live["agent"]["state"], live["stations"][0]["trouble"]) == (
                "",
                "live",
                "",
            )
        away = await heard.snapshot(lambda now: now["agent"]["state"] == "away")
        assert (away["stations"][0]["order"], away["stations"][0]["trouble"]) == (
            "WO-1001",
            "the agent is away",
        )
        async with fake_agent(file):
            await heard.snapshot(lambda now: now["agent"]["state"] == "live")


async def test_an_agent_that_only_keeps_its_socket_open_is_away(file: Path) -> None:
    async with fake_agent(file):
        pass

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_silence.append(writer)

    with_silence: list[asyncio.StreamWriter] = []
    path = file.parent / "data" / "agent.sock"
    path.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(say_nothing, path):
        async with board(file) as shown, events(shown.port) as heard:
            now = await heard.snapshot(lambda _: len(with_silence) > 1)
            assert now["agent"]["state"] == "away"
        for writer in with_silence:
            writer.close()


async def test_a_damaged_journal_is_said_and_what_was_read_stays(file: Path) -> None:
    journal, aside = file.parent / "data" / "journal.db", file.parent / "data" / "aside.db"
    async with fake_agent(file) as agent:
        await agent.start_job("press")
    async with board(file) as shown, events(shown.port) as heard:
        await heard.snapshot(lambda now: now["stations"][0]["order"] == "WO-1001")
        journal.rename(aside)
        journal.write_bytes(b"no database" * 1000)
        damaged = await heard.snapshot(lambda now: now["journal"] != "")
        assert damaged["stations"][0]["order"] == "WO-1001"
        assert damaged["stations"][0]["trouble"] == "the journal cannot be read"
        aside.replace(journal)
        await heard.snapshot(lambda now: now["journal"] == "")


async def test_the_routes(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown:
        await agent.start_job("press")
        async with events(shown.port) as heard:
            await heard.snapshot(lambda now: now["stations"][0]["order"] and now["agent"]["state"] == "live")
        line = await ask(shown.port, "/api/line")
        assert line.headers["content-type"] == "application/json"
        assert json.decode(line.body)["stations"][0]["operator"] == "4711"
        health = await ask(shown.port, "/healthz")
        assert (health.status, json.decode(health.body)["agent"]) == (200, "live")
        page = await ask(shown.port, "/")
        assert b"WO-1001" in page.body
        assert b"<script>" not in page.body
        assert b"style=" not in page.body
        for path, kind in [("board.css", "text/css"), ("board.js", "javascript"), ("icon.svg", "image/svg")]:
            answer = await ask(shown.port, f"/static/{path}")
            assert answer.status == 200
            assert kind in answer.headers["content-type"]
        assert (await ask(shown.port, "/static/../app.py")).status == 404
        assert (await ask(shown.port, "/", "POST")).status == 405
        assert (await ask(shown.port, "/nowhere")).status == 404


async def test_every_answer_tells_the_browser_its_limits(file: Path) -> None:
    async with board(file) as shown:
        for path in ("/", "/api/line", "/static/board.js", "/nowhere"):
            headers = (await ask(shown.port, path)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert not [name for name in headers if name.startswith("access-control-")]


async def test_a_rebound_name_is_refused(file: Path) -> None:
    async with board(file) as shown:
        for host in ("localhost:{}", "LOCALHOST:{}", "127.0.0.1:{}"):
            assert (await ask(shown.port, "/api/line", host=host.format(shown.port))).status == 200
        for host in ("evil.example:{}", "localhost", "localhost:1", "localhost.evil.example:{}", ""):
            assert (await ask(shown.port, "/api/line", host=host.format(shown.port))).status == 421


async def test_another_site_gets_no_data(file: Path) -> None:
    async with board(file) as shown:
        for path in ("/events", "/api/line", "/healthz"):
            assert (await ask(shown.port, path, sec_fetch_site="cross-site")).status == 403
        assert (await ask(shown.port, "/", sec_fetch_site="cross-site")).status == 200
        assert (await ask(shown.port, "/api/line", sec_fetch_site="same-origin")).status == 200


async def test_a_beat_comes_every_two_seconds(file: Path) -> None:
    async with board(file) as shown, events(shown.port) as heard:
        beats: list[tuple[float, dict[str, float]]] = []
        while len(beats) < 3:
            name, data = await heard.event()
            if name == "beat":
                beats.append((time.monotonic(), data))
        assert 1.5 < (beats[2][0] - beats[0][0]) / 2 < 2.8
        assert beats[2][1]["age_s"] < 3


async def test_snapshots_are_throttled(file: Path) -> None:
    async with fake_agent(file) as agent, board(file) as shown, events(shown.port) as heard:
        await heard.snapshot(lambda now: now["agent"]["state"] == "live")
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 2:
            count += 1
            await agent.scan_text("press", f"no label of ours {count}")
            await asyncio.sleep(0)
        last = agent.head
        snapshots = 1
        while (await heard.snapshot())["seq"] < last:
            snapshots += 1
        lasted_s = time.monotonic() - began
        assert count > 40
        assert 2 < snapshots / lasted_s < 6


async def test_listeners_are_bounded_and_a_place_becomes_free(file: Path) -> None:
    async with board(file) as shown:
        async with AsyncExitStack() as open_pages:
            for _ in range(LISTENERS):
                heard = await open_pages.enter_async_context(events(shown.port))
                await heard.snapshot()
            refused = await ask(shown.port, "/events")
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
            assert (await ask(shown.port, "/healthz")).status == 200
        async with asyncio.timeout(5):
            while True:
                async with events(shown.port) as heard:
                    if heard.status == 200:
                        break


async def test_it_ends_within_two_seconds_with_pages_open(file: Path) -> None:
    async with board(file) as shown, events(shown.port) as one, events(shown.port) as other:
        await one.snapshot()
        await other.snapshot()
        began = time.monotonic()
        out, err = await end(shown.process)
        assert time.monotonic() - began < 2
        assert (shown.process.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert "ERROR" not in err
        with pytest.raises(asyncio.IncompleteReadError):
            await one.snapshot(lambda _: False)


async def test_a_busy_port_is_one_sentence(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        process = await start(file, "--port", str(busy.getsockname()[1]))
        out, err = await end_by_itself(process)
    assert (process.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert "the port is in use; end the program that has it, or choose another with --port" in err


async def test_a_wrong_file_starts_nothing(tmp_path: Path) -> None:
    process = await start(tmp_path / "none.toml")
    out, err = await end_by_itself(process)
    assert (process.returncode, out) == (1, "")
    assert "there is no such file" in err
    assert "Traceback" not in err


async def end_by_itself(process: asyncio.subprocess.Process) -> tuple[str, str]:
    await asyncio.wait_for(process.wait(), 20)
    return await end(process)


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(BoardRefused, match=r"192\.0\.2\.1:0: this machine has no such address"):
        _bind("192.0.2.1", 0)
    with pytest.raises(BoardRefused, match="no such address"):
        _bind("no-such-host.invalid", 0)


def test_only_on_loopback_names_are_checked() -> None:
    assert sorted(_hosts("127.0.0.1", 8080) or []) == ["127.0.0.1:8080", "[::1]:8080", "localhost:8080"]
    assert "[::1]:8080" in (_hosts("::1", 8080) or [])
    assert "localhost" in (_hosts("127.0.0.1", 80) or [])
    assert _hosts("0.0.0.0", 8080) is None


def test_a_page_that_takes_nothing_is_cut_off() -> None:
    with _bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == STALLED_MS


def test_an_answer_waits_for_no_acknowledgement() -> None:
    with _bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
