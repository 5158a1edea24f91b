"""Something that runs beside a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def background(work: Coroutine[Any, Any, None], timeout_s: float = 60.0) -> AsyncIterator[None]:
    """`work` runs while the body does; what it raises comes out alone."""
    async with asyncio.timeout(timeout_s):
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
