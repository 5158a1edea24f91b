"""Labels: the check character against an independent ISO 7064, and a reader that nothing surprises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_37_36

from edge.production.scanning import LETTERS, Label, check_character, make_label, read_label

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
letters = st.sampled_from(sorted(LETTERS))
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
