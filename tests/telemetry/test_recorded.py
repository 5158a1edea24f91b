"""Telemetry in the journal: beside the events, under the same numbers, with the context of its station."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge.batches import TelemetryTable
from edge.errors import NotRecorded
from edge.intake import SourceIntake
from edge.journal import Journal, JournalReader
from edge.journal.reader import MOST_BYTES
from edge.observation import Quality
from edge.production import Line
from edge.record import TELEMETRY, Record
from edge.recorder import Recorder
from edge.recording import Tape
from edge.replay import Replay
from edge.sifting import NoValue, Sampled
from edge.telemetry import CAPACITY, DROPPED, Telemetry, signal_of
from tests.replay.taped import recorded
from tests.support.clock import ManualClock
from tests.support.line import HandAsker, bulky, line, no_room, scan, see

A, B = signal_of("oven", "a"), signal_of("oven", "b")
TOTAL = "press.total"
MANY = [f"s{number}" for number in range(1000)]


def tables(*names: str) -> list[TelemetryTable]:
    return [TelemetryTable("oven", "press", {name: Sampled(name) for name in names or ("a", "b")})]


@asynccontextmanager
async def recording(
    folder: Path, clock: ManualClock, of: list[TelemetryTable] | None = None, tape: bool = False
) -> AsyncIterator[tuple[Recorder, SourceIntake]]:
    made: Line = line()
    journal = Journal(folder / "journal.db")
    written = Tape(folder / "record", 10**8, made, journal, clock.boot) if tape else None
    recorder = Recorder(made, journal, HandAsker(), written, Telemetry(of or tables(), clock.boot))
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(recorder.run())
            await asyncio.sleep(0)  # a task that was never begun ends without a word
            yield recorder, SourceIntake("plc", clock, recorder, lambda: None)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        if written is not None:
            written.close()
        journal.close()


def on_disk(folder: Path) -> list[Record]:
    reader = JournalReader(folder / "journal.db", "line-1")
    try:
        found: list[Record] = []
        while more := reader.records(found[-1].seq + 1 if found else 1, reader.head()):
            found += more
        return found
    finally:
        reader.close()


def batches(folder: Path) -> list[Record]:
    return [one for one in on_disk(folder) if one.type == TELEMETRY]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


# --- beside the events ----------------------------------------------------------------------------


async def test_a_lane_is_on_disk_within_half_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (recorder, intake):
        lane = intake.lane([A, B])
        for reading in ([1, 20.5], [1, 21.0]):
            intake.sample(lane, reading)
            clock.pass_ms(100)
        async with asyncio.timeout(0.5):
            await until(lambda: recorder.head)
    [batch] = batches(tmp_path)
    start = clock.wall_ms() - 200
    assert (batch.name, batch.station, batch.at_ms, batch.stamp) == ("oven", "press", start, "receipt")
    assert batch.data == {
        "name": "oven",
        "frames": [{"at": start, "values": {"a": 1, "b": 20.5}}, {"at": start + 100, "values": {"b": 21.0}}],
    }
    whole: dict[str, Any] = json.loads(batch.json)
    assert batch.body in batch.json, "encoded once"
    assert (whole["id"], whole["type"], whole["seq"]) == (batch.id, TELEMETRY, batch.seq)


async def test_changes_of_a_channel_are_on_disk_within_half_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (recorder, intake):
        channel = intake.channel([B, A])
        intake.changes(channel, [])
        before = intake.last_data_mono_ms
        intake.changes(channel, [(0, 20.5, 30), (1, 1, 20), (0, 21.0, 10), (1, NoValue("BadTimeout"), None)])
        assert (before, intake.last_data_mono_ms) == (None, clock.mono_ms()), "nothing is no data"
        async with asyncio.timeout(0.5):
            await until(lambda: recorder.head)
    now = clock.wall_ms()
    dated, undated = batches(tmp_path)
    assert (dated.station, dated.stamp, dated.at_ms) == ("press", "source", now - 30)
    assert dated.data["frames"] == [
        {"at": now - 30, "values": {"b": 20.5}},
        {"at": now - 20, "values": {"a": 1}},
        {"at": now - 10, "values": {"b": 21.0}},
    ]
    assert (undated.stamp, undated.data["frames"]) == ("receipt", [{"at": now, "bad": {"a": "BadTimeout"}}])


async def test_a_channel_is_of_telemetry_alone(tmp_path: Path) -> None:
    async with recording(tmp_path, ManualClock()) as (_, intake):
        with pytest.raises(KeyError):
            intake.channel([A, TOTAL])


async def test_one_by_one_it_is_accepted_and_the_rest_is_decided(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (_, intake):
        seen = [
            intake.observe(A, 1),
            intake.observe(TOTAL, 100),
            intake.observe(B, 2.0),
            intake.observe("x", 1),
        ]
        outcomes = await intake.emit(seen)
        assert [str(one.verdict) for one in outcomes] == ["accepted", "accepted", "accepted", "refused"]
        assert [str(one.verdict) for one in await intake.emit(seen[:1])] == ["accepted"]
    assert [one.type for one in on_disk(tmp_path)] == ["count", TELEMETRY]
    [batch] = batches(tmp_path)
    assert batch.data["frames"] == [{"at": clock.wall_ms(), "values": {"a": 1, "b": 2.0}}]


async def test_why_there_is_none_is_kept(tmp_path: Path) -> None:
    async with recording(tmp_path, ManualClock()) as (_, intake):
        await intake.emit([intake.observe(A, None, quality=Quality.BAD, detail="unit 4 is lost")])
    [batch] = batches(tmp_path)
    assert batch.data["frames"][0]["bad"] == {"a": "unit 4 is lost"}


async def test_its_context_is_the_run_at_its_station(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (recorder, intake):
        intake.sample(lane := intake.lane([A]), [1])
        await until(lambda: recorder.head)
        await recorder.emit([scan(clock, "J WO-1002")])
        head = recorder.head
        intake.sample(lane, [2])
        await until(lambda: recorder.head > head)
    before, after = batches(tmp_path)
    assert before.context == {}
    assert (after.context["order"], after.context["batch"]) == ("WO-1002", "L12")
    numbers = [one.seq for one in on_disk(tmp_path)]
    assert numbers == list(range(1, numbers[-1] + 1)), "one order for both"


async def test_what_waits_at_the_stop_is_written(tmp_path: Path) -> None:
    async with recording(tmp_path, ManualClock()) as (recorder, intake):
        intake.sample(intake.lane([A]), [1])
        assert recorder.head == 0
    assert len(batches(tmp_path)) == 1


async def test_large_batches_come_a_few_at_a_time_and_in_their_order(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock, tables(*MANY)) as (recorder, intake):
        lane = intake.lane([signal_of("oven", name) for name in MANY])
        for number in range(240):
            intake.sample(lane, [number] * 1000)
            clock.pass_ms(1000)
            if number % 40 == 0:
                await intake.emit([intake.observe(TOTAL, 100 + number)])
        await intake.emit([intake.observe(TOTAL, 300)])
        head = recorder.head
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    first = reader.records(1, head)
    reader.close()
    size = sum(len(one.body) for one in first)
    assert MOST_BYTES <= size < MOST_BYTES + 100_000
    assert [one.seq for one in first] == list(range(1, len(first) + 1))
    found = on_disk(tmp_path)
    assert [one.seq for one in found] == list(range(1, head + 1))
    assert sum(len(one.data["frames"]) for one in found if one.type == TELEMETRY) == 240


# --- where the journal takes nothing --------------------------------------------------------------


async def test_what_a_full_disk_refuses_comes_when_there_is_room(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock, tables(*MANY)) as (recorder, intake):
        lane = intake.lane([signal_of("oven", name) for name in MANY])
        with no_room(recorder._journal):
            for number in range(3):
                intake.sample(lane, [number * 1000 + place for place in range(1000)])
                clock.pass_ms(100)
            with pytest.raises(NotRecorded):
                await recorder.emit([bulky(see(clock, TOTAL, 1))])
        await intake.emit([intake.observe(TOTAL, 100)])
    kept = [frame["values"]["s999"] for one in batches(tmp_path) for frame in one.data["frames"]]
    assert kept == [999, 1999, 2999]
    assert all("lost" not in one.data for one in batches(tmp_path))


async def test_what_finds_no_room_is_counted_in_the_batch_and_told_in_an_event(tmp_path: Path) -> None:
    clock = ManualClock()
    rounds = CAPACITY // (1000 * len('"s999":1000999,')) + 20
    async with recording(tmp_path, clock, tables(*MANY)) as (recorder, intake):
        lane = intake.lane([signal_of("oven", name) for name in MANY])
        with no_room(recorder._journal):
            for number in range(rounds):
                intake.sample(lane, [1_000_000 + number] * 1000)
                clock.pass_ms(100)
            with pytest.raises(NotRecorded):
                await recorder.emit([bulky(see(clock, TOTAL, 1))])
        await intake.emit([intake.observe(TOTAL, 100)])
        await until(lambda: [one for one in on_disk(tmp_path) if one.data.get("cause") == DROPPED])
    found = batches(tmp_path)
    kept = sum(len(frame["values"]) for one in found for frame in one.data["frames"])
    lost = sum(one.data.get("lost", 0) for one in found)
    assert kept + lost == rounds * 1000
    assert 0 < lost <= 30_000
    assert "lost" in found[0].data
    [told] = [one for one in on_disk(tmp_path) if one.data.get("cause") == DROPPED]
    assert (told.data["subject"], told.data["records"]) == ("telemetry/oven", lost)


# --- and a recording of the decisions ---------------------------------------------------------------


async def test_a_recording_is_replayed_over_telemetry(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock, tape=True) as (recorder, intake):
        lane = intake.lane([A])
        for number in range(5):
            clock.pass_ms(2000)
            intake.sample(lane, [number])
            await recorder.emit([see(clock, TOTAL, 100 + number)])
            intake.sample(lane, [number + 0.5])
            head = recorder.head
            await until(lambda head=head: recorder.head > head)  # type: ignore[misc]
    assert len(batches(tmp_path)) >= 5
    made = line()
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    try:
        for segment in recorded(tmp_path):
            result = Replay(made, reader).run(segment)
            assert (result.events > 0, result.difference) == (True, "")
    finally:
        reader.close()
