"""A device that answers while its program stands still: what its heartbeat says, and what follows."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.modbus_watch import HEARTBEAT, Bench, known


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
