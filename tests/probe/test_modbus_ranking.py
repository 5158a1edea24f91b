"""What a display reads is found in the registers, however the value is written there."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters._modbus.aim import aims_of, modicon
from adapters._modbus.codec import Table
from adapters._modbus.encode import MisfitValue, encoded
from adapters._modbus.ranking import Aim, Match, Stretch, rank, stretches_of, verdict
from adapters._modbus.shown import Shown, shown
from adapters._modbus.values import FLOATS, Form, Kind, orders_of

KINDS: tuple[Kind, ...] = (
    "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "bcd64",
)  # fmt: skip
FORMS = [Form(kind, order) for kind in KINDS for order in orders_of(kind)]
SCALES = {Fraction(1): 0, Fraction(1, 10): 1, Fraction(1, 100): 2, Fraction(1, 1000): 3}
"""With the digits that a display has behind the point."""
RAWS = st.integers(1000, 999_999).filter(lambda raw: raw % 10 != 0)
"""As many digits as say something."""
AT = 100
TOP = 5


def stretch(*looks: list[int], start: int = AT, table: Table = "holding", unit: int = 1) -> Stretch:
    return Stretch(unit, table, start, tuple(map(tuple, looks)))


def place_of(rows: list[Match], form: Form, start: int = AT) -> int | None:
    for number, row in enumerate(rows):
        if row.start == start and form in (row.form, *row.same):
            return number
    return None


def written(form: Form, raw: int, scale: Fraction) -> tuple[list[int], str, Form]:
    """Registers, what a display shows of them, and the form with its scale."""
    decimals = SCALES[scale]
    value = Fraction(raw) * scale
    if form.kind in FLOATS:
        return list(encoded(form, float(value))), f"{float(value):.{decimals}f}", form
    scaled = Form(form.kind, form.order, scale=scale)
    return list(encoded(form, raw)), f"{float(value):.{decimals}f}", scaled


# --- the property ---------------------------------------------------------------------------------


@given(
    st.sampled_from(FORMS), st.sampled_from(list(SCALES)), RAWS,
    st.one_of(st.just([0] * 24), st.lists(st.integers(0, 65_535), min_size=24, max_size=24),
              st.lists(st.integers(0, 300), min_size=24, max_size=24)),
)  # fmt: skip
def test_the_right_reading_is_among_the_first(
    form: Form, scale: Fraction, raw: int, around: list[int]
) -> None:
    try:
        registers, text, scaled = written(form, raw, scale)
    except MisfitValue:
        assume(False)
    cells = [*around[:12], *registers, *around[12:]]
    rows = rank(shown(text), [stretch(cells, start=AT - 12)], aims_of(str(AT)))
    place = place_of(rows, scaled)
    assert place is not None, f"{text} in {registers}"
    assert place < TOP, [(row.start, row.form) for row in rows[: place + 1]]


@given(
    st.sampled_from(FORMS),
    st.sampled_from([-1, 1]),
    st.integers(1000, 30_000).filter(lambda raw: raw % 10 != 0),
)
def test_negative_values_are_found(form: Form, sign: int, raw: int) -> None:
    try:
        registers, text, scaled = written(form, sign * raw, Fraction(1, 10))
    except MisfitValue:
        assume(False)
    rows = rank(shown(text), [stretch([7, *registers, 9, 9], start=AT - 1)], aims_of(str(AT)))
    place = place_of(rows, scaled)
    assert place is not None
    assert place < TOP


@given(st.lists(st.integers(0, 65_535), min_size=8, max_size=30), st.integers(1, 99_999), st.integers(0, 3))
def test_every_match_reads_as_the_display(cells: list[int], digits: int, decimals: int) -> None:
    wanted = shown(f"{digits / 10**decimals:.{decimals}f}")
    assert wanted.value is not None
    for row in rank(wanted, [stretch(cells)]):
        value = row.form.decode()(cells, row.start - AT)
        assert value == row.values[0], "it is what the adapter reads"
        assert not isinstance(value, str) or value == wanted.text
        if isinstance(value, int | float):
            assert abs(Fraction(value) - wanted.value) <= wanted.digit + abs(wanted.value) / 10**6


OFFSETS = [
    ("1", "-40"),
    ("0.1", "-273.15"),
    ("0.1", "-50"),
    ("0.18", "32"),
    ("0.00625", "-25"),
    ("1", "-32768"),
]


@given(st.sampled_from(OFFSETS), st.integers(1001, 65_000))
def test_an_offset_is_found_where_no_pure_scale_fits(way: tuple[str, str], raw: int) -> None:
    scale, offset = map(Fraction, way)
    value = float(raw * scale + offset)
    rows = rank(shown(f"{value:.2f}"), [stretch([raw, 0, 0], start=AT)], {("holding", AT): Aim()})
    found = [row.form for row in rows]
    assert Form("u16", scale=scale, offset=offset) in [form for row in rows for form in (row.form, *row.same)]
    assert [bool(form.offset) for form in found] == sorted(bool(form.offset) for form in found)


def test_offsets_are_tried_only_where_somebody_said_where_it_is() -> None:
    looks = stretch([2936, 0, 0], start=AT)
    assert not [row for row in rank(shown("20.45"), [looks]) if row.form.offset]
    [first, *_] = rank(shown("20.45"), [looks], aims_of(str(AT)))
    assert first.form.offset == Fraction("-273.15")


# --- what tells readings apart --------------------------------------------------------------------


def test_the_four_orders_of_a_float_are_told_apart() -> None:
    for order in orders_of("f32"):
        form = Form("f32", order)
        [first, *_] = rank(shown("229.01"), [stretch([0, *encoded(form, 229.01), 0], start=AT - 1)])
        assert (first.form, first.start) == (form, AT)


def test_a_value_that_moves_little_is_likelier_than_one_that_leaps() -> None:
    low_first, high_first = Form("u32", "CDAB"), Form("u32", "ABCD")
    looks = [list(encoded(low_first, value)) for value in (0x3_0003, 0x3_0004, 0x3_0009)]
    [first, *_] = rank(shown("196611"), [stretch(*looks)])
    assert low_first in (first.form, *first.same)
    assert place_of(rank(shown("196611"), [stretch(*looks)]), high_first) != 0


def test_a_live_value_is_found_although_it_has_moved() -> None:
    looks = [[value] for value in (22_950, 22_970, 22_990)]
    [first, *_] = rank(shown("229.01"), [stretch(*looks)])
    assert (first.form, first.is_exact) == (Form("u16", "AB", scale=Fraction(1, 100)), False)


def test_a_value_that_stands_still_has_to_be_the_one_shown() -> None:
    assert rank(shown("229.01"), [stretch([22_950], [22_950])]) == []


def test_what_gives_the_same_is_one_row() -> None:
    rows = rank(shown("229.01"), [stretch([22_901])])
    assert len(rows) == 1
    assert rows[0].form.kind == "u16"
    assert {one.kind for one in rows[0].same} == {"i16"}


def test_tables_with_one_memory_are_one_row() -> None:
    rows = rank(shown("229.01"), [stretch([22_901]), stretch([22_901], table="input")])
    assert [(row.table, row.mirrors) for row in rows] == [("holding", ("input",))]


def test_the_named_address_comes_before_its_neighbours() -> None:
    cells = [22_901] * 4
    rows = rank(shown("229.01"), [stretch(cells, start=AT - 1)], aims_of(str(AT)))
    singles = [row.start for row in rows if row.form.kind == "u16"]
    assert singles == [AT, AT - 1, AT + 1]


def test_the_narrowest_comes_first_where_zeros_stand_around_it() -> None:
    [first, *others] = rank(shown("229.01"), [stretch([0, 0, 0, 22_901, 0, 0, 0])])
    assert (first.form.kind, first.start) == ("u16", AT + 3)
    assert {row.form.kind for row in others} == {"u32", "u64"}


def test_a_text_is_found_in_either_order_of_bytes() -> None:
    for order in ("AB", "BA"):
        form = Form("text", order, length=3)
        [first, *_] = rank(shown("PRG-7"), [stretch([*encoded(form, "PRG-7"), 0])])
        assert first.form == form


def test_a_number_that_is_written_as_text_is_found_behind_its_spaces() -> None:
    cells = [0x2020, 0x2032, 0x3239, 0x2E30, 0x3100, 0]
    [first, *_] = rank(shown("229.01"), [stretch(cells)], aims_of(str(AT)))
    assert first.form.kind == "text"
    assert first.form.decode()(cells, 0) == "229.01"


def test_a_short_number_is_said_to_say_little() -> None:
    rows = rank(shown("5"), [stretch([5, 5, 0, 5, 50, 5])])
    assert "more digits" in verdict(rows)
    assert verdict([]) == ""
    assert "alone" in verdict(rank(shown("229.01"), [stretch([22_901])]))


# --- what was typed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "decimals"),
    [
        ("229.01", "229.01", 2), ("229,01", "229.01", 2), (" -12 ", "-12", 0), ("1,234.50", "1234.5", 2),
        ("1.234,5", "1234.5", 1), ("1 234", "1234", 0), ("229.01 V", "229.01", 2), ("55%", "55", 0),
        ("+7.0", "7", 1), (".5", "0.5", 1), ("1.2e3", "1200", -2), ("12.5kWh", "12.5", 1),
        ("\u22124.5", "-4.5", 1),
    ],
)  # fmt: skip
def test_numbers_are_taken_as_people_write_them(text: str, value: str, decimals: int) -> None:
    found = shown(text)
    assert (found.value, found.decimals) == (Fraction(value), decimals)


@pytest.mark.parametrize("text", ["PRG-7", "ON", "1.2.3", "12:30", "--5"])
def test_what_is_no_number_is_a_text(text: str) -> None:
    assert shown(text) == Shown(text, None)


@pytest.mark.parametrize("text", ["", "  ", "x" * 65, "a\x1b[2J"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="what the display shows"):
        shown(text)


@given(st.text(max_size=70))
def test_whatever_is_typed_is_read_or_refused(text: str) -> None:
    try:
        found = shown(text)
    except ValueError:
        return
    if found.value is not None:
        least, most = found.reach()
        assert least <= found.value <= most


@pytest.mark.parametrize(
    ("text", "table", "start"),
    [
        ("100", "holding", 100), ("100", "input", 99), ("0x64", "holding", 100), ("64h", "input", 100),
        ("40101", "holding", 100), ("30101", "input", 100), ("400101", "holding", 100),
        ("40101", "holding", 40_101), ("40100", "holding", 100),
    ],
)  # fmt: skip
def test_an_address_is_looked_for_wherever_it_may_be(text: str, table: Table, start: int) -> None:
    assert (table, start) in aims_of(text)


def test_an_address_of_modicon_is_the_likeliest_of_all() -> None:
    aims = aims_of("40101")
    assert min(aims, key=lambda at: aims[at].cost) == ("holding", 100)
    assert modicon("holding", 100) == "40101"
    assert modicon("input", 20_000) == "320001"


@pytest.mark.parametrize("text", ["", "abc", "-1", "999999", "1.5", "0x12345"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a number|has an address"):
        aims_of(text)


def test_looks_at_single_registers_become_stretches() -> None:
    looks = [{1: 10, 2: 20, 4: 40}, {1: 11, 2: 21, 4: 41, 5: 51}]
    assert [(one.start, one.looks) for one in stretches_of(1, "input", looks)] == [
        (1, ((10, 20), (11, 21))), (4, ((40,), (41,))),
    ]  # fmt: skip
    assert stretches_of(1, "input", []) == []


def test_of_a_device_that_gives_pairs_only_pairs_are_found() -> None:
    wanted = shown("2290")
    for cells in ([2290, 1, 0, 7], [7, 0, 2290, 7]):
        [odd] = stretches_of(1, "input", [dict(enumerate(cells, AT))], 2)
        assert not rank(wanted, [odd])
    [even] = stretches_of(1, "input", [dict(enumerate([7, 7, 0, 2290], AT))], 2)
    assert [(row.start, row.form.kind) for row in rank(wanted, [even])] == [(AT + 2, "u32")]
