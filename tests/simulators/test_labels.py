"""Labels and their check character, against an independent implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_37_36

from simulators.labels import check_character, label

bodies = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.-", min_size=1, max_size=40)


@given(st.sampled_from("EJULSTPRKDXQAC"), bodies)
def test_the_check_character_is_that_of_iso_7064(letter: str, body: str) -> None:
    checked = letter + body.replace(".", "").replace("-", "")
    made = label(letter, body)
    assert made == f"${letter}{body}{mod_37_36.calc_check_digit(checked)}"
    assert mod_37_36.is_valid(checked + made[-1])


def test_the_example_of_the_standard() -> None:
    assert check_character("A12425GABC1234002") == "M"


def test_a_job_card() -> None:
    assert label("J", "WO-1001-10") == "$JWO-1001-10" + mod_37_36.calc_check_digit("JWO100110")


@pytest.mark.parametrize(
    ("letter", "body"), [("j", "1"), ("", "1"), ("JJ", "1"), ("J", ""), ("J", "a"), ("J", "1" * 41)]
)
def test_what_no_printer_would_print_is_refused(letter: str, body: str) -> None:
    with pytest.raises(ValueError, match="label"):
        label(letter, body)
