"""OPC UA's built-in types, as far as they are more than a number or a text (OPC 10000-6, 5.1.2)."""

import base64
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

_EPOCH_MS = 11_644_473_600_000
_TICKS_PER_MS = 10_000


class Malformed(ValueError):
    """Bytes that are not what they should be."""


class Kind(IntEnum):
    """The built-in types by their number in a variant (5.1.2)."""

    NULL = 0
    BOOLEAN = 1
    SBYTE = 2
    BYTE = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT = 10
    DOUBLE = 11
    STRING = 12
    DATE_TIME = 13
    GUID = 14
    BYTE_STRING = 15
    XML_ELEMENT = 16
    NODE_ID = 17
    EXPANDED_NODE_ID = 18
    STATUS_CODE = 19
    QUALIFIED_NAME = 20
    LOCALIZED_TEXT = 21
    EXTENSION_OBJECT = 22
    DATA_VALUE = 23
    VARIANT = 24
    DIAGNOSTIC_INFO = 25


class Id(NamedTuple):
    """A node's id, or an expanded one, as one server numbers it."""

    namespace: int
    identifier: int | str | bytes | UUID
    uri: str | None = None
    """Of an expanded one: the namespace, in place of its index."""
    server: int = 0

    @property
    def null(self) -> bool:
        """Whether it names nothing."""
        return self.namespace == 0 and not self.identifier and not self.uri

    def text(self, namespaces: Sequence[str] = ()) -> str:
        """`ns=2;s=Count`; with the URI, `nsu=urn:acme:press;s=Count`, where it is known (5.1.12)."""
        known = 0 < self.namespace < len(namespaces)
        uri = self.uri or (namespaces[self.namespace] if known else None)
        index = f"ns={self.namespace};" if self.namespace else ""
        before = f"nsu={uri.replace('%', '%25').replace(';', '%3B')};" if uri else index
        name = self.identifier
        if isinstance(name, bytes):
            return f"{before}b={base64.b64encode(name).decode()}"
        letter = "i" if isinstance(name, int) else "s" if isinstance(name, str) else "g"
        return f"{before}{letter}={name}"


class QName(NamedTuple):
    """A name in a namespace."""

    namespace: int
    name: str | None


class Text(NamedTuple):
    """A text for people, with its language."""

    locale: str | None
    text: str | None


class Extension(NamedTuple):
    """A structure whose encoding is known by `type` only."""

    type: Id
    body: bytes | None
    xml: bool = False


def unix_ms(ticks: int) -> int:
    """Ticks of 100 ns since 1601 as milliseconds since 1970, both UTC (5.2.2.5)."""
    return ticks // _TICKS_PER_MS - _EPOCH_MS
