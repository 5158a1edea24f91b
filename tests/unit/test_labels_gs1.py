"""GS1 labels: what they name, what they must hold together, and how a cut or merged one is told."""

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean, gs1_128

from edge.production.gs1 import as_gtin, right_check_digit
from edge.production.label import Label, LabelRules
from edge.production.scanning import read_label

GS = "\x1d"
GTIN, OTHER = "04012345678901", "04006381333931"
SSCC = "34012345000000000" + ean.calc_check_digit("34012345000000000")
RULES = LabelRules(items={GTIN: "P7", OTHER: "SCREW"})

cset82 = st.text("ABCXYZabcxyz0123456789!\"%&'()*+,-./:;<=>?_", min_size=1, max_size=20)
payloads = st.from_regex(r"[0-9]{13}", fullmatch=True)


def gtin(payload: str) -> str:
    return payload + ean.calc_check_digit(payload)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (f"01{GTIN}21A1", Label("S", f"{GTIN}.A1", "gs1", "P7")),
        (f"01{GTIN}21A1{GS}10L2", Label("S", f"{GTIN}.A1", "gs1", "P7", "L2")),
        (f"01{GTIN}10L2{GS}21A1", Label("S", f"{GTIN}.A1", "gs1", "P7", "L2")),
        (f"01{GTIN}17301231" + "21a/1", Label("S", f"{GTIN}.a/1", "gs1", "P7")),
        (f"01{OTHER}10L2", Label("L", "L2", "gs1", "SCREW", "L2")),
        (f"01{OTHER}10L2{GS}30500", Label("L", "L2", "gs1", "SCREW", "L2", 500)),
        (f"00{SSCC}", Label("P", SSCC, "gs1")),
        (f"00{SSCC}02{OTHER}3720{GS}10L2", Label("P", SSCC, "gs1", "SCREW", "L2", 20)),
        (f"02{OTHER}3720{GS}00{SSCC}10L2", Label("P", SSCC, "gs1", "SCREW", "L2", 20)),
        (f"01{gtin('9' * 13)}21A1", Label("S", f"{gtin('9' * 13)}.A1", "gs1", gtin("9" * 13))),
        (f"01{GTIN}310300150010L2", Label("L", "L2", "gs1", "P7", "L2")),
    ],
)
def test_a_label_of_each_kind(text: str, label: Label) -> None:
    assert [read_label(aim + text, RULES) for aim in ("]C1", "]d2", "]Q3", "]e0")] == [label] * 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"01{GTIN}", "names no unit (21), no lot (10) and no pack (00)"),
        (f"01{GTIN[:-1]}", "(01) is cut: 13 of 14"),
        (f"01{GTIN[:-1]}2", "(01) has a wrong check digit"),
        (f"01{GTIN}21", "(21) is cut: 0 of 1"),
        (f"01{GTIN}21A1{GS}173013", "(17) is cut: 4 of 6"),
        (f"01{GTIN}1730{GS}21A1", "(17) is cut: 2 of 6"),
        (f"01{GTIN}21A1{GS}17301340", "(17) is no date"),
        (f"01{GTIN}21A\u00e91", "(21) has a character that GS1 does not have"),
        (f"01{GTIN}21A\x1b[2J", "(21) has a character that GS1 does not have"),
        ("0104012345678\u0669012", "(01) has more than digits"),
        (f"01{GTIN}21A1{GS}01{GTIN}21A2", "(01) is there twice: more than one label"),
        (f"01{GTIN}21A1{GS}01{OTHER}21A2", "(01) is there twice: more than one label"),
        (f"01{GTIN}21A01{GTIN}", "(21) holds the GTIN once more: two labels"),
        (f"01{GTIN}21A101{GTIN}21A2", "two labels"),
        (f"01{GTIN}21{'A' * 21}", "(21) has 21 characters, at most 20"),
        (f"00{SSCC[:-1]}", "(00) is cut: 17 of 18"),
        (f"00{SSCC}02{OTHER}", "(02) says nothing without (37)"),
        (f"00{SSCC}3720", "(37) says nothing without (02)"),
        (f"02{OTHER}3720", "(37) says nothing without (00)"),
        (f"01{GTIN}3720", "(01) and (37) exclude each other"),
        (f"01{GTIN}02{OTHER}3720", "(01) and (02) exclude each other"),
        ("21A1", "(21) says nothing without (01)"),
        ("10L2", "(10) says nothing without (01)"),
        ("7", "after the beginning comes no application identifier"),
        (f"01{GTIN}7", "after (01) comes no application identifier"),
        ("hello", "after the beginning comes no application identifier"),
        ("", "nothing"),
        ("".join(f"{ai}000000" for ai in range(3100, 3106)) * 4, "twice"),
        ("".join(f"{ai}000000" for ai in range(3200, 3370, 10)), "more than 16"),
    ],
)
def test_why_a_label_is_refused(text: str, words: str) -> None:
    read = read_label("]C1" + text, RULES)
    assert isinstance(read, str)
    assert words in read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"]C100{SSCC}02{OTHER[:-1]}03720", "(02) has a wrong check digit"),
        (f"]C101{GTIN}17300132" + "21A1", "(17) is no date"),
        (f"]C101{GTIN}250Z9{GS}10L2", "(250) says nothing without (21)"),
        (f"(01){GTIN}(210)A1", "there is no application identifier (210)"),
    ],
)
def test_what_is_told_beside_the_unit(text: str, words: str) -> None:
    """A wrong pack, day, source entity or bracket is told by its own name, though the rest could be read."""
    assert words in str(read_label(text, RULES))


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        (f"]C101{GTIN}21A1", True),
        (f"]C001{GTIN}21A1", False),
        (f"]d101{GTIN}21A1", False),
        (f"01{GTIN}21A1", False),
        (f"01{GTIN}10L2{GS}21A1", True),
        (f"{GS}01{GTIN}21A1", True),
        (f"(01){GTIN}(21)A1", True),
        (f"(01) {GTIN[:1]} {GTIN[1:7]} {GTIN[7:]} (21) A1", True),
    ],
)
def test_only_what_is_marked_is_gs1(text: str, is_read: bool) -> None:
    read = read_label(text, RULES)
    assert isinstance(read, Label) == is_read
    if is_read:
        assert read[:2] == ("S", f"{GTIN}.A1")
    else:
        assert "looks like GS1, but nothing marks it" in read
    unmarked = read_label(text, LabelRules(gs1_unmarked=True))
    assert isinstance(unmarked, Label)
    assert unmarked.body == f"{GTIN}.A1"


def test_digits_that_begin_like_gs1_are_not_taken_for_it() -> None:
    """Nothing but a right check digit makes them look so, and even then they are not read as such."""
    for text in ("0104012345678902", "01234", "0012", "02abc"):
        assert read_label(text, LabelRules(gs1_unmarked=True)) == "not a label of this line"


def test_the_number_of_a_product_alone_names_nothing() -> None:
    assert "product alone" in str(read_label("]E04006381333931", RULES))


@pytest.mark.parametrize("stand_in", ["{GS}", "^]", "<GS>", "|"])
def test_what_the_gun_sends_for_a_separator(stand_in: str) -> None:
    rules = LabelRules(stand_ins=((stand_in, GS),))
    read = read_label(f"]d201{GTIN}10L2{stand_in}21A1", rules)
    assert read == Label("S", f"{GTIN}.A1", "gs1", GTIN, "L2")


def test_serials_that_are_unique_alone() -> None:
    assert read_label(f"]C101{GTIN}21A1", LabelRules(serial_alone=True))[1] == "A1"


@given(payloads, cset82, cset82, st.booleans())
def test_any_unit_of_a_printer(payload: str, serial: str, lot: str, is_bracketed: bool) -> None:
    """Against python-stdnum's reading of the same element strings."""
    number = gtin(payload)
    text = f"01{number}21{serial}{GS}10{lot}"
    if not set("()") & set(serial + lot):  # stdnum takes brackets for print
        assert gs1_128.info(text, separator=GS) == {"01": number, "21": serial, "10": lot}
    expected = Label("S", f"{number}.{serial}", "gs1", number, lot)
    if f"01{number}" not in serial + GS + lot:
        assert read_label("]C1" + text) == expected
    if is_bracketed and "(" not in serial + lot:
        assert read_label(f"(01){number}(21){serial}(10){lot}") == expected


@given(st.text(), st.sampled_from(["]C1", "]d2", "", "(01)", "01", GS]))
def test_nothing_escapes(text: str, before: str) -> None:
    read = read_label(before + text, LabelRules(gs1_unmarked=True))
    assert read
    assert isinstance(read, str) or all(one.isprintable() for one in read.body)


@given(payloads, cset82, st.integers(0, 60))
def test_a_cut_label_never_names_another_thing(payload: str, serial: str, cut: int) -> None:
    """But for a serial whose end is missing: GS1 has nothing that could tell."""
    text = f"01{gtin(payload)}21{serial}"
    read = read_label("]C1" + text[: min(cut, len(text))])
    if isinstance(read, Label):
        assert f"{gtin(payload)}.{serial}".startswith(read.body)
        assert read.letter == "S"


@given(payloads, st.data())
def test_one_wrong_digit_of_a_gtin_is_noticed(payload: str, data: st.DataObject) -> None:
    number = gtin(payload)
    place = data.draw(st.integers(0, 13))
    other = data.draw(st.sampled_from([one for one in "0123456789" if one != number[place]]))
    wrong = number[:place] + other + number[place + 1 :]
    assert "wrong check digit" in str(read_label(f"]C101{wrong}21A1"))


@given(st.from_regex(r"[0-9]{0,20}", fullmatch=True))
def test_check_digits_are_those_of_stdnum(number: str) -> None:
    if len(number) in (8, 12, 13, 14):
        assert right_check_digit(number) == ean.is_valid(number)
        assert (as_gtin(number) is not None) == ean.is_valid(number)
    else:
        assert as_gtin(number) is None


@given(st.integers(0, 10**6))
def test_each_application_identifier_can_be_walked_over(seed: int) -> None:
    """What carries no meaning here is passed over by its length, and the serial behind it is found."""
    chance = random.Random(seed)
    ai, value = chance.choice(
        [
            ("240", "AB"), ("241", "C/1"), ("250", "Z9"), ("3103", "001500"), ("91", "x" * 90),
            ("11", "300100"), ("8008", "30123123"), ("421", "276ABC"), ("7240", "P1"),
            ("4330", "000500-"), ("253", OTHER[1:] + "X"),
        ]
    )  # fmt: skip
    assert read_label(f"]C101{GTIN}{ai}{value}{GS}21A1", RULES) == Label("S", f"{GTIN}.A1", "gs1", "P7")


@pytest.mark.parametrize(
    ("rules", "is_loaded"),
    [
        ("LabelRules()", False),
        ("LabelRules(items={'S-22': 'SCREW'})", False),
        ("LabelRules(items={'04012345678901': 'P7'})", True),
        ("LabelRules(gs1_unmarked=True)", True),
    ],
)
def test_the_table_is_loaded_only_where_it_is_of_use(rules: str, is_loaded: bool) -> None:
    """Also what only looks like GS1 does not load it."""
    code = (
        "import sys\nfrom edge.production.gs1 import prepare\n"
        "from edge.production.scanning import LabelRules, read_label\n"
        f"rules = {rules}\nprepare(rules)\n"
        "read_label('$CPAUSET')\nread_label('010401234567890121A1')\nprint('biip' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{is_loaded}\n"
