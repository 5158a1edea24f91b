"""How fast a far end takes what it gets, and how long it is left alone after an error."""

from collections import deque
from collections.abc import Callable

from edge.errors import SinkError, SinkLost, SinkRefused

FIRST_S = 0.5
LONGEST_S = 15.0
"""Between two tries; jitter takes up to half of it away."""
REFUSED_S = 60.0
"""The same where the far end says no: a person has to act, and many a server bars who asks too often."""
ASKED_S = 3_600.0
"""So long at the most a far end may ask to be left alone."""
SEEN_S = 10.0
"""The rate is of so long a time."""


class Backoff:
    """The pauses between one connection and the next."""

    def __init__(self, jitter: Callable[[float, float], float]) -> None:
        """`jitter`: gives a number between two, as `random.uniform` does."""
        self._jitter = jitter
        self._pause_s = FIRST_S

    def pause_s(self, error: SinkError, *, progress: bool) -> float:
        """After this error; `progress`: whether the far end had taken something before."""
        longest_s = REFUSED_S if isinstance(error, SinkRefused) else LONGEST_S
        self._pause_s = FIRST_S if progress else min(self._pause_s * 2, longest_s)
        asked_s = min(error.after_s, ASKED_S) if isinstance(error, SinkLost) else 0.0
        if asked_s > 0:
            return asked_s + self._jitter(0.0, FIRST_S)
        return self._pause_s * self._jitter(0.5, 1.0)


class Rate:
    """Events a second, of the last ten seconds."""

    def __init__(self) -> None:
        self._taken: deque[tuple[int, int]] = deque()
        """By the whole second, how many."""
        self._since_s = 0.0

    def add(self, now_s: float, count: int) -> None:
        if not self._taken:
            self._since_s = now_s
        second = int(now_s)
        if self._taken and self._taken[-1][0] == second:
            count += self._taken.pop()[1]
        self._taken.append((second, count))
        self._trim(now_s)

    def a_second(self, now_s: float) -> float:
        self._trim(now_s)
        elapsed_s = min(max(now_s - self._since_s, 1.0), SEEN_S)
        return sum(count for _, count in self._taken) / elapsed_s

    def forget(self) -> None:
        self._taken.clear()

    def _trim(self, now_s: float) -> None:
        while self._taken and self._taken[0][0] <= now_s - SEEN_S:
            self._taken.popleft()
