"""Who may ask a server for a session, and how often: clients in a hurry have brought servers down."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

SESSIONS = 4
"""Sessions that may be asked for in a row."""
REFILL_S = 10.0
"""After so long there may be one more: with those in a row ten in any minute, and none waits longer."""
FULL_AGAIN_S = 3.0
"""Between two tries where all sessions of the server are taken."""
_SLOW_CLOCK_S = 0.5
"""A server looks now and then only which of its sessions have ended."""
_LONGEST_S = 6.0
"""It may have been started anew meanwhile, and have room."""


class Allowance:
    """A budget that fills up again. Decides without waiting; times are monotonic, in seconds."""

    def __init__(self, most: int = SESSIONS, refill_s: float = REFILL_S) -> None:
        self._most = most
        self._refill_s = refill_s
        self._full_s = 0.0
        """When the budget is whole again."""

    def wait_s(self, now_s: float) -> float:
        """How long until one more is allowed."""
        return max(0.0, self._full_s - now_s - (self._most - 1) * self._refill_s)

    def spend(self, now_s: float) -> None:
        """One was asked for."""
        self._full_s = max(self._full_s, now_s) + self._refill_s


class Vacancy:
    """When a server that was full is asked again: not before our own lost session has ended there."""

    def __init__(self) -> None:
        self._ours_ends_s = self._until_s = -math.inf

    def left_behind(self, heard_s: float, kept_s: float) -> None:
        """A session of ours was not closed: the server keeps it for so long after it heard of us."""
        self._ours_ends_s = heard_s + kept_s

    def full(self, now_s: float) -> None:
        """The server had no room."""
        wait_s = max(self._ours_ends_s + _SLOW_CLOCK_S - now_s, FULL_AGAIN_S)
        self._until_s = now_s + min(wait_s, _LONGEST_S)

    def wait_s(self, now_s: float) -> float:
        """How long until it is asked again."""
        return max(0.0, self._until_s - now_s)


class Turn:
    """Of one server."""

    def __init__(self) -> None:
        self._allowance = Allowance()
        self.vacancy = Vacancy()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Nobody else asks this server for a session meanwhile. Waits until one is allowed."""
        async with self._lock:
            now_s = time.monotonic()
            await asyncio.sleep(max(self._allowance.wait_s(now_s), self.vacancy.wait_s(now_s)))
            yield

    def asked(self) -> None:
        """A session is asked for, now."""
        self._allowance.spend(time.monotonic())


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turn]] = WeakKeyDictionary()


def turn(server: str) -> Turn:
    """The one of this server, by host and port: one that is slow must not hold up another."""
    return _turns.setdefault(asyncio.get_running_loop(), {}).setdefault(server, Turn())
