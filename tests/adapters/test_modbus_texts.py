"""Digits, texts and what is no value in registers."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._modbus.encode import MisfitValue, encoded
from adapters._modbus.values import DIGITS, Encoding, Form, Kind, orders_of, reader
from tests.adapters.modbus_values_support import wire

# --- digits and texts -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(DIGITS))
@given(data=st.data())
def test_digits_are_read_as_they_are_shown(kind: Kind, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, 10 ** DIGITS[kind] - 1))
    octets = bytes.fromhex(f"{number:0{DIGITS[kind]}d}")
    for order in orders_of(kind):
        assert Form(kind, order).decode()(wire(octets, order), 0) == number
        assert encoded(Form(kind, order), number) == tuple(wire(octets, order))
    place = data.draw(st.integers(0, DIGITS[kind] - 1))
    digits = f"{number:0{DIGITS[kind]}d}"
    wrong = digits[:place] + data.draw(st.sampled_from("ABCDEF")) + digits[place + 1 :]
    form = Form(kind, orders_of(kind)[0], scale=data.draw(st.sampled_from([Fraction(1), Fraction(1, 100)])))
    assert form.decode()(wire(bytes.fromhex(wrong), form.order), 0) is None
    assert form.nothing == "holds a digit above 9, which is no BCD"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"RUNNING ", "RUNNING"),
        (b"AB\0\0\0\0\0\0", "AB"),
        (b"AB\0 old?", "AB"),
        (b"\0\0\0\0\0\0\0\0", ""),
        (b"    WO-7", "WO-7"),
        ("Größe\0".encode(), "Größe"),
        ("Größe   ".encode("latin-1"), None),
        (b"A\x07B     ", None),
        (b"A\r\n     ", None),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
    ],
)
def test_a_text_ends_at_its_padding_and_is_none_where_it_is_noise(octets: bytes, text: str | None) -> None:
    cells = list(struct.unpack(">4H", octets))
    assert Form("text", length=4).decode()([9, *cells, 9], 1) == text
    swapped = list(struct.unpack("<4H", octets))
    assert Form("text", "BA", length=4).decode()([9, *swapped, 9], 1) == text
    assert Form("text", length=4).nothing == "holds no text"


@pytest.mark.parametrize(
    ("encoding", "octets", "text"),
    [
        ("latin-1", b"Geh\xe4use", "Gehäuse"),
        ("cp1252", b"5 \x80 Geh\xe4", "5 € Gehä"),
        ("latin-1", b"5 \x80 Geh\xe4", None),
        ("cp1252", b"A\x81", None),
        ("utf-8", b"Geh\xe4use", None),
    ],
)
def test_a_text_has_an_encoding(encoding: Encoding, octets: bytes, text: str | None) -> None:
    form = Form("text", length=4, encoding=encoding)
    assert form.decode()(list(struct.unpack(">4H", octets.ljust(8, b"\0"))), 0) == text
    if text is not None:
        assert encoded(form, text) == struct.unpack(">4H", octets.ljust(8, b"\0"))
    with pytest.raises(MisfitValue, match="has a character that latin-1 does not have"):
        encoded(Form("text", length=4, encoding="latin-1"), "5 €")


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x08\x06Palle!XX", "Palle!"),
        (b"\x08\x00Palle!XX", ""),
        (b"\x08\x08Palle!XX", "Palle!XX"),
        (b"\xfe\x08Palle!XX", "Palle!XX"),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""),
        (b"\x08\x09Palle!XX", None),
        (b"\xfe\x09Palle!XX", None),
        (b"\xff\xffPalle!XX", None),
        (b"\x04\x06Palle!XX", None),
        (b"\x08\x06Pal\x07e!XX", None),
    ],
)
def test_the_header_of_a_text_says_how_much_of_it_counts(octets: bytes, text: str | None) -> None:
    form = Form("text", length=5, has_header=True)
    assert form.decode()(list(struct.unpack(">5H", octets)), 0) == text
    turned = Form("text", "BA", length=5, has_header=True)
    assert turned.decode()(list(struct.unpack("<5H", octets)), 0) == text
    with pytest.raises(MisfitValue, match="is only read"):
        encoded(form, "A")


@given(octets=st.binary(min_size=2, max_size=24).filter(lambda one: not len(one) % 2))
def test_no_header_reads_beyond_its_text(octets: bytes) -> None:
    form = Form("text", length=len(octets) // 2, encoding="latin-1", has_header=True)
    found = form.decode()(list(struct.unpack(f">{form.length}H", octets)), 0)
    assert found is None or (isinstance(found, str) and len(found) <= min(octets[0], octets[1]))


# --- no value ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "cells", "value"),
    [
        (Form("i16", invalid=(-32768,)), [0x8000], None),
        (Form("i16", invalid=(-32768,)), [0x7FFF], 32767),
        (Form("i16", scale=Fraction(1, 10), invalid=(-32768, 32767)), [0x7FFF], None),
        (Form("i16", scale=Fraction(1, 10), invalid=(-32768, 32767)), [0x7FFE], 3276.6),
        (Form("u32", "CDAB", invalid=(0xFFFFFFFF,)), [0xFFFF, 0xFFFF], None),
        (Form("u32", "CDAB", invalid=(0xFFFFFFFF,)), [0xFFFE, 0xFFFF], 0xFFFFFFFE),
        (Form("i64", "ABCDEFGH", invalid=(-(2**63),)), [0x8000, 0, 0, 0], None),
        (Form("f32", "ABCD", invalid=(-9999.0,)), [0xC61C, 0x3C00], None),
        (Form("f32", "ABCD", invalid=(-9999.0,)), [0x7FC0, 0], None),
        (Form("bcd16", invalid=(9999,)), [0x9999], None),
        (Form("bcd16", invalid=(9999,)), [0x9998], 9998),
        (Form("bcd16", invalid=(9999,)), [0x999A], None),
    ],
)
def test_a_number_can_stand_for_no_value(form: Form, cells: list[int], value: float | None) -> None:
    assert form.decode()(cells, 0) == value
    other = [0] * form.width
    both = reader([(form, 0), (form, form.width)])([*cells, *other])
    assert list(both) == [value, form.decode()(other, 0)]


def test_it_is_said_what_stands_for_no_value() -> None:
    assert Form("i16", invalid=(-32768,)).nothing == "holds what stands for no value there (-32768)"
    assert Form("f32", "ABCD", invalid=(-1.0,)).nothing.endswith("(-1.0), or holds no number")


@given(text=st.text(max_size=12), length=st.integers(1, 12), order=st.sampled_from(["AB", "BA"]))
def test_a_text_is_written_and_read_again_or_refused(text: str, length: int, order: str) -> None:
    form = Form("text", order, length=length)
    try:
        cells = encoded(form, text)
    except MisfitValue:
        assert not text.isprintable() or text != text.strip(" ") or len(text.encode()) > 2 * length
        return
    assert len(cells) == length
    assert form.decode()(cells, 0) == text
