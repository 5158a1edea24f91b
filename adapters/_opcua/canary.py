"""Reads that a subscription is held against: a server may answer, and never notify again."""

import time
from dataclasses import dataclass
from heapq import nlargest

from adapters._opcua.items import Item, Items
from adapters._opcua.link import CURRENT_TIME, Link, Prepared
from adapters._opcua.values import Reading, reading
from adapters._opcua.wire import Sample
from edge.contract import Quality

_CANARIES, _SWEPT = 50, 1_000
"""Silent signals that a probe and a sweep look at; where there are more the sweeps take turns."""
_SOON_S = 0.02


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a session looks by itself."""

    probe_s: float = 1.0
    """Between two reads of what was silent, which the subscription is held against."""
    sweep_s: float = 2.0
    """Between two such reads of everything; the others look at a few that changed not long ago."""
    mend_s: float = 15.0
    """Between two tries of the nodes that cannot be read."""
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
            if part.heard_s < since_s and not part.fault and not part.is_polled
        ]
        if now_s - self._swept_s < self._pace.sweep_s:
            return nlargest(_CANARIES, silent, key=_last_heard) if len(silent) > _CANARIES else silent
        self._swept_s = now_s
        if len(silent) <= _SWEPT:
            return silent
        first = self._turn % len(silent)
        self._turn = first + _SWEPT
        return [*silent[first:], *silent[:first]][:_SWEPT]

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
            return None if probed.quality is Quality.BAD else probed._replace(stamp=None)
        if part.is_lenient:
            return part.gate.settle(probed, asked_s, now_s)
        patience_s = part.patience_s - part.gate.doubted_for_s(now_s)
        if patience_s >= 0:
            self.again_s = min(self.again_s, patience_s + _SOON_S)
            return None
        notified = part.gate.notified
        if notified is not None and probed.near(notified):
            return part.gate.settle(probed, asked_s, now_s)
        said = "nothing" if notified is None else repr(notified.value)
        raise self._link.lost(
            f"the subscription is dead: {part.signal.name} reads {probed.value!r}, it still says {said}"
        )


def _last_heard(part: Item) -> float:
    return part.heard_s
