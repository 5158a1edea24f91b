"""The recorder when a commit fails, under pressure, and at its end."""

import asyncio
import itertools
from collections.abc import Awaitable
from pathlib import Path

import apsw
import pytest

from edge.errors import JournalError, NotRecorded
from edge.journal import Journal, JournalReader
from edge.observation import AGENT, TICK, Observation, Outcome, Verdict
from edge.recorder import Recorder
from edge.waiting import CAPACITY
from tests.line import recorder_support
from tests.line.recorder_support import REJECT, SLOWLY, TOTAL, attributed, counts
from tests.support.clock import ManualClock
from tests.support.line import (
    HandAsker,
    bulky,
    events_on_disk,
    guard,
    label,
    line,
    no_room,
    recording,
    run_quickly,
    scan,
    see,
)

path = recorder_support.path
clock = recorder_support.clock


# --- a commit that fails ------------------------------------------------------------------------------


async def test_a_failed_commit_refuses_everybody_and_forgets_what_was_decided(
    path: Path, clock: ManualClock
) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100, 10)
        clock.pass_ms(1000)
        with no_room(recorder._journal):
            seen = [
                [see(clock, TOTAL, 103)],
                [bulky(see(clock, REJECT, None))],
                [see(clock, "press.state", 1)],
            ]
            answers = await asyncio.gather(*(recorder.emit(one) for one in seen), return_exceptions=True)
        assert [isinstance(one, NotRecorded) for one in answers] == [True] * 3
        assert len(events_on_disk(path)) == 2
        await counts(recorder, clock, 104, 11)
    assert attributed(path) == {("total", "UNASSIGNED"): 4, ("reject", "UNASSIGNED"): 1}
    assert [event["raw"] for event in events_on_disk(path) if event["type"] == "count"] == [100, 10, 104, 11]


async def test_a_scan_that_was_decided_but_not_recorded_never_happened(
    path: Path, clock: ManualClock
) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100, 10)
        with no_room(recorder._journal), pytest.raises(NotRecorded):
            await recorder.emit([scan(clock, "J WO-1001-10"), bulky(see(clock, REJECT, None))])
        await counts(recorder, clock, 101, 10)
        [outcome] = await recorder.emit([scan(clock, "J WO-1001-10")])
        assert outcome.words == "WO-1001-10 started at press, 100 of P7", (
            "it is no repeat of one that never was"
        )
    assert attributed(path) == {("total", "UNASSIGNED"): 1}


async def test_a_failed_commit_never_gives_parts_to_the_next_order(path: Path, clock: ManualClock) -> None:
    """The boundary's reading was lost with the commit: a held scan must not take it for read."""
    ask = HandAsker(TOTAL, REJECT)
    async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100, 10)
        scanned = group.create_task(_refused_or_not(recorder.emit([scan(clock, "J WO-1001-10")])))
        number = (await ask.next()).number
        clock.pass_ms(1000)
        answer = [see(clock, TOTAL, 105, answers=number), bulky(see(clock, "press.state", None))]
        with no_room(recorder._journal), pytest.raises(NotRecorded):
            await recorder.emit(answer)
        await recorder.emit([see(clock, REJECT, 10, answers=number)])
        await scanned
        await counts(recorder, clock, 105, 10)
    assert ("total", "WO-1001") not in attributed(path), (
        "the five parts were made before the scan was confirmed"
    )


async def _refused_or_not(emitting: Awaitable[list[Outcome]]) -> list[Outcome]:
    try:
        return await emitting
    except NotRecorded:
        return []


async def test_a_disk_that_is_full_for_long_costs_no_part(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100)
        with no_room(recorder._journal):
            for raw in range(101, 110):
                clock.pass_ms(1000)
                seen = [see(clock, TOTAL, raw), bulky(see(clock, REJECT, None))]
                with pytest.raises(NotRecorded):
                    await recorder.emit([*seen, see(clock, "gun-1", "rubbish")])
        await counts(recorder, clock, 110)
    assert attributed(path) == {("total", "UNASSIGNED"): 10}


async def test_a_journal_that_cannot_be_trusted_ends_the_recorder(path: Path, clock: ManualClock) -> None:
    journal = Journal(path)
    recorder = Recorder(line(), journal, HandAsker())
    with pytest.RaisesGroup(JournalError):
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            await counts(recorder, clock, 100)
            with apsw.Connection(str(path)) as db:
                db.execute("DROP TABLE event")
            db.close()
            with pytest.raises(NotRecorded, match="must start again"):
                await counts(recorder, clock, 101)
    with pytest.raises(NotRecorded, match="stopping"):
        await recorder.emit([see(clock, TOTAL, 102)])
    journal.close()


# --- pressure and the end -------------------------------------------------------------------------------


async def test_more_than_fits_waits_outside_and_keeps_its_order(path: Path, clock: ManualClock) -> None:
    """However many press in, readings come in the order they were given; none overtakes one that waits."""
    numbers = itertools.count(101)
    loop = asyncio.get_running_loop()
    async with recording(line(), path) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)

        async def one() -> None:
            clock.pass_ms(1000)
            await recorder.emit([see(clock, TOTAL, next(numbers))])

        for _ in range(3):
            waits = group.create_task(one())
            loop.call_soon(lambda: group.create_task(one()))  # it comes when there is room again
            recorder.post([*[see(clock, "nobody", 5)] * CAPACITY, see(clock, AGENT, "start")])
            await waits
            await counts(recorder, clock, next(numbers))
    events = [event for event in events_on_disk(path) if event["type"] == "count"]
    assert [event["raw"] for event in events] == list(range(100, 110))


def test_a_stop_leaves_nobody_waiting(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    answers: list[object] = []

    async def line_runs() -> None:
        async def emit(observation: Observation) -> None:
            try:
                answers.extend(await recorder.emit([observation]))
            except NotRecorded as error:
                answers.append(error)

        async with guard(20), asyncio.TaskGroup() as group, recording(line(), path, ask) as recorder:
            await counts(recorder, clock, 100)
            group.create_task(emit(scan(clock, "J WO-1001-10")))
            await ask.next()
            recorder.post([see(clock, REJECT, 5)] * CAPACITY)
            for number in range(50):
                group.create_task(emit(see(clock, TOTAL, 101 + number)))
            await asyncio.sleep(0)

    run_quickly(line_runs(), SLOWLY)
    assert len(answers) == 51
    assert any(isinstance(one, NotRecorded) for one in answers), "the held scan at least"


async def test_what_waits_at_the_end_is_written(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, AGENT, "start")])
        recorder.note_progress("file", [(1, 7)])
        recorder.note_rejected("file", 3, "too long")
        recorder.post([see(clock, TOTAL, 100), see(clock, AGENT, "stop")])
    assert [event["type"] for event in events_on_disk(path)] == ["health", "count", "health"]
    reader = JournalReader(path, "line-1")
    assert (reader.progress("file"), reader.rejected()) == ([(1, 7)], {"file": 1})
    reader.close()


async def test_progress_goes_with_the_next_events(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        recorder.note_progress("file", [(1, 7)])
        await counts(recorder, clock, 100)
        reader = JournalReader(path, "line-1")
        assert reader.progress("file") == [(1, 7)]
        reader.close()


def test_an_idle_lines_progress_is_written_though_time_is_ticking(path: Path) -> None:
    async def line_runs() -> None:
        clock = ManualClock()
        async with recording(line(), path) as recorder:
            await counts(recorder, clock, 100)
            recorder.note_progress("file", [(1, 1)])
            reader = JournalReader(path, "line-1")
            for _ in range(40):
                await asyncio.sleep(1)
                clock.pass_ms(1000)
                await recorder.emit([see(clock, TICK, None)])
            written = reader.progress("file")
            reader.close()
            assert written == [(1, 1)]

    run_quickly(line_runs(), 40)


def test_progress_that_finds_the_disk_full_does_not_end_the_agent(path: Path) -> None:
    async def line_runs() -> None:
        clock = ManualClock()
        async with recording(line(), path) as recorder:
            await counts(recorder, clock, 100)
            with no_room(recorder._journal):
                recorder.note_progress("file", [(number, number) for number in range(1, 9_000, 2)])
                await asyncio.sleep(40)
            await counts(recorder, clock, 101)

    run_quickly(line_runs(), 40)
    assert attributed(path) == {("total", "UNASSIGNED"): 1}


def test_label_of_the_tests_is_a_label() -> None:
    assert label("E 4711") == "$E4711I"


async def test_a_number_of_thousands_of_digits_is_no_count(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100)
        [outcome] = await recorder.emit([see(clock, TOTAL, 10**5000)])
        assert outcome.verdict in (Verdict.REFUSED, Verdict.QUARANTINED)
        await counts(recorder, clock, 101)
    assert attributed(path) == {("total", "UNASSIGNED"): 1}
