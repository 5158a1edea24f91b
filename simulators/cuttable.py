"""What listens on 127.0.0.1 inside the process that uses it, and can be cut off and healed."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar, Self

HOST = "127.0.0.1"


class Cuttable(ABC):
    """`async with Broker().open() as broker:`; its address is `url`. What it holds outlives a cut."""

    scheme: ClassVar[str]
    """Of its address: `mqtt`, `http`."""

    def __init__(self) -> None:
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{HOST}:{self.port}"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Listen inside the block."""
        await self.heal()
        try:
            yield self
        finally:
            await self.cut()

    async def cut(self) -> None:
        """Nobody listens any more, and every connection is reset."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def heal(self) -> None:
        """Listen again on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._client, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # gone; streams of Python 3.11 would report a cancel as an error
        finally:
            self._writers.discard(writer)
            writer.close()

    @abstractmethod
    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """With one client, until it has gone. Raises OSError, EOFError."""
