"""Which units answer, which rest, and which are lost. Decisions without I/O; times are seconds."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

TRIES = 2
"""Requests in a row without an answer after which a unit counts as lost, where nothing else can be asked of
it; else one more request has to fail: it may be a place that gives none."""
SHARE = 1 / 6
"""Of the bus's time, what units that fail now and then may take in the long run: the others keep their
periods within a fifth."""
BURST = 2
"""So many failures are tried again at once before that share counts."""
BUSY_S = 0.2
BUSY_LONGEST_S = 5.0
"""A unit that says that it is busy rests so long, at first and at the longest."""


@dataclass(slots=True)
class Memory:
    """What outlives a connection: who was lost when it ended, and when one of them may be asked."""

    lost: list[int] = field(default_factory=list)
    probe_at: float = 0.0


class Roll:
    """A lost unit is probed, and a probe in vain ends probing for a while.

    So the units that are gone cost the others one timeout in `probe_every_s`, however many they are, also
    over several connections; when one answers, the next is probed at once, for what brought one back may
    have brought all. Requests that fail now and then share a debt: each failure adds what it cost, time pays
    it back, and the one that fails while it is too high rests.
    """

    def __init__(self, units: Iterable[int], probe_every_s: float, memory: Memory) -> None:
        self._failures = dict.fromkeys(units, 0)
        self._tried: dict[int, set[str]] = {}
        """Of each unit, the requests that failed since its last answer."""
        self._probe_every_s = probe_every_s
        self._memory = memory
        self._lost = deque(unit for unit in memory.lost if unit in self._failures)
        self._why = dict.fromkeys(self._lost, "no answer since the connection before")
        self._probe_at = memory.probe_at
        if self.all_lost():  # there is nobody to be spared: each is asked once
            self._failures |= dict.fromkeys(self._lost, TRIES - 1)
            self._lost.clear()
            self._remember()
        self._debt_s, self._debt_at = 0.0, 0.0
        self._rest_until: dict[tuple[int, str], float] = {}
        """Of units, and of single requests."""
        self._busy_s: dict[int, float] = {}

    # --- what came of a request -------------------------------------------------------------------

    def answered(self, unit: int) -> bool:
        """Note an answer; True where the unit was lost until now."""
        if self._failures.get(unit, 1):
            self._failures[unit] = 0
            self._tried.pop(unit, None)
        if unit not in self._lost:
            return False
        self._lost.remove(unit)
        self._remember()
        return True

    def failed(self, unit: int, now: float, why: str, what: str = "", *, has_other: bool = False) -> bool:
        """Note a request without an answer; True where the unit is lost by it.

        `has_other`: there is another that can be asked whether it is the unit or the place.
        """
        was_lost = unit in self._lost
        self._failures[unit] = self._failures.get(unit, 0) + 1
        tried = self._tried.setdefault(unit, set())
        tried.add(what)
        if self._failures[unit] < TRIES or (has_other and len(tried) == 1 and not was_lost):
            return False
        if was_lost:
            self._lost.remove(unit)
        self._lost.append(unit)
        self._why[unit] = why
        self._probe_at = now + self._probe_every_s
        self._remember()
        return not was_lost

    def cost(self, unit: int, now: float, cost_s: float, what: str = "") -> None:
        """So much time of the bus a failure took, until the bus could be used again."""
        if unit in self._lost:
            self._probe_at = now + self._probe_every_s
            self._remember()
        if self._failures[unit] > TRIES and unit in self._lost:
            return
        self._debt_s = max(0.0, self._debt_s - SHARE * (now - self._debt_at)) + cost_s
        self._debt_at = now
        if (over_s := self._debt_s - BURST * cost_s) > 0:
            self._rest(unit, what, now, now + over_s / SHARE)

    def busy(self, unit: int, now: float) -> bool:
        """Note that it says that it is busy: it rests. True where it has said so before."""
        pause_s = self._busy_s.get(unit, BUSY_S)
        self._rest(unit, "", now, now + pause_s)
        self._busy_s[unit] = min(2 * pause_s, BUSY_LONGEST_S)
        return pause_s > BUSY_S

    def not_busy(self, unit: int) -> None:
        self._busy_s.pop(unit, None)

    def _rest(self, unit: int, what: str, now: float, until: float) -> None:
        self._rest_until = {key: at for key, at in self._rest_until.items() if at > now}
        self._rest_until[unit, what] = max(until, self._rest_until.get((unit, what), 0.0))

    def _remember(self) -> None:
        self._memory.lost, self._memory.probe_at = list(self._lost), self._probe_at

    # --- what follows -----------------------------------------------------------------------------

    def rests_until(self, unit: int, what: object = "") -> float:
        """When the unit may be asked for this again; long past where it may be now."""
        if not self._rest_until:
            return 0.0
        return max(self._rest_until.get((unit, name), 0.0) for name in ("", f"{what}"))

    def is_lost(self, unit: int) -> bool:
        return unit in self._lost

    def is_busy(self, unit: int) -> bool:
        return unit in self._busy_s

    def why(self, unit: int) -> str:
        """In words, why it is lost; empty where it is not."""
        return f"unit {unit} is lost: {self._why[unit]}" if unit in self._lost else ""

    @property
    def lost(self) -> list[int]:
        return list(self._lost)

    @property
    def units(self) -> list[int]:
        return sorted(self._failures)

    def all_lost(self) -> bool:
        return bool(self._lost) and len(self._lost) == len(self._failures)

    def probe(self, now: float) -> int | None:
        """The lost unit that may be asked now."""
        return self._lost[0] if self._lost and now >= self._probe_at else None

    def probe_at(self) -> float | None:
        """When the next lost unit may be asked."""
        return self._probe_at if self._lost else None
