"""A barcode as rectangles, the same on every medium."""

from collections.abc import Iterator
from itertools import groupby

from edge.cards.layout import Bars

Rectangle = tuple[float, float, float, float]
"""Left, top, width, height in millimetres."""


def rectangles(bars: Bars) -> Iterator[Rectangle]:
    """Every run of dark modules in a row."""
    quiet, module = bars.symbol.quiet, bars.module
    is_linear = bars.symbol.kind == "code128"
    top = bars.y if is_linear else bars.y + quiet * module
    height = bars.height if is_linear else module
    for row, modules in enumerate(bars.symbol.rows):
        at = 0
        for dark, run in groupby(modules):
            long = len(list(run))
            if dark:
                yield bars.x + (quiet + at) * module, top + row * module, long * module, height
            at += long
