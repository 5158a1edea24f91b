"""Labels as real symbols: what an independent decoder gives, AIM identifier first, is what a gun sends."""

import pytest
import zxingcpp
from zxingcpp import BarcodeFormat as Symbol

from edge.production.label import Label
from edge.production.scanning import make_label, read_label

GTIN = "04012345678901"
GS1 = {
    f"(01){GTIN}(21)A1": Label("S", f"{GTIN}.A1", "gs1", GTIN),
    f"(01){GTIN}(10)L2(21)a/1": Label("S", f"{GTIN}.a/1", "gs1", GTIN, "L2"),
    f"(01){GTIN}(10)L2(30)500": Label("L", "L2", "gs1", GTIN, "L2", 500),
    f"(00)340123450000000000(02){GTIN}(37)20(10)L2": Label("P", "340123450000000000", "gs1", GTIN, "L2", 20),
}
MESSAGES = {
    "[)>\x1e06\x1dP7-1\x1dS123\x1dQ1\x1e\x04": Label("S", "7-1.123", "iso15434", "7-1"),
    f"[)>\x1e05\x1d01{GTIN}21A1\x1e\x04": Label("S", f"{GTIN}.A1", "gs1", GTIN),
}


def scanned(text: str, symbol: Symbol, gs1: bool = False) -> str:
    """Printed and read again, as a gun sends it."""
    printed = zxingcpp.create_barcode(text, symbol, gs1=gs1).to_image(scale=4)
    [read] = zxingcpp.read_barcodes(printed)
    return f"{read.symbology_identifier}{read.bytes.decode()}"


@pytest.mark.parametrize("text", GS1)
@pytest.mark.parametrize(
    ("symbol", "aim"), [(Symbol.Code128, "]C1"), (Symbol.DataMatrix, "]d2"), (Symbol.QRCode, "]Q3")]
)
def test_gs1_symbols(text: str, symbol: Symbol, aim: str) -> None:
    sent = scanned(text, symbol, gs1=True)
    assert sent.startswith(aim)
    assert read_label(sent) == GS1[text]


@pytest.mark.parametrize("text", MESSAGES)
@pytest.mark.parametrize("symbol", [Symbol.DataMatrix, Symbol.QRCode, Symbol.PDF417])
def test_messages_in_symbols(text: str, symbol: Symbol) -> None:
    assert read_label(scanned(text, symbol)) == MESSAGES[text]


@pytest.mark.parametrize("symbol", [Symbol.Code128, Symbol.DataMatrix, Symbol.QRCode])
def test_own_labels_and_brackets_in_plain_symbols(symbol: Symbol) -> None:
    assert read_label(scanned(make_label("J", "WO-1001-10"), symbol)) == Label("J", "WO-1001-10")
    bracketed = f"(01){GTIN}(21)A1"
    assert read_label(scanned(bracketed, symbol)) == GS1[bracketed]


def test_the_number_of_a_product_alone() -> None:
    assert "product alone" in str(read_label(scanned("4006381333931", Symbol.EAN13)))
