"""What a Modbus device says of itself: where it is written, when it is asked, and what is handed over."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._modbus.address import Address
from adapters._modbus.device import Device, Watch, watches
from edge.contract import Observation, Quality, Signal, Value
from edge.observation import DEVICE, DeviceWord
from tests.support.intake import MemoryIntake

SERIAL = {"holding": 10, "as": "text", "length": 8}
UPTIME = {"holding": 20, "as": "u32", "order": "CDAB"}
HEARTBEAT = {"coil": 3, "within": "10s"}
WHOLE = {"serial": SERIAL, "uptime": UPTIME, "heartbeat": HEARTBEAT}
EVERY = timedelta(seconds=1)
SIGNALS = [
    Signal(name, Address.model_validate({"unit": 3, "holding": place, "as": "u16"}), EVERY, table)
    for place, (name, table) in enumerate(
        [("press.total", ""), ("press.reject", ""), ("press.state", ""), ("heat/t1", "heat")]
    )
]


def device(**keys: Any) -> Device:
    return Device.model_validate(keys)


class Bench:
    """A watch, and what it is told."""

    def __init__(self, **keys: Any) -> None:
        self.watch = Watch("bus-1", 3, device(**keys), SIGNALS)
        self.intake = MemoryIntake("bus-1")

    def take(self, at_s: float, **values: Value) -> None:
        for role, value in values.items():
            self.watch.take(f"bus-1 unit 3 {role}", value, at_s)

    def seen(self, total: Value, quality: Quality = Quality.GOOD) -> list[Observation]:
        return [self.intake.observe("press.total", total, quality=quality)]

    def words(self) -> list[DeviceWord]:
        found = self.watch.words(self.intake)
        assert all(one.signal == DEVICE for one in found)
        return [one.value for one in found if isinstance(one.value, DeviceWord)]


# --- keys -----------------------------------------------------------------------------------------


def test_what_is_read_of_a_device_is_of_its_unit_and_has_periods_of_its_own() -> None:
    found = {one.name: one for one in device(**WHOLE, identity_every="7s").signals("bus-1", 3)}
    assert list(found) == ["bus-1 unit 3 serial", "bus-1 unit 3 uptime", "bus-1 unit 3 heartbeat"]
    assert {one.address.unit for one in found.values()} == {3}
    assert found["bus-1 unit 3 serial"].every == timedelta(seconds=7)
    assert timedelta(seconds=2) < found["bus-1 unit 3 heartbeat"].every < timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"serial": SERIAL | {"unit": 4}}, "leave out unit"),
        ({"serial": {"holding": 1, "as": "f32", "words": "big"}}, "a serial number is one of"),
        ({"serial": {"coil": 1}}, "a serial number is one of"),
        ({"uptime": {"holding": 1, "as": "i32", "words": "big"}}, "an uptime is one of"),
        ({"uptime": {"holding": 1, "as": "u16", "scale": 0.1}}, "without scale"),
        ({"uptime": {"holding": 1, "as": "u16", "tick": "1.5ms"}}, "whole milliseconds"),
        ({"uptime": {"holding": 1}}, "say what the register holds"),
        ({"heartbeat": {"holding": 1, "as": "u16", "count": 4}}, "leave out count"),
        ({"heartbeat": {"holding": 1, "as": "u16", "within": 10}}, "within"),
        ({"heartbeat": {"coil": 1, "within": "5s", "every": "2s"}}, "within is 3 times every"),
        ({"heartbeats": HEARTBEAT}, "heartbeats"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        device(**keys)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("keys", "turns_ms"),
    [
        ({"as": "u16"}, 65_536_000),
        ({"as": "u16", "tick": "10ms"}, 655_360),
        ({"as": "u32", "words": "big", "tick": "1ms"}, 1 << 32),
        ({"as": "bcd16", "tick": "1m"}, 600_000_000),
        ({"as": "u64", "words": "big"}, 0),
    ],
)
def test_an_uptime_turns_over_where_its_registers_end(keys: dict[str, Any], turns_ms: int) -> None:
    bench = Bench(uptime={"holding": 20, **keys})
    bench.take(0.0, uptime=7)
    [word] = bench.words()
    assert word.turns_ms == turns_ms
    assert word.uptime_ms == 7 * word.tick_ms


def test_only_units_that_say_anything_and_have_signals_are_watched() -> None:
    units = {"3": device(**WHOLE), "4": device(), "5": device(**WHOLE)}
    found = watches(units, SIGNALS, "bus-1")
    assert list(found) == [3]
    assert found[3].identity == {"bus-1 unit 3 serial", "bus-1 unit 3 uptime"}


# --- when it is asked -----------------------------------------------------------------------------


def test_nothing_is_handed_over_before_the_device_has_said_who_it_is() -> None:
    bench = Bench(**WHOLE)
    assert bench.watch.must_look(bench.seen(5))
    bench.take(1.0, serial="A-1")
    assert bench.watch.must_look(bench.seen(5))
    assert bench.words() == []
    bench.take(1.0, uptime=100)
    assert not bench.watch.must_look(bench.seen(5))
    assert bench.words() == [
        DeviceWord(
            "bus-1 unit 3", ("press.total", "press.reject", "press.state"), "A-1", 100_000, 1_000,
            (1 << 32) * 1_000,
            "unit 3 holding 10 text length 8, unit 3 holding 20 u32 words little tick 1000 ms",
        )
    ]  # fmt: skip
    assert bench.words() == []
    assert not bench.watch.is_anew


def known(**keys: Any) -> Bench:
    """One that has said who it is."""
    bench = Bench(**(keys or WHOLE))
    bench.take(0.0, serial="A-1", uptime=100, heartbeat=True)
    bench.words()
    bench.watch.must_look(bench.seen(500))
    return bench


def test_a_counter_that_goes_back_is_believed_after_a_look() -> None:
    bench = known()
    assert not bench.watch.must_look(bench.seen(501))
    assert bench.watch.must_look(bench.seen(3))
    assert bench.watch.must_look(bench.seen(4)), "the look got no answer"
    bench.take(5.0, serial="A-1", uptime=2)
    assert not bench.watch.must_look(bench.seen(4))
    [word] = bench.words()
    assert word.uptime_ms == 2_000
    assert bench.watch.is_anew


@pytest.mark.parametrize("value", [None, "text", 2.5, True])
def test_what_is_no_count_does_not_go_back(value: Value) -> None:
    bench = known()
    assert not bench.watch.must_look(bench.seen(value))
    assert not bench.watch.must_look(bench.seen(0, Quality.BAD))
    assert not bench.watch.must_look([bench.intake.observe("press.state", 9)])
    assert not bench.watch.must_look([bench.intake.observe("press.state", 1)])
    assert not bench.watch.must_look(bench.seen(500))


def test_a_doubt_lasts_until_the_device_has_spoken_though_it_says_nothing() -> None:
    bench = known()
    bench.watch.doubt()
    assert bench.watch.must_look([])
    bench.take(9.0, serial=None, uptime=None)
    assert not bench.watch.must_look([])
    [word] = bench.words()
    assert (word.serial, word.uptime_ms) == ("A-1", None)


def test_what_could_not_be_read_at_a_poll_ends_no_doubt() -> None:
    """A device that begins anew is busy at first: that says nothing of who it is."""
    bench = known()
    bench.watch.doubt()
    for role in ("serial", "uptime"):
        bench.watch.missing(f"bus-1 unit 3 {role}", 9.0)
    assert bench.watch.must_look(bench.seen(501))
    assert bench.words() == []
    bench.take(10.0, serial="A-1", uptime=104)
    assert [one.uptime_ms for one in bench.words()] == [104_000]


def test_an_uptime_that_cannot_be_read_any_more_is_none() -> None:
    bench = known()
    bench.watch.missing("bus-1 unit 3 uptime", 9.0)
    bench.take(70.0, serial="A-1")
    assert [one.uptime_ms for one in bench.words()] == [None]


def test_a_second_restart_soon_after_the_first_is_told_though_the_uptime_is_higher() -> None:
    """Nobody missed an answer, and the uptime was read just after the first one."""
    bench = known()
    bench.take(200.0, serial="A-1", uptime=0)
    assert len(bench.words()) == 1
    bench.take(210.0, serial="A-1", uptime=10)
    assert bench.words() == []
    bench.take(230.0, serial="A-1", uptime=15)
    assert [one.uptime_ms for one in bench.words()] == [15_000]


def test_who_a_unit_is_that_has_said_so_before_is_asked_more_patiently() -> None:
    bench = known()
    answers = []
    for _ in range(40):
        bench.watch.doubt()
        answers.append(bench.watch.must_look(bench.seen(501)))
    assert answers == [True] * 30 + [False] * 10


def test_a_unit_that_says_its_number_and_never_its_uptime_counts_in_the_end() -> None:
    bench = known()
    answers = []
    for _ in range(40):
        bench.watch.doubt()
        answers.append(bench.watch.must_look(bench.seen(501)))
        bench.take(90.0, serial="A-1")
    assert answers == [True] * 30 + [False] * 10


def test_another_device_is_told_of_when_all_of_it_is_known() -> None:
    """Its number beside the uptime of the one before would be a second restart."""
    bench = known()
    bench.watch.doubt()
    bench.take(90.0, serial="A-2")
    assert bench.words() == []
    bench.take(90.0, uptime=7)
    assert [(one.serial, one.uptime_ms) for one in bench.words()] == [("A-2", 7_000)]


def test_a_unit_that_never_answers_who_it_is_counts_without_after_three_looks() -> None:
    bench = Bench(**WHOLE)
    answers = []
    for _ in range(5):
        answers.append(bench.watch.must_look(bench.seen(5)))
        bench.watch.doubt()
    assert answers == [True, True, True, False, False]
    assert bench.words() == []
    bench.take(9.0, serial="A-1")
    assert bench.watch.must_look(bench.seen(5)), "it answers after all"


def test_what_never_says_anything_is_not_told_of() -> None:
    bench = Bench(serial=SERIAL)
    bench.take(0.0, serial=None)
    assert not bench.watch.must_look(bench.seen(1))
    assert bench.words() == []


@pytest.mark.parametrize("nothing", ["", "   ", "0", "00000000", 0, None, True])
def test_no_number_is_no_serial_number(nothing: Value) -> None:
    bench = known()
    bench.take(5.0, serial=nothing)
    assert bench.words() == []


def test_another_number_and_an_uptime_that_goes_back_are_told_at_once() -> None:
    bench = known()
    bench.take(10.0, serial="A-1", uptime=110)
    assert bench.words() == []
    bench.take(20.0, serial="A-2", uptime=120)
    assert [(one.serial, one.uptime_ms) for one in bench.words()] == [("A-2", 120_000)]
    assert bench.watch.is_anew
    bench.take(30.0, serial="A-2", uptime=4)
    assert [(one.serial, one.uptime_ms) for one in bench.words()] == [("A-2", 4_000)]
    assert bench.watch.is_anew


def test_an_uptime_that_could_not_be_read_for_a_while_goes_back_all_the_same() -> None:
    bench = known()
    bench.take(10.0, uptime=None)
    bench.take(20.0, uptime=5)
    assert [one.uptime_ms for one in bench.words()] == [5_000]
    assert bench.watch.is_anew


def test_what_nothing_can_have_run_for_is_no_uptime() -> None:
    bench = Bench(serial=SERIAL, uptime={"holding": 20, "as": "u64", "words": "big"})
    bench.take(0.0, serial="A-1", uptime=(1 << 64) - 1)
    [word] = bench.words()
    assert word.uptime_ms is None


def test_what_goes_on_is_told_once_a_minute() -> None:
    bench = known()
    told = 0
    for at_s in range(10, 601, 10):
        bench.take(float(at_s), serial="A-1", uptime=100 + at_s)
        told += len(bench.words())
        assert not bench.watch.is_anew
    assert told == 10


def test_a_unit_with_only_a_heartbeat_is_asked_nothing_else() -> None:
    bench = Bench(heartbeat=HEARTBEAT)
    assert bench.watch.identity == frozenset()
    assert not bench.watch.must_look(bench.seen(5))
    assert not bench.watch.must_look(bench.seen(1))
    assert bench.words() == []


# --- the heartbeat --------------------------------------------------------------------------------


def test_a_heart_that_stands_still_makes_every_value_bad_until_it_beats() -> None:
    bench = Bench(heartbeat={"holding": 22, "as": "u16", "within": "10s"})
    for at_s in (0.0, 2.5, 5.0, 7.5):
        bench.take(at_s, heartbeat=7)
        assert bench.watch.standstill(at_s) == ""
    bench.take(10.0, heartbeat=7)
    words = bench.watch.standstill(10.0)
    assert words == (
        "unit 3 answers, but its heartbeat (holding 22) has not changed for 10 s: its program stands still"
    )
    bench.take(12.5, heartbeat=8)
    assert bench.watch.standstill(12.5) == ""


def test_a_device_whose_heart_beats_again_says_first_who_it_is() -> None:
    """A controller that stood still is often one that is being started: what it said then nobody heard."""
    bench = known()
    for at_s in (2.5, 5.0, 7.5, 10.0):
        bench.take(at_s, heartbeat=True)
    bench.take(11.0, serial="A-1", uptime=3)
    bench.words()
    assert bench.watch.standstill(11.0)
    bench.take(12.5, heartbeat=False)
    assert bench.watch.must_look(bench.seen(12))
    bench.take(12.6, serial="A-1", uptime=4)
    assert [one.uptime_ms for one in bench.words()] == [4_000]


def test_a_heart_that_nobody_looked_at_may_have_beaten() -> None:
    """The line was away for an hour: the same value then says nothing."""
    bench = Bench(heartbeat={"holding": 22, "as": "u16", "within": "10s"})
    bench.take(0.0, heartbeat=7)
    bench.take(3600.0, heartbeat=7)
    assert bench.watch.standstill(3600.0) == ""


def test_a_heart_that_cannot_be_read_is_one_that_does_not_beat() -> None:
    bench = Bench(heartbeat={"holding": 22, "as": "u16", "within": "10s"})
    for at_s in (0.0, 2.5, 5.0, 7.5, 10.0):
        bench.take(at_s, heartbeat=None)
    assert bench.watch.standstill(10.0)


def blinks(bench: Bench, half_ms: int, since_ms: int) -> None:
    """No look finds that it stands still."""
    [signal] = bench.watch.signals
    every_ms = signal.every // timedelta(milliseconds=1)
    for look in range(40):
        at_ms = look * every_ms
        bench.take(at_ms / 1000, heartbeat=(since_ms + at_ms) // half_ms % 2 == 1)
        assert bench.watch.standstill(at_ms / 1000) == ""


@given(st.integers(3, 60), st.floats(1, 3.5), st.integers(0, 100_000))
def test_a_bit_that_blinks_slower_than_it_is_read_is_seen_to_blink(
    within_s: int, slower: float, since_ms: int
) -> None:
    bench = Bench(heartbeat={"coil": 3, "within": f"{within_s}s"})
    [signal] = bench.watch.signals
    half_ms = int(signal.every / timedelta(milliseconds=1) * slower) + 1
    blinks(bench, half_ms, since_ms)


@pytest.mark.parametrize("half_ms", [50, 100, 200, 250, 400, 500, 800, 1_000])
@given(since_ms=st.integers(0, 2_000))
def test_the_clock_bits_of_controllers_are_seen_to_blink(half_ms: int, since_ms: int) -> None:
    """10, 5, 2.5, 2, 1.25, 1, 0.625 and 0.5 Hz."""
    blinks(Bench(heartbeat=HEARTBEAT), half_ms, since_ms)


def test_a_serial_number_that_keeps_changing_is_not_believed_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each change stops the counting: a place that counts up would stop it for ever."""
    bench = Bench(serial={"holding": 10, "as": "u16"})
    told = []
    for at in range(30):
        bench.take(float(at), serial=at + 1)
        told += bench.words()
    assert [one.serial for one in told] == ["1", "2", "3"]
    assert caplog.text.count("that is none") == 1
    after = Bench(serial={"holding": 10, "as": "u16"})
    after.intake = bench.intake  # the next connection
    after.take(40.0, serial=99)
    assert after.words() == []


def test_devices_that_are_swapped_in_the_course_of_a_day_are_believed() -> None:
    bench = Bench(serial={"holding": 10, "as": "u16"})
    told = []
    for at in range(6):
        bench.take(at * 3_600.0, serial=at + 1)
        told += bench.words()
    assert len(told) == 6
