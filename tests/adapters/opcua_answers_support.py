"""What the tests of hostile answers share."""

import struct
from collections.abc import Callable

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.adapters.opcua_raw_server import extension, filled, header

MIB = 1024 * 1024
FULL = 4 * MIB - 4096
"""What the connection lets through."""
NULL = b"\xff" * 4
TOKEN = NULL + b"\0" * 4 + NULL * 3
REFERENCE = b"\0\x23\1\0\x55\1\0" + NULL + b"\0" + b"\1\0\0\0" + b"\0\0"


def endpoint(addresses: bytes = NULL, tokens: bytes = NULL) -> bytes:
    server = NULL * 2 + b"\0" + b"\0" * 4 + NULL * 2 + addresses
    return NULL + server + NULL + b"\1\0\0\0" + NULL + tokens + NULL + b"\0"


def one(element: bytes) -> bytes:
    return struct.pack("<i", 1) + element


def answer(name: str) -> bytes:
    """The plainest answer of a service, as asyncua encodes it."""
    return struct_to_binary(getattr(ua, f"{name}Response")())


def head(name: str) -> bytes:
    return answer(name)[:28]


REWINDING = struct.pack("<i", -4)
"""A text of this length takes asyncua back to where the length begins."""
SESSION = head("CreateSession") + b"\0\0" * 2 + b"\0" * 8 + NULL * 2
TARGET = b"\0\x55" + NULL

CONTENTS = {
    "endpoints": ("GetEndpoints", head("GetEndpoints") + filled(endpoint(), FULL)),
    "tokens": ("GetEndpoints", head("GetEndpoints") + one(endpoint(tokens=filled(TOKEN, FULL)))),
    "addresses": ("GetEndpoints", head("GetEndpoints") + one(endpoint(addresses=filled(NULL, FULL)))),
    "addresses without end": (
        "GetEndpoints",
        head("GetEndpoints") + one(endpoint(addresses=struct.pack("<i", 2**31 - 1) + REWINDING)),
    ),
    "tokens of a session": ("CreateSession", SESSION + one(endpoint(tokens=filled(TOKEN, FULL)))),
    "certificates": ("CreateSession", SESSION + NULL + filled(NULL * 2, FULL)),
    "a long nonce": ("ActivateSession", head("ActivateSession") + struct.pack("<i", FULL) + b"0" * FULL),
    "results": ("ActivateSession", head("ActivateSession") + NULL + filled(b"\0" * 4, FULL)),
    "diagnostics": ("ActivateSession", head("ActivateSession") + NULL * 2 + filled(b"\0", FULL)),
    "references": (
        "Browse",
        head("Browse") + one(b"\0" * 4 + NULL + filled(REFERENCE, FULL)),
    ),
    "nodes with references": (
        "Browse",
        head("Browse") + struct.pack("<i", 400) + (b"\0" * 4 + NULL + filled(REFERENCE, 9000)) * 400,
    ),
    "next references": ("BrowseNext", head("BrowseNext") + filled(b"\0" * 4 + NULL + NULL, FULL)),
    "targets": (
        "TranslateBrowsePathsToNodeIds",
        head("TranslateBrowsePathsToNodeIds") + one(b"\0" * 4 + filled(TARGET, FULL)),
    ),
    "targets of many": (
        "TranslateBrowsePathsToNodeIds",
        head("TranslateBrowsePathsToNodeIds")
        + struct.pack("<i", 999)
        + (b"\0" * 4 + filled(TARGET, 60)) * 999,
    ),
    "items": ("CreateMonitoredItems", head("CreateMonitoredItems") + filled(b"\0" * 23, FULL)),
    "what became of a filter": (
        "CreateMonitoredItems",
        head("CreateMonitoredItems") + one(b"\0" * 20 + extension(300_000)) + NULL,
    ),
    "written": ("Write", head("Write") + filled(b"\0" * 4, FULL)),
    "deleted": ("DeleteMonitoredItems", head("DeleteMonitoredItems") + NULL + filled(b"\0", FULL)),
}  # fmt: skip
HEADERS: dict[str, Callable[[bytes], bytes]] = {
    "an additional header": lambda body: header(body, more=extension(FULL)),
    "a string table": lambda body: header(body, texts=filled(NULL, FULL)),
    "texts without end": lambda body: header(body, texts=struct.pack("<i", 2**31 - 1) + REWINDING),
    "diagnostics": lambda body: header(body, diagnostics=b"\x40" * 99 + b"\0"),
    "diagnostics without end": lambda body: header(body, diagnostics=b"\x40" * FULL),
}
