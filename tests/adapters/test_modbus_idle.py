"""A far end that hangs up when nothing is asked, and other things that a moment decides."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from adapters import modbus
from adapters._modbus.connection import Connection
from adapters._modbus.counts import Counts
from adapters._modbus.lines import TcpLine
from adapters._modbus.outbox import Outbox
from edge.contract import Observation, Outcome, SourceLost
from edge.errors import NotRecorded
from tests.adapters.modbus_support import collecting, settings, signal
from tests.support.intake import MemoryIntake

IDLE_S = 0.4


class Host:
    """A Modbus TCP slave with one register that hangs up when it was asked nothing for a while."""

    def __init__(self) -> None:
        self.connections = 0
        self.asked = 0
        self.busy = 0
        """So many requests are answered with exception 6."""
        self.idle_s: float | None = IDLE_S
        self.unused_s: float | None = None
        """How soon it hangs up where it was asked nothing at all, if that is otherwise."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        patience_s = self.unused_s or self.idle_s
        with suppress(asyncio.IncompleteReadError, TimeoutError, OSError):
            while True:
                async with asyncio.timeout(patience_s):
                    request = await reader.readexactly(12)
                patience_s = self.idle_s
                self.asked += 1
                if self.busy:
                    self.busy -= 1
                    writer.write(request[:2] + bytes((0, 0, 0, 3, request[6], 0x83, 6)))
                else:
                    writer.write(request[:2] + bytes((0, 0, 0, 5, request[6], 3, 2, 0, 7)))
        writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Host, str]]:
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    try:
        yield host, f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_host_that_hangs_up_when_idle_is_connected_anew_only_when_it_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    intake = MemoryIntake("esp")
    async with (
        served() as (host, url),
        collecting(settings(host=url, timeout="300ms"), [signal("count", "u16", 1.0, holding=0)], intake),
    ):
        await intake.until(lambda: len(intake.values("count")) >= 2)
        connections, asked = host.connections, host.asked
        await intake.until(lambda: len(intake.values("count")) >= 5)
        assert host.connections - connections <= host.asked - asked + 1, "made anew with nothing to ask"
    assert intake.connections == 1
    assert intake.renewals <= 1
    assert caplog.text.count("nothing was asked for 0.4 s") == 1
    assert "after each answer" not in caplog.text


async def test_a_connection_that_was_never_used_may_be_closed_sooner(
    caplog: pytest.LogCaptureFixture,
) -> None:
    intake, count = MemoryIntake("esp"), signal("count", "u16", 0.7, holding=0)
    async with served() as (host, url), collecting(settings(host=url, timeout="300ms"), [count], intake):
        await intake.until(lambda: intake.values("count") == [7])
        host.unused_s = 0.05
        connections, asked = host.connections, host.asked
        await intake.until(lambda: len(intake.values("count")) >= 4)
        assert host.connections - connections <= host.asked - asked + 2, "made anew with nothing to ask"
    assert caplog.text.count("on which nothing was asked") <= 1


async def test_a_host_that_hangs_up_and_listens_a_moment_later_is_not_lost() -> None:
    """The next request finds it there: nothing was missed."""
    intake, host = MemoryIntake("esp"), Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    how = settings(host=f"tcp://127.0.0.1:{port}", timeout="300ms")
    async with collecting(how, [signal("count", "u16", 2.5, holding=0)], intake) as running:
        await intake.until(lambda: intake.values("count") == [7])
        server.close()
        began = asyncio.get_running_loop().time()
        await asyncio.wait([running], timeout=IDLE_S + 0.6)  # it hangs up, and refuses for a while
        assert not running.done()
        assert asyncio.get_running_loop().time() - began > IDLE_S
        server = await asyncio.start_server(host.serve, "127.0.0.1", port)
        host.idle_s = None
        await intake.until(lambda: len(intake.values("count")) >= 2)
        await intake.until_sampled(lambda: dict(intake.tallies["unit 1"].counts)["reconnects"] >= 1)
    server.close()
    assert (intake.connections, host.connections) == (1, 2)


async def test_a_host_that_hung_up_when_idle_and_is_gone_is_lost_when_it_is_asked() -> None:
    intake = MemoryIntake("esp")
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    lost = []

    async def until_lost() -> None:
        try:
            await modbus.collect(
                settings(host=url, timeout="300ms"), [signal("count", "u16", 1.0, holding=0)], intake
            )
        except* SourceLost as error:
            lost.append(str(error.exceptions[0]))

    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        tasks.create_task(until_lost())
        await intake.until(lambda: len(intake.values("count")) >= 2)
        server.close()
    assert len(lost) == 1
    assert "closed" in lost[0]


async def test_a_busy_device_is_asked_once_more_for_a_fresh_read() -> None:
    intake = MemoryIntake("esp")
    async with (
        served() as (host, url),
        collecting(settings(host=url), [signal("count", "u16", 60.0, holding=0)], intake),
    ):
        host.idle_s = None
        await intake.until(lambda: intake.values("count") == [7])
        host.busy = 1
        number = intake.ask("count")
        await intake.until(lambda: any(one.answers == number for one in intake.seen))
    assert [one.value for one in intake.seen if one.answers == number] == [7]


async def test_to_connect_takes_the_network_longer_than_the_device_needs_to_answer() -> None:
    """The first packet is lost, as on a full backlog: the system sends it again after a second."""
    with ExitStack() as stack, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())

        def make_room() -> None:
            listening.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    stack.enter_context(listening.accept()[0])

        asyncio.get_running_loop().call_later(0.2, make_room)
        line = TcpLine("127.0.0.1", listening.getsockname()[1])
        connection = Connection("plc", line, Counts(), lambda data: None, lambda: None)
        await connection.open(0.02)
        assert connection.is_open
        connection.close()


class Slow(MemoryIntake):
    """Its disk takes as long as the test says, and may be full then."""

    def __init__(self) -> None:
        super().__init__("bus")
        self.is_done = asyncio.Event()
        self.batches: list[list[object]] = []

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        self.batches.append([one.value for one in observations])
        await self.is_done.wait()
        if self.failing:
            raise NotRecorded("full")
        return await super().emit(observations)


@pytest.mark.parametrize("is_full", [False, True])
async def test_what_comes_after_a_word_waits_for_it_and_goes_with_it(is_full: bool) -> None:
    """A value that is kept without the word that explains it would be misread for ever."""
    intake, doubts = Slow(), 0

    def doubt() -> None:
        nonlocal doubts
        doubts += 1

    async with asyncio.TaskGroup() as tasks:
        outbox = Outbox(intake, tasks, doubt)
        await outbox.put([intake.observe("word", "restarted"), intake.observe("count", 3)], is_word=True)
        await outbox.put([intake.observe("count", 4)], urgent=True)
        await asyncio.sleep(0)
        assert intake.batches == [["restarted", 3]]
        intake.failing = is_full
        intake.is_done.set()
    assert intake.batches == ([["restarted", 3]] if is_full else [["restarted", 3], [4]])
    assert doubts == is_full
