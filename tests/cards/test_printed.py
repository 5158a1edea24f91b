"""What is printed is read: every label of every sheet is found on its picture and means what it should."""

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from playwright.async_api import async_playwright

from edge.cards.content import Card, What
from edge.cards.fonts import find_face
from edge.cards.layout import (
    CELLS,
    LEAST_MODULE_MM,
    PAPERS,
    Bars,
    Edge,
    Ink,
    Look,
    Size,
    TooLargeError,
    Words,
    draw,
    laid_out,
)
from edge.cards.make import Wish, make
from edge.errors import CardsRefused
from edge.production.scanning import Label, make_label, read_label
from tests.cards.printed import DAY, chosen, drawn, labels, pictures, read

CHROMIUM = ["--no-sandbox", "--disable-gpu"]
LONG = "$JWO-2222222222222222222222222-999-99999Q"
FACE = find_face(None)


def look(paper: Size, is_label: bool = False, dpi: int = 600) -> Look:
    return Look(paper, is_label, "datamatrix", 25.4 / dpi, FACE)


# --- PDF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbol", "name"), [("datamatrix", "Data Matrix"), ("qr", "QR Code")])
def test_every_label_of_a_pdf_is_read_back(tmp_path: Path, symbol: str, name: str) -> None:
    sheets = chosen(What.ALL)
    found = read(pictures(tmp_path, sheets, Wish(".pdf", symbol)))
    assert found[name] == Counter(labels(sheets))
    assert found["Code 128"] == Counter(one for one in labels(sheets) if one != LONG)


def test_each_means_what_its_card_says(tmp_path: Path) -> None:
    sheets = chosen(What.REASONS) + chosen(What.JOBS, "WO-1042") + chosen(What.BATCHES, "WO-1042")
    sheets += chosen(What.BADGES, "4711=Anna Smith") + chosen(What.LOTS, "STEEL.A17")
    sheets += chosen(What.UNITS, "U-0008..U-0010") + chosen(What.TOOLS, "T.5") + chosen(What.QUANTITIES, "12")
    found = read(pictures(tmp_path, sheets, Wish(".pdf")))["Data Matrix"]
    assert [read_label(text) for text in labels(sheets)] == [
        Label("X", "BURR"), Label("X", "SHORT"), Label("D", "NO-MAT"), Label("J", "WO-1042-10"),
        Label("J", "WO-1042-20"), Label("L", "L12"), Label("E", "4711"), Label("L", "STEEL.A17"),
        Label("S", "U-0008"), Label("S", "U-0009"), Label("S", "U-0010"), Label("T", "T.5"), Label("Q", "12"),
    ]  # fmt: skip
    assert found == Counter(labels(sheets))


@pytest.mark.parametrize("dpi", [203, 300])
def test_labels_of_a_roll_are_read_at_the_printers_own_dots(tmp_path: Path, dpi: int) -> None:
    """Black and white, one dot a pixel: a module is a whole number of them."""
    sheets = chosen(What.UNITS, "U-0001..U-0012")
    pages = pictures(tmp_path, sheets, Wish(".pdf", label="62x29mm", dpi=dpi), dpi)
    binary = [page.point(lambda value: 255 * (value > 127)) for page in pages]
    assert [read([page])["Data Matrix"] for page in binary] == [Counter([one]) for one in labels(sheets)]


def test_code_128_alone_is_for_guns_that_read_nothing_else(tmp_path: Path) -> None:
    sheets = chosen(What.COMMANDS)
    assert read(pictures(tmp_path, sheets, Wish(".pdf", "code128"))) == {"Code 128": Counter(labels(sheets))}


# --- HTML -----------------------------------------------------------------------------------------


async def test_every_label_is_read_from_the_browser_and_from_its_print(tmp_path: Path) -> None:
    sheets = chosen(What.ALL)
    made, count = make(sheets, Wish(".html"), "line-1", DAY)
    (tmp_path / "cards.html").write_bytes(made)
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = await browser.new_page(device_scale_factor=3, viewport={"width": 900, "height": 1200})
        page.on("console", lambda said: complaints.append(said.text))
        page.on("request", lambda asked: complaints.append(asked.url))
        await page.goto(f"file://{tmp_path / 'cards.html'}")
        shown = await page.locator("svg").all()
        for at, one in enumerate(shown):
            await one.screenshot(path=tmp_path / f"shown-{at}.png")
        await page.pdf(path=tmp_path / "cards.pdf", prefer_css_page_size=True)
        await browser.close()
    assert complaints == [f"file://{tmp_path / 'cards.html'}"], "it loads nothing, and its style is allowed"
    pages = [Image.open(file).convert("L") for file in sorted(tmp_path.glob("shown-*.png"))]
    printed = drawn(tmp_path, 300)
    assert len(pages) == len(printed) == count
    assert read(pages)["Data Matrix"] == read(printed)["Data Matrix"] == Counter(labels(sheets))


def test_what_an_order_is_called_is_text_and_nothing_else() -> None:
    made, _ = make(chosen(What.JOBS, "Z.9"), Wish(".html"), "</title><script>", DAY)
    assert b"Geh\xc3\xa4use, gro\xc3\x9f &lt;&amp;&gt;" in made
    assert b"<script" not in made


# --- where things stand -----------------------------------------------------------------------------

Box = tuple[float, float, float, float]


def box(ink: Ink) -> Box:
    """Left, top, right, bottom, with the quiet zone of a barcode."""
    if isinstance(ink, Words):
        return ink.x, ink.y - 0.8 * ink.size, ink.x + ink.width, ink.y
    assert isinstance(ink, Bars)
    return ink.x, ink.y, ink.x + ink.symbol.columns * ink.module, ink.y + ink.height


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] - 0.05 and other[0] < one[2] - 0.05 and (
        one[1] < other[3] - 0.05 and other[1] < one[3] - 0.05
    )  # fmt: skip


def inside(one: Box, cell: Size) -> bool:
    return min(one[:2]) >= 0 and one[2] <= cell.width + 0.05 and one[3] <= cell.height + 0.05


BODIES = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-", min_size=1, max_size=40)
LETTERS = st.characters(min_codepoint=33, max_codepoint=0x17F, categories=["L", "N", "P", "Zs"])
WORDS = st.text(LETTERS, min_size=1, max_size=100)
SIZES = st.sampled_from([*CELLS.values(), Size(62, 29), Size(40, 20), Size(25, 25), Size(100, 150)])


@settings(deadline=None)
@given(BODIES, WORDS.filter(str.strip), st.lists(WORDS, max_size=4), SIZES, st.sampled_from([203, 300, 600]))
def test_nothing_leaves_its_card_or_runs_into_a_barcode(
    body: str, title: str, lines: list[str], cell: Size, dpi: int
) -> None:
    card = Card(make_label("J", body), "Job card", title, tuple(lines))
    one = look(cell, dpi=dpi)
    try:
        inks = draw(card, cell, one)
    except TooLargeError:
        return
    boxes = [box(ink) for ink in inks]
    assert not [one for one in boxes if not inside(one, cell)]
    barcodes = [ink for ink in inks if isinstance(ink, Bars)]
    for barcode in barcodes:
        assert not [ink for ink in inks if ink is not barcode and overlap(box(barcode), box(ink))]
        assert barcode.module >= LEAST_MODULE_MM
        assert barcode.module / one.dot == pytest.approx(round(barcode.module / one.dot))
    said = "".join(ink.text for ink in inks if isinstance(ink, Words)).replace(" ", "")
    assert "".join("".join((title, *lines)).split()) in said, "no word is lost"


def test_sheets_of_every_paper_hold_their_cards() -> None:
    sheets = chosen(What.ALL)
    for paper in PAPERS.values():
        for page in laid_out(sheets, "line-1", look(paper)):
            boxes = [box(ink) for ink in page.inks if isinstance(ink, Words | Bars)]
            assert all(one[0] > 5 and one[2] < paper.width - 5 and one[3] < paper.height - 5 for one in boxes)
            assert not any(overlap(one, other) for one, other in combinations(boxes, 2))


def test_what_does_not_fit_is_refused_with_all_of_its_kind() -> None:
    with pytest.raises(CardsRefused) as refused:
        make(chosen(What.JOBS), Wish(".pdf", label="30x12mm"), "line-1", DAY)
    told = str(refused.value).splitlines()
    assert len(told) == 5
    assert told[0] == (
        "job card 'WO-1042-10' does not fit on 30x12mm: "
        "its barcode is 5.0 mm high at the least, and 1.5 mm are left for it"
    )
    found = re.fullmatch(r"--label ((\d+)x(\d+)mm) is large enough for all of them", told[4])
    assert found
    assert make(chosen(What.JOBS), Wish(".pdf", label=found[1]), "line-1", DAY)
    for width, height in ((int(found[2]) - 1, found[3]), (found[2], int(found[3]) - 1)):
        with pytest.raises(CardsRefused):
            make(chosen(What.JOBS), Wish(".pdf", label=f"{width}x{height}"), "line-1", DAY)
    with pytest.raises(CardsRefused, match="its Code 128 is 99 mm wide at the least"):
        make(chosen(What.JOBS), Wish(".pdf", "code128"), "line-1", DAY)


def test_cards_share_their_edges() -> None:
    """Drawn twice, the dashes of one fill the gaps of the other."""
    [page] = laid_out(chosen(What.UNITS, "U-1..U-6"), "line-1", look(PAPERS["A4"]))
    edges = [(one.x, one.y, one.to_x, one.to_y) for one in page.inks if isinstance(one, Edge)]
    assert len(edges) == len(set(edges)) == 9 + 8, "two rows of three"


def test_words_from_right_to_left_are_for_the_browser() -> None:
    for words in ("محمد علي", "דנה לוי", "Anna \u202e4711"):
        sheets = chosen(What.BADGES, f"4711={words}")
        with pytest.raises(CardsRefused) as refused:
            make(sheets, Wish(".pdf"), "line-1", DAY)
        assert str(refused.value).endswith("the PDF would print it backwards: print the HTML")
        assert words.split()[0].encode() in make(sheets, Wish(".html"), "line-1", DAY)[0]


def test_letters_that_the_font_has_not_are_named_and_never_boxes() -> None:
    sheets = chosen(What.BADGES, "1=陳大文")
    with pytest.raises(CardsRefused, match="'陳大文': the font has no '陳大文'"):
        make(sheets, Wish(".pdf"), "line-1", DAY)
    assert "陳大文".encode() in make(sheets, Wish(".html"), "line-1", DAY)[0]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(".png"), "--out: name it NAME.pdf or NAME.html"),
        (Wish(".pdf", symbol="aztec"), "--symbol aztec: write one of datamatrix, qr, code128"),
        (Wish(".pdf", paper="a3"), "--paper a3: write one of A4, A5, letter"),
        (Wish(".pdf", label="62"), "--label 62: write its width and height in mm, 10 to 500, as in 62x29mm"),
        (Wish(".pdf", label="5x900mm"), "--label 5x900mm"),
        (Wish(".pdf", font=Path("/etc/hostname")), "/etc/hostname is no TrueType font that can be used"),
        (Wish(".pdf", font=Path("/no/font.ttf")), "/no/font.ttf is no TrueType font that can be used"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(wish: Wish, words: str) -> None:
    with pytest.raises(CardsRefused) as refused:
        make(chosen(What.COMMANDS), wish, "line-1", DAY)
    assert words in str(refused.value)


def test_the_same_cards_are_the_same_bytes() -> None:
    for form in (".pdf", ".html"):
        made = [make(chosen(What.ALL), Wish(form), "line-1", DAY) for _ in range(2)]
        assert made[0] == made[1]


def test_the_reader_of_these_tests_notices_a_wrong_picture(tmp_path: Path) -> None:
    page = pictures(tmp_path, chosen(What.UNITS, "U-1"), Wish(".pdf", label="62x29mm"))[0]
    assert [one.text for one in zxingcpp.read_barcodes(page)]
    page.paste(255, (0, 0, page.width // 4, page.height))
    assert "Data Matrix" not in read([page])
