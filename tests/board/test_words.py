"""How figures are written, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.board import words
from edge.production.cycles import PACKML


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (-3, "0 s"), (0, "0 s"), (59.9, "59 s"), (99, "99 s"), (100, "1:40"), (3599, "59:59"),
        (3600, "1:00:00"), (86_399, "23:59:59"), (86_400, "1 d 0:00:00"), (183_845, "2 d 3:04:05"),
    ],
)  # fmt: skip
def test_a_duration_is_written_as_people_read_it(seconds: float, written: str) -> None:
    assert words.span(seconds) == written


@given(st.integers(100, 10**8))
def test_a_written_duration_is_the_duration(seconds: int) -> None:
    days, _, clock = words.span(seconds).rpartition(" d ")
    *hours, minutes, rest = (int(part) for part in clock.split(":"))
    assert int(days or 0) * 86_400 + sum(hours) * 3600 + minutes * 60 + rest == seconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, "–"), (0.0123, "0.012 s"), (0.5, "0.50 s"), (12.345, "12.3 s"), (185.2, "185 s")],
)
def test_a_cycle_has_three_figures(seconds: float | None, written: str) -> None:
    assert words.cycle(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (9999, "9999"), (12345, "12\u202f345"), (-10000, "-10\u202f000")]
)
def test_long_counts_are_grouped(count: int, written: str) -> None:
    assert words.parts(count) == written


def test_every_packml_state_has_a_shape() -> None:
    assert {words.kind_of(state) for state in PACKML.values()} == {"run", "wait", "stop"}
    assert words.kind_of("Execute") == "run"
    assert words.kind_of("a plant's own") == words.kind_of(None) == "other"


def test_what_is_not_known_is_left_out() -> None:
    assert words.product("P7", "C", None, "4711") == "P7 rev C · operator 4711"
    assert words.product(None, None, None, None) == ""
    assert words.product("P7", None, None, None, ("JIG-3", "MOULD.17")) == "P7 · tools JIG-3, MOULD.17"
    assert words.product(None, None, None, None, ("JIG-3",)) == "tool JIG-3"
    assert words.state("Held", "no material") == "Held · no material"
    assert words.state(None, "") == "no state yet"
    assert words.job("WO-1", None) == "WO-1"
    assert words.job(None, None) == "no order"
