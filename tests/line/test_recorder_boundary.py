"""The recorder at the boundary between two orders."""

import asyncio
from pathlib import Path

from edge.observation import Quality, Verdict
from edge.production.line import Role
from edge.recorder import Recorder
from tests.line import recorder_support
from tests.line.recorder_support import REJECT, TOTAL, attributed, counts, within_10_s
from tests.support.clock import ManualClock
from tests.support.line import (
    HandAsker,
    counter,
    events_on_disk,
    line,
    recording,
    run_quickly,
    scan,
    see,
    station,
)

path = recorder_support.path
clock = recorder_support.clock


# --- the boundary between two orders --------------------------------------------------------------


async def test_a_scan_waits_for_the_counters_that_it_asked_for(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL, REJECT)
    async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100, 10)
        scanned = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        asked = await ask.next()
        assert asked.signals == {TOTAL, REJECT}
        await counts(recorder, clock, 103)
        await counts(recorder, clock, 105, answers=asked.number)
        assert not scanned.done()
        clock.pass_ms(500)
        await recorder.emit([see(clock, REJECT, 11, answers=asked.number)])
        assert [one.verdict for one in await within_10_s(scanned)] == [Verdict.ACCEPTED]
        await counts(recorder, clock, 106, 12)
    assert attributed(path) == {
        ("total", "UNASSIGNED"): 5,
        ("reject", "UNASSIGNED"): 1,
        ("total", "WO-1001"): 1,
        ("reject", "WO-1001"): 1,
    }


async def test_the_next_order_begins_where_the_last_one_ended(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    async with recording(line(station("press", counter("press", Role.TOTAL))), path, ask) as recorder:
        await counts(recorder, clock, 100)
        for number, (card, raw) in enumerate([("J WO-1001-10", 100), ("J WO-1002", 107), ("C DONE", 109)], 1):
            async with asyncio.TaskGroup() as group:
                group.create_task(recorder.emit([scan(clock, card)]))
                assert (await ask.next()).number == number
                await counts(recorder, clock, raw, answers=number)
        await counts(recorder, clock, 110)
    assert attributed(path) == {("total", "WO-1001"): 7, ("total", "WO-1002"): 2, ("total", "UNASSIGNED"): 1}


async def test_an_unconnected_source_is_not_waited_for(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100, 10)
        await within_10_s(recorder.emit([scan(clock, "J WO-1001-10")]))
        await counts(recorder, clock, 102, 10)
        await counts(recorder, clock, 103, 10)
    assert attributed(path) == {("total", "UNASSIGNED"): 2, ("total", "WO-1001"): 1}


def test_without_an_answer_a_scan_is_decided_and_what_straddles_it_is_unassigned(path: Path) -> None:
    async def line_runs() -> None:
        clock, ask = ManualClock(), HandAsker(TOTAL, REJECT)
        async with recording(line(), path, ask) as recorder:
            await counts(recorder, clock, 100, 10)
            began = asyncio.get_running_loop().time()
            [outcome] = await recorder.emit([scan(clock, "J WO-1001-10")])
            assert outcome.verdict is Verdict.ACCEPTED
            assert 0.9 < asyncio.get_running_loop().time() - began < 8
            await counts(recorder, clock, 104, 10, answers=1)
            await counts(recorder, clock, 105, 11)

    run_quickly(line_runs(), 5)
    assert attributed(path) == {("total", "UNASSIGNED"): 4, ("total", "WO-1001"): 1, ("reject", "WO-1001"): 1}


def test_only_the_counter_that_answered_has_a_boundary(path: Path) -> None:
    async def line_runs() -> None:
        clock, ask = ManualClock(), HandAsker(TOTAL, REJECT)
        async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
            await counts(recorder, clock, 100, 10)
            scanned = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
            asked = await ask.next()
            await counts(recorder, clock, 101, answers=asked.number)
            bad = see(clock, REJECT, None, answers=0, quality=Quality.BAD, detail="no answer")
            await recorder.emit([bad])
            await scanned
            await counts(recorder, clock, 102, 11)

    run_quickly(line_runs())
    assert attributed(path) == {
        ("total", "UNASSIGNED"): 1, ("total", "WO-1001"): 1, ("reject", "UNASSIGNED"): 1,
    }  # fmt: skip


async def test_an_unreadable_answer_ends_the_wait_and_is_no_boundary(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        scanned = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        number = (await ask.next()).number
        await recorder.emit(
            [see(clock, TOTAL, None, answers=number, quality=Quality.BAD, detail="no answer")]
        )
        await within_10_s(scanned)
        await counts(recorder, clock, 102)
    assert attributed(path) == {("total", "UNASSIGNED"): 2}


async def test_scans_of_one_gun_are_decided_in_their_order(path: Path, clock: ManualClock) -> None:
    """The badge waits for its boundary; the job card that follows at once needs the badge."""
    ask = HandAsker(TOTAL)
    async with recording(line(badge_required=True), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        badge = group.create_task(recorder.emit([scan(clock, "E 4711")]))
        await ask.next()
        clock.pass_ms(300)
        card = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        for raw, answered in ((101, 1), (102, 2)):
            await asyncio.sleep(0.01)
            await counts(recorder, clock, raw, answers=answered)
        said = [*await within_10_s(badge), *await within_10_s(card)]
    assert [(str(one.verdict), one.words) for one in said] == [
        ("accepted", "4711 is at press"), ("accepted", "WO-1001-10 started at press, 100 of P7"),
    ]  # fmt: skip
    assert [event["kind"] for event in events_on_disk(path) if event["type"] == "scan"] == ["E", "J"]


async def test_scans_of_one_call_are_decided_in_their_order(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    async with recording(line(badge_required=True), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        both = group.create_task(recorder.emit([scan(clock, "E 4711"), scan(clock, "J WO-1001-10")]))
        for raw, answered in ((101, 1), (102, 2)):
            await ask.next()
            await counts(recorder, clock, raw, answers=answered)
        said = await within_10_s(both)
    assert [str(one.verdict) for one in said] == ["accepted", "accepted"]


def test_a_scan_never_overtakes_another_that_waits_its_turn(path: Path) -> None:
    """The badge waits for its boundary, the card for the badge; the pause comes with the badge's answer."""

    async def line_runs() -> None:
        clock, ask = ManualClock(), HandAsker(TOTAL)
        async with recording(line(badge_required=True), path, ask) as recorder:
            await counts(recorder, clock, 100)
            recorder.post([scan(clock, "E 4711")])
            await ask.next()
            recorder.post([scan(clock, "J WO-1001-10")])
            await counts(recorder, clock, 101)
            recorder.post([see(clock, TOTAL, 101, answers=1)])
            recorder.post([scan(clock, "C PAUSE")])
            await asyncio.sleep(5)

    run_quickly(line_runs())
    scans = [(event["kind"], event["outcome"]) for event in events_on_disk(path) if event["type"] == "scan"]
    assert scans == [("E", "accepted"), ("J", "accepted"), ("C", "accepted")]


async def test_two_guns_do_not_wait_for_each_other(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    packer = station("packer", counter("packer", Role.GOOD), gun="gun-2")
    async with recording(line(station(), packer), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        held = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        number = (await ask.next()).number
        [other] = await within_10_s(recorder.emit([scan(clock, "J WO-1002", "gun-2")]))
        assert (other.verdict, held.done()) == (Verdict.ACCEPTED, False)
        await counts(recorder, clock, 100, answers=number)


async def test_the_same_label_twice_while_the_first_one_waits_is_one_scan(
    path: Path, clock: ManualClock
) -> None:
    ask = HandAsker(TOTAL)
    async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        once = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        await ask.next()
        clock.pass_ms(200)
        again = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        await asyncio.sleep(0.01)
        for number in (1, 2):
            await recorder.emit([see(clock, TOTAL, 100, answers=number)])
        said = [*await within_10_s(once), *await within_10_s(again)]
    assert [str(one.verdict) for one in said] == ["accepted", "duplicate"]


def test_a_reading_that_is_not_believed_is_read_again_soon(path: Path) -> None:
    async def line_runs() -> None:
        clock, ask = ManualClock(), HandAsker(TOTAL)
        async with recording(line(), path, ask) as recorder:
            await counts(recorder, clock, 90_211)
            await counts(recorder, clock, 0)
            assert (await ask.next()).signals == {TOTAL}

    run_quickly(line_runs())


# --- a reading at the boundary that is not believed ---------------------------------------------


async def looks(recorder: Recorder, clock: ManualClock, ask: HandAsker, *readings: int) -> None:
    """The first answers the scan's ask; the others come 150 ms apart, as of another poll."""
    number = (await ask.next()).number
    for place, raw in enumerate(readings):
        clock.pass_ms(150)
        await recorder.emit([see(clock, TOTAL, raw, answers=0 if place else number)])


async def test_a_torn_reading_at_the_boundary_is_looked_at_once_more(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    async with recording(line(station("press", counter("press", Role.TOTAL))), path, ask) as recorder:
        await counts(recorder, clock, 65_530)
        for card, readings in (("J WO-1001-10", (65_530,)), ("J WO-1002", (5, 65_540))):
            async with asyncio.TaskGroup() as group:
                scanned = group.create_task(recorder.emit([scan(clock, card)]))
                await looks(recorder, clock, ask, *readings)
                await within_10_s(scanned)
            clock.pass_ms(5_000)
        await counts(recorder, clock, 65_543)
    assert attributed(path) == {("total", "WO-1001"): 10, ("total", "WO-1002"): 3}


async def test_a_reset_at_the_boundary_is_decided_at_the_second_look(path: Path, clock: ManualClock) -> None:
    """The third one, which makes it sure, is of the new order already."""
    ask = HandAsker(TOTAL)
    async with recording(line(station("press", counter("press", Role.TOTAL))), path, ask) as recorder:
        await counts(recorder, clock, 500)
        for card, readings in (("J WO-1001-10", (500,)), ("J WO-1002", (0, 1))):
            async with asyncio.TaskGroup() as group:
                scanned = group.create_task(recorder.emit([scan(clock, card)]))
                await looks(recorder, clock, ask, *readings)
                await within_10_s(scanned)
            clock.pass_ms(150)
        await recorder.emit([see(clock, TOTAL, 2)])
        await counts(recorder, clock, 3)
    assert attributed(path) == {("total", "WO-1002"): 3}
