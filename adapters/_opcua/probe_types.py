"""A server's data types: their names, the names of states, and what structures are made of."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames

from adapters._opcua.binary import Id, Kind, Malformed, QName, Sample
from adapters._opcua.browse import View, numbered
from adapters._opcua.structures import Definition, Enumeration, Leaf, Step, Types, Unusable, leaf
from adapters._opcua.types import learn

_MOST_TYPES = 500
_MOST_NAMES = 1_000
_LONGEST = 60
_BUILT_IN = 25
_MOST_MEMBERS = 40
"""Of one structure, with those of the structures in it."""
_DEEPEST = 4
_MOST_ELEMENTS = 4
"""Of an array inside a structure."""


_NO_TYPES = Types({})


@dataclass(frozen=True, slots=True)
class DataType:
    """One data type."""

    name: str = ""
    built_in: str = ""
    """The built-in type, where that is known without a value."""
    names: Mapping[int, str] | None = None
    """Of an enumeration."""
    root: Id | None = None
    """Its own id."""
    types: Types = _NO_TYPES
    """What it takes to look into its values."""


async def types_of(view: View, wanted: Collection[Id]) -> dict[Id, DataType]:
    """Each of them; those of the server's own are asked for, some hundreds at the most."""
    own = [one for one in wanted if one.namespace != 0][:_MOST_TYPES]
    names = await view.link.attributes([numbered(one) for one in own], AttributeIds.BrowseName) if own else []
    called = {one: name.raw.name for one, name in zip(own, names, strict=True) if isinstance(name.raw, QName)}
    types = await learn(view, own) if own else _NO_TYPES
    return {one: _data_type(one, called.get(one), types) for one in [*own, *_standard(wanted)]}


def _standard(wanted: Collection[Id]) -> Iterator[Id]:
    return (one for one in wanted if one.namespace == 0)


def _data_type(one: Id, called: str | None, types: Types) -> DataType:
    number = one.identifier if one.namespace == 0 and isinstance(one.identifier, int) else 0
    name = short_text(called) or ObjectIdNames.get(number, "")
    known = types.of(one)
    if isinstance(known, Enumeration):
        names = {code: short_text(text) for code, text in list(known.names.items())[:_MOST_NAMES]}
        return DataType(name, _named(known.kind), names or None, one, types)
    kind = Kind.EXTENSION_OBJECT if isinstance(known, Definition) else known
    return DataType(name, "" if kind is None else _named(kind), None, one, types)


def _named(kind: int) -> str:
    return ObjectIdNames.get(kind, "") if 0 < kind <= _BUILT_IN else ""


def name_of(sample: Sample) -> str:
    """The built-in type that a value came as."""
    return _named(sample.kind)


def members_of(data_type: DataType) -> list[tuple[tuple[Step, ...], str, Mapping[int, str] | None]]:
    """What is in a structure: the path to each single value, its built-in type, an enumeration's names."""
    if data_type.root is None:
        return []
    found: list[tuple[tuple[Step, ...], str, Mapping[int, str] | None]] = []
    for path in _paths(data_type.types, data_type.types.of(data_type.root), _DEEPEST):
        if (end := _leaf(data_type, path)) is not None and not end.is_array:
            found.append((path, _named(end.kind), end.names))
        if len(found) == _MOST_MEMBERS:
            break
    return found


def _leaf(data_type: DataType, path: tuple[Step, ...]) -> Leaf | None:
    try:
        return None if data_type.root is None else leaf(data_type.types, data_type.root, path)
    except (Unusable, Malformed):
        return None


def _paths(types: Types, known: object, deep: int) -> Iterator[tuple[Step, ...]]:
    if not isinstance(known, Definition) or not deep:
        return
    for member in known.members:
        inner = types.of(member.type)
        places: list[tuple[Step, ...]] = [(member.name,)]
        if member.rank > 0:
            places = [(member.name, at) for at in range(_MOST_ELEMENTS)] if member.rank == 1 else []
        for place in places:
            if isinstance(inner, Definition):
                yield from ((*place, *rest) for rest in _paths(types, inner, deep - 1))
            else:
                yield place


def short_text(text: str | None) -> str:
    """At the most so much of what a server calls something."""
    return (text or "")[:_LONGEST]
