"""What a far end has acknowledged lately: one that is killed may have forgotten it, and gets it again."""

from collections.abc import Iterable, Iterator

from edge.journal import Ranges

SPANS = 16
"""In so many the window is cut, unless more are asked for: what is older goes a span at a time."""
PIECES = 64
"""Ranges of one span at the most; beyond it they are taken for one, and some are sent again for nothing."""


class Lately:
    """Ranges by the time at which they were acknowledged, in seconds of one monotonic clock."""

    def __init__(self, window_s: float, spans: int = SPANS) -> None:
        self._window_s = window_s
        self._span_s = max(window_s / spans, 0.001)
        self._spans: dict[int, Ranges] = {}

    def __iter__(self) -> Iterator[tuple[float, int, int]]:
        """The begin of its span, and a range of it."""
        for number, ranges in sorted(self._spans.items()):
            for first, last in ranges:
                yield number * self._span_s, first, last

    def add(self, now_s: float, numbers: Iterable[int]) -> None:
        """These were acknowledged now."""
        ranges = self._span(now_s)
        ranges.add_all(numbers)
        pieces = list(ranges)
        if len(pieces) > PIECES:
            ranges.add(pieces[0][0], pieces[-1][1])

    def put_back(self, at_s: float, first: int, last: int) -> None:
        """This was acknowledged at an earlier time."""
        self._span(at_s).add(first, last)

    def _span(self, at_s: float) -> Ranges:
        return self._spans.setdefault(int(at_s // self._span_s), Ranges())

    def alive(self, now_s: float) -> None:
        """The far end has just answered: what it took longer than the window ago is safe."""
        safe = int((now_s - self._window_s) // self._span_s)
        for number in [one for one in self._spans if one < safe]:
            del self._spans[number]

    def since(self, at_s: float = float("-inf")) -> Ranges:
        """All that was acknowledged then or later, as far as it is not safe."""
        found = Ranges()
        for number, ranges in self._spans.items():
            if (number + 1) * self._span_s >= at_s:
                for first, last in ranges:
                    found.add(first, last)
        return found
