"""The inbox: every run of unassigned parts is in it once, and its proposal is the one a person would make."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.inbox import (
    CORRECTION,
    FAR_MS,
    GAP,
    NO_ORDER,
    STRADDLE,
    Unassigned,
    Want,
    has_parts,
    inbox,
    list_inbox,
)
from edge.journal import JournalReader
from edge.observation import AGENT, COMMAND, Adjust, Observation, Reassign, Value, Verdict
from edge.production.events import Adjustment, Count
from edge.production.slots import slots
from edge.production.state import Run, Station
from edge.production.totals import NOTHING, Totals, counted
from tests.support.clock import ManualClock
from tests.support.line import Core, HandAsker, line, recording, scan, see

BOTH = ("press.total", "press.reject")
MINUTE = 60_000


class Play:
    """A press, its cards, and what the inbox says of it."""

    def __init__(self) -> None:
        self.core = Core(line())
        self.clock = ManualClock()
        self.total = self.reject = 100
        self.read()

    def see(self, signal: str, value: Value) -> str:
        self.clock.pass_ms(100)
        return self.core.see(see(self.clock, signal, value)).outcome.words

    def read(self) -> None:
        self.see("press.total", self.total)
        self.see("press.reject", self.reject)

    def make(self, parts: int, scrap: int = 0) -> None:
        """At a rate that the press can have made."""
        self.clock.pass_ms(1_000 * parts)
        self.total, self.reject = self.total + parts, self.reject + scrap
        self.read()

    def scan(self, text: str, fresh: bool = True) -> None:
        self.clock.pass_ms(2_000)
        self.core.see(scan(self.clock, text, fresh=BOTH if fresh else None))

    def away(self, minutes: int, parts: int) -> None:
        """The agent is off for so long."""
        self.see(AGENT, "stop")
        self.clock.pass_ms(minutes * MINUTE)
        self.total += parts
        self.see(AGENT, "start")
        self.read()

    def ask(self, command: Reassign | Adjust) -> Verdict:
        self.clock.pass_ms(100)
        return self.core.see(see(self.clock, COMMAND, command)).outcome.verdict

    def rows(self) -> tuple[list[Station], list[Run]]:
        rows = [self.core.row(key) for key in self.core.rows]
        stations = [one for one in rows if isinstance(one, Station)]
        return stations, [one for one in rows if isinstance(one, Run)]

    def inbox(self, **lacking: int) -> list[Unassigned]:
        """`lacking`: what WO-1001-10 (`a`) and WO-1002 (`b`) still lack."""
        a, b = lacking.get("a", 1), lacking.get("b", 1)
        wants = {("WO-1001", 10): Want(10, 10 - a), ("WO-1002", None): Want(10, 10 - b)}
        return list_inbox(*self.rows(), wants, self._is_gap)

    def _is_gap(self, run: Run) -> bool:
        counts = [
            event.data for place, event in enumerate(self.core.events)
            if isinstance(event.data, Count) and self.core.owner(place)[0].run == run.id
        ]  # fmt: skip
        return bool(counts) and counts[0].quality == "gap"

    def one(self, **lacking: int) -> tuple[int, str, str | None, str]:
        [found] = self.inbox(**lacking)
        return found.produced, found.why, found.owner, found.because


# --- proposals ------------------------------------------------------------------------------


def test_without_any_job_there_is_no_owner() -> None:
    play = Play()
    play.make(3)
    assert play.one() == (3, NO_ORDER, None, "no job has run here before or after them")
    [found] = play.inbox()
    assert (found.run, found.station, found.open) == ("u1", "press", True)


def test_nothing_is_nothing() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(3)
    assert play.inbox() == []


def test_parts_before_the_first_card_are_probably_its_own() -> None:
    play = Play()
    play.scan("E 4711")
    play.make(3)
    play.scan("J WO-1001-10")
    play.make(2)
    assert play.one() == (3, NO_ORDER, "WO-1001-10", "WO-1001-10 ran after them, and nothing before")
    assert not play.inbox()[0].open


def test_parts_after_the_last_card_are_probably_its_own() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1002")
    play.scan("C DONE")
    play.clock.pass_ms(MINUTE)
    play.make(4, 1)
    assert play.one() == (4, NO_ORDER, "WO-1002", "WO-1002 ran before them, and nothing since")
    assert [(one.good, one.scrap) for one in play.inbox()] == [(3, 1)]


def test_between_two_runs_of_one_job_they_are_of_that_job() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.scan("C PAUSE")
    play.make(20)
    play.scan("C RESUME")
    assert play.one() == (20, NO_ORDER, "WO-1001-10", "WO-1001-10 ran before and after them")


def straddled() -> Play:
    """Two parts came while the second card was scanned."""
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(5)
    play.clock.pass_ms(2_000)
    play.total += 2
    play.scan("J WO-1002", fresh=False)
    play.read()
    play.make(3)
    return play


@pytest.mark.parametrize(
    ("a", "b", "owner", "because"),
    [
        (0, 7, "WO-1002", "between two jobs: WO-1001-10 has its 10, WO-1002 still lacks 7 parts"),
        (2, 0, "WO-1001-10", "between two jobs: WO-1001-10 still lacks 2 parts, WO-1002 has its 10"),
        (2, 7, None, "between two jobs, and either may be right: "
         "WO-1001-10 still lacks 2 parts, WO-1002 still lacks 7 parts"),
        (0, 0, None, "between two jobs, and either may be right: WO-1001-10 has its 10, WO-1002 has its 10"),
    ],
)  # fmt: skip
def test_at_a_changeover_the_job_that_lacks_parts_is_proposed(
    a: int, b: int, owner: str | None, because: str
) -> None:
    assert straddled().one(a=a, b=b) == (2, STRADDLE, owner, because)


def test_a_job_that_ended_while_a_part_was_made_is_a_straddle_too() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(5)
    play.clock.pass_ms(1_000)
    play.total += 1
    play.scan("C DONE", fresh=False)
    play.read()
    assert play.one()[:3] == (1, STRADDLE, "WO-1001-10")


def test_a_job_long_ago_is_no_owner() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(5)
    play.scan("C DONE")
    play.clock.pass_ms(FAR_MS + 30 * MINUTE)
    play.make(2)
    why_not = "nothing ran here near them: WO-1001-10 ended 60 min before them"
    assert play.one() == (2, NO_ORDER, None, why_not)
    play.clock.pass_ms(5 * MINUTE)
    play.scan("J WO-1002")
    near = "WO-1002 is the one near them; WO-1001-10 ended 60 min before them"
    assert play.one() == (2, NO_ORDER, "WO-1002", near)


def test_an_order_that_is_gone_owns_nothing() -> None:
    play = straddled()
    [found] = list_inbox(*play.rows(), {}, lambda _: False)
    assert (found.owner, found.because) == (None, "WO-1001-10 is no longer an order of this line")


def test_what_was_made_out_of_sight_is_said_so() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(5)
    play.scan("C DONE")
    play.read()
    play.away(5, 9)
    assert play.one()[:3] == (9, GAP, "WO-1001-10")


def test_what_a_correction_took_from_an_order_is_proposed_to_nobody() -> None:
    play = Play()
    play.scan("E 4711")
    play.scan("J WO-1001-10")
    play.make(5)
    run = play.core.station().run
    assert run is not None
    assert play.ask(Reassign("anna", "samples", None, run.id)) is Verdict.ACCEPTED
    assert play.one() == (5, CORRECTION, None, "somebody decided that they are of no order")
    [found] = play.inbox()
    assert play.ask(Reassign("anna", "no samples", "WO-1001-10", found.run)) is Verdict.ACCEPTED
    assert play.inbox() == []


# --- all of it, and nothing else ------------------------------------------------------------


def expected(core: Core) -> dict[str, Totals]:
    """By their run, what the events of parts without an order add up to now: the slow way."""
    found: dict[str, Totals] = {}
    for place, event in enumerate(core.events):
        owner, _ = core.owner(place)
        if owner.order is not None or owner.run is None:
            continue
        made, data = NOTHING, event.data
        if isinstance(data, Count):
            made = counted(data.role, data.produced, counts=data.counts, of_total=data.of_total)
        elif isinstance(data, Adjustment):
            made = Totals(added=data.good + data.scrap, booked=data.scrap)
        found[owner.run] = found.get(owner.run, NOTHING).and_(made)
    return {run: made for run, made in found.items() if has_parts(made)}


STEPS = st.one_of(
    st.tuples(st.just("make"), st.integers(1, 5), st.integers(0, 2)),
    st.tuples(st.just("scan"), st.sampled_from(["E 4711", "J WO-1001-10", "J WO-1002", "C DONE", "C PAUSE",
                                                "C RESUME", "C UNDO", "C BACK5"]), st.booleans()),
    st.tuples(st.just("away"), st.integers(1, 90), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(1, 90), st.just(0)),
    st.tuples(st.just("give"), st.integers(0, 9), st.sampled_from(["WO-1001-10", "WO-1002"])),
    st.tuples(st.just("take"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("adjust"), st.integers(0, 9), st.integers(-3, 3)),
)  # fmt: skip


def act(play: Play, step: tuple[str, int | str, int | str | bool]) -> None:
    match step:
        case ("make", int(parts), int(scrap)):
            play.make(parts, min(parts, scrap))
        case ("scan", str(label), bool(fresh)):
            play.scan(label, fresh)
        case ("away", int(minutes), int(parts)):
            play.away(minutes, parts)
        case ("wait", int(minutes), _):
            play.clock.pass_ms(minutes * MINUTE)
        case ("give", int(place), str(job)) if items := play.inbox():
            play.ask(Reassign("anna", "hers", job, items[place % len(items)].run))
        case ("take", int(place), _) if runs := _runs(play):
            play.ask(Reassign("anna", "none", None, runs[place % len(runs)]))
        case ("adjust", int(place), int(parts)) if items := play.inbox():
            play.ask(Adjust("anna", "counted", items[place % len(items)].run, good=parts))


def _runs(play: Play) -> list[str]:
    stations, runs = play.rows()
    return [run.id for run in runs if run.job] + [slot.run.id for row in stations for slot in slots(row)]


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25), st.integers(0, 10), st.integers(0, 10))
def test_every_unassigned_part_is_in_it_once_and_nothing_else_is(
    steps: list[tuple[str, int | str, int | str | bool]], a: int, b: int
) -> None:
    play = Play()
    for step in steps:
        act(play, step)
    found = play.inbox(a=a, b=b)
    wanted = expected(play.core)
    assert sorted(one.run for one in found) == sorted(wanted)
    for one in found:
        made = wanted[one.run]
        assert (one.produced, one.good, one.scrap) == (made.produced, made.good_parts, made.scrap_parts)
        assert one.because
        assert one.owner in (None, "WO-1001-10", "WO-1002")
        assert one.since <= one.until
    assert sum(one.produced for one in found) == play.core.station().unassigned.produced


# --- from a journal -------------------------------------------------------------------------


async def test_a_journal_is_read_and_a_gap_is_found_in_it(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()

    def at(signal: str, value: Value, after_ms: int = 1_000) -> Observation:
        clock.pass_ms(after_ms)
        return see(clock, signal, value)

    async with recording(line(), path, HandAsker()) as recorder:
        seen = [at("press.total", 100), at("press.reject", 0), scan(clock, "E 4711", fresh=BOTH)]
        clock.pass_ms(2_000)
        seen += [scan(clock, "J WO-1001-10", fresh=BOTH)]
        seen += [at("press.total", 100 + parts) for parts in range(1, 400)]
        clock.pass_ms(2_000)
        seen += [scan(clock, "C DONE", fresh=BOTH), at(AGENT, "stop"), at(AGENT, "start", 5 * MINUTE)]
        seen += [at("press.total", 520)]
        seen += [at("press.total", 520 + parts) for parts in range(1, 300)]
        await recorder.emit(seen)
    reader = JournalReader(path, "line-1")
    try:
        [found] = inbox(reader, line())
    finally:
        reader.close()
    assert (found.produced, found.why, found.owner) == (320, GAP, "WO-1001-10")
