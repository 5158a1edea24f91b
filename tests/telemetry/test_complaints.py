"""What the log says of telemetry that has no value: once, of all together, and never all the time."""

from hypothesis import given
from hypothesis import strategies as st

from edge.complaints import Complaints

MANY = {f"s{number}": "unit 4 is lost" for number in range(5_000)}


def said(complaints: Complaints, bad: dict[str, str], since_s: int, until_s: int) -> list[str]:
    """One look a second."""
    return [words for at_s in range(since_s, until_s) for words in complaints.words(bad, at_s * 1000)]


def test_it_is_said_once_again_with_another_reason_and_when_it_is_well() -> None:
    one = Complaints("telemetry/press")
    assert said(one, {"force": "no such node"}, 1, 100) == [
        "telemetry/press/force: cannot be read: no such node"
    ]
    assert said(one, {"force": "not readable"}, 100, 200) == [
        "telemetry/press/force: cannot be read: not readable"
    ]
    assert said(one, {}, 200, 300) == ["telemetry/press/force: can be read again"]


def test_what_breaks_together_is_one_sentence() -> None:
    one = Complaints("telemetry/oven")
    grown = [dict(list(MANY.items())[: 2_500 * step]) for step in (1, 2)]
    assert one.words(grown[0], 1_000) == []
    assert said(one, grown[1], 2, 100) == [
        "telemetry/oven: 5,000 signals (s0, s1, s2 and 4,997 more): cannot be read: unit 4 is lost"
    ]
    rest = {"s7": "unit 4 is lost"}
    [words] = said(one, rest, 100, 200)
    assert words == "telemetry/oven: 4,999 signals (s0, s1, s2 and 4,996 more): can be read again"


def test_several_reasons_are_those_of_the_names_that_are_shown() -> None:
    bad = {f"s{number}": f"reason {number}" for number in range(10)} | {"s1": "x" * 5_000}
    [words] = said(Complaints("telemetry/a"), bad, 1, 60)
    assert words.startswith("telemetry/a: 10 signals (s0, s1, s2 and 7 more): cannot be read: reason 0; xxx")
    assert words.endswith("; reason 2 and other reasons")
    assert len(words) < 1_200


def test_what_is_over_at_once_is_not_said() -> None:
    one = Complaints("telemetry/oven")
    assert one.words({"a": "x"}, 1_000) == []
    assert said(one, {}, 2, 60) == []


def test_what_comes_and_goes_all_the_time_is_said_more_and_more_rarely() -> None:
    one = Complaints("telemetry/oven")
    told = [one.words({"a": "x"} if at_s // 3 % 2 else {}, at_s * 1000) for at_s in range(86_400)]
    assert 10 < len([words for words in told if words]) < 200


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), st.sampled_from("xy")), max_size=40))
def test_every_change_that_lasts_is_said_and_nothing_else(changes: list[dict[str, str]]) -> None:
    one, before, now_s = Complaints("telemetry/t"), dict[str, str](), 1
    for bad in changes:
        words = said(one, bad, now_s, now_s + 700)
        assert len(words) == bool(bad.items() - before.items()) + bool(before.keys() - bad.keys())
        before, now_s = bad, now_s + 700
