"""Data types of a server's own, asked of it as far as signals need them."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.binary import Id, Malformed, Raw
from adapters._opcua.browse import HAS_PROPERTY, HAS_SUBTYPE, VARIABLES, View, ident, numbered
from adapters._opcua.link import Fault
from adapters._opcua.models import PACKML_URI
from adapters._opcua.patience import Spent
from adapters._opcua.structures import (
    BUILT_IN,
    Definition,
    Enumeration,
    Member,
    Shape,
    Type,
    Types,
    definition,
    enum_strings,
    enum_values,
)

_ROUNDS = 20
"""Types in types in types: no deeper than this."""
_MOST_TYPES = 2_000
_MOST_MEMBERS = 30_000
"""And names of enumerations: of all types together, and of those that one answer tells."""
ENUMERATION = Id(0, ObjectIds.Enumeration)
_INT32 = Id(0, ObjectIds.Int32)
_STRING = Id(0, ObjectIds.String)
_EU_INFORMATION = Id(0, ObjectIds.EUInformation)
_COUNT_TYPE, _COUNT_ENCODING = 14, 69
_READERS: Mapping[str, Callable[[Raw], dict[int, str]]] = {
    "EnumStrings": enum_strings,
    "EnumValues": enum_values,
}


async def learn(view: View, roots: Iterable[Id]) -> Types:
    """All that is needed to decode values of these types. A type that the server does not tell is missing."""
    known, tried = dict[Id, Type](), set[Id]()
    wanted = set(roots)
    for _ in range(_ROUNDS):
        types = Types(known)
        missing = types.missing(*wanted) - tried
        too_many = len(known) + len(missing) > _MOST_TYPES or _members(known.values()) > _MOST_MEMBERS
        if not missing or too_many:
            break
        tried |= missing
        try:
            known.update(await _fetch(view, list(missing)))
        except Spent:
            break
    return Types(known)


async def _fetch(view: View, wanted: list[Id]) -> dict[Id, Type]:
    """Each by its definition, or by what it is derived from."""
    counts: dict[Id, Type] = {one: _packml_count(one.namespace) for one in wanted if _is_count(view, one)}
    found = counts | await _definitions(view, wanted)
    return found | await _inherited(view, [one for one in wanted if one not in found])


async def _definitions(view: View, wanted: list[Id]) -> dict[Id, Type]:
    nodes = [numbered(one) for one in wanted]
    samples = await view.link.attributes(nodes, AttributeIds.DataTypeDefinition)
    found = dict[Id, Type]()
    for one, sample in zip(wanted, samples, strict=True):
        if _members(found.values()) > _MOST_MEMBERS:
            break
        if sample.status >> 31 == 0 and sample.raw is not None and not sample.is_array:
            with contextlib.suppress(Malformed):
                found[one] = definition(sample.raw)
    return found


def _members(types: Collection[Type]) -> int:
    """Members of structures, and names of enumerations."""
    structures = sum(len(one.members) for one in types if isinstance(one, Definition))
    return structures + sum(len(one.names) for one in types if isinstance(one, Enumeration))


async def _inherited(view: View, wanted: list[Id]) -> dict[Id, Type]:
    """Of types without a definition: the built-in type, or the described one, that each is derived from."""
    found, at = dict[Id, Type](), {one: one for one in wanted}
    for _ in range(_ROUNDS):
        if not at:
            break
        try:
            above = await view.below([numbered(one) for one in at.values()], along=HAS_SUBTYPE, up=True)
        except Fault:  # a server that shows nobody its nodes
            break
        parents = {one: ident(some[0].node) for (one, _), some in zip(at.items(), above, strict=True) if some}
        ends = {one: parent for one, parent in parents.items() if parent in BUILT_IN or parent == ENUMERATION}
        for one, parent in ends.items():
            names = await names_of(view, numbered(one)) if parent == ENUMERATION else None
            found[one] = Enumeration(names) if names is not None else BUILT_IN[parent]
        at = {one: parent for one, parent in parents.items() if one not in ends}
    return found


async def names_of(view: View, node: ua.NodeId) -> Mapping[int, str]:
    """The names of an enumeration, from the properties of its data type or of a variable; may be none."""
    try:
        (properties,) = await view.below([node], VARIABLES, HAS_PROPERTY)
    except Fault:
        return {}
    for one in properties:
        reader = _READERS.get(one.name) if one.space == 0 else None
        if reader is not None:
            (sample,) = await view.link.read([one.node])
            with contextlib.suppress(Malformed):
                return reader(sample.raw)
    return {}


def _is_count(view: View, one: Id) -> bool:
    is_packml = one.namespace < len(view.namespaces) and view.namespaces[one.namespace] == PACKML_URI
    return is_packml and one.identifier == _COUNT_TYPE


def _packml_count(namespace: int) -> Definition:
    """PackMLCountDataType, OPC 30050, 6.5.3: for servers older than the attribute that would tell it."""
    members = (
        Member("ID", _INT32, -1),
        Member("Name", _STRING, -1),
        Member("Unit", _EU_INFORMATION, -1),
        Member("Count", _INT32, -1),
        Member("AccCount", _INT32, -1),
    )
    return Definition(Shape.PLAIN, members, Id(namespace, _COUNT_ENCODING))
