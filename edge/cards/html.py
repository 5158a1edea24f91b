"""Cards as one HTML file that loads nothing: to be looked at and printed by any browser."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge.cards.layout import Bars, Edge, Ink, Page, Words
from edge.cards.runs import rectangles

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    x: str
    y: str
    size: str
    width: str
    bold: bool
    tag: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class _Line:
    x: str
    y: str
    to_x: str
    to_y: str
    tag: Literal["line"] = "line"


@dataclass(frozen=True, slots=True)
class _Path:
    d: str
    title: str
    tag: Literal["path"] = "path"


@dataclass(frozen=True, slots=True)
class _Drawn:
    width: str
    height: str
    drawn: Iterable[_Text | _Line | _Path]


def as_html(pages: Sequence[Page], title: str) -> bytes:
    """The whole file; all pages have one size."""
    size = pages[0].size
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = made.get_template("cards.css").render(width=_mm(size.width), height=_mm(size.height))
    style_hash = b64encode(sha256(style.encode()).digest()).decode()
    template = made.get_template("cards.html")
    return template.render(title=title, style=style, style_hash=style_hash, pages=map(_page, pages)).encode()


def _page(page: Page) -> _Drawn:
    return _Drawn(_mm(page.size.width), _mm(page.size.height), _drawn(page.inks))


def _drawn(inks: Iterable[Ink]) -> Iterator[_Text | _Line | _Path]:
    for ink in inks:
        if isinstance(ink, Words):
            yield _Text(ink.text, _mm(ink.x), _mm(ink.y), _mm(ink.size), _mm(ink.width), ink.bold)
        elif isinstance(ink, Edge):
            yield _Line(_mm(ink.x), _mm(ink.y), _mm(ink.to_x), _mm(ink.to_y))
        else:
            yield _Path(_outline(ink), "barcode")


def _outline(bars: Bars) -> str:
    return "".join(
        f"M{_mm(x)} {_mm(y)}h{_mm(wide)}v{_mm(high)}h-{_mm(wide)}z" for x, y, wide, high in rectangles(bars)
    )


def _mm(length: float) -> str:
    return f"{length:.4f}".rstrip("0").rstrip(".")
