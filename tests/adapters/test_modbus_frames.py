"""What is taken for an answer: frames on a serial line and on TCP."""

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from adapters._modbus import library
from adapters._modbus.frames import WrongReply, cells_of, question, read_question
from adapters._modbus.orders import COIL, Order
from adapters._modbus.rtu import is_sealed, look, sealed
from adapters._modbus.tcp import TcpFrames
from tests.adapters.modbus_bad_bus import crc as crc_by_bits
from tests.adapters.modbus_talk import ASK, GOOD, IDENTIFICATION, OTHER, SENT, tcp_answer

# --- on a serial line


@given(st.binary(max_size=300))
def test_the_checksum_is_the_standards(data: bytes) -> None:
    assert sealed(data)[-2:] == crc_by_bits(data)
    assert is_sealed(sealed(data))
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


# --- answers of no fixed length


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


# --- on TCP


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


def test_an_older_answer_may_begin_with_a_single_byte() -> None:
    frames = TcpFrames()
    for _ in range(300):
        older, answer = tcp_answer(frames.ask(ASK)), tcp_answer(frames.ask(ASK))
        assert frames.hear(older[:1]) == b""
        assert frames.hear(older[1:] + answer) == GOOD[1:-2]


# --- what pymodbus has ready ----------------------------------------------------------------------


def test_requests_are_the_standards_own() -> None:
    """The examples of "MODBUS Application Protocol V1.1b3", section 6."""
    examples = {
        library.read(1, 0x13, 0x13): "0100130013",
        library.read(2, 0xC4, 0x16): "0200c40016",
        library.read(3, 0x6B, 3): "03006b0003",
        library.read(4, 8, 1): "0400080001",
        library.write(5, 0xAC, (1,)): "0500acff00",
        library.write(6, 1, (3,)): "0600010003",
        library.write(15, 0x13, (1, 0, 1, 1, 0, 0, 1, 1, 1, 0)): "0f0013000a02cd01",
        library.write(16, 1, (10, 0x102)): "100001000204000a0102",
        library.write(22, 4, (0xF2, 0x25)): "16000400f20025",
        library.identify(1, 0): "2b0e0100",
    }
    assert {pdu.hex(): hexes for pdu, hexes in examples.items()} == {one: one for one in examples.values()}


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5), st.data())
def test_an_identification_is_read_whole_or_not_at_all(
    found: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    answer = b"\x2b\x0e\x01\x83\xff\x09" + bytes((len(found),))
    answer += b"".join(bytes((at, len(text))) + text for at, text in found)
    said = library.identification(answer)
    assert said.following == 9
    assert said.objects == dict(reversed(found))
    end = data.draw(st.integers(0, len(answer)))
    part = library.identification(answer[:end]).objects
    assert all(said.objects.get(at) is not None for at in part)
    assert sum(2 + len(text) for text in part.values()) <= max(0, end - 7)


def test_what_another_frame_holds_is_no_answer() -> None:
    """A text in registers can look like a frame; behind a byte of noise its own frame is not at the start."""
    inner = sealed(bytes((1, 3, 2, 0x42, 0x42)))
    outer = sealed(bytes((1, 3, 8)) + b"A" + inner)
    one = read_question(1, "holding", 50, 1)
    for noise in range(17):
        assert look(one, b"", bytes(noise) + outer, echoes=False).pdu == b""
