"""Patterns from a configuration: what can stall is refused, what is allowed is quick on any text."""

import random
import re
import time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edge.patterns import LONGEST, MOST_STEPS, check_pattern

QUICK_S = 0.002
"""Twice what is promised: this machine does other things too."""


@pytest.mark.parametrize(
    "pattern",
    [
        r"0*(?P<order>[0-9]{7,12})/(?P<operation>[0-9]{4})",
        r"P[0-9]{5}",
        r".*",
        r".*-(?P<operation>\d+)",
        r"(?P<order>[A-Z0-9-]+)-(?P<operation>\d+)",
        r"(?:[^;]*;){12}x",
        r"([A-Z]{2}-)+x",
        r"(a|b)*c",
        r"(ab|cd|ef)+",
        r"\w{1,20}\w{1,20}x",
        r"(START|STOP|PAUSE)",
        r"^A[0-9]+$",
        r"(?>a+)b",
        r"a++b",
        r"[^\d]{3}\s?",
        "\u00e9+x",
    ],
)
def test_what_plants_write_is_taken(pattern: str) -> None:
    checked = check_pattern(pattern, 256)
    assert checked.pattern.flags & re.ASCII
    assert checked.steps <= MOST_STEPS


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(a+)+b", "more than a billion ways"),
        (r"(a|a)*b", "more than a billion ways"),
        (r"(a|ab|b)*c", "ways"),
        (r"(.*)(.*)(.*)x", "ways"),
        (r"(\w+\s?)*;", "ways"),
        (r"(a?){30}a{30}", "repeats what may be empty"),
        (r"(a*)*", "repeats what may be empty"),
        ("a?" * 18 + "a" * 18, "ways"),
        (r"((a{1,3}){1,3}){1,3}x", "ways"),
        (r"([0-9]+,?)+x", "ways"),
        (r"(?P<a>x)(?P=a)", "a reference back"),
        (r"(x)\1", "a reference back"),
        (r"(x)?(?(1)y|z)", "a reference back"),
        (r"(?=x)x", "a look ahead"),
        (r"(?<!x)x", "a look ahead"),
        (r"(?i)x", "flag"),
        (r"(?i:x)", "flag"),
        (r"(", "is no regular expression"),
        ("[[a]]", "is no regular expression: Possible nested set"),
        (r"a{2,1}", "is no regular expression"),
        ("(" * 400 + ")" * 100, "is no regular expression"),
        ("x" * 501, "at most 500"),
    ],
)
def test_what_could_stall_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_pattern(pattern, 256)


@pytest.mark.parametrize("pattern", ["(" * 90 + "a" + ")" * 90, "(?:" * 120 + "a" + ")" * 120])
def test_deep_nesting_is_no_trouble(pattern: str) -> None:
    assert check_pattern(pattern, 256).longest == 1


def test_a_text_longer_than_any_match_need_not_be_tried() -> None:
    assert check_pattern(r"[0-9]{3,7}-?", 256).longest == 8
    assert check_pattern(r"[0-9]*", 256).longest == 256


atoms = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", r"\d", r"\w", "1", "(?:ab)", "(?:a|b)", "(?:a|ab)", "-"]
)
repeats = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}", "{0,20}", "*?", "+?"])
patterns = st.recursive(
    st.tuples(atoms, repeats).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(st.lists(inner, min_size=1, max_size=3).map("|".join), repeats).map(
            lambda of: f"({of[0]}){of[1]}"
        ),
    ),
    max_leaves=8,
)


def slowest(pattern: re.Pattern[str], texts: list[str]) -> float:
    """Of the best of three: a machine that does other things is no fault of the pattern."""
    worst = 0.0
    for text in texts:
        best = min(_taken(pattern, text) for _ in range(3))
        worst = max(worst, best)
    return worst


def _taken(pattern: re.Pattern[str], text: str) -> float:
    begun = time.perf_counter()
    pattern.fullmatch(text)
    return time.perf_counter() - begun


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(patterns, st.integers(0, 2**32))
def test_whatever_is_allowed_is_quick(pattern: str, seed: int) -> None:
    try:
        checked = check_pattern(pattern, LONGEST)
    except ValueError:
        assume(False)
    chance = random.Random(seed)
    texts = ["a" * LONGEST, "ab" * (LONGEST // 2), "a" * (LONGEST - 1) + "\n", "1" * LONGEST]
    texts += ["".join(chance.choices("ab1-", k=LONGEST)) + end for end in ("", "\n", "b")]
    texts += ["".join(chance.choices("ab", k=chance.randint(1, 40))) + "\n" for _ in range(5)]
    assert slowest(checked.pattern, [text[: checked.longest] for text in texts]) < QUICK_S


@given(st.text(alphabet="ab1-([{})]?*+|.\\^$,<>P=:!", max_size=30))
def test_any_text_is_a_pattern_or_told(pattern: str) -> None:
    try:
        steps = check_pattern(pattern, 256).steps
    except ValueError as error:
        words = str(error)
    else:
        words = "taken" if steps <= MOST_STEPS else ""
    assert words
