"""What the tests of the mqtt sink share."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters import mqtt
from edge.contract import Outlet, Sink
from tests.support.servers import (
    FarEnd,
    mosquitto,
)

OUTLET = Outlet("uns", "line-1", "acme/leeds/assembly", Path("/nonexistent"))
ROOT = "acme/leeds/assembly/line-1"


def open_sink(port: int, **settings: Any) -> AbstractAsyncContextManager[Sink]:
    table = {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{port}", "timeout": "5s", **settings}
    return mqtt.connect(mqtt.Settings.model_validate(table), OUTLET)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[FarEnd]:
    async with mosquitto(tmp_path / "mosquitto") as server:
        yield server


CONNACK = bytes([0x20, 3, 0, 0, 0])


@asynccontextmanager
async def far_end(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
