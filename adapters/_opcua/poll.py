"""When to read what no subscription watches: at a fixed pace that does not drift. Decides without waiting."""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_LEAST_S = 0.01


@dataclass(order=True, slots=True)
class _Slot(Generic[K]):
    due_s: float
    number: int
    every_s: float = field(compare=False)
    things: list[K] = field(compare=False)


class Schedule(Generic[K]):
    """Things by how often each is due. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._slots: list[_Slot[K]] = []
        self._number = count()

    def __len__(self) -> int:
        return sum(len(slot.things) for slot in self._slots)

    def put(self, thing: K, every_s: float, now_s: float) -> None:
        """Due now, and every so often; beside others of the same pace, with them."""
        every_s = max(every_s, _LEAST_S)
        for slot in self._slots:
            if slot.every_s == every_s:
                if thing not in slot.things:
                    slot.things.append(thing)
                return
        heapq.heappush(self._slots, _Slot(now_s, next(self._number), every_s, [thing]))

    def drop(self, thing: K) -> None:
        """It is due no more."""
        for slot in self._slots:
            if thing in slot.things:
                slot.things.remove(thing)

    def wait_s(self, now_s: float) -> float | None:
        """Until something is due; None where there is nothing."""
        return max(0.0, self._slots[0].due_s - now_s) if self._slots else None

    def due(self, now_s: float) -> list[K]:
        """What is due now. A time that was missed is left out: a slow server is not asked in bursts."""
        found: list[K] = []
        while self._slots and self._slots[0].due_s <= now_s:
            slot = self._slots[0]
            found += slot.things
            behind = (now_s - slot.due_s) // slot.every_s
            heapq.heapreplace(self._slots, _Slot(slot.due_s + (behind + 1) * slot.every_s, slot.number,
                              slot.every_s, slot.things))  # fmt: skip
        return found
