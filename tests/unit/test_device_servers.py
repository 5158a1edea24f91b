"""Since when a server runs, and what that says of the counters behind it: never more than a doubt."""

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.observation import DEVICE, DeviceWord, Quality
from edge.production.counting import Kind
from tests.support.device_plant import SIGNAL, Plant, a_plant
from tests.support.line import see

DAY_MS = 86_400_000
spans = st.integers(10_000, 900_000)
shares = st.floats(0, 1)
steps = st.integers(-3_600_000, 3_600_000)
"""A clock is set by so much."""


@dataclass
class Server:
    """It stands before a plant, in its controller or on a box of its own; its clock is its own affair."""

    plant: Plant
    notes_its_start: bool = True
    """Else it works it out, from its clock and how long it has run."""
    clock_ms: int = 0
    """How far it is from ours."""
    since_ms: int = 0
    """By our clock."""
    noted_ms: int = 0
    boots_in_ms: int | None = None
    """What its clock shows after every start, where nothing keeps it; None: the time."""

    @property
    def now_ms(self) -> int:
        return self.plant.clock.wall_ms() + self.clock_ms

    def start(self) -> None:
        self.since_ms = self.plant.clock.wall_ms()
        if self.boots_in_ms is not None:
            self.clock_ms = self.boots_in_ms - self.since_ms
        self.noted_ms = self.now_ms

    def word(self) -> DeviceWord:
        worked_out_ms = self.now_ms - (self.plant.clock.wall_ms() - self.since_ms)
        start_ms = self.noted_ms if self.notes_its_start else worked_out_ms
        return DeviceWord(
            "plc server", (SIGNAL,), uptime_ms=max(0, self.now_ms - start_ms), was_out_of_sight=True,
            started_ms=start_ms, is_server=True,
        )  # fmt: skip

    def is_lost(self) -> None:
        self.plant.core.see(see(self.plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no connection"))

    def connects(self) -> None:
        self.plant.core.see(see(self.plant.clock, DEVICE, self.word()))
        for _ in range(4):  # what nobody believes at once is read again
            self.plant.core.see(see(self.plant.clock, SIGNAL, self.plant.raw % (1 << self.plant.bits)))
            self.plant.clock.pass_ms(150)


def a_server(bits: int = 32, raw: int = 40_000, *, notes: bool = True, boots_in: int | None = None) -> Server:
    server = Server(a_plant(bits, raw), notes, boots_in_ms=boots_in)
    server.plant.clock.pass_ms(10_000)
    server.start()
    server.plant.run(DAY_MS, 0.0)
    server.connects()
    return server


@given(
    st.sampled_from([16, 32]), st.integers(65_000, 65_535) | st.integers(0, 65_535), st.booleans(),
    st.lists(
        st.tuples(spans, shares, st.sampled_from(["", "restarts", "agent", "clock"]), steps), max_size=12
    ),
)  # fmt: skip
@example(16, 65_500, True, [(20_000, 0.8, "restarts", 0), (60_000, 0.5, "restarts", 0)])
def test_counters_behind_a_gateway_go_on_whatever_becomes_of_it_and_of_its_clock(
    bits: int, raw: int, notes: bool, happening: list[tuple[int, float, str, int]]
) -> None:
    """Its restart is none of the controller's: nothing is lost by it, and nothing counted twice."""
    server = a_server(bits, raw, notes=notes)
    plant = server.plant
    for passed_ms, share, what, step_ms in happening:
        server.is_lost()
        plant.run(passed_ms, share)
        if what == "restarts":
            server.start()
            plant.run(passed_ms, share)
        elif what == "agent":
            plant.restart_the_agent()
        elif what == "clock":
            server.clock_ms += step_ms
        server.connects()
        assert plant.counted == plant.made
    assert plant.losses == []


@given(st.booleans(), st.lists(st.tuples(spans, shares, steps), min_size=1, max_size=5))
def test_a_clock_that_is_set_is_no_restart(notes: bool, happening: list[tuple[int, float, int]]) -> None:
    server = a_server(raw=5, notes=notes)
    for passed_ms, share, step_ms in happening:
        server.is_lost()
        server.plant.run(passed_ms, share)
        server.clock_ms += step_ms
        server.connects()
        assert server.plant.is_certain


@given(spans, shares, spans, shares, st.booleans(), st.booleans(), st.integers(0, 100))
def test_a_controller_that_restarts_with_its_server_and_passes_where_it_was_is_not_certain(
    unseen_ms: int, share: float, since_ms: int, slowly: float, notes: bool, boots_in_1970: bool, raw: int
) -> None:
    server = a_server(raw=raw, notes=notes, boots_in=1_000 if boots_in_1970 else None)
    plant = server.plant
    shown = plant.raw
    server.is_lost()
    plant.run(unseen_ms, share)
    plant.restart(keeps=False)
    server.start()
    plant.run(since_ms, slowly)
    server.connects()
    assert plant.counted <= plant.made
    if plant.raw >= shown:
        assert not plant.is_certain
    else:
        assert plant.qualities[-1] in (Kind.RESET, Kind.IMPLAUSIBLE)


def test_a_restarted_server_says_nothing_of_a_count_that_nobody_can_have_made_since() -> None:
    server = a_server(raw=40_000)
    server.is_lost()
    server.plant.run(60_000, 0.5)
    server.start()
    server.connects()
    assert server.plant.is_certain
    assert server.plant.qualities[-1] == Kind.GAP


def test_a_rollover_while_nobody_looked_is_counted_and_not_certain() -> None:
    """Its device may have been started anew, and whoever speaks for its server does not know."""
    server = a_server(16, 65_500)
    server.is_lost()
    server.plant.run(60_000, 0.5)
    server.connects()
    assert (server.plant.counted, server.plant.qualities[-1]) == (60, Kind.UNCERTAIN)
    assert not server.plant.is_certain


@pytest.mark.parametrize("says", [True, False])
def test_a_rollover_in_an_outage_is_certain_where_the_device_says_that_it_went_on(says: bool) -> None:
    plant = a_plant(16, 65_500)
    plant.run(1_000, 0.0)
    plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    plant.run(60_000, 0.5)
    if says:
        plant.read(was_out_of_sight=True)
    else:
        plant.core.see(see(plant.clock, SIGNAL, plant.raw % (1 << 16)))
    assert plant.counted == 60
    assert plant.is_certain is says


def test_who_went_on_and_then_says_nothing_is_not_certain_any_more() -> None:
    plant = a_plant(16, 65_500)
    plant.run(1_000, 0.0)
    plant.core.see(see(plant.clock, SIGNAL, None, quality=Quality.BAD, detail="no answer"))
    plant.core.see(see(plant.clock, DEVICE, plant.word()))
    plant.run(60_000, 0.5)
    silent = replace(plant.word(), uptime_ms=None, was_out_of_sight=True)
    plant.core.see(see(plant.clock, DEVICE, silent))
    plant.core.see(see(plant.clock, SIGNAL, plant.raw % (1 << 16)))
    assert not plant.is_certain


def test_an_answer_that_is_missed_of_a_device_that_has_run_for_a_while_leaves_nothing_open() -> None:
    plant = a_plant(16, 500)
    plant.run(4_000, 0.5)
    plant.read(was_out_of_sight=True)
    assert plant.qualities == [Kind.BASELINE, Kind.LIVE]


def test_the_first_word_ever_tells_that_a_device_began_after_its_counter_was_read() -> None:
    """The file has said where its uptime is only since the agent was stopped."""
    plant = a_plant(16, 5)
    plant.restart_the_agent()
    plant.run(60_000, 0.1)
    plant.uptime_ms = 20_000
    word = replace(plant.word(), read_from="elsewhere", was_out_of_sight=True)
    plant.core.see(see(plant.clock, DEVICE, word))
    plant.core.see(see(plant.clock, SIGNAL, plant.raw))
    assert not plant.is_certain
