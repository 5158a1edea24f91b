"""Devices and lines that misbehave: whatever they send, no false value, and the loss is seen.

The honest value of every register here is its own address plus 1,000.
"""

import asyncio
import logging
import os
import random
import struct
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import serial

from adapters import modbus
from adapters._modbus.ports import OPENING, reason
from edge.contract import Quality, SourceLost
from tests.adapters.modbus_bad_bus import crc
from tests.adapters.modbus_support import collecting, settings, signal
from tests.adapters.modbus_talk import Talk, honest_pdu
from tests.adapters.modbus_talk import host as host_on
from tests.support.intake import MemoryIntake

LIE = 666
SIGNALS = [signal(f"s{at}", "u16", holding=at) for at in (10, 20, 30, 40)]
"""With max_gap = 0, requests that differ in nothing but the address."""
HONEST = {one.name: 1000 + one.address.start for one in SIGNALS}


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake("plc")


@pytest.fixture(autouse=True)
def _quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No library logs a warning or a traceback: what is wrong is said by SourceLost and bad quality."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


def assert_honest(intake: MemoryIntake) -> None:
    for one in intake.seen:
        assert one.value == (HONEST[one.signal] if one.quality is Quality.GOOD else None)


# --- TCP ----------------------------------------------------------------------------------------


def frame(request: bytes, pdu: bytes, **other: int) -> bytes:
    """An answer to a request; `other` puts a wrong value into a field of its header."""
    transaction, protocol, _, unit = struct.unpack(">HHHB", request[:7])
    fields = {"transaction": transaction, "protocol": protocol, "length": len(pdu) + 1, "unit": unit} | other
    return struct.pack(">HHHB", *fields.values()) + pdu


def lies(count: int) -> bytes:
    return struct.pack(f">{count}H", *[LIE] * count)


def asked(request: bytes) -> int:
    return int.from_bytes(request[10:12], "big")


LIARS: dict[str, Callable[[bytes], bytes]] = {
    "another transaction": lambda ask: frame(ask, honest_pdu(ask[7:]), transaction=ask[1] + 1),
    "transaction zero": lambda ask: frame(ask, bytes([3, 2 * asked(ask)]) + lies(asked(ask)), transaction=0),
    "another protocol": lambda ask: frame(ask, honest_pdu(ask[7:]), protocol=7),
    "another unit": lambda ask: frame(ask, bytes([3, 2 * asked(ask)]) + lies(asked(ask)), unit=2),
    "another table": lambda ask: frame(ask, bytes([4, 2 * asked(ask)]) + lies(asked(ask))),
    "a function that is none": lambda ask: frame(ask, b"\x80" + lies(1)),
    "another function's refusal": lambda ask: frame(ask, b"\x84\x02"),
    "too few registers": lambda ask: frame(ask, bytes([3, 0])),
    "too many registers": lambda ask: frame(ask, bytes([3, 2 * asked(ask) + 2]) + lies(asked(ask) + 1)),
    "a byte count that is not so": lambda ask: frame(ask, bytes([3, 2]) + lies(asked(ask) + 1)),
    "half a register": lambda ask: frame(ask, bytes([3, 2 * asked(ask) - 1]) + lies(asked(ask))[:-1]),
    "a length of none": lambda ask: frame(ask, bytes([3, 2 * asked(ask)]) + lies(asked(ask)), length=0),
    "a length of 65535": lambda ask: frame(ask, bytes([3, 2 * asked(ask)]) + lies(asked(ask)), length=65535),
    "two answers": lambda ask: (
        frame(ask, bytes([3, 2 * asked(ask)]) + lies(asked(ask))) + frame(ask, honest_pdu(ask[7:]))
    ),
    "the request": lambda ask: ask,
    "a page": lambda ask: b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "zeros": lambda ask: bytes(300),
    "too much": lambda ask: frame(ask, bytes([3, 255]) + lies(30_000)),
    "half an answer": lambda ask: frame(ask, honest_pdu(ask[7:]))[:-1],
    "nothing": lambda ask: b"",
}


@asynccontextmanager
async def tcp_device(talk: Talk) -> AsyncIterator[str]:
    """A listener on loopback that speaks as `talk` does; gives its `host`."""
    async with host_on(talk) as port:
        yield f"tcp://127.0.0.1:{port}"


def answering(answer: Callable[[bytes], bytes]) -> Talk:
    """A device that answers each request with `answer`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(answer(await reader.readexactly(12)))
            await writer.drain()

    return talk


@pytest.mark.parametrize("liar", LIARS)
async def test_no_lie_becomes_a_value(liar: str, intake: MemoryIntake) -> None:
    async with tcp_device(answering(LIARS[liar])) as host:
        with pytest.raises(SourceLost, match=r"^plc: "):
            await asyncio.wait_for(modbus.collect(settings(host=host, timeout="30ms"), SIGNALS, intake), 5)
    assert_honest(intake)
    assert intake.values("s10") == []
    assert {one.signal for one in intake.seen} == HONEST.keys(), "the loss has to be seen"
    assert intake.connections == 0


@pytest.mark.parametrize("liar", LIARS)
async def test_a_device_that_begins_to_lie_is_found_out(liar: str, intake: MemoryIntake) -> None:
    told = 0

    def answer(ask: bytes) -> bytes:
        nonlocal told
        told += 1
        return LIARS[liar](ask) if told > 6 else frame(ask, honest_pdu(ask[7:]))

    async with tcp_device(answering(answer)) as host:
        with pytest.raises(SourceLost):
            await asyncio.wait_for(modbus.collect(settings(host=host, timeout="30ms"), SIGNALS, intake), 5)
    assert_honest(intake)
    assert intake.values("s10")


async def test_garbage_raises_nothing_but_source_lost(intake: MemoryIntake) -> None:
    source = random.Random(4)  # the seed makes it repeatable

    def answer(ask: bytes) -> bytes:
        good = bytearray(frame(ask, honest_pdu(ask[7:])))
        if source.random() < 0.3:
            return source.randbytes(source.randrange(1, 300))
        for _ in range(source.randrange(1, 4)):
            good[source.randrange(9)] = source.randrange(256)
        return bytes(good)

    async with tcp_device(answering(answer)) as host:
        how = settings(host=host, timeout="20ms")
        for _ in range(20):
            with pytest.raises(SourceLost):
                await asyncio.wait_for(modbus.collect(how, SIGNALS, intake), 5)
    assert_honest(intake)


async def test_one_byte_at_a_time_is_an_answer(intake: MemoryIntake) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while ask := await reader.readexactly(12):
            for byte in frame(ask, honest_pdu(ask[7:])):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.001)

    async with tcp_device(talk) as host, collecting(settings(host=host), SIGNALS, intake):
        await intake.until(lambda: all(len(intake.values(name)) >= 2 for name in HONEST))
    assert_honest(intake)


async def test_a_device_that_hangs_up_after_each_answer_is_read_on(intake: MemoryIntake) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ask = await reader.readexactly(12)
        writer.write(frame(ask, honest_pdu(ask[7:])))

    async with (
        tcp_device(talk) as host,
        collecting(settings(host=host, max_gap=0), SIGNALS, intake),
    ):
        await intake.until(lambda: all(len(intake.values(name)) >= 6 for name in HONEST))
    assert_honest(intake)
    assert {one.quality for one in intake.seen} == {Quality.GOOD}
    assert intake.connections == 1


async def test_a_device_that_hangs_up_at_once_is_lost_at_once(intake: MemoryIntake) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)

    async with tcp_device(talk) as host, asyncio.timeout(2):
        with pytest.raises(SourceLost, match="closed the connection instead of answering"):
            await modbus.collect(settings(host=host, timeout="30s"), SIGNALS, intake)


async def test_tcp_late_answers_meet_nobody(intake: MemoryIntake) -> None:
    """Each connection numbers its requests anew, so that a late answer would fit the new one's."""
    delays = iter([0.0, 0.15, 0.0, 0.0, 0.15])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while ask := await reader.readexactly(12):
            await asyncio.sleep(next(delays, 0.0))
            writer.write(frame(ask, honest_pdu(ask[7:])))

    async with tcp_device(talk) as host:
        how = settings(host=host, timeout="100ms", max_gap=0)
        async with collecting(how, SIGNALS, intake):
            await intake.until(lambda: all(len(intake.values(name)) >= 8 for name in HONEST))
    assert_honest(intake)
    assert intake.connections == 1


async def test_a_gateway_that_speaks_for_a_dead_unit_keeps_its_connection(intake: MemoryIntake) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while ask := await reader.readexactly(12):
            writer.write(frame(ask, b"\x83\x0b" if ask[6] == 9 else honest_pdu(ask[7:])))

    dead = signal("dead", "u16", unit=9, holding=0)
    async with tcp_device(talk) as host, collecting(settings(host=host), [*SIGNALS, dead], intake):
        await intake.until(lambda: len(intake.values("s10")) >= 5)
    assert connections == 1
    bad = [one for one in intake.seen if one.quality is Quality.BAD]
    lost = "unit 9 is lost: exception 11, gateway target device failed to respond"
    assert [(one.signal, one.detail) for one in bad] == [("dead", lost)]


# --- a serial line --------------------------------------------------------------------------------


def sealed(body: bytes) -> bytes:
    return body + crc(body)


class Bus:
    """A serial line whose far end calls `answer` with each request, for (delay in s, bytes) pairs."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.answer: Callable[[bytes], list[tuple[float, bytes]]] = lambda ask: [(0.0, honest(ask))]
        self.requests: list[tuple[float, int]] = []
        """Time and unit of each."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._read)

    def _read(self) -> None:
        request = os.read(self._master, 256)
        self.requests.append((self._loop.time(), request[0]))
        for delay_s, data in self.answer(request):
            self._loop.call_later(delay_s, self.say, data)

    def say(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)

    def close(self) -> None:
        self._loop.remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = -1


def honest(request: bytes) -> bytes:
    return sealed(request[:1] + honest_pdu(request[1:6]))


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    line = Bus()
    yield line
    line.close()


def rtu(bus: Bus, **keys: object) -> modbus.Settings:
    return settings(port=bus.port, parity="none", **{"timeout": "40ms", "worst_answer": "60ms"} | keys)


async def test_rtu_late_answers_meet_nobody(bus: Bus, intake: MemoryIntake) -> None:
    """Same unit, function and length: only silence tells a late answer from the next request's."""
    delays = iter([0.0, 0.065, 0.02, 0.0, 0.055, 0.0, 0.09])
    bus.answer = lambda ask: [(next(delays, 0.0), honest(ask))]
    async with collecting(rtu(bus, max_gap=0), SIGNALS, intake):
        await intake.until(lambda: all(len(intake.values(name)) >= 8 for name in HONEST))
    assert_honest(intake)


async def test_rtu_noise_around_an_answer_is_skipped(bus: Bus, intake: MemoryIntake) -> None:
    bus.answer = lambda ask: [(0.0, b"\0\xff\x01\x03"), (0.005, honest(ask)[:4]), (0.01, honest(ask)[4:])]
    async with collecting(rtu(bus), SIGNALS, intake):
        await intake.until(lambda: all(len(intake.values(name)) >= 3 for name in HONEST))
    assert_honest(intake)


RTU_LIARS: dict[str, Callable[[bytes], bytes]] = {
    "a wrong checksum": lambda ask: honest(ask)[:-1] + b"\0",
    "another unit": lambda ask: sealed(bytes([2]) + ask[1:2] + bytes([2 * ask[5]]) + lies(ask[5])),
    "another table": lambda ask: sealed(ask[:1] + bytes([4, 2 * ask[5]]) + lies(ask[5])),
    "too few registers": lambda ask: sealed(ask[:1] + bytes([3, 2 * ask[5] - 2]) + lies(ask[5] - 1)),
    "too many registers": lambda ask: sealed(ask[:1] + bytes([3, 2 * ask[5] + 2]) + lies(ask[5] + 1)),
    "an echo": lambda ask: ask,
    "half an answer": lambda ask: honest(ask)[:-2],
    "a wrong speed": lambda ask: bytes(byte ^ 0xA5 for byte in honest(ask)),
}


@pytest.mark.parametrize("liar", RTU_LIARS)
async def test_rtu_no_lie_becomes_a_value(bus: Bus, liar: str, intake: MemoryIntake) -> None:
    bus.answer = lambda ask: [(0.0, RTU_LIARS[liar](ask))]
    with pytest.raises(SourceLost, match=r"bytes that are not one|no answer within"):
        await asyncio.wait_for(
            modbus.collect(rtu(bus, timeout="30ms", worst_answer="30ms", max_gap=0), SIGNALS, intake), 5
        )
    assert_honest(intake)
    assert {one.signal for one in intake.seen} == HONEST.keys()


async def test_rtu_a_line_that_is_never_silent_is_lost(bus: Bus, intake: MemoryIntake) -> None:
    def babble(ask: bytes) -> list[tuple[float, bytes]]:
        return [(0.005 * at, b"\x55") for at in range(400)]

    bus.answer = babble
    with pytest.raises(SourceLost, match="never silent"):
        await asyncio.wait_for(
            modbus.collect(rtu(bus, worst_answer="20ms"), [*SIGNALS, signal("x", unit=2, coil=0)], intake), 5
        )
    assert_honest(intake)


async def test_rtu_dead_units_are_probed_rarely_and_come_back(bus: Bus, intake: MemoryIntake) -> None:
    alive = {1}
    bus.answer = lambda ask: [(0.0, honest(ask))] if ask[0] in alive else []
    signals = [signal(f"u{unit}", "u16", unit=unit, holding=0) for unit in (1, 8, 9)]

    def lost() -> dict[str, int]:
        bad = [one for one in intake.seen if one.quality is Quality.BAD]
        return {name: len([one for one in bad if one.signal == name]) for name in ("u1", "u8", "u9")}

    how = rtu(bus, timeout="30ms", worst_answer="30ms", probe_every="400ms")
    async with collecting(how, signals, intake):
        await intake.until(lambda: lost() == {"u1": 0, "u8": 1, "u9": 1})
        since = bus.requests[-1][0]
        seen = len(intake.values("u1"))
        await intake.until(lambda: len(intake.values("u1")) >= seen + 20)
        probes = [at for at, unit in bus.requests if unit != 1 and at > since]
        assert 1 <= len(probes) <= (bus.requests[-1][0] - since) / 0.4 + 1
        alive |= {8, 9}
        await intake.until(lambda: min(len(intake.values("u8")), len(intake.values("u9"))) >= 3)
        assert lost() == {"u1": 0, "u8": 1, "u9": 1}


async def test_rtu_one_lost_frame_is_tried_again_and_said_to_nobody(bus: Bus, intake: MemoryIntake) -> None:
    silent = iter([False, True, False, False, True])
    bus.answer = lambda ask: [] if next(silent, False) else [(0.0, honest(ask))]
    async with collecting(rtu(bus), SIGNALS, intake):
        await intake.until(lambda: all(len(intake.values(name)) >= 4 for name in HONEST))
    assert {one.quality for one in intake.seen} == {Quality.GOOD}


# --- the library's errors -------------------------------------------------------------------------


ERRORS = [
    kind
    for kind in vars(serial.serialutil).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "serial.serialutil"
]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_pyserial_has_words_here(kind: type[Exception]) -> None:
    error = kind() if kind is serial.PortNotOpenError else kind("words")
    assert isinstance(error, OPENING)
    assert reason(error)


@pytest.mark.parametrize("path", [os.devnull, __file__])
async def test_what_is_no_serial_port_is_called_so(path: str, intake: MemoryIntake) -> None:
    with pytest.raises(SourceLost, match="it is not a serial port"):
        await modbus.collect(settings(port=path), SIGNALS, intake)
