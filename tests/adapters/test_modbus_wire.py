"""Frames, names and connections of Modbus: what is taken for an answer, and what is done where none comes."""

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from adapters._modbus.counts import Counts
from adapters._modbus.frames import WrongReply, cells_of, question, read_question
from adapters._modbus.lines import Parity, RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.names import CLEAN, Names, Read, Trust
from adapters._modbus.orders import COIL, MASK, REGISTER, REGISTERS, Order
from adapters._modbus.plan import Block, Limits
from adapters._modbus.rtu import crc, look, sealed
from adapters._modbus.tcp import TcpFrames
from adapters._modbus.units import Manner
from adapters._modbus.wire import Link, NoAnswer, Refused, Reply
from edge.contract import SourceLost
from tests.adapters.modbus_bad_bus import crc as crc_by_bits

ASK = read_question(1, "holding", 10, 2)
SENT = sealed(bytes((1,)) + ASK.pdu)
GOOD = sealed(bytes((1, 3, 4, 0, 7, 0, 8)))


def block(start: int, count: int = 1, *, unit: int = 1, table: str = "holding") -> Block:
    return Block((), unit, table, start, count, 1.0)  # type: ignore[arg-type]


# --- frames on a serial line ---------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_the_checksum_is_the_standards(data: bytes) -> None:
    assert sealed(data)[-2:] == crc_by_bits(data)
    assert crc(sealed(data)) == 0
    assert FramerRTU.check_CRC(data, int.from_bytes(sealed(data)[-2:], "big"))


@given(st.integers(1, 16), st.data())
def test_no_burst_of_up_to_16_bits_passes(width: int, data: st.DataObject) -> None:
    burst = data.draw(st.integers(0, (1 << width) - 1)) | 1 << (width - 1) | 1
    at = data.draw(st.integers(0, 8 * len(GOOD) - width))
    spoilt = (int.from_bytes(GOOD, "big") ^ burst << at).to_bytes(len(GOOD), "big")
    assert look(ASK, SENT, spoilt, echoes=False).pdu == b""


@given(st.binary(max_size=400))
def test_any_bytes_are_looked_at_in_peace(data: bytes) -> None:
    seen = look(ASK, SENT, data, echoes=False)
    assert seen.pdu == b"" or seen.pdu in data


OTHER = sealed(bytes((1, 3, 2, 0, 9)))
EXACT = {
    "alone": GOOD,
    "behind noise": b"\0\xff\x01\x03" + GOOD,
    "before the noise of a driver": GOOD + b"\0\xff",
    "twice": GOOD + GOOD,
    "behind an answer to something else": OTHER + GOOD,
    "behind another unit's": sealed(bytes((2, 3, 4, 0, 1, 0, 1))) + GOOD,
    "behind the line's own echo": SENT + GOOD,
}
WRONG = {
    "nothing": b"",
    "half of it": GOOD[:-1],
    "the echo": SENT,
    "another unit": sealed(bytes((2, 3, 4, 0, 7, 0, 8))),
    "another function": sealed(bytes((1, 4, 4, 0, 7, 0, 8))),
    "another length": OTHER,
    "a length that is not so": sealed(bytes((1, 3, 2, 0, 7, 0, 8))),
    "followed by something": GOOD + b"\x01\x03\x04",
    "behind too much": bytes(17) + GOOD,
    "a spoilt one and its end": GOOD[:5] + GOOD[6:],
    "another function's refusal": sealed(bytes((1, 0x84, 2))),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_answer_is_found(name: str) -> None:
    assert look(ASK, SENT, EXACT[name], echoes=False).pdu == GOOD[1:-2]


@pytest.mark.parametrize("name", WRONG)
def test_nothing_else_is_the_answer(name: str) -> None:
    assert look(ASK, SENT, WRONG[name], echoes=False).pdu == b""


def test_a_refusal_is_an_answer() -> None:
    assert look(ASK, SENT, sealed(bytes((1, 0x83, 2))), echoes=False).pdu == b"\x83\2"


def test_the_echo_of_a_write_is_no_answer_on_a_line_that_echoes() -> None:
    order = question(1, Order(1, COIL, 0, (1,)).pdu)
    sent = sealed(bytes((1,)) + order.pdu)
    assert look(order, sent, sent, echoes=True).pdu == b""
    assert look(order, sent, sent + sent, echoes=True).pdu == order.pdu
    assert look(order, sent, sent, echoes=False).pdu == order.pdu


def test_the_echo_of_a_read_that_looks_like_its_answer_is_none() -> None:
    """24 bits have three bytes, and 3 is also the first byte of the address."""
    asked = read_question(1, "coil", 0x0300, 24)
    sent = sealed(bytes((1,)) + asked.pdu)
    answer = sealed(bytes((1, 1, 3, 0, 0, 0x18)))
    assert answer == sent
    assert look(asked, sent, sent, echoes=False).pdu == b""


# --- answers of no fixed length -----------------------------------------------------------------


IDENTIFICATION = bytes.fromhex("2b0e01010000020003") + b"ABC" + b"\x01\x02XY"


def test_an_answer_that_tells_its_length_is_read_to_its_end() -> None:
    ask = question(1, b"\x2b\x0e\x01\x00")
    whole = sealed(b"\1" + IDENTIFICATION)
    assert look(ask, b"", whole, echoes=False).pdu == IDENTIFICATION
    for end in range(len(whole)):
        assert look(ask, b"", whole[:end], echoes=False).pdu == b""
    ask = question(1, b"\x11")
    assert look(ask, b"", sealed(b"\1\x11\3abc"), echoes=False).pdu == b"\x11\3abc"


@given(st.binary(max_size=300))
def test_no_identification_harms(data: bytes) -> None:
    for pdu in (b"\x2b\x0e\x01\x00", b"\x11"):
        look(question(1, pdu), b"", b"\1" + pdu[:2] + data, echoes=False)
        frames = TcpFrames()
        sent = frames.ask(question(1, pdu))
        with suppress(WrongReply):
            frames.hear(sent[:4] + struct.pack(">HB", len(data) + 3, 1) + pdu[:2] + data)


def test_an_unknown_function_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="function 99"):
        question(1, b"\x63")


@given(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.lists(st.integers(0, 65535), min_size=1, max_size=125),
)
def test_cells_are_what_was_packed(bits: list[bool], registers: list[int]) -> None:
    packed = sum(1 << at for at, bit in enumerate(bits) if bit).to_bytes((len(bits) + 7) // 8, "little")
    assert list(cells_of(bytes((1, len(packed))) + packed))[: len(bits)] == bits
    words = struct.pack(f">{len(registers)}H", *registers)
    assert list(cells_of(bytes((3, len(words))) + words)) == registers


# --- frames on TCP ------------------------------------------------------------------------------


def tcp_answer(sent: bytes, pdu: bytes = GOOD[1:-2]) -> bytes:
    return sent[:4] + struct.pack(">HB", len(pdu) + 1, sent[6]) + pdu


@given(st.lists(st.integers(0, 13), max_size=6), st.integers(0, 3))
def test_an_answer_may_come_in_any_pieces_and_behind_older_ones(cuts: list[int], older: int) -> None:
    frames = TcpFrames()
    past = [tcp_answer(frames.ask(ASK)) for _ in range(older)]
    stream = b"".join(past) + tcp_answer(frames.ask(ASK))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    said = [frames.hear(stream[one:other]) for one, other in pairwise(edges)]
    assert said[-1] == GOOD[1:-2]
    assert not any(said[:-1])


@given(st.integers(0, 8), st.integers(0, 255))
def test_no_other_header_passes(at: int, byte: int) -> None:
    frames = TcpFrames()
    answer = bytearray(tcp_answer(frames.ask(ASK)))
    same = answer[at] == byte
    answer[at] = byte
    with suppress(WrongReply):
        assert bool(frames.hear(bytes(answer))) == same


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_an_answer_wrong_or_not_there_yet(pieces: list[bytes]) -> None:
    frames = TcpFrames()
    frames.ask(ASK)
    with suppress(WrongReply):
        for piece in pieces:
            assert frames.hear(piece) == b""


# --- names --------------------------------------------------------------------------------------


def names(gap: int = 8, most: int = 100) -> Names:
    return Names(Limits(most, gap), lambda unit: 1.0, lambda unit: 0.8)


def ask(of: Names, at: Block, now: float, pdu: bytes | None = None) -> Read:
    read = of.choose(at, now)
    of.asked(at, read, now)
    said = bytes((3, read.size)) + bytes(read.size) if pdu is None else pdu
    of.answered(at, read, said, now, 0.01)
    return read


def trusted(gap: int = 8) -> Names:
    of = names(gap)
    for at in range(CLEAN):
        ask(of, block(900, 20), 10.0 + at)
    assert of.trust is Trust.TRUSTED
    return of


def test_requests_that_differ_in_the_address_only_get_lengths_of_their_own() -> None:
    of, now = trusted(), 10_000.0
    for turn in range(50):
        sizes = [ask(of, block(start), now + turn * 0.1).size for start in (10, 30, 50, 70)]
        assert len(set(sizes)) == 4
    assert sorted(sizes) == [2, 4, 6, 8], "and no longer ones than that takes"


@pytest.mark.parametrize("state", ["new", "wary"])
def test_a_request_differs_from_its_last_time_on_a_line_that_is_not_trusted(state: str) -> None:
    of = names()
    if state == "wary":
        of.repeated()
    sizes = [ask(of, block(10), 1.0 + turn * 0.1).size for turn in range(30)]
    assert all(one != other for one, other in pairwise(sizes))


def test_a_request_whose_last_answer_is_long_ago_is_a_plain_one() -> None:
    of = names()
    of.repeated()
    assert {ask(of, block(10), 1.0 + 2.0 * turn).count for turn in range(30)} == {1}


def test_where_frames_are_repeated_no_name_comes_again_while_its_answer_may() -> None:
    of = names()
    of.repeated()
    now, last = 1.0, dict[tuple[int, int], float]()
    for turn in range(100):
        start = 10 + 20 * (turn % 2)
        read = of.choose(block(start), now)
        now += read.wait_s
        assert all(now - at > 0.799 for (size, _), at in last.items() if size == read.size)
        last[read.size, start] = now
        of.asked(block(start), read, now)
        of.answered(block(start), read, bytes((3, read.size)) + bytes(read.size), now, 0.01)
        now += 0.01


def test_blocks_share_the_names() -> None:
    of = names()
    of.repeated()
    for turn in range(20):
        sizes = [ask(of, block(10 * at), 1.0 + turn * 0.2).size for at in range(17)]
    assert len(set(sizes)) == 17


def test_a_trusted_line_is_read_plainly() -> None:
    of = trusted()
    assert {ask(of, block(10), 10_000.0 + at * 0.1).count for at in range(30)} == {1}


def test_trust_is_lost_at_the_first_frame_too_many() -> None:
    of = trusted()
    of.repeated()
    assert of.trust is Trust.WARY


def test_bits_are_named_by_bytes() -> None:
    of, now = trusted(), 10_000.0
    one = ask(of, block(0, 12, table="coil"), now, b"\1\2\0\0")
    other = of.choose(block(100, 12, table="coil"), now)
    assert (one.count, one.size) == (12, 2)
    assert (other.count, other.size) == (17, 3)


@pytest.mark.parametrize(
    ("start", "count", "most", "gap"), [(65_535, 1, 100, 8), (10, 100, 100, 8), (10, 1, 100, 0)]
)
def test_nothing_is_read_beyond_the_limits(start: int, count: int, most: int, gap: int) -> None:
    of = names(gap, most)
    assert {ask(of, block(start, count), at * 0.1).count for at in range(1, 20)} == {count}


def test_where_no_name_is_left_time_parts_the_requests() -> None:
    of = trusted(gap=0)
    of.repeated()
    ask(of, block(10), 10_000.0)
    assert of.choose(block(30), 10_000.3).wait_s == pytest.approx(0.5)
    assert of.choose(block(30), 10_001.1).wait_s == 0
    assert of.choose(block(10), 10_000.3).wait_s == 0


def test_on_another_line_the_answer_has_to_be_the_only_one() -> None:
    of = trusted(gap=0)
    ask(of, block(10), 10_000.0)
    read = of.choose(block(30), 10_000.0)
    assert (read.wait_s, read.is_alone) == (0, False)
    assert of.second_answer_s(1) == pytest.approx(0.02)
    assert of.choose(block(30), 10_001.1).is_alone


def test_what_another_said_is_doubtful_where_it_is_news() -> None:
    of, now = trusted(gap=0), 10_000.0
    ask(of, block(10), now, b"\3\2\0\5")
    ask(of, block(30), now + 0.1, b"\3\2\0\6")
    read = of.choose(block(30), now + 0.2)
    assert of.is_doubtful(block(30), read, b"\3\2\0\5", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\6", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\7", now + 0.2)
    assert not of.is_doubtful(block(30), read, b"\3\2\0\5", now + 1.2)


def test_zeros_everywhere_are_believed_after_the_first() -> None:
    of, now = trusted(gap=0), 10_000.0
    ask(of, block(10), now, b"\3\2\0\0")
    read = of.choose(block(30), now)
    assert of.is_doubtful(block(30), read, b"\3\2\0\0", now)
    ask(of, block(30), now, b"\3\2\0\0")
    assert not of.is_doubtful(block(30), read, b"\3\2\0\0", now)


def test_what_was_said_before_is_doubtful_on_a_line_that_is_not_trusted() -> None:
    of = names(gap=0)
    for at, said in enumerate((5, 6, 7)):
        ask(of, block(10), 1 + at * 0.1, bytes((3, 2, 0, said)))
    read = of.choose(block(10), 1.3)
    assert of.is_doubtful(block(10), read, b"\3\2\0\5", 1.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\7", 1.3)
    assert not of.is_doubtful(block(10), read, b"\3\2\0\x08", 1.3)


# --- connections ----------------------------------------------------------------------------------


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def host(talk: Talk) -> AsyncIterator[int]:
    """A listener on loopback; gives its port."""
    talks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.wait_for(asyncio.gather(*talks), 5)


@asynccontextmanager
async def linked(
    line: TcpLine | SerialLine | RtuTcpLine, gap: int = 8, **times: float
) -> AsyncIterator[Link]:
    manner = Manner(times.get("timeout_s", 0.1), times.get("worst_s", 0.1), times.get("delay_s", 0.0), None)
    link = Link("plc", line, lambda unit: manner, lambda: None, Counts(), Limits(100, gap))
    await link.open()
    try:
        yield link
    finally:
        link.close()


def tcp(port: int) -> TcpLine:
    return TcpLine("127.0.0.1", port)


def honest_pdu(request: bytes) -> bytes:
    """Each register holds its own address plus 1,000."""
    function, start, count = struct.unpack(">BHH", request)
    return struct.pack(f">BB{count}H", function, 2 * count, *range(1000 + start, 1000 + start + count))


def cells(answer: Reply | Refused) -> list[int]:
    assert isinstance(answer, Reply)
    return [int(cell) for cell in answer.cells]


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
    timers = [row[5] for row in rows if row[2].endswith(f":{port:04X}")]
    assert len(timers) == 1
    assert timers[0].startswith("02:"), "the timer of keep-alive, by proc(5)"


# --- RTU, over TCP and on a port ------------------------------------------------------------------


def rtu_talk(answer: Callable[[bytes], bytes]) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readexactly(8):
            writer.write(answer(asked))

    return talk


def honest(asked: bytes) -> bytes:
    return sealed(asked[:1] + honest_pdu(asked[1:6]))


def over_tcp(port: int) -> RtuTcpLine:
    return RtuTcpLine("127.0.0.1", port, 19_200, "even", 1)


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
    assert len(beyond) == 1


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
        assert link.counts.of(1).repeats == 9


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
