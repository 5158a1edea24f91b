"""What is news: against a filter that looks at each signal by itself, as slowly and plainly as can be."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.observation import Value
from edge.sifting import LONGEST_TEXT, Lane, NoValue, Number, Sampled, Single, Word

NUMBER = st.sampled_from([1, 1, 1, 2, True, 1.5, 0.0]) | st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
"""Many are the same again: then the silences count."""


@dataclass
class Plain:
    """One signal: the rules as the page has them."""

    signal: Sampled
    kept: Number = None
    kept_ms: int = -(10**12)
    bad: bool = False

    def is_news(self, value: Number, now_ms: int) -> bool:
        if value is None:
            self.bad = True
            return False
        news = self.bad or self.kept is None or now_ms - self.kept_ms >= self.signal.silence_ms
        if not news:
            assert self.kept is not None
            width = self.signal.width(self.kept)
            news = value < self.kept - width or value > self.kept + width
        if news:
            self.kept, self.kept_ms, self.bad = value, now_ms, False
        return news


@dataclass
class Readings:
    signals: list[Sampled]
    rounds: list[tuple[int, list[Number]]] = field(default_factory=list)


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    deadband = st.sampled_from([0.0, 0.0, 1.0, 250.0])
    signals = [
        Sampled(f"s{number}", draw(deadband), draw(st.booleans()), draw(st.sampled_from([50, 1000])))
        for number in range(draw(st.integers(1, 5)))
    ]
    now_ms = draw(st.integers(0, 2000))
    found = Readings(signals)
    for _ in range(draw(st.integers(1, 12))):
        now_ms += draw(st.integers(0, 60))
        values: list[Number] = [draw(NUMBER | st.none()) for _ in signals]
        found.rounds.append((now_ms, values))
    return found


def news(lane: Lane, values: Sequence[Number], now_ms: int) -> dict[str, Value]:
    """As telemetry asks a lane."""
    if whole := lane.whole(values, now_ms):
        found: dict[str, Value] = json.loads(b"{%b}" % whole)
        return found
    return lane.sift(values, now_ms)


@given(readings())
def test_a_lane_keeps_what_each_signal_by_itself_would(given: Readings) -> None:
    bad: dict[str, str] = {}
    lane = Lane("oven", bad, given.signals)
    plain = [Plain(one) for one in given.signals]
    for now_ms, values in given.rounds:
        bad.update(
            {one.name: "no" for one, value in zip(given.signals, values, strict=True) if value is None}
        )
        kept = news(lane, values, now_ms)
        expected = {
            one.signal.name: value
            for one, value in zip(plain, values, strict=True)
            if one.is_news(value, now_ms)
        }
        assert kept == expected
        assert [type(one) for one in kept.values()] == [type(expected[name]) for name in kept]


def test_numbers_that_all_move_are_news_together() -> None:
    lane = Lane("oven", {}, [Sampled("a.1"), Sampled("b-2", silence_ms=100)])
    assert lane.whole([1, 2.5], 0) == b'"a.1":1,"b-2":2.5'
    assert lane.whole([2, 2.5], 1) == b""
    assert lane.sift([2, 2.5], 1) == {"a.1": 2}
    assert lane.whole([3, 3.5], 2) == b'"a.1":3,"b-2":3.5'
    assert lane.whole([4, None], 3) == b""
    assert lane.sift([4, None], 3) == {"a.1": 4}
    assert lane.sift([4, 3.5], 102) == {"b-2": 3.5}


def test_with_a_deadband_each_is_looked_at() -> None:
    lane = Lane("oven", {}, [Sampled("a", 1.0), Sampled("b")])
    assert lane.whole([1, 2], 0) == b""
    assert lane.sift([1, 2], 0) == {"a": 1, "b": 2}
    assert lane.whole([1.5, 3], 1) == b""
    assert lane.sift([1.5, 3], 1) == {"b": 3}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_what_is_kept_is_never_further_off_than_the_deadband(values: list[float], deadband: float) -> None:
    lane = Lane("oven", {}, [Sampled("zone", deadband)])
    known = None
    for now_ms, value in enumerate(values):
        known = lane.sift([value], now_ms).get("zone", known)
        assert isinstance(known, float)
        assert abs(value - known) <= deadband + 1e-9 * max(abs(value), deadband)


def test_each_silence_is_its_own() -> None:
    lane = Lane("oven", {}, [Sampled("a", silence_ms=100), Sampled("b", silence_ms=100)])
    assert lane.sift([1, 2], 0) == {"a": 1, "b": 2}
    assert lane.sift([1, 3], 60) == {"b": 3}
    assert lane.sift([1, 3], 100) == {"a": 1}
    assert lane.sift([1, 3], 160) == {"b": 3}


def test_a_percentage_is_of_what_was_last_kept() -> None:
    lane = Lane("oven", {}, [Sampled("flow", 10.0, True)])
    assert lane.sift([100.0], 1) == {"flow": 100.0}
    assert lane.sift([109.0], 2) == {}
    assert lane.sift([111.0], 3) == {"flow": 111.0}
    assert lane.sift([121.0], 4) == {}


def test_a_value_that_does_not_move_is_kept_after_its_longest_silence() -> None:
    lane = Lane("oven", {}, [Sampled("a", silence_ms=100), Sampled("b", silence_ms=1000)])
    assert lane.sift([1, 2], 0) == {"a": 1, "b": 2}
    assert lane.sift([1, 2], 99) == {}
    assert lane.sift([1, 2], 100) == {"a": 1}
    assert lane.sift([1, 3], 150) == {"b": 3}
    assert lane.sift([1, 3], 200) == {"a": 1}
    assert lane.sift([1, 3], 1150) == {"a": 1, "b": 3}


@pytest.mark.parametrize("deadband", [0.0, 0.5])
def test_what_was_bad_is_news_when_it_is_a_number_again(deadband: float) -> None:
    bad = {"a": "unit 4 is lost"}
    lane = Lane("oven", bad, [Sampled("a", deadband), Sampled("b", deadband)])
    assert lane.sift([1, 2], 0) == {"a": 1, "b": 2}
    assert bad == {}
    bad["a"] = "unit 4 is lost"
    assert lane.sift([1, 2], 1) == {"a": 1}
    assert lane.sift([1, 2], 2) == {}


# --- one by one -----------------------------------------------------------------------------------

VALUE = NUMBER | st.sampled_from(["on", "off", "", float("nan"), None, NoValue("lost"), NoValue("gone")])


@st.composite
def heard(draw: st.DrawFn) -> tuple[Sampled, list[tuple[int, Value | NoValue]]]:
    signal = Sampled("s", draw(st.sampled_from([0.0, 1.0, 250.0])), draw(st.booleans()), 100)
    now_ms, found = 0, list[tuple[int, Value | NoValue]]()
    for value in draw(st.lists(VALUE, max_size=20)):
        now_ms += draw(st.integers(0, 60))
        found.append((now_ms, value))
    return signal, found


@given(heard())
def test_a_signal_that_comes_by_itself_is_kept_by_the_rules_of_the_page(
    given: tuple[Sampled, list[tuple[int, Value | NoValue]]],
) -> None:
    signal, bad = given[0], dict[str, str]()
    single = Single("oven", signal, bad)
    kept: list[tuple[int, Value]] = []
    why = ""
    for now_ms, value in given[1]:
        word = single.hears(value, now_ms)
        if value is None or isinstance(value, NoValue) or value != value:
            reason = value.why if isinstance(value, NoValue) else "no value" if value is None else "no number"
            assert word is (Word.NOTHING if reason == why else Word.FAULT)
            why = reason
            assert single.why == why
            continue
        was_bad, why = why, ""
        assert bad == {}
        moved = (
            not kept or was_bad or type(value) is not type(kept[-1][1]) or _moved(value, kept[-1][1], signal)
        )
        silent = bool(kept) and now_ms - kept[-1][0] >= signal.silence_ms
        assert word is (Word.NEWS if moved else Word.SILENCE if silent else Word.NOTHING)
        if moved or silent:
            kept.append((now_ms, value))


def _moved(value: Value, last: Value, signal: Sampled) -> bool:
    if type(value) is not type(last):
        return True
    if isinstance(value, int | float) and isinstance(last, int | float):
        return abs(value - last) > signal.width(last)
    return value != last


@pytest.mark.parametrize(
    ("why", "said"), [("", "no value"), ("\ud800", "no value"), ("x" * 5000, "x" * LONGEST_TEXT)]
)
def test_a_reason_can_always_be_written(why: str, said: str) -> None:
    single = Single("oven", Sampled("a"), {})
    assert single.hears(NoValue(why), 0) is Word.FAULT
    assert single.why == said


def test_a_value_within_the_deadband_is_no_news_if_no_json_can_hold_it() -> None:
    single = Single("oven", Sampled("a", 10.0, silence_ms=100), {})
    assert single.hears(2**64 - 1, 0) is Word.NEWS
    assert single.hears(2**64 + 1, 50) is Word.NOTHING
    assert single.hears(2**64 + 1, 100) is Word.FAULT
