"""ISO 15434 messages: formats 05, 06 and 12, and what is wrong with one that is cut, merged or misread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.production.label import Label, LabelRules
from edge.production.scanning import read_label

GS, RS, EOT = "\x1d", "\x1e", "\x04"
RULES = LabelRules(items={"7-1": "P7", "S-22": "SCREW"})
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


def message(*fields: str, of: str = "06") -> str:
    return f"[)>{RS}{of}{GS}{GS.join(fields)}{RS}{EOT}"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (message("P7-1", "S123"), Label("S", "7-1.123", "iso15434", "P7")),
        (message("P7-1", "S123", "1TL7"), Label("S", "7-1.123", "iso15434", "P7", "L7")),
        (message("1P7-1", "PX9", "S123"), Label("S", "7-1.123", "iso15434", "P7")),
        (message("S123"), Label("S", "123", "iso15434")),
        (message("V4711", "S123"), Label("S", "4711.123", "iso15434")),
        (message("18S0CVA5123"), Label("S", "0CVA5123", "iso15434")),
        (message("25SUN0432511111A", "P7-1"), Label("S", "UN0432511111A", "iso15434", "P7")),
        (message("PS-22", "1TL7", "Q500"), Label("L", "L7", "iso15434", "SCREW", "L7", 500)),
        (message("PS-22", "TL8"), Label("L", "L8", "iso15434", "SCREW", "L8")),
        (message("PUNKNOWN", "1TL7", "Q12.5"), Label("L", "L7", "iso15434", "UNKNOWN", "L7")),
        (message("JUN9", "PS-22", "1TL7", "Q20"), Label("P", "UN9", "iso15434", "SCREW", "L7", 20)),
        (message("3SUN9"), Label("P", "UN9", "iso15434")),
        (message("PNR 7-1", "SER 123", of="12"), Label("S", "7-1.123", "iso15434", "P7")),
        (message("MFR 1B298", "SER 123", of="12"), Label("S", "1B298.123", "iso15434")),
        (message("UID D1B298123", of="12"), Label("S", "D1B298123", "iso15434")),
        (message("PNR S-22", "LOT L7", "QTY 500", of="12"), Label("L", "L7", "iso15434", "SCREW", "L7", 500)),
        (message("010401234567890121A1", of="05"), Label("S", "04012345678901.A1", "gs1", "04012345678901")),
        (f"[)>{RS}07free{RS}06{GS}P7-1{GS}S123{RS}{EOT}", "ISO 15434"),
        (f"[)>{RS}07{GS}free{RS}06{GS}P7-1{GS}S123{RS}{EOT}", Label("S", "7-1.123", "iso15434", "P7")),
        (f"[)>{RS}06{GS}P7-1{RS}06{GS}S123{RS}{EOT}", Label("S", "7-1.123", "iso15434", "P7")),
    ],
)
def test_a_message_of_each_kind(text: str, label: Label | str) -> None:
    for aim in ("", "]d1", "]Q1", "]L2"):
        read = read_label(aim + text, RULES)
        assert read == label if isinstance(label, Label) else label in str(read)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (message("P7-1", "S123")[:-1], "its end (RS EOT) is missing"),
        (message("P7-1", "S123")[:-2], "its end (RS EOT) is missing"),
        (message("P7-1", "S123").replace(RS + EOT, EOT), "its end (RS EOT) is missing"),
        (message("P7-1", "S123")[1:], "its beginning ([)>) is missing"),
        (message("P7-1", "S123")[3:], "its beginning ([)>) is missing"),
        (message("P7-1", "S123").replace(RS, ""), "no RS after its beginning"),
        ("[)>06P7-1S123", "no RS and no GS in it"),
        (f"[)>{RS}06P7-1{RS}{EOT}", "does not begin with its number and GS"),
        (message("P7-1", "S123") + "x", "something follows its end (EOT): two labels"),
        (message("P7-1", "S123") + message("P7-1", "S124"), "two labels in one scan"),
        (message("P7-1", "S123") * 2, "the same label twice in one scan"),
        (message("P7-1", "S123", "P7-1", "S124"), "P is there twice: more than one label"),
        (message("P7-1", "S123", "?"), "a field of format 06 does not begin with an identifier"),
        (message("PNR 7-1", "123", of="12"), "a field of format 12 does not begin with an identifier"),
        (message("P7-1", "S"), "S is empty"),
        (message("P7-1", "S" + "9" * 49), "S has 49 characters, at most 48"),
        (message("P7-1", "S1\x1b[2J"), "S has a character that cannot be printed"),
        (message("P7-1", "S\u00e9"), "S has a character that cannot be printed"),
        (message("P7-1"), "P names no unit (S), no lot (1T or T with P) and no pack (J)"),
        (message("1TL7"), "names no unit"),
        (message("hello", of="07"), "format 07: only 05, 06 and 12 are read"),
        (message("hello", of="<b"), "does not begin with its number"),
        (message(of="06"), "format 06"),
        (message(*(f"{place}Zx" for place in range(65))), "more than 64 fields"),
    ],
)
def test_why_a_message_is_refused(text: str, said: str) -> None:
    read = read_label(text, RULES)
    assert isinstance(read, str)
    assert said in read


def test_a_message_without_its_end_where_the_file_allows_it() -> None:
    rules = LabelRules(items=RULES.items, end_optional=True)
    label = Label("L", "L7", "iso15434", "SCREW", "L7", 500)
    whole = message("PS-22", "1TL7", "Q500")
    assert {read_label(whole[:cut], rules) for cut in (len(whole), -1, -2)} == {label}


def test_what_the_gun_sends_for_control_characters() -> None:
    rules = LabelRules(items=RULES.items, stand_ins=(("{GS}", GS), ("{RS}", RS), ("{EOT}", EOT)))
    assert read_label("[)>{RS}06{GS}P7-1{GS}S123{RS}{EOT}", rules)[:2] == ("S", "7-1.123")
    twice = read_label("[)>{RS}06{GS}P7-1{GS}S123{RS}{EOT}" * 2, rules)
    assert "something follows its end" in str(twice)


@given(words, words, words, st.integers(1, 99_999_999))
def test_any_message_of_a_printer(part: str, serial: str, lot: str, count: int) -> None:
    read = read_label(message(f"P{part}", f"S{serial}", f"1T{lot}", f"Q{count}"))
    assert read == Label("S", f"{part}.{serial}", "iso15434", part, lot)
    read = read_label(message(f"P{part}", f"1T{lot}", f"Q{count}"))
    assert read == Label("L", lot, "iso15434", part, lot, count)


@given(words, words, st.data())
def test_no_part_of_a_message_is_taken_for_the_whole(part: str, serial: str, data: st.DataObject) -> None:
    whole = message(f"P{part}", f"S{serial}")
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    if end - begin < len(whole):
        assert isinstance(read_label(whole[begin:end]), str)


@given(st.text(), st.sampled_from(["[)>", f"[)>{RS}", f"[)>{RS}06{GS}", f"[)>{RS}12{GS}"]), st.booleans())
def test_nothing_escapes(text: str, before: str, is_ended: bool) -> None:
    read = read_label(before + text + (RS + EOT if is_ended else ""), LabelRules(end_optional=True))
    assert read
    assert isinstance(read, str) or (read.body.isprintable() and len(read.body) <= 100)


def test_serials_that_are_unique_alone() -> None:
    rules = LabelRules(serial_alone=True)
    for text in (message("P7-1", "S123"), message("V4711", "S123")):
        read = read_label(text, rules)
        assert isinstance(read, Label)
        assert read.body == "123"


def test_a_quantity_of_none_is_no_quantity() -> None:
    assert read_label(message("PS-22", "1TL7", "Q0"), RULES) == Label("L", "L7", "iso15434", "SCREW", "L7")
