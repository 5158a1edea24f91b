"""The loss ledger: what each kind of interval is told with."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.board.words import held as held_on_board
from edge.errors import NotRecorded
from edge.journal import JournalReader
from edge.observation import AGENT, CLOCK, NOT_READ, OVERFLOWED, ClockWord, Missed, Observation, Quality
from edge.office_words import told_held
from edge.production.line import Role
from edge.readmodel import station_views
from edge.recorder import Recorder
from tests.line import ledger_support
from tests.line.ledger_support import PRESS, REJECT, SOURCE, TOTAL, ledger, told
from tests.support.clock import ManualClock
from tests.support.line import bulky, counter, line, no_room, recording, run_quickly, see, station

path = ledger_support.path
clock = ledger_support.clock


async def test_a_first_reading_is_told_once_whoever_waited_for_it(path: Path, clock: ManualClock) -> None:
    await told(path, clock, (AGENT, "start"), (REJECT, 1), (AGENT, "stop"))
    found = await told(
        path, clock, (AGENT, "start"), (REJECT, 1), (SOURCE, "lost"), (SOURCE, "back"), (AGENT, "stop"),
        (AGENT, "start"), (REJECT, 1), (TOTAL, 9),
    )  # fmt: skip
    assert len(found.intervals) == 3
    assert found.uncertain == 1


async def test_a_counter_that_the_file_reads_otherwise_now_is_told_with_both_ways(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And what was counted by the one way is not counted by the other again, though the file goes back."""
    left, right = (
        line(station("press", replace(counter("press", Role.TOTAL), key=f"counter/plc|words {order}")))
        for order in ("little", "big")
    )
    await told(path, clock, (AGENT, "start"), (TOTAL, 65_536), (TOTAL, 65_537), (AGENT, "stop"), of=left)
    off = await told(path, clock, (AGENT, "start"), (TOTAL, 1), (TOTAL, 3), (AGENT, "stop"), of=right)
    [one, _] = off.intervals
    ways = "it is read otherwise than before, plc words little before, plc words big now"
    assert one.uncertain == (f"press.total: {ways}: what was counted from 65537 to 1 is of nobody",)
    again = await told(path, clock, (AGENT, "start"), (TOTAL, 65_540), of=left)
    assert "plc words big before, plc words little now" in again.intervals[1].uncertain[0]
    assert again.parts == 0
    [warning, _] = [text for text in caplog.messages if "otherwise" in text]
    assert warning == (
        "press.total is read otherwise than before, plc words little before, plc words big now: counting"
        " begins at 1"
    )


async def test_the_first_and_the_last_reason_of_an_interval_are_told(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, TOTAL, 100)])
        for why in ("no such node any more", "it is a String", "it is a Boolean", "no such node any more"):
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, TOTAL, None, quality=Quality.BAD, detail=why)])
        clock.pass_ms(1_000)
        await recorder.emit([see(clock, TOTAL, 105)])
    [one] = ledger(path).intervals
    assert one.until_ms is not None
    assert one.until_ms - one.since_ms == 4_000
    assert one.detail == "no such node any more; at last: it is a Boolean"


async def test_a_disk_that_was_full_is_an_interval_and_the_counters_recover_it(
    path: Path, clock: ManualClock
) -> None:
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, TOTAL, 100), see(clock, REJECT, 0)])
        with no_room(recorder._journal):
            clock.pass_ms(1_000)
            failed_ms = clock.wall_ms()
            for raw in (101, 102):
                with pytest.raises(NotRecorded):
                    await recorder.emit([bulky(see(clock, REJECT, raw)), see(clock, TOTAL, raw)])
                clock.pass_ms(1_000)
        await recorder.emit([see(clock, TOTAL, 104), see(clock, REJECT, 1)])
        await recorder.emit([see(clock, TOTAL, 105)])
    [one] = ledger(path).intervals
    assert (one.cause, one.since_ms, one.until_ms) == ("not-recorded", failed_ms, clock.wall_ms())
    assert {each.signal: each.parts for each in one.recovered} == {TOTAL: 4, REJECT: 1}
    assert "full" in one.detail


async def test_what_was_dropped_is_told_with_how_much(path: Path, clock: ManualClock) -> None:
    now = clock.wall_ms()
    found = await told(path, clock, (AGENT, Missed("telemetry-dropped", "oven", now, now + 5_000, 1_200)))
    [one] = found.intervals
    assert (one.cause, one.subject, one.records, one.recovered) == ("telemetry-dropped", "oven", 1_200, ())
    assert (one.since_ms, one.until_ms) == (now, now + 5_000)


async def test_a_counter_that_was_not_read_in_time_is_an_interval_with_its_parts(
    path: Path, clock: ManualClock
) -> None:
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, TOTAL, 100)])
        since_ms = clock.wall_ms()
        clock.pass_ms(5_400)
        word = Missed(NOT_READ, "plc", since_ms, clock.wall_ms(), detail="unread", signals=(TOTAL,))
        await recorder.emit([see(clock, AGENT, word), see(clock, TOTAL, 105)])
    [one] = ledger(path).intervals
    assert (one.cause, one.subject) == (NOT_READ, "plc")
    assert (one.since_ms, one.until_ms) == (since_ms, clock.wall_ms())
    assert [(each.signal, each.parts, each.certain) for each in one.recovered] == [(TOTAL, 5, True)]
    assert one.uncertain == ()


async def test_states_that_were_lost_on_the_way_are_told(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        await recorder.emit([see(clock, "press.state", 1)])
        since_ms = clock.wall_ms()
        clock.pass_ms(5_000)
        odd = see(clock, "press.state", 0, quality=Quality.UNCERTAIN, detail=OVERFLOWED)
        await recorder.emit([odd])
    [one] = ledger(path).intervals
    assert (one.cause, one.subject, one.since_ms) == ("queue-overflow", "press.state", since_ms)
    assert one.unseen == ("states that came and went at press",)


async def test_a_doubt_of_the_clock_is_an_interval(path: Path, clock: ManualClock) -> None:
    since_ms = clock.wall_ms() + 1_000
    word = ClockWord(
        "doubtful", "it is before the last event", 0, since_ms, since_ms - clock.mono_ms() - 1_000
    )
    sure = ClockWord("right", "a time server has set it", 0, since_ms, word.offset_ms)
    await told(path, clock, (CLOCK, word))
    assert ledger(path).intervals[0].until_ms is None
    [one] = (await told(path, clock, (CLOCK, sure))).intervals
    assert (one.cause, one.since_ms, one.uncertain) == ("clock-unknown", since_ms, ())
    await told(path, clock, (CLOCK, word))
    unsure = ClockWord("right", "nobody has set it for 15 minutes", 0, since_ms, word.offset_ms, 0, False)
    found = await told(path, clock, (CLOCK, unsure))
    assert found.uncertain == 1


async def test_readings_that_leave_a_question_open_are_told(path: Path, clock: ManualClock) -> None:
    found = await told(path, clock, (TOTAL, 1_000), *[(TOTAL, 3)] * 4, *[(TOTAL, 4_000_000)] * 4)
    reset, held = found.intervals
    assert "began again at zero" in reset.uncertain[0]
    assert "wait for a person" in held.uncertain[0]
    assert "from 3 to 4000000, faster than any part can be made" in held.uncertain[0]
    assert found.uncertain == 2


async def test_a_leap_that_went_away_asks_nobody_any_more(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    leap = [(TOTAL, 4_000_000)] * 3
    found = await told(path, clock, (TOTAL, 1_000), *leap)
    assert (found.uncertain, found.intervals[-1].cause) == (1, "counter")
    found = await told(path, clock, (TOTAL, 1_004))
    assert (found.uncertain, found.parts) == (0, 4)
    assert found.intervals[-1].detail == "it leapt and went back: what it claimed never was"
    words = (
        "press: 3999000 held parts never were: the total counter goes on from 1000, where it was before it"
    )
    assert f"{words} went to 4000000" in caplog.messages


async def test_a_count_of_other_parts_than_before_is_told_with_both(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (line(station("press", counter("press", Role.TOTAL, parts_per_count=n))) for n in (1, 2))
    await told(path, clock, (AGENT, "start"), (TOTAL, 10), (TOTAL, 11), (AGENT, "stop"), of=old)
    found = await told(path, clock, (AGENT, "start"), (TOTAL, 14), of=new)
    factors = "parts of a count: 1 before, 2 now"
    assert found.intervals[-1].uncertain == (
        f"press.total: {factors}: nobody knows of which its parts are, they are booked as before",
    )
    assert found.parts == 3
    assert (
        f"press.total: {factors}: what was counted over the change is booked as before: 3 parts"
        in caplog.messages
    )


async def test_a_count_that_went_back_is_said_to_have_gone_back(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What each answer books is said wherever a person may read of it."""
    found = await told(path, clock, (TOTAL, 50_038), (TOTAL, 50_040), *[(TOTAL, 50_039)] * 3)
    [held] = found.intervals
    with closing(JournalReader(path, "line-1")) as reader:
        [view] = station_views(reader, line())
    assert (view.held, view.went_back) == (50_039, True)
    assert held_on_board(view.held, view.went_back) == "50\u202f039 · back"
    for words in (held.uncertain[0], caplog.text, *told_held([view])):
        assert "faster than any part" not in words
    for words in (held.uncertain[0], caplog.text, "".join(told_held([view]))):
        assert "the total counter went back from 50040 to 50039" in words
        assert "Accepting them books 50039 parts, which is right only where it began at zero" in words
        assert "dismissing them books none, which is right where an older count was restored" in words


async def test_only_what_overlaps_the_span_is_told(path: Path, clock: ManualClock) -> None:
    for raw in (100, 110):
        await told(path, clock, (AGENT, "start"), (TOTAL, raw), (REJECT, 0), (SOURCE, "lost"))
        clock.pass_ms(60_000)
        await told(path, clock, (SOURCE, "back"), (TOTAL, raw + 5), (REJECT, 0), (AGENT, "stop"))
        clock.pass_ms(600_000)
    whole = ledger(path).intervals
    assert [one.cause for one in whole] == ["source-down", "agent-off", "source-down", "agent-off"]
    off = whole[1]
    assert off.until_ms is not None
    assert ledger(path, from_ms=off.until_ms + 1).intervals == whole[2:]
    assert ledger(path, to_ms=off.since_ms).intervals == whole[:1]
    assert ledger(path, from_ms=off.since_ms + 1, to_ms=off.until_ms).intervals == (off,)


troubles = st.lists(
    st.sampled_from(["kill", "stop", "lost", "back", "read", "read", "no room"]), min_size=1, max_size=10
)


@settings(max_examples=20, deadline=None)
@given(troubles=troubles)
def test_every_part_made_out_of_sight_is_in_the_ledger_once(
    troubles: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "journal.db"
    unseen = run_quickly(_with_trouble(path, [*troubles, "back", "read"]))
    found = ledger(path, PRESS)
    assert found.parts == unseen
    assert found.uncertain == 0
    assert all(one.until_ms is not None and one.until_ms >= one.since_ms for one in found.intervals)


async def _with_trouble(path: Path, troubles: Iterable[str]) -> int:
    """Two parts a second are made, whatever happens. Returns how many nobody saw."""
    clock, raw, unseen, known = ManualClock(), 100, 0, 100
    is_seen, is_lost, pending = True, False, [*troubles]
    while pending:
        async with recording(PRESS, path) as recorder:
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, AGENT, "start")])
            if recorder.head == 1:
                await recorder.emit([see(clock, TOTAL, raw)])
            while pending:
                trouble = pending.pop(0)
                raw += 2
                clock.pass_ms(1_000)
                if trouble == "read" and not is_lost:
                    await recorder.emit([see(clock, TOTAL, raw)])
                    unseen += 0 if is_seen else raw - known
                    known, is_seen = raw, True
                elif trouble not in ("read", "kill"):
                    await _trouble(recorder, clock, trouble, raw)
                    is_lost = trouble == "lost" or (is_lost and trouble != "back")
                    is_seen = is_seen and trouble == "back"
                if trouble in ("kill", "stop"):
                    is_seen = False
                    break
    return unseen


async def _trouble(recorder: Recorder, clock: ManualClock, trouble: str, raw: int) -> None:
    if trouble == "no room":
        with no_room(recorder._journal), pytest.raises(NotRecorded):
            await recorder.emit([bulky(see(clock, TOTAL, raw))])
        await recorder.emit([_tick(clock)])
    elif trouble == "stop":
        await recorder.emit([see(clock, AGENT, "stop")])
    else:
        await recorder.emit([see(clock, SOURCE, trouble)])


def _tick(clock: ManualClock) -> Observation:
    clock.pass_ms(1_000)
    return see(clock, "tick", None)
