"""Whether a node is what a signal needs: said before the first value, with the key to change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adapters._opcua.binary import Id, Kind, Malformed, Sample
from adapters._opcua.structures import Definition, Leaf, Unusable, leaf
from adapters._opcua.values import Pick, status_name

if TYPE_CHECKING:
    from adapters._opcua.address import Address
    from edge.contract import Signal

_VARIABLE = 2  # NodeClass, OPC 10000-3, 8.29
_CLASSES = {1: "an object", 4: "a method", 8: "an object type", 16: "a variable type", 32: "a reference type",
            64: "a data type", 128: "a view"}  # fmt: skip
_SHOWN = 12
_TITLES = (
    "nothing", "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float",
    "Double", "String", "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId",
    "StatusCode", "QualifiedName", "LocalizedText", "structure", "DataValue", "value of any type",
    "DiagnosticInfo",
)  # fmt: skip
_UNSIGNED = {Kind.BYTE: 8, Kind.UINT16: 16, Kind.UINT32: 32, Kind.UINT64: 64}
_SIGNED = {Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
_EXACT = {Kind.FLOAT: 1 << 24, Kind.DOUBLE: 1 << 53}
"""Above it a number of this type misses whole numbers (IEEE 754)."""
_COUNTS = frozenset({*_UNSIGNED, *_SIGNED, *_EXACT, Kind.SBYTE, Kind.VARIANT})

PLAIN_KINDS = frozenset({Kind.SBYTE, *_UNSIGNED, *_SIGNED, *_EXACT})
_VAGUE = frozenset(Id(0, number) for number in (24, 26, 27, 28))
"""BaseDataType, Number, Integer, UInteger."""

_BAND = "leave server_deadband and trigger out, or give the node a range (EURange) on the server"
_WHY = {
    "BadNodeIdUnknown": "the server has no such node: `lineside probe opcua` shows those that it has",
    "BadNodeIdInvalid": "the server takes this for no node id: `lineside probe opcua` shows how to write it",
    "BadUserAccessDenied": "this user may not read it: give the user the right on the server, or use another",
    "BadNotReadable": "it may not be read: give it the access level CurrentRead on the server",
    "BadAttributeIdInvalid": "it has no value: name a variable in it, not the object itself",
    "BadDeadbandFilterInvalid": f"the server cannot apply this deadband; {_BAND}",
    "BadMonitoredItemFilterUnsupported": f"the server has no such filter; {_BAND}",
    "BadMonitoredItemFilterInvalid": f"the server refuses this filter; {_BAND}",
    "BadFilterNotAllowed": f"the server allows no filter here; {_BAND}",
    "BadTooManyMonitoredItems": "the server watches no more nodes: leave some out, or raise its limit",
}
GONE = (
    "the server has no such node any more: it may come back with its next program; "
    "`lineside probe opcua` shows those that it has"
)
_UNDEFINED = "the server does not tell what its structure is made of (DataTypeDefinition)"
_UNKNOWN = ("BadNodeIdUnknown", "BadNodeIdInvalid")


def is_unknown(status: int) -> bool:
    """Whether the server says that it has no such node."""
    return status_name(status) in _UNKNOWN


def why(status: int) -> str:
    """What a bad status of one node means, and what to do; with the status's own name."""
    name = status_name(status)
    return f"{_WHY[name]} ({name})" if name in _WHY else name


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a server tells of one node; None of what it keeps to itself."""

    status: int = 0
    """Bad where there is no such node."""
    node_class: int | None = None
    type: Id | None = None
    rank: int | None = None
    """-1 a single value, from 0 on an array, others: now this, now that (OPC 10000-3, 5.6.2)."""

    @property
    def is_vague(self) -> bool:
        """Whether its type leaves open which number it is."""
        return self.type in _VAGUE and self.rank == -1 and self.node_class == _VARIABLE

    def contradicts(self, index: int | None) -> bool:
        """Whether it is declared to be an array and no element is named, or the other way round."""
        return self.rank is not None and (self.rank >= 0 if index is None else self.rank == -1)

    def as_it_comes(self, now: Sample) -> "Attributes":
        """With the rank of its value of now: some servers declare another than they send."""
        is_there = now.status >> 31 == 0 and now.raw is not None
        if not is_there or now.kind == Kind.BYTE_STRING:  # which may be an array of Byte
            return self
        return replace(self, rank=1 if now.is_array else -1)

    @classmethod
    def of(cls, node_class: Sample, data_type: Sample, rank: Sample) -> "Attributes":
        raw = data_type.raw
        return cls(
            node_class.status if is_unknown(node_class.status) else 0,
            _whole(node_class), raw if isinstance(raw, Id) and not raw.null else None, _whole(rank),
        )  # fmt: skip


def _whole(sample: Sample) -> int | None:
    is_told = sample.status >> 31 == 0 and isinstance(sample.raw, int)
    return int(sample.raw) if is_told and isinstance(sample.raw, int) else None


@dataclass(frozen=True, slots=True)
class Fitted:
    """How the value is taken, or why it is not; and what may be wrong with it."""

    pick: Pick
    fault: str = ""
    doubt: str = ""
    bandless: bool = False
    """No server can say how far such a value has moved."""


def fit(signal: "Signal[Address]", node: Attributes, pick: Pick) -> Fitted:
    """Hold a signal against what the server says of its node."""
    fault = _no_variable(node) or _shape(node, pick)
    if fault or node.type is None:
        return Fitted(pick, fault)
    if pick.member and pick.types.of(node.type) in (None, Kind.EXTENSION_OBJECT):
        return Fitted(pick, _UNDEFINED)
    try:
        end = leaf(pick.types, node.type, pick.member)
    except (Unusable, Malformed) as error:
        return Fitted(pick, str(error))
    fault = _end_fault(pick, node.type, end)
    if fault:
        return Fitted(pick, fault)
    names = pick.names or end.names
    if signal.address.enumeration == "name" and pick.names is None:
        if not names:
            return Fitted(pick, f'{_titled(end)} has no names: leave enumeration = "name" out')
        pick = replace(pick, names=by_number(names))
    if signal.bits is None:
        doubt = _no_band(pick, end) if signal.address.server_deadband is not None else ""
        return Fitted(pick, doubt=doubt, bandless=bool(doubt))
    return Fitted(pick, _no_count(end), _width(end, signal.bits, is_early=signal.is_early))


def by_number(
    names: Mapping[int, str] | Mapping[str, str] | Mapping[int | str, str],
) -> dict[int | str, str]:
    """Without the numbers that have no name."""
    return {number: name for number, name in names.items() if name}


def _no_variable(node: Attributes) -> str:
    if node.status:
        return why(node.status)
    if node.node_class is None or node.node_class == _VARIABLE:
        return ""
    what = _CLASSES.get(node.node_class, "no variable")
    return f"it is {what} and has no value: name a variable in it"


def _shape(node: Attributes, pick: Pick) -> str:
    """Whether an element is named of an array, and of an array only."""
    if node.rank is None:
        return ""
    if node.rank >= 0 and pick.index is None:
        return "it is an array: say which element, counted from 0, as in index = 0"
    is_bytes = node.type is not None and pick.types.of(node.type) == Kind.BYTE_STRING
    if node.rank == -1 and pick.index is not None and not is_bytes:
        return "it is a single value, no array: leave index out"
    return ""


def _end_fault(pick: Pick, root: Id, end: Leaf) -> str:
    written = _written(pick)
    if end.is_array:
        return f'{written} is an array: say which element, as in member = "{written}[0]"'
    if end.kind != Kind.EXTENSION_OBJECT:
        return ""
    known = pick.types.of(root)
    if pick.member or not isinstance(known, Definition):
        return f"{written or 'it'} is a structure: name one of its members with member"
    names = [one.name for one in known.members]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f'it is a structure: name a member, as in member = "{names[0] if names else ""}"; it has ' + (
        ", ".join(names[:_SHOWN]) + more
    )


def _written(pick: Pick) -> str:
    return "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in pick.member).removeprefix(".")


def _titled(end: Leaf) -> str:
    title = _TITLES[end.kind]
    return f"an {title}" if title[0] in "AEIO" else f"a {title}"


def _no_count(end: Leaf) -> str:
    if end.kind in _COUNTS:
        return ""
    return f"it is {_titled(end)}, and a counter is a number: name the node that counts"


def _no_band(pick: Pick, end: Leaf) -> str:
    """Why a value cannot have a deadband on the server (OPC 10000-4, 7.22.2); empty where it may."""
    if end.kind in (*PLAIN_KINDS, Kind.VARIANT) and not pick.member:
        return ""
    what = "part of a structure" if pick.member else _titled(end)
    return f"it is {what}, and server_deadband is for numbers: leave it out; it is watched without"


def _width(end: Leaf, bits: int, *, is_early: bool) -> str:
    """Where the counter rolls over on the server, and where the configuration says so."""
    if end.kind in _EXACT:
        most = _EXACT[Kind(end.kind)]
        return f"{_titled(end)} counts exactly up to {most:,} only" if bits > most.bit_length() - 1 else ""
    if end.kind in _UNSIGNED:
        own = _UNSIGNED[Kind(end.kind)]
        fits, word = [own], f'counter = "u{own}"'
    elif end.kind in _SIGNED:
        own = _SIGNED[Kind(end.kind)]
        fits = [own - 1, own]
        word = f'counter = "u{own - 1}" where it goes back to 0, "u{own}" where it goes on below it'
    else:
        return ""
    if bits in fits or (is_early and bits < fits[0]):
        return ""
    if is_early:
        return f"it is {_titled(end)}, which holds fewer readings than the file says: write {word}"
    beyond = f"; until then nothing above {(1 << bits) - 1:,} is counted" if bits < fits[0] else ""
    return f"it is {_titled(end)}, and the file says u{bits}: write {word}{beyond}"
