"""What is done on one connection: watch the nodes, read them when asked, doubt the subscription."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.canary import USUAL, Canary, Pace
from adapters._opcua.gate import ServerClock
from adapters._opcua.items import SLACK_S, Item, Items, parts_of
from adapters._opcua.link import CURRENT_TIME, Fault, Link, Subscribed
from adapters._opcua.poll import Schedule
from adapters._opcua.publish import Heard, Publisher
from adapters._opcua.values import Reading, overflowed, reading, status_name
from adapters._opcua.wire import Published, Sample
from adapters._opcua.write import Writer
from edge.contract import Change, Intake, NoValue, Observation, Quality, Signal, SourceError
from edge.errors import NotRecorded
from edge.observation import AGENT, Missed

if TYPE_CHECKING:
    from adapters._opcua.address import Address

_FULL = 20_000
"""Observations that may wait for the disk before the server is asked for no more."""
_UNSETTLED = 10_000
_LOST = "notifications-lost"
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
        self._channel = intake.channel([item.signal.name for item in self._items.telemetry()])
        self._clock = ServerClock()
        self._writer = Writer(link, intake)
        self._schedule: Schedule[Item] = Schedule()
        self._subscription: Subscribed | None = None
        self._publisher: Publisher | None = None
        self._pending: list[Observation] = []
        self._numbers: list[int] = []
        """Of the messages whose values are among the pending ones."""
        self._unsettled: deque[int] = deque(maxlen=_UNSETTLED)
        """Of messages that the journal did not take; what it takes next has it all."""
        self._reads = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._disturbed = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._polled = asyncio.Event()
        self._canary = Canary(link, self._items, pace)
        self._owes_all = False
        self._read_all_s = 0.0
        self._ended = ""
        self._told_polling = False

    async def run(self) -> None:
        """Raises SourceLost or SourceRefused; returns never."""
        await self._begin()
        parts = (
            self._publish, self._flush, self._answer, self._doubt, self._poll, self._mourn, self._link.renew,
            self._writer.run, *self._plan.beside,
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(part(), name=f"opcua {part.__name__}")
        except ExceptionGroup as group:
            failures, bugs = group.split(SourceError)
            if failures is None or bugs is not None:
                raise
            await self._hand_over()
            self._link.check()
            first = next(_flat(failures))
            raise first from first.__cause__

    async def _begin(self) -> None:
        await self._link.learn_limits()
        before_ms = _mono_ms()
        (time_there,) = await self._link.read([CURRENT_TIME])
        self._clock.measured(before_ms, _mono_ms(), time_there)
        await self._subscribe()
        await self._watch(self._items.all)
        lack = self._items.lack_a_namespace()
        if lack:
            raise self._link.refused(f"{lack}; no signal of this source is in one that it has")
        self._intake.connected()
        await self._read(self._items.all)

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
        self._publisher = Publisher(self._link, subscription, Heard(self._message, self._missed))
        self._subscribed.set()
        return True

    async def _watch(self, items: Sequence[Item]) -> None:
        await self._items.watch(items, self._subscription)
        now_s = time.monotonic()
        for item in items:
            self._schedule.drop(item)
            if item.is_polled and not item.fault:
                self._schedule.put(item, item.signal.every.total_seconds(), now_s)
        self._polled.set()

    async def _mend(self) -> None:
        """Try again what cannot be watched; say so only where something changed."""
        if self._subscription is None and await self._subscribe():
            await self._watch(self._items.all)
            await self._read(self._items.all)
            return
        broken = {item: item.fault for item in self._items.all if item.fault}
        if broken:
            await self._items.forget(list(broken), self._subscription)
            await self._watch(list(broken))
            await self._read([item for item, fault in broken.items() if item.fault != fault])

    # --- what the server sends by itself ---

    async def _publish(self) -> None:
        await self._subscribed.wait()
        if self._publisher is not None:
            await self._publisher.run()

    def _message(self, published: Published) -> None:
        """Called with every message that has something to say, in the server's order."""
        now_s, now_ms = time.monotonic(), _mono_ms()
        changes: list[Change] = []
        spread: list[tuple[Item, Reading]] = []
        for handle, sample in published.changes:
            item = self._items.of(handle)
            if item is None:
                continue
            item.heard_s = now_s
            notified = reading(sample, item.pick)
            if sample.status:
                notified = self._noted(item, sample.status, notified)
            if not item.gate.admits(notified, now_s):
                continue
            if item.family:
                spread.append((item, notified))
            elif item.place is None:
                self._pending.append(self._observed(item, notified))
            else:
                aged_ms = self._clock.age_ms(notified.stamp, now_ms)
                changes.append((item.place, _telemetered(notified), aged_ms))
        if changes:
            self._intake.changes(self._channel, changes)
        if spread:
            self._combine(spread)
        if published.ended is not None:
            self._ended = status_name(published.ended)
            self._disturbed.set()
        self._await_disk(published.sequence)

    def _combine(self, spread: Sequence[tuple[Item, Reading]]) -> None:
        """What is between, where several parts changed in one message, is no state of the machine."""
        families = {id(item.family): item.family for item, _ in spread}
        for number, family in families.items():
            changed = [(item, one) for item, one in spread if id(item.family) == number]
            several = len({item.handle for item, _ in changed}) > 1
            for at, (item, one) in enumerate(changed):
                item.latest = one
                whole = item.whole()
                if whole is not None and (not several or at == len(changed) - 1):
                    self._put([self._observed(family[0], whole)])

    def _await_disk(self, number: int) -> None:
        """The message is acknowledged when what waits now is on disk."""
        self._numbers.append(number)
        self._arrived.set()
        if self._publisher is not None and len(self._pending) >= _FULL:
            self._publisher.hold(True)

    def _noted(self, item: Item, status: int, one: Reading) -> Reading:
        """What else a status calls for; the reading says what to do where the node is gone."""
        if overflowed(status):
            self._owe_all()
        return one._replace(detail=item.fault) if item.gone(status) else one

    def _missed(self, messages: int, since_s: float) -> None:
        """Messages are gone for good: counters have it all at the next read, the rest is told."""
        now = self._intake.observe(AGENT, None)
        since_ms = now.seen_ms - round((time.monotonic() - since_s) * 1000)
        many = f"{messages} of its" if messages else "an unknown number of its"
        words = f"{many} notifications did not arrive, and it does not have them any more"
        missed = Missed(_LOST, self._intake.name, since_ms, now.seen_ms, detail=words)
        self._put([self._intake.observe(AGENT, missed)])
        self._owe_all()

    def _owe_all(self) -> None:
        self._owes_all = True
        self._disturbed.set()

    # --- to the journal ---

    def _put(self, fresh: Sequence[Observation]) -> None:
        """In the order of arrival, notified or read."""
        if fresh:
            self._pending += fresh
            self._arrived.set()

    async def _flush(self) -> None:
        """Hand on what has gathered; while a hand-over waits for the disk, the next one gathers."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._hand_over()

    async def _hand_over(self) -> None:
        """Between taking and emitting nothing may be awaited: that is what keeps the order."""
        batch, self._pending = self._pending, []
        numbers, self._numbers = self._numbers, []
        if self._publisher is not None:
            self._publisher.hold(False)
        if batch:
            try:
                await self._intake.emit(batch)
            except NotRecorded:
                self._unsettled += numbers
                self._owes_all = True
                return
        if self._publisher is not None:
            self._publisher.acknowledge([*self._unsettled, *numbers])
            self._unsettled.clear()

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
            await self._read(asked, ask.number)

    async def _poll(self) -> None:
        """Read what no subscription watches."""
        while True:
            wait_s = self._schedule.wait_s(time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._polled.wait()
                self._polled.clear()
            except TimeoutError:
                await self._read([item for item in self._schedule.due(time.monotonic()) if not item.fault])

    async def _read(self, items: Sequence[Item], answers: int = 0) -> None:
        """Read now and hand on, behind everything that arrived before."""
        fresh = [self._refused(item, answers) for item in items if item.fault]
        parts = [part for part in parts_of(items) if not part.fault]
        changes: list[Change] = []
        async with self._reads:
            asked_s = time.monotonic()
            values = await self._link.read([part.node for part in parts])
            now_s, now_ms = time.monotonic(), _mono_ms()
            for part, sample in zip(parts, values, strict=True):
                settled = self._settled(part, sample, asked_s, now_s)
                if settled is None:
                    continue
                if part.place is None or answers:
                    fresh.append(self._observed(part, settled, answers))
                else:
                    aged_ms = self._clock.age_ms(settled.stamp, now_ms)
                    changes.append((part.place, _telemetered(settled), aged_ms))
            self._put(fresh)
        if changes:
            self._intake.changes(self._channel, changes)
        if answers:
            await self._hand_over()

    def _settled(self, part: Item, sample: Sample, asked_s: float, now_s: float) -> Reading | None:
        """The newest that is known; of a state in several nodes, with the last of them."""
        read = reading(sample, part.pick)
        if sample.status and part.gone(sample.status):
            read = read._replace(detail=part.fault)
        settled = part.gate.settle(read, asked_s, now_s)
        if not part.family:
            return settled
        part.latest = settled
        return part.whole() if part is part.family[-1] else None

    def _observed(self, item: Item, one: Reading, answers: int = 0) -> Observation:
        return self._intake.observe(
            item.signal.name,
            one.value,
            quality=one.quality,
            aged_ms=self._clock.age_ms(one.stamp, _mono_ms()),
            answers=answers,
            detail=one.detail,
        )

    def _refused(self, item: Item, answers: int) -> Observation:
        return self._intake.observe(
            item.signal.name, None, quality=Quality.BAD, answers=answers, detail=item.fault
        )

    # --- whether the subscription can be believed ---

    async def _doubt(self) -> None:
        """Probe now and then; raises SourceLost where the subscription is dead."""
        mended_s = time.monotonic()
        while True:
            await self._pause()
            if self._ended:
                raise self._link.lost(f"the server ended the subscription: {self._ended}")
            if self._owes_all:
                await self._read_all()
            else:
                await self._probe()
            self._listen()
            if time.monotonic() - mended_s >= self._pace.mend_s:
                await self._mend()
                mended_s = time.monotonic()

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
        async with self._reads:
            asked_s, before_ms = time.monotonic(), _mono_ms()
            time_there, *values = await self._link.read_again(self._canary.prepared)
            self._clock.measured(before_ms, _mono_ms(), time_there)
            agreed = [
                (item, one)
                for item, sample in zip(silent, values, strict=True)
                if (one := self._canary.judged(item, sample, asked_s)) is not None
            ]
            self._put([self._observed(item, one) for item, one in agreed if item.place is None])
        telemetry: list[Change] = [
            (item.place, _telemetered(one), None) for item, one in agreed if item.place is not None
        ]
        if telemetry:
            self._intake.changes(self._channel, telemetry)

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
        self._link.check()


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _telemetered(one: Reading) -> Any:
    return NoValue(one.detail) if one.quality is Quality.BAD else one.value


def _flat(group: ExceptionGroup[SourceError]) -> Iterator[SourceError]:
    """The errors in groups within groups."""
    for one in group.exceptions:
        yield from _flat(one) if isinstance(one, ExceptionGroup) else [one]
