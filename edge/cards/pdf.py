"""Cards as PDF, with their letters inside it."""

from collections.abc import Sequence
from io import BytesIO

from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from edge.cards.fonts import Face
from edge.cards.layout import Bars, Edge, Ink, Page, Words
from edge.cards.runs import rectangles
from edge.errors import CardsRefused


def as_pdf(pages: Sequence[Page], title: str, face: Face) -> bytes:
    """The whole file. Raises CardsRefused for letters that the font does not have."""
    _refuse_unknown_letters(pages, face)
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


def _refuse_unknown_letters(pages: Sequence[Page], face: Face) -> None:
    said = {ink.text: face.lacks(ink.text) for page in pages for ink in page.inks if isinstance(ink, Words)}
    faults = [f"{text!r}: the font has no {lacks!r}" for text, lacks in said.items() if lacks]
    if faults:
        raise CardsRefused([*faults, "name a font that has them with --font FILE.ttf, or print the HTML"])


def _draw(canvas: Canvas, ink: Ink, height: float, face: Face) -> None:
    if isinstance(ink, Words):
        canvas.setFont((face.bold if ink.bold else face.regular).fontName, ink.size * mm)
        canvas.drawString(ink.x * mm, (height - ink.y) * mm, ink.text)
    elif isinstance(ink, Edge):
        canvas.setLineWidth(0.1 * mm)
        canvas.setDash(1 * mm, 1 * mm)
        canvas.setStrokeGray(0.6)
        bottom = (height - ink.y - ink.size.height) * mm
        canvas.rect(ink.x * mm, bottom, ink.size.width * mm, ink.size.height * mm, stroke=1, fill=0)
    else:
        _draw_bars(canvas, ink, height)


def _draw_bars(canvas: Canvas, bars: Bars, height: float) -> None:
    path = canvas.beginPath()
    for x, y, wide, high in rectangles(bars):
        path.rect(x * mm, (height - y - high) * mm, wide * mm, high * mm)
    canvas.drawPath(path, stroke=0, fill=1)
