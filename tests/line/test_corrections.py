"""Corrections through the recorder, a real journal and deliveries: what moves, and that it is sent again."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.contract import Receipt, Record
from edge.errors import NotRecorded
from edge.journal import JournalReader, Ranges
from edge.journal.views import CLOSE, MOST_RANGES, as_ranges
from edge.observation import COMMAND, Observation, Reassign, Verdict
from edge.production.beside import View
from edge.production.views import Window
from edge.readmodel import order_totals
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.delivering import Bench, HandSink, all_of_it
from tests.support.line import Core, HandAsker, line, no_room, recording, scan, see

BOTH = ("press.total", "press.reject")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


class Shift:
    """What happens at the press: the observations, each at its time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.raw = 100
        self.shown = 100
        """What the device's register says at this moment of the play."""

    def said(self, text: str) -> Observation:
        self.clock.pass_ms(2_000)
        return scan(self.clock, text, fresh=BOTH)

    def made(self, parts: int) -> list[Observation]:
        found = []
        for _ in range(parts):
            self.clock.pass_ms(1_000)
            self.raw += 1
            found.append(see(self.clock, "press.total", self.raw))
        return found

    def wrong_card(self) -> list[Observation]:
        """Five parts of WO-1001, then three under the wrong card."""
        begun = [see(self.clock, "press.total", 100), see(self.clock, "press.reject", 0)]
        right = [self.said("E 4711"), self.said("J WO-1001-10"), *self.made(5)]
        return [*begun, *right, self.said("J WO-1002"), *self.made(3)]


def made(path: Path) -> dict[tuple[str, str], int]:
    reader = JournalReader(path, "line-1")
    try:
        return {key: one.good_parts for key, one in order_totals(reader).items() if one.good_parts}
    finally:
        reader.close()


def sent(path: Path, kind: str = "count") -> list[Record]:
    reader = JournalReader(path, "line-1")
    try:
        return [one for one in reader.records(1, reader.head(), 100_000) if one.type == kind]
    finally:
        reader.close()


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_scan_taken_back_moves_its_parts(path: Path, at_once: bool) -> None:
    """Also where the parts came in the same call, and are in the journal only since a moment."""
    shift = Shift()
    async with recording(line(), path) as recorder:
        seen = [*shift.wrong_card(), shift.said("C UNDO"), *shift.made(1)]
        for some in [seen] if at_once else [[one] for one in seen]:
            outcomes = await recorder.emit(some)
            assert {one.verdict for one in outcomes} == {Verdict.ACCEPTED}
    assert made(path) == {("press", "WO-1001"): 9}
    moved = [one for one in sent(path) if one.attribution > 1]
    assert [(one.context["order"], one.context["run"], one.attribution) for one in moved] == [
        ("WO-1001", "r1", 2)
    ] * 3
    assert all(one.data.keys().isdisjoint({"run_total", "order_good", "order_scrap"}) for one in moved)
    sides = [
        (one.context["order"], one.data["produced"], one.data["order_good"])
        for one in sent(path, "attribution")
    ]
    assert sides == [("WO-1002", -3, 0), ("WO-1001", 3, 8)]


async def test_the_facts_stay_as_they_were(path: Path) -> None:
    shift = Shift()
    async with recording(line(), path) as recorder:
        await recorder.emit(shift.wrong_card())
        reader = JournalReader(path, "line-1")
        head = reader.head()
        before = reader.facts(1, head, 1_000)
        await recorder.emit([shift.said("C UNDO")])
        assert reader.facts(1, head, 1_000) == before
        reader.close()


async def test_a_scan_that_waits_for_its_counters_is_taken_back_with_what_they_say(path: Path) -> None:
    """The UNDO asks for a fresh read; the parts that it brings are moved with the others."""
    shift, asker = Shift(), HandAsker(*BOTH)
    async with recording(line(), path, asker) as recorder:
        for one in shift.wrong_card():
            await _emit(recorder, asker, one, shift)
        undo = shift.said("C UNDO")
        shift.shown += 2
        await _emit(recorder, asker, undo, shift)
    assert made(path) == {("press", "WO-1001"): 10}


async def _emit(recorder: Recorder, asker: HandAsker, one: Observation, shift: Shift) -> None:
    """A scan asks for the counters once they are known; the device answers at once."""
    if one.signal != "gun-1":
        shift.shown = int(str(one.value)) if one.signal == "press.total" else shift.shown
        await recorder.emit([one])
        return
    asks = len(asker.asks)
    one = replace(one, fresh=None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.emit([one]))
        while not task.done() and len(asker.asks) == asks:
            await asyncio.sleep(0)
        if len(asker.asks) > asks:
            answers = asker.asks[-1].number
            total = see(shift.clock, "press.total", shift.shown, answers=answers)
            await recorder.emit([total, see(shift.clock, "press.reject", 0, answers=answers)])
    assert task.result()[0].verdict is Verdict.ACCEPTED


async def test_what_was_moved_is_sent_once_more_and_the_rest_is_not(path: Path) -> None:
    shift, sink = Shift(), HandSink()
    async with recording(line(), path) as recorder:
        bench = Bench(recorder, path)
        async with bench.delivering(sink):
            await recorder.emit(shift.wrong_card())
            await sink.until(lambda: len(sink.seqs()) == recorder.head)
            first = len(sink.writes)
            await recorder.emit([shift.said("C UNDO")])
            await sink.until(lambda: recorder.head in sink.seqs())
            wrong = [one.seq for one in sent(path) if one.attribution > 1]
            await sink.until(lambda: set(wrong) <= {seq for write in sink.writes[first:] for seq in write})
            again = [seq for write in sink.writes[first:] for seq in write]
    assert wrong
    assert len(again) == len(set(again))
    assert max(wrong) - min(wrong) + 1 >= len([seq for seq in again if seq <= max(wrong)])


async def test_a_receipt_of_what_was_moved_meanwhile_is_of_the_old_owner(path: Path) -> None:
    """The write was under way when the scan was taken back: the far end holds what is no longer so."""
    shift = Shift()
    told: list[tuple[int, int]] = []

    def answer(records: Sequence[Record]) -> Receipt:
        told.extend((one.seq, one.attribution) for one in records)
        return all_of_it(records)

    sink = HandSink(answer)
    async with recording(line(), path) as recorder:
        bench = Bench(recorder, path)
        async with bench.delivering(sink):
            sink.opened.clear()
            await recorder.emit(shift.wrong_card())
            await sink.until(lambda: bool(sink.writes))
            await recorder.emit([shift.said("C UNDO")])
            sink.opened.set()
            wrong = [one.seq for one in sent(path) if one.attribution > 1]
            await sink.until(lambda: {(seq, 2) for seq in wrong} <= set(told))


async def test_after_a_kill_no_sink_has_acknowledged_what_was_moved(path: Path) -> None:
    shift = Shift()
    async with recording(line(), path) as recorder:
        await recorder.emit(shift.wrong_card())
        recorder.note_progress("far", [(1, recorder.head)])
        await recorder.emit([shift.said("C UNDO")])
        reader = JournalReader(path, "line-1")
        wrong = [one.seq for one in sent(path) if one.attribution > 1]
        acknowledged = Ranges(reader.progress("far"))
        reader.close()
    assert wrong
    assert not [seq for seq in wrong if seq in acknowledged]
    assert 1 in acknowledged


async def test_a_disk_that_is_full_moves_nothing(path: Path) -> None:
    """Neither the first part of the call nor the scan that asks about it; a later try does both."""
    shift = Shift()
    async with recording(line(), path) as recorder:
        await recorder.emit(shift.wrong_card())
        more = [*shift.made(1_500), shift.said("C UNDO")]
        with no_room(recorder._journal), pytest.raises(NotRecorded):
            await recorder.emit(more)
        assert made(path) == {("press", "WO-1001"): 5, ("press", "WO-1002"): 3}
        await recorder.emit([shift.made(1)[0], shift.said("C UNDO")])
    assert sum(made(path).values()) == 5 + 3 + 1_501


async def test_a_supervisor_moves_a_window(path: Path) -> None:
    shift = Shift()
    async with recording(line(), path) as recorder:
        seen = shift.wrong_card()
        await recorder.emit(seen)
        asked = Reassign(
            "4712", "wrong card", "WO-1001-10", station="press", from_ms=0, to_ms=shift.clock.wall_ms() + 1
        )
        [outcome] = await recorder.emit([see(shift.clock, COMMAND, asked)])
        assert (outcome.verdict, outcome.words) == (Verdict.ACCEPTED, "3 parts of press are WO-1001-10 now")
        assert made(path) == {("press", "WO-1001"): 8}
        back = Reassign("4712", "they were right", None, run="r3")
        await recorder.emit([see(shift.clock, COMMAND, back)])
    assert made(path) == {("press", "WO-1001"): 5, ("press", "UNASSIGNED"): 3}
    assert {one.attribution for one in sent(path)} == {1, 3}


async def test_the_journal_adds_up_as_the_slow_way_does(path: Path) -> None:
    """The view that SQL makes is the one that is made by going through every event."""
    shift, core = Shift(), Core(line())
    seen = [
        *shift.wrong_card(),
        shift.said("X BURR"),
        shift.said("Q 1"),
        shift.said("J WO-1001-10"),
        *shift.made(2),
    ]
    async with recording(line(), path) as recorder:
        for one in seen:
            core.see(one)
        await recorder.emit(seen)
        for first, last in [(0, 1 << 50), (seen[4].at_ms, seen[-3].at_ms), (seen[9].at_ms, seen[9].at_ms)]:
            key = Window("press", first, last).key
            row = recorder._journal.row(key)
            assert isinstance(row, View)
            assert row == core.view(key)


@given(st.sets(st.integers(1, 100_000), min_size=1, max_size=300))
def test_ranges_of_what_moved_hold_all_of_it(seqs: set[int]) -> None:
    ranges = as_ranges(seqs)
    assert all(any(first <= seq <= last for first, last in ranges) for seq in seqs)
    assert {first for first, _ in ranges} | {last for _, last in ranges} <= seqs
    assert all(after[0] - before[1] > CLOSE for before, after in pairwise(ranges))


def test_very_many_small_ranges_become_one() -> None:
    seqs = range(1, (MOST_RANGES + 1) * 2 * CLOSE + 1, 2 * CLOSE)
    assert as_ranges(seqs) == [(1, seqs[-1])]


def test_what_is_taken_out_of_ranges_is_missing() -> None:
    ranges: Any = Ranges([(1, 10), (20, 30)])
    ranges.remove(5, 24)
    assert list(ranges) == [(1, 4), (25, 30)]
