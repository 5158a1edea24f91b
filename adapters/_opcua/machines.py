"""Finds the machines that follow a companion specification on a server, and the nodes of their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.binary import Id
from adapters._opcua.browse import (
    HAS_PROPERTY,
    OBJECTS,
    OBJECTS_FOLDER,
    VARIABLES,
    Seen,
    View,
    ident,
    standard,
)
from adapters._opcua.link import Fault
from adapters._opcua.models import MODELS, Model, Spot
from adapters._opcua.nodes import UnknownNamespace
from adapters._opcua.patience import Spent

if TYPE_CHECKING:
    from adapters._opcua.address import Address

_MOST_OBJECTS = 20_000
_AT_ONCE = 50
"""Objects whose children are asked for before it is asked whether there are enough."""
_DEEPEST = 12
_SHOWN = 8
_COMPARED = 200
"""Names that a wrong one is compared with, and how much of each."""
_SERVER = standard(ObjectIds.Server)
_NOT_ACTIVE = 0x806F0000  # BadStateNotActive: an inner state machine that does not run

Path = tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, and what was found in it by its type."""

    path: Path
    """From the folder where the search began; the last is the machine."""
    holders: Mapping[str, Seen] = field(default_factory=dict)
    """By the browse name that stands for its type."""

    @property
    def name(self) -> str:
        return self.path[-1].name

    @property
    def where(self) -> str:
        return "/".join(one.name for one in self.path)

    def is_called(self, wanted: str) -> bool:
        """By its name, what it is displayed as, or the end of its path."""
        return wanted in (self.name, self.path[-1].title) or f"/{self.where}".endswith(f"/{wanted}")

    def is_inside(self, other: "Machine") -> bool:
        return len(self.path) > len(other.path) and self.path[: len(other.path)] == other.path


@dataclass(frozen=True, slots=True)
class Located:
    """Where a part of a machine is; a fault says why it is nowhere."""

    node: ua.NodeId = field(default_factory=ua.NodeId)
    more: tuple[ua.NodeId, ...] = ()
    index: int | None = None
    member: str | None = None
    names: Mapping[int | str, str] | None = None
    """Of a state: from the id of its node, in words, to its name."""
    fault: str = ""
    foreign: bool = False
    given_up: bool = False
    """The server was not looked through to the end."""


async def locate(view: View, wanted: "Sequence[Address]") -> list[Located]:
    """Each part of a model where it is; one that is nowhere hinders no other."""
    finders = {name: Finder(view, MODELS[name]) for name in {one.model for one in wanted if one.model}}
    return [await finders[one.model].part(one) if one.model else Located() for one in wanted]


class Finder:
    """The machines of one model. What was seen of the server is kept, for parts lie side by side."""

    def __init__(self, view: View, model: Model) -> None:
        self._view = view
        self._model = model
        self._machines: list[Machine] | None = None
        self._below: dict[tuple[ua.NodeId, int], list[Seen]] = {}
        self._states: dict[int | str, str] | None = None

    async def part(self, address: "Address") -> Located:
        uri = self._model.uri
        if uri not in self._view.namespaces:
            known = UnknownNamespace(uri, self._view.namespaces)
            return Located(fault=f"no {self._model.name} here: {known}", foreign=True)
        try:
            return await self._part(address)
        except Fault as fault:
            words = "a machine is found by its type, and the server does not show its nodes"
            return Located(fault=f"{words} ({fault.reason}): name each signal with node")
        except Spent as spent:
            return Located(fault=str(spent), given_up=True)

    async def _part(self, address: "Address") -> Located:
        if self._machines is None:
            self._machines = await self._find()
        machine = self._chosen(self._machines, address.machine)
        if isinstance(machine, str):
            return Located(fault=machine)
        return await self._in(machine, address.part or "")

    # --- which machine ---

    async def _find(self) -> list[Machine]:
        """In the folder that the specification names, else anywhere."""
        kinds = await self._kinds()
        for start in (self._node(self._model.folder), OBJECTS_FOLDER):
            found = self._machines_of(await self._walk(start, kinds), kinds)
            if found:
                return found
        return []

    def _node(self, number: int) -> ua.NodeId:
        index = self._view.namespaces.index(self._model.uri)
        return ua.NodeId(ua.Int32(number), ua.Int16(index), ua.NodeIdType.Numeric)

    async def _kinds(self) -> dict[ua.NodeId, str]:
        """Every type that tells a machine or a holder, also those derived from it; and the holder's name."""
        roots = dict(self._model.kinds)
        if self._model.machine_type is not None:
            roots[self._model.machine_type] = ""
        return {
            one: name
            for number, name in roots.items()
            for one in await self._view.subtypes(self._node(number))
        }

    async def _walk(self, start: ua.NodeId, kinds: Mapping[ua.NodeId, str]) -> list[Path]:
        """Paths of all objects of these types, those nearest to the start first."""
        seen, edge, found = {start, _SERVER}, [(start, Path())], list[Path]()
        for _ in range(_DEEPEST):
            level, edge = edge, []
            for at in range(0, len(level), _AT_ONCE):
                some = level[at : at + _AT_ONCE]
                for path in await self._ways_on(some):
                    if path[-1].type in kinds:
                        found.append(path)
                    if path[-1].node not in seen:
                        seen.add(path[-1].node)
                        edge.append((path[-1].node, path))
                if len(seen) >= _MOST_OBJECTS:
                    return found
        return found

    async def _ways_on(self, some: Sequence[tuple[ua.NodeId, Path]]) -> list[Path]:
        """One step further from each of these."""
        below = await self._view.below([node for node, _ in some], OBJECTS)
        return [(*path, one) for (_, path), ones in zip(some, below, strict=True) for one in ones]

    def _machines_of(self, found: Sequence[Path], kinds: Mapping[ua.NodeId, str]) -> list[Machine]:
        by_node = dict[ua.NodeId, Machine]()
        for path in found:
            name = kinds[path[-1].type] if path[-1].type is not None else ""
            own = path if not name else self._owner(path)
            if own:
                machine = by_node.setdefault(own[-1].node, Machine(own))
                holders = {name: path[-1], **machine.holders} if name else machine.holders
                by_node[own[-1].node] = Machine(machine.path, holders)
        return list(by_node.values())

    def _owner(self, path: Path) -> Path:
        """The machine that holds what is at the end of the path."""
        own = path[:-1]
        while own and own[-1].name in self._model.blocks:
            own = own[:-1]
        return own

    def _chosen(self, machines: Sequence[Machine], wanted: str | None) -> Machine | str:
        """The one that is meant, or what is wrong."""
        name = self._model.name
        if not machines:
            return f"the server has no machine of {name}: nothing of its types is below the Objects folder"
        if wanted is None:
            fit = [one for one in machines if not any(one.is_inside(other) for other in machines)]
        else:
            fit = [one for one in machines if one.is_called(wanted)]
        if len(fit) == 1:
            return fit[0]
        if fit:
            which = f'machine = "{fit[0].name if wanted is None else fit[0].where}"'
            return f"the server has {len(fit)} such machines: {_listed(fit)}; say which, as in {which}"
        near = get_close_matches(wanted or "", [one.name[:_COMPARED] for one in machines[:_COMPARED]], 1)
        hint = f'did you mean "{near[0]}"?' if near else f"it has {_listed(machines)}"
        return f'no machine of {name} is called "{wanted}"; {hint}'

    # --- where in it ---

    async def _in(self, machine: Machine, part: str) -> Located:
        spots = self._model.parts[part]
        for spot in spots:
            variables = [await self._variable(machine, holders, spot) for holders in _depths(spot)]
            if variables[0] is not None:
                first, *deeper = [one for one in variables if one is not None]
                if spot.variable == "CurrentState":
                    return await self._state([first, *deeper])
                return Located(first.node, index=spot.index, member=spot.member)
        missing = " and no ".join(spot.words for spot in spots)
        return Located(
            fault=f"{machine.where} has no {missing}, so it gives no {part}: "
            f'say where that is, {part} = {{ source = .., node = .. }}, or without = ["{part}"]'
        )

    async def _variable(self, machine: Machine, holders: Sequence[str], spot: Spot) -> Seen | None:
        at = machine.path[-1]
        for name in holders:
            found = machine.holders.get(name) or await self._named(at, name, OBJECTS)
            if found is None:
                return None
            at = found
        return await self._named(at, spot.variable, VARIABLES)

    async def _named(self, at: Seen, name: str, classes: int) -> Seen | None:
        """By its browse name in whatever namespace: makers put their additions into one of their own."""
        if (at.node, classes) not in self._below:
            (found,) = await self._view.below([at.node], classes)
            self._below[at.node, classes] = found
        return next((one for one in self._below[at.node, classes] if one.name == name), None)

    async def _state(self, states: Sequence[Seen]) -> Located:
        """By the ids of the states where the server keeps them: their texts may be in any language."""
        ids = [await self._id(one) for one in states]
        known = [one for one in ids if one is not None]
        names = await self._state_names()
        if len(known) == len(states) and await self._are_told(known, names):
            return Located(known[0], tuple(known[1:]), names=names)
        first, *deeper = [one.node for one in states]
        return Located(first, tuple(deeper))

    async def _id(self, state: Seen) -> ua.NodeId | None:
        (properties,) = await self._view.below([state.node], VARIABLES, HAS_PROPERTY)
        return next((one.node for one in properties if one.name == "Id" and one.space == 0), None)

    async def _are_told(self, ids: Sequence[ua.NodeId], names: Mapping[int | str, str]) -> bool:
        samples = await self._view.link.read(ids)
        return all(
            one.status & 0xFFFF0000 == _NOT_ACTIVE
            or (isinstance(one.raw, Id) and one.raw.text(self._view.namespaces) in names)
            for one in samples
        )

    async def _state_names(self) -> dict[int | str, str]:
        """The names of all states, by the ids that they have in the standard's types."""
        if self._states is None:
            types = [self._node(number) for number in self._model.state_machines]
            self._states = {
                ident(one.node).text(self._view.namespaces): one.name
                for some in await self._view.below(types, OBJECTS)
                for one in some
            }
        return self._states


def _depths(spot: Spot) -> tuple[tuple[str, ...], ...]:
    return (spot.holders, *spot.deeper)


def _listed(machines: Sequence[Machine]) -> str:
    more = f" and {len(machines) - _SHOWN} more" if len(machines) > _SHOWN else ""
    return ", ".join(one.where for one in machines[:_SHOWN]) + more
