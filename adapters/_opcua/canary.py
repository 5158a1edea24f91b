"""Reads that a subscription is held against: a server may answer, and never notify again."""

import math
import time
from dataclasses import dataclass
from heapq import nlargest

from adapters._opcua.items import Item, Items
from adapters._opcua.link import CURRENT_TIME, Link, Prepared
from adapters._opcua.patience import LOOKED_S
from adapters._opcua.publish import Lag
from adapters._opcua.values import Reading, reading
from adapters._opcua.wire import Sample
from edge.contract import Quality

_CANARIES, _SWEPT = 50, 1_000
"""Silent signals that a probe and a sweep look at; where there are more the sweeps take turns."""
_SOON_S = 0.02
_BEHIND_S = 10.0
"""How long a probe may differ while there is always more to come."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a session looks by itself."""

    probe_s: float = 1.0
    """Between two reads of what was silent, which the subscription is held against."""
    sweep_s: float = 2.0
    """Between two such reads of everything; the others look at a few that changed not long ago."""
    mend_s: float = 15.0
    """Between two tries of the nodes that cannot be read."""
    look_s: float = LOOKED_S
    """How long the server is looked through for what is not named by a node id."""
    whole_s: float = 1.0
    """Between two reads of everything, whatever calls for them."""


USUAL = Pace()


class Canary:
    """Chooses what is read, and judges what it says."""

    def __init__(self, link: Link, items: Items, pace: Pace) -> None:
        self._link = link
        self._items = items
        self._pace = pace
        self._silent: list[Item] = []
        self._turn = 0
        self._swept_s = time.monotonic()
        self.prepared = Prepared([CURRENT_TIME])
        """The server's time, and what was chosen."""
        self.again_s = pace.probe_s
        """Until the next probe: sooner where there is doubt."""
        self._lag = Lag.NONE
        self._lagged = False
        self.dead: list[Item] = []
        """What the server does not notify any more."""
        self.slow: list[Item] = []
        """What it notifies too slowly, or not at all while it notifies others."""

    def chosen(self, now_s: float) -> list[Item]:
        """What is looked at now; the same as before costs no encoding."""
        silent = self._choice(now_s)
        if silent != self._silent:
            self._silent = silent
            self.prepared = Prepared([CURRENT_TIME, *(part.node for part in silent)])
        self.again_s = self._pace.probe_s
        return silent

    def _choice(self, now_s: float) -> list[Item]:
        """What was not notified for a while: those that changed last, and now and then all, in turns."""
        since_s = now_s - self._pace.probe_s
        silent = [
            part
            for part in self._items.parts
            if part.told_s < since_s and not part.fault and not part.is_polled
        ]
        if now_s - self._swept_s < self._pace.sweep_s:
            return nlargest(_CANARIES, silent, key=_last_heard) if len(silent) > _CANARIES else silent
        self._swept_s = now_s
        if len(silent) <= _SWEPT:
            return silent
        first = self._turn % len(silent)
        self._turn = first + _SWEPT
        return [*silent[first:], *silent[:first]][:_SWEPT]

    def judges(self, lag: Lag) -> None:
        """How far what was notified is behind what is read now; said before each round of `judged`."""
        self._lagged, self._lag = self._lag is not Lag.NONE, lag

    def judged(self, part: Item, sample: Sample, asked_s: float) -> Reading | None:
        """What is to be handed on, or None. Raises SourceLost where the subscription is dead."""
        one = self._of_part(part, reading(sample, part.pick), sample.status, asked_s)
        if one is None or not part.family:
            return one
        if one.stamp is not None or part.latest is None:
            part.latest = one
        whole = part.whole() if part is part.family[-1] else None
        return None if whole is None else whole._replace(stamp=None)

    def _of_part(self, part: Item, probed: Reading, status: int, asked_s: float) -> Reading | None:
        now_s = time.monotonic()
        if status and part.gone(status):
            return probed._replace(detail=part.fault)
        if part.gate.agrees(probed, now_s):
            part.agreed_s = asked_s
            if probed.quality is Quality.BAD:
                return None
            return probed if part.place is not None else probed._replace(stamp=None)
        if part.is_lenient:
            return self._of_lenient(part, probed, asked_s, now_s)
        if self._lag is Lag.HELD or (self._lag is Lag.NONE and self._lagged):
            part.gate.trusts()
            return None
        bears_s = part.bears_s() if self._lag is Lag.NONE else max(part.bears_s(), _BEHIND_S)
        patience_s = bears_s - part.gate.doubted_for_s(now_s)
        if patience_s >= 0:
            self.again_s = min(self.again_s, patience_s + _SOON_S)
            return None
        notified = part.gate.notified
        if notified is not None and probed.near(notified):
            return part.gate.settle(probed, asked_s, now_s)
        self._condemn(part, probed, now_s)
        return None

    def _of_lenient(self, part: Item, probed: Reading, asked_s: float, now_s: float) -> Reading | None:
        """What the server was asked not to send is not taken from it by reading, either."""
        notified = part.gate.notified
        if notified is None or not part.withholds(notified, probed):
            return part.gate.settle(probed, asked_s, now_s)
        part.agreed_s = asked_s
        part.gate.trusts()
        return notified._replace(stamp=None)

    def _condemn(self, part: Item, probed: Reading, now_s: float) -> None:
        """It is not notified as it should be. Raises SourceLost where that is the subscription's fault."""
        notified, is_hopeless = part.gate.notified, part.is_hopeless(now_s)
        if part.is_slow or ((is_hopeless or part.heard_s == -math.inf) and self._items.is_alone(part)):
            self.slow.append(part)
        elif is_hopeless:
            said = "nothing" if notified is None else repr(notified.value)
            words = f"{part.signal.name} reads {probed.value!r}, watched anew it still says {said}"
            raise self._link.lost(f"the subscription is dead: {words}")
        else:
            self.dead.append(part)


def _last_heard(part: Item) -> float:
    return part.heard_s
