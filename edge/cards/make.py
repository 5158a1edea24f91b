"""From chosen cards to the bytes of a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from edge.cards.content import Sheet
from edge.cards.fonts import find_face
from edge.cards.html import as_html
from edge.cards.layout import PAPERS, Look, Size, laid_out
from edge.cards.pdf import as_pdf
from edge.cards.symbols import Kind
from edge.errors import CardsRefused

_LABEL = re.compile(r"(\d{1,4}(?:\.\d+)?)x(\d{1,4}(?:\.\d+)?)(?:mm)?", re.ASCII)
_LEAST_MM, _MOST_MM = 10, 500
_SHEET_DPI, _LABEL_DPI = 600, 203
"""Of an office printer, and of most printers of labels."""
_SYMBOLS: dict[str, Kind] = {"datamatrix": "datamatrix", "qr": "qr", "code128": "code128"}


@dataclass(frozen=True, slots=True)
class Wish:
    """How it was asked for, unchecked."""

    form: str
    """`.pdf` or `.html`."""
    symbol: str = "datamatrix"
    paper: str = "A4"
    label: str | None = None
    """Width and height of a label, `62x29mm`."""
    dpi: int | None = None
    font: Path | None = None


def make(sheets: Sequence[Sheet], wish: Wish, line: str, today: date) -> tuple[bytes, int]:
    """The file, and how many pages it has. Raises CardsRefused with everything that is wrong."""
    size = _paper(wish)
    face = find_face(wish.font)
    dot = 25.4 / (wish.dpi or (_SHEET_DPI if wish.label is None else _LABEL_DPI))
    look = Look(size, wish.label is not None, _SYMBOLS[wish.symbol], dot, face)
    pages = laid_out(sheets, f"{line}, printed {today:%Y-%m-%d}", look)
    title = f"Cards of {line}"
    return (as_pdf(pages, title, face) if wish.form == ".pdf" else as_html(pages, title)), len(pages)


def foreign_letters(sheets: Sequence[Sheet]) -> str:
    """What the fonts that every machine has lack; a browser prints a box for it where it finds no font."""
    words = (text for sheet in sheets for card in sheet.cards for text in (card.title, *card.lines))
    return find_face(None).lacks("".join(words))


def _paper(wish: Wish) -> Size:
    found = _LABEL.fullmatch(wish.label) if wish.label is not None else None
    label = Size(float(found[1]), float(found[2])) if found else None
    faults = [
        "" if wish.form in (".pdf", ".html") else "--out: name it NAME.pdf or NAME.html",
        "" if wish.paper in PAPERS else f"--paper {wish.paper}: write one of {', '.join(PAPERS)}",
        "" if wish.symbol in _SYMBOLS else f"--symbol {wish.symbol}: write one of {', '.join(_SYMBOLS)}",
    ]
    if wish.label is not None and not (label and _is_label(label)):
        faults.append(f"--label {wish.label}: write its width and height in mm, 10 to 500, as in 62x29mm")
    if told := [one for one in faults if one]:
        raise CardsRefused(told)
    return label or PAPERS[wish.paper]


def _is_label(size: Size) -> bool:
    return min(size.width, size.height) >= _LEAST_MM and max(size.width, size.height) <= _MOST_MM
