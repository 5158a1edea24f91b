"""Members of structures: by definitions that servers send, on bytes that the library and a model encode."""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.structures104 import make_structure
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.binary import Array, Extension, Id, Kind, Malformed, Raw, Sample, Text
from adapters._opcua.members import follow
from adapters._opcua.structures import (
    BUILT_IN,
    Definition,
    Enumeration,
    Leaf,
    Member,
    Shape,
    Step,
    Types,
    Unusable,
    definition,
    enum_strings,
    enum_values,
    leaf,
)
from adapters._opcua.wire import read_response

INT, TEXT, DOUBLE, FLAG, WORDS = Id(0, 6), Id(0, 12), Id(0, 11), Id(0, 1), Id(0, 21)
_EXTENSION, _ANY = Id(0, 22), Id(0, 24)


def sent(value: object) -> Sample:
    """A value as it comes out of a response that the library has encoded."""
    body = struct_to_binary(ua.ReadResponse(Results=[ua.DataValue(ua.Variant(value))]))
    return read_response(body, 1)[0]


def of(encoding: Id, body: bytes | None, *, xml: bool = False) -> Sample:
    return Sample(Extension(encoding, body, xml), kind=Kind.EXTENSION_OBJECT)


# --- definitions ----------------------------------------------------------------------------------


def _field(name: str, kind: ua.NodeId, rank: int = -1, *, optional: bool = False) -> ua.StructureField:
    return ua.StructureField(
        Name=ua.String(name), Description=ua.LocalizedText("what it is"), DataType=kind,
        ValueRank=ua.Int32(rank), ArrayDimensions=[ua.UInt32(0)] * max(rank, 0), IsOptional=optional,
    )  # fmt: skip


def _numeric(number: int, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number), ua.Int16(namespace), ua.NodeIdType.Numeric)


@pytest.mark.parametrize("shape", [0, 1, 2, 3, 4])
def test_the_definition_of_a_structure_as_it_is_sent(shape: int) -> None:
    told = ua.StructureDefinition(
        DefaultEncodingId=_numeric(5001, 2),
        BaseDataType=_numeric(22),
        StructureType=ua.StructureType(shape),
        Fields=[
            _field("AccCount", _numeric(6)),
            _field("Ids", ua.NodeId(ua.String("Ids"), ua.Int16(3)), 1, optional=True),
        ],
    )
    assert definition(sent(told).raw) == Definition(
        tuple(Shape)[shape],
        (Member("AccCount", INT), Member("Ids", Id(3, "Ids"), 1, optional=True)),
        Id(2, 5001),
    )


def test_the_definition_of_an_enumeration_as_it_is_sent() -> None:
    fields = [
        ua.EnumField(Value=ua.Int64(-1), DisplayName=ua.LocalizedText("Aus"), Name=ua.String("Off")),
        ua.EnumField(Value=ua.Int64(7), DisplayName=ua.LocalizedText("An")),
    ]
    assert definition(sent(ua.EnumDefinition(Fields=fields)).raw) == Enumeration({-1: "Off", 7: "An"})


def test_names_in_the_properties_of_an_enumeration() -> None:
    strings = sent([ua.LocalizedText("Off"), ua.LocalizedText("On")])
    assert enum_strings(strings.raw) == {0: "Off", 1: "On"}
    values = sent([ua.EnumValueType(ua.Int64(4), ua.LocalizedText("Idle")), ua.EnumValueType(ua.Int64(9))])
    assert enum_values(values.raw) == {4: "Idle", 9: ""}


@pytest.mark.parametrize(
    "raw", [None, 7, "x", Extension(Id(0, 122), None), Extension(Id(0, 122), b""),
            Extension(Id(0, 99), b"\0" * 30), Array(6, 1, b"\0\0\0\0"), Array(22, 1, b"\0\0\0"),
            Array(22, 1, b"\x01\x00\x3b\x20\x01\x00\x00\x00\x00"),
            Extension(Id(0, 122), b"\0\0\0\0" + b"\x05\0\0\0" + b"\0\0\0\0"),
            Extension(Id(0, 122), b"\0\0\0\0" + b"\0\0\0\0" + b"\xff\xff\xff\x7f")],
)  # fmt: skip
def test_what_is_no_definition_is_malformed(raw: Raw) -> None:
    for read in (definition, enum_strings, enum_values):
        with pytest.raises(Malformed):
            read(raw)


def test_a_definition_of_thousands_of_members_is_refused() -> None:
    field = struct.pack("<q", 7) + b"\x00\x00" + struct.pack("<i", -1)
    with pytest.raises(Malformed, match="5000 members"):
        definition(Extension(Id(0, 123), struct.pack("<i", 5000) + field * 5000))
    with pytest.raises(Malformed, match="no list of texts"):
        enum_strings(Array(21, 5000, b"\x00" * 5000))


@given(st.sampled_from([122, 123]), st.binary(max_size=80))
def test_any_bytes_are_a_definition_or_malformed(number: int, body: bytes) -> None:
    try:
        found = definition(Extension(Id(0, number), body))
    except Malformed:
        return
    assert isinstance(found, Definition | Enumeration)


# --- what is known --------------------------------------------------------------------------------

COUNT = Definition(
    Shape.PLAIN,
    (
        Member("ID", INT),
        Member("Name", TEXT),
        Member("Unit", Id(0, 887)),
        Member("Count", INT),
        Member("AccCount", INT),
    ),
    Id(3, 69),
)
"""PackMLCountDataType of OPC 30050, as servers define it."""
ADMIN = Definition(
    Shape.PLAIN,
    (
        Member("Mode", Id(3, 5)),
        Member("Counts", Id(3, 14), 1),
        Member("Any", _ANY),
        Member("Speeds", DOUBLE, 1),
    ),
    Id(3, 70),
)
KNOWN = Types({Id(3, 14): COUNT, Id(3, 13): ADMIN, Id(3, 5): Enumeration({1: "Produce", 2: "Clean"})})


def test_what_is_missing_is_found_through_all_members() -> None:
    assert Types({}).missing(Id(3, 13)) == {Id(3, 13)}
    assert Types({Id(3, 13): ADMIN}).missing(Id(3, 13)) == {Id(3, 14), Id(3, 5)}
    assert KNOWN.missing(Id(3, 13)) == frozenset()
    endless = Types({Id(3, 1): Definition(Shape.PLAIN, (Member("again", Id(3, 1), 1),), Id(3, 2))})
    assert endless.missing(Id(3, 1)) == frozenset()
    assert all(not Types({}).missing(one) for one in BUILT_IN)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        (("Mode",), Leaf(Kind.INT32, names={1: "Produce", 2: "Clean"})),
        (("Counts", 0, "AccCount"), Leaf(Kind.INT32)),
        (("Counts", 0, "Unit", "DisplayName"), Leaf(Kind.LOCALIZED_TEXT)),
        (("Counts", 0), Leaf(Kind.EXTENSION_OBJECT)),
        (("Counts",), Leaf(Kind.EXTENSION_OBJECT, is_array=True)),
        (("Speeds",), Leaf(Kind.DOUBLE, is_array=True)),
        (("Speeds", 3), Leaf(Kind.DOUBLE)),
        (("Any",), Leaf(Kind.VARIANT)),
        (("Any", "what", 7), Leaf(Kind.VARIANT)),
    ],
)
def test_where_a_path_leads_is_known_before_any_value(path: tuple[Step, ...], there: Leaf) -> None:
    assert leaf(KNOWN, Id(3, 13), path) == there


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("Total",), "no member Total; it has Mode, Counts, Any, Speeds"),
        (("Counts", "AccCount"), r"Counts is an array; say which one, as in Counts\[0\]"),
        (("Mode", "x"), "Mode is a plain value and has no member x"),
        (("Counts", 0, "Acc"), "it has ID, Name, Unit, Count, AccCount"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_what_there_is(path: tuple[Step, ...], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        leaf(KNOWN, Id(3, 13), path)


def test_a_plain_data_type_has_no_members() -> None:
    assert leaf(KNOWN, Id(0, 290), ()) == Leaf(Kind.DOUBLE)
    assert leaf(KNOWN, Id(3, 5), ()).names == {1: "Produce", 2: "Clean"}
    assert (
        leaf(KNOWN, Id(9, 9), ()) == leaf(KNOWN, _EXTENSION, ("x",)) == leaf(KNOWN, _ANY, ("x",)) == Leaf(24)
    )
    with pytest.raises(Unusable, match="leave member out"):
        leaf(KNOWN, Id(0, 290), ("x",))
    many = Definition(Shape.PLAIN, tuple(Member(f"m{n}", INT) for n in range(40)), Id(3, 1))
    with pytest.raises(Unusable, match=r"m11 and 28 more"):
        leaf(Types({Id(3, 2): many}), Id(3, 2), ("x",))


# --- as the library encodes -----------------------------------------------------------------------


@contextmanager
def _classes(known: Mapping[int, tuple[str, ua.StructureDefinition]]) -> Iterator[dict[str, Any]]:
    """asyncua's classes for data types of namespace 4; each may use those before it. It keeps them itself."""
    made: dict[str, Any] = {}
    try:
        for number, (name, told) in known.items():
            made |= make_structure(_numeric(number, 4), name, told)
            ua.extension_objects_by_datatype[_numeric(number, 4)] = made[name]
        yield made
    finally:
        for number, (name, _) in known.items():
            ua.extension_objects_by_datatype.pop(_numeric(number, 4), None)
            delattr(ua, name)


_WIRE: dict[int, tuple[str, ua.StructureDefinition]] = {
    1: ("LinesidePart", ua.StructureDefinition(
        _numeric(101, 4), _numeric(22), ua.StructureType.Structure,
        [_field("Serial", _numeric(12)), _field("Weight", _numeric(10)), _field("Steps", _numeric(8), 1)])),
    2: ("LinesideLoose", ua.StructureDefinition(
        _numeric(102, 4), _numeric(22), ua.StructureType.StructureWithOptionalFields,
        [_field("Always", _numeric(3)), _field("Perhaps", _numeric(6), optional=True),
         _field("Part", _numeric(1, 4), optional=True), _field("Last", _numeric(21))])),
    3: ("LinesideEither", ua.StructureDefinition(
        _numeric(103, 4), _numeric(22), ua.StructureType.Union,
        [_field("Number", _numeric(9)), _field("Text", _numeric(12))])),
    4: ("LinesideWhole", ua.StructureDefinition(
        _numeric(104, 4), _numeric(22), ua.StructureType.Structure,
        [_field("Parts", _numeric(1, 4), 1), _field("Loose", _numeric(2, 4)),
         _field("Either", _numeric(3, 4)),
         _field("Made", _numeric(294)), _field("Any", _numeric(24)), _field("Names", _numeric(12), 1),
         _field("End", _numeric(7))])),
}  # fmt: skip


def _whole(made: Mapping[str, Any]) -> object:
    part = made["LinesidePart"]
    return made["LinesideWhole"](
        Parts=[part("A1", 1.5, [1, 2, 3]), part("B2", 2.5, [])],
        Loose=made["LinesideLoose"](
            Always=9, Perhaps=None, Part=part("C3", 3.5, [4]), Last=ua.LocalizedText("ende")
        ),
        Either=made["LinesideEither"](Encoding=2, Value="two"),
        Any=ua.Variant([7, 8], ua.VariantType.Int16),
        Names=["x", "y"],
        End=99,
    )


def test_members_of_what_the_library_encodes() -> None:
    types = Types({Id(4, number): definition(sent(told).raw) for number, (_, told) in _WIRE.items()})
    with _classes(_WIRE) as made:
        value = of(Id(4, 104), struct_to_binary(_whole(made)))

    def there(*path: Step) -> Raw:
        found = follow(value, path, types, Id(4, 4))
        return list(found.raw) if isinstance(found.raw, Array) else found.raw  # type: ignore[return-value]

    assert [there("Parts", 0, "Serial"), there("Parts", 1, "Weight"), there("Parts", 0, "Steps", 2)] == [
        "A1",
        2.5,
        3,
    ]
    assert [there("Loose", "Always"), there("Loose", "Perhaps"), there("Loose", "Part", "Serial")] == [
        9,
        None,
        "C3",
    ]
    assert there("Loose", "Last") == Text(None, "ende")
    assert [there("Either", "Number"), there("Either", "Text")] == [None, "two"]
    assert [there("Any"), there("Any", 1), there("Names"), there("Names", 1), there("End")] == [
        [7, 8],
        8,
        ["x", "y"],
        "y",
        99,
    ]
    assert there("Parts", 0, "Steps") == [1, 2, 3]


def test_a_structure_in_an_array_and_one_that_may_be_of_a_subtype() -> None:
    types = Types({Id(3, 14): COUNT, Id(3, 1): Definition(
        Shape.SUBTYPES,
        (Member("Base", _EXTENSION, optional=True), Member("Number", Id(0, 26), optional=True),
         Member("Last", INT)),
        Id(3, 71),
    )})  # fmt: skip
    unit = struct.pack("<i", -1) + struct.pack("<i", 5) + b"\x00\x00"
    count = struct.pack("<ii", 1, -1) + unit + struct.pack("<ii", 3, 4)
    inside = b"\x02" + struct.pack("<HIB", 3, 69, 1) + struct.pack("<i", len(count)) + count
    body = inside + b"\x0b" + struct.pack("<d", 2.5) + struct.pack("<i", 8)
    value = of(Id(3, 71), body)
    found = [
        follow(value, path, types, Id(3, 1)).raw for path in (("Base", "AccCount"), ("Number",), ("Last",))
    ]
    assert found == [4, 2.5, 8]
    array = Sample(Array(Kind.EXTENSION_OBJECT, 2, inside * 2), kind=Kind.EXTENSION_OBJECT, is_array=True)
    assert follow(array, (1, "Unit", "UnitId"), types, Id(3, 14)).raw == 5


def test_a_union_chooses_one_of_its_members_or_none() -> None:
    types = Types({Id(3, 2): Definition(Shape.UNION, (Member("a", INT), Member("b", INT)), Id(3, 7))})
    number = struct.pack("<i", 5)
    assert follow(of(Id(3, 7), b"\x02\x00\x00\x00" + number), ("b",), types).raw == 5
    assert follow(of(Id(3, 7), b"\x02\x00\x00\x00" + number), ("a",), types) == Sample(None)
    assert follow(of(Id(3, 7), b"\x00\x00\x00\x00"), ("a",), types) == Sample(None)
    with pytest.raises(Malformed, match="a union of 2 has no member 3"):
        follow(of(Id(3, 7), b"\x03\x00\x00\x00" + number), ("b",), types)


def test_a_structure_whose_encoding_is_told_otherwise() -> None:
    """By the data type's own id, or not at all: then the node's data type must do."""
    nameless = Definition(Shape.PLAIN, (Member("Count", INT),), Id(0, 0))
    body = struct.pack("<i", 5)
    types = Types({Id(3, 2): nameless})
    assert follow(of(Id(3, 2), body), ("Count",), types).raw == 5
    assert follow(of(Id(3, 99), body), ("Count",), types, Id(3, 2)).raw == 5
    with pytest.raises(Unusable, match="of a type that the server does not define"):
        follow(of(Id(3, 99), body), ("Count",), types)
    named = Types({Id(3, 2): Definition(Shape.PLAIN, nameless.members, Id(3, 7))})
    with pytest.raises(Unusable, match="of a type that the server does not define"):
        follow(of(Id(3, 99), body), ("Count",), named, Id(3, 2))


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (of(Id(3, 69), None), ("ID",), "empty"),
        (of(Id(3, 69), b"<a/>", xml=True), ("ID",), "XML"),
        (of(Id(3, 69), b""), ("AccCount",), "too early"),
        (of(Id(3, 70), b"\x01\x00\x00\x00\x00\x00\x00\x00"), ("Counts", 0, "AccCount"), "has 0 elements"),
        (of(Id(3, 70), b"\x01\x00\x00\x00\x01\x00\x00\x00"), ("Counts",), r"as in Counts\[0\]"),
        (of(Id(3, 69), b"\x00" * 60), ("Unit",), "name one of its members: NamespaceUri, UnitId"),
        (of(Id(3, 69), b"\x00" * 60), ("Unit", 0), "no member 0"),
        (of(Id(3, 69), b"\x00" * 60), ("ID", 0), "no array"),
        (Sample(Array(6, 1, b"\0\0\0\0"), kind=6, is_array=True), ("ID",), "an array of 1; say which"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(value: Sample, path: tuple[Step, ...], words: str) -> None:
    with pytest.raises((Unusable, Malformed), match=words):
        follow(value, path, KNOWN, None)
