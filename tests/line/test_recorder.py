"""The recorder with a real journal: what is answered when, what a failure undoes, what a stop leaves."""

import asyncio
import itertools
from collections.abc import Awaitable
from pathlib import Path

import apsw
import pytest

from edge.errors import JournalError, NotRecorded
from edge.journal import Journal, JournalReader
from edge.observation import AGENT, TICK, Observation, Outcome, Quality, Verdict
from edge.production.line import Role
from edge.recorder import Recorder
from edge.waiting import CAPACITY
from tests.support.clock import ManualClock
from tests.support.line import (
    HandAsker,
    bulky,
    counter,
    events_on_disk,
    guard,
    label,
    line,
    no_room,
    recording,
    run_quickly,
    scan,
    see,
    station,
)

TOTAL, REJECT = "press.total", "press.reject"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def counts(recorder: Recorder, clock: ManualClock, *readings: int, answers: int = 0) -> list[Outcome]:
    """Read total, and reject where a second number is given."""
    clock.pass_ms(1000)
    seen = [
        see(clock, signal, raw, answers=answers)
        for signal, raw in zip((TOTAL, REJECT), readings, strict=False)
    ]
    return await recorder.emit(seen)


def attributed(path: Path) -> dict[tuple[str, str], int]:
    """Parts by role and order, as the journal has them."""
    parts: dict[tuple[str, str], int] = {}
    for event in events_on_disk(path):
        if event["type"] == "count":
            place = (event["role"], event["context"].get("order", "UNASSIGNED"))
            parts[place] = parts.get(place, 0) + event["produced"]
    return {place: made for place, made in parts.items() if made}


async def within_10_s(waiting: Awaitable[list[Outcome]]) -> list[Outcome]:
    async with guard():
        return await waiting


# --- answers ------------------------------------------------------------------------------------


async def test_an_answer_comes_when_it_is_on_disk(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        outcomes = await counts(recorder, clock, 100, 10)
        assert [outcome.verdict for outcome in outcomes] == [Verdict.ACCEPTED] * 2
        assert [event["raw"] for event in events_on_disk(path)] == [100, 10]


async def test_nothing_is_answered_with_nothing(path: Path) -> None:
    async with recording(line(), path) as recorder:
        assert await within_10_s(recorder.emit([])) == []


async def test_no_event_no_write(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100, 10)
        before = path.with_name("journal.db-wal").stat()
        for _ in range(3):
            await counts(recorder, clock, 100, 10)
            clock.pass_ms(1000)
            await recorder.emit([see(clock, TICK, None)])
        after = path.with_name("journal.db-wal").stat()
        assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


async def test_observations_of_one_call_are_decided_in_their_order(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        seen = [
            see(clock, TOTAL, 100),
            scan(clock, "J WO-1001-10"),
            see(clock, "nobody", 1),
            scan(clock, "J WO-9"),
        ]
        clock.pass_ms(1000)
        outcomes = await recorder.emit([*seen, see(clock, TOTAL, 101)])
    assert [str(one.verdict) for one in outcomes] == [
        "accepted",
        "accepted",
        "refused",
        "refused",
        "accepted",
    ]
    assert [event["type"] for event in events_on_disk(path)] == ["count", "order", "scan", "scan", "count"]


async def test_a_listener_hears_of_a_commit_that_it_can_read(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder, asyncio.timeout(10):
        committed = recorder.listen()
        reader = JournalReader(path, "line-1")
        recorder.post([see(clock, TOTAL, 100)])
        await committed.wait()
        assert reader.head() == recorder.head == 1
        recorder.unlisten(committed)
        reader.close()


async def test_cancelling_does_not_withdraw(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        committed = recorder.listen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await recorder.emit([see(clock, TOTAL, 100)])
        async with asyncio.timeout(10):
            await committed.wait()
        assert len(events_on_disk(path)) == 1


async def test_a_full_queue_does_not_wait_for_company(path: Path, clock: ManualClock) -> None:
    """Samples wait 250 ms for others; where a commit's worth is there already, nothing is waited for."""
    async with recording(line(), path) as recorder:
        await counts(recorder, clock, 100)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(4):
            recorder.post([see(clock, TOTAL, 100)] * (CAPACITY // 4))
        await recorder.emit([see(clock, TOTAL, 100)])
        assert loop.time() - began < 0.8


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


# --- one bad observation ----------------------------------------------------------------------------


def damage(path: Path, key: str) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("INSERT OR REPLACE INTO state (key, body) VALUES (?, ?)", (key, b'{"type":"line"}'))
        assert db.changes() == 1
    db.close()


async def test_an_observation_that_cannot_be_decided_is_kept_and_the_others_go_on(
    path: Path, clock: ManualClock
) -> None:
    Journal(path).close()
    damage(path, "station/packer")
    both = line(station(), station("packer", counter("packer", Role.GOOD)))
    async with recording(both, path) as recorder:
        seen = [see(clock, TOTAL, 100), see(clock, "packer.good", 5), see(clock, REJECT, 10)]
        outcomes = await recorder.emit(seen)
        assert [str(one.verdict) for one in outcomes] == ["accepted", "quarantined", "accepted"]
        assert [one.recorded for one in outcomes] == [True, False, True]
    assert [event["raw"] for event in events_on_disk(path)] == [100, 10]
    reader = JournalReader(path, "line-1")
    assert reader.quarantined() == 1
    assert dict(reader.rows("counter/plc|packer")) == {}, "it changed nothing"
    reader.close()


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800"], ids=ascii)
async def test_a_text_that_no_json_can_hold_harms_only_itself(
    path: Path, clock: ManualClock, text: str
) -> None:
    async with recording(line(), path) as recorder:
        seen = [see(clock, TOTAL, 100), see(clock, "gun-1", text), see(clock, "press.state", 1, detail=text)]
        outcomes = await within_10_s(recorder.emit([*seen, see(clock, REJECT, 10)]))
        assert [one.verdict for one in outcomes][::3] == [Verdict.ACCEPTED] * 2
        assert outcomes[1].verdict in (Verdict.QUARANTINED, Verdict.REFUSED)
        await counts(recorder, clock, 101, 11)


async def test_a_quarantined_answer_is_no_boundary(path: Path, clock: ManualClock) -> None:
    """A fresh reading that could not be decided did not move the baseline: nothing begins there."""
    ask = HandAsker(TOTAL)
    async with recording(line(), path, ask) as recorder, asyncio.TaskGroup() as group:
        await counts(recorder, clock, 100)
        scanned = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        number = (await ask.next()).number
        undecidable = see(clock, TOTAL, None, answers=number, quality=Quality.UNCERTAIN, detail="\ud800")
        [outcome] = await within_10_s(recorder.emit([undecidable]))
        assert outcome.verdict is Verdict.QUARANTINED
        await within_10_s(scanned)
        await counts(recorder, clock, 104)
    assert ("total", "WO-1001") not in attributed(path)


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


async def test_a_stop_leaves_nobody_waiting(path: Path, clock: ManualClock) -> None:
    ask = HandAsker(TOTAL)
    answers: list[object] = []

    async def emit(observation: Observation) -> None:
        try:
            answers.extend(await recorder.emit([observation]))
        except NotRecorded as error:
            answers.append(error)

    async with (
        asyncio.timeout(20),
        asyncio.TaskGroup() as group,
        recording(line(), path, ask) as recorder,
    ):
        await counts(recorder, clock, 100)
        group.create_task(emit(scan(clock, "J WO-1001-10")))
        await ask.next()
        recorder.post([see(clock, REJECT, 5)] * CAPACITY)
        for number in range(50):
            group.create_task(emit(see(clock, TOTAL, 101 + number)))
        await asyncio.sleep(0)
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
