"""A request that is encoded once and sent many times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary

_VALUE = 13


class _Encoded(ua.ByteString):
    """An array that is encoded already, as asyncua's encoder of byte strings takes it.

    It writes the length and then the bytes; an array on the wire is the number of its elements and then
    theirs. So the length of this one is that number.
    """

    elements = 0

    def __len__(self) -> int:
        return self.elements


class _Header(ua.RequestHeader):
    """asyncua renews the token, the handle and the time-out of a header each time, but not its time."""

    __slots__ = ()

    @property
    def Timestamp(self) -> datetime:
        return datetime.now(UTC)

    @Timestamp.setter
    def Timestamp(self, _: datetime) -> None:
        """The library sets it once, when it makes the header."""


@dataclass(slots=True)
class PreparedRead:
    """A ReadRequest (OPC 10000-4, 5.11.2), with the names under which asyncua encodes and sends it."""

    TypeId: "ua.NodeId"
    RequestHeader: "ua.RequestHeader"
    MaxAge: "ua.Double"
    TimestampsToReturn: "ua.Int32"
    NodesToRead: "ua.ByteString"


def prepared_read(nodes: Sequence[ua.NodeId], attribute: int = _VALUE) -> PreparedRead:
    """A request to be given to asyncua's `_send_request`, again and again.

    It asks for both times, and for what the device has now and not for what the server remembers.
    """
    wanted = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds(attribute)) for node in nodes]
    encoded = _Encoded(b"".join(struct_to_binary(one) for one in wanted))
    encoded.elements = len(wanted)
    return PreparedRead(
        TypeId=ua.ReadRequest().TypeId,
        RequestHeader=_Header(),
        MaxAge=ua.Double(0.0),
        TimestampsToReturn=ua.Int32(ua.TimestampsToReturn.Both),
        NodesToRead=encoded,
    )


class Prepared:
    """Nodes that are read again and again, encoded once."""

    def __init__(self, nodes: Sequence[ua.NodeId]) -> None:
        self.nodes = nodes
        self.most = 0
        self.requests: list[tuple[object, int]] = []

    def cut(self, most: int) -> None:
        """Into requests of so many."""
        portions = [self.nodes[at : at + most] for at in range(0, len(self.nodes), most)]
        self.most = most
        self.requests = [(prepared_read(some), len(some)) for some in portions]
