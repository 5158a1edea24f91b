"""The letters that cards are printed with, and how wide they are."""

from dataclasses import dataclass
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from edge.errors import CardsRefused

_DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
_PLACES = (
    (_DEJAVU / "DejaVuSans.ttf", _DEJAVU / "DejaVuSans-Bold.ttf"),
    (Path("Vera.ttf"), Path("VeraBd.ttf")),  # comes with ReportLab; fewer letters
)


@dataclass(frozen=True, slots=True)
class Face:
    """A font in two weights."""

    regular: TTFont
    bold: TTFont

    def width(self, text: str, size: float, bold: bool) -> float:
        """In the unit of `size`, which is the height of a line."""
        return float((self.bold if bold else self.regular).stringWidth(text, size))

    def lacks(self, text: str) -> str:
        """The characters that it cannot print."""
        known = self.regular.face.charToGlyph
        return "".join(dict.fromkeys(one for one in text if ord(one) not in known))


def find_face(named: Path | None) -> Face:
    """The font that was named, else DejaVu Sans where Debian has it. Raises CardsRefused."""
    if named is not None:
        return _face(named, named)
    return next(_face(*places) for places in _PLACES if places[0].exists() or not places[0].is_absolute())


def _face(regular: Path, bold: Path) -> Face:
    try:
        face = Face(TTFont(str(regular), str(regular)), TTFont(str(bold), str(bold)))
    except (TTFError, OSError) as error:
        raise CardsRefused([f"{regular} is no TrueType font that can be used: {error}"]) from error
    for font in (face.regular, face.bold):
        pdfmetrics.registerFont(font)
    return face
