"""Counting against a slow and obvious model: a machine makes parts, its counter is read now and then."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.observation import AGENT, COMMAND, SettleHeld
from edge.production.counting import LONGEST_MS, LOOK_APART_MS, Kind
from edge.production.events import Count
from edge.production.line import Line, Role
from edge.production.losses import Health
from edge.production.presence import BACK, LOST, SOURCE
from edge.production.totals import Totals
from tests.support.clock import ManualClock
from tests.support.line import UNASSIGNED, Core, counter, line, scan, see, station

IDEAL_MS = 1000
FASTEST_MS = IDEAL_MS // 2
JOBS = ("WO-1001/10", "WO-1002/", "WO-1003/10", "WO-1003/20")
CARDS = ("J WO-1001-10", "J WO-1002", "J WO-1003-10", "J WO-1003-20")

widths = st.sampled_from([16, 24, 32, 48, 64])
steps = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "agent restarts", "machine reboots", "source is lost"]),
        st.integers(1, 600_000),
        st.floats(0, 1),
    ),
    max_size=40,
)


@dataclass
class Machine:
    """Makes parts, never faster than the fastest cycle; its counter has `bits`."""

    core: Core
    bits: int
    made: int
    clock: ManualClock = field(default_factory=ManualClock)

    def run(self, passed_ms: int, share: float) -> None:
        """`passed_ms` go by, at this share of its greatest speed."""
        self.clock.pass_ms(passed_ms)
        self.made += int(passed_ms / FASTEST_MS * share)

    def read(self) -> None:
        self.core.see(see(self.clock, "press.total", self.made % (1 << self.bits)))

    def happen(self, what: str) -> None:
        if what == "agent restarts":
            self.core.see(see(self.clock, AGENT, "start"))
        elif what == "machine reboots":
            self.clock = ManualClock(self.clock.wall_ms(), 3_000, self.clock.boot + "'")
            self.core.see(see(self.clock, AGENT, "start"))
        elif what == "source is lost":
            self.core.see(see(self.clock, f"{SOURCE}plc", LOST))
            self.core.see(see(self.clock, f"{SOURCE}plc", BACK))


def a_machine(bits: int, first: int) -> Machine:
    core = Core(line(station("press", counter("press", Role.TOTAL, bits), ideal_ms=IDEAL_MS)))
    machine = Machine(core, bits, first)
    machine.read()
    return machine


@given(widths, st.integers(0, 1 << 70), steps)
def test_every_part_that_could_be_made_is_counted_once(
    bits: int, first: int, happening: list[tuple[str, int, float]]
) -> None:
    machine = a_machine(bits, first)
    for what, passed_ms, share in happening:
        machine.run(passed_ms, share)
        machine.happen(what)
        machine.read()
        counted = sum(count.produced for count in machine.core.counts())
        assert counted == machine.made - first
        assert machine.core.totals()["press"][UNASSIGNED].total == counted


@given(
    widths,
    st.integers(0, 1 << 70),
    st.lists(st.tuples(st.integers(0, 3_600_000), st.integers(0, 100_000), st.booleans()), max_size=30),
)
def test_never_more_is_counted_than_was_made(
    bits: int, first: int, happening: list[tuple[int, int, bool]]
) -> None:
    """Whatever the speed, however long nobody looked: what is doubtful is held or less, never more."""
    machine = a_machine(bits, first)
    for passed_ms, parts, clock_goes_back in happening:
        machine.clock.pass_ms(passed_ms)
        machine.made += parts
        if clock_goes_back:
            machine.clock.step_ms(-10_000_000)
            machine.happen("machine reboots")
        machine.read()
        assert 0 <= sum(count.produced for count in machine.core.counts()) <= machine.made - first


@given(
    st.integers(0, (1 << 32) - 1),
    st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=2),
    st.integers(0, 3),
)
def test_a_glitch_counts_nothing(raw: int, glitch: list[int], made_meanwhile: int) -> None:
    """Two readings of anything, then the counter as it really is."""
    machine = a_machine(32, raw)
    far = [one for one in glitch if (one - raw) % (1 << 32) > 1000]
    for value in far:
        machine.run(200, 0)
        machine.core.see(see(machine.clock, "press.total", value))
    machine.run(2000, 0)
    machine.made += made_meanwhile
    machine.read()
    assert sum(count.produced for count in machine.core.counts()) == made_meanwhile


@given(st.integers(0, 1 << 20), st.lists(st.integers(0, 400), min_size=3, max_size=30))
def test_no_reading_makes_a_delta_twice(first: int, pauses_ms: list[int]) -> None:
    """The same reading again and again, however fast, is nothing."""
    machine = a_machine(32, first)
    for pause_ms in pauses_ms:
        machine.run(pause_ms, 0)
        machine.read()
    assert [count.quality for count in machine.core.counts()] == [Kind.BASELINE]


@pytest.mark.parametrize("glitch", [0, 3, 4_000_000])
@pytest.mark.parametrize("raw", [8, 90_211])
def test_a_glitch_when_no_clock_tells_the_time_counts_nothing(raw: int, glitch: int) -> None:
    """A power cut: the box has no clock of its own, the PLC's memory is there a moment later."""
    machine = a_machine(32, raw)
    machine.clock.step_ms(-10_000_000)
    machine.happen("machine reboots")
    for value in (glitch, raw, raw, raw + 1, raw + 1, raw + 1):
        machine.clock.pass_ms(250)
        machine.core.see(see(machine.clock, "press.total", value))
    assert sum(count.produced for count in machine.core.counts()) == 1


@pytest.mark.parametrize("glitch", [0, 3, 40_000])
def test_a_glitch_after_a_gap_that_hides_turns_counts_nothing(glitch: int) -> None:
    machine = a_machine(16, 100)
    machine.run(100_000_000, 0)
    machine.happen("agent restarts")
    for value in (glitch, 100, 100, 101, 101, 101):
        machine.clock.pass_ms(250)
        machine.core.see(see(machine.clock, "press.total", value))
    assert sum(count.produced for count in machine.core.counts()) == 1


# --- conservation -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Scanned:
    """A scan; `fresh` are the counters that answered with a reading before it was decided."""

    text: str
    fresh: frozenset[str]


@dataclass(frozen=True)
class Made:
    """Parts at one counter; `seen` says whether it is read then."""

    signal: str
    parts: int
    seen: bool


SIGNALS = ("press.total", "press.reject", "packer.good")

moves = st.lists(
    st.one_of(
        st.builds(
            Scanned,
            st.sampled_from([*CARDS, "E 4711", "E 4712", "L 7", "C PAUSE", "C RESUME", "C DONE", "C LOGOUT"]),
            st.frozensets(st.sampled_from(SIGNALS)),
        ),
        st.builds(Made, st.sampled_from(SIGNALS), st.integers(0, 3), st.booleans()),
        st.just(AGENT),
        st.just(LOST),
    ),
    max_size=40,
)


@given(moves)
def test_the_sum_over_runs_and_unassigned_is_all_that_was_counted(happening: list[object]) -> None:
    made = dict.fromkeys(SIGNALS, 1000)
    core, clock = Core(a_line()), ManualClock()
    for signal in SIGNALS:
        core.see(see(clock, signal, made[signal]))
    for move in happening:
        clock.pass_ms(2_000)
        if isinstance(move, Made):
            made[move.signal] += move.parts
            if move.seen:
                core.see(see(clock, move.signal, made[move.signal]))
        elif isinstance(move, Scanned):
            for signal in move.fresh:
                core.see(see(clock, signal, made[signal]))
            core.see(scan(clock, move.text, fresh=tuple(move.fresh)))
        elif move == AGENT:
            core.see(see(clock, AGENT, "start"))
        else:
            core.see(see(clock, f"{SOURCE}plc", LOST))
            core.see(see(clock, f"{SOURCE}plc", BACK))
    clock.pass_ms(2_000)
    for signal in SIGNALS:
        core.see(see(clock, signal, made[signal]))
    assert_conserved(core, {signal: made[signal] - 1000 for signal in SIGNALS})


def a_line() -> Line:
    return line(station("press"), station("packer", counter("packer", Role.GOOD)))


def assert_conserved(core: Core, made: dict[str, int]) -> None:
    """Counted equals made, by the rows and by the events; and the two agree for every order."""
    by_row = core.totals()
    by_event: dict[tuple[str, str, str], int] = {}
    for event in core.events:
        if isinstance(event.data, Count):
            job = event.context.order
            key = f"{job}/{event.context.operation or ''}" if job else UNASSIGNED
            place = (event.station, key, event.data.role)
            by_event[place] = by_event.get(place, 0) + event.data.produced
    for signal, parts in made.items():
        name, _, role = signal.partition(".")
        everywhere = by_row[name].values()
        assert sum(totals.of(Role(role)) for totals in everywhere) == parts
        for job, totals in by_row[name].items():
            assert by_event.get((name, job, role), 0) == totals.of(Role(role))


@given(moves)
def test_a_part_goes_to_its_order_or_to_none(happening: list[object]) -> None:
    """Each part is made under one known context; it may end up unassigned, never under another order."""
    core, clock = Core(a_line()), ManualClock()
    made = dict.fromkeys(SIGNALS, 1000)
    true: dict[tuple[str, str], int] = {}
    for signal in SIGNALS:
        core.see(see(clock, signal, made[signal]))
    for move in happening:
        clock.pass_ms(2_000)
        if isinstance(move, Made):
            made[move.signal] += move.parts
            place = (move.signal, _job_at(core, move.signal))
            true[place] = true.get(place, 0) + move.parts
            if move.seen:
                core.see(see(clock, move.signal, made[move.signal]))
        elif isinstance(move, Scanned):
            for signal in move.fresh:
                core.see(see(clock, signal, made[signal]))
            core.see(scan(clock, move.text, fresh=tuple(move.fresh)))
    clock.pass_ms(2_000)
    for signal in SIGNALS:
        core.see(see(clock, signal, made[signal]))
    assigned = [
        (name, job, totals)
        for name, by_job in core.totals().items()
        for job, totals in by_job.items()
        if job != UNASSIGNED
    ]
    for name, job, totals in assigned:
        assert_not_more(name, job, totals, true)


def _job_at(core: Core, signal: str) -> str:
    run = core.station(signal.partition(".")[0]).run
    return UNASSIGNED if run is None else f"{run.order}/{run.operation or ''}"


def assert_not_more(name: str, job: str, totals: Totals, true: dict[tuple[str, str], int]) -> None:
    for role in Role:
        assert totals.of(role) <= true.get((f"{name}.{role}", job), 0), (job, role)


@pytest.mark.parametrize("step_ms", [0, 3_600_000, -3_600_000], ids=["clock stood still", "ahead", "behind"])
def test_a_clock_that_nobody_disciplines_does_not_tell_how_long_a_box_was_off(step_ms: int) -> None:
    """600 parts were made while a box without a battery was off: counted once, and said to be uncertain."""
    machine = a_machine(32, 1000)
    machine.clock.step_ms(step_ms)
    machine.happen("machine reboots")
    for raw in (1600, 1600, 1600):
        machine.clock.pass_ms(250)
        unsynced = replace(see(machine.clock, "press.total", raw), synced=False)
        machine.core.see(unsynced)
    *_, counted = machine.core.counts()
    assert (counted.produced, counted.quality) == (600, Kind.UNCERTAIN)


def test_a_counter_that_jumps_about_is_read_again_no_more_than_ten_times_a_second_and_not_for_ever() -> None:
    """However often it is polled: a u32 whose words are the wrong way round makes every look another one."""
    machine, asked = a_machine(32, 65_536), list[int]()
    for reading in range(2, 1_000):
        machine.clock.pass_ms(10)
        decided = machine.core.see(see(machine.clock, "press.total", 65_536 * reading))
        if decided.reread:
            asked.append(machine.clock.mono_ms())
    assert all(later - sooner >= LOOK_APART_MS for sooner, later in pairwise(asked))
    assert asked[-1] - asked[0] <= LONGEST_MS
    said = [event.data for event in machine.core.events if isinstance(event.data, Health)]
    assert [one.state for one in said] == ["unreadable"]


def test_what_was_counted_over_a_change_of_its_factor_is_booked_as_before_and_uncertain() -> None:
    clock, core = ManualClock(), Core(line(station("press", counter("press", Role.TOTAL))))
    for raw in (100, 110):
        clock.pass_ms(10_000)
        core.see(see(clock, "press.total", raw))
    core.line = line(station("press", counter("press", Role.TOTAL, parts_per_count=2)))
    for raw in (115, 118):
        clock.pass_ms(10_000)
        core.see(see(clock, "press.total", raw))
    *_, over, later = core.counts()
    assert (over.produced, over.quality) == (5, Kind.UNCERTAIN)
    assert over.read_as == "parts of a count: 1 before, 2 now"
    assert (later.produced, later.quality, later.read_as) == (6, Kind.LIVE, "")


def test_a_leap_that_a_person_has_settled_is_not_taken_back() -> None:
    """Held parts that were dismissed are none already; what goes on is counted all the same."""
    machine = a_machine(32, 1_000)
    for raw in (4_000_000, 4_000_000, 4_000_000):
        machine.clock.pass_ms(300)
        machine.core.see(see(machine.clock, "press.total", raw))
    machine.core.see(see(machine.clock, COMMAND, SettleHeld("office", "no parts", "press", None)))
    assert machine.core.station().held == 0
    machine.clock.pass_ms(300)
    machine.core.see(see(machine.clock, "press.total", 1_002))
    assert machine.core.station().held == 0
    assert sum(count.produced for count in machine.core.counts()) == 2
