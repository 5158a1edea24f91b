"""The signals of one connection: which node each is now, and how it is watched there."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.gate import Gate
from adapters._opcua.link import Link, Monitored, Subscribed, Wanted
from adapters._opcua.resolve import Resolved, combine, resolve, tell_doubts
from adapters._opcua.values import PLAIN, Pick, Reading
from edge.contract import Signal

if TYPE_CHECKING:
    from adapters._opcua.address import Address

SLACK_S = 1.0
_WINDOW_SLACK_S = 0.5
_CLASS = 0xFFFF0000
_STATUS_ONLY = 0  # DataChangeTrigger, OPC 10000-4, 7.10

_NO_FILTER = frozenset(
    (
        StatusCodes.BadFilterNotAllowed,
        StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadMonitoredItemFilterUnsupported,
        StatusCodes.BadDeadbandFilterInvalid,
    )
)
_TO_POLL = frozenset(
    (
        StatusCodes.BadTooManyMonitoredItems,
        StatusCodes.BadMonitoringModeInvalid,
        StatusCodes.BadServiceUnsupported,
        StatusCodes.BadNotSupported,
        StatusCodes.BadNotImplemented,
        StatusCodes.BadOutOfMemory,
    )
)
"""The node is there, and can be read; only watching it is refused."""
_GONE = frozenset((StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid))

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Item:
    """One signal on this connection."""

    handle: int
    signal: "Signal[Address]"
    place: int | None = None
    """Of telemetry: its place in the channel."""
    gate: Gate = field(default_factory=Gate)
    resolved: Resolved | None = None
    node: ua.NodeId = field(default_factory=ua.NodeId)
    pick: Pick = PLAIN
    fault: str = "not watched yet"
    """Why it cannot be read; empty where it can."""
    patience_s: float = SLACK_S
    """How long a probe may differ from what was notified."""
    number: int = 0
    """The server's, of its monitored item; 0 where it has none."""
    is_polled: bool = False
    heard_s: float = -math.inf
    """When it was notified last, on the monotonic clock."""
    is_lenient: bool = False
    """The server leaves changes out, as it was asked to: a probe may differ."""
    family: "list[Item]" = field(default_factory=list)
    """All parts of a state that is spread over several nodes; empty for one that is a single node."""
    latest: Reading | None = None
    """Of a part: what is known of it."""

    def gone(self, status: int) -> bool:
        """Take note of a status that says that the node is not there any more."""
        if status & _CLASS not in _GONE:
            return False
        self.fault = self.refused(status)
        return True

    def refused(self, status: int) -> str:
        """Why the server does not watch it, or does not read it, and what to do."""
        return "" if self.resolved is None else self.resolved.refused(status)

    def whole(self) -> Reading | None:
        """What all parts say together; None before each of them is known."""
        known = [part.latest for part in self.family if part.latest is not None]
        return combine(known) if len(known) == len(self.family) else None


class Items:
    """All signals of a source, on one connection."""

    def __init__(self, link: Link, signals: "Sequence[Signal[Address]]") -> None:
        self._link = link
        self.all = [Item(handle, signal) for handle, signal in enumerate(signals)]
        self.parts = list(self.all)
        """By client handle: also the further nodes of a signal that has several."""
        for place, item in enumerate(self.telemetry()):
            item.place = place

    def telemetry(self) -> list[Item]:
        return [item for item in self.all if item.signal.table]

    def sound(self) -> list[Item]:
        """Those that can be read."""
        return [item for item in self.all if not item.fault]

    def of(self, handle: int) -> Item | None:
        """By client handle, which a server may get wrong."""
        return self.parts[handle] if handle < len(self.parts) else None

    async def watch(self, items: Sequence[Item], subscription: Subscribed | None) -> None:
        """Resolve and monitor; one that fails is marked and hinders no other."""
        found = await resolve(self._link, [item.signal for item in items])
        tell_doubts(self._link.source, found)
        for item, resolved in zip(items, found, strict=True):
            self._place(item, resolved)
        parts = parts_of(items)
        for part in parts:
            part.gate.begin_anew()
            part.number, part.is_polled, part.latest = 0, subscription is None, None
        if subscription is not None:
            await self._monitor([part for part in parts if not part.fault], subscription)

    def _place(self, item: Item, resolved: Resolved) -> None:
        """Where the signal is now; a state of several nodes gets an item for each."""
        nodes = (resolved.node, *resolved.more)
        if len(nodes) > 1:
            item.family = item.family or [item]
            while len(item.family) < len(nodes):
                part = Item(len(self.parts), item.signal, item.place)
                item.family.append(part)
                self.parts.append(part)
            for part in item.family:
                part.family = item.family
        elif item.family:
            item.family = []
        for part, node in zip(item.family or [item], nodes, strict=False):
            part.resolved, part.node = resolved, node
            part.pick, part.fault = resolved.pick, resolved.fault

    def lack_a_namespace(self) -> str:
        """The fault of the first where no signal is in a namespace that the server has; else empty."""
        known = [item.resolved for item in self.all if item.resolved is not None]
        return known[0].fault if known and all(one.foreign for one in known) else ""

    async def forget(self, items: Sequence[Item], subscription: Subscribed | None) -> None:
        """Give up what the server still watches of these."""
        numbers = [part.number for part in parts_of(items) if part.number]
        if numbers and subscription is not None:
            await self._link.forget(subscription.number, numbers)

    async def _monitor(self, items: Sequence[Item], subscription: Subscribed) -> None:
        wanted = [_wanted(item) for item in items]
        made = await self._link.monitor(subscription.number, wanted)
        unfiltered = [at for at, one in enumerate(made) if one.status & _CLASS in _NO_FILTER]
        if unfiltered:
            bare = [replace(wanted[at], filter=None) for at in unfiltered]
            for at, one in zip(unfiltered, await self._link.monitor(subscription.number, bare), strict=True):
                self._tell_unfiltered(items[at], made[at].status)
                made[at] = one
        for item, one in zip(items, made, strict=True):
            self._settle(item, one, subscription)

    def _settle(self, item: Item, made: Monitored, subscription: Subscribed) -> None:
        slowest_s = max(subscription.publish_s, made.sampling_ms / 1000)
        item.patience_s = 2 * slowest_s + SLACK_S
        item.gate.window_s = 3 * slowest_s + _WINDOW_SLACK_S
        item.number = 0 if made.status else made.number
        item.is_polled = made.status & _CLASS in _TO_POLL
        if item.is_polled:
            self._tell_polled(item, made.status)
        elif made.status:
            item.fault = item.refused(made.status)

    def _tell_unfiltered(self, item: Item, status: int) -> None:
        words = item.refused(status)
        _say_once(f"{self._link.source}: {words}; it is watched without that")

    def _tell_polled(self, item: Item, status: int) -> None:
        words = item.refused(status)
        _say_once(f"{self._link.source}: {words}; it is read at its `every` instead")


def parts_of(items: Sequence[Item]) -> list[Item]:
    """With the further nodes of each."""
    return [part for item in items for part in item.family or (item,)]


_MOST_SAID = 10_000
_said: set[str] = set()


def _say_once(words: str) -> None:
    """Once in the life of the process, not with every connection."""
    if words not in _said and len(_said) < _MOST_SAID:
        _said.add(words)
        _log.warning("%s", words)


def _wanted(item: Item) -> Wanted:
    sampling_ms = item.signal.every.total_seconds() * 1000
    chosen = None if item.resolved is None else item.resolved.filter
    item.is_lenient = chosen is not None and (chosen.deadband_type != 0 or chosen.trigger == _STATUS_ONLY)
    if chosen is None:
        return Wanted(item.handle, item.node, sampling_ms)
    return Wanted(item.handle, item.node, sampling_ms, chosen.queue, None if chosen.plain else chosen)
