"""Values out of registers and back: every kind and order, exact scales, digits and texts."""

import itertools
import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from adapters._modbus.encode import MisfitValue, encoded
from adapters._modbus.values import COIL, Encoding, Form, Kind, orders_of, reader, registers_of
from tests.adapters.modbus_values_support import wire

_TYPES = AsyncModbusTcpClient.DATATYPE
_FLOATS_32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
_ORACLES = {
    "u16": (_TYPES.UINT16, "H", st.integers(0, 2**16 - 1)),
    "i16": (_TYPES.INT16, "h", st.integers(-(2**15), 2**15 - 1)),
    "u32": (_TYPES.UINT32, "I", st.integers(0, 2**32 - 1)),
    "i32": (_TYPES.INT32, "i", st.integers(-(2**31), 2**31 - 1)),
    "u64": (_TYPES.UINT64, "Q", st.integers(0, 2**64 - 1)),
    "i64": (_TYPES.INT64, "q", st.integers(-(2**63), 2**63 - 1)),
    "f32": (_TYPES.FLOAT32, "f", _FLOATS_32),
    "f64": (_TYPES.FLOAT64, "d", st.floats(allow_nan=False, allow_infinity=False)),
}
NUMBERS: list[Kind] = ["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]
KINDS: list[Kind] = [*NUMBERS, "bcd16", "bcd32", "bcd64", "bool", "text"]
CELLS = st.lists(
    st.integers(0, 0xFFFF) | st.sampled_from([0, 0x7FC0, 0x7F80, 0xFFF0, 0xFFFF, 0x2020, 0x4142]),
    min_size=140, max_size=140,
)  # fmt: skip

NONE: st.SearchStrategy[tuple[int | float, ...]] = st.sampled_from([(), (), (0,), (0, 1), (8224,)])
"""What stands for no value, in some of the kinds."""


@st.composite
def forms(draw: st.DrawFn) -> Form:
    kind = draw(st.sampled_from(KINDS))
    order = draw(st.sampled_from(orders_of(kind)))
    if kind == "bool":
        return Form(kind, order, draw(st.none() | st.integers(0, 15)))
    if kind == "text":
        encodings: list[Encoding] = ["utf-8", "latin-1", "cp1252"]
        encoding, header = draw(st.sampled_from(encodings)), draw(st.booleans())
        return Form(kind, order, length=draw(st.integers(1, 6)), encoding=encoding, has_header=header)
    steps = st.sampled_from([Fraction(1), Fraction(1), Fraction(1, 10), Fraction(-3), Fraction(100, 27648)])
    shifts = st.sampled_from([Fraction(0), Fraction(0), Fraction(-40), Fraction(1, 3)])
    return Form(kind, order, scale=draw(steps), offset=draw(shifts), invalid=draw(NONE))


# --- kinds and orders ---------------------------------------------------------------------------


def test_there_are_two_orders_of_one_register_four_of_two_and_eight_of_four() -> None:
    assert orders_of("u16") == orders_of("text") == orders_of("bcd16") == ("AB", "BA")
    assert set(orders_of("f32")) == {"ABCD", "CDAB", "BADC", "DCBA"}
    assert set(orders_of("i64")) == {
        "ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA",
    }  # fmt: skip
    assert all(orders_of(kind)[0] == "ABCDEFGH"[: 2 * registers_of(kind)] for kind in KINDS)


@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data(), before=st.integers(0, 3))
def test_what_struct_packs_is_decoded_in_every_order(kind: Kind, data: st.DataObject, before: int) -> None:
    _, letter, values = _ORACLES[kind]
    value = data.draw(values)
    for order in orders_of(kind):
        cells = [0xAAAA] * before + wire(struct.pack(f">{letter}", value), order) + [0xBBBB]
        found = Form(kind, order).decode()(cells, before)
        assert found == value
        assert type(found) is type(value)
        assert encoded(Form(kind, order), value) == tuple(cells[before:-1])


@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data())
def test_what_pymodbus_encodes_is_decoded(kind: Kind, data: st.DataObject) -> None:
    oracle, _, values = _ORACLES[kind]
    value = data.draw(values)
    big = AsyncModbusTcpClient.convert_to_registers(value, oracle, word_order="big")
    little = AsyncModbusTcpClient.convert_to_registers(value, oracle, word_order="little")
    straight = orders_of(kind)[0]
    turned = "".join(straight[at : at + 2] for at in reversed(range(0, len(straight), 2)))
    assert Form(kind, straight).decode()(big, 0) == value
    assert Form(kind, turned).decode()(little, 0) == value
    assert encoded(Form(kind, turned), value) == tuple(little)


@pytest.mark.parametrize(
    ("order", "registers"),
    [
        ("ABCD", [0x4365, 0x028F]),
        ("CDAB", [0x028F, 0x4365]),
        ("BADC", [0x6543, 0x8F02]),
        ("DCBA", [0x8F02, 0x6543]),
    ],
)
def test_the_four_orders_of_229_01(order: str, registers: list[int]) -> None:
    value = Form("f32", order).decode()(registers, 0)
    assert value == struct.unpack(">f", b"\x43\x65\x02\x8f")[0] == 229.00999450683594


@pytest.mark.parametrize(
    ("order", "registers"),
    [
        ("ABCDEFGH", [0x0102, 0x0304, 0x0506, 0x0708]),
        ("GHEFCDAB", [0x0708, 0x0506, 0x0304, 0x0102]),
        ("BADCFEHG", [0x0201, 0x0403, 0x0605, 0x0807]),
        ("HGFEDCBA", [0x0807, 0x0605, 0x0403, 0x0201]),
        ("CDABGHEF", [0x0304, 0x0102, 0x0708, 0x0506]),
        ("EFGHABCD", [0x0506, 0x0708, 0x0102, 0x0304]),
        ("DCBAHGFE", [0x0403, 0x0201, 0x0807, 0x0605]),
        ("FEHGBADC", [0x0605, 0x0807, 0x0201, 0x0403]),
    ],
)
def test_the_eight_orders_of_64_bits(order: str, registers: list[int]) -> None:
    assert Form("u64", order).decode()(registers, 0) == 0x0102030405060708


@given(register=st.integers(0, 65535), bit=st.integers(0, 15))
def test_a_bit_is_that_of_the_number(register: int, bit: int) -> None:
    for order in orders_of("bool"):
        cells = [register] if order == "AB" else [(register & 0xFF) << 8 | register >> 8]
        assert Form("bool", order, bit).decode()(cells, 0) is bool(register >> bit & 1)
        assert Form("bool", order).decode()(cells, 0) is bool(register)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_none(kind: Kind, value: float) -> None:
    octets = struct.pack(">f" if kind == "f32" else ">d", value)
    for order in orders_of(kind):
        for scale in (Fraction(1), Fraction(1, 10)):
            assert Form(kind, order, scale=scale).decode()(wire(octets, order), 0) is None


# --- scales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "value"),
    [
        (22901, "0.01", "0", 229.01),
        (20014, "0.01", "0", 200.14),
        (2290, "0.1", "0", 229.0),
        (3, "0.1", "0", 0.3),
        (7, "10", "0", 70),
        (7, "1", "-40", -33),
        (1234, "0.001", "-0.5", 0.734),
        (27648, "100/27648", "0", 100.0),
    ],
)
def test_a_scaled_value_is_the_one_that_the_display_shows(
    raw: int, scale: str, offset: str, value: float
) -> None:
    found = Form("u16", scale=Fraction(scale), offset=Fraction(offset)).decode()([raw], 0)
    assert found == value
    assert type(found) is type(value), "the type goes by the configuration and not by the value"


@given(
    raw=st.integers(-(2**63), 2**63 - 1),
    scale=st.decimals("-1000", "1000", allow_nan=False, places=6).filter(bool),
    offset=st.decimals("-1000", "1000", allow_nan=False, places=4),
)
def test_scaling_is_exact_to_the_last_digit(raw: int, scale: Decimal, offset: Decimal) -> None:
    form = Form("i64", "ABCDEFGH", scale=Fraction(scale), offset=Fraction(offset))
    found = form.decode()(wire(struct.pack(">q", raw), "ABCDEFGH"), 0)
    exact = raw * Fraction(scale) + Fraction(offset)
    assert found == (exact if isinstance(found, int) else float(exact))


@given(
    kind=st.sampled_from(["u64", "i64"]), raw=st.integers(0, 2**64 - 1),
    scale=st.integers(-99, 99).filter(bool), offset=st.integers(-(10**6), 10**6),
)  # fmt: skip
@example("u64", 967254480667562920, 10, 3)
@example("u64", 1844674407370955161, 10, 5)
@example("u64", 1844674407370955161, 10, 6)
@example("i64", 922337203685477580, -10, -8)
@example("i64", 922337203685477580, -10, -9)
def test_a_whole_scale_and_offset_give_whole_numbers_as_far_as_64_bits_go(
    kind: Kind, raw: int, scale: int, offset: int
) -> None:
    registers = wire(raw.to_bytes(8, "big"), "ABCDEFGH")
    exact = Form(kind, "ABCDEFGH").decode()(registers, 0)
    assert isinstance(exact, int)
    exact = exact * scale + offset
    found = Form(kind, "ABCDEFGH", scale=Fraction(scale), offset=Fraction(offset)).decode()(registers, 0)
    fits = -(2**63) <= exact < 2**64
    assert type(found) is (int if fits else float)
    assert found == (exact if fits else float(exact))


@given(raw=_FLOATS_32, scale=st.sampled_from(["0.1", "0.001", "3", "1/3"]), offset=st.integers(-9, 9))
def test_a_float_is_scaled_as_the_double_that_it_is(raw: float, scale: str, offset: int) -> None:
    form = Form("f32", "ABCD", scale=Fraction(scale), offset=Fraction(offset))
    found = form.decode()(wire(struct.pack(">f", raw), "ABCD"), 0)
    assert found == float(Fraction(raw) * Fraction(scale) + offset)


def test_what_no_number_of_64_bits_holds_is_a_float_and_what_no_float_holds_is_none() -> None:
    huge = Form("u64", "ABCDEFGH", scale=Fraction(1000)).decode()([0xFFFF] * 4, 0)
    assert huge == float((2**64 - 1) * 1000)
    assert isinstance(huge, float)
    most = wire(struct.pack(">d", 1.7e308), "ABCDEFGH")
    assert Form("f64", "ABCDEFGH", scale=Fraction(10)).decode()(most, 0) is None


# --- the way back ---------------------------------------------------------------------------------


@given(form=forms(), cells=CELLS)
def test_what_was_read_is_written_as_it_was(form: Form, cells: list[int]) -> None:
    value = form.decode()(cells, 0)
    if value is None or form.invalid or form.kind in ("bool", "text", "f32", "f64") or form.scaling:
        return
    assert encoded(form, value) == tuple(cells[: form.width])


@given(raw=st.integers(0, 65535), places=st.integers(1, 4), offset=st.integers(-50, 50))
def test_a_scaled_value_goes_back_to_its_register(raw: int, places: int, offset: int) -> None:
    form = Form("u16", scale=Fraction(1, 10**places), offset=Fraction(offset))
    value = form.decode()([raw], 0)
    assert value is not None
    assert encoded(form, value) == (raw,)


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        (Form("u16"), 65536, "65536 does not fit: u16 holds 0 to 65535"),
        (Form("u16"), -1, "-1 does not fit"),
        (Form("u16"), 1.5, "1.5 is no whole number of steps of 1"),
        (Form("u16", scale=Fraction(1, 10)), 300.05, "300.05 is no whole number of steps of 0.1"),
        (Form("u16", scale=Fraction(1, 10)), 6553.6, "6553.6 does not fit: u16 holds 0 to 6553.5"),
        (Form("i16", scale=Fraction(2), offset=Fraction(1)), 2, "no whole number of steps of 2 from 1 on"),
        (Form("u16", scale=Fraction(-1, 10)), 1, "1 does not fit: u16 holds -6553.5 to 0"),
        (Form("u16"), "7", "'7' is no number"),
        (Form("u16"), math.nan, "nan is no number"),
        (Form("f32", "ABCD"), 1e39, "is more than f32 holds"),
        (Form("f64", "ABCDEFGH"), 10**400, "is more than f64 holds"),
        (Form("bcd16"), 10000, "10000 does not fit: bcd16 holds 0 to 9999"),
        (Form("bool"), 2, "2 is neither true nor false"),
        (Form("bool", bit=3), True, "one bit of a register"),
        (Form("text", length=2), "Grün", "takes 5 bytes, and 4 fit"),
        (Form("text", length=2), 7, "7 is no text"),
        (Form("text", length=2), "A ", "space at an end"),
        (COIL, "on", "'on' is neither true nor false"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(
    form: Form, value: bool | float | str, words: str
) -> None:
    with pytest.raises(MisfitValue, match=words):
        encoded(form, value)


def test_a_coil_and_a_whole_register_take_true_and_false() -> None:
    assert [encoded(COIL, one) for one in (True, 0)] == [(1,), (0,)]
    assert [encoded(Form("bool", "BA"), one) for one in (True, False)] == [(0x0100,), (0,)]


# --- many together --------------------------------------------------------------------------------


@given(some=st.lists(st.tuples(forms(), st.integers(0, 130)), min_size=1, max_size=12), cells=CELLS)
def test_many_together_are_the_same_as_one_by_one(some: list[tuple[Form, int]], cells: list[int]) -> None:
    expected = [form.decode()(cells, at) for form, at in some]
    found = list(reader(some)(cells))
    assert found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_row_of_one_kind_is_the_same_in_every_order(kind: Kind) -> None:
    cells = [at * 257 & 0x3FFF for at in range(120)]
    width = registers_of(kind)
    for order, scale in itertools.product(orders_of(kind), (Fraction(1), Fraction(1, 100), Fraction(5))):
        form = Form(kind, order, scale=scale)
        places = [(form, at) for at in range(0, 120, width)]
        assert list(reader(places)(cells)) == [form.decode()(cells, at) for _, at in places]


@given(bits=st.lists(st.booleans(), min_size=8, max_size=40), picked=st.sets(st.integers(0, 7), min_size=1))
def test_coils_are_picked_as_they_are(bits: list[bool], picked: set[int]) -> None:
    assert list(reader([(COIL, at) for at in picked])(bits)) == [bits[at] for at in picked]
