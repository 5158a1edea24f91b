"""RTU: what a line did once, echoes, exceptions before the answer, bytes without end, and what is counted."""

import asyncio
from dataclasses import replace

import pytest

from adapters._modbus.counts import Counts
from adapters._modbus.orders import REGISTER, Order
from adapters._modbus.rtu import sealed
from adapters._modbus.wire import NoAnswer, Refused
from edge.contract import SourceLost
from tests.adapters.modbus_talk import block, cells, honest, host, linked, over_tcp

ORDER = Order(1, REGISTER, 5, (7,))
ECHO = sealed(b"\1" + ORDER.pdu)


@pytest.mark.parametrize("code", [5, 10, 11])
async def test_what_a_refused_write_was_answered_with_later_is_not_the_next_ones_answer(code: int) -> None:
    """The next write, of the same value, is not done; the line says so with nothing but a late echo."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == ECHO
        writer.write(sealed(bytes((1, 0x86, code))))
        await asyncio.sleep(0.05)
        writer.write(ECHO)
        await reader.read()

    async with host(talk) as port, linked(over_tcp(port)) as link:
        refused = await link.write(ORDER)
        assert isinstance(refused, Refused)
        assert refused.code == code
        with pytest.raises(NoAnswer, match="no answer within"):
            await link.write(ORDER)
        assert link.counts.of(1).stray_bytes == 8


@pytest.mark.parametrize("echoed", ["does", "last", "before", "never"])
async def test_a_write_on_a_line_in_doubt_waits_for_a_second_frame(echoed: str) -> None:
    reads = {
        "does": [True] * 3,
        "last": [False, False, True],
        "before": [False, True, False],
        "never": [False],
    }
    second = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for echoes in reads[echoed]:
            asked = await reader.readexactly(8)
            writer.write((asked if echoes else b"") + honest(asked))
        writer.write(await reader.readexactly(8))
        second.set()
        await reader.read()

    async with host(talk) as port, linked(over_tcp(port)) as link:
        for _ in reads[echoed]:
            assert cells(await link.read(block(10))) == [1010]
        if echoed == "does":
            with pytest.raises(NoAnswer):
                await link.write(ORDER)
        else:
            assert await link.write(ORDER) is None
        assert second.is_set()


async def test_a_line_that_echoes_is_known_again_after_one_read_without() -> None:
    """The echo of one request was lost; the write that follows has both, some time apart."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for echoes in (True, True, False):
            asked = await reader.readexactly(8)
            writer.write((asked if echoes else b"") + honest(asked))
        for _ in range(2):
            asked = await reader.readexactly(8)
            writer.write(asked)
            await asyncio.sleep(0.03)
            writer.write(asked)

    async with host(talk) as port, linked(over_tcp(port)) as link:
        for _ in range(3):
            assert cells(await link.read(block(10))) == [1010]
        for _ in range(2):
            assert await link.write(ORDER) is None
        assert (link.counts.of(1).repeats, link.counts.of(1).stray_bytes) == (0, 0)


async def test_a_line_that_was_never_silent_is_not_back_before_it_is() -> None:
    """It answers each new connection, and goes on to say so."""
    counts, babbles = Counts(), True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            writer.write(honest(asked))
            while babbles:
                await asyncio.sleep(0.01)
                writer.write(honest(asked))
                await writer.drain()

    async with host(talk) as port:
        async with linked(over_tcp(port), counts=counts, worst_s=0.08) as link:
            assert cells(await link.read(block(10))) == [1010]
            with pytest.raises(NoAnswer):
                await link.read(block(10))
            with pytest.raises(SourceLost, match="never silent"):
                await link.recover()
        async with linked(over_tcp(port), counts=counts, worst_s=0.08) as link:
            with pytest.raises(SourceLost, match="never silent"):
                await link.read(block(10))
        babbles = False
        async with linked(over_tcp(port), counts=counts, worst_s=0.03) as link:
            assert cells(await link.read(block(10))) == [1010]
            assert not counts.babbles


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (honest(sealed(b"\1\3\0\x0a\0\1"))[:-1], (1, 0, 0)),
        (b"\1\3", (1, 0, 0)),
        (honest(sealed(b"\1\3\0\x0a\0\1"))[:-1] + b"\0", (0, 1, 0)),
        (b"\x55" * 30, (0, 1, 0)),
        (sealed(b"\2\3\2\0\1"), (0, 0, 1)),
    ],
)
async def test_a_cut_answer_is_no_checksum_error(said: bytes, counted: tuple[int, int, int]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(said)
        await reader.read()

    async with host(talk) as port, linked(over_tcp(port)) as link:
        with pytest.raises(NoAnswer, match="bytes that are not one"):
            await link.read(block(10))
        counts = link.counts.of(1)
        assert (counts.cut_answers, counts.crc_errors, counts.wrong_answers) == counted
        assert counts.timeouts == 0


async def test_the_bytes_of_an_answer_take_their_own_time_on_top_of_the_timeout() -> None:
    """100 registers at 1200 baud: 2 s of bytes, of which the host takes a part."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(8)
        await asyncio.sleep(0.4)
        writer.write(honest(asked))
        await reader.read()

    async with host(talk) as port, linked(replace(over_tcp(port), baud=1200), timeout_s=0.05) as link:
        assert cells(await link.read(block(10, 100))) == list(range(1010, 1110))
