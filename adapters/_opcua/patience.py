"""How long a server is looked through, and how much of it: it may have nodes below nodes without end."""

import asyncio
import math
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

LOOKED_S = 10.0
MOST_SEEN = 50_000
"""References that are followed for all signals together; each costs some microseconds, and memory."""
_INSTEAD = "name the signal's node with node"


class Spent(LookupError):
    """The server was not looked through to the end; says what to do."""


class Patience:
    """Of one round of looking; usually without end."""

    def __init__(self, seconds: float = math.inf, references: float = math.inf) -> None:
        self._until_s = time.monotonic() + seconds
        self._references = references
        self.spent = ""
        """Why it is over; empty while it is not."""

    async def until(self, answer: Awaitable[T]) -> T:
        """The answer, where it comes in time. Raises Spent; then the answer, if it comes, is dropped."""
        left_s = self._until_s - time.monotonic()
        try:
            async with asyncio.timeout(None if left_s == math.inf else left_s):
                return await _plainly(answer)
        except TimeoutError:
            raise self._over("takes too long") from None

    def spend(self, references: int) -> None:
        """Raises Spent where the server has shown too much."""
        self._references -= references
        if self._references < 0:
            raise self._over("has too many nodes")

    def _over(self, why: str) -> Spent:
        self.spent = f"the server {why} to be looked through: {_INSTEAD}"
        return Spent(self.spent)


async def _plainly(answer: Awaitable[T]) -> T:
    """asyncua's wait_for has a CancelledError of its own for an answer that comes while it is cancelled.

    `asyncio.timeout` would not take it for the end of its time: the task would end without a word.
    """
    try:
        return await answer
    except asyncio.CancelledError:
        raise asyncio.CancelledError from None
