"""An OPC UA server with the nodes that it is asked for, whatever their namespace and name.

Security None, anonymous, 127.0.0.1 only. It needs asyncua: a second or two, and 100 MB.
"""

import base64
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Iterable
from datetime import UTC

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.uaerrors import BadNodeIdExists, UaError

from simulators.opcua_press import new_server, port_of

HOST = "127.0.0.1"
KINDS = {
    "u8": ua.VariantType.Byte, "u16": ua.VariantType.UInt16, "u32": ua.VariantType.UInt32,
    "u64": ua.VariantType.UInt64, "i32": ua.VariantType.Int32, "i64": ua.VariantType.Int64,
    "f64": ua.VariantType.Double,
    "text": ua.VariantType.String,
}  # fmt: skip


class Nodes:
    """The variables of a running server, by the text of their node id."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._found: dict[str, tuple[ua.NodeId, ua.VariantType]] = {}

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://{HOST}:{port_of(self._server)}"

    async def number(self, texts: Iterable[str]) -> None:
        """Have a namespace under every index that these node ids name, before one with a URI gets it."""
        places = [text.strip().partition(";")[0] for text in texts]
        indices = [int(one.removeprefix("ns=")) for one in places if one.startswith("ns=")]
        array = self._server.nodes.namespace_array
        known = list(await array.read_value())
        known += [f"urn:lineside:sim:{index}" for index in range(len(known), max(indices, default=0) + 1)]
        await array.write_value(known)

    async def add(self, text: str, kind: str, value: float | str) -> str | None:
        """Have a variable at `nsu=URI;s=Name`, `ns=2;i=7` and so on; one that is there already stays.

        Gives its node id; None where the server has such a node for itself. Raises ValueError.
        """
        node = await self._node_id(text)
        known = next((one for one in self._found.values() if one[0] == node), None)
        if known is None:
            name = ua.QualifiedName(text[-60:], node.NamespaceIndex)
            try:
                await self._server.nodes.objects.add_variable(node, name, ua.Variant(value, KINDS[kind]))
            except BadNodeIdExists:
                return None
            except UaError as error:
                raise ValueError(f"no node can be had at {text}: {error}") from error
        self._found[text] = known or (node, KINDS[kind])
        return str(node.to_string())

    async def show(self, text: str, value: float | str) -> None:
        node, kind = self._found[text]
        at = ua.DateTime.now(UTC)
        data = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=at, ServerTimestamp=at)
        await self._server.write_attribute_value(node, data)

    async def _node_id(self, text: str) -> ua.NodeId:
        text = text.strip()
        place = text.partition(";")[0] if text.startswith("ns") else ""
        return _identified(text.removeprefix(f"{place};"), await self._namespace(place))

    async def _namespace(self, place: str) -> int:
        if place.startswith("nsu="):
            uri = place.removeprefix("nsu=").replace("%3B", ";").replace("%25", "%")
            return int(await self._server.register_namespace(uri))
        return int(place.removeprefix("ns=") or 0)


def _identified(name: str, index: int) -> ua.NodeId:
    kind, _, identifier = name.partition("=")
    space = ua.Int16(index)
    if kind == "i":
        return ua.NodeId(ua.Int32(int(identifier)), space, ua.NodeIdType.Numeric)
    if kind == "g":
        return ua.NodeId(ua.Guid(str(uuid.UUID(identifier))), space, ua.NodeIdType.Guid)
    if kind == "b":
        raw = ua.ByteString(base64.b64decode(identifier))
        return ua.NodeId(raw, space, ua.NodeIdType.ByteString)
    return ua.NodeId(ua.String(identifier), space, ua.NodeIdType.String)


@contextlib.asynccontextmanager
async def serve_nodes() -> AsyncIterator[Nodes]:
    """A server on a free port; nodes are added while it runs."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server = await new_server(0)
    async with server:
        yield Nodes(server)
