"""Cards as a printer or a browser shows them, and what a barcode reader finds on the picture."""

import subprocess
from collections import Counter
from datetime import date
from pathlib import Path

import zxingcpp
from PIL import Image

from edge.cards.content import Sheet, What, choose
from edge.cards.make import Wish, make
from edge.observation import WorkOrder
from edge.production.line import Line, StationSpec
from edge.readmodel import written_orders

ORDERS = (
    WorkOrder("WO-1042", "P7", 400, "C", "L12", (10, 20)),
    WorkOrder("Z.9", "Gehäuse, groß <&>", 1_000_000_000),
    WorkOrder("WO-2222222222222222222222222-999", "x" * 100, 7, "rev 3", "B.7-A", (99_999,)),
)
LINE = Line(
    "line-1", (StationSpec("press", 1000, 500, 5000),), {one.id: one for one in ORDERS},
    reasons={
        "scrap": {"BURR": "Burr at the edge", "SHORT": "Short shot"}, "downtime": {"NO-MAT": "No material"},
    },
)  # fmt: skip
DAY = date(2026, 5, 4)


def chosen(what: What, *names: str, line: Line = LINE) -> tuple[Sheet, ...]:
    found = choose(what, names, line, written_orders(line))
    assert found.left_out == ()
    return found.sheets


def labels(sheets: tuple[Sheet, ...]) -> list[str]:
    return [card.label for sheet in sheets for card in sheet.cards]


def pictures(folder: Path, sheets: tuple[Sheet, ...], wish: Wish, dpi: int = 300) -> list[Image.Image]:
    """The PDF's pages, as poppler draws them."""
    made, pages = make(sheets, wish, "line-1", DAY)
    (folder / "cards.pdf").write_bytes(made)
    found = drawn(folder, dpi)
    assert len(found) == pages
    return found


def drawn(folder: Path, dpi: int) -> list[Image.Image]:
    subprocess.run(["pdftoppm", "-r", str(dpi), "-gray", "cards.pdf", "page"], cwd=folder, check=True)
    return [Image.open(file) for file in sorted(folder.glob("page-*.pgm"))]


def read(pages: list[Image.Image]) -> dict[str, Counter[str]]:
    """By symbology: every text that was found, and how often."""
    found: dict[str, Counter[str]] = {}
    for page in pages:
        for one in zxingcpp.read_barcodes(page):
            found.setdefault(str(one.format).rpartition(".")[2], Counter())[one.text] += 1
    return found
