"""A small time series database inside the process that uses it: it takes line protocol over HTTP and keeps
nothing but what its listener keeps.

`POST /api/v2/write` and `POST /write` answer 204, `/ping` 204, `/health` 200. It listens on 127.0.0.1 only,
without TLS and without credentials. It can be cut: then nobody listens, and every connection is reset.
"""

import asyncio
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from simulators.cuttable import Cuttable

LARGEST = 64 << 20
"""Bytes of one request's body, unpacked."""
_HEADERS = 100
_MEASUREMENT = re.compile(rb"(?:[^\\, ]|\\.)+(?=[, ])")
_STAMP = re.compile(rb"-?[0-9]{1,19}")


class Point(NamedTuple):
    """Of one line: what identifies it apart from its tags."""

    measurement: str
    stamp_ns: int


Heard = Callable[[list[Point]], None]
"""All points of one request."""


class BadRequest(Exception):
    """Bytes that are no request, or no line protocol."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes


class PointsDb(Cuttable):
    """It tells what it has heard, and keeps nothing."""

    scheme = "http"

    def __init__(self, heard: Heard = lambda points: None) -> None:
        super().__init__()
        self._heard = heard

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _request(reader)) is not None:
                self._answer(writer, request)
                await writer.drain()
        except BadRequest as error:
            writer.write(_response("400 Bad Request", {"message": str(error)}))

    def _answer(self, writer: asyncio.StreamWriter, request: _Request) -> None:
        path = request.path.partition("?")[0]
        if request.method == "POST" and path in ("/api/v2/write", "/write"):
            try:
                points = read_points(request.body)
            except BadRequest as error:
                writer.write(_response("400 Bad Request", {"message": str(error)}))
                return
            self._heard(points)
            writer.write(_response("204 No Content"))
        elif path == "/ping":
            writer.write(_response("204 No Content"))
        elif path in ("/health", "/query"):
            writer.write(_response("200 OK", {"name": "points", "status": "pass", "results": []}))
        else:
            writer.write(_response("404 Not Found", {"message": f"{path} is not known here"}))


def read_points(body: bytes) -> list[Point]:
    """Every line of line protocol. Raises BadRequest for one that is none."""
    points = []
    for line in body.split(b"\n"):
        if not line.strip() or line.startswith(b"#"):
            continue
        rest, _, stamp = line.strip().rpartition(b" ")
        name = _MEASUREMENT.match(rest)
        if name is None or b"=" not in rest or not _STAMP.fullmatch(stamp):
            raise BadRequest(f"no line protocol: {line[:200]!r}")
        points.append(Point(name[0].decode("utf-8", "replace").replace("\\", ""), int(stamp)))
    return points


async def _request(reader: asyncio.StreamReader) -> _Request | None:
    """The next one; None at the end. Raises BadRequest, EOFError."""
    try:
        first = await reader.readline()
        if not first:
            return None
        method, path, _ = first.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := (await reader.readline()).decode("latin-1").strip()) and len(headers) < _HEADERS:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    except ValueError as error:  # too long a line, or no request at all
        raise BadRequest(f"no HTTP: {error}") from error
    return _Request(method, path, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST:
        raise BadRequest(f"a body of {length[:20]!r} bytes")
    body = await reader.readexactly(int(length))
    return _unpacked(body) if headers.get("content-encoding") == "gzip" else body


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, LARGEST)
    except zlib.error as error:
        raise BadRequest(f"no gzip: {error}") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise BadRequest("a body that is too large, or cut")
    return unpacked


def _response(status: str, said: object = None) -> bytes:
    body = b"" if said is None else json.dumps(said).encode()
    head = f"HTTP/1.1 {status}\r\nX-Influxdb-Version: 2.0-simulator\r\nContent-Type: application/json\r\n"
    length = "" if status.startswith("204") else f"Content-Length: {len(body)}\r\n"
    return f"{head}{length}\r\n".encode() + body
