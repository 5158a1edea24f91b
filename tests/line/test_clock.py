"""Clocks that lie: what is told of them, what is held back, and the right time afterwards."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters._line_protocol import lines
from edge.batches import Batch
from edge.contract import TELEMETRY, Record
from edge.errors import NotRecorded
from edge.journal import Journal, JournalReader
from edge.journal.retention import thin_telemetry
from edge.journal.store import encode_data
from edge.observation import CLOCK, ClockWord, Observation, Stamp
from edge.production.context import NO_CONTEXT
from edge.production.state import Job, Run, Station
from edge.recorder import Recorder
from edge.timekeeping import BACK_MS, BUILT_MS, PATIENCE_MS, STEP_MS, Last, Timekeeper
from simulators.labels import label
from simulators.launch import simulator
from tests.line.test_agent import LINE, made, packer, scan_until_answered
from tests.support.agent import Agent, running_agent
from tests.support.clock import ManualClock
from tests.support.line import Core, HandAsker, bulky, line, no_room, recording, scan, see

MAY_MS = 1_777_900_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def unsynced(wall_ms: int = MAY_MS, mono_ms: int = 20_000, boot: str = "b0") -> ManualClock:
    clock = ManualClock(wall_ms, mono_ms, boot)
    clock.is_synced = False
    return clock


def told(keeper: Timekeeper) -> list[ClockWord]:
    words = [one.value for one in keeper.words()]
    assert all(isinstance(word, ClockWord) for word in words)
    return [word for word in words if isinstance(word, ClockWord)]


# --- the keeper -----------------------------------------------------------------------------


def test_a_clock_that_runs_is_the_clock() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock, Last(MAY_MS - 60_000, 5_000, "b-1"))
    for _ in range(100):
        clock.pass_ms(1_000)
        clock.step_ms(10)  # a time server slews it
        assert keeper.wall_ms() == clock.wall_ms()
    assert told(keeper) == []


@pytest.mark.parametrize("step_ms", [STEP_MS + 1, 30 * DAY_MS, -STEP_MS - 1, -BACK_MS + 1])
def test_a_step_that_may_be_right_is_told_and_taken(step_ms: int) -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(step_ms)
    assert keeper.wall_ms() == clock.wall_ms()
    assert told(keeper) == [ClockWord("stepped", step_ms=step_ms)]
    assert told(keeper) == [], "each is told once"


def test_a_clock_set_back_by_a_time_server_is_right() -> None:
    clock = ManualClock()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    assert [word.state for word in told(keeper)] == ["stepped"]


def test_a_clock_set_back_by_nobody_known_is_doubted_until_it_is_back() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    began_ms = keeper.wall_ms()
    assert began_ms == clock.wall_ms() + HOUR_MS, "the monotonic clock goes on"
    clock.pass_ms(5_000)
    assert keeper.wall_ms() == began_ms + 5_000
    assert not keeper.synced()
    clock.step_ms(HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    doubtful, right = told(keeper)
    assert (doubtful.state, doubtful.since_ms, doubtful.step_ms) == ("doubtful", began_ms, -HOUR_MS)
    assert (right.state, right.since_ms, right.shift_ms, right.certain) == ("right", began_ms, 0, True)


def test_patience_with_a_clock_that_is_merely_behind_ends() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock)
    clock.step_ms(-HOUR_MS)
    keeper.look()
    clock.pass_ms(PATIENCE_MS)
    keeper.look()
    assert keeper.wall_ms() == clock.wall_ms()
    _, right = told(keeper)
    assert (right.state, right.shift_ms, right.certain) == ("right", -HOUR_MS, False)


def test_a_start_in_1970_is_dated_after_the_last_event_and_corrected() -> None:
    last = Last(MAY_MS, 9_000, "b0")
    clock = unsynced(5_000, 3_000, "b1")
    keeper = Timekeeper(clock, last)
    assert keeper.wall_ms() == MAY_MS + 1
    clock.pass_ms(60_000)
    assert keeper.wall_ms() == MAY_MS + 60_001
    clock.pass_ms(PATIENCE_MS)
    assert keeper.reason, "no patience makes 1970 right"
    clock.step_ms(MAY_MS + DAY_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    doubtful, right = told(keeper)
    assert doubtful.since_ms == MAY_MS + 1
    assert right.shift_ms == clock.wall_ms() - (MAY_MS + PATIENCE_MS + 60_001)
    assert right.offset_ms == MAY_MS + 1 - 3_000


def test_the_first_start_of_all_in_1970_is_dated_when_it_was_built() -> None:
    keeper = Timekeeper(unsynced(0))
    assert keeper.wall_ms() == BUILT_MS


def test_a_clock_that_goes_on_from_where_the_box_was_switched_off_waits_for_a_server() -> None:
    clock = unsynced(MAY_MS - HOUR_MS, 3_000, "b1")
    keeper = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"))
    assert keeper.reason
    clock.is_synced = True
    clock.step_ms(3 * HOUR_MS)
    assert keeper.wall_ms() == clock.wall_ms()
    assert [word.state for word in told(keeper)] == ["doubtful", "right"]


def test_where_the_line_says_so_only_a_time_server_is_believed() -> None:
    clock = unsynced()
    keeper = Timekeeper(clock, Last(MAY_MS - 5_000, 1, "b9"), require_ntp=True)
    clock.pass_ms(2 * PATIENCE_MS)
    keeper.look()
    assert keeper.reason == "no time server has set it"
    clock.is_synced = True
    keeper.look()
    assert keeper.reason == ""
    assert [word.state for word in told(keeper)] == ["doubtful", "right"]


def test_a_doubt_goes_on_over_a_restart_of_the_agent() -> None:
    clock = unsynced(5_000, 3_000, "b1")
    before = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"))
    since_ms = before.wall_ms()
    clock.pass_ms(10_000)
    last = Last(before.wall_ms(), clock.mono_ms(), "b1", since_ms)
    clock.pass_ms(10_000)
    keeper = Timekeeper(clock, last)
    assert keeper.wall_ms() == since_ms + 20_000
    assert told(keeper) == []
    clock.step_ms(MAY_MS + DAY_MS)
    keeper.look()
    [right] = told(keeper)
    assert (right.state, right.since_ms) == ("right", since_ms)


def test_a_box_started_again_with_a_right_clock_ends_the_doubt_of_before() -> None:
    keeper = Timekeeper(unsynced(MAY_MS + DAY_MS, 1, "b2"), Last(MAY_MS, 9_000, "b1", MAY_MS - 60_000))
    [right] = told(keeper)
    assert (right.state, right.shift_ms, right.certain) == ("right", 0, False)


def test_a_step_while_the_agent_was_off_is_told() -> None:
    clock = unsynced()
    last = Last(clock.wall_ms(), clock.mono_ms(), "b0")
    clock.pass_ms(HOUR_MS)
    clock.step_ms(2_000)  # slewed
    assert told(Timekeeper(clock, last)) == []
    clock.step_ms(60_000)
    assert [word.step_ms for word in told(Timekeeper(clock, last))] == [62_000]


steps = st.lists(
    st.tuples(st.integers(0, 1_000_000), st.integers(-40 * DAY_MS, 40 * DAY_MS), st.booleans()), max_size=20
)


@given(moves=steps, start_ms=st.sampled_from([0, BUILT_MS, MAY_MS]), require=st.booleans())
def test_times_of_a_doubt_are_in_order_and_shifted_by_one_number(
    moves: list[tuple[int, int, bool]], start_ms: int, require: bool
) -> None:
    clock = unsynced(start_ms, 5_000, "b1")
    keeper = Timekeeper(clock, Last(MAY_MS, 9_000, "b0"), require_ntp=require)
    stamped: list[tuple[int, int]] = []
    for passed_ms, step_ms, synced in moves:
        clock.pass_ms(passed_ms)
        clock.step_ms(max(step_ms, -clock.wall_ms()))
        clock.is_synced = synced
        was = keeper.reason
        at_ms = keeper.wall_ms()
        for word in told(keeper):
            if word.state == "right":
                assert {seen - mono for seen, mono in stamped} <= {word.offset_ms}
                assert at_ms == clock.wall_ms()
                stamped.clear()
            assert word.state != "stepped" or not was
        if keeper.reason:
            stamped.append((at_ms, clock.mono_ms()))
            assert at_ms >= BUILT_MS
        else:
            assert abs(at_ms - clock.wall_ms()) <= STEP_MS
    assert [at for at, _ in stamped] == sorted(at for at, _ in stamped)


# --- what was stamped in a doubt ------------------------------------------------------------


def doubtful(clock: ManualClock) -> Observation:
    now_ms = clock.wall_ms()
    word = ClockWord("doubtful", "a test", since_ms=now_ms, offset_ms=now_ms - clock.mono_ms())
    return see(clock, CLOCK, word)


def right(clock: ManualClock, doubt: Observation, shift_ms: int) -> Observation:
    assert isinstance(doubt.value, ClockWord)
    clock.step_ms(shift_ms)
    word = ClockWord("right", "a test", 0, doubt.value.since_ms, doubt.value.offset_ms, shift_ms)
    return see(clock, CLOCK, word)


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


# --- a real agent under a clock that is set -------------------------------------------------

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def agent(folder: Path, packer: str, offset: str) -> AbstractAsyncContextManager[Agent]:
    """Its wall clock is what `clock.rc` says; the monotonic one is the machine's."""
    assert FAKETIME is not None, "apt-get install faketime"
    set_to = folder / "clock.rc"
    set_to.write_text(offset)
    environment = {
        **os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(set_to),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    return running_agent(folder, LINE.format(folder=folder, packer=packer), environment)


def journaled(folder: Path) -> list[Record]:
    reader = JournalReader(folder / "data/journal.db", "line-1")
    try:
        return reader.records(1, reader.head(), 1_000_000)
    finally:
        reader.close()


def parts(folder: Path) -> dict[str | None, int]:
    """By order, as the journal has them."""
    found: dict[Any, int] = {}
    for one in journaled(folder):
        if one.type == "count":
            order = one.context.get("order")
            found[order] = found.get(order, 0) + one.data["produced"]
    return {order: made for order, made in found.items() if made}


async def more_parts(running: Agent, number: int = 15) -> None:
    before = sum(parts(running.folder).values())
    await running.until(lambda: sum(parts(running.folder).values()) >= before + number)


def clock_words(folder: Path) -> list[str]:
    return [one.data["state"] for one in journaled(folder) if one.type == "clock"]


def delivered(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "data/out/file/events.jsonl").read_text().splitlines()
    return [json.loads(one) for one in lines]


def all_is_delivered_once(folder: Path) -> None:
    ids = [one["id"] for one in delivered(folder)]
    assert len(ids) == len(set(ids))
    assert set(ids) == {one.id for one in journaled(folder)}


@pytest.mark.timeout(90)
async def test_a_clock_set_back_an_hour_and_forward_30_days_changes_no_order_and_no_total(
    tmp_path: Path,
) -> None:
    async with (
        packer(tmp_path, "--tcp", "--cycle", "0.1") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"', "+0") as running,
    ):
        await running.until(lambda: "gun-1: connected" in running.log)
        await running.until(lambda: len(running.events("count")) == 2)
        assert await scan_until_answered(gun, label("J", "WO-1-10")) == "confirmed"
        await machine.do("start")
        await more_parts(running)
        for offset in ("-1h", "+0", "+30d"):
            words = len(clock_words(tmp_path))
            (tmp_path / "clock.rc").write_text(offset)
            await running.until(lambda words=words: len(clock_words(tmp_path)) > words)  # type: ignore[misc]
            await more_parts(running)
        await machine.do("stop")
        await running.until(lambda: sum(parts(tmp_path).values()) == made(tmp_path))
        await running.until(lambda: len(delivered(tmp_path)) == len(journaled(tmp_path)))
        assert await running.stop() == 0
    assert parts(tmp_path) == {"WO-1": made(tmp_path)}
    assert clock_words(tmp_path)[-1] == "stepped"
    all_is_delivered_once(tmp_path)
    cycles = [one.data["cycle_s"] for one in journaled(tmp_path) if one.type == "cycle"]
    assert max(cycles) < 60, "no cycle has the length of a step"


@pytest.mark.timeout(90)
async def test_a_start_in_1970_counts_and_tells_the_right_time_afterwards(tmp_path: Path) -> None:
    begun_ms = time.time_ns() // 1_000_000
    async with (
        packer(tmp_path, "--tcp", "--cycle", "0.1") as machine,
        simulator("scanner", "--link", str(tmp_path / "gun-1")) as gun,
        agent(tmp_path, f'host = "tcp://127.0.0.1:{machine.where.port}"', "-56y") as running,
    ):
        await running.until(lambda: "gun-1: connected" in running.log)
        await running.until(lambda: [one.type for one in journaled(tmp_path)].count("count") == 2)
        assert await scan_until_answered(gun, label("J", "WO-1-10")) == "confirmed"
        await machine.do("start")
        await more_parts(running)
        assert delivered(tmp_path) == [], "nothing goes out with such a time"
        held = {one.id for one in journaled(tmp_path)}
        (tmp_path / "clock.rc").write_text("+0")
        await running.until(lambda: clock_words(tmp_path) == ["doubtful", "right"])
        await more_parts(running)
        await machine.do("stop")
        await running.until(lambda: sum(parts(tmp_path).values()) == made(tmp_path))
        await running.until(lambda: len(delivered(tmp_path)) == len(journaled(tmp_path)))
        assert await running.stop() == 0
    assert parts(tmp_path) == {"WO-1": made(tmp_path)}
    all_is_delivered_once(tmp_path)
    found = journaled(tmp_path)
    assert held < {one.id for one in found}
    ended_ms = time.time_ns() // 1_000_000
    assert all(begun_ms <= one.seen_ms <= ended_ms for one in found)
    counted = [one.seen_ms for one in found if one.type == "count"]  # the word about the clock goes first
    assert counted == sorted(counted)
    stamps = [line.rsplit(" ", 1)[1] for one in found for line in lines(one)[:1]]
    assert len(stamps) == len(set(stamps))
