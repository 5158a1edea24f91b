"""Jobs over restarts, edited orders and several stations: what a label asks for and what becomes of it."""

from dataclasses import replace

import pytest

from edge.observation import COMMAND, Outcome, Reassign, Verdict, WorkOrder
from edge.production.beside import Stops
from edge.production.clocks import Shift
from edge.production.events import Order
from edge.production.line import Line, Role, StationSpec
from edge.production.state import Doubt, Run
from tests.support.clock import ManualClock
from tests.support.line import Core, counter, line, scan, see, station

PRESS = station("press", counter("press", Role.TOTAL))


def said(core: Core, clock: ManualClock, text: str) -> Outcome:
    clock.pass_ms(2_000)
    return core.see(scan(clock, text, fresh=())).outcome


def orders(*specs: WorkOrder) -> Line:
    return Line("line-1", (PRESS,), {spec.id: spec for spec in specs}, badge_required=False)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ((), "this line has no order WO-1"),
        ((WorkOrder("WO-1", "P7", 5, operations=(10,)),), None),
        ((WorkOrder("WO-1", "P7", 5, operations=(10, 20)),), "WO-1 has operations 10, 20"),
    ],
    ids=["order gone", "one operation now", "two operations now"],
)
def test_resume_after_the_orders_were_edited(now: tuple[WorkOrder, ...], words: str | None) -> None:
    """The agent restarts with another list of orders; RESUME means the job that was on."""
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    said(core, clock, "J WO-1")
    said(core, clock, "C PAUSE")
    core.line = orders(*now)
    outcome = said(core, clock, "C RESUME")
    if words is not None:
        assert outcome.verdict is Verdict.REFUSED
        assert words in outcome.words


def test_a_running_job_whose_order_was_deleted_can_be_ended() -> None:
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    said(core, clock, "J WO-1")
    core.line = orders()
    assert said(core, clock, "C DONE").words == "WO-1 ended: 0 of 5"


def test_a_reason_does_not_follow_to_another_order() -> None:
    """Scrap is booked on the order that the reason was scanned under, or not at all."""
    core, clock = Core(line(PRESS)), ManualClock()
    core.see(see(clock, "press.total", 100))
    for raw, text in [(100, "J WO-1001-10"), (105, "X BURR"), (110, "J WO-1002"), (115, "Q 2")]:
        outcome = said(core, clock, text)
        for more in (raw, raw + 4):
            clock.pass_ms(2_000)
            core.see(see(clock, "press.total", more))
    assert outcome.verdict is Verdict.REFUSED
    assert sum(totals.booked for totals in core.totals()["press"].values()) == 0


def test_a_lot_scanned_before_the_job_card_goes_with_the_job() -> None:
    """WO-1001 names no batch of its own."""
    core, clock = Core(line(PRESS)), ManualClock()
    said(core, clock, "L LOT7")
    said(core, clock, "J WO-1001-10")
    assert core.station().context.batch == "LOT7"


def test_a_job_at_two_stations_ends_when_the_last_one_is_done() -> None:
    packer = station("packer", counter("packer", Role.GOOD), gun="gun-2")
    core, clock = Core(line(PRESS, packer)), ManualClock()
    for gun in ("gun-1", "gun-2"):
        core.see(scan(clock, "J WO-1002", gun, fresh=()))
    core.see(scan(clock, "C DONE", "gun-1", fresh=()))
    clock.pass_ms(2_000)
    assert core.see(scan(clock, "J WO-1002", "gun-1", fresh=())).outcome.verdict is Verdict.ACCEPTED
    core.see(scan(clock, "C DONE", "gun-2", fresh=()))
    clock.pass_ms(2_000)
    core.see(scan(clock, "C DONE", "gun-1", fresh=()))
    clock.pass_ms(2_000)
    refused = core.see(scan(clock, "J WO-1002", "gun-2", fresh=())).outcome
    assert refused.words == "WO-1002 has ended; a new job is needed to make more"
    states = [event.data.state for event in core.events if isinstance(event.data, Order)]
    assert "Running" not in states[states.index("Ended") :], "nothing leaves Ended"


def test_two_guns_cannot_mix_their_stations_up() -> None:
    packer = station("packer", counter("packer", Role.GOOD), gun="gun-2")
    core, clock = Core(line(PRESS, packer)), ManualClock()
    core.see(scan(clock, "E 4711", "gun-1", fresh=()))
    core.see(scan(clock, "E 4712", "gun-2", fresh=()))
    assert [core.station(name).context.operator for name in ("press", "packer")] == ["4711", "4712"]


def test_a_machine_out_of_sight_is_not_said_to_stand_still() -> None:
    """Without a state signal a stop is concluded from silence; a lost connection is silent too."""
    spec = PRESS
    unwatched = Line("line-1", (StationSpec("press", 1000, 500, 5000, spec.counters),))
    core, clock = Core(unwatched), ManualClock()
    for raw in (100, 101):
        clock.pass_ms(1000)
        core.see(see(clock, "press.total", raw))
    core.see(see(clock, "source/plc", "lost"))
    for _ in range(20):
        clock.pass_ms(1000)
        core.see(see(clock, "tick", None))
    assert core.station().state != "Stopped"


def test_a_stop_is_concluded_from_the_counter_that_ends_cycles() -> None:
    """A reject register that cannot be read says nothing of whether the machine runs."""
    spec = station("press")
    unwatched = Line("line-1", (StationSpec("press", 1000, 500, 5000, spec.counters),))
    core, clock = Core(unwatched), ManualClock()
    for raw in (100, 101):
        clock.pass_ms(1000)
        core.see(see(clock, "press.total", raw))
        core.see(see(clock, "press.reject", 10))
    core.see(see(clock, "press.reject", None))
    for _ in range(20):
        clock.pass_ms(1000)
        core.see(see(clock, "press.total", 101))
        core.see(see(clock, "tick", None))
    assert core.station().state == "Stopped"


@pytest.mark.parametrize("card", ["J 4711", "J -", "J -10", "J WO-", "J WO-7", "J .", "J 0-0-0"])
def test_an_unknown_job_card_is_refused(card: str) -> None:
    core, clock = Core(line(PRESS)), ManualClock()
    outcome = said(core, clock, card)
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.words == f"this line has no order {card[2:]}"


def test_a_reason_from_before_the_power_cut_waits_for_no_quantity() -> None:
    """The clock of the next boot may say just what it said when the reason was scanned."""
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    for text in ("J WO-1", "X BURR"):
        assert said(core, clock, text).verdict is Verdict.ACCEPTED
    outcome = said(core, ManualClock(clock.wall_ms() + 60_000, clock.mono_ms(), "b1"), "Q 1")
    assert (outcome.verdict, "BURR" in outcome.words) == (Verdict.REFUSED, True)


def test_rework_is_of_the_job_only_right_after_its_card() -> None:
    """Of a job that is on: its card and then at once `C REWORK` is a run of rework; else parts are meant."""
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    for text in ("J WO-1", "J WO-1", "E 4711"):
        assert said(core, clock, text).verdict is Verdict.ACCEPTED
    assert said(core, clock, "C REWORK").words == "rework at press: scan how many"
    said(core, clock, "C CANCEL")
    said(core, clock, "J WO-1")
    assert "how many" not in said(core, clock, "C REWORK").words


def test_cancel_forgets_which_of_two_jobs_was_chosen() -> None:
    both = orders(WorkOrder("WO-1", "P7", 5), WorkOrder("WO-2", "P7", 5))
    core, clock = Core(replace(both, stations=(replace(PRESS, capacity=2),))), ManualClock()
    for text in ("J WO-1", "J WO-2", "J WO-1", "C CANCEL"):
        assert said(core, clock, text).verdict is Verdict.ACCEPTED
    assert said(core, clock, "C PAUSE").verdict is Verdict.REFUSED


def test_a_badge_ends_by_the_wall_clock_after_a_reboot() -> None:
    """The clock of the next boot has counted for a minute; the person has been away for ten hours."""
    core = Core(replace(orders(WorkOrder("WO-1", "P7", 5)), badge_ends_ms=36_000_000))
    clock = ManualClock()
    said(core, clock, "E 4711")
    for hours, who in ((9, "4711"), (11, None)):
        now = ManualClock(clock.wall_ms() + hours * 3_600_000, 60_000, "b1")
        core.see(see(now, "tick", None))
        assert core.station().context.operator == who


def test_a_run_remembers_a_tool_that_it_knew_before_the_scan_that_is_undone() -> None:
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    for text in ("J WO-1", "T DIE", "T DIE", "T DIE", "C UNDO"):
        assert said(core, clock, text).verdict is Verdict.ACCEPTED
    row = core.station()
    assert row.run is not None
    assert (row.tools, row.run.tools) == ({}, ("DIE",))


def test_of_many_stops_the_newest_twenty_are_remembered_and_a_short_one_is_none() -> None:
    core, clock = Core(orders(WorkOrder("WO-1", "P7", 5))), ManualClock()
    core.see(see(clock, "press.state", 1))

    def stopped(for_ms: int) -> list[int]:
        core.see(see(clock, "press.state", 0))
        clock.pass_ms(for_ms)
        core.see(see(clock, "press.state", 1))
        clock.pass_ms(1_000)
        stops = core.row(PRESS.stops_key)
        assert isinstance(stops, Stops)
        return [stop.number for stop in stops.recent]

    found = [stopped(PRESS.stop_after_ms) for _ in range(24)]
    assert found[:2] + found[-1:] == [[1], [1, 2], [*range(5, 25)]]
    assert stopped(PRESS.stop_after_ms - 1) == [*range(5, 25)]


def test_the_time_of_its_cycles_goes_with_a_run_that_is_given_to_another_order() -> None:
    both = orders(WorkOrder("WO-1", "P7", 50), WorkOrder("WO-2", "P7", 50))
    core, clock = Core(both), ManualClock()
    core.see(see(clock, "press.total", 0))
    for card in ("J WO-1", "J WO-2"):
        core.see(scan(clock, card, fresh=("press.total",)))
        for total in range(1, 4):
            clock.pass_ms(2_000)
            core.see(see(clock, "press.total", total + (3 if card == "J WO-2" else 0)))
    running = core.station().run
    given = core.row("run/r1")
    assert running is not None
    assert isinstance(given, Run)
    assert given.cycles_s > 0
    core.see(see(clock, COMMAND, Reassign("anna", "wrong card", "WO-2", run="r1")))
    left, taken = core.row("run/r1"), core.row("run/r3")
    assert isinstance(left, Run)
    assert isinstance(taken, Run)
    assert (left.cycles, left.cycles_s, taken.order) == (0, 0, "WO-2")
    assert (taken.cycles, taken.cycles_s) == (given.cycles, given.cycles_s)
    assert (after := core.station().run) is not None
    assert (after.cycles, after.cycles_s) == (running.cycles, running.cycles_s)


@pytest.mark.parametrize("shift_ms", [777_000, -345_000])
def test_a_run_that_a_correction_made_in_a_doubt_holds_parts_from_before_it(shift_ms: int) -> None:
    """The box took it for ten; parts that were made later than that, before the doubt, had the right time."""
    shift = Shift(Doubt(since_ms=700_000, mono_ms=1, boot="b0", runs=2), shift_ms)
    made = shift.row(Run("r5", "press", "WO-1", None, 1_000_000, 5, ended_ms=1_030_000))
    assert made.ended_ms is not None
    assert made.started_ms <= min(1_000_000, 1_000_000 + shift_ms)
    assert made.ended_ms >= max(1_030_000, 1_030_000 + shift_ms)
    begun = shift.row(Run("r5", "press", "WO-1", None, 1_000_000, 5, boot="b0", mono_ms=9))
    assert begun.started_ms == 1_000_000 + shift_ms
