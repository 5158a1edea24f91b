"""Connections over TCP: what is done where no answer comes."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from adapters import modbus
from adapters._modbus.counts import Counts
from adapters._modbus.orders import REGISTER, Order
from adapters._modbus.wire import NoAnswer
from edge.contract import SourceLost
from tests.adapters.modbus_support import collecting, settings, signal
from tests.adapters.modbus_talk import (
    block,
    cells,
    honest,
    honest_pdu,
    host,
    linked,
    over_tcp,
    tcp,
    tcp_answer,
)
from tests.support.intake import MemoryIntake

ESTABLISHED = "01"
"""The state of a connection in /proc/net/tcp."""


async def test_an_answer_to_an_older_request_is_passed_over() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = b""
        while asked := await reader.readexactly(12):
            last, old = tcp_answer(asked, honest_pdu(asked[7:])), last
            writer.write(old + last)

    async with host(talk) as port, linked(tcp(port)) as link:
        for start in range(10):
            assert cells(await link.read(block(start))) == [1000 + start]
        assert link.counts.of(1).wrong_answers == 9
        assert link.counts.of(1).reconnects == 0


async def test_a_host_that_sends_without_end_costs_one_connection() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        asked = await reader.readexactly(12)
        if connections > 1:
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))
            return
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write(bytes(1_000_000))
                await writer.drain()

    async with host(talk) as port, linked(tcp(port)) as link:
        with pytest.raises(NoAnswer, match="wrong transaction id"):
            await link.read(block(10))
        assert cells(await link.read(block(10))) == [1010]
        assert link.counts.of(1).wrong_answers == 1


async def test_a_host_that_speaks_unasked_gets_a_new_connection() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            writer.write(b"hello, here is a gateway")
        while asked := await reader.readexactly(12):
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        while not link.counts.of(0).stray_bytes:
            await asyncio.sleep(0.001)
        assert cells(await link.read(block(10))) == [1010]
    assert connections == 2


async def test_a_host_that_allows_one_connection_gets_its_time() -> None:
    """It closes a second connection at once while it still has the first."""
    is_taken = False

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal is_taken
        if is_taken:
            return
        is_taken = True
        try:
            asked = await reader.readexactly(12)
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))
            await reader.read()
            await asyncio.sleep(0.05)
        finally:
            is_taken = False

    async with host(talk) as port, linked(tcp(port)) as link:
        assert cells(await link.read(block(10))) == [1010]
        with pytest.raises(NoAnswer, match=r"no answer within 0\.1 s"):
            await link.read(block(10))
        assert cells(await link.read(block(10))) == [1010]


async def test_a_host_that_closes_after_each_answer_is_told_of_once() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(12)
        writer.write(tcp_answer(asked, honest_pdu(asked[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        for start in range(20):
            assert cells(await link.read(block(start))) == [1000 + start]
            link.check()
        notes = link.counts.notes()
        assert len(notes) == 1
        assert "closes the connection after each answer" in notes[0]
        assert link.counts.notes() == []


async def test_a_host_that_is_gone_is_lost_with_both_reasons() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(12)
        writer.write(tcp_answer(asked, honest_pdu(asked[7:])))

    async with host(talk) as port:
        link_to = linked(tcp(port))
        link = await link_to.__aenter__()
        assert cells(await link.read(block(10))) == [1010]
    with pytest.raises(SourceLost, match=r"was closed by .*nothing listens there"):
        await link.read(block(10))
    await link_to.__aexit__(None, None, None)


async def test_a_write_is_not_said_twice() -> None:
    """The connection ends instead of an answer: nobody knows whether it was done."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readexactly(12):
            asked.append(request)
            if request[7] == 6:
                return
            writer.write(tcp_answer(request, honest_pdu(request[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        await link.read(block(10))
        with pytest.raises(NoAnswer, match="closed the connection instead"):
            await link.write(Order(1, REGISTER, 5, (7,)))
        await link.recover(1)
        await link.read(block(10))
    assert [request[7] for request in asked] == [3, 6, 3]


async def test_a_request_that_was_given_up_is_recovered_from() -> None:
    delays = iter([0.05, 0.0])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(12):
            await asyncio.sleep(next(delays))
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        task = asyncio.create_task(link.read(block(10)))
        await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert cells(await link.read(block(30))) == [1030]


async def test_the_connection_is_kept_alive() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with host(talk) as port, linked(tcp(port)):
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if row[2].endswith(f":{port:04X}")]
    timers = [row[5] for row in ours if row[3] == ESTABLISHED]
    assert len(timers) == 1, "and it may be the port of an earlier test, whose connection still times out"
    assert timers[0].startswith("02:"), "the timer of keep-alive, by proc(5)"


# --- a host that does not answer -----------------------------------------------------------------


class OneAtATime:
    """Takes connections out of its queue one after the other, and holds each for a while after its end."""

    def __init__(self, hold_s: float, *, is_rtu: bool = False) -> None:
        self.accepted = 0
        self._is_rtu = is_rtu
        self._hold_s = hold_s
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=8)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with self._socket:
            while True:
                peer, _ = await loop.sock_accept(self._socket)
                self.accepted += 1
                with peer, suppress(ConnectionError):
                    while request := await loop.sock_recv(peer, 8 if self._is_rtu else 12):
                        await loop.sock_sendall(peer, self._answer(request))
                await asyncio.sleep(self._hold_s)

    def _answer(self, request: bytes) -> bytes:
        return honest(request) if self._is_rtu else tcp_answer(request, honest_pdu(request[7:]))


async def test_a_host_that_holds_dropped_connections_is_waited_for_on_one() -> None:
    one, counts = OneAtATime(0.4), Counts()
    serving = asyncio.create_task(one.run())
    async with linked(tcp(one.port)) as predecessor:
        await predecessor.read(block(10))
    async with linked(tcp(one.port), counts=counts) as link:
        for _ in range(2):
            with pytest.raises(NoAnswer, match=r"no answer within 0\.1 s"):
                await link.read(block(10))
            await link.recover()
        assert link.opened == 1
    async with linked(tcp(one.port), counts=counts) as link:
        assert cells(await link.read(block(10))) == [1010]
        assert link.opened == 1
    assert one.accepted == 3
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def test_a_busy_device_server_is_waited_for_on_one_connection_too() -> None:
    """RTU over TCP: it gets round to us when it has done with the connection that it still holds."""
    one, counts = OneAtATime(0.5, is_rtu=True), Counts()
    serving = asyncio.create_task(one.run())
    async with linked(over_tcp(one.port)) as predecessor:
        await predecessor.read(block(10))
    async with linked(over_tcp(one.port), counts=counts, timeout_s=0.05, worst_s=0.05) as link:
        with pytest.raises(NoAnswer, match=r"no answer within 0\.05 s"):
            await link.read(block(10))
    async with linked(over_tcp(one.port), counts=counts, timeout_s=0.05, worst_s=0.05) as link:
        assert cells(await link.read(block(10))) == [1010]
    assert one.accepted == 3
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def test_a_host_that_never_answers_is_told_at_once_and_then_left_in_peace() -> None:
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(0)
        while await reader.readexactly(12):
            asked[-1] += 1

    intake = MemoryIntake("plc")
    async with host(talk) as port:
        how = settings(host=f"tcp://127.0.0.1:{port}", timeout="50ms")
        signals = [signal("s10", "u16", holding=10)]
        with pytest.raises(SourceLost, match="no unit answers"):
            await asyncio.wait_for(modbus.collect(how, signals, intake), 2)
        assert asked == [2]
        async with collecting(how, signals, intake) as running:
            await asyncio.wait([running], timeout=0.8)
            assert not running.done(), "it waits on the connection that it has"
        assert asked == [2, 1]


async def test_a_late_answer_on_a_new_connection_is_passed_over() -> None:
    connections, delays = 0, iter([0.15])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while asked := await reader.readexactly(12):
            await asyncio.sleep(next(delays, 0.0))
            writer.write(tcp_answer(asked, honest_pdu(asked[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        with pytest.raises(NoAnswer):
            await link.read(block(10))
        assert cells(await link.read(block(30))) == [1030]
    assert connections == 1


async def test_a_gateway_that_closes_for_a_dead_unit_is_not_tried_again_each_time() -> None:
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readexactly(12):
            asked.append(request[6])
            if request[6] == 2:
                return
            writer.write(tcp_answer(request, honest_pdu(request[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        for expected in (2, 1, 1):
            assert cells(await link.read(block(10))) == [1010]
            asked.clear()
            with pytest.raises(NoAnswer, match="closed the connection instead"):
                await link.read(block(10, unit=2))
            assert asked == [2] * expected


async def test_a_host_that_closes_at_once_costs_no_more_than_the_timeout() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)

    async with host(talk) as port, linked(tcp(port), timeout_s=0.06) as link:
        began = asyncio.get_running_loop().time()
        with pytest.raises((NoAnswer, SourceLost)):
            await link.read(block(10))
        assert asyncio.get_running_loop().time() - began < 0.3


async def test_who_answered_is_said_and_what_to_write() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(12)
        writer.write(tcp_answer(asked[:6] + b"\xff" + asked[7:], honest_pdu(asked[7:])))

    async with host(talk) as port, linked(tcp(port)) as link:
        with pytest.raises(NoAnswer, match=r"of unit 255 and not of 1.*: unit = 255"):
            await link.read(block(10))


async def test_older_answers_without_end_are_not_passed_over_without_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(12)
        old = tcp_answer(first, honest_pdu(first[7:]))
        writer.write(old)
        await reader.readexactly(12)
        writer.write(old * 20_000)

    async with host(talk) as port, linked(tcp(port)) as link:
        assert cells(await link.read(block(10))) == [1010]
        with pytest.raises(NoAnswer, match="too many answers to older requests"):
            await link.read(block(10))
