"""Where everything stands on the paper; in millimetres from the upper left corner of a page."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, floor
from typing import Protocol

from edge.cards.content import Card, Sheet, What
from edge.cards.symbols import Kind, Symbol, symbol
from edge.errors import CardsRefused

LEAST_MODULE_MM = 0.25
"""What a plain gun still reads at arm's length."""
_MOST_MATRIX_MM, _MOST_LINEAR_MM = 1.0, 0.5
_MATRIX_SHARE = 0.4
"""Of a card's width at the most."""
_LEAST_BAR_MM, _BAR_SHARE = 5.0, 0.15
"""Bars are at least so high, and this share of their length (ISO/IEC 15417)."""
_MARGIN_MM, _HEAD_MM, _PADDING_MM, _GAP_MM = 10.0, 7.0, 2.0, 2.0
_SMALL_MM, _SMALL_LINE_MM = 2.1, 3.2
_TITLE_MM, _LEAST_TITLE_MM = 6.0, 2.8
_TEXT_MM, _LEAST_TEXT_MM = 3.2, 2.0
_LEADING = 1.25
_SHRINK = 0.94
_LARGEST = 1.5
"""Of the sizes above, where there is room."""


@dataclass(frozen=True, slots=True)
class Size:
    """Millimetres."""

    width: float
    height: float

    def __str__(self) -> str:
        return f"{self.width:g}x{self.height:g}mm"


PAPERS = {"A4": Size(210, 297), "A5": Size(148, 210), "letter": Size(215.9, 279.4)}

CELLS = {
    What.JOBS: Size(95, 66), What.BATCHES: Size(95, 46), What.BADGES: Size(85.6, 54), What.LOTS: Size(95, 46),
    What.UNITS: Size(63, 38), What.TOOLS: Size(63, 44), What.REASONS: Size(63, 44),
    What.COMMANDS: Size(63, 44),
    What.QUANTITIES: Size(47, 38),
}  # fmt: skip
"""Of a card on a sheet; a badge has the size of a bank card (ISO/IEC 7810, ID-1)."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A barcode, with what stays white around it."""

    symbol: Symbol
    x: float
    y: float
    module: float
    height: float
    """Of a linear one; of the others it follows from the module."""


@dataclass(frozen=True, slots=True)
class Words:
    """One line of text; `y` is its base line."""

    text: str
    x: float
    y: float
    size: float
    width: float
    """It takes so much, whatever font it is shown in."""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """Where to cut. What two cards share is drawn once: two rows of dashes can look solid."""

    x: float
    y: float
    to_x: float
    to_y: float


Mark = Bars | Words
"""What stands on a card."""
Ink = Mark | Edge


@dataclass(frozen=True, slots=True)
class Page:
    """One page, printed at its true size."""

    size: Size
    inks: tuple[Ink, ...]


class Metrics(Protocol):
    """How wide text is; see fonts.py."""

    def width(self, text: str, size: float, bold: bool) -> float: ...


@dataclass(frozen=True, slots=True)
class Look:
    """How cards are printed."""

    paper: Size
    is_label: bool
    """One card fills the paper, as on a roll of labels."""
    kind: Kind
    dot: float
    """Millimetres of a printer's dot: a module is a whole number of them."""
    metrics: Metrics

    @property
    def least_module(self) -> float:
        """The narrowest that is read, in whole dots."""
        return ceil(LEAST_MODULE_MM / self.dot - 1e-9) * self.dot

    def module(self, room: float, columns: int, most: float) -> float:
        """The widest module with which so many fit; 0 where it would be too narrow to be read."""
        dots = int(min(room / columns, most) / self.dot + 1e-9)
        return dots * self.dot if dots * self.dot >= LEAST_MODULE_MM - 1e-9 else 0.0

    def snapped(self, place: float) -> float:
        """The next whole dot: bars that begin between two come out uneven."""
        return round(place / self.dot) * self.dot


# --- pages --------------------------------------------------------------------------------------


def laid_out(sheets: Sequence[Sheet], head: str, look: Look) -> list[Page]:
    """Every page; `head` stands on each sheet of paper. Raises CardsRefused with all that does not fit."""
    faults: list[str] = []
    pages = [page for sheet in sheets for page in _pages(sheet, head, look, faults)]
    if faults:
        raise CardsRefused([*faults, *_advice(sheets, look)])
    return pages


def _pages(sheet: Sheet, head: str, look: Look, faults: list[str]) -> Iterator[Page]:
    cell = look.paper if look.is_label else CELLS[sheet.what]
    drawn = [card for card in (_tried(one, cell, look, faults) for one in sheet.cards) if card]
    if look.is_label:
        yield from (Page(look.paper, tuple(inks)) for inks in drawn)
        return
    places = _grid(look.paper, cell)
    for at in range(0, len(drawn), len(places)):
        of = f"{at // len(places) + 1} of {-(-len(drawn) // len(places))}"
        yield _page(drawn[at : at + len(places)], places, cell, f"{head}, {sheet.what}, page {of}", look)


_MOST_GROWTH_MM = 200
_GROWS = ((0, 1), (1, 0), (1, 1))
"""A label can be higher, wider or both."""


def _advice(sheets: Sequence[Sheet], look: Look) -> Iterator[str]:
    """The smallest label that would do for all cards."""
    sizes = [size for grows in _GROWS if (size := _grown(sheets, grows, look)) is not None]
    if sizes:
        size = min(sizes, key=lambda one: one.width * one.height)
        yield f"--label {size} is large enough for all of them"
    if look.kind == "code128":
        yield "--symbol datamatrix needs less room, where the guns can read it"


def _grown(sheets: Sequence[Sheet], grows: tuple[int, int], look: Look) -> Size | None:
    """The cells made larger by whole millimetres until every card fits; None where that takes too much."""
    cells = [look.paper if look.is_label else CELLS[sheet.what] for sheet in sheets]
    width, height = max(one.width for one in cells), max(one.height for one in cells)
    sizes = [Size(width + grows[0] * by, height + grows[1] * by) for by in range(_MOST_GROWTH_MM + 1)]
    at = 0
    for card in (card for sheet in sheets for card in sheet.cards):
        if not _fits(card, look, sizes[at]):
            at = bisect_left(sizes, True, lo=at, key=partial(_fits, card, look))
        if at == len(sizes):
            return None
    return sizes[at]


def _fits(card: Card, look: Look, size: Size) -> bool:
    try:
        draw(card, size, look)
    except TooLargeError:
        return False
    return True


def _grid(paper: Size, cell: Size) -> list[tuple[float, float]]:
    """The upper left corner of each cell, in rows; there is room for one at least on any paper we know."""
    columns = int((paper.width - 2 * _MARGIN_MM + 0.01) / cell.width)
    rows = int((paper.height - 2 * _MARGIN_MM - _HEAD_MM + 0.01) / cell.height)
    left = (paper.width - columns * cell.width) / 2
    top = _MARGIN_MM + _HEAD_MM
    return [(left + x * cell.width, top + y * cell.height) for y in range(rows) for x in range(columns)]


def _page(
    cards: Sequence[Sequence[Mark]], places: Sequence[tuple[float, float]], cell: Size, head: str, look: Look
) -> Page:
    left = places[0][0] + _PADDING_MM
    width = look.metrics.width(head, _TEXT_MM, False)
    size = _TEXT_MM * min(1.0, (look.paper.width - 2 * left) / width)
    inks: list[Ink] = [Words(head, left, _MARGIN_MM + _TEXT_MM, size, look.metrics.width(head, size, False))]
    inks += _edges(places[: len(cards)], cell)
    for (x, y), card in zip(places, cards, strict=False):
        inks += [_moved(ink, x, y, look) for ink in card]
    return Page(look.paper, tuple(inks))


def _moved(ink: Mark, x: float, y: float, look: Look) -> Mark:
    if isinstance(ink, Bars):
        return replace(ink, x=look.snapped(ink.x + x), y=look.snapped(ink.y + y))
    return replace(ink, x=ink.x + x, y=ink.y + y)


def _edges(corners: Sequence[tuple[float, float]], cell: Size) -> Iterator[Edge]:
    """Around every card, each once."""
    found: dict[Edge, None] = {}
    for x, y in corners:
        left, top, right, bottom = (round(one, 3) for one in (x, y, x + cell.width, y + cell.height))
        sides = (left, top, right, top), (left, bottom, right, bottom), (left, top, left, bottom)
        found |= dict.fromkeys(Edge(*side) for side in (*sides, (right, top, right, bottom)))
    yield from found


# --- one card -----------------------------------------------------------------------------------


class TooLargeError(Exception):
    """What does not fit, in words."""


def _tried(card: Card, cell: Size, look: Look, faults: list[str]) -> list[Mark] | None:
    try:
        return draw(card, cell, look)
    except TooLargeError as error:
        faults.append(f"{card.heading.lower()} {card.title!a} does not fit on {cell}: {error}")
        return None


def draw(card: Card, cell: Size, look: Look) -> list[Mark]:
    """A card: its square symbol, and a Code 128 too where there is room for it."""
    linear = symbol("code128", card.label)
    if look.kind == "code128":
        return _drawn(card, cell, look, None, linear)
    matrix = symbol(look.kind, card.label)
    try:
        return _drawn(card, cell, look, matrix, linear)
    except TooLargeError:
        return _drawn(card, cell, look, matrix, None)


def _drawn(card: Card, cell: Size, look: Look, matrix: Symbol | None, linear: Symbol | None) -> list[Mark]:
    width, left, top = cell.width - 2 * _PADDING_MM, _PADDING_MM, _PADDING_MM
    bottom = cell.height - _PADDING_MM
    inks: list[Mark] = [
        *_small(card.heading, left, top + _SMALL_MM, width, look),
        *_small(card.label, left, bottom - 0.4, width, look),
    ]
    top, bottom = top + _SMALL_LINE_MM, bottom - _SMALL_LINE_MM
    if linear is not None:
        bars = _linear(linear, left, bottom, width, look)
        bottom = bars.y - _GAP_MM / 2
        inks.append(bars)
    if matrix is not None:
        square = _square(matrix, left, top, Size(width, bottom - top), look)
        inks.append(square)
        taken = matrix.columns * square.module + _GAP_MM
        left, width = left + taken, width - taken
    return inks + list(_text(card, left, top, Size(width, bottom - top), look))


def _linear(linear: Symbol, left: float, bottom: float, width: float, look: Look) -> Bars:
    module = look.module(width, linear.columns, _MOST_LINEAR_MM)
    if not module:
        raise TooLargeError(f"its Code 128 is {linear.columns * LEAST_MODULE_MM:.0f} mm wide at the least")
    long = linear.columns * module
    height = max(_LEAST_BAR_MM, _BAR_SHARE * long)
    return Bars(
        linear, look.snapped(left + (width - long) / 2), look.snapped(bottom - height), module, height
    )


def _square(matrix: Symbol, left: float, top: float, room: Size, look: Look) -> Bars:
    module = look.module(min(room.height, room.width * _MATRIX_SHARE), matrix.columns, _MOST_MATRIX_MM)
    if not module:
        need = matrix.columns * look.least_module
        side, left_mm = ("high", room.height) if need > room.height else ("wide", room.width * _MATRIX_SHARE)
        left_mm = floor(10 * max(left_mm, 0)) / 10
        raise TooLargeError(
            f"its barcode is {need:.1f} mm {side} at the least, and {left_mm:.1f} mm are left for it"
        )
    return Bars(matrix, look.snapped(left), look.snapped(top), module, matrix.columns * module)


def _small(text: str, left: float, base: float, width: float, look: Look) -> Iterator[Words]:
    taken = look.metrics.width(text, _SMALL_MM, False)
    size = _SMALL_MM * min(1.0, width / taken)
    yield Words(text, left, base, size, look.metrics.width(text, size, False))


# --- text ---------------------------------------------------------------------------------------


def _text(card: Card, left: float, top: float, room: Size, look: Look) -> Iterator[Words]:
    """As large as fits, whole words first. Raises TooLargeError."""
    scale = _LARGEST
    least = max(_LEAST_TITLE_MM / _TITLE_MM, _LEAST_TEXT_MM / _TEXT_MM)
    scales = []
    while scale >= least:
        scales.append(scale)
        scale *= _SHRINK
    for breaks in (False, True):
        for one in scales:
            lines = _wrapped(card, one, room.width, look, breaks)
            if lines is not None and sum(size for _, size, _ in lines) * _LEADING <= room.height:
                yield from _set(lines, left, top, look)
                return
    raise TooLargeError("its words would be too small to read")


Line = tuple[str, float, bool]
"""Text, size, bold."""


def _wrapped(card: Card, scale: float, width: float, look: Look, breaks: bool) -> list[Line] | None:
    """Every line; None where a word is wider than the room and must not be broken."""
    found: list[Line] = []
    for place, text in enumerate((card.title, *card.lines)):
        bold = place == 0
        size = (_TITLE_MM if bold else _TEXT_MM) * scale
        for line in _lines(text, size, bold, width, look):
            if look.metrics.width(line, size, bold) <= width:
                found.append((line, size, bold))
            elif not breaks:
                return None
            elif pieces := _pieces(line, size, bold, width, look):
                found += [(piece, size, bold) for piece in pieces]
            else:
                return None
    return found


def _lines(text: str, size: float, bold: bool, width: float, look: Look) -> Iterator[str]:
    line = ""
    for word in re.findall(r"\S+", text):
        longer = f"{line} {word}" if line else word
        if line and look.metrics.width(longer, size, bold) > width:
            yield line
            line = word
        else:
            line = longer
    yield line


def _pieces(word: str, size: float, bold: bool, width: float, look: Look) -> list[str]:
    """A word that is wider than the room, cut; none where not even one character fits."""
    pieces = [""]
    for one in word:
        if look.metrics.width(one, size, bold) > width:
            return []
        if look.metrics.width(pieces[-1] + one, size, bold) > width:
            pieces.append("")
        pieces[-1] += one
    return pieces


def _set(lines: Sequence[Line], left: float, top: float, look: Look) -> Iterator[Words]:
    base = top
    for text, size, bold in lines:
        base += size * _LEADING
        yield Words(
            text, left, base - size * (_LEADING - 0.98), size, look.metrics.width(text, size, bold), bold
        )
