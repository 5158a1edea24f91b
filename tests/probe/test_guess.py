"""Framing, checksums, rates and formats, guessed from recorded bytes: tables and properties."""

import asyncio
import time
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters._probe_frames import Guess, guess, only_asks
from adapters._probe_wire import RATES, Chunk, Rate, Tried, hunted, judged
from adapters._rig_checksum import Checksum, Framed, written
from adapters._testrig_probe import propose
from simulators.labels import label


def said(*messages: bytes, every_s: float = 1.0) -> list[Chunk]:
    return [Chunk(at * every_s, one) for at, one in enumerate(messages)]


def guessed(chunks: Sequence[Chunk]) -> Guess:
    found = guess(chunks)
    assert found is not None
    return found


LABELS = [label("J", "WO-1042-10").encode(), label("C", "START").encode(), label("Q", "5").encode()]


# --- framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "keys"),
    [
        (b"", b"\r", {}),
        (b"", b"\n", {}),
        (b"", b"\r\n", {}),
        (b"", b"\t", {"end": "\t"}),
        (b"", b"\x03", {"end": "\x03"}),
        (b"\x02", b"\x03", {"begin": "\x02", "end": "\x03"}),
        (b"\x02", b"\x03\r\n", {"begin": "\x02", "end": "\x03"}),
        (b"\x02", b"\r", {"begin": "\x02"}),
        (b"", b"", {"end": "idle", "idle": "200ms"}),
    ],
)
def test_each_framing_is_found(begin: bytes, end: bytes, keys: dict[str, Any]) -> None:
    found = guessed(said(*(begin + one + end for one in LABELS)))
    assert found.keys == keys
    assert found.texts == LABELS
    assert not found.broken


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "xor"},
        {"kind": "xor", "covers": ["begin", "text", "end"]},
        {"kind": "sum8", "written": "hex"},
        {"kind": "sum8-complement", "covers": ["text"]},
        {"kind": "crc16-modbus", "order": "little"},
        {"kind": "crc16-x25", "written": "hex"},
        {"kind": "crc16-ccitt-false", "covers": ["text"]},
    ],
)
def test_the_checksum_behind_etx_is_named(table: dict[str, Any]) -> None:
    checksum = Checksum.model_validate(table)
    texts = [f"unit=U-{number};program=LEAK;result=PASS".encode() for number in range(1, 9)]
    frames = [
        b"\x02" + one + b"\x03" + written(checksum, Framed(b"\x02", one, b"\x03", b"")) for one in texts
    ]
    found = guessed(said(*frames))
    assert found.checksum == table
    assert found.keys == {"begin": "\x02", "end": "\x03"}
    assert found.texts == texts


def test_one_frame_proves_no_checksum() -> None:
    found = guessed(said(b"\x02HELLO\x03" + bytes([reduce(xor, b"HELLO\x03")])))
    assert (found.checksum, found.keys["trailer"]) == ({}, 1)
    assert "Two different frames are needed" in found.words[1]


def test_bytes_behind_etx_that_no_checksum_explains_are_kept_apart() -> None:
    found = guessed(said(b"\x02ABC\x03!7", b"\x02DEF\x03xz", b"\x02GHI\x03QQ"))
    assert (found.checksum, found.keys["trailer"], found.texts) == ({}, 2, [b"ABC", b"DEF", b"GHI"])


def test_a_device_that_only_asks_has_said_nothing_yet() -> None:
    asked = said(b"\x05", b"\x05", b"\x05\x04")
    assert guess(asked) is None
    assert only_asks(asked)
    assert not only_asks(said(b"\x05A"))


def test_a_frame_in_pieces_is_one() -> None:
    chunks = [Chunk(0.0, b"$CO"), Chunk(0.02, b"NE"), Chunk(0.04, b"\r"), Chunk(1.0, b"$CTWO\r")]
    assert guessed(chunks).texts == [b"$CONE", b"$CTWO"]


@given(st.lists(st.tuples(st.floats(0, 3), st.binary(min_size=1, max_size=40)), min_size=1, max_size=20))
@example([(0.0, b"\x02\x03")])
@example([(0.0, b"\x05")])
@example([(0.0, b"\x00" * 40)])
def test_whatever_is_heard_is_guessed_or_not_and_nothing_escapes(heard: list[tuple[float, bytes]]) -> None:
    at_s, chunks = 0.0, []
    for pause_s, data in heard:
        at_s += pause_s
        chunks.append(Chunk(at_s, data))
    found = guess(chunks)
    if found is not None:
        propose(found)


@given(st.text(max_size=60), st.sampled_from([";", ",", "|", " ", "\t"]))
def test_whatever_a_line_says_is_read_or_not(text: str, separator: str) -> None:
    line = text.replace("\r", "").replace("\n", "").encode("utf-8", "replace") or b"-"
    found = guess(said(line + b"\r", line + separator.encode() + b"1=2\r"))
    if found is not None:
        propose(found)


@pytest.mark.parametrize(
    "line", [b"a=1;b=2\r", b"\x02AB\x03x", b"=\r", b"\x02", b"[", b"\r", b"A1,0.2,PASS\r\n"]
)
def test_a_device_that_never_stops_is_judged_in_seconds(line: bytes) -> None:
    data = line * (200_000 // len(line))
    begun_s = time.monotonic()
    found = guess([Chunk(at / 100_000, data[at : at + 1000]) for at in range(0, len(data), 1000)])
    if found is not None:
        propose(found)
    assert time.monotonic() - begun_s < 20


# --- the rate -----------------------------------------------------------------------------------------


def seven(text: bytes, odd: bool) -> bytes:
    """As a port with 8 bits and no parity hears 7 bits with one."""
    return bytes(byte | 0x80 if byte.bit_count() % 2 != odd else byte for byte in text)


@pytest.mark.parametrize(
    ("data", "rate"),
    [
        (LABELS[0] + b"\r", Rate()),
        (seven(LABELS[0] + b"\r", odd=False), Rate(9600, 7, "even")),
        (seven(LABELS[0] + b"\r", odd=True), Rate(9600, 7, "odd")),
    ],
)
def test_seven_bits_are_told_from_eight(data: bytes, rate: Rate) -> None:
    tried = judged(Rate(), data)
    assert (tried.rate, tried.makes_sense) == (rate, True)


@pytest.mark.parametrize("data", [b"", b"$CO", b"\x00\x80\x00\xf8\x00\x00\x80\x00", bytes(range(0x80, 0xA0))])
def test_noise_and_silence_make_no_sense(data: bytes) -> None:
    assert not judged(Rate(), data).makes_sense


async def test_rates_are_tried_until_one_makes_sense() -> None:
    told: list[Tried] = []

    async def heard_at(rate: Rate) -> bytes:
        await asyncio.sleep(0)
        return LABELS[0] if rate.baud == 19_200 else b"\x00\xf8" * 8

    rate, tries = await hunted(heard_at, told.append)
    assert rate == Rate(19_200)
    assert [one.rate.baud for one in tries] == [9600, 115_200, 19_200]
    assert told == tries


async def test_where_none_makes_sense_all_were_tried() -> None:
    async def heard_at(rate: Rate) -> bytes:
        await asyncio.sleep(0)
        return b"\xfe" * 20

    rate, tries = await hunted(heard_at, lambda tried: None)
    assert rate is None
    assert [one.rate for one in tries] == list(RATES)
