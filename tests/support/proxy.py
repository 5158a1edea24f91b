"""A TCP proxy on loopback that a test can stall, cut and close."""

import asyncio
import socket
import struct
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


class Proxy:
    """`async with Proxy(port) as proxy:` forwards `proxy.port` to `port`, both on 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        """How many were accepted since the start."""
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.cut()
        await self.idle()

    async def idle(self) -> None:
        """Return when no connection is open."""
        await self._idle.wait()

    def stall(self) -> None:
        """Stop forwarding in both directions; connections stay open."""
        self._flows.clear()

    def flow(self) -> None:
        """Forward again, what was held back first."""
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection."""
        self._flows.set()
        for writer in list(self._open):
            peer: socket.socket = writer.get_extra_info("socket")
            if peer.fileno() >= 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    def refuse(self) -> None:
        """Accept no further connection."""
        if self._server is not None:
            self._server.close()

    async def accept(self) -> None:
        """Accept again, on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ours = {writer, back}
        self._open |= ours
        self._idle.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pipe(reader, back))
                tasks.create_task(self._pipe(there, writer))
        finally:
            self._open -= ours
            if not self._open:
                self._idle.set()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
