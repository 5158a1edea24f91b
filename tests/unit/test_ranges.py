"""What is acknowledged: ranges against a plain set of numbers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.journal import Ranges

pairs = st.lists(
    st.tuples(st.integers(-5, 120), st.integers(0, 15)).map(lambda two: (two[0], two[0] + two[1]))
)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def assert_tidy(ranges: Ranges) -> None:
    """Disjoint, ascending, no two that touch."""
    listed = list(ranges)
    assert all(first <= last for first, last in listed)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(listed))


@given(pairs)
def test_holds_what_was_put_in(added: list[tuple[int, int]]) -> None:
    ranges, model = Ranges(added), numbers(added)
    assert_tidy(ranges)
    assert numbers(list(ranges)) == model
    assert len(ranges) == len(model)
    assert {number for number in range(-10, 140) if number in ranges} == model


@given(pairs, st.lists(st.integers(-5, 120)))
def test_single_numbers_in_any_order(added: list[tuple[int, int]], single: list[int]) -> None:
    ranges = Ranges(added)
    ranges.add_all(single)
    assert_tidy(ranges)
    assert numbers(list(ranges)) == numbers(added) | set(single)


@given(pairs, st.integers(-5, 120), st.integers(-5, 120))
def test_missing_is_the_rest(added: list[tuple[int, int]], first: int, last: int) -> None:
    missing = list(Ranges(added).missing(first, last))
    assert numbers(missing) == set(range(first, last + 1)) - numbers(added)
    assert missing == sorted(missing)


@given(pairs)
def test_a_copy_is_the_same(added: list[tuple[int, int]]) -> None:
    assert list(Ranges(list(Ranges(added)))) == list(Ranges(added))


def test_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="5 is after 4"):
        Ranges([(5, 4)])


def test_a_million_acknowledged_in_order_are_one_range() -> None:
    ranges = Ranges()
    for first in range(1, 1_000_001, 500):
        ranges.add(first, first + 499)
    assert list(ranges) == [(1, 1_000_000)]


@given(pairs, pairs)
def test_what_is_taken_out_is_not_in_it(added: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    ranges, model = Ranges(added), numbers(added)
    for first, last in taken:
        ranges.remove(first, last)
        model -= numbers([(first, last)])
        assert_tidy(ranges)
        assert numbers(list(ranges)) == model
        assert len(ranges) == len(model)
