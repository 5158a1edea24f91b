"""What a value on the wire becomes for a signal: its part, its words, its quality."""

import math
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.binary import Array, Extension, Id, Kind, QName, Raw, Sample, Text
from adapters._opcua.structures import Definition, Member, Shape, Types
from adapters._opcua.values import PLAIN, Pick, Reading, overflowed, reading, status_name
from edge.contract import Quality, Value
from edge.observation import OVERFLOWED

NOON = 134_223_696_000_000_000
"""2026-05-04T12:00:00Z in ticks."""


def sample(raw: Raw, kind: Kind, status: int = 0) -> Sample:
    return Sample(raw, status, NOON, NOON + 1, kind, isinstance(raw, Array))


def numbers(*values: int, dimensions: tuple[int, ...] = ()) -> Array:
    return Array(Kind.INT16, len(values), struct.pack(f"<{len(values)}h", *values), dimensions)


@pytest.mark.parametrize(
    ("raw", "kind", "said"),
    [
        (True, Kind.BOOLEAN, True),
        (-128, Kind.SBYTE, -128),
        (2**64 - 1, Kind.UINT64, 2**64 - 1),
        (1.5, Kind.FLOAT, 1.5),
        (-0.25, Kind.DOUBLE, -0.25),
        ("", Kind.STRING, ""),
        ("WO-1001", Kind.STRING, "WO-1001"),
        ("<a/>", Kind.XML_ELEMENT, "<a/>"),
        (Text("de", "Läuft"), Kind.LOCALIZED_TEXT, "Läuft"),
        (QName(2, "Filler"), Kind.QUALIFIED_NAME, "Filler"),
        (UUID(int=5), Kind.GUID, "00000000-0000-0000-0000-000000000005"),
        (b"\x01\xfe", Kind.BYTE_STRING, "01fe"),
        (Id(2, "Press"), Kind.NODE_ID, "ns=2;s=Press"),
        (NOON + 4_120_000, Kind.DATE_TIME, "2026-05-04T12:00:00.412Z"),
        (116_444_736_000_000_000 - 1, Kind.DATE_TIME, "1969-12-31T23:59:59.999Z"),
        (2**63 - 1, Kind.DATE_TIME, "9999-12-31T23:59:59.000Z"),
        (0, Kind.STATUS_CODE, "Good"),
        (0x80340000, Kind.STATUS_CODE, "BadNodeIdUnknown"),
        (Sample(7, kind=Kind.INT32), Kind.VARIANT, 7),
        (Sample(7, 0, NOON, None, Kind.INT32), Kind.DATA_VALUE, 7),
    ],
)
def test_a_single_value_of_any_type_is_said(raw: Raw, kind: Kind, said: Value) -> None:
    one = reading(sample(raw, kind))
    assert one._replace(server=None) == Reading(said, Quality.GOOD, "", NOON)
    assert type(one.value) is type(said)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (None, Kind.NULL, "no value"),
        (None, Kind.STRING, "no value"),
        (Text("de", None), Kind.LOCALIZED_TEXT, "no value"),
        (QName(0, None), Kind.QUALIFIED_NAME, "no value"),
        (math.nan, Kind.DOUBLE, "nan is no number"),
        (-math.inf, Kind.FLOAT, "-inf is no number"),
        ("x" * 5000, Kind.STRING, "too long"),
        (b"x" * 5000, Kind.BYTE_STRING, "5000 bytes"),
        (None, Kind.DATE_TIME, "no value"),
        (0, Kind.DATE_TIME, "no time is set"),
        (numbers(1, 2), Kind.INT16, "array of 2; say which element is meant with index"),
        (numbers(1, 2, 3, 4, dimensions=(2, 2)), Kind.INT16, "array of 2 x 2"),
        (Extension(Id(2, 5), b""), Kind.EXTENSION_OBJECT, "name one of its members with member"),
        (Sample(None, 0x80000000), Kind.DATA_VALUE, "Bad (0x80000000)"),
    ],
)
def test_what_is_no_single_value_is_bad_and_says_why(raw: Raw, kind: Kind, words: str) -> None:
    bad = reading(sample(raw, kind))
    assert (bad.value, bad.quality, bad.stamp) == (None, Quality.BAD, NOON)
    assert words in bad.detail


def test_a_null_array_and_a_diagnostic_are_no_value() -> None:
    assert "no value" in reading(Sample(None, kind=6, is_array=True)).detail
    assert "no value" in reading(Sample(None, kind=25)).detail


@given(st.integers(0, 2**32 - 1))
def test_every_status_code_is_good_uncertain_or_bad_with_a_name(status: int) -> None:
    one = reading(sample(7, Kind.INT32, status))
    if status >= 2**31:
        assert one.quality is Quality.BAD
        assert one.detail.startswith("Bad")
        assert one.value is None
    elif overflowed(status):
        assert one._replace(server=None) == Reading(7, Quality.UNCERTAIN, OVERFLOWED, NOON)
    elif status >= 2**30:
        assert (one.value, one.quality) == (7, Quality.UNCERTAIN)
        assert one.detail.startswith("Uncertain")
    else:
        assert one._replace(server=None) == Reading(7, Quality.GOOD, "", NOON)


def test_the_overflow_bit_counts_only_with_its_info_type() -> None:
    assert [overflowed(status) for status in (0x480, 0x80, 0x400, 0x880, 0x40000480)] == [
        True, False, False, False, True,
    ]  # fmt: skip
    assert status_name(StatusCodes.BadNodeIdUnknown) == "BadNodeIdUnknown"
    assert status_name(0x8FFF0000) == "Bad (0x8FFF0000)"


def test_the_sources_time_comes_before_the_servers() -> None:
    assert reading(Sample(1, 0, 5, 6, 6)).stamp == 5
    assert reading(Sample(1, 0, None, 6, 6)).stamp == 6
    assert reading(Sample(1, 0, None, None, 6)).stamp is None
    assert reading(Sample("a", 0, None, 6, 12)).stamp == 6


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_is_a_text_that_python_reads_back_or_bad(ticks: int) -> None:
    one = reading(Sample(ticks, kind=Kind.DATE_TIME))
    if ticks <= 0:
        assert one.quality is Quality.BAD
        return
    assert isinstance(one.value, str)
    told = datetime.fromisoformat(one.value)
    exact = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=min(ticks, 2_650_467_743_990_000_000) // 10
    )
    assert timedelta() <= exact - told < timedelta(milliseconds=1)


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "said"),
    [(0, 7), (2, 9), ((1,), 8), (3, "there is no 3"), (-1, "there is no -1"), ((0, 1), "3 elements")],
)
def test_an_element_by_its_index(index: int | tuple[int, ...], said: int | str) -> None:
    one = reading(sample(numbers(7, 8, 9), Kind.INT16), Pick(index=index))
    assert one.value == said if isinstance(said, int) else said in one.detail


@pytest.mark.parametrize(
    ("index", "said"), [((1, 2), 6), ((0, 1), 2), (4, 5), ((2, 0), "2 x 3"), ((0, -1), "2 x 3")]
)
def test_an_element_of_a_matrix(index: int | tuple[int, ...], said: int | str) -> None:
    matrix = numbers(1, 2, 3, 4, 5, 6, dimensions=(2, 3))
    one = reading(sample(matrix, Kind.INT16), Pick(index=index))
    assert one.value == said if isinstance(said, int) else said in one.detail


def test_an_index_where_there_is_no_array_and_a_byte_of_a_byte_string() -> None:
    assert "no array; leave the index out" in reading(sample(7, Kind.INT16), Pick(index=0)).detail
    assert "there is no 0" in reading(Sample(None, kind=6, is_array=True), Pick(index=0)).detail
    octets = sample(b"\x01\xfe", Kind.BYTE_STRING)
    assert reading(octets, Pick(index=1))._replace(server=None) == Reading(0xFE, Quality.GOOD, "", NOON)
    assert "there is no 2" in reading(octets, Pick(index=2)).detail


def test_a_bad_value_in_an_array_of_values_is_bad() -> None:
    inner = b"\x03\x06" + struct.pack("<iI", 5, 0x80340000) + b"\x01\x06" + struct.pack("<i", 6)
    values = sample(Array(Kind.DATA_VALUE, 2, inner), Kind.DATA_VALUE)
    assert reading(values, Pick(index=0))._replace(server=None) == Reading(
        None, Quality.BAD, "BadNodeIdUnknown", NOON
    )
    assert reading(values, Pick(index=0, member=("Count",))).detail == "BadNodeIdUnknown"
    assert reading(values, Pick(index=1)).value == 6


def test_a_member_of_a_structure() -> None:
    press = Definition(Shape.PLAIN, (Member("Speed", Id(0, 10)), Member("Count", Id(0, 7))), Id(2, 5))
    pick = Pick(member=("Count",), types=Types({Id(2, 4): press}), root=Id(2, 4))
    value = sample(Extension(Id(2, 5), struct.pack("<fI", 1.5, 9)), Kind.EXTENSION_OBJECT, 0x40000000)
    one = reading(value, pick)
    assert (one.value, one.quality) == (9, Quality.UNCERTAIN)
    cut = Extension(Id(2, 5), struct.pack("<f", 1.5))
    assert reading(sample(cut, Kind.EXTENSION_OBJECT), pick).detail == "it ends too early"
    wrong = Pick(member=("Parts",), types=pick.types)
    assert "no member Parts; it has Speed, Count" in reading(value, wrong).detail
    assert "no structure and has no member Count" in reading(sample(7, Kind.INT16), pick).detail


def test_names_of_an_enumeration() -> None:
    names: dict[int | str, str] = {0: "Stopped", 1: "Running", "ns=5;i=7": "Executing"}
    pick = Pick(names=names)
    assert reading(sample(1, Kind.INT32), pick).value == "Running"
    assert reading(sample(9, Kind.INT32), pick).value == "9"
    assert reading(sample(Id(5, 7), Kind.NODE_ID), pick).value == "Executing"
    assert reading(sample(True, Kind.BOOLEAN), pick).value is True
    named = Pick(names={"nsu=urn:a;i=7": "Executing"}, namespaces=("http://opcfoundation.org/UA/", "urn:a"))
    assert reading(sample(Id(1, 7), Kind.NODE_ID), named).value == "Executing"


# --- comparing ------------------------------------------------------------------------------------


def test_the_same_is_the_same_at_any_time() -> None:
    assert Reading(7, Quality.GOOD, "", 5).same(Reading(7, Quality.GOOD, "", 6))
    for other in (Reading(8, Quality.GOOD), Reading(7, Quality.UNCERTAIN), Reading(7, Quality.GOOD, "x")):
        assert not Reading(7, Quality.GOOD).same(other)
    assert not Reading(1, Quality.GOOD).same(Reading(True, Quality.GOOD))


def test_floats_within_a_servers_deadband_are_near_and_counters_are_not() -> None:
    assert Reading(20.5, Quality.GOOD).near(Reading(20.6, Quality.GOOD))
    assert not Reading(20.5, Quality.GOOD).near(Reading(22.0, Quality.GOOD))
    assert not Reading(1000, Quality.GOOD).near(Reading(1001, Quality.GOOD))


def test_without_a_pick_it_is_the_whole_value() -> None:
    assert PLAIN.path == ()
    assert Pick(index=3, member=("a", 1, "b")).path == (3, "a", 1, "b")
