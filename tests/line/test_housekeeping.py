"""The journal within its room while the line goes on: what may go goes, and what waits is warned of."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import NotRecorded
from edge.forgetting import ForgetSink
from edge.house import House
from edge.housekeeping import RATE_FROM_S, Housekeeper, Rate, size
from edge.journal import Journal, JournalReader
from edge.journal.retention import Keep
from edge.journal.room import Room
from edge.observation import AGENT, Value, Verdict
from edge.recorder import Recorder
from tests.journal.test_retention import batch
from tests.support.clock import ManualClock
from tests.support.line import line, recording, scan, see

CAP = 4_000_000
SINKS = ("influx", "mqtt")


@dataclass
class FarEnd:
    """A delivery, as far as housekeeping knows it."""

    dropped: list[tuple[int, int]] = field(default_factory=list)

    def reopen(self, ranges: Iterable[tuple[int, int]]) -> None:
        raise AssertionError("nothing is to be sent again")

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.dropped += ranges


@dataclass
class Home:
    """A recorder at work, its journal and who keeps it."""

    recorder: Recorder
    path: Path
    clock: ManualClock
    keeper: Housekeeper
    far_ends: dict[str, FarEnd]

    async def say(self, value: Value, detail: str) -> bool:
        return await told(self.recorder, self.clock, value, detail)

    async def samples(self, batches: int, acknowledged: Iterable[str] = SINKS, frames: int = 4_000) -> None:
        """Telemetry, some 30 kB a batch, and who has it."""
        now_ms = self.clock.wall_ms()
        for number in range(batches):
            made = batch(now_ms + number, frames)

            def work(journal: Journal) -> None:
                ranges = {sink: [(1, journal.head + 1)] for sink in acknowledged}
                journal.commit(telemetry=[made], progress=ranges)  # noqa: B023 - run before the next is made

            await self.recorder.maintain(work)

    async def fill(self, share: float, acknowledged: Iterable[str] = SINKS, frames: int = 4_000) -> int:
        """With telemetry, until it is so full. Returns the batches."""
        batches = 0
        while await self.share() < share:
            some = 4_000 // frames
            await self.samples(some, acknowledged, frames)
            batches += some
        return batches

    async def produce_or_full(self) -> bool:
        """Many events; False where there was no room for them."""
        try:
            await self.produce(500)
        except NotRecorded:
            return False
        return True

    async def produce(self, events: int) -> None:
        await self.recorder.emit([see(self.clock, "gun-1", f"rubbish {n}") for n in range(events)])

    def house(self) -> House:
        return House(self.recorder, SINKS, self.far_ends, self.clock)

    async def share(self) -> float:
        room = Room(self.path, CAP)
        return (await self.recorder.maintain(room.measure)).share

    def says(self, type_: str) -> list[Mapping[str, Any]]:
        """The data of each event of this type."""
        with closing(JournalReader(self.path, "line-1")) as reader:
            return [one.data for one in reader.events(1, reader.head(), 1_000_000) if one.type == type_]

    def batches(self) -> list[int]:
        """Frames of each batch that is there."""
        frames, seq = [], 0
        with closing(JournalReader(self.path, "line-1")) as reader:
            while found := reader.records(seq + 1, reader.head(), 500):
                frames += [len(one.data["frames"]) for one in found if one.type == "telemetry"]
                seq = found[-1].seq
        return frames

    async def count(self) -> int:
        """Batches that are there."""

        def work(journal: Journal) -> int:
            with journal.transaction() as db:
                return len(db.execute("SELECT seq FROM telemetry").fetchall())

        return await self.recorder.maintain(work)


async def told(recorder: Recorder, clock: ManualClock, value: Value, detail: str) -> bool:
    try:
        await recorder.emit([see(clock, AGENT, value, detail=detail)])
    except NotRecorded:
        return False
    return True


@asynccontextmanager
async def at_home(folder: Path, keep: Keep) -> AsyncIterator[Home]:
    path, clock = folder / "journal.db", ManualClock()
    far_ends = {sink: FarEnd() for sink in SINKS}
    async with recording(line(), path) as recorder:
        room = Room(path, keep.cap)
        await recorder.maintain(room.open)

        async def say(value: Value, detail: str) -> bool:
            return await told(recorder, clock, value, detail)

        keeper = Housekeeper(recorder, room, keep, SINKS, far_ends, clock, say)
        yield Home(recorder, path, clock, keeper, far_ends)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with at_home(tmp_path, Keep(cap=CAP)) as home:
        yield home


# --- room -------------------------------------------------------------------------------------


async def test_telemetry_that_all_have_is_thinned_then_dropped(home: Home) -> None:
    batches = await home.fill(0.76)
    await home.keeper.look()
    thinned = home.batches()
    assert len(thinned) == batches, "thinned first"
    assert (thinned[0], thinned[-1]) == (400, 4_000), "the oldest first"
    assert await home.share() < 0.71
    while await home.count() == batches:
        batches += await home.fill(0.76, frames=400)
        await home.keeper.look()
    assert len(home.batches()) < batches
    assert set(home.batches()[:-1]) <= {40, 400}, "nothing is dropped while there is something to thin"
    assert await home.share() < 0.71
    assert home.says("loss") == home.says("health") == [], "all have it: nothing is lost"
    assert home.keeper.status.alarm == ""


async def test_what_a_sink_still_waits_for_goes_last_and_is_told(home: Home) -> None:
    """An alarm comes before anything is lost; what is lost is in the ledger, by name and number."""
    batches = await home.fill(0.82, [])
    await home.keeper.look()
    assert (home.says("loss"), len(home.batches())) == ([], batches)
    [alarm] = home.says("health")
    assert alarm["state"] == "filling"
    assert "lineside sink forget" in str(alarm["detail"])
    batches += await home.fill(0.91, [])
    await home.keeper.look()
    losses = home.says("loss")
    assert {one["cause"] for one in losses} == {"telemetry-thinned"}
    assert {one["subject"] for one in losses} == set(SINKS)
    assert len(home.batches()) == batches
    assert 0 < home.batches().count(400) < batches
    while await home.count() == batches:
        batches += await home.fill(0.97, [], frames=400)
        await home.keeper.look()
    dropped = {str(one["subject"]): one for one in home.says("loss") if one["cause"] == "telemetry-dropped"}
    assert dropped.keys() == set(SINKS)
    assert all(one["records"] > 0 for one in dropped.values())
    assert home.far_ends["influx"].dropped == home.far_ends["mqtt"].dropped != []
    assert (await home.recorder.maintain(lambda journal: journal.progress("influx")))[0][0] == 1


async def test_production_records_stop_at_the_cap_and_go_on_by_themselves(home: Home) -> None:
    await home.produce(10)
    while await home.produce_or_full():
        pass
    head = home.recorder.head
    await home.keeper.look()
    assert home.keeper.status.alarm.startswith(
        ("the journal takes 2.4 MB of 2.5", "the journal takes 2.5 MB of 2.5")
    )
    assert home.keeper.status.used > 0.95 * home.keeper.status.capacity
    assert len(home.says("scan")) == head
    larger = Housekeeper(
        home.recorder, Room(home.path, 2 * CAP), Keep(cap=2 * CAP), SINKS, {}, home.clock, home.say
    )
    await home.recorder.maintain(Room(home.path, 2 * CAP).open)
    await home.produce(1)
    await larger.look()
    assert larger.status.alarm == ""


async def test_an_alarm_is_said_once_and_so_is_its_end(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    await home.fill(0.82, [])
    for _ in range(3):
        await home.keeper.look()
    assert [one["state"] for one in home.says("health")] == ["filling"]
    assert caplog.text.count("the journal takes") == 1
    for sink in SINKS:
        await ForgetSink(sink).carry_out(home.house())
    await home.keeper.look()
    assert [one["state"] for one in home.says("health")] == ["filling", "roomy"]
    assert home.keeper.status.alarm == ""


async def test_an_alarm_hides_no_part(home: Home) -> None:
    """The agent speaks of itself at a start too, and then a counter has been out of sight."""
    await home.recorder.emit([see(home.clock, "press.total", 100)])
    home.clock.pass_ms(60_000)
    await home.say("filling", "half full")
    await home.recorder.emit([see(home.clock, "press.total", 101)])
    assert [(one["produced"], one["quality"]) for one in home.says("count")] == [(0, "baseline"), (1, "live")]
    assert home.says("gap") == []


async def test_the_alarm_says_how_long_it_will_do(home: Home) -> None:
    """Half full is early enough to say it, where a week is left."""
    await home.samples(1, [])
    await home.keeper.look()
    for _ in range(20):
        home.clock.pass_ms(3_600_000)
        await home.samples(2, [])
        await home.keeper.look()
        if home.keeper.status.alarm:
            break
    status = home.keeper.status
    assert 0.5 <= status.used / status.capacity < 0.7
    assert "; at the present rate it is full in " in status.alarm
    assert status.full_in_s is not None
    assert 5 * 3_600 < status.full_in_s < 40 * 3_600


async def test_no_alarm_for_telemetry_that_can_go(home: Home) -> None:
    await home.samples(1)
    await home.keeper.look()
    for _ in range(20):
        home.clock.pass_ms(3_600_000)
        await home.samples(3)
        await home.keeper.look()
        assert home.keeper.status.alarm == ""
    assert home.says("health") == []


@given(st.lists(st.tuples(st.floats(0, 5_000), st.integers(0, 10**12)), min_size=1, max_size=60))
def test_the_rate_is_never_negative_nor_of_a_moment(steps: list[tuple[float, int]]) -> None:
    rate, now_s = Rate(), 0.0
    for passed_s, used in steps:
        now_s += passed_s
        found = rate.a_second(now_s, used)
        assert found is None or (found > 0 and now_s >= RATE_FROM_S)


def test_sizes_are_written_as_people_do() -> None:
    assert [size(count) for count in (999, 512_400, 3_210_000, 4 * 10**9)] == [
        "0 kB", "512 kB", "3.2 MB", "4.0 GB",
    ]  # fmt: skip


# --- age --------------------------------------------------------------------------------------


async def test_what_is_old_goes_when_all_have_it(tmp_path: Path) -> None:
    keep = Keep(timedelta(days=700), timedelta(days=30), CAP)
    async with at_home(tmp_path, keep) as home:
        await home.produce(1_000)
        await home.samples(10)
        home.clock.pass_ms(31 * 86_400_000)
        await home.samples(1)
        await home.keeper.look()
        assert (len(home.batches()), len(home.says("scan"))) == (1, 1_000)
        home.clock.pass_ms(700 * 86_400_000)
        await home.produce(1)
        await home.keeper.look()
        assert len(home.says("scan")) == 1


async def test_recording_goes_on_beside_it(tmp_path: Path) -> None:
    """While 20,000 records go, a scan is on disk soon."""
    async with at_home(tmp_path, Keep(timedelta(days=700), cap=64_000_000)) as home:
        for _ in range(4):
            await home.produce(5_000)
        await home.recorder.maintain(
            lambda journal: journal.commit(progress={s: [(1, 10**6)] for s in SINKS})
        )
        home.clock.pass_ms(701 * 86_400_000)
        await home.produce(1)
        waits: list[float] = []
        async with asyncio.TaskGroup() as group:
            tidying = group.create_task(home.keeper.look())
            while not tidying.done():
                began = time.monotonic()
                await home.produce(1)
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.02)
        assert len(waits) > 5
        assert max(waits) < 1.0
        assert len(home.says("scan")) == len(waits) + 1


async def test_maintenance_and_decisions_never_use_the_journal_at_once(home: Home) -> None:
    """They share one connection, and a row that is half changed is no row."""

    def slow(journal: Journal) -> None:
        with journal.transaction() as db:
            halves = [(f"unit/U{number}", b"half a row") for number in range(5_000)]
            db.executemany("INSERT OR IGNORE INTO state VALUES (?, ?)", halves)
            time.sleep(0.01)  # whoever decides now would read them
            db.execute("DELETE FROM state WHERE body = ?", (b"half a row",))

    async def many() -> None:
        for _ in range(30):
            await home.recorder.maintain(slow)

    serials = count(1)
    async with asyncio.TaskGroup() as group:
        working = group.create_task(many())
        while not working.done():
            labels = [scan(home.clock, f"S U{next(serials)}") for _ in range(20)]
            outcomes = await home.recorder.emit(labels)
            assert Verdict.QUARANTINED not in {one.verdict for one in outcomes}
    assert next(serials) > 100


# --- a dead sink ------------------------------------------------------------------------------


async def test_what_waits_for_a_dead_sink_is_given_up_and_written_down(home: Home) -> None:
    await home.produce(5)
    await home.samples(2, ["mqtt"])
    words = await ForgetSink("influx", by="kim").carry_out(home.house())
    assert words == "influx: 7 records no longer wait for it; it gets what comes from now on"
    assert home.far_ends["influx"].dropped == [(1, 7)]
    [loss] = home.says("loss")
    assert (loss["cause"], loss["subject"], loss["records"]) == ("records-dropped", "influx", 7)
    assert "kim" in str(loss["detail"])
    words = await ForgetSink("influx").carry_out(home.house())
    assert words == "influx: 1 record no longer waits for it; it gets what comes from now on", "that event"


async def test_a_name_that_nobody_knows_is_refused(home: Home) -> None:
    await home.samples(1)
    with pytest.raises(NotRecorded, match="no sink is called 'inflox'; known are influx, mqtt"):
        await ForgetSink("inflox").carry_out(home.house())
