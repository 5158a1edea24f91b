"""Devices that are restarted and swapped, against a slow and obvious model: what is not counted is told."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.deciding import tell
from edge.observation import AGENT, DEVICE, DeviceWord, Quality
from edge.production.counting import Kind
from edge.production.events import Count
from edge.production.line import Role
from edge.production.losses import Gap, Loss
from edge.production.state import decode_row, device_key, encode_row
from tests.support.clock import ManualClock
from tests.support.line import Core, counter, line, see, station

IDEAL_MS = 1000
FASTEST_MS = IDEAL_MS // 2
DEVICE_NAME = "plc unit 1"
SIGNAL = "press.total"


@dataclass
class Plant:
    """A device and those that take its place. `lost`: made, and gone before anybody could read it."""

    core: Core
    bits: int
    raw: int
    tick_ms: int = 1_000
    turns_ms: int = 0
    clock: ManualClock = field(default_factory=ManualClock)
    uptime_ms: int = 86_400_000
    serial: int = 1
    made: int = 0
    unseen: int = 0
    """Made since the last reading."""
    lost: int = 0

    def run(self, passed_ms: int, share: float) -> None:
        self.clock.pass_ms(passed_ms)
        self.uptime_ms += passed_ms
        parts = int(passed_ms / FASTEST_MS * share)
        self.raw += parts
        self.made += parts
        self.unseen += parts

    def restart(self, *, keeps: bool) -> None:
        """Off for some seconds."""
        self.clock.pass_ms(5_000)
        self.uptime_ms = 0
        if not keeps:
            self.raw, self.lost, self.unseen = 0, self.lost + self.unseen, 0

    def swap(self, raw: int) -> None:
        self.clock.pass_ms(60_000)
        self.serial += 1
        self.uptime_ms = 777_000
        self.raw, self.lost, self.unseen = raw, self.lost + self.unseen, 0

    def word(self) -> DeviceWord:
        uptime_ms = self.uptime_ms // self.tick_ms * self.tick_ms
        uptime_ms = uptime_ms % self.turns_ms if self.turns_ms else uptime_ms
        return DeviceWord(
            DEVICE_NAME, (SIGNAL, "press.state"), f"A-{self.serial}", uptime_ms, self.tick_ms, self.turns_ms
        )

    def read(self) -> None:
        """As an adapter does it: what the device says of itself, then its counter."""
        self.core.see(see(self.clock, DEVICE, self.word()))
        self.core.see(see(self.clock, SIGNAL, self.raw % (1 << self.bits)))
        self.unseen = 0

    def restart_the_agent(self) -> None:
        self.core.see(see(self.clock, AGENT, "start"))

    @property
    def counted(self) -> int:
        return sum(count.produced for count in self.core.counts())

    @property
    def qualities(self) -> list[str]:
        return [count.quality for count in self.core.counts()]

    @property
    def is_certain(self) -> bool:
        """What was said of the gap that was told last."""
        return [event.data.certain for event in self.core.events if isinstance(event.data, Gap)][-1]

    @property
    def losses(self) -> list[Loss]:
        return [event.data for event in self.core.events if isinstance(event.data, Loss)]


def a_plant(bits: int = 16, raw: int = 0, tick_ms: int = 1_000, turns_ms: int = 0) -> Plant:
    core = Core(line(station("press", counter("press", Role.TOTAL, bits), ideal_ms=IDEAL_MS)))
    plant = Plant(core, bits, raw, tick_ms, turns_ms)
    plant.read()
    return plant


spans = st.integers(150_000, 900_000)
"""Long beside two steps of the slowest uptime: two restarts within them are one."""
shares = st.floats(0, 1)
long_turns = st.sampled_from([(1_000, 0), (1_000, 65_536_000), (1, 1 << 32), (60_000, 0)])
turns = long_turns | st.just((10, 655_360))
"""Step and turn of an uptime in ms. Where a turn is shorter than the time between two readings, a restart can
look like none."""


@given(
    st.integers(0, 65_535), long_turns,
    st.lists(
        st.tuples(
            spans, shares, spans, shares,
            st.sampled_from(["reads", "restarts", "agent restarts", "is swapped"]),
        ),
        max_size=25,
    ),
)  # fmt: skip
def test_what_is_short_is_exactly_what_was_made_between_a_reading_and_the_end_of_a_device(
    raw: int, clock: tuple[int, int], happening: list[tuple[int, float, int, float, str]]
) -> None:
    """A device that begins at zero: its short counts are those that the ledger calls unknowable, or it says
    that a count may have begun anew."""
    plant = a_plant(16, raw, *clock)
    for passed_ms, share, since_ms, slowly, what in happening:
        shown = plant.raw % (1 << 16)
        plant.run(passed_ms, share)
        if what == "restarts":
            plant.restart(keeps=False)
        elif what == "is swapped":
            plant.swap(40_000)
            plant.read()
        elif what == "agent restarts":
            plant.restart_the_agent()
        plant.run(since_ms, slowly)
        plant.read()
        assert plant.counted <= plant.made - plant.lost
        if what == "restarts" and plant.raw >= shown:  # it has passed where it was, nobody can tell
            assert not plant.is_certain
            plant.lost = plant.made - plant.counted
        assert plant.counted == plant.made - plant.lost


@given(
    st.integers(0, 65_535), turns,
    st.lists(st.tuples(spans, shares, st.sampled_from(["reads", "restarts", "agent restarts"])), max_size=25),
)  # fmt: skip
def test_a_device_that_keeps_its_count_over_a_restart_loses_nothing_or_says_so(
    raw: int, clock: tuple[int, int], happening: list[tuple[int, float, str]]
) -> None:
    plant = a_plant(16, raw, *clock)
    for passed_ms, share, what in happening:
        plant.run(passed_ms, share)
        if what == "restarts":
            plant.restart(keeps=True)
        elif what == "agent restarts":
            plant.restart_the_agent()
        before = plant.counted
        plant.read()
        assert plant.counted <= plant.made
        if plant.counted != plant.made:  # it rolled over, and may as well have begun at zero
            assert what == "restarts" or Kind.RESET in plant.qualities
            assert plant.qualities[-1] == Kind.RESET or plant.counted == before
            plant.made = plant.counted


@given(
    turns,
    st.lists(
        st.tuples(st.integers(10, 100_000_000), st.sampled_from(["", "agent", "box"]), st.integers(-50, 50)),
        max_size=25,
    ),
)
def test_no_uptime_that_only_grows_is_taken_for_a_restart(
    clock: tuple[int, int], happening: list[tuple[int, str, int]]
) -> None:
    """However often it turns over, whatever the agent does, with a clock that is wrong by half a percent."""
    plant = a_plant(32, 0, *clock)
    for passed_ms, what, drift in happening:
        plant.run(passed_ms, 0.0)
        plant.uptime_ms += passed_ms * drift // 10_000
        if what == "box":
            plant.clock = ManualClock(plant.clock.wall_ms(), 3_000, plant.clock.boot + "'")
        if what:
            plant.restart_the_agent()
        plant.read()
    assert plant.losses == []


@given(st.integers(60_000, 80_000_000), st.integers(0, 3_600_000), st.booleans(), turns)
def test_a_restart_is_noticed_whether_anybody_looked_or_not(
    before_ms: int, since_ms: int, agent_restarts: bool, clock: tuple[int, int]
) -> None:
    plant = a_plant(32, 5_000, *clock)
    plant.run(before_ms, 0.0)
    plant.restart(keeps=True)
    if agent_restarts:
        plant.restart_the_agent()
    plant.run(since_ms, 0.0)
    plant.read()
    tick_ms, turns_ms = clock
    off_ms = (86_400_000 + before_ms + 5_000) % (turns_ms or 1 << 60)
    doubt_ms = 2 * tick_ms + 10_000 + (before_ms + since_ms) // 40
    if turns_ms and min(off_ms, turns_ms - off_ms) < doubt_ms:
        return  # its clock shows what it would have shown without a restart
    assert [one.cause for one in plant.losses] == ["device-restarted"]


@given(
    st.sampled_from([1, 10, 100, 1_000, 60_000]), st.integers(0, 200_000), st.integers(0, 20_000),
    st.integers(0, 20_000), st.integers(0, 10_000), st.integers(0, 600_000), shares, shares, st.booleans(),
)  # fmt: skip
def test_no_restart_that_matters_is_taken_for_none_however_soon_after_another(
    tick_ms: int, up_ms: int, seen_ms: int, unseen_ms: int, off_ms: int, since_ms: int,
    share: float, slowly: float, bus_is_lost: bool,
) -> None:  # fmt: skip
    """Up for so long when it was told of, read for so long after it, then out of sight: it makes some parts,
    is restarted, and is seen again."""
    plant = a_plant(16, 40_000, tick_ms)
    plant.restart(keeps=False)
    plant.run(up_ms, share)
    plant.read()
    plant.run(seen_ms, share)
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    counted, made = plant.counted, plant.made
    if bus_is_lost:
        plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    else:
        plant.restart_the_agent()
    plant.run(unseen_ms, share)
    plant.clock.pass_ms(off_ms)
    plant.uptime_ms = plant.raw = 0
    plant.run(since_ms, slowly)
    plant.read()
    assert not plant.is_certain
    assert Kind.ROLLOVER not in plant.qualities
    assert plant.counted - counted <= plant.made - made


@pytest.mark.parametrize("up_ms", [10_000, 86_400_000])
@given(st.integers(0, 300_000), st.integers(-50, 50))
def test_an_outage_is_certain_of_a_device_that_ran_before_it(up_ms: int, off_ms: int, drift: int) -> None:
    plant = a_plant(16, 40_000, 100)
    plant.restart(keeps=False)
    plant.read()
    plant.run(up_ms, 0.0)
    plant.uptime_ms += up_ms * drift // 10_000
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    plant.run(off_ms, 0.5)
    plant.uptime_ms += off_ms * drift // 10_000
    plant.read()
    assert plant.is_certain
    assert len(plant.losses) == 1


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
