"""The odd server with its answers as bytes: a test may change each before it is sent, in chunks."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.adapters.opcua_odd_server import Connection, OddServer

_CHUNK = 60_000
_POLICY = b"http://opcfoundation.org/UA/SecurityPolicy#None"
DATA_CHANGE = 811


def filled(least: bytes, size: int) -> bytes:
    """A list of as many of these as fit into so many bytes."""
    count = size // len(least)
    return struct.pack("<i", count) + least * count


def header(
    body: bytes, diagnostics: bytes = b"\0", texts: bytes = b"\0" * 4, more: bytes = b"\0" * 3
) -> bytes:
    """An answer as asyncua encodes it, with something in its header."""
    return body[:20] + diagnostics + texts + more + body[28:]


def extension(size: int) -> bytes:
    """A notification of a few million DiagnosticInfos, as an ExtensionObject."""
    content = b"\0" * 4 + filled(b"\0", size)
    return b"\1\0" + struct.pack("<HBi", DATA_CHANGE, 1, len(content)) + content


class RawServer(OddServer):
    """`changed` gives what is sent in place of each answer, by the name of its service."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[str, Callable[[bytes], bytes]] = {}
        self.as_open: set[str] = set()
        """Services that are answered as if a channel were opened."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _RawConnection(self, reader, writer).run()
        self._open.discard(writer)
        writer.close()


class _RawConnection(Connection):
    async def _send(self, kind: bytes, security: bytes, request_id: int, response: Any) -> None:
        name = type(response).__name__.removesuffix("Response")
        assert isinstance(self.server, RawServer)
        changed = self.server.changed.get(name)
        if name in self.server.as_open:
            kind, security = b"OPNF", struct.pack("<Ii", 9, len(_POLICY)) + _POLICY + b"\xff" * 8
        body = struct_to_binary(response)
        body = changed(body) if changed is not None else body
        for at in range(0, len(body), _CHUNK):
            self._sequence += 1
            some = body[at : at + _CHUNK]
            rest = security + struct.pack("<II", self._sequence, request_id) + some
            last = b"F" if at + _CHUNK >= len(body) else b"C"
            self.writer.write(kind[:3] + last + struct.pack("<I", len(rest) + 8) + rest)
        await self.writer.drain()

    def _getendpoints(self, request: Any) -> Any:
        wanted = ua.CreateSessionRequest()
        wanted.Parameters.EndpointUrl = request.Parameters.EndpointUrl
        return ua.GetEndpointsResponse(Endpoints=self._createsession(wanted).Parameters.ServerEndpoints)

    def _browse(self, request: Any) -> Any:
        results = [ua.BrowseResult(References=[]) for _ in request.Parameters.NodesToBrowse]
        return ua.BrowseResponse(Results=results)
