"""What a far end has acknowledged lately: one that is killed may have forgotten it, and gets it again."""

from collections.abc import Iterable, Iterator
from math import inf

from edge.journal import Ranges

SPANS = 16
"""In so many the window is cut, unless more are asked for: what is older goes a span at a time."""
PIECES = 64
"""Ranges of one span at the most; beyond it they are taken for one, and some are sent again for nothing."""
FIRSTS = 20
"""Into so many parts the time is cut in which a record may become young again."""


class Lately:
    """Ranges by the time at which they were acknowledged, in seconds of one monotonic clock.

    A record that is acknowledged once more is young again, until `renewed_s` after it was for the first
    time: a far end that comes and goes would get the same for ever.
    """

    def __init__(self, window_s: float, spans: int = SPANS, renewed_s: float = inf) -> None:
        self._window_s = window_s
        self._span_s = max(window_s / spans, 0.001)
        self._renewed_s = renewed_s
        self._first_s = self._span_s if renewed_s == inf else max(renewed_s / FIRSTS, self._span_s)
        self._spans: dict[tuple[int, int], Ranges] = {}
        """By the number of the span, and that of the time of the first acknowledgement."""
        self._top = 0

    def __iter__(self) -> Iterator[tuple[float, float, int, int]]:
        """The begin of its span, when it was acknowledged for the first time, and a range of it."""
        for (span, begun), ranges in sorted(self._spans.items()):
            for first, last in ranges:
                yield span * self._span_s, begun * self._first_s, first, last

    def add(self, now_s: float, numbers: Iterable[int]) -> None:
        """These were acknowledged now."""
        new, span = Ranges(), int(now_s // self._span_s)
        new.add_all(numbers)
        if not new:
            return
        if next(iter(new))[0] <= self._top:
            new = self._move(new, span, now_s)
        self._put((span, int(now_s // self._first_s)), new)

    def _move(self, new: Ranges, span: int, now_s: float) -> Ranges:
        """What is known is young again, for as long as it may be. The rest of them."""
        for (before, begun), ranges in list(self._spans.items()):
            if known := both(new, ranges):
                new = without(new, known)
                if before != span and now_s - (begun + 1) * self._first_s < self._renewed_s:
                    self._keep((before, begun), without(ranges, known))
                    self._put((span, begun), known)
        return new

    def _put(self, key: tuple[int, int], added: Ranges) -> None:
        if not added:
            return
        ranges = self._spans.setdefault(key, Ranges())
        for first, last in added:
            ranges.add(first, last)
        pieces = list(iter(ranges))
        self._top = max(self._top, pieces[-1][1])
        if len(pieces) > PIECES:
            ranges.add(pieces[0][0], pieces[-1][1])

    def _keep(self, key: tuple[int, int], rest: Ranges) -> None:
        if rest:
            self._spans[key] = rest
        else:
            del self._spans[key]

    def put_back(self, at_s: float, begun_s: float, first: int, last: int) -> None:
        """This was acknowledged at an earlier time, and at a still earlier one for the first time."""
        key = (int(at_s // self._span_s), int(begun_s // self._first_s))
        self._put(key, Ranges([(first, last)]))

    def alive(self, now_s: float, waiting: Iterable[tuple[int, int]] = ()) -> None:
        """The far end has just answered: what it took longer than the window ago is safe.

        What waits to be sent again stays, for it must be known how old it is.
        """
        safe = int((now_s - self._window_s) // self._span_s)
        for key in [one for one in self._spans if one[0] < safe]:
            self._keep(key, both(waiting, self._spans[key]))

    def forget(self, numbers: Iterable[tuple[int, int]] | None = None) -> None:
        """These are something else now; or all of it."""
        for key, ranges in list(self._spans.items()):
            self._keep(key, Ranges() if numbers is None else without(ranges, numbers))

    def since(self, at_s: float = -inf) -> Ranges:
        """All that was acknowledged then or later, as far as it is not safe."""
        found = Ranges()
        for (span, _), ranges in self._spans.items():
            if (span + 1) * self._span_s >= at_s:
                for first, last in ranges:
                    found.add(first, last)
        return found


def both(one: Iterable[tuple[int, int]], other: Ranges) -> Ranges:
    """What is in both."""
    found = Ranges()
    for first, last in one:
        begin = first
        for low, high in other.missing(first, last):
            if begin < low:
                found.add(begin, low - 1)
            begin = high + 1
        if begin <= last:
            found.add(begin, last)
    return found


def without(one: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]) -> Ranges:
    """What is in the first alone."""
    found = Ranges(one)
    for first, last in other:
        found.remove(first, last)
    return found
