"""Labels: the check character against an independent ISO 7064, and a reader that nothing surprises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_37_36

from edge.production.scanning import LETTERS, Label, check_character, describe, make_label, read_label

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
letters = st.sampled_from(sorted(LETTERS))
JOB, BADGE = make_label("J", "WO-1001-10"), make_label("E", "4711")
bodies = st.from_regex(r"[0-9A-Z.-]{1,40}", fullmatch=True)


@given(st.text(ALPHABET, min_size=1, max_size=60))
def test_check_character_is_that_of_iso_7064(text: str) -> None:
    assert check_character(text) == mod_37_36.calc_check_digit(text)
    assert mod_37_36.is_valid(text + check_character(text))


@pytest.mark.parametrize(("text", "check"), [("A12425GABC1234002", "M"), ("E4711", "I"), ("CPAUSE", "T")])
def test_check_character_of_known_texts(text: str, check: str) -> None:
    """The first is the example of the standard's GRid, ISO 7064's best known use."""
    assert check_character(text) == check


@pytest.mark.parametrize("text", ["a", "É", "1 2", "-", "\x00", "\ud800"])
def test_check_character_refuses_what_is_not_in_its_alphabet(text: str) -> None:
    with pytest.raises(ValueError, match="substring not found"):
        check_character(text)


@given(
    letters,
    bodies,
    st.sampled_from(["", "]C0", "]d2", "]Q3"]),
    st.sampled_from(["", "\r", "\r\n", "\n", " "]),
)
def test_a_printed_label_is_read(letter: str, body: str, aim: str, end: str) -> None:
    assert read_label(aim + make_label(letter, body) + end) == Label(letter, body)


@given(letters, bodies, st.data())
def test_one_wrong_character_is_noticed(letter: str, body: str, data: st.DataObject) -> None:
    """The standard's promise: every single substitution, and nearly every transposition of neighbours."""
    text = make_label(letter, body)
    place = data.draw(st.integers(1, len(text) - 1))
    other = data.draw(st.sampled_from([one for one in ALPHABET if one != text[place]]))
    if text[place] in "-.":
        return
    read = read_label(text[:place] + other + text[place + 1 :])
    assert isinstance(read, str)
    assert read


@given(st.text() | st.text(alphabet=st.characters()) | st.from_regex(r"\$?[A-Z]?[0-9A-Z.\-\r\n ]*"))
def test_no_text_surprises_the_reader(text: str) -> None:
    read = read_label(text)
    assert isinstance(read, Label) or (isinstance(read, str) and read)


@given(
    st.text(max_size=10),
    st.sampled_from(["\n", "\x00", "\x1b[31m", "#", "+", "/", ",", "\u202e"]),
    st.text(max_size=10),
)
def test_no_label_carries_a_control_character_into_the_house(before: str, control: str, after: str) -> None:
    read = read_label(f"$J{before}{control}{after}")
    assert isinstance(read, str) or all(one in ALPHABET + ".-" for one in read.body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (JOB + JOB, "the same label twice in one scan: scan it once"),
        (JOB + "\r\n" + JOB, "the same label twice in one scan: scan it once"),
        (JOB + BADGE, "two labels in one scan: scan one after the other"),
        (JOB + BADGE + BADGE, "two labels in one scan"),
        ("]C0" + JOB + "]C0" + BADGE, "two labels in one scan"),
        ("]C0" + JOB + "]C0" + JOB, "the same label twice in one scan"),
        ("WO17" + BADGE, "two labels in one scan"),
        (JOB[:5] + BADGE, "two labels in one scan"),
        (JOB[:5] + JOB, "two labels in one scan"),
        (JOB[:-1], "the check character is wrong: scan it again"),
        (JOB[:2], "not a whole label: scan it again"),
        (JOB[1:], "its beginning ($) is cut: scan it again"),
        (JOB.lower(), "not a whole label: scan it again"),
        ("$" + JOB, "two labels in one scan"),
        ("", "nothing readable"),
        (" \r\n", "nothing readable"),
        ("]C0", "nothing readable"),
        ("x" * 513, "513 characters, at most 512 are read"),
        ("hello", "not a label of this line"),
        ("HTTPS://id.gs1.org/01/04012345678901/21/A1", "a web address, and not a label of this line"),
    ],
)
def test_why_a_label_is_refused(text: str, said: str) -> None:
    read = read_label(text)
    assert isinstance(read, str)
    assert said in read


@given(letters, bodies, letters, bodies, st.data())
def test_no_piece_of_two_labels_is_a_third(
    one: str, first: str, other: str, second: str, data: st.DataObject
) -> None:
    """A gun that lost its terminator: whatever is left of the two, it is one of them whole, or refused.

    One cut in 37 has a check character that fits by chance: then it is a beginning of its label.
    """
    whole = make_label(one, first) + make_label(other, second)
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, len(whole)))
    read = read_label(whole[begin:end])
    if isinstance(read, Label):
        assert any(
            read.letter == letter and make_label(letter, body).startswith(f"${letter}{read.body}")
            for letter, body in ((one, first), (other, second))
        )


@given(letters, bodies, letters, bodies)
def test_two_labels_in_one_scan_are_told(one: str, first: str, other: str, second: str) -> None:
    read = read_label(make_label(one, first) + make_label(other, second))
    same = (one, first) == (other, second)
    assert read == f"{'the same label twice' if same else 'two labels'} in one scan: " + (
        "scan it once" if same else "scan one after the other"
    )


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Label("J", "WO-1-10"), "job WO-1-10"),
        (Label("S", "04012345678901.A1", "gs1", "P7", "L2"), "serial 04012345678901.A1 of P7, lot L2"),
        (Label("L", "L2", "gs1", "SCREW", "L2", 500), "lot L2 of SCREW, 500 pieces"),
    ],
)
def test_a_label_in_words(label: Label, words: str) -> None:
    assert describe(label) == words
