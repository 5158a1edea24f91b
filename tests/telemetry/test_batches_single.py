"""Batches of values that come one at a time."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.batches import Batch, TelemetryTable, unpack
from edge.observation import Missed, Quality, Stamp
from edge.sifting import Change, NoValue, Sampled
from edge.telemetry import Telemetry, signal_of
from tests.telemetry.batches_support import BOOT, moment, opened, seen, telemetry

NOW_MS = 1_000_000


def changed(of: Telemetry, names: str, changes: Sequence[Change], ms: int = 0) -> None:
    """Of signals `a`, `b`, ... of the table `oven`, received together."""
    channel = of.channel([signal_of("oven", name) for name in names])
    of.changes(channel, changes, moment(ms))


def told(of: Telemetry) -> list[tuple[str, list[dict[str, Any]]]]:
    """Whose clock and which frames, of everything that waits; times since the beginning."""
    return [
        (one.stamp, [frame | {"at": frame["at"] - NOW_MS} for frame in opened(one)["frames"]])
        for one in of.take()
    ]


def test_changes_of_one_moment_share_its_frame() -> None:
    oven = telemetry("a", "b")
    changed(oven, "ab", [(0, 1, 20), (1, 2.5, 20), (0, 2, 10)])
    assert told(oven) == [
        ("source", [{"at": -20, "values": {"a": 1, "b": 2.5}}, {"at": -10, "values": {"a": 2}}])
    ]


def test_changes_of_two_tables_go_to_two_batches() -> None:
    two = Telemetry([TelemetryTable(name, "", {"a": Sampled("a")}) for name in ("x", "y")], BOOT)
    channel = two.channel([signal_of("y", "a"), signal_of("x", "a")])
    two.changes(channel, [(0, 1, 0), (1, 2, 0), (0, 3, None)], moment(0))
    found = [(one.name, one.stamp, opened(one)["frames"][0]["values"]) for one in two.take()]
    assert sorted(found) == [
        ("x", "source", {"a": 2}), ("y", "receipt", {"a": 3}), ("y", "source", {"a": 1}),
    ]  # fmt: skip


def test_changes_that_no_device_dates_are_in_a_batch_of_their_own() -> None:
    """Not in one for each of them, however they are mixed."""
    oven = telemetry("a", "b", "c")
    day_ms = 86_400_000
    changed(oven, "abc", [(0, 1, None), (1, 1, 7), (2, 1, day_ms), (1, 2, 6), (0, 2, 5)])
    assert told(oven) == [
        ("source", [{"at": -7, "values": {"b": 1}}, {"at": -6, "values": {"b": 2}}]),
        ("receipt", [{"at": 0, "values": {"a": 1, "c": 1}}]),
        ("receipt", [{"at": 0, "values": {"a": 2}}]),
    ]


def test_changes_in_one_millisecond_are_in_as_many_batches_as_a_signal_has_of_them() -> None:
    """A server without times sends ten of each of a thousand at once: ten batches, not ten thousand."""
    names = "abcdefgh"
    oven = telemetry(*names)
    changed(oven, names, [(place, number, None) for place in range(8) for number in range(10)])
    batches = told(oven)
    assert len(batches) == 10
    assert [frames for _, frames in batches] == [
        [{"at": 0, "values": dict.fromkeys(names, number)}] for number in range(10)
    ]


def test_why_there_is_no_change_is_said_once_and_its_end() -> None:
    oven = telemetry("a", "b")
    lost = NoValue("BadNoCommunication")
    changed(oven, "ab", [(0, 1, 1), (0, lost, 0), (1, float("nan"), 0)])
    changed(oven, "ab", [(0, lost, None), (1, None, 0)], 5)
    changed(oven, "ab", [(0, 1, 0), (1, "x", 0)], 9)
    assert told(oven) == [
        ("source", [
            {"at": -1, "values": {"a": 1}},
            {"at": 0, "bad": {"a": "BadNoCommunication", "b": "no number"}},
            {"at": 5, "bad": {"b": "no value"}},
            {"at": 9, "values": {"a": 1, "b": "x"}},
        ])
    ]  # fmt: skip
    [word] = oven.unread(Batch("oven", "", 0, NOW_MS + 9, 9, BOOT, Stamp.RECEIPT, b"", 0))
    assert isinstance(word.value, Missed)
    assert (word.value.since_ms, word.value.until_ms) == (NOW_MS, NOW_MS + 9)
    assert word.value.detail == "1 signal: BadNoCommunication"


def test_one_memory_for_both_ways() -> None:
    """What was said one way is known when it is said the other way."""
    oven = telemetry("a")
    changed(oven, "a", [(0, 1, None)])
    oven.observe(seen("a", 1, 1))
    oven.observe(seen("a", 2, 2))
    changed(oven, "a", [(0, 2, None), (0, 1, None)], 3)
    oven.observe(seen("a", None, 4, Quality.BAD, "lost"))
    changed(oven, "a", [(0, 1, None)], 5)
    assert [frames for _, frames in told(oven)] == [[
        {"at": 0, "values": {"a": 1}}, {"at": 2, "values": {"a": 2}}, {"at": 3, "values": {"a": 1}},
        {"at": 4, "bad": {"a": "lost"}}, {"at": 5, "values": {"a": 1}},
    ]]  # fmt: skip


def test_a_change_that_is_none_wakes_nobody() -> None:
    oven, woken = telemetry("a"), list[int]()
    changed(oven, "a", [(0, 1, None)])
    oven.take()
    oven.on_waiting = lambda: woken.append(1)
    changed(oven, "a", [(0, 1, 0), (0, 1, None)], 1)
    assert (woken, oven.take()) == ([], [])
    changed(oven, "a", [(0, 1, 0)], 600_000)
    assert woken == [1]
    assert told(oven) == [("receipt", [{"at": 600_000, "values": {"a": 1}}])], "the time of the last move"


def test_a_batch_of_changes_is_no_larger_than_a_broker_takes() -> None:
    """The worst are those with a frame for each."""
    oven = telemetry("signal_0001")
    channel = oven.channel([signal_of("oven", "signal_0001")])
    oven.changes(channel, [(0, number * 1.01, 20_000 - number) for number in range(20_000)], moment(0))
    batches = oven.take()
    assert sum(one.values for one in batches) == 20_000
    assert max(len(unpack(one.name, one.body())) for one in batches) < 65_536 * 5 // 4


VALUES = st.integers(0, 4) | st.sampled_from(["x", NoValue("lost")])


def calls_of(ages: st.SearchStrategy[int | None]) -> st.SearchStrategy[list[list[Change]]]:
    return st.lists(st.lists(st.tuples(st.integers(0, 2), VALUES, ages), max_size=12), max_size=5)


def news_of(calls: list[list[Change]]) -> dict[str, list[object]]:
    expected: dict[str, list[object]] = {"a": [], "b": [], "c": []}
    for place, value, _ in (change for changes in calls for change in changes):
        said = expected["abc"[place]]
        if not said or said[-1] != value:
            said.append(value)
    return expected


def out_of(calls: list[list[Change]]) -> dict[str, list[object]]:
    """What each signal says in the records, one after the other."""
    oven, found = telemetry("a", "b", "c"), {name: list[object]() for name in "abc"}
    for ms, changes in enumerate(calls):
        changed(oven, "abc", changes, ms)
    for _, frames_of in told(oven):
        times = [frame["at"] for frame in frames_of]
        assert times == sorted(set(times)), "no two points of a record have one time"
        for frame in frames_of:
            for name, value in frame.get("values", {}).items():
                found[name].append(value)
            for name, why in frame.get("bad", {}).items():
                found[name].append(NoValue(why))
    return found


@given(calls_of(st.sampled_from([0, None])))
def test_no_value_overtakes_another_of_its_signal(calls: list[list[Change]]) -> None:
    assert out_of(calls) == news_of(calls)


@given(calls_of(st.none() | st.integers(-3, 3)))
def test_whatever_the_devices_clock_says_nothing_is_missing(calls: list[list[Change]]) -> None:
    found, expected = out_of(calls), news_of(calls)
    for name in "abc":
        assert sorted(map(repr, found[name])) == sorted(map(repr, expected[name]))
