"""The agent's command socket: what it is told, what it answers, and whom it does not wait for."""

import asyncio
import contextlib
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import json

from edge import commands
from edge.bounds import LONGEST_NAME
from edge.commands import (
    AT_ONCE,
    CLIENTS,
    LONGEST,
    SOCKET,
    OrderDesk,
    os_user,
    send_orders,
    serve_commands,
)
from edge.errors import NotRecorded
from edge.observation import ACCEPTED, Observation, Outcome, Verdict, WorkOrder
from edge.observation import ORDER as ORDER_SIGNAL
from tests.support.clock import ManualClock
from tests.support.line import events_on_disk, guard, line, no_room, recording, run_quickly

ORDER = WorkOrder("WO-7", "P7", 100, operations=(10,))


@contextlib.asynccontextmanager
async def agent(folder: Path) -> AsyncIterator[None]:
    """A real recorder behind a real socket."""
    async with recording(line(), folder / "journal.db") as recorder:
        desk = OrderDesk(ManualClock(), recorder)
        task = asyncio.ensure_future(serve_commands(folder, desk))
        try:
            await _answers(folder)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _answers(folder: Path) -> None:
    """What an agent before it has left behind is there, and answers nobody."""
    async with guard():
        while True:
            with contextlib.suppress(NotRecorded):
                await send_orders(folder, [])
                return
            await asyncio.sleep(0.001)


async def tell(folder: Path, *lines: bytes) -> list[dict[str, object]]:
    """Send these lines at once; every answer until the agent hangs up, or one for each."""
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET, limit=1 << 24)
    try:
        writer.write(b"".join(lines))
        answers = []
        for _ in lines:
            answer = await asyncio.wait_for(reader.readline(), 20)
            answers.append(json.decode(answer, type=dict[str, object]) if answer else {})
        return answers
    finally:
        writer.close()


async def test_orders_are_answered_when_they_are_on_disk(tmp_path: Path) -> None:
    async with agent(tmp_path):
        outcomes = await send_orders(tmp_path, [ORDER, ORDER, WorkOrder("no", "P7", 1)])
        assert [one.verdict for one in outcomes] == [Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.REFUSED]
        [event] = events_on_disk(tmp_path / "journal.db")
        assert (event["type"], event["order"], event["change"]) == ("work_order", "WO-7", "new")
        assert await send_orders(tmp_path, []) == []


class Kept:
    """Takes everything, and keeps it."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.seen += observations
        return [ACCEPTED] * len(observations)


async def test_who_sends_is_recorded(tmp_path: Path) -> None:
    kept = Kept()
    desk = OrderDesk(ManualClock(), kept)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_commands(tmp_path, desk))
        await _answers(tmp_path)
        await send_orders(tmp_path, [ORDER] * (AT_ONCE + 1), "erp")
        await send_orders(tmp_path, [ORDER])
        await send_orders(tmp_path, [ORDER], '"é' * 32)
        await desk.signed("folder")([ORDER])
        await desk.take([ORDER])
        assert [one.signal for one in kept.seen] == [ORDER_SIGNAL] * (AT_ONCE + 5)
        assert [one.detail for one in kept.seen[AT_ONCE:]] == ["erp", "", '"é' * 32, "folder", ""]
        for by in ("x" * (LONGEST_NAME + 1), "a\n", "\x1b[2J"):
            with pytest.raises(NotRecorded, match="no command"):
                await send_orders(tmp_path, [ORDER], by)
        serving.cancel()


async def test_a_long_line_has_room_for_its_sender(tmp_path: Path) -> None:
    """Orders of such a length that some of them all but fill a line."""
    kept, least = Kept(), len(json.encode(WorkOrder("A", "", 1)))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_commands(tmp_path, OrderDesk(ManualClock(), kept)))
        await _answers(tmp_path)
        for spare in (50, 105, 900, 1100):
            order = WorkOrder("A", "x" * ((LONGEST - spare) // 4 - 1 - least), 1)
            await send_orders(tmp_path, [order] * 9, '"' * LONGEST_NAME)
        assert len(kept.seen) == 36
        serving.cancel()


def test_who_sits_at_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert os_user() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setenv("SUDO_USER", "anna\x1b" + "x" * 100)
    assert os_user() == "anna" + "x" * 60


async def test_many_orders_go_in_several_lines(tmp_path: Path) -> None:
    orders = [WorkOrder(f"A{number}", "é" * 100, 1) for number in range(2 * AT_ONCE + 1)]
    orders += [
        WorkOrder(f"B{number}", "P", 1, operations=tuple(range(99_000, 100_000))) for number in range(400)
    ]
    async with agent(tmp_path):
        outcomes = await send_orders(tmp_path, orders)
        assert {one.verdict for one in outcomes} == {Verdict.ACCEPTED}
        assert [one.words.split()[0] for one in outcomes] == [order.id for order in orders]


async def test_an_agent_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded) as caught:
        await send_orders(tmp_path, [ORDER])
    words = f"not recorded: no agent answers in {tmp_path}; start it with `lineside run`, then try again"
    assert str(caught.value) == words
    async with agent(tmp_path):
        pass
    assert (tmp_path / SOCKET).exists(), "what a killed agent leaves behind"
    with pytest.raises(NotRecorded, match="no agent answers"):
        await send_orders(tmp_path, [ORDER])
    with pytest.raises(NotRecorded, match="no agent answers"):
        await send_orders(tmp_path / "nowhere", [ORDER])
    async with agent(tmp_path):
        assert await send_orders(tmp_path, [ORDER])


async def test_an_agent_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / SOCKET):
        with pytest.raises(NotRecorded, match="went away before it answered; try again"):
            await send_orders(tmp_path, [ORDER] * 3000)


async def test_a_full_disk_is_told_and_the_next_try_goes_in(tmp_path: Path) -> None:
    async with recording(line(), tmp_path / "journal.db") as recorder:
        desk = OrderDesk(ManualClock(), recorder)
        many = [WorkOrder(f"A{number}", "x" * 100, 1) for number in range(900)]
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve_commands(tmp_path, desk))
            await _answers(tmp_path)
            with no_room(recorder._journal), pytest.raises(NotRecorded, match=r"^not recorded: /.*full"):
                await send_orders(tmp_path, many)
            assert {one.verdict for one in await send_orders(tmp_path, many)} == {Verdict.ACCEPTED}
            serving.cancel()


async def test_only_the_agents_own_user_can_connect(tmp_path: Path) -> None:
    async with agent(tmp_path):
        found = (tmp_path / SOCKET).stat()
        assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o600)


async def test_a_folder_with_a_long_name_has_room_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    async with agent(folder):
        assert (await send_orders(folder, [ORDER]))[0].recorded


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{}\n", "send either `orders` or one `command`"),
        (b"\n", "no command"),
        (b"\xff\n", "no command"),
        (b"[" * 100_000 + b"\n", "no command"),
        (b'{"orders":[],"stop":true}\n', "unknown field `stop`"),
        (b'{"orders":[{"id":"A"}]}\n', "missing required field"),
        (b'{"orders":[{"id":"A","item":"B","quantity":"1"}]}\n', "Expected `int`"),
        (b'{"orders":[{"id":"A\\ud800","item":"B","quantity":1}]}\n', "no command"),
        (b'{"orders":[' + b",".join([json.encode(ORDER)] * (AT_ONCE + 1)) + b"]}\n", "1000 is the most"),
    ],
)
async def test_what_is_no_command_is_told_and_the_next_is_heard(
    tmp_path: Path, line: bytes, says: str
) -> None:
    async with agent(tmp_path):
        first, second = await tell(tmp_path, line, b'{"orders":[]}\n')
        assert says in str(first["error"])
        assert second == {}
        assert events_on_disk(tmp_path / "journal.db") == []


async def test_a_line_without_an_end_is_cut_off(tmp_path: Path) -> None:
    async with agent(tmp_path):
        [answer] = await tell(tmp_path, b"x" * (3 * LONGEST))
        assert "longer than" in str(answer["error"])
        assert (await send_orders(tmp_path, [ORDER]))[0].recorded


async def test_clients_are_bounded_and_a_place_becomes_free(tmp_path: Path) -> None:
    async with agent(tmp_path):
        idle = [await asyncio.open_unix_connection(tmp_path / SOCKET) for _ in range(CLIENTS)]
        with pytest.raises(NotRecorded, match="64 clients are connected; try again later"):
            await send_orders(tmp_path, [ORDER])
        for _, writer in idle:
            writer.close()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(NotRecorded):
                    assert (await send_orders(tmp_path, [ORDER]))[0].recorded
                    break


def test_a_client_that_does_nothing_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with agent(tmp_path):
            reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
            async with guard():
                assert await reader.read() == b""
            writer.close()

    run_quickly(main(), factor=100)


async def test_a_client_that_goes_before_its_answer_harms_nobody(tmp_path: Path) -> None:
    async with agent(tmp_path):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / SOCKET))
                client.sendall(b'{"orders":[' + json.encode(ORDER) + b"]}\n")
        async with asyncio.timeout(10):
            while not events_on_disk(tmp_path / "journal.db"):
                await asyncio.sleep(0.01)
        assert (await send_orders(tmp_path, [ORDER]))[0].verdict is Verdict.DUPLICATE


async def test_it_ends_while_clients_wait_and_leaves_nothing_open(tmp_path: Path) -> None:
    class Never(Kept):
        async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
            waits.set()
            await asyncio.Event().wait()
            return []

    before, waits = len(os.listdir("/proc/self/fd")), asyncio.Event()
    task = asyncio.ensure_future(serve_commands(tmp_path, OrderDesk(ManualClock(), Never())))
    await _answers(tmp_path)
    sending = asyncio.ensure_future(send_orders(tmp_path, [ORDER]))
    await waits.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(NotRecorded, match="went away"):
        await sending
    async with asyncio.timeout(5):
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.01)


async def test_a_thousand_at_once_make_one_order(tmp_path: Path) -> None:
    turns = asyncio.Semaphore(CLIENTS - 4)

    async def send() -> Outcome:
        async with turns:
            return (await send_orders(tmp_path, [ORDER]))[0]

    async with agent(tmp_path):
        outcomes = await asyncio.gather(*(send() for _ in range(1000)))
        assert sorted(one.verdict for one in outcomes) == [Verdict.ACCEPTED] + [Verdict.DUPLICATE] * 999
        assert len(events_on_disk(tmp_path / "journal.db")) == 1


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200).map(lambda body: body.replace(b"\n", b" ") + b"\n"))
def test_any_line_is_answered(body: bytes) -> None:
    answer = asyncio.run(commands._answer(body, OrderDesk(ManualClock(), Kept())))
    assert answer.error or answer.outcomes == ()
    json.encode(answer)
