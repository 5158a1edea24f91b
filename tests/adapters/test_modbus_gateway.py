"""A gateway whose own timeout for a dead unit is longer than ours, and what it may do with the numbers."""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from adapters import modbus
from adapters._modbus.answers import NoAnswer
from adapters._modbus.gateway import LONGEST_S, Gateway
from edge.contract import Quality, SourceLost
from tests.adapters.modbus_support import collecting, settings, signal
from tests.adapters.modbus_talk import block, cells, host, linked, tcp
from tests.support.intake import MemoryIntake

TIMEOUT_S = 0.06


class Queueing:
    """Asks its bus for one request after the other, whichever connection it came on.

    Every register of a unit holds the unit's number. A dead unit is answered for with exception 11 after
    `own_s`; a slow one (3) has its own answer ready then.
    """

    def __init__(self, own_s: float, numbers: str = "right") -> None:
        self.own_s = own_s
        self.numbers = numbers
        """Of the answers: `right`, `zero`, or `newest`: whatever was asked last, and its unit."""
        self.dead = {2}
        self.connections = 0
        self.asked: list[int] = []
        self._newest = b""
        self._queue: asyncio.Queue[tuple[bytes, asyncio.StreamWriter]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            request = self._newest = await reader.readexactly(12)
            self.asked.append(request[6])
            self._queue.put_nowait((request, writer))

    async def work(self) -> None:
        while True:
            request, writer = await self._queue.get()
            unit, count = request[6], request[11]
            pdu = struct.pack(f">BB{count}H", 3, 2 * count, *[unit] * count)
            await asyncio.sleep(self.own_s if unit in self.dead or unit == 3 else 0.005)
            if unit in self.dead:
                pdu = b"\x83\x0b"
            head = {"right": request[:2], "zero": b"\0\0", "newest": self._newest[:2]}[self.numbers]
            told = self._newest[6] if self.numbers == "newest" else unit
            writer.write(head + struct.pack(">HHB", 0, len(pdu) + 1, told) + pdu)


@asynccontextmanager
async def served(gateway: Queueing) -> AsyncIterator[int]:
    working = asyncio.create_task(gateway.work())
    try:
        async with host(gateway.serve) as port:
            yield port
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


def how(port: int) -> modbus.Settings:
    return settings(host=f"tcp://127.0.0.1:{port}", timeout=f"{TIMEOUT_S * 1000:g}ms", probe_every="150ms")


UNITS = [signal(f"u{unit}", "u16", 0.02, unit=unit, holding=0) for unit in (1, 2, 4)]


def bad(intake: MemoryIntake) -> set[str]:
    return {one.signal for one in intake.seen if one.quality is Quality.BAD}


@pytest.mark.parametrize("own_s", [1.2 * TIMEOUT_S, pytest.param(1.8 * TIMEOUT_S, marks=pytest.mark.long)])
async def test_a_late_exception_costs_no_connection_and_its_time_is_told(
    own_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    gateway, intake = Queueing(own_s), MemoryIntake("gateway")
    async with served(gateway) as port, collecting(how(port), UNITS, intake):
        await intake.until(lambda: gateway.asked.count(2) >= 4)
        seen = len(intake.values("u4"))
        await intake.until(lambda: len(intake.values("u4")) >= seen + 20)
        await intake.until_sampled(lambda: dict(intake.tallies["unit 2"].counts)["late answers"] >= 3)
    assert gateway.connections == 1
    assert bad(intake) == {"u2"}
    assert set(intake.values("u1")) == {1}
    assert intake.connections == 1
    assert "is timeout long enough?" in intake.tallies["unit 2"].detail
    assert dict(intake.tallies["unit 2"].counts)["reconnects"] == 0
    assert caplog.text.count("timeout has to be longer than the gateway's own") == 1, caplog.text


@pytest.mark.parametrize("own_s", [4.5 * TIMEOUT_S, pytest.param(2.5 * TIMEOUT_S, marks=pytest.mark.long)])
async def test_live_units_behind_a_gateway_that_takes_long_are_not_dead(
    own_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """It is found out by the unit that had to wait; from then on no connection is made anew for it."""
    gateway, intake = Queueing(own_s), MemoryIntake("gateway")
    async with served(gateway) as port, collecting(how(port), UNITS, intake):
        await intake.until(lambda: "longer than the gateway's own" in caplog.text)
        connections, asked = gateway.connections, gateway.asked.count(2)
        await intake.until(lambda: gateway.asked.count(2) >= asked + 2)
        seen = len(intake.values("u1"))
        await intake.until(lambda: len(intake.values("u1")) > seen)
        assert gateway.connections == connections
        gateway.dead.clear()
        await intake.until(lambda: set(intake.values("u2")) == {2})
    assert bad(intake) == {"u2"}
    assert intake.connections == 1
    assert caplog.text.count("timeout has to be longer than the gateway's own") <= 2, caplog.text


@pytest.mark.parametrize("numbers", ["newest", "zero"])
async def test_a_gateway_that_mixes_up_the_numbers_tells_no_false_value(numbers: str) -> None:
    """The slow unit's answer would pass for that of whoever was asked last."""
    gateway, intake = Queueing(1.5 * TIMEOUT_S, numbers), MemoryIntake("gateway")
    signals = [signal(f"u{unit}", "u16", 0.02, unit=unit, holding=0) for unit in (3, 1, 2, 4)]
    async with served(gateway) as port:
        for _ in range(2):
            with suppress(SourceLost):
                async with collecting(how(port), signals, intake) as running:
                    await asyncio.wait([running], timeout=0.5)
    for one in intake.seen:
        assert one.quality is not Quality.GOOD or one.value == int(one.signal[1:]), one
    if numbers == "newest":
        assert intake.values("u1")


async def test_the_first_answer_of_a_connection_may_be_that_to_the_request_before() -> None:
    """Nothing was answered yet, so the connection was kept: the number alone does not prove it."""
    gateway = Queueing(1.5 * TIMEOUT_S, "newest")
    async with served(gateway) as port, linked(tcp(port), timeout_s=TIMEOUT_S) as link:
        with pytest.raises(NoAnswer):
            await link.read(block(10, unit=3))
        await link.recover(3)
        assert cells(await link.read(block(10, unit=1))) == [1]
        assert link.counts.of(1).wrong_answers == 1


async def test_answers_in_another_order_find_their_requests() -> None:
    held: deque[bytes] = deque()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(12)
            answer = request[:4] + struct.pack(">HBBBH", 5, request[6], 3, 2, request[6])
            if request[6] == 2:
                held.append(answer)
                continue
            writer.write(answer + b"".join(held))
            held.clear()

    async with host(talk) as port, linked(tcp(port), timeout_s=0.05) as link:
        for unit in (2, 1, 2, 1):
            try:
                assert cells(await link.read(block(10, unit=unit))) == [unit]
            except NoAnswer:
                assert unit == 2
                await link.recover(2)


# --- what is decided ------------------------------------------------------------------------------


def test_a_late_answer_is_waited_for_ever_more_rarely_until_one_came() -> None:
    gateway, turns = Gateway(), []
    for turn in range(40):
        if gateway.wait_s(1.0):
            assert gateway.wait_s(1.0) == 2.0
            turns.append(turn)
        gateway.vain()
    assert turns == [0, 1, 2, 4, 8, 16, 32]
    gateway.late(1.2)
    assert 1.5 < gateway.wait_s(1.0) < 1.6
    for _ in range(3):
        gateway.vain()
    assert gateway.wait_s(1.0) == 0.0, "what was measured holds no more"


def test_one_unit_after_a_dead_one_is_given_time_and_only_one() -> None:
    gateway = Gateway()
    assert gateway.until(1, 1.0) == 0.0
    gateway.silent(2, 100.0, had_more=False)
    assert gateway.until(2, 1.0) == 0.0, "its own silence gives it no more"
    assert gateway.until(1, 1.0) == 105.0
    assert gateway.until(1, 60.0) == 100.0 + LONGEST_S
    gateway.silent(1, 102.0, had_more=True)
    assert gateway.until(3, 1.0) == 0.0, "all of them are gone"
    assert gateway.answered(110.0, is_late=False) == 0.0
    gateway.silent(2, 120.0, had_more=False)
    assert gateway.answered(123.0, is_late=True) == 3.0
    assert gateway.late_s == 3.0


def test_a_time_is_told_once_and_again_where_it_grew() -> None:
    gateway = Gateway()
    assert 'timeout = "1280ms"' in gateway.advice(1.02)
    assert gateway.advice(1.1) == ""
    assert 'timeout = "3750ms"' in gateway.advice(3.0)
