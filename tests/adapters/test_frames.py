"""Bytes to frames: any bytes, any chunks, any pauses."""

import gc
import random
import re
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters._frames import (
    BEGUN_AGAIN,
    DAMAGED,
    DOUBTFUL,
    HUNG_UP,
    NO_END,
    NO_TRAILER,
    NOISE,
    TOO_LONG,
    Frame,
    Framer,
    Framing,
    shown,
)

IDLE_S = 0.3
LONGEST = 12
ENDS = (b"\r", b"\n")
CUT = NO_END.format(idle_ms=300)
STX, ETX, EOT, ENQ, ACK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06"
RIG = Framing((ETX,), LONGEST, IDLE_S, begin=STX, trailer=2, singles=ENQ + EOT)
PAUSE_ENDS = Framing((), LONGEST, IDLE_S)

# Few different bytes and lengths near the limit, so that all of them meet.
PIECES = [b"\r", b"\n", b"\r\n", b"a", b"\0", b"b" * (LONGEST - 1), b"c" * LONGEST, b"d" * (LONGEST + 1)]
streams = (
    st.binary(max_size=80)
    | st.lists(st.sampled_from(b"ab\r\n\x1d\0"), max_size=80).map(bytes)
    | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)
)
one_end = st.lists(st.sampled_from(b"a\r\n"), min_size=1, max_size=3).map(bytes)
some_ends = st.lists(one_end, min_size=1, max_size=3, unique=True)
sizes = st.lists(st.integers(1, 9), max_size=30)


def simple(ends: Sequence[bytes] = ENDS, longest: int = LONGEST) -> Framer:
    return Framer(Framing(ends, longest, IDLE_S))


def read(framer: Framer, *chunks: bytes, at_s: float = 1.0) -> list[Frame]:
    """All frames of what is read at once, without their ends."""
    found = [frame for chunk in chunks for frame in framer.feed(chunk, at_s)]
    return [Frame(one.raw, one.broken, one.trailer, kind=one.kind) for one in found]


def whole(stream: bytes, ends: tuple[bytes, ...]) -> tuple[list[Frame], list[Frame]]:
    """All frames of a stream that is read at once, and those that a pause after it adds."""
    *pieces, rest = re.split(b"|".join(map(re.escape, ends)), stream)
    frames = [_frame(piece) for piece in pieces if piece]
    overlap = max(map(len, ends)) - 1
    if len(rest) > LONGEST + overlap:
        return [*frames, _frame(rest)], []
    return frames, [Frame(rest[:LONGEST], CUT)] if rest else []


def _frame(piece: bytes) -> Frame:
    if len(piece) > LONGEST:
        return Frame(piece[:LONGEST], TOO_LONG.format(longest=LONGEST))
    return Frame(piece, DAMAGED if b"\0" in piece else "")


def chunked(stream: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(stream[:size])
        stream = stream[size:]
    return [*chunks, stream]


# --- ends ---


@given(streams, sizes, some_ends)
def test_any_bytes_in_any_chunks_give_the_same_frames(
    stream: bytes, sizes: list[int], ends: list[bytes]
) -> None:
    assume(all(sum(one in other for other in ends) == 1 for one in ends))
    framer = simple(ends)
    expected, after_a_pause = whole(stream, tuple(ends))
    assert read(framer, *chunked(stream, sizes)) == expected
    assert framer.expire(1.0 + IDLE_S) == after_a_pause
    assert not framer.unfinished


@given(st.lists(st.tuples(streams, sizes), max_size=6))
def test_nothing_merges_across_a_pause(bursts: list[tuple[bytes, list[int]]]) -> None:
    framer = simple()
    frames: list[Frame] = []
    expected: list[Frame] = []
    for at, (stream, burst_sizes) in enumerate(bursts):
        frames += read(framer, *chunked(stream, burst_sizes), at_s=float(at))
        frames += framer.expire(at + 0.5)
        expected += [frame for part in whole(stream, ENDS) for frame in part]
    assert frames == expected


def test_the_end_that_was_found_is_told() -> None:
    assert [one.end for one in simple((b"\x03", b"\x17")).feed(b"a\x17b\x03", 1.0)] == [b"\x17", b"\x03"]


def test_a_pause_that_was_not_watched_spoils_the_frame_and_only_that() -> None:
    framer = simple()
    assert read(framer, b"AB") == []
    assert read(framer, b"C\rNEXT\r", at_s=1.0 + IDLE_S) == [Frame(b"AB", DOUBTFUL), Frame(b"NEXT")]


def test_the_tail_of_a_long_frame_is_no_frame_even_in_two_parts() -> None:
    framer = simple((b"\r\n",), 4)
    assert read(framer, b"ABCDEF") == [Frame(b"ABCD", TOO_LONG.format(longest=4))]
    assert read(framer, b"GH\r") == []
    assert read(framer, b"\nOK\r\n") == [Frame(b"OK")]


def test_after_a_long_frame_a_pause_begins_afresh_without_a_second_report() -> None:
    framer = simple(longest=4)
    assert len(read(framer, b"ABCDEF")) == 1
    assert framer.unfinished
    assert framer.expire(1.0 + IDLE_S) == []
    assert read(framer, b"OK\r", at_s=2.0) == [Frame(b"OK")]


def test_an_early_look_gives_nothing_up() -> None:
    framer = simple()
    read(framer, b"AB")
    assert framer.expire(1.0 + IDLE_S / 2) == []
    assert read(framer, b"C\r", at_s=1.2) == [Frame(b"ABC")]


def test_a_line_joined_in_the_middle_loses_its_first_frame() -> None:
    framer = simple()
    framer.skip()
    assert read(framer, b"TAIL\rWHOLE\r") == [Frame(b"WHOLE")]


# --- begin, trailer, singles ---

TEXTS = st.binary(max_size=LONGEST).map(lambda raw: re.sub(rb"[\x00-\x05]", b"x", raw))
REST = st.binary(min_size=2, max_size=2)


def _cut_short(text: bytes) -> list[Frame]:
    return [Frame(text, BEGUN_AGAIN)] if text else []


rig_parts = st.one_of(
    st.tuples(TEXTS, REST).map(lambda one: (STX + one[0] + ETX + one[1], [Frame(one[0], "", one[1])])),
    st.sampled_from([ENQ, EOT]).map(lambda one: (one, [Frame(one, kind="single")])),
    st.sampled_from([b"\r\n", b"\n", b""]).map(lambda one: (one, [])),
    TEXTS.map(lambda cut: (STX + cut + STX + ETX + b"zz", [*_cut_short(cut), Frame(b"", "", b"zz")])),
    st.just((STX + b"ab\0" + ETX + b"zz", [Frame(b"ab\0", DAMAGED)])),
    st.just((STX + b"y" * 20 + ETX + STX + ETX, [Frame(b"y" * 12, TOO_LONG.format(longest=12))])),
)


@given(st.lists(rig_parts, max_size=5), sizes)
def test_a_rigs_frames_are_found_whatever_their_trailers_hold(
    parts: list[tuple[bytes, list[Frame]]], sizes: list[int]
) -> None:
    stream, expected = b"", list[Frame]()
    for data, frames in parts:
        stream += data
        expected += frames
    assert read(Framer(RIG), *chunked(stream, sizes)) == expected


SHAPES = [
    RIG, PAUSE_ENDS,
    Framing(ENDS, LONGEST, IDLE_S, singles=ENQ),
    Framing(ENDS, LONGEST, IDLE_S, trailer=3),
    Framing((b"\r\n",), LONGEST, IDLE_S, begin=b"]d"),
    Framing((b"\r\n",), LONGEST, IDLE_S, begin=b"\x10\x02", trailer=1, singles=ACK),
    Framing((), LONGEST, IDLE_S, begin=STX, singles=EOT),
]  # fmt: skip
hostile = st.lists(
    st.sampled_from(
        [STX, ETX, ENQ, EOT, ACK, b"\r", b"\n", b"\x10", b"]", b"d", b"\0", b"abc", b"x" * 13, b"x" * 12]
    ),
    max_size=40,
).map(b"".join) | st.binary(max_size=120)


@pytest.mark.parametrize("shape", SHAPES)
@given(stream=hostile, sizes=sizes, joined=st.booleans())
def test_chunks_mean_nothing_in_any_shape(
    shape: Framing, stream: bytes, sizes: list[int], joined: bool
) -> None:
    found = []
    for chunks in ([stream], chunked(stream, sizes), [bytes([one]) for one in stream]):
        framer = Framer(shape)
        if joined:
            framer.skip()
        frames = [frame for chunk in chunks for frame in framer.feed(chunk, 1.0)]
        found.append((frames, framer.expire(1.0 + IDLE_S)))
        assert not framer.unfinished
    assert found[0] == found[1] == found[2]
    for frame in found[0][0] + found[0][1]:
        assert len(frame.raw) <= LONGEST
        assert frame.broken or frame.kind == "single" or len(frame.trailer) == shape.trailer


def test_bytes_outside_of_a_frame_are_noise_but_line_ends_are_not() -> None:
    framer = Framer(RIG)
    assert read(framer, b"\r\n" + STX + b"ok" + ETX + b"12\r\n" + ENQ) == [
        Frame(b"ok", "", b"12"), Frame(ENQ, kind="single"),
    ]  # fmt: skip
    assert read(framer, b"??\r\n" + STX) == [Frame(b"??", NOISE, kind="noise")]


def test_noise_without_an_end_is_told_once_and_ends_at_the_next_begin() -> None:
    framer = Framer(RIG)
    assert read(framer, b"n" * 500) == [Frame(b"n" * LONGEST, NOISE, kind="noise")]
    assert read(framer, b"n" * 500 + ENQ) == []
    assert read(framer, STX + b"ok" + ETX + b"12") == [Frame(b"ok", "", b"12")]


def test_noise_before_a_pause_is_told() -> None:
    framer = Framer(RIG)
    assert read(framer, b"??") == []
    assert framer.expire(2.0) == [Frame(b"??", NOISE, kind="noise")]


def test_a_trailer_that_does_not_come_is_a_cut_frame() -> None:
    framer = Framer(RIG)
    assert read(framer, STX + b"ok" + ETX + b"1") == []
    assert framer.expire(2.0) == [Frame(b"ok", NO_TRAILER.format(count=1, trailer=2))]
    assert read(framer, b"2" + STX + b"ok" + ETX + b"12", at_s=3.0) == [
        Frame(b"2", NOISE, kind="noise"), Frame(b"ok", "", b"12"),
    ]  # fmt: skip


def test_a_hang_up_gives_up_whatever_is_held() -> None:
    for held, raw in ((STX + b"ok", b"ok"), (STX + b"ok" + ETX + b"1", b"ok"), (STX, b"")):
        framer = Framer(RIG)
        read(framer, held)
        assert framer.abandon(HUNG_UP) == [Frame(raw, HUNG_UP)]
        assert framer.abandon(HUNG_UP) == []


def test_a_begin_that_can_be_printed_is_a_part_of_the_text_inside() -> None:
    framer = Framer(Framing((b"\r",), LONGEST, IDLE_S, begin=b"P"))
    assert read(framer, b"PAPP\r") == [Frame(b"APP")]


def test_a_single_inside_of_a_frame_is_text() -> None:
    framer = Framer(Framing(ENDS, LONGEST, IDLE_S, singles=EOT))
    assert read(framer, EOT + b"a" + EOT + b"\r") == [Frame(EOT, kind="single"), Frame(b"a" + EOT)]


# --- a pause as the end ---


@given(st.lists(st.binary(min_size=1, max_size=LONGEST), max_size=6), sizes)
def test_a_pause_ends_a_frame_where_nothing_else_does(labels: list[bytes], sizes: list[int]) -> None:
    framer, frames = Framer(PAUSE_ENDS), list[Frame]()
    for at, one in enumerate(labels):
        frames += read(framer, *chunked(one, sizes), at_s=float(at))
        frames += framer.expire(at + 0.5)
    assert frames == [Frame(one, DAMAGED if b"\0" in one else "") for one in labels]


def test_where_a_pause_is_the_end_one_that_nobody_saw_is_doubtful() -> None:
    framer = Framer(PAUSE_ENDS)
    assert framer.feed(b"one+two", 1.0, blind=True) == [Frame(b"one+two", DOUBTFUL)]
    assert framer.feed(b"rest", 1.1) == []
    assert framer.expire(1.5) == []
    assert framer.feed(b"three", 2.0) == []
    assert framer.expire(2.5) == [Frame(b"three")]


def test_too_long_without_a_pause_is_cut_and_its_tail_is_none() -> None:
    framer = Framer(PAUSE_ENDS)
    assert read(framer, b"z" * 13, b"z" * 99) == [Frame(b"z" * 12, TOO_LONG.format(longest=12))]
    assert framer.expire(2.0) == []


# --- cost ---


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_megabytes_without_an_end_cost_no_memory(shape: Framing) -> None:
    framer = Framer(shape)
    block = b"x" * 4096
    framer.feed((shape.begin or b"") + b"x", 1.0)
    tracemalloc.start()
    try:
        for _ in range(500):
            framer.feed(block, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


@given(st.binary(max_size=400))
def test_what_is_shown_is_one_bounded_printable_line(raw: bytes) -> None:
    text = shown(raw)
    assert text.isprintable()
    assert text.isascii()
    assert len(text) < 700
    if len(raw) <= 160:
        assert text.encode("ascii").decode("unicode_escape").encode("latin-1") == raw


ALPHABET = [STX, ETX, ENQ, EOT, ACK, b"\r", b"\n", b"\x10", b"]d", b"\0", b"ab", b"x" * 20, b"x" * 200]


def cost_s(framer: Framer, data: bytes, now_s: float) -> float:
    """Of one input; again, twice at the most, where it was long, for the machine has other things to do."""
    costs_s = list[float]()
    while len(costs_s) < 3 and min(costs_s, default=1.0) > 0.001:
        begun_s = time.thread_time()
        framer.feed(data, now_s)
        costs_s.append(time.thread_time() - begun_s)
    return min(costs_s)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_a_million_inputs_cost_a_millisecond_at_the_most_and_no_memory(shape: Framing) -> None:
    framer = Framer(Framing(shape.ends, 512, IDLE_S, shape.begin, shape.trailer, shape.singles))
    dice = random.Random(4711)
    inputs = [b"".join(dice.choices(ALPHABET, k=dice.randint(1, 40))) for _ in range(5_000)]
    gc.collect()
    gc.disable()  # a collection of the whole suite's garbage is not the framer's cost
    try:
        costs_s = [cost_s(framer, data, turn + dice.random()) for turn in range(200) for data in inputs]
        tracemalloc.start()
        for data in inputs:
            framer.feed(data, 500.0)
        settled = tracemalloc.get_traced_memory()[0]
        for data in inputs * 4:
            framer.feed(data, 501.0)
        grown = tracemalloc.get_traced_memory()[0] - settled
    finally:
        tracemalloc.stop()
        gc.enable()
    assert len(costs_s) == 1_000_000
    assert max(costs_s) < 0.001
    assert grown < 64 * 1024
