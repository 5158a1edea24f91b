"""A release, a hold or an order's number in a node: typed as the node is, written, read back.

Only the value is sent. Many PLCs refuse a write that carries a status or a time (BadWriteNotSupported), and
most want the very built-in type that the node has (BadTypeMismatch): it is taken from the value that is
there, or, where there is none yet, from the node's data type.
"""

import re
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from pydantic import model_validator

from adapters._opcua.address import NodeText, PathText
from adapters._opcua.binary import Id, Text
from adapters._opcua.browse import View
from adapters._opcua.nodes import UnknownNamespace, parse_node
from adapters._opcua.paths import browse_path, parse_path
from adapters._opcua.structures import Enumeration
from adapters._opcua.types import learn
from adapters._opcua.values import status_name
from adapters._opcua.wire import Sample
from adapters._writes import Desk, MisfitError, UnfitError
from edge.contract import Intake, WriteAddress, WriteValue, refuse

if TYPE_CHECKING:
    from adapters._opcua.link import Link

_BOOLEAN, _FLOAT, _DOUBLE, _STRING, _TEXT = 1, 10, 11, 12, 21
_WHOLE: Mapping[int, tuple[int, int]] = {
    2: (-(1 << 7), 1 << 7), 3: (0, 1 << 8), 4: (-(1 << 15), 1 << 15), 5: (0, 1 << 16),
    6: (-(1 << 31), 1 << 31), 7: (0, 1 << 32), 8: (-(1 << 63), 1 << 63), 9: (0, 1 << 64),
}  # fmt: skip
"""Built-in types that are whole numbers: the least, and the first that is too large."""
_DIGITS = re.compile(r"-?[0-9]{1,20}")

_EMPTY = (StatusCodes.BadWaitingForInitialData, StatusCodes.BadNoData)
"""A node that can be written and has never been."""
_GONE = (StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid)
_REFUSALS = {
    StatusCodes.BadNotWritable: "the node is read-only: have the server's program make it writable",
    StatusCodes.BadUserAccessDenied: "this user may not write it: have the server grant it, or name another",
    StatusCodes.BadWriteNotSupported: "the server writes no such values at all",
    StatusCodes.BadTypeMismatch: "the server wants another data type than the one its value has",
    StatusCodes.BadOutOfRange: "the server says that the value is out of the node's range",
    StatusCodes.BadNodeIdUnknown: "the server has no such node: compare its name with the browse tree",
    StatusCodes.BadNodeIdInvalid: "the server does not take this node id: check how it is written",
    StatusCodes.BadNotReadable: "it cannot be read back, and nobody could confirm it: make it readable",
    StatusCodes.BadSecurityModeInsufficient: "the server wants a signed or encrypted connection for it",
    StatusCodes.BadLocked: "the server says that somebody else has locked it",
}


class Write(WriteAddress):
    """The node of a `[[station.write]]`."""

    node: NodeText | None = None
    """`"nsu=urn:acme:press;s=Release"`, or with an index, `"ns=2;s=Release"`."""
    path: PathText | None = None
    """From the Objects folder: `"nsu=urn:acme:press;Press/Release"`."""

    @model_validator(mode="after")
    def _one(self) -> "Write":
        refuse("" if (self.node is None) != (self.path is None) else "give node or path: one of them")
        return self

    def identity(self) -> str:
        return str(self.node or self.path)


class Node:
    """One target on this connection: see `_writes.Place`."""

    def __init__(self, link: "Link", address: Write) -> None:
        self._link = link
        self._address = address
        self._node: ua.NodeId | None = None
        self._kind = 0
        """Of what it holds: the built-in type; 0: not known yet."""

    async def look(self, value: WriteValue) -> tuple[bool, str | None]:
        sample = await self._sample()
        is_empty = sample.status & 0xFFFF0000 in _EMPTY
        if sample.status >> 31 and not is_empty:
            self._node = None  # it may be somewhere else now
            raise UnfitError(self._why("cannot be read", sample.status))
        if sample.is_array:
            raise UnfitError(f"{self._address.identity()} holds an array: only single values are written")
        self._kind = sample.kind or await self._declared()
        wanted = typed(value, self._kind)
        return not is_empty and same(wanted, sample), None if is_empty else text_of(sample)

    async def _sample(self) -> Sample:
        """Where the node is gone, it may be somewhere else since the PLC's program was changed."""
        was_known = self._node is not None
        (sample,) = await self._link.read([await self._found()])
        if was_known and sample.status & 0xFFFF0000 in _GONE:
            self._node = None
            (sample,) = await self._link.read([await self._found()])
        return sample

    async def ready(self, value: WriteValue) -> None:
        await self._found()
        if not self._kind:
            await self.look(value)
        typed(value, self._kind)

    async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
        node = await self._found()
        if not is_wanted():
            return False
        variant = ua.Variant(_wired(typed(value, self._kind), self._kind), ua.VariantType(self._kind))
        status = await self._link.write_value(node, ua.DataValue(Value=variant, StatusCode=None))
        if status >> 31:
            raise UnfitError(self._why("cannot be written", status))
        return True

    async def _found(self) -> ua.NodeId:
        """Its id on this connection: namespaces are numbered anew after a restart."""
        if self._node is None:
            self._node = await self._resolved()
        return self._node

    async def _resolved(self) -> ua.NodeId:
        address, namespaces = self._address, await self._link.namespaces()
        try:
            if address.node is not None:
                return parse_node(address.node).on(namespaces)
            path = browse_path(parse_path(address.path or ""), namespaces)
        except UnknownNamespace as error:
            raise UnfitError(f"{address.identity()}: {error}") from None
        (found,) = await self._link.translate([path])
        ends = [one.TargetId for one in found.Targets or () if one.RemainingPathIndex == 0xFFFFFFFF]
        view = View(self._link, namespaces)
        nodes = dict.fromkeys(node for one in ends if (node := view.here(one)) is not None)
        if len(nodes) != 1:
            many = "names several nodes" if nodes else "leads to another server" if ends else "leads nowhere"
            raise UnfitError(
                f"{address.path} {many}: check it against the server's browse tree, or write node"
            )
        return next(iter(nodes))

    async def _declared(self) -> int:
        """The built-in type behind the node's data type; an enumeration is an Int32."""
        (sample,) = await self._link.attributes([await self._found()], AttributeIds.DataType)
        if sample.status >> 31 or not isinstance(sample.raw, Id):
            raise UnfitError(self._why("does not tell its data type", sample.status))
        types = await learn(View(self._link, await self._link.namespaces()), [sample.raw])
        found = types.of(sample.raw)
        kind = found.kind if isinstance(found, Enumeration) else found
        if isinstance(kind, int) and kind in _KNOWN:
            return kind
        raise UnfitError(
            f"{self._address.identity()} holds nothing yet, and its data type names no single value"
        )

    def _why(self, what: str, status: int) -> str:
        name = status_name(status)
        known = _REFUSALS.get(status & 0xFFFF0000)
        return f"{self._address.identity()} {what}: {f'{known} ({name})' if known else name}"


_KNOWN = (_BOOLEAN, *_WHOLE, _FLOAT, _DOUBLE, _STRING, _TEXT)


def typed(value: WriteValue, kind: int) -> WriteValue:
    """The value as a node of this built-in type takes it. Raises MisfitError."""
    if kind in (_STRING, _TEXT):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind in _WHOLE:
        return _whole(value, kind)
    if not isinstance(value, str):
        if kind == _BOOLEAN and value in (0, 1):
            return bool(value)
        if kind in (_FLOAT, _DOUBLE):
            return _real(value, kind)
    name = ua.VariantType(kind).name if kind in range(1, 26) else f"type {kind}"
    raise MisfitError(f"the node is a {name}: {value!r} does not fit there")


def _whole(value: WriteValue, kind: int) -> int:
    least, beyond = _WHOLE[kind]
    if isinstance(value, str):
        found = int(value) if _DIGITS.fullmatch(value) else None
    else:
        found = int(value) if value == int(value) else None
    if found is None or not least <= found < beyond:
        name = ua.VariantType(kind).name
        raise MisfitError(f"the node is a {name}, {least} to {beyond - 1}: {value!r} does not fit there")
    return found


def _real(value: float, kind: int) -> float:
    """As the node keeps it: a Float has 24 bits of it."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0]) if kind == _FLOAT else float(value)
    except OverflowError:
        raise MisfitError(f"the node is a Float: {value!r} is too large for it") from None


def _wired(value: WriteValue, kind: int) -> object:
    return ua.LocalizedText(Text=str(value)) if kind == _TEXT else value


def same(wanted: WriteValue, sample: Sample) -> bool:
    """Whether this is what was written. PLCs pad texts to their declared length, with zeros or spaces."""
    raw = sample.raw.text if isinstance(sample.raw, Text) else sample.raw
    if isinstance(wanted, str):
        return _bare(wanted) == _bare(raw if isinstance(raw, str) else "")
    return type(raw) is type(wanted) and raw == wanted


def _bare(text: str) -> str:
    return text.rstrip("\0 ")


def text_of(sample: Sample) -> str:
    """What the node holds, for a person."""
    raw = sample.raw.text if isinstance(sample.raw, Text) else sample.raw
    if raw is None:
        return ""
    return _bare(raw) if isinstance(raw, str) else str(raw).lower() if isinstance(raw, bool) else str(raw)


class Writer(Desk):
    """Writes what the session is asked to; `put` the asks that have a `write`, and have `run` run."""

    def __init__(self, link: "Link", intake: Intake) -> None:
        super().__init__(intake, {one.name: Node(link, one.address) for one in intake.targets})
