"""Clocks that lie: what is held back in a doubt, and the right time afterwards."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge.batches import Batch
from edge.contract import TELEMETRY
from edge.errors import NotRecorded
from edge.journal import Journal, JournalReader
from edge.journal.retention import thin_telemetry
from edge.journal.store import encode_data
from edge.observation import Observation, Stamp
from edge.production.context import NO_CONTEXT
from edge.production.state import Job, Run, Station
from edge.recorder import Recorder
from edge.timekeeping import Timekeeper
from tests.line.clock_support import DAY_MS, HOUR_MS, doubtful, right, unsynced
from tests.support.clock import ManualClock
from tests.support.line import Core, HandAsker, bulky, line, no_room, recording, scan, see


def on_disk(path: Path) -> list[dict[str, Any]]:
    """As a sink gets it, with milliseconds."""
    reader = JournalReader(path, "line-1")
    try:
        return [
            {"id": one.id, "type": one.type, "at": one.at_ms, "seen": one.seen_ms, **one.data}
            for one in reader.records(1, reader.head())
        ]
    finally:
        reader.close()


def of_type(found: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [one for one in found if one["type"] == name]


async def test_events_of_a_doubt_wait_and_then_have_the_right_time_under_the_same_id(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, "press.total", 100)])
        clock.pass_ms(1_000)
        doubt = doubtful(clock)
        await recorder.emit([doubt])
        assert recorder.sendable == 1
        for raw in (101, 103):
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, "press.total", raw)])
        assert (recorder.sendable, recorder.head) == (1, 5)
        before = on_disk(path)
        reader = JournalReader(path, "line-1")
        committed = reader.facts(1, 100)
        clock.pass_ms(1_000)
        await recorder.emit([right(clock, doubt, DAY_MS)])
        assert recorder.sendable == recorder.head == 6
        after = on_disk(path)
        assert [one["id"] for one in after[:5]] == [one["id"] for one in before]
        assert after[0] == before[0], "what was stamped before the doubt stays as it is"
        for was, now in zip(before[1:], after[1:5], strict=True):
            assert (now["at"], now["seen"]) == (was["at"] + DAY_MS, was["seen"] + DAY_MS)
        assert after[-1]["at"] == clock.wall_ms()
        assert reader.facts(1, 5) == committed, "what was committed can still be told"
        reader.close()


async def test_what_is_held_back_is_held_over_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    async with recording(line(), path) as recorder:
        doubt = doubtful(clock)
        await recorder.emit([see(clock, "press.total", 100), doubt])
    async with recording(line(), path) as recorder:
        assert recorder.sendable == 0
        await recorder.emit([right(clock, doubt, 0)])
        assert recorder.sendable == recorder.head == 3


def test_telemetry_of_a_doubt_is_moved_too_and_stays_so_when_it_is_thinned(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    core = Core(line())
    doubt = doubtful(clock)
    began_ms, shift_ms = clock.wall_ms(), HOUR_MS
    journal = Journal(path)

    def commit(seen: Observation) -> None:
        decision = core.see(seen)
        events = [(event, encode_data(event.data)) for event in decision.events]
        timings = [decision.timing] if decision.timing else []
        journal.commit(events, decision.rows, timings=timings)

    def batch(name: str) -> Batch:
        now_ms = clock.wall_ms()
        frames = [b'{"at":%d,"values":{"zone_1":%d}}' % (now_ms + n, n) for n in range(20)]
        return Batch(
            name, "", now_ms, now_ms, clock.mono_ms(), clock.boot, Stamp.RECEIPT, b",".join(frames), 20
        )  # fmt: skip

    commit(doubt)
    clock.pass_ms(5_000)
    journal.commit(telemetry=[(batch("oven"), NO_CONTEXT)])
    commit(right(clock, doubt, shift_ms))
    journal.commit(telemetry=[(batch("mill"), NO_CONTEXT)])
    reader = JournalReader(path, "line-1")
    try:
        for _ in range(2):
            oven, mill = (one for one in reader.records(1, 100) if one.type == TELEMETRY)
            assert oven.at_ms in range(began_ms + 5_000 + shift_ms, began_ms + 5_020 + shift_ms)
            assert oven.data["frames"][0]["at"] == oven.at_ms
            assert mill.data["frames"][0]["at"] == mill.at_ms
            thin_telemetry(journal, ["file"], acknowledged=False)
    finally:
        reader.close()
        journal.close()


async def test_times_that_an_event_tells_of_are_right_too(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    async with recording(line(), path) as recorder:
        await recorder.emit([scan(clock, "E 4711", fresh=())])
        doubt = doubtful(clock)
        await recorder.emit([doubt])
        for text in ("J WO-1001", "C DONE"):
            clock.pass_ms(2_000)
            await recorder.emit([scan(clock, text, fresh=())])
        [before] = of_type(on_disk(path), "result")
        reader = JournalReader(path, "line-1")
        committed = reader.facts(1, 100)
        await recorder.emit([right(clock, doubt, DAY_MS)])
        [after] = of_type(on_disk(path), "result")
        for key in ("at", "started_ms", "ended_ms"):
            assert after[key] == before[key] + DAY_MS
        assert reader.facts(1, len(committed)) == committed
        reader.close()


async def test_a_scan_that_was_stamped_in_the_doubt_and_decided_after_it_has_the_right_time(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    async with recording(line(), path) as recorder:
        doubt = doubtful(clock)
        await recorder.emit([doubt])
        clock.pass_ms(500)
        late = scan(clock, "J WO-1001", fresh=())
        clock.pass_ms(500)
        await recorder.emit([right(clock, doubt, -HOUR_MS)])
        await recorder.emit([late])
        [order] = of_type(on_disk(path), "order")
        assert order["at"] == late.at_ms - HOUR_MS
    with_journal = Journal(path)
    row = with_journal.row("station/press")
    with_journal.close()
    assert isinstance(row, Station)
    assert row.run is not None
    assert row.run.started_ms == late.at_ms - HOUR_MS


@pytest.mark.parametrize("shift_ms", [-HOUR_MS, DAY_MS])
async def test_a_time_has_its_correction_also_where_the_two_clocks_were_read_far_apart(
    tmp_path: Path, shift_ms: int
) -> None:
    """A loaded box holds a process up between the two."""
    path, clock = tmp_path / "journal.db", ManualClock()

    def held_up(observation: Observation) -> Observation:
        return replace(observation, mono_ms=observation.mono_ms + 400)

    async with recording(line(), path) as recorder:
        doubt = doubtful(clock)
        await recorder.emit([doubt])
        clock.pass_ms(500)
        in_time = held_up(see(clock, "press.total", 100))
        await recorder.emit([in_time])
        late = held_up(scan(clock, "J WO-1001", fresh=()))
        clock.pass_ms(500)
        await recorder.emit([right(clock, doubt, shift_ms)])
        await recorder.emit([late])
    found = on_disk(path)
    for kind in ("count", "order"):
        [event] = of_type(found, kind)
        assert (event["at"], event["seen"]) == (in_time.at_ms + shift_ms, in_time.seen_ms + shift_ms)


def test_rows_of_a_run_that_began_in_the_doubt_are_moved_with_its_events() -> None:
    core, clock = Core(line()), ManualClock()
    core.see(scan(clock, "E 4711", fresh=()))
    clock.pass_ms(2_000)
    doubt = doubtful(clock)
    core.see(doubt)
    clock.pass_ms(2_000)
    core.see(scan(clock, "J WO-1001", fresh=()))
    begun_ms = clock.wall_ms()
    clock.pass_ms(2_000)
    core.see(scan(clock, "C DONE", fresh=()))
    clock.pass_ms(2_000)
    core.see(right(clock, doubt, DAY_MS))
    run, job = core.row("run/r1"), core.row("job/WO-1001/10")
    assert isinstance(run, Run)
    assert isinstance(job, Job)
    assert (run.started_ms, run.ended_ms) == (begun_ms + DAY_MS, begun_ms + DAY_MS + 2_000)
    assert job.started_ms == begun_ms + DAY_MS
    assert run.mono_ms < clock.mono_ms()


async def test_a_word_about_the_clock_outlives_a_full_disk_and_comes_before_all_else(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", unsynced()
    journal = Journal(path)
    keeper = Timekeeper(clock)
    recorder = Recorder(line(), journal, HandAsker(), first=keeper.words)
    task = asyncio.ensure_future(recorder.run())
    try:
        await recorder.emit([see(clock, "press.total", 100)])
        clock.step_ms(-HOUR_MS)
        keeper.look()
        with no_room(journal), pytest.raises(NotRecorded):
            await recorder.emit([bulky(see(clock, "press.total", 101))])
        clock.pass_ms(1_000)
        await recorder.emit([see(clock, "press.total", 102)])
        types = [one["type"] for one in on_disk(path)]
        assert types[:2] == ["count", "loss"]
        assert types.index("clock") < types.index("gap")
        assert recorder.sendable == 1
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        journal.close()
