"""Bytes to frames: any bytes, any chunks, any pauses."""

import re
import tracemalloc

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters._serial_frames import DAMAGED, DOUBTFUL, NO_END, TOO_LONG, Frame, Framer, shown

IDLE_S = 0.3
LONGEST = 12
ENDS = (b"\r", b"\n")

# Few different bytes and lengths near the limit, so that all of them meet.
PIECES = [b"\r", b"\n", b"\r\n", b"a", b"\0", b"b" * (LONGEST - 1), b"c" * LONGEST, b"d" * (LONGEST + 1)]
streams = (
    st.binary(max_size=80)
    | st.lists(st.sampled_from(b"ab\r\n\x1d\0"), max_size=80).map(bytes)
    | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join)
)
one_end = st.lists(st.sampled_from(b"a\r\n"), min_size=1, max_size=3).map(bytes)
some_ends = st.lists(one_end, min_size=1, max_size=3, unique=True)


def whole(stream: bytes, ends: tuple[bytes, ...]) -> tuple[list[Frame], list[Frame]]:
    """All frames of a stream that is read at once, and those that a pause after it adds."""
    *pieces, rest = re.split(b"|".join(map(re.escape, ends)), stream)
    frames = [_frame(piece) for piece in pieces if piece]
    overlap = max(map(len, ends)) - 1
    if len(rest) > LONGEST + overlap:
        return [*frames, _frame(rest)], []
    return frames, [Frame(rest[:LONGEST], NO_END.format(idle_ms=300))] if rest else []


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


sizes = st.lists(st.integers(1, 9), max_size=30)


@given(streams, sizes, some_ends)
def test_any_bytes_in_any_chunks_give_the_same_frames(
    stream: bytes, sizes: list[int], ends: list[bytes]
) -> None:
    assume(all(sum(one in other for other in ends) == 1 for one in ends))
    framer = Framer(ends, LONGEST, IDLE_S)
    frames = [frame for chunk in chunked(stream, sizes) for frame in framer.feed(chunk, 1.0)]
    expected, after_a_pause = whole(stream, tuple(ends))
    assert frames == expected
    assert framer.expire(1.0 + IDLE_S) == after_a_pause
    assert not framer.unfinished


@given(st.lists(st.tuples(streams, sizes), max_size=6))
def test_nothing_merges_across_a_pause(bursts: list[tuple[bytes, list[int]]]) -> None:
    framer = Framer(ENDS, LONGEST, IDLE_S)
    frames: list[Frame] = []
    expected: list[Frame] = []
    for at, (stream, burst_sizes) in enumerate(bursts):
        for chunk in chunked(stream, burst_sizes):
            frames += framer.feed(chunk, float(at))
        frames += framer.expire(at + 0.5)
        expected += [frame for part in whole(stream, ENDS) for frame in part]
    assert frames == expected


def test_a_pause_that_was_not_watched_spoils_the_frame_and_only_that() -> None:
    framer = Framer(ENDS, LONGEST, IDLE_S)
    assert framer.feed(b"AB", 1.0) == []
    assert framer.feed(b"C\rNEXT\r", 1.0 + IDLE_S) == [Frame(b"AB", DOUBTFUL), Frame(b"NEXT")]


def test_the_tail_of_a_long_frame_is_no_frame_even_in_two_parts() -> None:
    framer = Framer((b"\r\n",), 4, IDLE_S)
    assert framer.feed(b"ABCDEF", 1.0) == [Frame(b"ABCD", TOO_LONG.format(longest=4))]
    assert framer.feed(b"GH\r", 1.0) == []
    assert framer.feed(b"\nOK\r\n", 1.0) == [Frame(b"OK")]


def test_after_a_long_frame_a_pause_begins_afresh_without_a_second_report() -> None:
    framer = Framer(ENDS, 4, IDLE_S)
    assert len(framer.feed(b"ABCDEF", 1.0)) == 1
    assert framer.unfinished
    assert framer.expire(1.0 + IDLE_S) == []
    assert framer.feed(b"OK\r", 2.0) == [Frame(b"OK")]


def test_an_early_look_gives_nothing_up() -> None:
    framer = Framer(ENDS, LONGEST, IDLE_S)
    framer.feed(b"AB", 1.0)
    assert framer.expire(1.0 + IDLE_S / 2) == []
    assert framer.feed(b"C\r", 1.2) == [Frame(b"ABC")]


def test_a_line_joined_in_the_middle_loses_its_first_frame() -> None:
    framer = Framer(ENDS, LONGEST, IDLE_S)
    framer.skip()
    assert framer.feed(b"TAIL\rWHOLE\r", 1.0) == [Frame(b"WHOLE")]


def test_ten_megabytes_without_an_end_cost_no_memory() -> None:
    framer = Framer((b"\r\n",), 512, IDLE_S)
    block = b"x" * 4096
    tracemalloc.start()
    try:
        for _ in range(2500):
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
