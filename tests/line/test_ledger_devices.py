"""What the loss ledger says of devices that were restarted and swapped, also while nobody was there."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.journal import JournalReader
from edge.ledger import Ledger, read_ledger
from edge.ledger_cli import told
from edge.observation import AGENT, DEVICE, DeviceWord
from edge.production.line import Line, Role
from tests.support.clock import ManualClock
from tests.support.line import counter, line, recording, see, station

TOTAL, REJECT = "press.total", "press.reject"
COUNTERS = counter("press", Role.TOTAL, 16), counter("press", Role.REJECT, 16)
PRESS = line(station("press", *COUNTERS))
RETAINED = line(station("press", *(replace(one, retained=True) for one in COUNTERS)))


def word(serial: str, uptime_s: int) -> DeviceWord:
    return DeviceWord("plc unit 1", (TOTAL, REJECT, "press.state"), serial, uptime_s * 1_000)


async def ledger(path: Path, clock: ManualClock, *seen: tuple[str, Any], of: Line = PRESS) -> Ledger:
    """Of what was seen, a second apart; a number is so many seconds without anything."""
    async with recording(of, path) as recorder:
        for signal, value in seen:
            clock.pass_ms(1_000)
            if signal:
                await recorder.emit([see(clock, signal, value)])
            else:
                clock.pass_ms(value * 1_000)
    reader = JournalReader(path, "line-1")
    try:
        return read_ledger(reader, of)
    finally:
        reader.close()


def lines(found: Ledger) -> list[str]:
    return list(told(found, ZoneInfo("UTC")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def test_a_restart_at_zero_is_told_with_what_nobody_knows(path: Path) -> None:
    found = await ledger(
        path, ManualClock(),
        (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 65_500), (REJECT, 40),
        ("", 20), (DEVICE, word("A-1", 7)), (TOTAL, 12), (REJECT, 0),
    )  # fmt: skip
    assert lines(found) == [
        "2026-05-04 13:06:43+00:00 for 16.0 s  plc unit 1: the device was restarted"
        " (its uptime is 7 s, it was 86400 s)",
        "    recovered 12 parts of 25.0 s without a reading, from 2026-05-04 13:06:43+00:00"
        " (press.total 12, press.reject 0); 12 of them are of no order",
        "    uncertain: press.total: it went back from 65500 to 12: it began again at zero, what was made"
        " just before is not known",
        "    uncertain: press.reject: it went back from 40 to 0: it began again at zero, what was made just"
        " before is not known",
        "line-1: 1 interval, 12 parts recovered, 1 uncertain",
    ]


async def test_what_became_of_a_device_is_in_the_log_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger(
        path, ManualClock(),
        (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 500), (REJECT, 4),
        (DEVICE, word("A-1", 1)), (TOTAL, 3), (DEVICE, word("A-2", 77)), (TOTAL, 9),
    )  # fmt: skip
    assert caplog.messages == [
        "plc unit 1 was restarted: its uptime is 1 s, it was 86400 s",
        "press.total: it went back from 500 to 3 and began again at zero: what was made just before is not"
        " known",
        "plc unit 1 is another device now: its serial number is A-2, it was A-1",
    ]


RESTARTED_LATER = (
    (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 40_500), (REJECT, 900),
    ("", 20), (DEVICE, word("A-1", 7)), (TOTAL, 40_512), (REJECT, 900),
)  # fmt: skip


async def test_a_restart_with_the_counts_retained_leaves_nothing_open(path: Path) -> None:
    found = await ledger(path, ManualClock(), *RESTARTED_LATER, of=RETAINED)
    assert found.uncertain == 0
    [restart] = found.intervals
    assert (restart.cause, restart.parts, restart.waiting) == ("device-restarted", 12, ())


async def test_an_uncertain_count_is_told_with_both_readings_in_the_log_too(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A rollover that nobody saw may be a new begin."""
    found = await ledger(
        path, ManualClock(), (AGENT, "start"), (TOTAL, 65_530), ("", 30), (AGENT, "stop"), (AGENT, "start"),
        (TOTAL, 14),
    )  # fmt: skip
    assert found.uncertain == 1
    [told_of] = [why for one in found.intervals for why in one.uncertain if "it went" in why]
    assert told_of == (
        "press.total: it went from 65530 to 14: it could have turned over or begun again unseen, or no clock"
        " tells how long it was not seen"
    )
    assert (
        "press.total: it went from 65530 to 14, which is uncertain: 20 parts are counted" in caplog.messages
    )


async def test_a_restart_may_bring_back_counts_that_were_saved_earlier(path: Path) -> None:
    """Unless they are retained: what was made at least is counted, what may have been is told."""
    found = await ledger(path, ManualClock(), *RESTARTED_LATER)
    [restart] = found.intervals
    older = "its device may have begun anew, and gone on from an older count"
    assert restart.uncertain == (
        f"press.total: it went from 40500 to 40512: {older}: 12 parts were made at least,"
        " 27 may have been since it began",
        f"press.reject: {older}: 0 parts were made at least, 29 may have been since it began",
    )


async def test_a_swap_while_the_agent_was_off_counts_nothing_of_the_new_device(path: Path) -> None:
    clock = ManualClock()
    await ledger(
        path, clock,
        (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 500), (REJECT, 4), (AGENT, "stop"),
    )  # fmt: skip
    found = await ledger(
        path, clock, ("", 60), (AGENT, "start"), (DEVICE, word("A-2", 999)), (TOTAL, 540), (REJECT, 5)
    )
    swap, off = lines(found)[:4], lines(found)[4:]
    assert swap == [
        "2026-05-04 13:06:43+00:00 for 65.0 s  plc unit 1: another device is in its place"
        " (its serial number is A-2, it was A-1)",
        "    recovered 0 parts (press.total 0, press.reject 0)",
        "    uncertain: press.total: another device's, from 540: what the old one made after 500 is not"
        " known",
        "    uncertain: press.reject: another device's, from 5: what the old one made after 4 is not known",
    ]
    assert off == [
        "2026-05-04 13:06:45+00:00 for 62.0 s  the agent was off (stopped)",
        "    press.total, press.reject: what was made meanwhile is told in another interval of the same"
        " silence",
        "    not seen, if there were any: labels scanned with gun-1; results of rig-press; states that came"
        " and went at press",
        "line-1: 2 intervals, 0 parts recovered, 1 uncertain",
    ]


async def test_a_restart_whose_counters_nobody_has_read_yet_waits_for_them(path: Path) -> None:
    clock = ManualClock()
    found = await ledger(
        path, clock, (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 500), (REJECT, 4),
        (DEVICE, word("A-1", 0)), (REJECT, 4),
    )  # fmt: skip
    [restart] = found.intervals
    assert restart.waiting == (TOTAL,)
    assert restart.uncertain[-1] == "not read since: press.total"


async def test_a_device_that_goes_on_is_not_in_the_ledger(path: Path) -> None:
    found = await ledger(
        path, ManualClock(), (AGENT, "start"), (DEVICE, word("A-1", 86_400)), (TOTAL, 500), (REJECT, 4),
        ("", 59), (DEVICE, word("A-1", 86_463)), (TOTAL, 504), (AGENT, "stop"),
    )  # fmt: skip
    assert [one.cause for one in found.intervals] == ["agent-off"]
