"""RTU, over TCP and on a port: silences, late and repeated answers."""

import asyncio
import os
import struct
import tty
from collections.abc import Iterator
from dataclasses import replace

import pytest

from adapters._modbus.lines import Parity, SerialLine
from adapters._modbus.orders import COIL, MASK, REGISTER, REGISTERS, Order
from adapters._modbus.rtu import sealed
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link, NoAnswer, Refused, Reply
from edge.contract import SourceLost
from tests.adapters.modbus_talk import (
    IDENTIFICATION,
    OTHER,
    block,
    cells,
    honest,
    host,
    linked,
    over_tcp,
    rtu_talk,
    tcp,
    tcp_answer,
)


async def test_rtu_over_tcp_drains_and_keeps_its_connection() -> None:
    """A device server hands on late answers, also to a connection made anew."""
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        delays = iter([0.0, 0.2])
        while asked := await reader.readexactly(8):
            await asyncio.sleep(next(delays, 0.0))
            writer.write(honest(asked))

    async with host(talk) as port, linked(over_tcp(port), worst_s=0.25) as link:
        assert cells(await link.read(block(10))) == [1010]
        with pytest.raises(NoAnswer):
            await link.read(block(20))
        assert cells(await link.read(block(30))) == [1030]
        assert link.counts.of(1).stray_bytes >= 7
    assert connections == 1


async def test_a_device_with_an_exact_map_is_asked_for_no_more_than_it_has() -> None:
    beyond: list[bytes] = []

    def answer(asked: bytes) -> bytes:
        _, _, start, count = struct.unpack(">BBHH", asked[:6])
        if start + count <= 20:
            return honest(asked)
        beyond.append(asked)
        return sealed(bytes((1, 0x83, 2)))

    async with host(rtu_talk(answer)) as port, linked(over_tcp(port)) as link:
        for _ in range(10):
            assert cells(await link.read(block(15, 5))) == list(range(1015, 1020))
        assert link.counts.of(1).exceptions == {}, "nobody asked for what is refused"
    assert len(beyond) == 2, "it could have been one that takes even numbers only"


async def test_a_unit_that_is_silent_about_more_than_it_has_is_asked_for_less() -> None:
    def answer(asked: bytes) -> bytes:
        _, _, start, count = struct.unpack(">BBHH", asked[:6])
        return honest(asked) if start + count <= 20 else b""

    lost = []
    async with host(rtu_talk(answer)) as port, linked(over_tcp(port), timeout_s=0.03, worst_s=0.03) as link:
        for turn in range(12):
            try:
                assert cells(await link.read(block(15, 5))) == list(range(1015, 1020))
            except NoAnswer:
                lost.append(turn)
    assert len(lost) == 2
    assert lost[1] - lost[0] > 1, "never twice in a row: the unit is not lost by it"


async def test_a_refusal_that_another_got_is_asked_for_again() -> None:
    """An exception has no length of its own: a repeated one fits every request to the unit."""
    replies = iter([None, sealed(bytes((1, 0x83, 2))), None, *[sealed(bytes((1, 0x83, 2)))] * 2])

    def answer(asked: bytes) -> bytes:
        return next(replies, None) or honest(asked)

    async with host(rtu_talk(answer)) as port, linked(over_tcp(port), gap=0) as link:
        assert cells(await link.read(block(10))) == [1010]
        assert cells(await link.read(block(10))) == [1010]
        refused = await link.read(block(10))
        assert isinstance(refused, Refused)
        assert refused.code == 2
        assert link.counts.of(1).exceptions == {2: 1}


async def test_an_answer_to_another_request_is_dropped_and_the_right_one_taken() -> None:
    last = b""

    def answer(asked: bytes) -> bytes:
        nonlocal last
        last, old = honest(asked), last
        return old + last

    async with host(rtu_talk(answer)) as port, linked(over_tcp(port)) as link:
        for turn in range(10):
            start = 10 + 20 * (turn % 2)
            assert cells(await link.read(block(start))) == [1000 + start]
        assert link.counts.of(1).repeats >= 9, "one more where a busy machine had it asked again"


async def test_the_right_answer_may_come_some_time_after_a_wrong_one() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            writer.write(OTHER)
            await asyncio.sleep(0.02)
            writer.write(honest(asked))

    async with host(talk) as port, linked(over_tcp(port)) as link:
        assert cells(await link.read(block(10, 4))) == [1010, 1011, 1012, 1013]
        assert link.counts.of(1).repeats == 1


async def test_every_kind_of_write_is_confirmed_by_its_own_answer() -> None:
    orders = [
        Order(1, COIL, 3, (1,)), Order(1, REGISTER, 5, (7,)), Order(1, MASK, 5, (1, 2)),
        Order(1, REGISTERS, 5, (7, 8)),
    ]  # fmt: skip
    for order in orders:
        for said, is_done in ((order.echo, True), (order.echo[:-1] + b"\x77", False)):

            async def talk(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                size: int = len(order.pdu),
                answer: bytes = said,
            ) -> None:
                await reader.readexactly(size + 3)
                writer.write(sealed(b"\1" + answer))
                await reader.read()

            async with host(talk) as port, linked(over_tcp(port)) as link:
                if is_done:
                    assert await link.write(order) is None
                else:
                    with pytest.raises(NoAnswer, match="bytes that are not one"):
                        await link.write(order)


async def test_identification_is_asked_for_on_both_kinds_of_line() -> None:
    async def talk_rtu(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(7)
        writer.write(sealed(b"\1" + IDENTIFICATION))

    async def talk_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(tcp_answer(await reader.readexactly(11), IDENTIFICATION))

    async with host(talk_rtu) as port, linked(over_tcp(port)) as link:
        assert await link.ask(1, b"\x2b\x0e\x01\x00") == IDENTIFICATION
    async with host(talk_tcp) as port, linked(tcp(port)) as link:
        assert await link.ask(1, b"\x2b\x0e\x01\x00") == IDENTIFICATION


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    near, far = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    yield near, os.ttyname(far)
    os.close(near)
    os.close(far)


async def test_silence_is_kept_before_each_request(pty: tuple[int, str]) -> None:
    near, path = pty
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def answer() -> None:
        times.append(loop.time())
        os.write(near, honest(os.read(near, 256)))

    loop.add_reader(near, answer)
    async with linked(SerialLine(path, 9600, "none", 1), delay_s=0.03) as link:
        received = []
        for _ in range(5):
            reply = await link.read(block(10))
            assert isinstance(reply, Reply)
            received.append(reply.at)
    loop.remove_reader(near)
    gaps = [asked - heard for heard, asked in zip(received, times[1:], strict=False)]
    assert min(gaps) >= 0.03


async def test_bytes_before_a_request_are_no_answer_to_it(pty: tuple[int, str]) -> None:
    near, path = pty
    loop = asyncio.get_running_loop()
    loop.add_reader(near, lambda: os.write(near, honest(os.read(near, 256))))
    async with linked(SerialLine(path, 115_200, "none", 1), gap=0) as link:
        assert cells(await link.read(block(10))) == [1010]
        os.write(near, sealed(bytes((1, 3, 2, 2, 154))))  # 666, as nobody has it
        while not link.counts.of(1).stray_bytes:
            await asyncio.sleep(0.001)
        assert cells(await link.read(block(30))) == [1030]
        assert link.counts.of(1).repeats == 1
        assert link.counts.of(1).stray_bytes == 7
    loop.remove_reader(near)


async def test_the_answer_before_the_true_one_is_not_believed(pty: tuple[int, str]) -> None:
    """A request of the same length was repeated on its way: its second answer comes first."""
    near, path = pty
    loop = asyncio.get_running_loop()
    asked: list[bytes] = []

    def answer() -> None:
        asked.append(os.read(near, 256))
        if len(asked) == 2:
            os.write(near, sealed(bytes((1, 3, 2, 2, 154))))
            loop.call_later(0.01, os.write, near, honest(asked[1]))
        else:
            loop.call_later(0.01, os.write, near, honest(asked[-1]))

    loop.add_reader(near, answer)
    async with linked(SerialLine(path, 115_200, "none", 1), gap=0) as link:
        assert cells(await link.read(block(10))) == [1010]
        assert cells(await link.read(block(30))) == [1030]
    loop.remove_reader(near)
    assert len(asked) == 3


async def test_noise_on_an_idle_line_is_no_reason_to_distrust_it(pty: tuple[int, str]) -> None:
    near, path = pty
    loop = asyncio.get_running_loop()
    loop.add_reader(near, lambda: os.write(near, honest(os.read(near, 256))))
    async with linked(SerialLine(path, 115_200, "none", 1)) as link:
        assert cells(await link.read(block(10))) == [1010]
        os.write(near, bytes(20))
        while not link.counts.of(1).stray_bytes:
            await asyncio.sleep(0.001)
        assert cells(await link.read(block(30))) == [1030]
        assert (link.counts.of(1).repeats, link.counts.of(1).stray_bytes) == (0, 20)
    loop.remove_reader(near)


async def test_a_port_that_goes_away_is_lost(pty: tuple[int, str]) -> None:
    near, path = pty
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()
    manner = Manner(5.0, 0.1, 0.0, None)
    link = Link("plc", SerialLine(path, 115_200, "none", 1), lambda unit: manner, lost.set)
    await link.open()
    loop.add_reader(near, lambda: os.write(near, honest(os.read(near, 256))))
    assert cells(await link.read(block(10))) == [1010]
    loop.remove_reader(near)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, near)  # the adapter is pulled out
    os.close(nothing)
    await asyncio.wait_for(lost.wait(), 5)
    with pytest.raises(SourceLost, match="the port is gone"):
        link.check()
    with pytest.raises(SourceLost, match="the port is gone"):
        await link.read(block(10))
    link.close()


@pytest.mark.parametrize(("parity", "letter"), [("even", "E"), ("odd", "O"), ("none", "N")])
def test_the_driver_is_asked_for_the_parity(parity: Parity, letter: str, pty: tuple[int, str]) -> None:
    assert SerialLine("/dev/ttyS0", 9600, parity, 1).parity_letter == letter
    assert SerialLine(pty[1], 9600, parity, 1).parity_letter == "N", "a pseudo-terminal refuses any"


async def test_a_port_has_one_owner_and_says_so(pty: tuple[int, str]) -> None:
    line = SerialLine(pty[1], 9600, "none", 1)
    async with linked(line):
        with pytest.raises(SourceLost, match="another program has it open"):
            await Link("two", line, lambda unit: Manner(1, 1, 0, None), lambda: None).open()
    async with linked(line):
        pass


async def test_an_answer_that_is_said_without_end_is_none() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(8)
        while True:
            writer.write(honest(asked) * 5)
            await writer.drain()
            await asyncio.sleep(0.005)

    async with host(talk) as port, linked(replace(over_tcp(port), baud=300)) as link:
        async with asyncio.timeout(5):
            with pytest.raises(NoAnswer, match="bytes that are not one"):
                await link.read(block(10))
        link.close()


async def test_an_answer_came_when_its_own_last_byte_did() -> None:
    loop = asyncio.get_running_loop()
    noise_at = 0.0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal noise_at
        writer.write(honest(await reader.readexactly(8)))
        await asyncio.sleep(0.05)
        noise_at = loop.time()
        writer.write(b"\0")
        await reader.read()

    async with host(talk) as port, linked(replace(over_tcp(port), baud=300), timeout_s=1.0) as link:
        reply = await link.read(block(10))
        assert isinstance(reply, Reply)
        assert 0 < reply.at < noise_at


async def test_what_a_gateway_gave_up_may_still_come() -> None:
    turns = iter([b"", sealed(b"\1\x83\x0b")])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            if refusal := next(turns, b""):
                writer.write(refusal)
                await asyncio.sleep(0.05)
                writer.write(sealed(bytes((1, 3, 2 * asked[5])) + bytes(2 * asked[5])))
            else:
                writer.write(honest(asked))

    async with host(talk) as port, linked(over_tcp(port), gap=0) as link:
        assert cells(await link.read(block(10))) == [1010]
        assert isinstance(await link.read(block(10)), Refused)
        assert cells(await link.read(block(30))) == [1030]


async def test_a_line_that_echoed_once_does_not_for_ever() -> None:
    order = Order(1, REGISTER, 5, (7,))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for echoes in (True, False):
            asked = await reader.readexactly(8)
            writer.write((asked if echoes else b"") + honest(asked))
        writer.write(await reader.readexactly(8))
        await reader.read()

    async with host(talk) as port, linked(over_tcp(port)) as link:
        for _ in range(2):
            assert cells(await link.read(block(10))) == [1010]
        assert await link.write(order) is None
