"""A label's text as a barcode: modules without a size yet."""

from dataclasses import dataclass
from typing import Literal

from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qrencoder import QRCode, QRErrorCorrectLevel

from edge.cards.datamatrix import Matrix, datamatrix

Kind = Literal["datamatrix", "qr", "code128"]

LINEAR_QUIET = 10
"""Modules left white on either side of a Code 128 (ISO/IEC 15417)."""
QR_QUIET = 4
"""ISO/IEC 18004."""
MATRIX_QUIET = 2
"""A Data Matrix needs 1 (ISO/IEC 16022); print and paper are not that exact."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A barcode."""

    kind: Kind
    rows: Matrix
    """Modules from the top, True is dark; of a linear one a single row, as high as the bars shall be."""
    quiet: int
    """Modules that stay white on every side; of a linear one at the left and the right."""

    @property
    def columns(self) -> int:
        """Modules from side to side, with what stays white."""
        return len(self.rows[0]) + 2 * self.quiet


def symbol(kind: Kind, text: str) -> Symbol:
    """The smallest symbol of a kind that holds the text. Raises ValueError where none does."""
    if kind == "datamatrix":
        return Symbol(kind, datamatrix(text), MATRIX_QUIET)
    if kind == "qr":
        return Symbol(kind, _qr(text), QR_QUIET)
    return Symbol(kind, (_code128(text),), LINEAR_QUIET)


def _qr(text: str) -> Matrix:
    """With error correction M: 15% of it may be unreadable."""
    code = QRCode(None, QRErrorCorrectLevel.M)
    code.addData(text)
    code.make()
    return tuple(tuple(bool(one) for one in row) for row in code.modules)


def _code128(text: str) -> tuple[bool, ...]:
    """ReportLab writes widths as letters: bars A to D, spaces a to d."""
    code = Code128(text, quiet=0)
    code.validate()
    code.encode()
    code.decompose()
    widths = [(one.isupper(), ord(one.lower()) - ord("a") + 1) for one in code.decomposed]
    return tuple(dark for dark, width in widths for _ in range(width))
