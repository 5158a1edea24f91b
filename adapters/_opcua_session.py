"""What is done on one connection: watch the nodes, read them when asked, doubt the subscription."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncua import ua

from adapters._opcua_gate import Gate, Pending, ServerClock
from adapters._opcua_link import CURRENT_TIME, Link, Subscribed
from adapters._opcua_nodes import UnknownNamespace, parse_node
from adapters._opcua_values import Reading, overflowed, reading, status_name
from edge.contract import Intake, Observation, Quality, Signal, SourceError
from edge.errors import NotRecorded

if TYPE_CHECKING:
    from adapters._opcua_address import Address

_SLACK_S = 1.0
_WINDOW_SLACK_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the session looks by itself."""

    probe_s: float = 2.0
    """Between two reads of everything, which the subscription is held against."""
    mend_s: float = 60.0
    """Between two tries of the nodes that the server does not watch."""


@dataclass(slots=True, eq=False)
class Item:
    """One signal on this connection."""

    handle: int
    signal: "Signal[Address]"
    gate: Gate = field(default_factory=Gate)
    node: ua.NodeId = field(default_factory=ua.NodeId)
    fault: str = "not watched yet"
    """Why the server does not watch it; empty where it does."""
    patience_s: float = _SLACK_S
    """How long a probe may differ from what was notified."""


class Session:
    """Runs until the connection, the subscription or the server fails."""

    def __init__(
        self,
        link: Link,
        signals: "Sequence[Signal[Address]]",
        intake: Intake,
        publish_s: float,
        pace: Pace = Pace(),
    ) -> None:
        self._pace = pace
        self._link = link
        self._intake = intake
        self._publish_s = publish_s
        self._items = [Item(handle, signal) for handle, signal in enumerate(signals)]
        self._pending = Pending(len(signals))
        self._clock = ServerClock()
        self._subscription = Subscribed(0, publish_s, publish_s)
        self._reads = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._disturbed = asyncio.Event()
        self._heard_s = time.monotonic()
        self._overflow = False
        self._ended = ""
        self._told_of_drops = False

    async def run(self) -> None:
        """Raises SourceLost or SourceRefused; returns never."""
        await self._begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in (self._flush, self._answer, self._doubt, self._mourn):
                    tasks.create_task(part(), name=f"opcua {part.__name__}")
        except ExceptionGroup as group:
            failures, bugs = group.split(SourceError)
            if failures is None or bugs is not None:
                raise
            await self._hand_over()
            raise failures.exceptions[0] from failures.exceptions[0].__cause__

    async def _begin(self) -> None:
        await self._link.learn_limits()
        before_ms = _mono_ms()
        (time_there,) = await self._link.read([CURRENT_TIME])
        self._clock.measured(before_ms, _mono_ms(), time_there)
        self._subscription = await self._link.subscribe(self._publish_s, self._published)
        self._heard_s = time.monotonic()
        unknown = await self._watch(self._items)
        if unknown and len(unknown) == len(self._items):
            raise self._link.refused(f"{unknown[0]}; no signal of this source is in one that it has")
        self._intake.connected()
        await self._read(self._items)

    # --- which nodes are watched ---

    async def _watch(self, items: Sequence[Item]) -> list[UnknownNamespace]:
        """Resolve and monitor; one that fails is marked and hinders no other."""
        namespaces = await self._link.namespaces()
        unknown = [fault for item in items if (fault := _resolve(item, namespaces)) is not None]
        known = [item for item in items if not item.fault]
        requests = [(item.handle, item.node, item.signal.every.total_seconds() * 1000) for item in known]
        results = await self._link.monitor(self._subscription.number, requests)
        for item, made in zip(known, results, strict=True):
            slowest_s = max(self._subscription.publish_s, made.sampling_ms / 1000)
            item.patience_s = 2 * slowest_s + _SLACK_S
            item.gate.window_s = 3 * slowest_s + _WINDOW_SLACK_S
            item.fault = f"{item.signal.address.node}: {status_name(made.status)}" if made.status else ""
        return unknown

    async def _mend(self) -> None:
        """Try the nodes again that the server did not watch; say so only where something changed."""
        broken = {item: item.fault for item in self._items if item.fault}
        if broken:
            await self._watch(list(broken))
            await self._read([item for item, fault in broken.items() if item.fault != fault])

    # --- what the server sends by itself ---

    def _published(self, result: ua.PublishResult) -> None:
        """Called by asyncua with every publish response, in order; a keep-alive has no data."""
        self._heard_s = time.monotonic()
        for part in result.NotificationMessage.NotificationData or ():
            if isinstance(part, ua.DataChangeNotification):
                for one in part.MonitoredItems or ():
                    self._notified(one)
            elif isinstance(part, ua.StatusChangeNotification):
                self._ended = status_name(int(part.Status.value))
                self._disturbed.set()

    def _notified(self, one: ua.MonitoredItemNotification) -> None:
        if not one.ClientHandle < len(self._items):
            return
        item, notified = self._items[one.ClientHandle], reading(one.Value)
        if one.Value.StatusCode is not None and overflowed(int(one.Value.StatusCode.value)):
            self._overflow = True
            self._disturbed.set()
        if item.gate.admits(notified, self._heard_s):
            self._pending.put(self._observed(item, notified))
            self._arrived.set()

    async def _flush(self) -> None:
        """Hand on what is notified; while a hand-over waits for the disk, the next one gathers."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._hand_over()

    # --- what is read ---

    async def _answer(self) -> None:
        """Serve requests for fresh reads."""
        while True:
            ask = await self._intake.asked()
            if ask is not None:
                asked = [item for item in self._items if item.signal.name in ask.signals]
                await self._read(asked, ask.number)

    async def _read(self, items: Sequence[Item], answers: int = 0) -> None:
        """Read now and hand on, behind everything that arrived before."""
        fresh = [self._refused(item, answers) for item in items if item.fault]
        watched = [item for item in items if not item.fault]
        async with self._reads:
            asked_s = time.monotonic()
            values = await self._link.read([item.node for item in watched])
            for item, data in zip(watched, values, strict=True):
                settled = item.gate.settle(reading(data), asked_s, time.monotonic())
                fresh.append(self._observed(item, settled, answers))
        await self._hand_over(fresh)

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

    async def _hand_over(self, fresh: Sequence[Observation] = ()) -> None:
        """Between taking and emitting nothing may be awaited: that is what keeps the order."""
        batch = [*self._pending.take(), *fresh]
        if self._pending.dropped and not self._told_of_drops:
            self._told_of_drops = True
            _log.warning(
                "%s: the journal is slow; %d older values gave way to newer ones, further ones go unsaid",
                self._intake.name,
                self._pending.dropped,
            )
        if batch:
            try:
                await self._intake.emit(batch)
            except NotRecorded:
                return  # the next probe reads all of it again

    # --- whether the subscription can be believed ---

    async def _doubt(self) -> None:
        """Probe now and then; raises SourceLost where the subscription is dead."""
        mended_s = time.monotonic()
        while True:
            await self._pause()
            if self._ended:
                raise self._link.lost(f"the server ended the subscription: {self._ended}")
            if self._overflow:
                self._overflow = False
                await self._read([item for item in self._items if not item.fault])
            else:
                await self._probe()
            self._listen()
            if time.monotonic() - mended_s >= self._pace.mend_s:
                await self._mend()
                mended_s = time.monotonic()

    async def _pause(self) -> None:
        """Until the next probe, or until the server says something that matters."""
        try:
            async with asyncio.timeout(self._pace.probe_s):
                await self._disturbed.wait()
        except TimeoutError:
            return
        self._disturbed.clear()

    async def _probe(self) -> None:
        """Read everything, compare it with what was notified, and hand on what agrees.

        What agrees is fresh, so a signal that never changes is not stale. What differs is left
        to the notification that must follow.
        """
        watched = [item for item in self._items if not item.fault]
        async with self._reads:
            asked_s, before_ms = time.monotonic(), _mono_ms()
            time_there, *values = await self._link.read([CURRENT_TIME, *(item.node for item in watched)])
            self._clock.measured(before_ms, _mono_ms(), time_there)
            probes = [
                self._probed(item, reading(data), asked_s) for item, data in zip(watched, values, strict=True)
            ]
        await self._hand_over([one for one in probes if one is not None])

    def _probed(self, item: Item, probed: Reading, asked_s: float) -> Observation | None:
        now_s = time.monotonic()
        if item.gate.agrees(probed, now_s):
            unstamped = Reading(probed.value, probed.quality, probed.detail)
            return None if probed.quality is Quality.BAD else self._observed(item, unstamped)
        if item.gate.doubted_for_s(now_s) <= item.patience_s:
            return None
        notified = item.gate.notified
        if notified is not None and probed.near(notified):
            return self._observed(item, item.gate.settle(probed, asked_s, now_s))
        said = "nothing" if notified is None else repr(notified.value)
        raise self._link.lost(
            f"the subscription is dead: {item.signal.name} reads {probed.value!r}, it still says {said}"
        )

    def _listen(self) -> None:
        """Two keep-alives without a word are the end."""
        silence_s = time.monotonic() - self._heard_s
        if silence_s > 2 * self._subscription.keep_alive_s + _SLACK_S:
            raise self._link.lost(f"the subscription is dead: no word from it for {silence_s:.0f} s")

    async def _mourn(self) -> None:
        """A closed connection is noticed at once, not at the next probe."""
        await self._link.closed()
        self._link.check()


def _mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _resolve(item: Item, namespaces: Sequence[str]) -> UnknownNamespace | None:
    try:
        item.node, item.fault = parse_node(item.signal.address.node).on(namespaces), ""
    except UnknownNamespace as fault:
        item.fault = f"{item.signal.address.node}: {fault}"
        return fault
    return None
