"""The recorder with a real journal: what is answered when, and what one bad observation undoes."""

import asyncio
from pathlib import Path

import apsw
import pytest

from edge.journal import Journal, JournalReader
from edge.observation import TICK, Quality, Verdict
from edge.production.line import Role
from edge.waiting import CAPACITY
from tests.line import recorder_support
from tests.line.recorder_support import REJECT, SLOWLY, TOTAL, attributed, counts, within_10_s
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


def test_a_full_queue_does_not_wait_for_company(path: Path, clock: ManualClock) -> None:
    """Samples wait 250 ms for others; where a commit's worth is there already, nothing is waited for."""

    async def line_runs() -> None:
        async with recording(line(), path) as recorder:
            await counts(recorder, clock, 100)
            loop = asyncio.get_running_loop()
            began = loop.time()
            for _ in range(4):
                recorder.post([see(clock, TOTAL, 100)] * (CAPACITY // 4))
            await recorder.emit([see(clock, TOTAL, 100)])
            assert loop.time() - began < 0.8

    run_quickly(line_runs(), SLOWLY)


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
