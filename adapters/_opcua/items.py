"""The signals of one connection: which node each is now, and how it is watched there."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from adapters._opcua.gate import Gate
from adapters._opcua.link import SPOILT, Link, Monitored, Subscribed, Wanted
from adapters._opcua.patience import LOOKED_S
from adapters._opcua.resolve import Resolved, combine, resolve, tell_doubts
from adapters._opcua.values import PLAIN, Pick, Reading
from edge.contract import Signal

if TYPE_CHECKING:
    from adapters._opcua.address import Address

SLACK_S = 1.0
_WINDOW_SLACK_S = 0.5
_CLASS = 0xFFFF0000
_STATUS_ONLY = 0  # DataChangeTrigger, OPC 10000-4, 7.10
_ABSOLUTE = 1  # DeadbandType, OPC 10000-4, 7.22.2

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
_GONE = frozenset((StatusCodes.BadNodeIdUnknown, StatusCodes.BadNodeIdInvalid, SPOILT.status))
_SPOILT_AGAIN_S = 60.0
"""What sends bytes that are no value is tried again that rarely, for it spoils all that is asked with it."""
_RENEWALS, _RENEWED_S = 3, 60.0
"""An item may have to be made anew so often in so long; then it is the connection that is no good."""
_LONGEST_PATIENCE_S = 10.0

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
    told_s: float = -math.inf
    """When that was handed on last: what was dropped behind a read has to be looked at."""
    at_ms: int = 0
    stamped: int | None = None
    """When the value that was handed on last was, on the monotonic clock, and by its own stamp."""
    agreed_s: float = -math.inf
    """When a read showed last that nothing was missing."""
    renewed_s: float = -math.inf
    """When it was made anew, for it had gone silent."""
    renewals: int = 0
    """How often, in a row."""
    spoilt_s: float = -math.inf
    """When its bytes were no value."""
    was_there: bool = False
    """Its node was found on this connection."""
    is_lenient: bool = False
    """The server leaves changes out, as it was asked to: a probe may differ."""
    family: "list[Item]" = field(default_factory=list)
    """All parts of a state that is spread over several nodes; empty for one that is a single node."""
    latest: Reading | None = None
    """Of a part: what is known of it."""

    def aged_ms(self, stamp: int | None, age_ms: int | None, now_ms: int) -> int | None:
        """How old it is to be called: what the device dates later comes later, whatever its clock seems."""
        at_ms = now_ms if age_ms is None else now_ms - age_ms
        last = self.stamped
        if (
            age_ms is not None
            and last is not None
            and stamp is not None
            and stamp > last
            and at_ms <= self.at_ms
        ):
            at_ms = min(self.at_ms + 1, now_ms)
            age_ms = now_ms - at_ms
        self.at_ms, self.stamped = at_ms, stamp
        return age_ms

    def gone(self, status: int) -> bool:
        """Take note of a status that says that the node is not there any more."""
        if status & _CLASS not in _GONE:
            return False
        self.fault = self.refused(status)
        if status == SPOILT.status:
            where = self.signal.name if self.resolved is None else self.resolved.where
            self.fault = (
                f"{where}: sends bytes that are no OPC UA value: it is left alone, and tried now and then"
            )
            self.spoilt_s = time.monotonic()
        return True

    @property
    def is_named(self) -> bool:
        """It is found without looking around in the server."""
        return self.signal.address.node is not None

    @property
    def is_given_up(self) -> bool:
        """It was looked for, and the server was not looked through to the end."""
        return self.resolved is not None and self.resolved.given_up

    @property
    def known_s(self) -> float:
        """Until when nothing of it was missing."""
        return max(self.heard_s, self.agreed_s)

    def bears_s(self) -> float:
        """How long a probe may differ: longer for what spoke again after it was made anew, for it is slow."""
        if not self.renewals or self.heard_s < self.renewed_s:
            return self.patience_s
        return max(self.patience_s, min(self.patience_s * (1 << self.renewals), _LONGEST_PATIENCE_S))

    @property
    def is_slow(self) -> bool:
        """It was made anew and notified since, and differs again: the server has a pace of its own."""
        return self.renewals > 0 and self.heard_s >= self.renewed_s

    def is_hopeless(self, now_s: float) -> bool:
        """Whether making it anew has helped it too little."""
        if now_s - self.renewed_s > _RENEWED_S:
            self.renewals = 0
        return self.renewals >= _RENEWALS or (self.renewals > 0 and self.heard_s < self.renewed_s)

    def withholds(self, notified: Reading, probed: Reading) -> bool:
        """Whether the server was asked not to send what now is, after what it sent last."""
        chosen = None if self.resolved is None else self.resolved.filter
        if chosen is None or chosen.deadband_type != _ABSOLUTE or notified.quality is not probed.quality:
            return False
        if not isinstance(notified.value, int | float) or not isinstance(probed.value, int | float):
            return False
        return abs(probed.value - notified.value) <= chosen.deadband

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

    def at_once(self) -> list[Item]:
        """Those that are found without looking around."""
        return [item for item in self.all if item.is_named]

    def sound(self) -> list[Item]:
        """Those that can be read."""
        return [item for item in self.all if not item.fault]

    def broken(self, now_s: float) -> list[Item]:
        """Those that may be worth another try, and are found soon."""
        return [item for item in self._faulty(now_s) if item.is_named and not item.is_given_up]

    def sought(self, now_s: float) -> list[Item]:
        """Those that may be worth another try, and have to be looked for."""
        return [item for item in self._faulty(now_s) if not item.is_named or item.is_given_up]

    def _faulty(self, now_s: float) -> list[Item]:
        return [item for item in self.all if item.fault and now_s - item.spoilt_s >= _SPOILT_AGAIN_S]

    def spoilt_s(self) -> float:
        """When the bytes of one were no value last."""
        return max((part.spoilt_s for part in self.parts), default=-math.inf)

    def of(self, handle: int) -> Item | None:
        """By client handle, which a server may get wrong."""
        return self.parts[handle] if handle < len(self.parts) else None

    async def watch(
        self, items: Sequence[Item], subscription: Subscribed | None, look_s: float = LOOKED_S
    ) -> None:
        """Resolve and monitor; one that fails is marked and hinders no other."""
        found = await resolve(self._link, [item.signal for item in items], look_s)
        tell_doubts(self._link.source, found)
        for item, resolved in zip(items, found, strict=True):
            self._place(item, resolved)
        parts = parts_of(items)
        for part in parts:
            part.gate.begin_anew()
            part.number, part.is_polled, part.latest = 0, subscription is None, None
        await self._shun(parts)
        if subscription is not None:
            await self._monitor([part for part in parts if not part.fault], subscription)

    async def _shun(self, parts: Sequence[Item]) -> None:
        """Leave out what is no value: watched, it would spoil every message that it is in."""
        sound = [part for part in parts if not part.fault]
        for part, sample in zip(sound, await self._link.read([part.node for part in sound]), strict=True):
            if sample.status == SPOILT.status:
                part.gone(sample.status)
                owner = part.family[0] if part.family else part
                owner.fault, owner.spoilt_s = part.fault, part.spoilt_s

    async def blame(self, subscription: Subscribed | None) -> list[Item]:
        """Find what spoils the messages, and watch it no longer; those that are found now."""
        before = {part for part in self.parts if part.fault}
        await self._shun(self.parts)
        spoilt = [part for part in self.parts if part.fault and part.spoilt_s > -math.inf]
        await self.forget(spoilt, subscription)
        return [
            item
            for item in self.all
            if any(part in spoilt for part in parts_of([item])) and item not in before
        ]

    def is_alone(self, part: Item) -> bool:
        """Whether it is not notified while others are: then the subscription lives."""
        since_s = part.renewed_s if part.heard_s > -math.inf else -math.inf
        return any(other.heard_s > since_s for other in self.parts if other is not part)

    async def read_instead(self, parts: Sequence[Item], subscription: Subscribed) -> None:
        """Read these at their `every` from now on: the server is no good at notifying them."""
        await self.forget(parts, subscription)
        for part in parts:
            part.is_polled = True
            where = part.signal.name if part.resolved is None else part.resolved.where
            if part.heard_s > -math.inf:
                why = (
                    "is notified more slowly, or more coarsely, than it changes: the server has a scan time "
                    "or a deadband of its own for it"
                )
            else:
                why = "is never notified, while others are"
            _say_once(
                f"{self._link.source}: {part.signal.name} ({where}) {why}; it is read at its `every` instead"
            )

    async def renew(self, parts: Sequence[Item], subscription: Subscribed) -> None:
        """Make the server watch these anew."""
        await self.forget(parts, subscription)
        now_s = time.monotonic()
        for part in parts:
            part.gate.begin_anew()
            part.renewed_s, part.renewals = now_s, part.renewals + 1
        await self._monitor(parts, subscription)

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
            if resolved.absent and part.was_there:
                part.fault = resolved.gone
            part.was_there |= not resolved.fault

    def lack_all(self) -> bool:
        """Whether none of those that were resolved is in a namespace that the server has."""
        return all(item.resolved is None or item.resolved.foreign for item in self.all)

    def lack_a_namespace(self) -> str:
        """The fault of the first where no signal is in a namespace that the server has; else empty."""
        known = [item.resolved for item in self.all if item.resolved is not None]
        return known[0].fault if known and all(one.foreign for one in known) else ""

    async def forget(self, items: Sequence[Item], subscription: Subscribed | None) -> None:
        """Give up what the server still watches of these."""
        parts = [part for part in parts_of(items) if part.number]
        numbers = [part.number for part in parts]
        if numbers and subscription is not None:
            await self._link.forget(subscription.number, numbers)
        for part in parts:
            part.number = 0

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
