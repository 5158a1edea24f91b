"""What a Modbus device says of itself: where it is written, when it is asked, and what is handed over."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from adapters._modbus.device import watches
from edge.contract import Quality, Value
from edge.observation import DeviceWord
from tests.adapters.modbus_watch import HEARTBEAT, SERIAL, SIGNALS, WHOLE, Bench, device, known

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
            was_out_of_sight=True,
        )
    ]  # fmt: skip
    assert bench.words() == []
    assert not bench.watch.is_anew


def test_a_counter_that_goes_back_is_believed_after_a_look() -> None:
    bench = known()
    assert not bench.watch.must_look(bench.seen(501))
    assert bench.watch.must_look(bench.seen(3))
    assert bench.watch.must_look(bench.seen(4)), "the look got no answer"
    bench.take(5.0, serial="A-1", uptime=2)
    assert not bench.watch.must_look(bench.seen(4))
    [word] = bench.words()
    assert (word.uptime_ms, word.was_out_of_sight) == (2_000, False)
    assert bench.watch.is_anew


def test_the_first_word_after_an_answer_that_did_not_come_says_so_and_no_other() -> None:
    bench = known()
    bench.watch.doubt()
    bench.take(5.0, serial="A-1", uptime=105)
    assert [one.was_out_of_sight for one in bench.words()] == [True]
    bench.take(70.0, serial="A-1", uptime=170)
    assert [one.was_out_of_sight for one in bench.words()] == [False]


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
