"""A server of hand-written answers, for the tests of addresses."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import timedelta
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from adapters._opcua.address import Address
from adapters._opcua.binary import Id, Kind, Sample
from adapters._opcua.browse import ident, numbered
from adapters._opcua.link import Link
from adapters._opcua.resolve import Resolved, resolve
from edge.contract import Signal

URI = "urn:acme:press"
SPACES = ["http://opcfoundation.org/UA/", "urn:server", URI, "http://acme.com/UA/Line/"]


def address(**keys: Any) -> Address:
    return Address.model_validate(keys)


class Rooms(Link):
    """A hand-written server: names below names, each with its class, type, rank and value."""

    def __init__(self, tree: Mapping[str, Any], types: Mapping[str, Any] | None = None) -> None:
        self.nodes: dict[Id, dict[str, Any]] = {}
        self.requests = 0
        self._plant(Id(0, 85), deepcopy(dict(tree)))
        for name, data in (types or {}).items():
            self.nodes[Id(2, name)] = data

    def _plant(self, parent: Id, tree: Mapping[str, Any]) -> None:
        for name, what in tree.items():
            one = Id(2, name)
            data = what if isinstance(what, dict) and "class" in what else {"class": 1, "below": what}
            self.nodes.setdefault(parent, {"class": 1, "below": {}})
            self.nodes[one] = data
            self._plant(one, data.get("below", {}))
            self.nodes[parent].setdefault("children", []).append(one)

    async def namespaces(self) -> list[str]:
        return SPACES

    async def attributes(self, nodes: Sequence[ua.NodeId], attribute: int) -> list[Sample]:
        self.requests += 1
        return [self._attribute(self.nodes.get(ident(node)), attribute) for node in nodes]

    def _attribute(self, data: dict[str, Any] | None, attribute: int) -> Sample:
        if data is None:
            return Sample(None, 0x80340000)
        found: Any = {
            AttributeIds.NodeClass: data["class"],
            AttributeIds.DataType: data.get("type"),
            AttributeIds.ValueRank: data.get("rank", -1),
        }.get(AttributeIds(attribute))
        return Sample(None, 0x80350000) if found is None else Sample(found, kind=Kind.INT32)

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[Sample]:
        return [self.nodes[ident(node)].get("value", Sample(None, 0x80340000)) for node in nodes]

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        return [self._translated(path) for path in paths]

    def _translated(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        at = ident(path.StartingNode)
        for element in path.RelativePath.Elements:
            name = element.TargetName
            below = self.nodes.get(at, {}).get("children", [])
            found = [
                one for one in below if (one.identifier, one.namespace) == (name.Name, name.NamespaceIndex)
            ]
            if not found:
                return ua.BrowsePathResult(ua.StatusCode(ua.UInt32(0x806F0000)), [])
            at = found[0]
        twice = [at, *self.nodes[at].get("twins", [])]
        targets = [
            ua.BrowsePathTarget(ua.ExpandedNodeId(one.identifier, one.namespace), ua.UInt32(0xFFFFFFFF))
            for one in twice
        ]
        return ua.BrowsePathResult(ua.StatusCode(ua.UInt32(0)), targets)

    async def browse(
        self, wanted: Sequence[ua.BrowseDescription], most: int = 1_000
    ) -> list[list[ua.ReferenceDescription]]:
        self.requests += 1
        return [self._references(one)[:most] for one in wanted]

    def _references(self, one: ua.BrowseDescription) -> list[ua.ReferenceDescription]:
        data = self.nodes.get(ident(one.NodeId), {})
        names = (
            data.get("above", [])
            if one.BrowseDirection == ua.BrowseDirection.Inverse
            else data.get("children", [])
        )
        return [
            ua.ReferenceDescription(
                NodeId=ua.ExpandedNodeId(name.identifier, name.namespace),
                BrowseName=ua.QualifiedName(str(name.identifier), name.namespace),
                NodeClass=ua.NodeClass.Object,
            )
            for name in names
        ]


def place(name: str) -> ua.NodeId:
    return numbered(Id(2, name))


def variable(kind: int = Kind.UINT32, rank: int = -1, **more: Any) -> dict[str, Any]:
    return {"class": 2, "type": Id(0, kind), "rank": rank, **more}


def signal(one: Address, bits: int | None = None) -> "Signal[Address]":
    return Signal("press.total", one, timedelta(seconds=1), bits=bits)


async def found(server: Rooms, one: Address, bits: int | None = None) -> Resolved:
    (made,) = await resolve(server, [signal(one, bits)])
    return made


PLANT = {"Press": {"Count": {"class": 1, "below": {"Total": variable(), "Good/Bad": variable()}}}}
