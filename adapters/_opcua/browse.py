"""Looking around in a server's address space, in as few requests as it takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from adapters._opcua.binary import Id
from adapters._opcua.patience import Patience

if TYPE_CHECKING:
    from adapters._opcua.link import Link

OBJECTS = ua.NodeClass.Object.value
VARIABLES = ua.NodeClass.Variable.value
TYPES = ua.NodeClass.ObjectType.value | ua.NodeClass.DataType.value
_CHILDREN = 2_000
"""References of one node that are looked at."""
_AT_ONCE, _FEW = 50, 100
"""Nodes in one request, and references that few nodes have more of: those are asked for alone, so that no
answer and no memory grows large."""
_LONGEST_NAME = 512  # of a browse name, OPC 10000-3, 8.3


def standard(number: int) -> ua.NodeId:
    """A node of namespace 0."""
    return ua.NodeId(ua.Int32(number), ua.Int16(0), ua.NodeIdType.Numeric)


HIERARCHICAL = standard(ObjectIds.HierarchicalReferences)
HAS_SUBTYPE = standard(ObjectIds.HasSubtype)
HAS_PROPERTY = standard(ObjectIds.HasProperty)
OBJECTS_FOLDER = standard(ObjectIds.ObjectsFolder)


def ident(node: ua.NodeId) -> Id:
    """The same id, as what is decoded names it."""
    return Id(node.NamespaceIndex, node.Identifier)


def numbered(one: Id) -> ua.NodeId:
    """And back."""
    name, index = one.identifier, ua.Int16(one.namespace)
    if isinstance(name, int):
        return ua.NodeId(ua.Int32(name), index, ua.NodeIdType.Numeric)
    if isinstance(name, str):
        return ua.NodeId(ua.String(name), index, ua.NodeIdType.String)
    if isinstance(name, bytes):
        return ua.NodeId(ua.ByteString(name), index, ua.NodeIdType.ByteString)
    return ua.NodeId(ua.Guid(str(name)), index, ua.NodeIdType.Guid)


@dataclass(frozen=True, slots=True)
class Seen:
    """One node as a reference shows it."""

    node: ua.NodeId
    name: str
    """Its browse name, without the namespace."""
    space: int
    """The namespace of its browse name."""
    title: str
    """Its display name."""
    type: ua.NodeId | None
    """Its type definition, where it has one on this server."""


@dataclass(frozen=True, slots=True)
class View:
    """A server's address space on one connection."""

    link: "Link"
    namespaces: Sequence[str]
    patience: Patience = field(default_factory=Patience)

    async def below(
        self,
        nodes: Sequence[ua.NodeId],
        classes: int = 0,
        along: ua.NodeId = HIERARCHICAL,
        *,
        up: bool = False,
    ) -> list[list[Seen]]:
        """What each node refers to, of these classes; nothing of a node that cannot be browsed.

        Raises Spent.
        """
        found: list[list[Seen]] = []
        for at in range(0, len(nodes), _AT_ONCE):
            some = [_description(node, classes, along, up=up) for node in nodes[at : at + _AT_ONCE]]
            for one, few in zip(some, await self._references([*some], _FEW), strict=True):
                all_of_it = [few] if len(few) < _FEW else await self._references([one], _CHILDREN)
                found.append(list(self._seen(all_of_it[0])))
        return found

    async def _references(
        self, wanted: Sequence[ua.BrowseDescription], most: int
    ) -> list[list[ua.ReferenceDescription]]:
        found = await self.patience.until(self.link.browse(wanted, most))
        self.patience.spend(sum(map(len, found)))
        return found

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """Where each path leads. Raises Spent."""
        return await self.patience.until(self.link.translate(paths))

    async def subtypes(self, root: ua.NodeId) -> set[ua.NodeId]:
        """The type and all that are derived from it. Raises Spent."""
        found, edge = {root}, [root]
        while edge and len(found) < _CHILDREN:
            below = await self.below(edge, TYPES, HAS_SUBTYPE)
            edge = [one.node for some in below for one in some if one.node not in found]
            found.update(edge)
        return found

    def _seen(self, references: Iterable[ua.ReferenceDescription]) -> Iterable[Seen]:
        for one in references:
            node = self.here(one.NodeId)
            if node is not None:
                title = one.DisplayName.Text if one.DisplayName is not None else None
                name = one.BrowseName
                yield Seen(
                    node, (name.Name or "")[:_LONGEST_NAME], name.NamespaceIndex,
                    (title or "")[:_LONGEST_NAME], self.here(one.TypeDefinition),
                )  # fmt: skip

    def here(self, node: ua.NodeId) -> ua.NodeId | None:
        """An expanded node id as one of this server; None of another server's, and of none."""
        index = node.NamespaceIndex
        if isinstance(node, ua.ExpandedNodeId):
            if node.ServerIndex:
                return None
            if node.NamespaceUri:
                if node.NamespaceUri not in self.namespaces:
                    return None
                index = ua.Int16(self.namespaces.index(node.NamespaceUri))
        if not node.Identifier:
            return None
        return ua.NodeId(node.Identifier, index, node.NodeIdType)


def _description(node: ua.NodeId, classes: int, along: ua.NodeId, *, up: bool) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Inverse if up else ua.BrowseDirection.Forward,
        ReferenceTypeId=along,
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(classes),
        ResultMask=ua.UInt32(ua.BrowseResultMask.All.value),
    )
