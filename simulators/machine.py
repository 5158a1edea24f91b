"""The machine model: it makes parts, counts them, stops by chance and when it is told to.

It has no clock and does no I/O. Times are seconds of a clock that the caller owns and that
never goes back. The same seed and the same commands at the same times give the same parts,
however often it is asked in between.
"""

import random
from dataclasses import dataclass
from enum import IntEnum
from math import inf

SHORTEST_S = 0.001
"""Far above the resolution of a clock in seconds, so that every event moves time on."""


class State(IntEnum):
    """The PackML states that the model takes, with their codes of OPC 30050."""

    STOPPED = 2
    SUSPENDED = 5
    EXECUTE = 6


@dataclass(frozen=True, slots=True)
class Counters:
    """What the machine's counters read. Good and reject add up to total only until one rolls over."""

    total: int = 0
    good: int = 0
    reject: int = 0

    def after(self, good: bool, bits: int) -> "Counters":
        """One part later, each counter `bits` wide."""
        full = 1 << bits
        return Counters(
            total=(self.total + 1) % full,
            good=(self.good + good) % full,
            reject=(self.reject + (not good)) % full,
        )


@dataclass(frozen=True, slots=True)
class RandomStops:
    """Stops that nobody ordered; both times are means of an exponential distribution."""

    every_s: float
    """Running time between two stops."""
    length_s: float

    def __post_init__(self) -> None:
        if min(self.every_s, self.length_s) < SHORTEST_S:
            raise ValueError("random stops and the time between them must be at least 1 ms")


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What kind of machine it is. Raises ValueError for one that cannot exist."""

    cycle_s: float = 1.0
    jitter: float = 0.05
    """A cycle takes `cycle_s` times 1 - jitter to 1 + jitter, evenly spread."""
    scrap: float = 0.02
    """The chance of a part to be scrap, 0 to 1."""
    counter_bits: int = 32
    first: Counters = Counters()
    """What the counters read before the first part."""
    stops: RandomStops | None = None

    def __post_init__(self) -> None:
        if self.cycle_s < SHORTEST_S:
            raise ValueError("the cycle must be at least 1 ms")
        if not 0 <= self.jitter < 1:
            raise ValueError("the jitter must be at least 0 and below 1")
        if not 0 <= self.scrap <= 1:
            raise ValueError("the scrap ratio must be between 0 and 1")
        if self.counter_bits < 1:
            raise ValueError("a counter has one bit at the least")
        if max(self.first.total, self.first.good, self.first.reject) >= 1 << self.counter_bits:
            raise ValueError(f"a counter of {self.counter_bits} bits cannot start there")


@dataclass(frozen=True, slots=True)
class Part:
    """One finished part."""

    number: int
    """Counts from 1 and never rolls over."""
    good: bool
    at_s: float
    counters: Counters
    """What the counters read once it was counted."""


class Machine:
    """Begins stopped. Cycle, scrap and stops each draw from a sequence of their own."""

    def __init__(self, spec: MachineSpec, seed: int) -> None:
        self._spec = spec
        self._cycles = random.Random(f"{seed} cycle")
        self._scrap = random.Random(f"{seed} scrap")
        self._stops = random.Random(f"{seed} stop")
        self._state = State.STOPPED
        self._counters = spec.first
        self._number = 0
        self._now_s = -inf
        self._since_s = 0.0
        self._cycle_left_s = self._draw_cycle_s()
        self._until_stop_s = self._draw_until_stop_s()
        self._resume_s = 0.0
        self._finished: list[Part] = []

    @property
    def state(self) -> State:
        """As of the last command or `advance`."""
        return self._state

    @property
    def counters(self) -> Counters:
        """As of the last command or `advance`."""
        return self._counters

    @property
    def next_event_s(self) -> float | None:
        """When the next part or the next change of state is due; None while stopped."""
        if self._state is State.EXECUTE:
            return self._since_s + min(self._cycle_left_s, self._until_stop_s)
        return self._resume_s if self._state is State.SUSPENDED else None

    def advance(self, now_s: float) -> list[Part]:
        """The parts finished up to now that were not handed out before, oldest first."""
        self._run_to(now_s)
        finished, self._finished = self._finished, []
        return finished

    def start(self, now_s: float) -> None:
        """Go on with the cycle where it was; also ends a random stop."""
        self._run_to(now_s)
        if self._state is not State.EXECUTE:
            self._execute(now_s)

    def stop(self, now_s: float) -> None:
        """Halt in the middle of the cycle."""
        self._run_to(now_s)
        if self._state is State.EXECUTE:
            self._spend(now_s - self._since_s)
        self._state = State.STOPPED

    def reset(self, now_s: float) -> None:
        """Set the counters to zero, as a person at the panel does; the machine does not care."""
        self._run_to(now_s)
        self._counters = Counters()

    def _run_to(self, now_s: float) -> None:
        if now_s < self._now_s:
            raise ValueError(f"time cannot go back from {self._now_s} to {now_s}")
        self._now_s = now_s
        while (due_s := self.next_event_s) is not None and due_s <= now_s:
            self._pass_event(due_s)

    def _pass_event(self, at_s: float) -> None:
        if self._state is State.SUSPENDED:
            self._execute(at_s)
            return
        self._spend(min(self._cycle_left_s, self._until_stop_s))
        self._since_s = at_s
        if self._cycle_left_s == 0.0:
            self._finish_part(at_s)
        else:
            self._suspend(at_s)

    def _spend(self, executing_s: float) -> None:
        self._cycle_left_s = max(self._cycle_left_s - executing_s, 0.0)
        self._until_stop_s = max(self._until_stop_s - executing_s, 0.0)

    def _execute(self, at_s: float) -> None:
        self._state = State.EXECUTE
        self._since_s = at_s

    def _suspend(self, at_s: float) -> None:
        assert self._spec.stops is not None
        self._state = State.SUSPENDED
        self._resume_s = at_s + self._stops.expovariate(1 / self._spec.stops.length_s)
        self._until_stop_s = self._draw_until_stop_s()

    def _finish_part(self, at_s: float) -> None:
        self._number += 1
        good = self._scrap.random() >= self._spec.scrap
        self._counters = self._counters.after(good, self._spec.counter_bits)
        self._finished.append(Part(self._number, good, at_s, self._counters))
        self._cycle_left_s = self._draw_cycle_s()

    def _draw_cycle_s(self) -> float:
        return self._spec.cycle_s * (1 + self._spec.jitter * self._cycles.uniform(-1, 1))

    def _draw_until_stop_s(self) -> float:
        return inf if self._spec.stops is None else self._stops.expovariate(1 / self._spec.stops.every_s)
