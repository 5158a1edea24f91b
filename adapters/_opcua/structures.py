"""What a server says its structures and enumerations are made of (OPC 10000-3, 8.48 to 8.52)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from adapters._opcua.binary import Array, Extension, Id, Kind, Malformed, Raw, Reader

_STRUCTURE_DEFINITION = Id(0, 122)
_ENUM_DEFINITION = Id(0, 123)
_ENUM_VALUE = Id(0, 8251)
_MOST_MEMBERS = 4096
_STEPS_AT_ONCE, _STEPS_A_SECOND = 250_000, 500_000
"""A step is about a microsecond; a structure of 300 members takes 300."""
SHOWN = 12
"""Names of members that are told."""

Step = str | int | tuple[int, ...]
"""A member's name, a place in an array, or one in each dimension of a matrix."""


class Unusable(LookupError):
    """What was asked for is not in this value; the words say what there is."""


class Shape(StrEnum):
    """How a structure is encoded (StructureType, OPC 10000-3, 8.49)."""

    PLAIN = "structure"
    OPTIONAL = "optional"
    UNION = "union"
    SUBTYPES = "subtypes"
    UNION_SUBTYPES = "union subtypes"


_SHAPES = tuple(Shape)
_LOOSE = (Shape.SUBTYPES, Shape.UNION_SUBTYPES)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure."""

    name: str
    type: Id
    """Its data type."""
    rank: int = -1
    """-1: one value; n: an array of n dimensions."""
    optional: bool = False
    """It may be missing; in the shapes with subtypes: a subtype may be in its place."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a structure is made of."""

    shape: Shape
    members: tuple[Member, ...]
    encoding: Id
    """Names the structure in an ExtensionObject; some servers leave it null."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The names of numbers."""

    names: Mapping[int, str]
    kind: int = Kind.INT32
    """The built-in type on the wire; a set of options has an unsigned one."""


Type = Definition | Enumeration | int
"""An int is the built-in type that a data type is, or is derived from."""


def _built_in() -> Mapping[Id, Type]:
    derived: dict[int, tuple[int, ...]] = {
        Kind.UINT16: (95,),  # AccessRestrictionType
        Kind.UINT32: (
            94,
            288,
            289,
            17588,
            20998,
            31917,
        ),  # permissions, ids, counters, index, version, handle
        Kind.UINT64: (11737,),  # BitFieldMaskDataType
        Kind.DOUBLE: (290,),  # Duration
        Kind.STRING: (291, 292, 295, 12877, 12878, 12879, 12880, 12881, 23751, 24263, 31918),  # kinds of text
        Kind.DATE_TIME: (293, 294),  # Date, UtcTime
        Kind.BYTE_STRING: (30, 311, 521, 2000, 2001, 2002, 2003, 16307),  # images, certificate, audio
        Kind.NODE_ID: (388,),  # SessionAuthenticationToken
        Kind.VARIANT: (26, 27, 28),  # Number, Integer, UInteger: any of them may come
    }
    known: dict[Id, Type] = {Id(0, kind): int(kind) for kind in Kind if kind}
    known |= {Id(0, number): int(kind) for kind, numbers in derived.items() for number in numbers}
    known[Id(0, 29)] = Enumeration({})
    return MappingProxyType(known | _STANDARD)


def _plain(encoding: int, **members: int) -> Definition:
    made = tuple(Member(name, Id(0, kind)) for name, kind in members.items())
    return Definition(Shape.PLAIN, made, Id(0, encoding))


_STANDARD: dict[Id, Type] = {
    Id(0, 884): _plain(886, Low=Kind.DOUBLE, High=Kind.DOUBLE),
    Id(0, 887): _plain(
        889,
        NamespaceUri=Kind.STRING,
        UnitId=Kind.INT32,
        DisplayName=Kind.LOCALIZED_TEXT,
        Description=Kind.LOCALIZED_TEXT,
    ),
    Id(0, 8912): _plain(8917, Offset=Kind.INT16, DaylightSavingInOffset=Kind.BOOLEAN),
}
"""Range, EUInformation and TimeZoneDataType: many servers use them and do not define them."""

BUILT_IN = _built_in()
"""The data types of namespace 0 that need not be asked for; ids from its NodeIds.csv."""


# --- definitions, as servers send them ------------------------------------------------------------


def definition(raw: Raw) -> Definition | Enumeration:
    """The value of a DataTypeDefinition attribute. Raises Malformed."""
    if not isinstance(raw, Extension) or raw.body is None:
        raise Malformed("the data type has no definition")
    reader = Reader(raw.body)
    if raw.type == _STRUCTURE_DEFINITION:
        return _structure(reader)
    if raw.type == _ENUM_DEFINITION:
        return Enumeration(dict(_enum_field(reader, named=True) for _ in range(_members(reader))))
    raise Malformed(f"a definition of type {raw.type.identifier!r}")


def _members(reader: Reader) -> int:
    count = reader.count(8)
    if count > _MOST_MEMBERS:
        raise Malformed(f"a definition of {count} members")
    return count


def _structure(reader: Reader) -> Definition:
    encoding, _base, shape = reader.identifier(), reader.identifier(), reader.int32()
    if not 0 <= shape < len(_SHAPES):
        raise Malformed(f"a structure of shape {shape}")
    members = tuple(_field(reader) for _ in range(_members(reader)))
    return Definition(_SHAPES[shape], members, encoding)


def _field(reader: Reader) -> Member:
    name = reader.text() or ""
    reader.scalar(Kind.LOCALIZED_TEXT)
    kind, rank = reader.identifier(), reader.int32()
    reader.array(Kind.UINT32)
    reader.take(4)  # MaxStringLength
    return Member(name, kind, rank, bool(reader.byte()))


def _enum_field(reader: Reader, *, named: bool) -> tuple[int, str]:
    """An EnumField, or an EnumValueType, which has no name and is called as it is displayed."""
    value = reader.scalar(Kind.INT64)
    shown = reader.scalar(Kind.LOCALIZED_TEXT)
    reader.scalar(Kind.LOCALIZED_TEXT)
    name = (reader.text() if named else None) or getattr(shown, "text", None) or ""
    return (value if isinstance(value, int) else 0), name


def enum_strings(raw: Raw) -> dict[int, str]:
    """The property EnumStrings: LocalizedTexts, numbered from 0. Raises Malformed."""
    if not isinstance(raw, Array) or raw.kind != Kind.LOCALIZED_TEXT or len(raw) > _MOST_MEMBERS:
        raise Malformed("EnumStrings are no list of texts")
    return {number: getattr(one, "text", None) or "" for number, one in enumerate(raw)}


def enum_values(raw: Raw) -> dict[int, str]:
    """The property EnumValues: structures of type EnumValueType. Raises Malformed."""
    if not isinstance(raw, Array) or raw.kind != Kind.EXTENSION_OBJECT or len(raw) > _MOST_MEMBERS:
        raise Malformed("EnumValues are no list of structures")
    names = {}
    for one in raw:
        if not isinstance(one, Extension) or one.type != _ENUM_VALUE or one.body is None:
            raise Malformed("EnumValues are no list of EnumValueType")
        value, name = _enum_field(Reader(one.body), named=False)
        names[value] = name
    return names


# --- what is known of one server's types ----------------------------------------------------------


class Effort:
    """Steps within structures that one server may cost: some at once, and as many again with time.

    A message of a few megabytes may hold thousands of structures that take a quarter of a second each.
    """

    __slots__ = ("_at_s", "_left")

    def __init__(self) -> None:
        self._left, self._at_s = float(_STEPS_AT_ONCE), time.monotonic()

    def ask(self) -> None:
        """Raises Unusable where nothing is left."""
        now_s = time.monotonic()
        self._left = min(self._left + (now_s - self._at_s) * _STEPS_A_SECOND, _STEPS_AT_ONCE)
        self._at_s = now_s
        if self._left <= 0:
            raise Unusable("the server sends larger structures, or more of them, than can be read in time")

    def spend(self, steps: int) -> None:
        """After the fact: the last one may have cost more than there was."""
        self._left -= steps


class Types:
    """The data types of one server, by their ids there."""

    __slots__ = ("_by_encoding", "_known", "effort")

    def __init__(self, by_data_type: Mapping[Id, Type]) -> None:
        self.effort = Effort()
        self._known = {**BUILT_IN, **by_data_type}
        self._by_encoding = {
            one.encoding: one
            for one in self._known.values()
            if isinstance(one, Definition) and not one.encoding.null
        }

    def of(self, data_type: Id) -> Type | None:
        """What a data type is; None where nobody has asked yet."""
        return self._known.get(data_type)

    def encoded(self, encoding: Id) -> Definition | None:
        """The structure that an ExtensionObject names."""
        return self._by_encoding.get(encoding)

    def missing(self, *roots: Id) -> frozenset[Id]:
        """Data types that must be known before values of these can be read, and are not."""
        seen, missing, ahead = set(roots), set(), list(roots)
        while ahead:
            one = ahead.pop()
            known = self.of(one)
            if known is None:
                missing.add(one)
            elif isinstance(known, Definition):
                new = {member.type for member in known.members} - seen
                seen |= new
                ahead += new
        return frozenset(missing)

    def form(self, owner: Definition, member: Member) -> Definition | int:
        """How one value of a member is encoded: in place, or as a built-in type. Raises Malformed."""
        known = self.of(member.type)
        if known is None:
            raise Malformed(f"the server does not say what {member.name} is")
        if member.optional and owner.shape in _LOOSE:
            inside = isinstance(known, Definition) or known == Kind.EXTENSION_OBJECT
            return int(Kind.EXTENSION_OBJECT if inside else Kind.VARIANT)
        return known.kind if isinstance(known, Enumeration) else known


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a path ends in."""

    kind: int
    """Built-in type; 22 a structure, 24 where only the value can tell."""
    is_array: bool = False
    names: Mapping[int, str] | None = None
    """Of an enumeration."""


def leaf(types: Types, root: Id, path: Sequence[Step]) -> Leaf:
    """What there is at a path, before any value came. Raises Unusable, in words, and Malformed."""
    known = types.of(root)
    if isinstance(known, Definition):
        return _leaf_in(types, known, path)
    if path and known not in (None, Kind.EXTENSION_OBJECT, Kind.VARIANT):
        raise Unusable("the value is no structure; leave member out")
    return Leaf(Kind.VARIANT) if path else _leaf(known, is_array=False)


def _leaf_in(types: Types, owner: Definition, path: Sequence[Step]) -> Leaf:
    if not path:
        return Leaf(Kind.EXTENSION_OBJECT)
    member = named(owner, path[0])
    form, rest = types.form(owner, member), path[1:]
    if member.rank > 0:
        if not rest:
            return Leaf(_kind(form), is_array=True)
        if isinstance(rest[0], str):
            raise Unusable(f"{member.name} is an array; say which one, as in {member.name}[0]")
        rest = rest[1:]
    if isinstance(form, Definition):
        return _leaf_in(types, form, rest)
    if form in (Kind.EXTENSION_OBJECT, Kind.VARIANT):
        return Leaf(Kind.VARIANT if rest else form)
    if rest:
        raise Unusable(f"{member.name} is a plain value and has no member {rest[0]}")
    return _leaf(types.of(member.type), is_array=False)


def _leaf(known: Type | None, *, is_array: bool) -> Leaf:
    if isinstance(known, Enumeration):
        return Leaf(known.kind, is_array, known.names)
    return Leaf(Kind.VARIANT if known is None else _kind(known), is_array)


def _kind(form: Definition | Enumeration | int) -> int:
    if isinstance(form, Definition):
        return int(Kind.EXTENSION_OBJECT)
    return form.kind if isinstance(form, Enumeration) else form


def named(owner: Definition, step: Step) -> Member:
    """The member of this name. Raises Unusable, with the names that there are."""
    for member in owner.members:
        if member.name == step:
            return member
    names = [member.name for member in owner.members]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise Unusable(f"the structure has no member {step}; it has {', '.join(names[:SHOWN])}{more}")
