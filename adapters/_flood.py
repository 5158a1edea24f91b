"""What a noisy device sends: broken frames beyond a few are counted and told together, not an event each."""

import math

ALONE = 20
"""So many are told one by one before it is a flood."""
WINDOW_S = 10.0


class Flood:
    """Of one connection. In seconds of a steady clock; holds a few numbers and one text."""

    def __init__(self) -> None:
        self._since_s = -math.inf
        self._told = 0
        self._more = 0
        self._last = ""

    @property
    def due_s(self) -> float | None:
        """When `words` has something to say."""
        return self._since_s + WINDOW_S if self._more else None

    def wait_s(self, now_s: float) -> float | None:
        """So long until then."""
        return None if self.due_s is None else max(0.0, self.due_s - now_s)

    def is_told(self, words: str, now_s: float) -> bool:
        """Whether this broken one is told by itself; else it is counted. `words` say what it is.

        A flood goes on until for a whole window nothing came.
        """
        if now_s - self._since_s >= WINDOW_S and not self._more:
            self._since_s, self._told = now_s, 0
        if self._told < ALONE:
            self._told += 1
            return True
        self._more += 1
        self._last = words
        return False

    def words(self, now_s: float) -> str:
        """What was only counted until now, in a sentence; empty where nothing was."""
        if not self._more:
            return ""
        within_s = max(1, math.ceil(now_s - self._since_s))
        said = f"{self._more} more came broken within {within_s} s, the last: "
        self._since_s, self._more = now_s, 0
        return said + self._last
