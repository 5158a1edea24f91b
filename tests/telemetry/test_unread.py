"""Signals of telemetry that could not be read: one interval a table in the ledger, told when it is over."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.intake import SourceIntake
from edge.journal import JournalReader
from edge.ledger import Interval, read_ledger
from edge.observation import Missed, Quality
from edge.telemetry import signal_of
from edge.unread import EVERY_MS, UNREADABLE, Unread
from tests.support.clock import ManualClock
from tests.support.line import line
from tests.telemetry.test_recorded import MANY, A, B, on_disk, recording, tables, until


async def lose(intake: SourceIntake, *signals: str) -> None:
    why = "unit 4 is lost: no answer"
    await intake.emit([intake.observe(one, None, quality=Quality.BAD, detail=why) for one in signals])


def intervals(folder: Path) -> tuple[Interval, ...]:
    reader = JournalReader(folder / "journal.db", "line-1")
    try:
        return read_ledger(reader, line()).intervals
    finally:
        reader.close()


async def test_a_unit_that_does_not_answer_is_one_interval_of_its_table(tmp_path: Path) -> None:
    clock = ManualClock()
    signals = [signal_of("oven", name) for name in MANY]
    async with recording(tmp_path, clock, tables(*MANY)) as (_, intake):
        lane = intake.lane(signals)
        intake.sample(lane, [1] * 1000)
        clock.pass_ms(6_000)
        since_ms = clock.wall_ms()
        await lose(intake, *signals)
        clock.pass_ms(54_000)
        assert not intervals(tmp_path), "while it lasts, `bad` of the batches tells of it"
        intake.sample(intake.lane(signals), [1] * 1000)
        until_ms = clock.wall_ms()
        await until(lambda: intervals(tmp_path))
    [one] = intervals(tmp_path)
    assert (one.cause, one.subject) == ("telemetry-unreadable", "telemetry/oven")
    assert (one.since_ms, one.until_ms) == (since_ms, until_ms)
    assert (one.detail, one.uncertain) == ("1,000 signals: unit 4 is lost: no answer", ())


async def test_a_value_that_comes_by_itself_ends_it_too(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (_, intake):
        await lose(intake, A, B)
        clock.pass_ms(1_000)
        await intake.emit([intake.observe(A, 1)])
        clock.pass_ms(1_000)
        await intake.emit([intake.observe(B, float("nan"))])  # it was read, and is no number
        await until(lambda: intervals(tmp_path))
    [one] = intervals(tmp_path)
    assert (one.detail, one.until_ms) == ("2 signals: unit 4 is lost: no answer", clock.wall_ms())


async def test_a_register_that_holds_no_number_was_read(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(tmp_path, clock) as (recorder, intake):
        lane = intake.lane([A, B])
        for reading in ([1, None], [2, 2], [3, None], [4, 4]):
            intake.sample(lane, reading)
            head = recorder.head
            await until(lambda head=head: recorder.head > head)  # type: ignore[misc]
            clock.pass_ms(1_000)
    assert {one.type for one in on_disk(tmp_path)} == {"telemetry"}


def test_one_that_stays_away_does_not_keep_the_others_waiting_for_long() -> None:
    unread = Unread("telemetry/oven")
    for name in ("a", "b"):
        unread.lost(name, 1_000, "unit 4 is lost")
    unread.read(["a"], 7_000, 7_000)
    assert unread.told(7_000) is None
    assert unread.told(7_000 + EVERY_MS) == Missed(
        UNREADABLE, "telemetry/oven", 1_000, 7_000, detail="1 signal: unit 4 is lost"
    )
    assert unread.ended(90_000, 90_000) == Missed(
        UNREADABLE, "telemetry/oven", 1_000, 90_000, detail="1 signal: unit 4 is lost"
    )
    assert unread.ended(91_000, 91_000) is None
    assert not unread


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 30_000))))
def test_every_absence_lies_in_one_interval_and_they_are_few(
    words: list[tuple[str, bool, int]],
) -> None:
    unread, now = Unread("oven"), 0
    told: list[Missed] = []
    away: dict[str, int] = {}
    absences: list[tuple[int, int]] = []
    for name, is_read, passed in words:
        now += passed
        if is_read:
            unread.read([name], now, now)
            if name in away:
                absences.append((away.pop(name), now))
        else:
            unread.lost(name, now, "why")
            away.setdefault(name, now)
        if (one := unread.told(now)) is not None:
            told.append(one)
    assert len(told) <= now / EVERY_MS + 1
    absences += [(since, now) for since in away.values()]
    if (last := unread.ended(now, now)) is not None:
        told.append(last)
    for since, end in absences:
        assert any(one.since_ms <= since and end <= one.until_ms for one in told)
