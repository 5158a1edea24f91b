"""The loss ledger: no interval in which something could have been missed is left out, no part told twice."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.journal.backup import back_up, restore
from edge.journal.begin import news
from edge.ledger import Ledger
from edge.ledger_cli import told as in_words
from edge.observation import AGENT, CLOCK, ClockWord, Quality
from edge.production import Line
from edge.production.line import Role
from tests.line import ledger_support
from tests.line.ledger_support import PRESS, REJECT, SOURCE, TOTAL, ledger, told
from tests.support.clock import ManualClock
from tests.support.line import counter, line, recording, see, station

path = ledger_support.path
clock = ledger_support.clock


def two_stations() -> Line:
    packer = station("packer", counter("packer", Role.GOOD, source="plc-2"), gun="gun-2")
    return line(station(), packer)


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
