"""From the keys of signals to nodes of one server, on one connection: its numbers may differ on the next."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.binary import Id
from adapters._opcua.browse import View
from adapters._opcua.fitting import GONE, PLAIN_KINDS, Attributes, by_number, fit, is_unknown, why
from adapters._opcua.link import Fault
from adapters._opcua.machines import Located, locate
from adapters._opcua.nodes import UnknownNamespace, parse_node
from adapters._opcua.paths import Step, browse_path, parse_member, parse_path
from adapters._opcua.patience import LOOKED_S, MOST_SEEN, Patience, Spent
from adapters._opcua.structures import Types
from adapters._opcua.types import ENUMERATION, learn, names_of
from adapters._opcua.values import PLAIN, Pick, Reading
from adapters._opcua.ways import explain, walked

if TYPE_CHECKING:
    from adapters._opcua.address import Address
    from adapters._opcua.link import Link
    from edge.contract import Signal

_MOST_TOLD = 10_000
_TRIGGERS = {"status": 0, "value": 1, "timestamp": 2}
"""DataChangeTrigger, OPC 10000-4, 7.10."""
_ABSOLUTE, _PERCENT = 1, 2
"""DeadbandType, OPC 10000-4, 7.22.2."""

_log = logging.getLogger(__name__)
_told: set[str] = set()


class Place(Protocol):
    """What names a node by its id or by a browse path."""

    @property
    def node(self) -> str | None: ...

    @property
    def path(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """The node of a place; a fault says why there is none."""

    node: ua.NodeId = field(default_factory=ua.NodeId)
    fault: str = ""
    foreign: bool = False
    given_up: bool = False
    """The server was not looked through to the end."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a monitored item is sent for, and how many values of it wait on the server."""

    queue: int
    trigger: int = _TRIGGERS["value"]
    deadband: float = 0.0
    deadband_type: int = 0

    @property
    def plain(self) -> bool:
        """What every server does by itself: none is sent then, for many refuse every filter."""
        return self.trigger == _TRIGGERS["value"] and self.deadband_type == 0

    @classmethod
    def of(cls, address: "Address") -> "Filter":
        band, trigger = address.server_deadband, _TRIGGERS[address.trigger]
        if band is None:
            return cls(address.queue, trigger)
        return cls(address.queue, trigger, band.width, _PERCENT if band.is_percent else _ABSOLUTE)


@dataclass(frozen=True, slots=True)
class Resolved:
    """One signal on this connection."""

    where: str
    """Its address as it is written."""
    filter: Filter
    node: ua.NodeId = field(default_factory=ua.NodeId)
    """Null where there is a fault."""
    pick: Pick = PLAIN
    """Which part of the node's value it is."""
    more: tuple[ua.NodeId, ...] = ()
    """Further nodes, of a state that is spread over state machines; see `combine`."""
    fault: str = ""
    """Why it cannot be read, and what to do; empty where it can."""
    foreign: bool = False
    """It names a namespace that this server has not."""
    absent: bool = False
    """The server says that it has no such node."""
    given_up: bool = False
    """The server was not looked through to the end."""
    doubt: str = ""
    """What may be wrong although it can be read."""

    def refused(self, status: int) -> str:
        """Why the server does not watch the node, or does not read it, and what to do.

        It was there when it was resolved: some servers then take the id of one that is gone for none at all.
        """
        return self.gone if is_unknown(status) else f"{self.where}: {why(status)}"

    @property
    def gone(self) -> str:
        """What is said of a node that was there."""
        return f"{self.where}: {GONE}"


async def resolve(
    link: "Link", signals: "Sequence[Signal[Address]]", within_s: float = LOOKED_S
) -> list[Resolved]:
    """Where each signal is now, in their order; one that is nowhere hinders no other.

    `within_s`: how long the server is looked through for them. Raises SourceLost and SourceRefused.
    """
    view = View(link, await link.namespaces(), Patience(within_s, MOST_SEEN))
    places = await _places(view, [one.address for one in signals])
    sound = [place.node for place in places if not place.fault]
    attributes = await _as_they_come(view, signals, places, await _attributes(view, sound))
    types = await learn(view, {one.type for one in attributes.values() if one.type is not None})
    return [
        await _resolved(view, signal, place, attributes.get(place.node, Attributes()), types)
        for signal, place in zip(signals, places, strict=True)
    ]


async def _resolved(
    view: View, signal: "Signal[Address]", place: Located, attributes: Attributes, types: Types
) -> Resolved:
    address, written, chosen = signal.address, where(signal.address), Filter.of(signal.address)
    if place.fault:
        return Resolved(written, chosen, fault=place.fault, foreign=place.foreign, given_up=place.given_up)
    try:
        names = await _names(view, address, place, attributes)
    except Spent as spent:
        return Resolved(written, chosen, fault=f"{written}: {spent}", given_up=True)
    if view.patience.spent and attributes.type is not None and types.missing(attributes.type):
        return Resolved(written, chosen, fault=f"{written}: {view.patience.spent}", given_up=True)
    fitted = fit(signal, attributes, _pick(address, place, attributes, names, types, view))
    if fitted.fault:
        absent = bool(attributes.status)
        return Resolved(written, chosen, fault=f"{written}: {fitted.fault}", absent=absent)
    pick = fitted.pick
    if pick.index is None and not pick.member and pick.names is None:
        pick = PLAIN
    if fitted.bandless:
        chosen = Filter(chosen.queue, chosen.trigger)
    doubt = f"{written}: {fitted.doubt}" if fitted.doubt else ""
    return Resolved(written, chosen, place.node, pick, place.more, doubt=doubt)


def where(address: "Address") -> str:
    """The address as it is written, for what is said of it."""
    if address.model is not None:
        return " ".join(filter(None, (address.model, address.machine, address.part)))
    return address.node or address.path or ""


# --- where it is ----------------------------------------------------------------------------------


async def find(link: "Link", places: Sequence[Place]) -> list[Found]:
    """The nodes of places that are given by node or path. Raises SourceLost and SourceRefused."""
    return await _found(View(link, await link.namespaces()), places)


async def _places(view: View, addresses: "Sequence[Address]") -> list[Located]:
    """By model, by path or by node id."""
    located = await locate(view, addresses)
    found = await _found(view, addresses)
    return [
        _of_model(address, by_model)
        if address.model
        else Located(one.node, fault=one.fault, foreign=one.foreign, given_up=one.given_up)
        for address, by_model, one in zip(addresses, located, found, strict=True)
    ]


def _of_model(address: "Address", found: Located) -> Located:
    return replace(found, fault=f"{where(address)}: {found.fault}") if found.fault else found


async def _found(view: View, places: Sequence[Place]) -> list[Found]:
    found = [_by_id(view, place) for place in places]
    paths = {at: parse_path(place.path) for at, place in enumerate(places) if place.path is not None}
    for at, one in (await _by_path(view, paths)).items():
        found[at] = replace(one, fault=f"{places[at].path}: {one.fault}") if one.fault else one
    return found


def _by_id(view: View, place: Place) -> Found:
    if place.node is None:
        return Found()
    try:
        return Found(parse_node(place.node).on(view.namespaces))
    except UnknownNamespace as fault:
        return Found(fault=f"{place.node}: {fault}", foreign=True)


async def _by_path(view: View, paths: Mapping[int, tuple[Step, ...]]) -> dict[int, Found]:
    """TranslateBrowsePathsToNodeIds for all of them at once."""
    found, asked = dict[int, Found](), dict[int, ua.BrowsePath]()
    for at, steps in paths.items():
        try:
            asked[at] = browse_path(steps, view.namespaces)
        except UnknownNamespace as fault:
            found[at] = Found(fault=str(fault), foreign=True)
    try:
        results = await _translated(view, list(asked.values()))
    except Spent as spent:
        return found | dict.fromkeys(asked, Found(fault=str(spent), given_up=True))
    for at, result in zip(asked, results, strict=True):
        try:
            found[at] = await _at_end(view, paths[at], result)
        except Spent as spent:
            found[at] = Found(fault=str(spent), given_up=True)
    return found


_NO_PATHS = frozenset(
    (
        StatusCodes.BadServiceUnsupported,
        StatusCodes.BadNotSupported,
        StatusCodes.BadNotImplemented,
    )
)


async def _translated(view: View, paths: Sequence[ua.BrowsePath]) -> Sequence[ua.BrowsePathResult]:
    """As if the server had answered so for each path, where it does not offer the service at all."""
    try:
        return await view.translate(paths) if paths else []
    except Fault as fault:
        if fault.status not in _NO_PATHS:
            raise
        return [ua.BrowsePathResult(ua.StatusCode(ua.UInt32(fault.status)), []) for _ in paths]


async def _at_end(view: View, steps: Sequence[Step], result: ua.BrowsePathResult) -> Found:
    """The one node at the end of a path, or why there is none."""
    nodes, status = _targets(view, result), int(result.StatusCode.value)
    if len(nodes) == 1:
        return Found(nodes[0])
    if status not in _NO_PATHS:
        return Found(fault=await explain(view, steps, status, len(nodes)))
    try:
        node, fault = await walked(view, steps)
    except Fault as refusal:
        return Found(
            fault=f"the server follows no paths, and {_UNSHOWN} ({refusal.reason}): write node instead"
        )
    return Found(fault=fault) if node is None else Found(node)


_UNSHOWN = "does not show its nodes either"


def _targets(view: View, result: ua.BrowsePathResult) -> list[ua.NodeId]:
    """The nodes at the end of a path, each once; those on other servers are none."""
    ends = [one for one in result.Targets or () if one.RemainingPathIndex == 0xFFFF_FFFF]
    nodes = [view.here(one.TargetId) for one in ends]
    return list(dict.fromkeys(one for one in nodes if one is not None))


# --- what it is -----------------------------------------------------------------------------------


async def _attributes(view: View, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, Attributes]:
    """Class, data type and rank, as far as the server tells them."""
    each = list(dict.fromkeys(nodes))
    if not each:
        return {}
    classes = await view.link.attributes(each, AttributeIds.NodeClass)
    types = await view.link.attributes(each, AttributeIds.DataType)
    ranks = await view.link.attributes(each, AttributeIds.ValueRank)
    told = {node: Attributes.of(*samples) for node, *samples in zip(each, classes, types, ranks, strict=True)}
    return {**told, **await _made_concrete(view, told)}


async def _made_concrete(view: View, told: Mapping[ua.NodeId, Attributes]) -> dict[ua.NodeId, Attributes]:
    """Where the type says no more than Number or UInteger, the value of now says what it is."""
    vague = [node for node, one in told.items() if one.is_vague]
    samples = await view.link.read(vague) if vague else []
    return {
        node: replace(told[node], type=Id(0, sample.kind))
        for node, sample in zip(vague, samples, strict=True)
        if sample.kind in PLAIN_KINDS and not sample.is_array
    }


async def _as_they_come(
    view: View,
    signals: "Sequence[Signal[Address]]",
    places: Sequence[Located],
    told: Mapping[ua.NodeId, Attributes],
) -> dict[ua.NodeId, Attributes]:
    """Where a signal and the declared rank contradict each other, the value is what counts."""
    doubted = {
        place.node
        for signal, place in zip(signals, places, strict=True)
        if not place.fault and told[place.node].contradicts(_index(signal.address, place))
    }
    try:
        samples = await view.link.read([*doubted]) if doubted else []
    except Fault:  # one that is too long for a message
        return {**told}
    shaped = {node: told[node].as_it_comes(now) for node, now in zip(doubted, samples, strict=True)}
    return {**told, **shaped}


def _index(address: "Address", place: Located) -> int | None:
    return address.index if place.index is None else place.index


async def _names(
    view: View, address: "Address", place: Located, attributes: Attributes
) -> Mapping[int | str, str] | None:
    """Names that the node itself has for its numbers (MultiStateDiscrete, OPC 10000-8, 5.3.3.4)."""
    if place.names is not None:
        return place.names
    if address.enumeration == "number" or address.member is not None:
        return None
    if attributes.type is not None and attributes.type != ENUMERATION and attributes.type.namespace:
        return None
    return by_number(await names_of(view, place.node)) or None


def _pick(
    address: "Address",
    place: Located,
    attributes: Attributes,
    names: Mapping[int | str, str] | None,
    types: Types,
    view: View,
) -> Pick:
    member = address.member if place.member is None else place.member
    return Pick(
        _index(address, place), parse_member(member) if member else (), types, attributes.type, names,
        tuple(view.namespaces) if place.names is not None else (),
    )  # fmt: skip


# --- what is said of it ---------------------------------------------------------------------------


def tell_doubts(source: str, resolved: Sequence[Resolved]) -> None:
    """Log what may be wrong, each once in the life of the process."""
    for one in resolved:
        words = f"{source}: {one.doubt}"
        if one.doubt and words not in _told and len(_told) < _MOST_TOLD:
            _told.add(words)
            _log.warning("%s", words)


# --- a state in several nodes ---------------------------------------------------------------------

_INSIDE = ("Cleared", "Running")
"""States that stand for the state machine inside: OPC 30050, 6.3.6 and 6.3.7."""


def combine(readings: Sequence[Reading]) -> Reading:
    """The state of PackML's three state machines, from the outermost to the innermost."""
    for outer, inside in zip(readings, _INSIDE, strict=False):
        if outer.value != inside:
            return outer
    return readings[min(len(readings) - 1, len(_INSIDE))]
