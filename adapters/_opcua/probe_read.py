"""What a server's variables are: type, access, unit, value, and how often that changes. Only ever reads."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.binary import Array, Id, Kind, Malformed, Raw, Sample, Text
from adapters._opcua.browse import View
from adapters._opcua.link import Fault, Link
from adapters._opcua.members import follow
from adapters._opcua.probe_marks import Mark, Trace, vocabulary
from adapters._opcua.probe_pace import Pace
from adapters._opcua.probe_types import DataType, members_of, name_of, short_text, types_of
from adapters._opcua.probe_walk import Spot, Tree
from adapters._opcua.structures import Types, Unusable, enum_strings, enum_values
from adapters._opcua.values import PLAIN, Pick, Reading, reading
from edge.contract import Value

ABSORBED = vocabulary(
    """EngineeringUnits EURange InstrumentRange EnumStrings EnumValues ValuePrecision ValueAsText Definition
    TrueState FalseState InputArguments OutputArguments EnumDictionaryEntries"""
)
"""Properties that say something of their variable: told with it, not as values of their own."""

MOST_ELEMENTS = 16
_MOST_ITEMS = 100
MOST_WATCHED = 2_000
_MOST_TO_READ = 10_000
"""Elements of an array: a longer one is not read at all, for it may be longer than a message."""
_AT_ONCE = 200
_BULKY_AT_ONCE = 20
_BULKY = frozenset(
    {"String", "ByteString", "XmlElement", "Image", "LocalizedText", "Structure", "BaseDataType"}
)
_QUICKEST_S = 0.25
_MOST_DIMENSIONS = 8
_WRITE = 0x02  # CurrentWrite, OPC 10000-3, 8.57
_UNKNOWN = DataType()
_TOO_LONG = frozenset(
    (
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadEncodingLimitsExceeded,
        StatusCodes.BadTcpMessageTooLarge,
        StatusCodes.BadOutOfMemory,
    )
)
_DESCRIBED = (
    AttributeIds.DataType, AttributeIds.ValueRank, AttributeIds.ArrayDimensions, AttributeIds.UserAccessLevel
)  # fmt: skip
_TELLING = ("EngineeringUnits", "EURange", "EnumStrings", "EnumValues")
_TYPES = Types({})


class Reader(Protocol):
    """What reads values: a Link."""

    async def read(self, nodes: Sequence[ua.NodeId]) -> Sequence[Sample]: ...


@dataclass(slots=True, eq=False)
class Item:
    """One value: a variable's, that of an element of it, or that of a member."""

    spot: Spot
    pick: Pick = PLAIN
    kind: str = ""
    """Its built-in type."""
    codes: Mapping[int, str] | None = None
    """Of an enumeration: the names of its numbers."""
    trace: Trace = field(default_factory=Trace)
    mark: Mark | None = None

    def names(self) -> list[str]:
        """Its path, with the members at the end."""
        return [*self.spot.names(), *(one for one in self.pick.member if isinstance(one, str))]

    @property
    def index(self) -> int | None:
        return self.pick.index if isinstance(self.pick.index, int) else None

    @property
    def member(self) -> str:
        """As the key `member` has it."""
        steps = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in self.pick.member)
        return "".join(steps).removeprefix(".")


@dataclass(slots=True, eq=False)
class Variable:
    """One variable, with all that was read of it."""

    spot: Spot
    type: DataType
    rank: int
    is_writable: bool
    size: int = 0
    """Elements that its ArrayDimensions name; 0: not said."""
    sample: Sample | None = None
    unit: str = ""
    span: tuple[float, float] | None = None
    names: Mapping[int, str] | None = None
    """Of an enumeration."""
    items: list[Item] = field(default_factory=list)
    """What is watched of it."""

    @property
    def reading(self) -> Reading | None:
        """What the agent would make of it; None where it was not read."""
        return None if self.sample is None else reading(self.sample, PLAIN)

    @property
    def is_bulky(self) -> bool:
        return self.rank != -1 or self.type.built_in in _BULKY


async def variables(view: View, tree: Tree, pace: Pace, tell: Callable[[str], None]) -> list[Variable]:
    """Every variable of the tree, read once."""
    spots = [one for one in tree.top.below() if one.is_variable and not one.is_again]
    own = [one for one in spots if one.name not in ABSORBED]
    tell(f"{len(own):,} variables; reading what they are")
    made, server = await _described(view, own, pace), view.link
    await _read(server, [one for one in made if not one.is_bulky], _AT_ONCE, pace)
    bulky = [one for one in made if one.is_bulky and one.size <= _MOST_TO_READ]
    await _read(server, bulky, _BULKY_AT_ONCE, pace)
    await _properties(server, made, pace)
    return made


async def _described(view: View, spots: Sequence[Spot], pace: Pace) -> list[Variable]:
    made: list[Variable] = []
    known: dict[Id, DataType] = {}
    for at in range(0, len(spots), _AT_ONCE):
        if pace.is_over:
            break
        some = spots[at : at + _AT_ONCE]
        columns = [await _column(view.link, some, attribute, pace) for attribute in _DESCRIBED]
        kinds = {one for one in columns[0] if isinstance(one, Id)}
        known |= await types_of(view, kinds - known.keys())
        for spot, kind, rank, size, right in zip(some, *columns, strict=True):
            data_type = known.get(kind, _UNKNOWN) if isinstance(kind, Id) else _UNKNOWN
            whole = rank if isinstance(rank, int) else -1
            writable = isinstance(right, int) and bool(right & _WRITE)
            made.append(Variable(spot, data_type, whole, writable, _elements(size), names=data_type.names))
    return made


async def _column(server: Link, some: Sequence[Spot], attribute: int, pace: Pace) -> list[Raw]:
    found = await pace.paced(server.attributes([one.id for one in some], attribute))
    return [None if one.status >> 31 else one.raw for one in found]


def _elements(dimensions: Raw) -> int:
    if not isinstance(dimensions, Array) or not 0 < len(dimensions) <= _MOST_DIMENSIONS:
        return 0
    return math.prod(one if isinstance(one, int) else 0 for one in dimensions)


async def _read(server: Reader, some: Sequence[Variable], at_once: int, pace: Pace) -> None:
    for at in range(0, len(some), at_once):
        if pace.is_over:
            return
        wanted = some[at : at + at_once]
        for one, sample in zip(wanted, await _samples(server, wanted, pace), strict=True):
            one.sample = sample


async def _samples(server: Reader, some: Sequence[Variable], pace: Pace) -> list[Sample | None]:
    """The values; None of one that the server refuses to send even alone, such as one that is too long."""
    try:
        return list(await pace.paced(server.read([one.spot.id for one in some])))
    except Fault as fault:
        if fault.status not in _TOO_LONG:
            raise
        if len(some) == 1:
            return [None]
    return [(await _samples(server, [one], pace))[0] for one in some]


# --- properties -----------------------------------------------------------------------------------


async def _properties(server: Link, made: Sequence[Variable], pace: Pace) -> None:
    """Units, ranges and the names of states, where a variable has such a property."""
    having = [(one, child) for one in made for child in one.spot.children if child.name in _TELLING]
    for at in range(0, len(having), _AT_ONCE):
        if pace.is_over:
            return
        some = having[at : at + _AT_ONCE]
        samples = await pace.paced(server.read([child.id for _, child in some]))
        for (one, child), sample in zip(some, samples, strict=True):
            if not sample.status >> 31:
                _told(one, child.name, sample)


def _told(one: Variable, name: str, sample: Sample) -> None:
    """What cannot be read is no property."""
    try:
        if name == "EngineeringUnits":
            one.unit = _unit(follow(sample, ("DisplayName",), _TYPES).raw)
        elif name == "EURange":
            low, high = (follow(sample, (end,), _TYPES).raw for end in ("Low", "High"))
            one.span = (low, high) if isinstance(low, float) and isinstance(high, float) else None
        else:
            found = (enum_strings if name == "EnumStrings" else enum_values)(sample.raw)
            one.names = {number: short_text(text) for number, text in found.items()} or one.names
    except (Malformed, Unusable):
        return


def _unit(raw: Raw) -> str:
    return short_text(raw.text) if isinstance(raw, Text) else ""


# --- watching -------------------------------------------------------------------------------------


async def watch(server: Reader, made: Sequence[Variable], for_s: float, pace: Pace) -> int:
    """Read what can change again and again for so long; returns how many variables that was."""
    watched: list[Variable] = []
    for one in made:
        one.items = _items(one) if len(watched) < MOST_WATCHED else []
        if one.items:
            watched.append(one)
            _taken(one, time.monotonic())
    end_s = time.monotonic() + for_s
    while watched and time.monotonic() < end_s and not pace.is_over:
        began_s = time.monotonic()
        await _round(server, watched, pace)
        await pace.rest(min(began_s + _QUICKEST_S, end_s) - time.monotonic())
    return len(watched)


async def _round(server: Reader, watched: Sequence[Variable], pace: Pace) -> None:
    for at in range(0, len(watched), _AT_ONCE):
        if pace.is_over:
            return
        some = watched[at : at + _AT_ONCE]
        samples = await _samples(server, some, pace)
        now_s = time.monotonic()
        for one, sample in zip(some, samples, strict=True):
            one.sample = sample or one.sample
            _taken(one, now_s)


def _items(one: Variable) -> list[Item]:
    """What can be watched of it: whatever the agent could read."""
    sample = one.sample
    if sample is None or sample.status >> 31 or sample.raw is None:
        return []
    places: list[int | None] = [None]
    if isinstance(sample.raw, Array):
        places = list(range(len(sample.raw))) if len(sample.raw) <= MOST_ELEMENTS else []
    kind = name_of(sample)
    if sample.kind == Kind.EXTENSION_OBJECT:
        found = [
            Item(one.spot, Pick(at, path, one.type.types, one.type.root), inner, codes)
            for at in places
            for path, inner, codes in members_of(one.type)
        ]
    else:
        found = [Item(one.spot, Pick(index=at), kind, one.names) for at in places]
    return [item for item in found if value_of(sample, item.pick) is not None][:_MOST_ITEMS]


def _taken(one: Variable, now_s: float) -> None:
    for item in one.items:
        if one.sample is not None:
            item.trace.take(value_of(one.sample, item.pick), now_s)


def value_of(sample: Sample, pick: Pick) -> Value:
    """As the agent reads it; None of what has no value that can be used."""
    return reading(sample, pick).value


def type_text(one: Variable) -> str:
    """`UInt32`, `UInt32[4]`, `MachineState (Int32)`."""
    kind = name_of(one.sample) if one.sample is not None and one.sample.kind else one.type.built_in
    name = one.type.name or kind
    length = ""
    if one.sample is not None and one.sample.is_array:
        length = f"[{_size(one.sample.raw)}]"
    elif one.rank >= 0:
        length = f"[{one.size or ''}]"
    base = f" ({kind})" if kind and kind not in (name, "ExtensionObject") else ""
    return f"{name}{base}{length}"


def _size(raw: Raw) -> str:
    """`6`, of a matrix `2 x 3`."""
    if not isinstance(raw, Array):
        return "0"
    return " x ".join(map(str, raw.dimensions)) if raw.dimensions else str(len(raw))
