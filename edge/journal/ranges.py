"""Sets of whole numbers kept as disjoint, ascending ranges: what a far end has acknowledged."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice


class Ranges:
    """Both ends of a range belong to it; neighbours are merged."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._count = 0
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._ranges)

    def __len__(self) -> int:
        """How many numbers are in it."""
        return self._count

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._ranges, (number, float("inf")))
        return place > 0 and self._ranges[place - 1][1] >= number

    def add(self, first: int, last: int) -> None:
        """Put `first` to `last` in. Raises ValueError when they are the wrong way round."""
        if first > last:
            raise ValueError(f"{first} is after {last}")
        low, high = self._touching(first - 1, last + 1)
        if low < high:
            first, last = min(first, self._ranges[low][0]), max(last, self._ranges[high - 1][1])
        self._replace(low, high, [(first, last)])

    def remove(self, first: int, last: int) -> None:
        """Take `first` to `last` out, whether they were in it or not."""
        low, high = self._touching(first, last)
        if low == high or first > last:
            return
        before, after = (self._ranges[low][0], first - 1), (last + 1, self._ranges[high - 1][1])
        self._replace(low, high, [one for one in (before, after) if one[0] <= one[1]])

    def _touching(self, first: int, last: int) -> tuple[int, int]:
        """Places of the ranges that have a number between `first` and `last`; found without a walk."""
        low = bisect_right(self._ranges, (first, -1))
        if low > 0 and self._ranges[low - 1][1] >= first:
            low -= 1
        return low, bisect_right(self._ranges, (last, float("inf")), low)

    def _replace(self, low: int, high: int, others: list[tuple[int, int]]) -> None:
        self._count += _numbers(others) - _numbers(self._ranges[low:high])
        self._ranges[low:high] = others

    def add_all(self, numbers: Iterable[int]) -> None:
        """Put single numbers in, runs of neighbours at once."""
        first = last = None
        for number in sorted(numbers):
            if last is not None and first is not None and number > last + 1:
                self.add(first, last)
                first = None
            first, last = (number if first is None else first), number
        if first is not None and last is not None:
            self.add(first, last)

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges between `first` and `last` that are not in it."""
        for low, high in islice(self._ranges, self._touching(first, last)[0], None):
            if low > last:
                break
            if first < low:
                yield first, low - 1
            first = high + 1
        if first <= last:
            yield first, last


def _numbers(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)
