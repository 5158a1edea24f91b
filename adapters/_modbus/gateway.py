"""A gateway that waits for a unit for longer than `timeout`. Decisions without I/O; times are seconds.

Its exception 11 comes when the unit was given up already, and until then many a gateway does nothing else.
So after a timeout its late answer is waited for on the same connection, with nothing else asked: then it is
to no other request, whatever number the gateway puts into it. How long that takes is measured. Who is asked
next may have to wait until the gateway is free, and is not dead for that.
"""

import math
from dataclasses import dataclass

LONGEST_S = 10.0
"""No gateway is waited for longer than this."""
_TIMEOUTS = 5
"""While it is not known how long a gateway takes: so many timeouts, for the unit that is asked next."""
_AS_LONG_AGAIN = 2
_MARGIN, _MARGIN_S = 1.25, 0.05
"""A late answer is waited for so much longer than the last one took."""
_FORGOTTEN = 3
"""Waits in vain after which what was measured holds no more."""


@dataclass(slots=True)
class Gateway:
    """What is known of the far end of a TCP line; it outlives the connections."""

    late_s: float = 0.0
    """From a request to its late answer, the longest of late; 0 where none ever came."""
    behind: int | None = None
    """The unit that was asked in vain: the far end may still be busy with it."""
    _asked_at: float = 0.0
    """When that was."""
    _is_spent: bool = False
    """Somebody had more time since, and did not answer either."""
    _vain: int = 0
    """Late answers in a row that did not come."""
    _told_s: float = 0.0

    def silent(self, unit: int, asked_at: float, *, had_more: bool) -> None:
        """Nothing came in time; `had_more`: it had more time than its own."""
        self.behind, self._asked_at = unit, asked_at
        self._is_spent = self._is_spent or had_more

    def until(self, unit: int, timeout_s: float) -> float:
        """Until when a unit that is asked now may have to wait behind another; long past where not."""
        if self.behind is None or self.behind == unit or self._is_spent:
            return 0.0
        return self._asked_at + min(_TIMEOUTS * timeout_s, LONGEST_S)

    def answered(self, at: float, *, is_late: bool) -> float:
        """The far end is free. `is_late`: the unit had to wait for longer than its timeout; gives how long
        the one before it took then, else 0."""
        took_s = at - self._asked_at if is_late and self.behind is not None else 0.0
        self.behind, self._is_spent = None, False
        if took_s:
            self._measured(took_s)
        return took_s

    def late(self, after_s: float) -> None:
        """A late answer came."""
        self.behind, self._is_spent = None, False
        self._measured(after_s)

    def _measured(self, after_s: float) -> None:
        self.late_s, self._vain = min(max(self.late_s, after_s), LONGEST_S), 0

    def wait_s(self, timeout_s: float) -> float:
        """How long after a request its late answer is waited for. Where none ever came that is tried ever
        more rarely: at first three times."""
        if self.late_s:
            return _MARGIN * self.late_s + _MARGIN_S
        is_turn = self._vain & (self._vain - 1) == 0
        return min(_AS_LONG_AGAIN * timeout_s, LONGEST_S) if is_turn else 0.0

    def vain(self) -> None:
        """No late answer came."""
        self._vain += 1
        if self.late_s and self._vain >= _FORGOTTEN:
            self.late_s = 0.0

    def advice(self, after_s: float) -> str:
        """What to do about a late answer; empty where that was told."""
        if after_s <= self._told_s:
            return ""
        self._told_s = _MARGIN * after_s
        return (
            f"timeout has to be longer than the gateway's own, and here that took {after_s:.2f} s: "
            f'write timeout = "{math.ceil(100 * _MARGIN * after_s) * 10}ms", or set less in the gateway'
        )
