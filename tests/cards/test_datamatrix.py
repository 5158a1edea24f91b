"""Our Data Matrix against zxing-cpp, which reads and writes them independently."""

from typing import cast

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.cards.datamatrix import Matrix, datamatrix
from edge.cards.symbols import symbol

LABELS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-$", min_size=1, max_size=43)


def picture(rows: Matrix, quiet: int, pixels: int) -> Image.Image:
    side = (len(rows) + 2 * quiet) * pixels
    made = Image.new("L", (side, side), 255)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                left, top = (x + quiet) * pixels, (y + quiet) * pixels
                made.paste(0, (left, top, left + pixels, top + pixels))
    return made


def read(rows: Matrix, quiet: int) -> list[str]:
    return [one.text for one in zxingcpp.read_barcodes(picture(rows, quiet, 4))]


@given(LABELS)
def test_every_label_is_read_back(text: str) -> None:
    assert read(datamatrix(text), 1) == [text]


@given(LABELS)
def test_every_label_is_read_back_as_qr(text: str) -> None:
    made = symbol("qr", text)
    assert read(made.rows, made.quiet) == [text]


def test_digits_are_the_same_symbol_to_the_module() -> None:
    """Both encode digits in pairs. Where theirs is square too, it is compared: sizes, fillers, correction."""
    digits = "3141592653589793238462643383279502884197169399375105820974944592307816406286208998628034"
    sizes = set()
    for length in range(1, len(digits) + 1):
        ours, theirs = datamatrix(digits[:length]), written_by_zxing(digits[:length])
        if len(theirs) == len(theirs[0]):
            assert ours == theirs, length
            sizes.add(len(theirs))
    assert sizes == set(range(10, 27, 2))


def written_by_zxing(text: str) -> Matrix:
    made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix)
    drawn = zxingcpp.write_barcode_to_image(made, scale=1, add_quiet_zones=False)
    image = memoryview(cast(bytes, drawn))  # it has the buffer's protocol, and its stubs do not say so
    rows, columns = image.shape or ()
    return tuple(tuple(image[y, x] == 0 for x in range(columns)) for y in range(rows))


def test_what_does_not_fit_or_is_not_ascii_is_said() -> None:
    assert len(datamatrix("A" * 44)) == 26
    with pytest.raises(ValueError, match="45 characters are too many"):
        datamatrix("A" * 45)
    with pytest.raises(ValueError, match="is not ASCII"):
        datamatrix("Ä")
