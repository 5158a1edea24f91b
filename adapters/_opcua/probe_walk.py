"""A server's nodes as a tree: broad first, bounded, each node once whatever the references say."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.probe_pace import Pace

MOST_DEEP = 40
_AT_ONCE = 50
_FEW = 100
"""Children that few folders have; a larger one is asked for alone, so that its answer fits a message."""
_MOST_OF_ONE = 10_000
_LONGEST_NAME = 200
_WANTED = ua.NodeClass.Object | ua.NodeClass.Variable | ua.NodeClass.Method
_RESULTS = ua.BrowseResultMask.NodeClass | ua.BrowseResultMask.BrowseName | ua.BrowseResultMask.TypeDefinition
OBJECTS = ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder))


class Browser(Protocol):
    """What is used of a Link here."""

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int
    ) -> Sequence[Sequence[ua.ReferenceDescription]]: ...


@dataclass(slots=True, eq=False)
class Spot:
    """One node, where it was met first."""

    id: ua.NodeId
    name: str
    kind: ua.NodeClass
    type: ua.NodeId
    """Its type definition's; null where it has none."""
    above: "Spot | None" = None
    children: list["Spot"] = field(default_factory=list)
    is_again: bool = False
    """It stands elsewhere in the tree already, and what is below it too."""
    is_cut: bool = False
    """It has more children than were asked for."""

    @property
    def is_variable(self) -> bool:
        return self.kind is ua.NodeClass.Variable

    def ancestry(self) -> list["Spot"]:
        """From the top to the node itself."""
        spots, spot = [self], self
        while spot.above is not None:
            spot = spot.above
            spots.append(spot)
        return spots[::-1]

    def names(self) -> list[str]:
        """Its path below the top; the top's own name of the top."""
        return [one.name for one in self.ancestry()][1:] or [self.name]

    def child(self, name: str) -> "Spot | None":
        """The first child of this name."""
        return next((one for one in self.children if one.name == name), None)

    def below(self) -> Iterator["Spot"]:
        """Itself and all under it, each before what is below it."""
        waiting = [self]
        while waiting:
            spot = waiting.pop()
            yield spot
            waiting += reversed(spot.children)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is looked at."""

    nodes: int = 10_000
    """In the whole tree."""

    @property
    def of_one(self) -> int:
        """Children of one node: a folder of a hundred thousand leaves room for its neighbours."""
        return min(max(1, self.nodes // 4), _MOST_OF_ONE)


@dataclass(slots=True)
class Tree:
    """What was found."""

    top: Spot
    count: int = 0
    is_whole: bool = True
    """False where a bound ended it, or somebody."""


async def walk(browser: Browser, top: Spot, bounds: Bounds, pace: Pace, tell: Callable[[str], None]) -> Tree:
    """Everything below `top`. Raises what the browser raises."""
    growing = _Growing(top, bounds)
    async for some in growing.levels(pace, tell):
        found = await pace.paced(browser.browse([_description(one.id) for one in some], _FEW))
        for spot, few in zip(some, found, strict=True):
            references = few
            if len(few) >= _FEW and bounds.of_one > _FEW:
                (references,) = await pace.paced(browser.browse([_description(spot.id)], bounds.of_one))
            growing.grown(spot, references)
    growing.tree.is_whole &= not pace.is_over
    return growing.tree


class _Growing:
    def __init__(self, top: Spot, bounds: Bounds) -> None:
        self.tree = Tree(top)
        self._room = bounds.nodes
        self._of_one = bounds.of_one
        self._known = {top.id}
        self._next = [top]
        self._has_own_nodes = top.id.NamespaceIndex == 0 and top.id != OBJECTS

    async def levels(self, pace: Pace, tell: Callable[[str], None]) -> AsyncIterator[Sequence[Spot]]:
        """Level after level, some nodes at a time."""
        deep = 0
        while self._next and not pace.is_over:
            level, self._next, deep = self._next, [], deep + 1
            if deep > MOST_DEEP:
                self.tree.is_whole = False
                return
            for at in range(0, len(level), _AT_ONCE):
                if pace.is_over or not self._room:
                    self.tree.is_whole = False
                    return
                yield level[at : at + _AT_ONCE]
                if pace.is_time_to_tell():
                    tell(f"{self.tree.count:,} nodes so far; Ctrl-C goes on with these")

    def grown(self, spot: Spot, references: Sequence[ua.ReferenceDescription]) -> None:
        spot.is_cut = len(references) >= self._of_one
        self.tree.is_whole &= not spot.is_cut
        for reference in references:
            child = _spot(reference, spot)
            if child is None or self._is_the_servers(child):
                continue
            if not self._room:
                spot.is_cut, self.tree.is_whole = True, False
                return
            self._add(spot, child)

    def _add(self, spot: Spot, child: Spot) -> None:
        self._room -= 1
        self.tree.count += 1
        spot.children.append(child)
        child.is_again = child.id in self._known
        self._known.add(child.id)
        if not child.is_again and child.kind is not ua.NodeClass.Method:
            self._next.append(child)

    def _is_the_servers(self, child: Spot) -> bool:
        """What the standard puts below Objects on every server: its diagnostics, aliases, locations."""
        return child.id.NamespaceIndex == 0 and not self._has_own_nodes


def _description(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences)),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(_WANTED),
        ResultMask=ua.UInt32(_RESULTS),
    )


def _spot(reference: ua.ReferenceDescription, above: Spot) -> Spot | None:
    """None of what is on another server, or has no id."""
    node = reference.NodeId
    if getattr(node, "ServerIndex", 0) or getattr(node, "NamespaceUri", None) or node.is_null():
        return None
    name = (reference.BrowseName.Name or "")[:_LONGEST_NAME]
    return Spot(_plain(node), name, reference.NodeClass, _plain(reference.TypeDefinition), above)


def _plain(node: ua.NodeId) -> ua.NodeId:
    """Without what makes an ExpandedNodeId differ from a NodeId of the same node."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
