"""Replays: what did not happen, and the end of a process."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from edge.errors import NotRecorded
from edge.journal import Journal
from edge.observation import AGENT, Step, TestResult
from edge.replay import Replay, Segment, play
from tests.replay.replay_support import BOTH, REJECT, TOTAL, make_parts
from tests.replay.taped import (
    assert_complete,
    assert_the_same,
    journaled,
    recorded,
    replayed,
    taped,
)
from tests.support.clock import ManualClock
from tests.support.line import (
    HandAsker,
    bulky,
    line,
    no_room,
    scan,
    see,
)

# --- what did not happen ------------------------------------------------------------------------


async def test_what_a_failed_commit_took_back_is_in_no_segment(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 3)
        clock.pass_ms(700)
        with no_room(recorder._journal), pytest.raises(NotRecorded):
            await recorder.emit([scan(clock, "J WO-1001-10"), bulky(see(clock, REJECT, None))])
        await make_parts(recorder, clock, 103, 3)
    first, second = recorded(tmp_path)
    assert second.header.head == len(replayed(BOTH, first))
    assert all("gun-1" not in played.where for one in (first, second) for played in play(BOTH, one))
    assert_complete(BOTH, tmp_path)


async def test_a_held_scan_is_recorded_as_it_was_decided(tmp_path: Path) -> None:
    clock, ask = ManualClock(), HandAsker(TOTAL)
    async with taped(line(), tmp_path, ask=ask) as recorder, asyncio.TaskGroup() as group:
        await make_parts(recorder, clock, 100, 2)
        scanned = group.create_task(recorder.emit([scan(clock, "J WO-1001-10")]))
        number = (await ask.next()).number
        clock.pass_ms(400)
        await recorder.emit([see(clock, TOTAL, 102, answers=number)])
        await scanned
        await make_parts(recorder, clock, 103, 2)
    [segment] = recorded(tmp_path)
    fresh = [one.seen.fresh for _, one in segment.entries() if one.seen and one.seen.signal == "gun-1"]
    assert fresh == [(TOTAL,)], "once, behind the reading that it waited for"
    assert_complete(line(), tmp_path)


async def test_what_is_in_quarantine_changes_nothing_in_a_replay(tmp_path: Path) -> None:
    clock = ManualClock()
    Journal(tmp_path / "journal.db").close()
    with apsw.Connection(str(tmp_path / "journal.db")) as db:
        db.execute("INSERT INTO state (key, body) VALUES ('station/packer', ?)", (b'{"type":"line"}',))
    db.close()
    async with taped(BOTH, tmp_path) as recorder:
        await recorder.emit(
            [see(clock, TOTAL, 100), see(clock, "packer.good", 5), see(clock, AGENT, "start")]
        )
        await make_parts(recorder, clock, 101, 2)
    [segment] = recorded(tmp_path)
    assert [one.quarantined for one in play(BOTH, segment)] == [False, True, False, False, False]
    assert Replay(BOTH).run(segment).quarantined == 1
    assert_complete(BOTH, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1 << 70, 10**400, "caf\udce9"], ids=type)
async def test_what_no_json_can_hold_is_recorded_or_left_out(tmp_path: Path, value: float | str) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 2)
        await recorder.emit([see(clock, "gun-1", value), see(clock, TOTAL, value)])
        await make_parts(recorder, clock, 102, 2)
    assert_the_same(BOTH, tmp_path)
    counts = [fact for one in recorded(tmp_path) for fact in replayed(BOTH, one) if fact.type == "count"]
    assert len(counts) >= 4


async def test_a_measurement_that_is_no_number_is_replayed_as_none(tmp_path: Path) -> None:
    clock = ManualClock()
    steps_of = (Step("a", float("nan"), low=float("-inf")), Step("b", 1.5))
    async with taped(BOTH, tmp_path) as recorder:
        await recorder.emit([see(clock, "rig-press", TestResult("U1", "final", True, steps=steps_of))])
    assert b"null" in journaled(tmp_path)[0].data
    assert_complete(BOTH, tmp_path)


async def test_an_observation_larger_than_a_segment_is_left_out_and_a_new_one_begins(tmp_path: Path) -> None:
    clock, bound = ManualClock(), 64 * 1024
    async with taped(BOTH, tmp_path, bound) as recorder:
        await make_parts(recorder, clock, 100, 2)
        await recorder.emit([bulky(see(clock, REJECT, None)), see(clock, AGENT, "start")])
        await make_parts(recorder, clock, 102, 2)
    first, second = recorded(tmp_path)
    assert second.header.head == len(replayed(BOTH, first)) + 1
    assert_the_same(BOTH, tmp_path)


async def test_what_cannot_be_written_at_all_is_left_out_and_a_new_segment_begins(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 2)
        await recorder.emit([see(clock, "nobody", 10**5000), see(clock, AGENT, "start")])
        await make_parts(recorder, clock, 102, 2)
    assert len(recorded(tmp_path)) == 2
    assert_complete(BOTH, tmp_path)


async def test_a_disk_that_fails_ends_the_recording_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    (tmp_path / "record").write_text("a file where the folder should be")
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 5)
    assert len(journaled(tmp_path)) >= 5
    said = [record.message for record in caplog.records if "recording is switched off" in record.message]
    assert len(said) == 1


# --- the end of a process -------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [2, 50, 200])
def test_after_kill_9_the_recording_is_as_far_as_the_journal(tmp_path: Path, answers: int) -> None:
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.replay.taped", str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(answers):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    assert_the_same(line(), tmp_path)
    first, second = recorded(tmp_path)
    gave = len(replayed(line(), first))
    assert 0 <= second.header.head - gave <= 4, "one commit at the most was not written down any more"


async def test_a_torn_end_is_left_out_wherever_it_tore(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 6)
    [segment] = recorded(tmp_path)
    whole, facts = segment.path.read_bytes(), replayed(BOTH, segment)
    for length in range(whole.index(b"\n") + 1, len(whole)):
        segment.path.write_bytes(whole[:length])
        torn = Segment(segment.path)
        some = replayed(BOTH, torn)
        assert some == facts[: len(some)]
        assert torn.torn == (whole[length - 1 : length] != b"\n")
    segment.path.write_bytes(whole[:-40] + bytes(40))
    assert len(replayed(BOTH, segment)) < len(facts)
