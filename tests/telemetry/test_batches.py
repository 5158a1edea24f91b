"""Samples in, batches out: frames, bounds, and what is counted where the journal takes nothing."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.batches import MOST_IN_BATCH, Batch, Moment, TelemetryTable, pack, unpack
from edge.observation import AGENT, Missed, Observation, Quality, Stamp, Value
from edge.sifting import LONGEST_TEXT, Change, Sampled
from edge.telemetry import CAPACITY, DROPPED, MOST_AT_ONCE, Telemetry, signal_of
from tests.telemetry.batches_support import BOOT, frames, moment, opened, seen, telemetry

# --- frames -------------------------------------------------------------------------------------


def test_a_batch_has_a_frame_for_each_moment() -> None:
    oven = telemetry("a", "b")
    lane = oven.lane([signal_of("oven", "a"), signal_of("oven", "b")])
    oven.sample(lane, [1, 2.0], moment(0))
    oven.sample(lane, [1, 2.5], moment(100))
    [batch] = oven.take()
    assert (batch.name, batch.station, batch.boot, batch.values) == ("oven", "press", BOOT, 3)
    assert (batch.at_ms, batch.seen_ms, batch.mono_ms) == (1_000_000, 1_000_100, 100)
    assert opened(batch) == {
        "name": "oven",
        "frames": [{"at": 1_000_000, "values": {"a": 1, "b": 2.0}}, {"at": 1_000_100, "values": {"b": 2.5}}],
    }


def test_what_is_no_news_makes_no_batch() -> None:
    oven, woken = telemetry("a"), list[int]()
    lane = oven.lane([signal_of("oven", "a")])
    oven.sample(lane, [1], moment(0))
    oven.take()
    oven.on_waiting = lambda: woken.append(1)
    oven.sample(lane, [1], moment(1))
    assert oven.observe(seen("a", 1, 2))  # the first that comes by itself
    assert woken == [1]
    oven.take()
    assert oven.observe(seen("a", 1, 3))
    assert (woken, oven.take()) == ([1], [])


def test_lanes_of_one_moment_share_its_frame() -> None:
    oven = telemetry("a", "b")
    for name, value in (("a", 1), ("b", 2)):
        oven.sample(oven.lane([signal_of("oven", name)]), [value], moment(5))
    assert frames(oven) == [(5, {"a": 1, "b": 2})]


def test_a_signal_of_two_lanes_is_in_no_frame_twice() -> None:
    oven = telemetry("a", "b", "c")
    signals = [signal_of("oven", name) for name in ("a", "b", "c")]
    one, other = oven.lane(signals[:2]), oven.lane(signals[1:])
    oven.sample(one, [1, 2], moment(5))
    oven.sample(other, [3, 4], moment(5))
    oven.observe(seen("a", 7, 5))
    oven.observe(seen("b", 8, 5))
    assert frames(oven) == [(5, {"a": 1, "b": 2}), (5, {"b": 3, "c": 4, "a": 7}), (5, {"b": 8})]


def test_a_lane_and_what_came_by_itself_share_a_frame() -> None:
    oven = telemetry("a", "b")
    oven.observe(seen("b", 2, 5))
    oven.sample(oven.lane([signal_of("oven", "a")]), [1], moment(5))
    oven.sample(oven.lane([signal_of("oven", "b")]), [3], moment(5))
    [first, second] = oven.take()
    assert opened(first)["frames"] == [{"at": 1_000_005, "values": {"a": 1, "b": 2}}]
    assert (first.values, second.values) == (2, 1)


def test_a_signal_that_speaks_twice_in_a_millisecond_begins_a_batch() -> None:
    """The points of one record must differ in time."""
    oven = telemetry("a")
    for value in (1, 2):
        oven.observe(seen("a", value, 5))
    oven.observe(seen("a", 3, 4))
    oven.observe(seen("a", 4, 5))
    batches = oven.take()
    times = [[frame["at"] - 1_000_000 for frame in opened(one)["frames"]] for one in batches]
    assert times == [[5], [4, 5], [5]]


def test_frames_ascend_whatever_the_devices_clock_says() -> None:
    oven = telemetry("a", "b", "c")
    for name, ms in (("a", 9), ("b", 3), ("c", 6)):
        oven.observe(seen(name, 1, ms))
    [batch] = oven.take()
    assert [frame["at"] - 1_000_000 for frame in opened(batch)["frames"]] == [3, 6, 9]
    assert batch.at_ms == 1_000_003


def test_times_of_two_clocks_are_in_no_batch_together() -> None:
    oven = telemetry("a", "b")
    lane = oven.lane([signal_of("oven", "a")])
    oven.sample(lane, [1], moment(0))
    oven.sample(lane, [2], moment(1, Stamp.SOURCE))
    assert [one.stamp for one in oven.take()] == [Stamp.RECEIPT, Stamp.SOURCE]


def test_a_batch_ends_where_the_wall_clock_is_set() -> None:
    """Times that were estimated are corrected a batch at once."""
    oven = telemetry("a")
    lane = oven.lane([signal_of("oven", "a")])
    for value, step_ms in enumerate((0, 20, 3_600_000, 3_600_000, 0)):
        at = moment(value)
        wall_ms = at.seen_ms + step_ms
        oven.sample(lane, [value], Moment(wall_ms, wall_ms, at.mono_ms, Stamp.RECEIPT))
    assert [one.values for one in oven.take()] == [2, 2, 1]


def test_a_batch_is_no_larger_than_a_broker_takes() -> None:
    names = [f"s{number}" for number in range(100)]
    oven = telemetry(*names)
    lane = oven.lane([signal_of("oven", name) for name in names])
    for ms in range(100):
        oven.sample(lane, [ms] * 100, moment(ms))
    batches = oven.take()
    assert sum(one.values for one in batches) == 10_000
    assert max(one.values for one in batches) <= MOST_IN_BATCH
    assert max(len(unpack(one.name, one.body())) for one in batches) < 65_536


# --- values -------------------------------------------------------------------------------------


def test_why_there_is_no_value_is_said_once() -> None:
    oven = telemetry("a", "b")
    lane = oven.lane([signal_of("oven", "a"), signal_of("oven", "b")])
    for ms in range(3):
        oven.sample(lane, [None, 7], moment(ms), "the registers hold no number")
    oven.observe(seen("a", None, 3, Quality.BAD, "unit 4 is lost"))
    oven.observe(seen("a", None, 4, Quality.BAD, "unit 4 is lost"))
    oven.sample(lane, [1, 7], moment(5))
    [batch] = oven.take()
    assert opened(batch)["frames"] == [
        {"at": 1_000_000, "values": {"b": 7}, "bad": {"a": "the registers hold no number"}},
        {"at": 1_000_003, "bad": {"a": "unit 4 is lost"}},
        {"at": 1_000_005, "values": {"a": 1}},
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "no value"),
        (float("nan"), "no number"),
        (float("-inf"), "no number"),
        (1 << 70, "64 bits"),
        ("x" * (LONGEST_TEXT + 1), "a text of more"),
        ("\ud800", "no Unicode"),
        (Missed("cause", "subject", 1, 2), "neither a number nor a text"),
    ],
)
def test_what_cannot_be_written_is_no_value(value: Value, why: str) -> None:
    oven = telemetry("a")
    assert oven.observe(seen("a", value, 1))
    [batch] = oven.take()
    [frame] = opened(batch)["frames"]
    assert "values" not in frame
    assert why in frame["bad"]["a"]


@given(st.lists(st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.none()))
@example(["\x00", '"},{"at":', 1e300])
def test_every_value_comes_out_as_it_was_or_not_at_all(values: list[Value]) -> None:
    oven = telemetry("a")
    for ms, value in enumerate(values):
        oven.observe(seen("a", value, ms))
    known: dict[int, Any] = {ms: found["a"] for ms, found in frames(oven) if "a" in found}
    last: Value = None
    for ms, value in enumerate(values):
        last = known.get(ms, last)
        if isinstance(value, float) and value != value:
            assert ms not in known
        elif ms in known:
            assert (known[ms], type(known[ms])) == (value, type(value))


def test_a_signal_that_is_none_of_telemetrys_is_left_to_others() -> None:
    oven = telemetry("a")
    for name in ("press.total", "telemetry/oven/b", "telemetry/other/a", "telemetry/", ""):
        assert not oven.observe(Observation(name, 1, 1, 1, 1, BOOT))
    assert oven.take() == []


def test_a_value_that_is_kept_for_its_silence_has_the_time_at_which_it_was_seen() -> None:
    """A subscription gives it with the device's time of its last move, however long ago that is."""
    oven = Telemetry([TelemetryTable("oven", "", {"a": Sampled("a", 0.5, silence_ms=1000)})], BOOT)
    for ms, value in ((0, 1.0), (999, 1.4), (1000, 1.4), (1500, 1.4), (1600, 2.0)):
        at = moment(ms)
        signal = signal_of("oven", "a")
        oven.observe(Observation(signal, value, 900_000, at.seen_ms, ms, BOOT, stamp=Stamp.SOURCE))
    found = [
        (one.stamp, frame["at"], frame["values"]["a"])
        for one in oven.take()
        for frame in opened(one)["frames"]
    ]
    assert found == [
        (Stamp.SOURCE, 900_000, 1.0), (Stamp.RECEIPT, 1_001_000, 1.4), (Stamp.SOURCE, 900_000, 2.0),
    ]  # fmt: skip


# --- bounds -------------------------------------------------------------------------------------


def fill(oven: Telemetry, readings: int, after_ms: int = 0) -> None:
    """Of a hundred signals each; all of the same length."""
    lane = oven.lane([signal_of("oven", f"s{number}") for number in range(100)])
    for ms in range(after_ms, after_ms + readings):
        oven.sample(lane, [100_000 + ms] * 100, moment(ms))


def size_of(readings: int) -> int:
    """In bytes."""
    oven = telemetry(*(f"s{number}" for number in range(100)))
    fill(oven, 1)
    [batch] = oven.take()
    return readings * (len(batch.frames) + 1)


LAST = Batch("oven", "", 0, 0, 0, BOOT, Stamp.RECEIPT, b"", 0)
READINGS = CAPACITY // size_of(1)
"""So many wait at the most."""
BATCH = size_of(MOST_IN_BATCH // 100)


def test_one_commit_holds_a_part_and_the_oldest_first() -> None:
    oven = telemetry(*(f"s{number}" for number in range(100)))
    fill(oven, 2 * MOST_AT_ONCE // size_of(1))
    first, rest = oven.take(), oven.take()
    assert MOST_AT_ONCE <= sum(len(one.frames) for one in first) < MOST_AT_ONCE + BATCH
    assert first[-1].at_ms < rest[0].at_ms
    assert oven.take() == []


def test_what_was_not_written_is_given_again_in_its_order() -> None:
    oven = telemetry("a")
    oven.observe(seen("a", 1, 1))
    taken = oven.take()
    oven.observe(seen("a", 2, 2))
    oven.put_back(taken)
    assert frames(oven) == [(1, {"a": 1}), (2, {"a": 2})]


def test_the_oldest_are_dropped_counted_and_told() -> None:
    oven = telemetry(*(f"s{number}" for number in range(100)))
    sent = READINGS + 200
    fill(oven, sent // 2)
    oven.put_back(oven.take())
    fill(oven, sent - sent // 2, after_ms=sent // 2)
    batches: list[Batch] = []
    while taken := oven.take():
        batches += taken
    lost = sent * 100 - sum(one.values for one in batches)
    assert CAPACITY - BATCH <= sum(len(one.frames) for one in batches) <= CAPACITY
    assert 0 < lost <= 200 * 100 + MOST_IN_BATCH
    assert [opened(one).get("lost", 0) for one in batches] == [lost, *[0] * (len(batches) - 1)]
    [loss] = oven.losses(batches[-1])
    assert (loss.signal, loss.boot, loss.mono_ms) == (AGENT, BOOT, batches[-1].mono_ms)
    assert isinstance(loss.value, Missed)
    assert (loss.value.cause, loss.value.subject) == (DROPPED, "telemetry/oven")
    assert loss.value.records == lost
    assert 1_000_000 <= loss.value.since_ms <= loss.value.until_ms < batches[0].at_ms
    assert oven.losses(batches[-1]) == []


def test_single_values_and_texts_are_bounded_by_their_bytes_too() -> None:
    oven = telemetry("a", "b")
    channel = oven.channel([signal_of("oven", "a"), signal_of("oven", "b")])
    sent = 0
    while not oven.losses(LAST):
        number = sent + 1
        text = f"{number:0{LONGEST_TEXT}}"
        changes: list[Change] = [(0, number + place, place) for place in range(5_000)]
        oven.changes(channel, [*changes, (1, text, None)], moment(number))
        sent += len(changes) + 1
        oven.put_back(oven.take())
    waiting = 0
    while taken := oven.take():
        waiting += sum(len(one.frames) for one in taken)
        assert max(len(unpack(one.name, one.body())) for one in taken) < 2 * 65_536
    assert CAPACITY - 65_536 <= waiting <= CAPACITY


# --- as the journal keeps it ----------------------------------------------------------------------


@given(st.lists(st.dictionaries(st.text(), st.integers())), st.integers(0, 2**40))
def test_what_is_packed_comes_back(given: list[dict[str, int]], lost: int) -> None:
    encoded = [json.dumps({"at": 1, "values": values}).encode() for values in given]
    found = json.loads(unpack("oven", pack("oven", encoded, lost)))
    expected = {"name": "oven", "frames": [json.loads(one) for one in encoded]}
    assert found == expected | ({"lost": lost} if lost else {})


@given(st.binary())
def test_a_damaged_batch_says_so(body: bytes) -> None:
    found = json.loads(unpack("oven", body))
    assert found["frames"] == []
    assert "cannot be read" in found["fault"]
