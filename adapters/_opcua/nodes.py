"""Node ids as people write them, and as one server numbers them (OPC 10000-6, 5.3.1.10)."""

import base64
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from asyncua import ua

_NODE = re.compile(
    r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]{1,5});)?(?P<kind>[isgb])=(?P<name>.+)", re.DOTALL
)
_LONGEST = 4096  # of a string identifier, OPC 10000-3, 8.2.4
_EXAMPLE = 'write it as "nsu=urn:acme:press;s=Count.Total", "ns=2;s=Count.Total" or "ns=2;i=1001"'

_COMPARED, _SHOWN_OF_ONE = 200, 200
"""Namespaces that a wrong one is compared with, and how much of each: a server may tell what it likes."""


class UnknownNamespace(LookupError):
    """The server does not know this namespace URI."""

    def __init__(self, uri: str, known: Sequence[str]) -> None:
        self.uri = uri
        some = [one[:_SHOWN_OF_ONE] for one in known[1:_COMPARED]]
        near = get_close_matches(uri, some, 1, 0.8)
        has = ", ".join(some[:8]) or "none of its own"
        instead = f"did you mean {near[0]}?" if near else f"it has {has}"
        super().__init__(f"the server has no namespace {uri}; {instead}")


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node id whose namespace may still be a URI."""

    identifier: int | str | uuid.UUID | bytes
    index: int = 0
    uri: str | None = None

    def on(self, namespaces: Sequence[str]) -> ua.NodeId:
        """The node's id on a server with this NamespaceArray. Raises UnknownNamespace."""
        if self.uri is None:
            return self._numbered(self.index)
        if self.uri not in namespaces:
            raise UnknownNamespace(self.uri, namespaces)
        return self._numbered(namespaces.index(self.uri))

    def _numbered(self, index: int) -> ua.NodeId:
        name = self.identifier
        if isinstance(name, int):
            return ua.NodeId(ua.Int32(name), ua.Int16(index), ua.NodeIdType.Numeric)
        if isinstance(name, str):
            return ua.NodeId(ua.String(name), ua.Int16(index), ua.NodeIdType.String)
        if isinstance(name, bytes):
            return ua.NodeId(ua.ByteString(name), ua.Int16(index), ua.NodeIdType.ByteString)
        return ua.NodeId(ua.Guid(str(name)), ua.Int16(index), ua.NodeIdType.Guid)


def parse_node(text: str) -> NodeName:
    """`nsu=URI;s=Name`, `ns=2;i=7`, `i=2258`, `g=` a GUID, `b=` base64. Raises ValueError.

    In a URI a semicolon is written %3B and a percent sign %25.
    """
    match = _NODE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a node id; {_EXAMPLE}")
    index = int(match["index"] or 0)
    if index > 0xFFFF:
        raise ValueError("a namespace index goes up to 65535")
    uri = match["uri"]
    return NodeName(
        _identifier(match["kind"], match["name"]),
        index,
        None if uri is None else uri.replace("%3B", ";").replace("%25", "%"),
    )


def _identifier(kind: str, text: str) -> int | str | uuid.UUID | bytes:
    if kind == "s":
        if len(text.encode()) > _LONGEST:
            raise ValueError(f"a string identifier has {_LONGEST} bytes at the most")
        return text
    if kind == "g":
        return _guid(text)
    if kind == "b":
        return _opaque(text)
    if re.fullmatch(r"[0-9]{1,10}", text) is None or int(text) > 0xFFFFFFFF:
        raise ValueError("a numeric identifier is a whole number up to 4294967295")
    return int(text)


def _guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ValueError("not a GUID; write it as g=72962b91-fa75-4ae6-8d28-b404dc7daf63") from None


def _opaque(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise ValueError(
            "not base64: A to Z, a to z, 0 to 9, + and /, filled up with = to a multiple of 4: b=AQL/AD0="
        ) from None
