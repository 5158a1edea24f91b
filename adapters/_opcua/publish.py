"""The publish requests of one subscription: a few are always out, none of what they bring is lost unseen.

A message is acknowledged when the journal has it, for the server forgets it then. Sequence numbers tell when
one is missing (OPC 10000-4, 5.14.1.1): it is asked for once more, and where the server has it no longer that
is told.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.link import Fault, Garbled, Subscribed
from adapters._opcua.wire import Published
from edge.contract import SourceLost

_LAST = 2**32 - 1
"""After it comes 1."""
_HALF = _LAST // 2
_REMEMBERED = 64
_ASKED_AGAIN = 64
"""Messages that are asked for once more at the most; a server keeps fewer."""
_OUT = 3
_INBOX = 8
"""Messages that may wait while one is fetched again."""
_MORE_S = 1.0
"""A server that says that it has more sends it at once; some say so always."""
_BURST = 20
_RESTARTS, _RESTARTED_S = 3, 60.0
"""How often a server may count its messages anew in so long."""
_PER_INTERVAL = 5
"""Messages that a publishing interval may bring in the long run; a server that sends more is made to wait."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message stands to those before it."""

    is_new: bool
    missing: tuple[int, ...] = ()
    """The numbers before it that did not come."""
    has_restarted: bool = False
    """The server counts anew: nobody knows what is missing."""


class Order:
    """Follows the sequence numbers. Decides without waiting."""

    def __init__(self) -> None:
        self._next = 1
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)

    def arrived(self, number: int, is_keep_alive: bool) -> Arrival:
        """A keep-alive carries the number of the message that comes next, all others their own."""
        ahead = (number - self._next) % _LAST
        if is_keep_alive:
            if number == 0 or ahead > _HALF:
                return Arrival(True)  # some servers repeat the last number
            return Arrival(True, self._skipped(number))
        if ahead <= _HALF and number:
            missing = self._skipped(number)
            self._take(number)
            return Arrival(True, missing)
        if number in self._seen:
            return Arrival(False)
        self._seen.clear()
        self._take(number)
        return Arrival(True, has_restarted=True)

    def _take(self, number: int) -> None:
        self._seen.append(number)
        self._next = number % _LAST + 1

    def _skipped(self, number: int) -> tuple[int, ...]:
        """From the one that was due to before `number`; only the newest where they are very many."""
        count = (number - self._next) % _LAST
        first = self._next + max(0, count - 10 * _ASKED_AGAIN)
        kept = min(count, 10 * _ASKED_AGAIN)
        numbers = tuple((first + step - 1) % _LAST + 1 for step in range(kept))
        self._seen.extend(numbers[-_REMEMBERED:])
        self._next = number
        return numbers


class Lag(IntEnum):
    """How far what has been taken in is behind what the server may have said."""

    NONE = 0
    BEHIND = 1
    """Messages are on their way."""
    HELD = 2
    """The server is asked for none, until the journal has room."""


class Throttle:
    """How long to wait before the next request, so that a flood of answers stays bounded. In seconds."""

    def __init__(self, publish_s: float) -> None:
        self._step_s = publish_s / _PER_INTERVAL
        self._due_s = -math.inf

    def wait_s(self, now_s: float) -> float:
        """An answer came now."""
        self._due_s = max(self._due_s, now_s - _BURST * self._step_s) + self._step_s
        return max(0.0, self._due_s - now_s)


class _Link(Protocol):
    def lost(self, reason: str) -> SourceLost: ...
    async def publish(self, subscription: int, acknowledged: Sequence[int]) -> bytes: ...
    def published(self, body: bytes) -> Published: ...
    async def republish(self, subscription: int, number: int) -> Published | None: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a publisher tells."""

    message: Callable[[Published], None]
    """A message with changes or an end; in the order in which the server sent them."""
    missed: Callable[[int, float], None]
    """Messages that are lost for good (0: nobody knows how many), since a monotonic time in seconds."""
    garbled: Callable[[], None]
    """A message cannot be read. That it is missing is told when its number is."""


class Publisher:
    """Keeps publish requests out and takes in what they bring; `acknowledge` what is on disk."""

    def __init__(self, link: _Link, subscription: Subscribed, heard: Heard) -> None:
        self._link = link
        self._subscription = subscription
        self._heard = heard
        self._order = Order()
        self._throttle = Throttle(subscription.publish_s)
        self._due: list[int] = []
        """Sequence numbers to be acknowledged with the next request."""
        self._inbox: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._drained = asyncio.Event()
        self._drained.set()
        self._out = 0
        self._resting = 0
        """Requests that wait before they go out again, for answers came too fast."""
        self._restarts: deque[float] = deque(maxlen=_RESTARTS)
        self._is_taking = False
        self._has_more = False
        self._told_s = time.monotonic()
        self.whole_s = time.monotonic()
        """Up to here nothing is missing."""
        self.wanted = _OUT
        """Requests that are out at a time: while one answer travels the server still has another."""

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """The journal has these messages."""
        self._due += numbers

    def hold(self, is_full: bool) -> None:
        """Whether the next requests wait, for the journal is slow; then the server's queues fill."""
        if is_full:
            self._room.clear()
        else:
            self._room.set()

    @property
    def lag(self) -> Lag:
        """Whether the server may have said more than has been taken in: it waits here, or for a request."""
        if not self._room.is_set():
            return Lag.HELD
        is_coming = self._has_more and time.monotonic() - self._told_s < _MORE_S
        waits_here = bool(self._inbox) or self._is_taking or is_coming
        return Lag.BEHIND if waits_here or self._resting or not self._out else Lag.NONE

    def silent_s(self) -> float:
        """How long requests have been out with no answer to any."""
        return time.monotonic() - self._told_s if self._out else 0.0

    async def run(self) -> None:
        """Returns never; raises SourceLost where the subscription is gone."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_in(), name="opcua messages")
            for number in range(self.wanted):
                tasks.create_task(self._ask(), name=f"opcua publish {number}")

    async def _ask(self) -> None:
        """One request after the other. Between an answer and the inbox nothing waits: their order stays."""
        while True:
            await self._room.wait()
            await self._drained.wait()
            due, self._due = self._due, []
            try:
                with self._counted():
                    self._inbox.append(await self._link.publish(self._subscription.number, due))
            except Fault as fault:
                if not self._goes_on(fault, due):
                    return
                await asyncio.sleep(self._subscription.publish_s)
                continue
            self._told_s = time.monotonic()
            self._arrived.set()
            if len(self._inbox) >= _INBOX:
                self._drained.clear()
            await self._rest(self._throttle.wait_s(self._told_s))

    async def _rest(self, wait_s: float) -> None:
        if wait_s <= 0:
            return
        self._resting += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._resting -= 1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if not self._out:
            self._told_s = time.monotonic()
        self._out += 1
        try:
            yield
        finally:
            self._out -= 1

    def _goes_on(self, fault: Fault, due: Sequence[int]) -> bool:
        """Whether another request is worth it; the server may take fewer than we would have out."""
        self._due = [*due, *self._due]
        if fault.status == StatusCodes.BadTooManyPublishRequests and self.wanted > 1:
            self.wanted -= 1
            return False
        if fault.status in (StatusCodes.BadTimeout, StatusCodes.BadTooManyPublishRequests):
            return True
        raise self._link.lost(f"the subscription is dead: {fault.reason}") from fault

    # --- what came ---

    async def _take_in(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._is_taking = True
            while self._inbox:
                await self._body(self._inbox.popleft())
            self._is_taking = False
            self._drained.set()

    async def _body(self, body: bytes) -> None:
        try:
            published = self._link.published(body)
        except Garbled:
            self._heard.garbled()
            return
        if published.subscription == self._subscription.number:
            self._has_more = published.more
            await self._message(published)

    async def _message(self, published: Published) -> None:
        is_keep_alive = not published.changes and published.ended is None
        arrival = self._order.arrived(published.sequence, is_keep_alive)
        if arrival.missing:
            await self._recover(arrival.missing)
        if arrival.has_restarted:
            self._heard.missed(0, self.whole_s)
            self._restarted()
        if arrival.is_new and not is_keep_alive:
            self._heard.message(published)
        self.whole_s = time.monotonic()

    def _restarted(self) -> None:
        """Raises SourceLost where the server counts anew again and again: nobody knows what is missing."""
        now_s = time.monotonic()
        if len(self._restarts) == _RESTARTS and now_s - self._restarts[0] < _RESTARTED_S:
            raise self._link.lost(
                "the subscription is no good: the server numbers its messages backwards again and again"
            )
        self._restarts.append(now_s)

    async def _recover(self, missing: Sequence[int]) -> None:
        """Ask for what is missing, oldest first, for it comes before what is already here."""
        lost = max(0, len(missing) - _ASKED_AGAIN)
        for number in missing[lost:]:
            found = await self._link.republish(self._subscription.number, number)
            if found is None:
                lost += 1
            else:
                self._heard.message(found)
        if lost:
            self._heard.missed(lost, self.whole_s)
