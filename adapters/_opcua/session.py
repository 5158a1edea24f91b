"""What is done on one connection: watch the nodes, read them when asked, doubt the subscription."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.canary import USUAL, Canary, Pace
from adapters._opcua.gate import ServerClock
from adapters._opcua.items import SLACK_S, Item, Items, parts_of
from adapters._opcua.link import CURRENT_TIME, Fault, Link, Subscribed
from adapters._opcua.missing import Missing
from adapters._opcua.outbox import Outbox
from adapters._opcua.poller import Poller
from adapters._opcua.publish import Heard, Lag, Publisher
from adapters._opcua.returned import Returned
from adapters._opcua.seeking import Seeker
from adapters._opcua.started import START_TIME, started
from adapters._opcua.telling import Telling, mono_ms, settled, telemetered
from adapters._opcua.values import Reading, overflowed, reading, status_name
from adapters._opcua.wire import Published
from adapters._opcua.write import Writer
from edge.contract import Change, Intake, Observation, Signal, SourceError, SourceLost

if TYPE_CHECKING:
    from adapters._opcua.address import Address

_BLAMED_S = 10.0
"""After a node was found that spoils messages, others may still come that it has spoilt."""
_NO_SUBSCRIPTIONS = frozenset(
    (
        StatusCodes.BadServiceUnsupported,
        StatusCodes.BadNotSupported,
        StatusCodes.BadNotImplemented,
        StatusCodes.BadTooManySubscriptions,
    )
)

_log = logging.getLogger(__name__)

__all__ = ["Pace", "Plan", "Session"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings want of a session."""

    publish_s: float
    subscribes: bool = True
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    """What else runs as long as the connection."""


class Session:
    """Runs until the connection, the subscription or the server fails."""

    def __init__(
        self,
        link: Link,
        signals: "Sequence[Signal[Address]]",
        intake: Intake,
        plan: Plan,
        pace: Pace = USUAL,
    ) -> None:
        self._pace = pace
        self._plan = plan
        self._link = link
        self._intake = intake
        self._items = Items(link, signals)
        self._clock = ServerClock()
        self._writer = Writer(link, intake)
        self._returned = Returned(intake, self._items)
        self._subscription: Subscribed | None = None
        self._publisher: Publisher | None = None
        self._outbox = Outbox(intake, self._owe_all)
        self._telling = Telling(intake, self._items, self._clock, self._outbox)
        self._missing = Missing(intake, self._outbox.put)
        self._reads = asyncio.Lock()
        self._disturbed = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._canary = Canary(link, self._items, pace)
        self._poller = Poller(self._read)
        self._seeker = Seeker(self._items, self._retry, self._read, pace.mend_s)
        self._owes_all = False
        self._is_garbled = False
        self._read_all_s = 0.0
        self._began_s = time.monotonic()
        self._ended = ""
        self._told_polling = False

    async def run(self) -> None:
        """Raises SourceLost or SourceRefused; returns never."""
        await self._begin()
        parts = (
            self._publish, self._outbox.run, self._missing.run, self._answer, self._doubt, self._poller.run,
            self._seeker.run, self._mourn, self._link.renew, self._writer.run, *self._plan.beside,
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(part(), name=f"opcua {part.__name__}")
        except ExceptionGroup as group:
            failures, bugs = group.split(SourceError)
            if failures is None or bugs is not None:
                raise
            self._missing.settle()
            unseen_s = time.monotonic() - self._whole_s()
            await self._outbox.hand_over()
            first = self._link.fault() or next(_flat(failures))
            if isinstance(first, SourceLost):
                first.unseen_s = unseen_s
            raise first from first.__cause__

    def _whole_s(self) -> float:
        """Until when it is certain that nothing was missing."""
        word_s = self._poller.read_s if self._publisher is None else self._publisher.whole_s
        doubted = (self._known_s(part) for part in self._items.parts if part.gate.is_doubted)
        return min(word_s, *doubted, time.monotonic())

    async def _begin(self) -> None:
        await self._link.learn_limits()
        before_ms = mono_ms()
        time_there, start = await self._link.read([CURRENT_TIME, START_TIME])
        self._clock.measured(before_ms, mono_ms(), time_there)
        signals = [item.signal for item in self._items.all]
        self._outbox.put(started(self._intake, self._link.endpoint, signals, time_there, start))
        await self._subscribe()
        await self._watch(self._items.at_once())
        if self._items.lack_all():
            await self._watch([item for item in self._items.all if not item.is_named])
        lack = self._items.lack_a_namespace()
        if lack:
            raise self._link.refused(f"{lack}; no signal of this source is in one that it has")
        self._intake.connected()
        await self._read([item for item in self._items.all if item.resolved is not None])
        self._poller.read_s = time.monotonic()

    # --- which nodes are watched, and how ---

    async def _subscribe(self) -> bool:
        """Whether there is a subscription; else everything is read at its `every`."""
        if not self._plan.subscribes:
            return False
        try:
            subscription = await self._link.subscribe(self._plan.publish_s)
        except Fault as fault:
            if fault.status not in _NO_SUBSCRIPTIONS:
                raise
            if not self._told_polling:
                _log.warning("%s: reads at each signal's `every`: %s", self._intake.name, fault.reason)
            self._told_polling = True
            return False
        self._subscription = subscription
        heard = Heard(self._message, self._missed, self._garbled)
        self._publisher = self._outbox.publisher = Publisher(self._link, subscription, heard)
        self._subscribed.set()
        return True

    async def _watch(self, items: Sequence[Item]) -> None:
        await self._items.watch(items, self._subscription, self._pace.look_s)
        self._poller.watched(items)

    async def _mend(self) -> None:
        """Try again what cannot be watched; say so only where something changed."""
        if self._subscription is None and await self._subscribe():
            found = [item for item in self._items.all if item.is_named or not item.fault]
            await self._watch(found)
            await self._read(found)
            return
        broken = self._items.broken(time.monotonic())
        if broken:
            await self._retry(broken)

    async def _retry(self, items: Sequence[Item]) -> None:
        before = {item: item.fault for item in items}
        await self._items.forget(items, self._subscription)
        await self._watch(items)
        await self._read([item for item, fault in before.items() if item.fault != fault])

    # --- what the server sends by itself ---

    async def _publish(self) -> None:
        await self._subscribed.wait()
        if self._publisher is not None:
            await self._publisher.run()

    def _message(self, published: Published) -> None:
        """Called with every message that has something to say, in the server's order."""
        now_s, now_ms = time.monotonic(), mono_ms()
        changes: list[Change] = []
        fresh: list[Observation] = []
        spread: list[tuple[Item, Reading]] = []
        for handle, sample in published.changes:
            item = self._items.of(handle)
            if item is None:
                continue
            notified = reading(sample, item.pick)
            if sample.status:
                notified = self._noted(item, sample.status, notified)
            item.heard_s = now_s
            aged_ms = None if item.place is None else self._clock.age_ms(notified.stamp, now_ms)
            is_count = item.signal.bits is not None
            if not item.gate.admits(notified, now_s, is_dated=aged_ms is not None, is_count=is_count):
                continue
            item.told_s = now_s
            if item.family:
                spread.append((item, notified))
            elif item.place is None:
                fresh.append(self._telling.observed(item, notified))
            else:
                aged_ms = item.aged_ms(notified.stamp, aged_ms, now_ms)
                changes.append((item.place, telemetered(notified), aged_ms))
        self._outbox.put(fresh)
        self._telling.changed(changes, now_ms)
        if spread:
            self._telling.combine(spread)
        if published.ended is not None:
            self._ended = status_name(published.ended)
            self._disturbed.set()
        self._outbox.await_disk(published.sequence)

    def _noted(self, item: Item, status: int, one: Reading) -> Reading:
        """What else a status calls for; the reading says what to do where the node is gone."""
        if overflowed(status):
            self._owe_all()
            if item.place is not None:  # a counter has it all, and of a state the core tells
                self._missing.overflowed(item.signal.name, self._known_s(item))
        return one._replace(detail=item.fault) if item.gone(status) else one

    def _known_s(self, item: Item) -> float:
        """Until when nothing of it was missing; by the server's time where it was taken in late."""
        before = item.gate.notified
        ago_ms = None if before is None else self._clock.ago_ms(before.stamp, mono_ms())
        stamped_s = math.inf if ago_ms is None else time.monotonic() - ago_ms / 1000
        return max(self._began_s, min(item.known_s, stamped_s))

    def _missed(self, messages: int, since_s: float) -> None:
        """Messages are gone for good: counters have it all at the next read, the rest is told."""
        self._missing.messages(messages, since_s)
        self._owe_all()

    def _garbled(self) -> None:
        """A message of the subscription cannot be read."""
        self._is_garbled = True
        self._owe_all()

    def _owe_all(self) -> None:
        self._owes_all = True
        self._disturbed.set()

    # --- what is read ---

    async def _answer(self) -> None:
        """Serve requests for fresh reads, and hand on those to write."""
        while True:
            ask = await self._intake.asked()
            if ask is None:
                continue
            if ask.write is not None:
                self._writer.put(ask)
                continue
            asked = [item for item in self._items.all if item.signal.name in ask.signals]
            await self._read(self._seeker.found(asked, ask.number), ask.number)

    async def _read(self, items: Sequence[Item], answers: int = 0) -> None:
        """Read now and hand on, behind everything that arrived before."""
        refused = [self._telling.refused(item, answers) for item in items if item.fault]
        parts = [part for part in parts_of(items) if not part.fault]
        async with self._reads:
            asked_s = time.monotonic()
            values = await self._link.read([part.node for part in parts])
            now_s = time.monotonic()
            known = [settled(part, one, asked_s, now_s) for part, one in zip(parts, values, strict=True)]
            self._outbox.put(refused)
            told = [(part, one) for part, one in zip(parts, known, strict=True) if one is not None]
            self._telling.read(told, answers)
        if answers:
            await self._outbox.hand_over()

    # --- whether the subscription can be believed ---

    async def _doubt(self) -> None:
        """Probe now and then; raises SourceLost where the subscription is dead."""
        mended_s = time.monotonic()
        while True:
            await self._pause()
            if self._ended:
                raise self._link.lost(f"the server ended the subscription: {self._ended}")
            if self._is_garbled:
                await self._blame()
            if self._owes_all:
                await self._read_all()
            else:
                await self._probe()
                await self._renew()
            self._listen()
            if time.monotonic() - mended_s >= self._pace.mend_s:
                await self._mend()
                mended_s = time.monotonic()
            self._returned.look()

    async def _pause(self) -> None:
        """Until the next probe, or until there is something that matters."""
        try:
            async with asyncio.timeout(self._canary.again_s):
                await self._disturbed.wait()
        except TimeoutError:
            return
        self._disturbed.clear()

    async def _read_all(self) -> None:
        """What overflowed, was missed or not recorded is made good; a flood of it costs one read a while."""
        wait_s = self._read_all_s + self._pace.whole_s - time.monotonic()
        if wait_s > 0 and not self._ended:
            await asyncio.sleep(wait_s)
        self._owes_all, self._read_all_s = False, time.monotonic()
        await self._read(self._items.sound())

    async def _probe(self) -> None:
        """Read what was silent, compare it with what was notified, and hand on what agrees.

        What agrees is fresh, so a signal that never changes is not stale. What differs is left
        to the notification that must follow.
        """
        silent = self._canary.chosen(time.monotonic())
        lag = self._lag()
        async with self._reads:
            asked_s, before_ms = time.monotonic(), mono_ms()
            time_there, *values = await self._link.read_again(self._canary.prepared)
            self._clock.measured(before_ms, mono_ms(), time_there)
            self._canary.judges(max(lag, self._lag()))
            agreed = [
                (item, one)
                for item, sample in zip(silent, values, strict=True)
                if (one := self._canary.judged(item, sample, asked_s)) is not None
            ]
            self._outbox.put(
                [self._telling.observed(item, one) for item, one in agreed if item.place is None]
            )
        self._telling.read([(item, one) for item, one in agreed if item.place is not None], 0)

    def _lag(self) -> Lag:
        return Lag.NONE if self._publisher is None else self._publisher.lag

    async def _renew(self) -> None:
        """What is not notified any more is watched anew; a read settles what it is now."""
        dead, self._canary.dead = self._canary.dead, []
        await self._read_instead()
        if not dead or self._subscription is None:
            return
        since_s = min(map(self._known_s, dead))
        await self._items.renew(dead, self._subscription)
        items = [item for item in self._items.all if any(part in dead for part in parts_of([item]))]
        self._missing.silent([item.signal.name for item in items], since_s)
        await self._read(items)

    async def _read_instead(self) -> None:
        """What is notified too slowly, or never, is read at its `every`."""
        slow, self._canary.slow = self._canary.slow, []
        if not slow or self._subscription is None:
            return
        await self._items.read_instead(slow, self._subscription)
        self._poller.put(item for item in self._items.all if any(part in slow for part in parts_of([item])))

    async def _blame(self) -> None:
        """Find the node that spoilt a message. Raises SourceLost where none is to blame."""
        self._is_garbled = False
        found = await self._items.blame(self._subscription)
        if time.monotonic() - self._items.spoilt_s() > _BLAMED_S:
            raise self._link.lost("it answers with what is not OPC UA, and no node is to blame")
        self._outbox.put([self._telling.refused(item) for item in found])

    def _listen(self) -> None:
        """Two keep-alives without a word are the end."""
        if self._publisher is None or self._subscription is None:
            return
        silence_s = self._publisher.silent_s()
        if silence_s > 2 * self._subscription.keep_alive_s + SLACK_S:
            raise self._link.lost(f"the subscription is dead: no word from it for {silence_s:.0f} s")

    async def _mourn(self) -> None:
        """A closed connection is noticed at once, not at the next probe."""
        await self._link.closed()
        fault = self._link.fault()
        if fault is not None:
            raise fault


def _flat(group: ExceptionGroup[SourceError]) -> Iterator[SourceError]:
    """The errors in groups within groups."""
    for one in group.exceptions:
        yield from _flat(one) if isinstance(one, ExceptionGroup) else [one]
