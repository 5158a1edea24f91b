"""What a device says of itself, word by word: what of it is a restart, and from when to when."""

import pytest
from msgspec.structs import replace

from edge.deciding import tell
from edge.observation import DEVICE, Quality
from edge.production.counting import Kind
from edge.production.events import Count
from edge.production.losses import Gap
from edge.production.state import decode_row, device_key, encode_row
from tests.support.clock import ManualClock
from tests.support.device_plant import DEVICE_NAME, SIGNAL, a_plant
from tests.support.line import see


def test_the_loss_is_from_the_last_reading_to_the_new_begin() -> None:
    plant = a_plant(16, 65_000)
    plant.run(4_000, 1.0)
    plant.read()
    seen_ms = plant.clock.wall_ms()
    plant.run(3_000, 1.0)
    plant.restart(keeps=False)
    begun_ms = plant.clock.wall_ms()
    plant.run(9_000, 1.0)
    plant.read()
    [loss] = plant.losses
    assert (loss.since_ms, loss.until_ms) == (seen_ms, begun_ms)
    assert (loss.subject, loss.signals) == (DEVICE_NAME, (SIGNAL,))
    *_, count = plant.core.counts()
    assert (count.quality, count.produced, count.was) == (Kind.RESET, 18, 65_008)
    [gap] = [event.data for event in plant.core.events if isinstance(event.data, Gap)]
    assert (gap.recovered, gap.certain) == (18, False)


def test_a_swapped_device_stays_swapped_though_it_is_restarted_before_its_counter_is_read() -> None:
    plant = a_plant(16, 65_000)
    plant.swap(40_000)
    plant.core.see(see(plant.clock, DEVICE, plant.word()))
    plant.restart(keeps=True)
    plant.run(3_000, 0.0)
    plant.read()
    assert plant.counted == 0
    assert plant.qualities == [Kind.BASELINE, Kind.REPLACED]
    assert [one.cause for one in plant.losses] == ["device-replaced", "device-restarted"]


def test_a_swapped_device_never_gives_the_old_ones_count_back() -> None:
    """Restarted at zero, then swapped by one that shows more than the old one did: nothing was restored."""
    plant = a_plant(32, 10_000)
    plant.restart(keeps=False)
    plant.run(4_000, 0.0)
    plant.read()
    plant.swap(0)
    plant.read()
    plant.run(3_000, 0.0)
    for _ in range(3):
        plant.run(400, 0.0)
        plant.core.see(see(plant.clock, SIGNAL, 10_001))
    assert plant.counted == 0
    assert plant.qualities[-1] == Kind.IMPLAUSIBLE


def test_counters_read_since_the_restart_go_on_as_they_are() -> None:
    """The word came late: the reading that it would explain has been made already."""
    plant = a_plant(16, 65_530)
    plant.restart(keeps=True)
    plant.run(60_000, 0.0)
    plant.core.see(see(plant.clock, SIGNAL, 65_530))
    plant.run(4_000, 1.0)
    plant.read()
    assert (plant.counted, plant.qualities[-1]) == (8, Kind.ROLLOVER)


@pytest.mark.parametrize(
    "later",
    [
        {"serial": ""}, {"uptime_ms": None}, {"serial": "", "uptime_ms": None},
        {"read_from": "holding 7", "serial": "B"},
    ],
)  # fmt: skip
def test_what_a_device_does_not_say_is_no_word_of_a_restart(later: dict[str, object]) -> None:
    plant = a_plant(16, 100)
    plant.run(30_000, 0.0)
    plant.core.see(see(plant.clock, DEVICE, replace(plant.word(), **later)))
    plant.core.see(see(plant.clock, SIGNAL, 101))
    assert plant.losses == []
    assert plant.qualities == [Kind.BASELINE, Kind.LIVE]


def test_what_was_said_before_silence_is_compared_with_what_is_said_after_it() -> None:
    plant = a_plant(16, 100)
    plant.run(30_000, 0.0)
    plant.core.see(see(plant.clock, DEVICE, replace(plant.word(), serial="", uptime_ms=None)))
    plant.restart(keeps=False)
    plant.run(1_000, 0.0)
    plant.read()
    assert [one.cause for one in plant.losses] == ["device-restarted"]


def test_without_counters_the_loss_begins_when_the_device_said_so_last() -> None:
    plant = a_plant()
    word = replace(plant.word(), device="plc unit 2", signals=("nowhere.total",))
    plant.core.see(see(plant.clock, DEVICE, word))
    said_ms = plant.clock.wall_ms()
    plant.clock.pass_ms(90_000)
    plant.core.see(see(plant.clock, DEVICE, replace(word, serial="B")))
    [loss] = plant.losses
    assert (loss.since_ms, loss.until_ms, loss.signals) == (said_ms, said_ms + 90_000, ())


@pytest.mark.parametrize("value", [None, 5, "restarted"])
def test_what_is_no_word_of_a_device_is_refused(value: object) -> None:
    plant = a_plant()
    decision = plant.core.see(see(plant.clock, DEVICE, value))  # type: ignore[arg-type]
    assert decision.outcome.verdict == "refused"
    assert not decision.rows


def test_the_row_of_a_device_comes_back_as_it_was() -> None:
    plant = a_plant()
    row = plant.core.row(device_key(DEVICE_NAME))
    assert row is not None
    assert decode_row(encode_row(row)) == row


def test_a_counter_that_cannot_be_read_after_a_restart_keeps_waiting_for_it() -> None:
    plant = a_plant(16, 65_000)
    plant.restart(keeps=False)
    plant.core.see(see(plant.clock, DEVICE, plant.word()))
    plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="busy"))
    plant.run(4_000, 1.0)
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    counts = [event.data for event in plant.core.events if isinstance(event.data, Count)]
    assert (counts[-1].quality, counts[-1].produced) == (Kind.RESET, 8)


def test_an_uptime_that_went_back_by_less_than_has_passed_is_a_restart_all_the_same() -> None:
    """Another clock was put in, or it was read when the device was switched back: it did not grow."""
    plant = a_plant(16, 100)
    plant.run(30_000, 0.0)
    plant.uptime_ms = 40_000_000
    plant.read()
    assert [one.cause for one in plant.losses] == ["device-restarted"]


def test_a_reading_within_two_steps_of_the_new_begin_is_taken_for_one_before_it() -> None:
    """An uptime in minutes: nobody knows whether the reading was made just before the restart."""
    plant = a_plant(16, 100, tick_ms=60_000)
    plant.run(300_000, 0.0)
    plant.uptime_ms = 0
    plant.run(30_000, 0.0)
    plant.core.see(see(plant.clock, SIGNAL, 100))
    plant.run(40_000, 0.0)
    plant.read()
    [loss] = plant.losses
    assert loss.signals == (SIGNAL,)


def test_what_was_suspected_of_a_device_is_forgotten_when_it_restarts() -> None:
    plant = a_plant(16, 100)
    for _ in range(2):
        plant.run(400, 0.0)
        plant.core.see(see(plant.clock, SIGNAL, 50_000))
    plant.uptime_ms = 0
    plant.run(400, 0.0)
    plant.core.see(see(plant.clock, DEVICE, plant.word()))
    plant.core.see(see(plant.clock, SIGNAL, 50_000))
    assert plant.qualities == [Kind.BASELINE]


@pytest.mark.parametrize(("length", "verdict"), [(250, "accepted"), (251, "refused")])
def test_a_serial_number_is_as_long_as_one_request_holds(length: int, verdict: str) -> None:
    plant = a_plant()
    decision = plant.core.see(see(plant.clock, DEVICE, replace(plant.word(), serial="9" * length)))
    assert decision.outcome.verdict == verdict


def test_a_restart_whose_age_no_clock_tells_is_one_all_the_same() -> None:
    plant = a_plant(16, 65_500)
    plant.clock.is_synced = False
    unsynced = replace(see(plant.clock, DEVICE, replace(plant.word(), uptime_ms=0)), synced=False)
    plant.core.see(unsynced)
    plant.clock = ManualClock(plant.clock.wall_ms(), 3_000, "another boot")
    plant.core.see(replace(see(plant.clock, SIGNAL, 12), synced=False))
    assert (plant.qualities[-1], plant.counted) == (Kind.RESET, 12)


def test_who_reads_the_log_hears_of_a_restart_and_of_a_swap(caplog: pytest.LogCaptureFixture) -> None:
    plant = a_plant(16, 500, 1_000, 0)
    plant.run(60_000, 0.5)
    plant.read()
    plant.restart(keeps=False)
    plant.run(10_000, 0.5)
    plant.read()
    plant.swap(40_000)
    plant.read()
    for event in plant.core.events:
        tell(event)
    assert caplog.text.count("plc unit 1 was restarted: its uptime is") == 1
    assert caplog.text.count("plc unit 1 is another device now: its serial number is A-2, it was A-1") == 1
