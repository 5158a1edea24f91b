"""An HTTP server that does as a test says, also what no server should: each connection is seen."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Stub:
    """Answers every request with `status` and `headers`."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    silent: bool = False
    """Takes requests and answers none."""
    half: bool = False
    """Hangs up in the middle of its status line."""
    hangs_up: str = ""
    """After each answer to this method, or to `any`; it does not say so before."""
    hangs_up_after_s: float = 0.0
    raw: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
    """Answers in this way, and hangs up."""
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Method, path and body."""
    judge: Callable[[str, bytes], None] | None = None
    """Sees the path and the body of every request, and sets what the answer shall be."""
    connections: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    async def hang_up(self) -> None:
        """Close every connection, without a farewell in TLS: as one that is killed."""
        for writer in list(self.open):
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            self.happened.set()
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.splitlines()
        method, path, _ = first.split(" ")
        named = dict(line.lower().split(": ", 1) for line in rest if line)
        body = await reader.readexactly(int(named.get("content-length", 0)))
        self.requests.append((method, path, body))
        if self.judge is not None:
            self.judge(path, body)
        self.happened.set()
        if self.silent:
            await reader.read()
            return False
        if self.raw is not None:
            await self.raw(writer)
            return False
        said = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} As told", *(f"{key}: {value}" for key, value in said.items())]
        answer = "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body
        writer.write(answer[:10] if self.half else answer)
        await writer.drain()
        if self.hangs_up in (method, "any"):
            await asyncio.sleep(self.hangs_up_after_s)
            return False
        return not self.half and said.get("Connection") != "close"


@asynccontextmanager
async def stub(context: ssl.SSLContext | None = None) -> AsyncIterator[Stub]:
    """On a free port of 127.0.0.1."""
    one = Stub()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=context)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.hang_up()
        await server.wait_closed()
        while one.open:
            one.happened.clear()
            await one.happened.wait()
