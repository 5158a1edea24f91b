"""Cards as PDF, with their letters inside it."""

from collections.abc import Sequence
from io import BytesIO
from unicodedata import bidirectional

from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from edge.cards.fonts import Face
from edge.cards.layout import Bars, Edge, Ink, Page, Words
from edge.cards.runs import rectangles
from edge.errors import CardsRefused


def as_pdf(pages: Sequence[Page], title: str, face: Face) -> bytes:
    """The whole file. Raises CardsRefused for letters that the font lacks or that run from right to left."""
    _refuse_letters(pages, face)
    made = BytesIO()
    canvas = Canvas(made, invariant=1, pageCompression=1)
    canvas.setTitle(title)
    canvas.setCreator("lineside")
    canvas.setViewerPreference("PrintScaling", "None")  # print dialogs then begin with "actual size"
    for page in pages:
        canvas.setPageSize((page.size.width * mm, page.size.height * mm))
        for ink in page.inks:
            _draw(canvas, ink, page.size.height, face)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def _refuse_letters(pages: Sequence[Page], face: Face) -> None:
    said = {ink.text: face.lacks(ink.text) for page in pages for ink in page.inks if isinstance(ink, Words)}
    faults = [f"{text!r}: the font has no {lacks!r}" for text, lacks in said.items() if lacks]
    if faults:
        faults.append("name a font that has them with --font FILE.ttf, or print the HTML")
    for text in filter(_is_turned, said):
        faults.append(
            f"{text!r} is read from right to left, and the PDF would print it backwards: print the HTML"
        )
    if faults:
        raise CardsRefused(faults)


_TURNED = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI"))
"""Classes of letters, figures and marks that are set from right to left (Unicode, annex 9)."""


def _is_turned(text: str) -> bool:
    return any(bidirectional(one) in _TURNED for one in text)


def _draw(canvas: Canvas, ink: Ink, height: float, face: Face) -> None:
    if isinstance(ink, Words):
        canvas.setFont((face.bold if ink.bold else face.regular).fontName, ink.size * mm)
        canvas.drawString(ink.x * mm, (height - ink.y) * mm, ink.text)
    elif isinstance(ink, Edge):
        canvas.setLineWidth(0.1 * mm)
        canvas.setDash(1 * mm, 1 * mm)
        canvas.setStrokeGray(0.6)
        canvas.line(ink.x * mm, (height - ink.y) * mm, ink.to_x * mm, (height - ink.to_y) * mm)
    else:
        _draw_bars(canvas, ink, height)


def _draw_bars(canvas: Canvas, bars: Bars, height: float) -> None:
    path = canvas.beginPath()
    for x, y, wide, high in rectangles(bars):
        path.rect(x * mm, (height - y - high) * mm, wide * mm, high * mm)
    canvas.drawPath(path, stroke=0, fill=1)
