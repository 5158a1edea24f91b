"""The loss ledger: no interval in which something could have been missed is left out, no part told twice."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from typer.testing import CliRunner

from edge.board.words import held as held_on_board
from edge.cli import app
from edge.errors import NotRecorded
from edge.journal import Journal, JournalReader
from edge.journal.backup import back_up, restore
from edge.journal.begin import news
from edge.ledger import Interval, Ledger, read_ledger
from edge.ledger_cli import told as in_words
from edge.observation import AGENT, CLOCK, NOT_READ, OVERFLOWED, ClockWord, Missed, Observation, Quality
from edge.office_words import told_held
from edge.production import Line
from edge.production.line import Role
from edge.readmodel import station_views
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.line import bulky, counter, line, no_room, recording, run_quickly, see, station

TOTAL, REJECT = "press.total", "press.reject"
SOURCE = "source/plc"
PRESS = line(station("press", counter("press", Role.TOTAL)))


def two_stations() -> Line:
    packer = station("packer", counter("packer", Role.GOOD, source="plc-2"), gun="gun-2")
    return line(station(), packer)


def ledger(path: Path, of: Line | None = None, away: Sequence[str] | None = None, **span: int) -> Ledger:
    reader = JournalReader(path, "line-1")
    try:
        return read_ledger(reader, of or line(), span.get("from_ms"), span.get("to_ms"), away)
    finally:
        reader.close()


async def told(path: Path, clock: ManualClock, *seen: tuple[str, Any], of: Line | None = None) -> Ledger:
    """Signal and value, a second apart; the ledger of it."""
    async with recording(of or line(), path) as recorder:
        for signal, value in seen:
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, signal, value)])
    return ledger(path, of)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def test_a_shift_without_trouble_has_an_empty_ledger(path: Path, clock: ManualClock) -> None:
    found = await told(path, clock, (AGENT, "start"), (TOTAL, 100), (REJECT, 5), (TOTAL, 103))
    assert found == Ledger("line-1", None, None, (), 0, 0)


async def test_an_agent_that_was_killed_is_an_interval_from_its_last_record(
    path: Path, clock: ManualClock
) -> None:
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (REJECT, 5), (TOTAL, 103))
    last_ms = clock.wall_ms()
    clock.pass_ms(60_000)
    found = await told(path, clock, (AGENT, "start"), (TOTAL, 120), (REJECT, 6))
    [one] = found.intervals
    assert (one.cause, one.since_ms, one.until_ms) == ("agent-off", last_ms, last_ms + 61_000)
    assert {each.signal: each.parts for each in one.recovered} == {TOTAL: 17, REJECT: 1}
    assert (found.parts, found.uncertain, one.waiting) == (18, 0, ())
    assert "killed" in one.detail
    assert one.unseen == (
        "labels scanned with gun-1", "results of rig-press", "states that came and went at press",
    )  # fmt: skip


async def test_a_first_start_with_a_clock_in_doubt_leaves_nothing_open(
    path: Path, clock: ManualClock
) -> None:
    """What the clock says comes before the start: nobody saw anything before it all the same."""
    now = clock.wall_ms()
    word = ClockWord("doubtful", "no time server has set it", 0, now, now - clock.mono_ms())
    sure = ClockWord("right", "a time server has set it", 0, now, word.offset_ms)
    start = ((CLOCK, word), (AGENT, "start"), (TOTAL, 100), (REJECT, 0))
    [doubt] = (await told(path, clock, *start, (CLOCK, sure))).intervals
    assert doubt.cause == "clock-unknown"
    last_ms = clock.wall_ms()
    clock.pass_ms(60_000)
    again = (await told(path, clock, *start)).intervals
    assert [(one.cause, one.since_ms) for one in again if one.cause == "agent-off"] == [
        ("agent-off", last_ms)
    ]


async def test_while_nobody_runs_the_agent_is_off_and_still(path: Path, clock: ManualClock) -> None:
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (REJECT, 0))
    [one] = ledger(path, away=()).intervals
    assert (one.cause, one.since_ms, one.until_ms) == ("agent-off", clock.wall_ms(), None)
    assert ("killed" in one.detail, one.uncertain) == (True, ())
    assert one.unseen[0] == "labels scanned with gun-1"
    await told(path, clock, (AGENT, "stop"))
    [one] = ledger(path, away=()).intervals
    assert (one.since_ms, one.until_ms, one.detail) == (clock.wall_ms(), None, "stopped")


@pytest.mark.parametrize("ending", [(), ((AGENT, "stop"),)], ids=["killed", "stopped"])
async def test_a_restored_journal_is_named_with_what_it_does_not_hold(
    path: Path, clock: ManualClock, ending: tuple[tuple[str, Any], ...]
) -> None:
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (REJECT, 0), *ending)
    saved_ms = clock.wall_ms()
    back_up(path, path.with_name("saved.db"))
    clock.pass_ms(60_000)
    await told(path, clock, (AGENT, "start"), (TOTAL, 150), (REJECT, 2), (AGENT, "stop"))
    restore(path.with_name("saved.db"), path)
    [still] = ledger(path, away=news(path)).intervals
    assert (still.cause, still.since_ms, still.until_ms) == ("journal-restored", saved_ms, None)
    async with recording(line(), path) as recorder:
        seen = ((AGENT, "start", ""), (AGENT, "journal", news(path)[0]), (TOTAL, 160, ""))
        for signal, value, detail in seen:
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, signal, value, detail=detail)])
        await recorder.emit([see(clock, REJECT, 2)])
    found = ledger(path)
    [one] = found.intervals
    assert (one.cause, one.since_ms, one.parts) == ("journal-restored", saved_ms, 62)
    assert "kept as journal.db.replaced-1" in one.detail
    assert "of another order" in one.uncertain[0]
    assert one.unseen[:2] == ("labels scanned with gun-1", "results of rig-press")


async def test_an_agent_that_was_stopped_is_an_interval_from_its_stop(path: Path, clock: ManualClock) -> None:
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (REJECT, 5), (AGENT, "stop"))
    stopped_ms = clock.wall_ms()
    [still] = ledger(path).intervals
    assert (still.since_ms, still.until_ms) == (stopped_ms, None)
    clock.pass_ms(60_000)
    [one] = (await told(path, clock, (AGENT, "start"), (TOTAL, 100))).intervals
    assert (one.since_ms, one.waiting, one.parts) == (stopped_ms, (REJECT,), 0)
    assert one.uncertain == ("not read since: press.reject",)


async def test_a_source_that_was_lost_is_an_interval_of_its_counters(path: Path, clock: ManualClock) -> None:
    of = two_stations()
    found = await told(
        path, clock, (TOTAL, 100), (REJECT, 0), ("packer.good", 7), (SOURCE, "lost"), ("packer.good", 9),
        (SOURCE, "back"), (TOTAL, 104), (REJECT, 0), of=of,
    )  # fmt: skip
    [one] = found.intervals
    assert (one.cause, one.subject, one.parts, found.uncertain) == ("source-down", "plc", 4, 0)
    assert one.until_ms is not None
    assert one.until_ms - one.since_ms == 2_000


async def test_parts_of_a_kill_while_the_source_was_away_are_told_once(
    path: Path, clock: ManualClock
) -> None:
    await told(path, clock, (TOTAL, 100), (REJECT, 0), (SOURCE, "lost"))
    clock.pass_ms(30_000)
    found = await told(path, clock, (AGENT, "start"), (SOURCE, "back"), (TOTAL, 120), (REJECT, 0))
    assert sorted(one.cause for one in found.intervals) == ["agent-off", "source-down"]
    assert found.parts == 20


async def test_a_signal_that_cannot_be_read_is_an_interval(path: Path, clock: ManualClock) -> None:
    async with recording(line(), path) as recorder:
        for value, quality in ((100, Quality.GOOD), (None, Quality.BAD), (105, Quality.GOOD)):
            clock.pass_ms(1_000)
            await recorder.emit([see(clock, TOTAL, value, quality=quality)])
    [one] = ledger(path).intervals
    assert (one.cause, one.subject, one.parts, one.uncertain) == ("signal-unreadable", TOTAL, 5, ())


async def test_what_an_outage_recovered_is_told_once_with_the_whole_time_of_silence(
    path: Path, clock: ManualClock
) -> None:
    """A cable is pulled: first a unit does not answer, then nothing does, then all of it is back."""
    async with recording(line(), path) as recorder:
        bad = {"quality": Quality.BAD, "detail": "unit 1 does not answer"}
        for passed_ms, signal, value, how in (
            (0, TOTAL, 100, {}), (0, REJECT, 5, {}), (1_000, TOTAL, None, bad), (6_000, SOURCE, "lost", {}),
            (500, SOURCE, "back", {}), (1_500, TOTAL, 116, {}), (0, REJECT, 5, {}),
        ):  # fmt: skip
            clock.pass_ms(passed_ms)
            await recorder.emit([see(clock, signal, value, **how)])  # type: ignore[arg-type]
    found = ledger(path)
    unread, down = found.intervals
    assert (unread.cause, unread.parts, unread.elsewhere) == ("signal-unreadable", 16, ())
    assert (down.cause, down.parts, down.elsewhere) == ("source-down", 0, (TOTAL,))
    assert [(one.signal, one.until_ms - one.since_ms) for one in unread.recovered] == [(TOTAL, 9_000)]
    words = "\n".join(in_words(found, ZoneInfo("UTC")))
    assert "for 0.5 s  plc: out of reach\n    recovered 0 parts of 9.0 s without a reading" in words
    assert found.uncertain == 0


async def test_one_reading_that_leaves_a_question_open_is_one_sentence(
    path: Path, clock: ManualClock
) -> None:
    async with recording(PRESS, path) as recorder:
        await recorder.emit([see(clock, TOTAL, 7_161)])
        clock.pass_ms(1_000)
        await recorder.emit([see(clock, TOTAL, None, quality=Quality.BAD, detail="no answer")])
        clock.pass_ms(3_000_000)
        for _ in range(3):
            clock.pass_ms(500)
            await recorder.emit([see(clock, TOTAL, 3_027)])
    found = ledger(path, PRESS)
    [one] = found.intervals
    assert (found.uncertain, one.uncertain) == (1, (
        "press.total: it went back from 7161 to 3027: it began again at zero, what was made just before is"
        " not known",
    ))  # fmt: skip


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


# --- the command ----------------------------------------------------------------------------

TOML = """
[line]
name = "line-1"
timezone = "Europe/London"

[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:1"

[[station]]
name = "press"
ideal_cycle = "1s"
total = { source = "plc", unit = 1, holding = 0, as = "u32", words = "little" }
"""


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["ledger", *arguments])
    return done.exit_code, done.output


async def test_the_command_says_it_in_words_and_as_json(tmp_path: Path, clock: ManualClock) -> None:
    file, path = tmp_path / "line.toml", tmp_path / "data/journal.db"
    file.write_text(TOML)
    path.parent.mkdir()
    where = (str(file), "--data", str(path.parent))
    await told(path, clock, (AGENT, "start"), (TOTAL, 100), (AGENT, "stop"), of=PRESS)
    clock.pass_ms(60_000)
    await told(path, clock, (AGENT, "start"), (TOTAL, 120), of=PRESS)
    with closing(Journal(path)):  # an agent runs
        status, words = run(*where)
    assert status == 0, words
    assert words.splitlines() == [
        "2026-05-04 14:06:43+01:00 for 61.0 s  the agent was off (stopped)",
        "    recovered 20 parts (press.total 20); 20 of them are of no order",
        "line-1: 1 interval, 20 parts recovered, nothing uncertain",
    ]
    assert run("--line", str(file), "--data", str(path.parent))[1].splitlines()[-2:] == [
        "2026-05-04 14:07:45+01:00 and still  the agent was off (ended without a word: killed, or the power "
        "was cut)",
        "line-1: 2 intervals, 20 parts recovered, nothing uncertain",
    ]
    status, words = run(*where, "--json")
    found = json.decode(words.encode(), type=Ledger)
    assert [type(one) for one in found.intervals] == [Interval, Interval]
    await told(path, clock, (AGENT, "stop"), of=PRESS)
    assert run(*where, "--to", "2026-05-04T14:00")[1] == (
        "line-1: 0 intervals, 0 parts recovered, nothing uncertain\n"
    )
    await told(path, clock, *[(TOTAL, 3)] * 4, of=PRESS)
    assert run(*where)[0] == 1, "a reset leaves a question open"


def test_a_time_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(TOML)
    status, words = run(str(tmp_path / "line.toml"), "--data", str(tmp_path), "--from", "yesterday")
    assert status == 1
    assert "is no time; write 14:05" in words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("FILE", "--from", "2026-05-04T10:00", "--to", "2026-05-04T09:00"), "(--from) is after 2026-05-04"),
        ((), "which line? Write its file"),
        (("FILE", "--line", "FILE"), "given twice"),
    ],
)
def test_a_question_without_an_answer_is_refused(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "line.toml").write_text(TOML)
    given = [str(tmp_path / "line.toml") if one == "FILE" else one for one in arguments]
    status, words = run(*given, "--data", str(tmp_path))
    assert (status, sentence in words) == (1, True), words
