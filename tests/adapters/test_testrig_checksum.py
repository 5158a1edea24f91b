"""Checksums: against published figures, one changed byte, and how they are written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._rig_checksum import MARKED, Checksum, Framed, Kind, checked, compute, has_mark, written
from adapters._rig_messages import Broken

# The published check values of the CRC catalogue: the CRC of the nine characters 123456789.
CRCS: list[tuple[Kind, int]] = [
    ("crc16-modbus", 0x4B37), ("crc16-arc", 0xBB3D), ("crc16-ccitt-false", 0x29B1), ("crc16-xmodem", 0x31C3),
    ("crc16-kermit", 0x2189), ("crc16-x25", 0x906E), ("crc16-aug-ccitt", 0xE5CC),
]  # fmt: skip
KINDS: list[Kind] = ["xor", "sum8", "sum8-complement", *(kind for kind, _ in CRCS)]


@pytest.mark.parametrize(("kind", "value"), CRCS)
def test_a_crc_is_that_of_the_catalogue(kind: Kind, value: int) -> None:
    assert compute(kind, b"123456789") == value


def test_sums_are_those_of_their_protocols() -> None:
    assert compute("xor", b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == 0x47
    # Modbus ASCII: unit 1, function 3, address 0, one register, LRC FB.
    assert compute("sum8-complement", bytes.fromhex("010300000001")) == 0xFB
    assert compute("sum8", b"\xff\x02") == 1


def made(**keys: Any) -> Checksum:
    return Checksum.model_validate(keys)


def framed(checksum: Checksum, text: bytes) -> Framed:
    """A frame as a rig would send it."""
    bare = Framed(b"\x02", text, b"\x03", b"")
    found = written(checksum, bare)
    if checksum.at == "trailer":
        return bare._replace(trailer=found)
    return bare._replace(text=text + checksum.mark.encode() + found)


checksums = st.builds(
    lambda kind, how, order, place, mark: made(
        kind=kind, written=how, at=place,
        order=order if kind.startswith("crc") else "big", mark=mark if place == "tail" else "",
    ),
    st.sampled_from(KINDS), st.sampled_from(["binary", "hex"]), st.sampled_from(["big", "little"]),
    st.sampled_from(["trailer", "tail"]), st.sampled_from(["", "*", ":"]),
)  # fmt: skip


@given(checksums, st.binary(max_size=60))
def test_what_is_written_is_believed(checksum: Checksum, text: bytes) -> None:
    frame = framed(checksum, text)
    assert checked(checksum, frame) == text
    assert len(frame.trailer) == checksum.trailer()


@given(checksums, st.binary(min_size=1, max_size=60), st.data())
def test_one_changed_byte_is_broken(checksum: Checksum, text: bytes, data: st.DataObject) -> None:
    frame = framed(checksum, text)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = bytearray(frame.text)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Broken) as caught:
        checked(checksum, frame._replace(text=bytes(changed)))
    assert str(caught.value).isprintable()


@given(checksums, st.binary(max_size=20), st.binary(max_size=4))
def test_any_bytes_are_believed_or_broken_in_words(checksum: Checksum, text: bytes, trailer: bytes) -> None:
    try:
        checked(checksum, Framed(b"", text, b"\r", trailer))
    except Broken as error:
        said = str(error)
        assert said.isprintable()
        assert "checksum" in said


def test_how_two_bytes_are_written() -> None:
    bare = Framed(b"", b"123456789", b"", b"")
    modbus = {"kind": "crc16-modbus", "covers": ["text"]}
    assert written(made(**modbus), bare) == b"\x4b\x37"
    assert written(made(**modbus, order="little"), bare) == b"\x37\x4b"
    assert written(made(**modbus, order="little", written="hex"), bare) == b"374B"


def test_hexadecimal_digits_may_be_small() -> None:
    assert checked(MARKED, Framed(b"", b"A*41", b"", b"")) == b"A"
    lower = made(kind="crc16-modbus", written="hex", covers=["text"])
    assert checked(lower, Framed(b"", b"123456789", b"\x03", b"4b37")) == b"123456789"


def test_a_leak_testers_sum_runs_from_its_hash_to_its_colon() -> None:
    """Cosmo LS-R700: `#` ... `:` GG CR, the two's complement of the sum of all from `#` to `:`."""
    checksum = made(
        kind="sum8-complement", written="hex", at="tail", mark=":", covers=["begin", "text", "mark"]
    )
    body = b"#01 00 2 +000.012 :"
    frame = Framed(b"#", body[1:] + b"%02X" % (-sum(body) & 0xFF), b"\r", b"")
    assert checked(checksum, frame) == body[1:-1]


def test_what_is_covered() -> None:
    parts = {"begin": b"\x02", "text": b"T", "mark": b"*", "end": b"\x03"}
    bare = Framed(b"\x02", b"T", b"\x03", b"")
    assert written(made(kind="xor"), bare) == bytes([ord("T") ^ 3])
    assert written(made(kind="xor", at="tail"), bare) == b"T"
    assert written(made(kind="xor", covers=["begin", "text", "end"]), bare) == bytes([2 ^ ord("T") ^ 3])
    covers = made(kind="sum8", at="tail", mark="*", covers=["mark", "begin"])
    assert written(covers, bare) == bytes([parts["mark"][0] + 2])


def test_a_mark_is_known() -> None:
    assert has_mark(MARKED, b"A*4F")
    assert not any(has_mark(MARKED, text) for text in (b"A*4", b"A*4G", b"A4F", b"*F", b""))
    with pytest.raises(Broken, match=r"the checksum \*HH is missing"):
        checked(MARKED, Framed(b"", b"A*4", b"", b""))


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "crc"}, {"kind": "xor", "order": "little"}, {"kind": "xor", "mark": "*"},
        {"kind": "xor", "covers": ["mark"]}, {"kind": "xor", "at": "tail", "covers": ["end"]},
        {"kind": "xor", "covers": ["text", "text"]}, {"kind": "xor", "at": "tail", "mark": "\x01"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**keys)
