"""What is not wanted any more, and all targets of a line."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from edge.config.writes import StationWrite, shown
from edge.contract import WriteValue
from edge.errors import JournalError
from edge.production.state import Row, Station
from edge.writing import Writing
from tests.line.writing_support import BUSY, FAILED, HOLD, ORDER, QUICK, SPEC, WROTE_TRUE, Wire, scribe, until
from tests.support.clock import ManualClock

# --- what is not wanted any more ------------------------------------------------------------------------


async def test_what_is_not_wanted_any_more_after_the_look_is_not_even_intended() -> None:
    async with scribe(ORDER) as (one, wire):
        wire.holds_asks = True
        one.want("WO-1")
        await until(lambda: bool(wire.held))
        one.want("WO-2")
        wire.release()
        await wire.until("intended WO-2", "wrote WO-2", "confirmed WO-2")


async def test_what_is_on_disk_counts_before_anybody_has_told_of_it() -> None:
    on_disk = ["WO-1"]
    async with scribe(ORDER) as (one, wire):
        wire.holds_asks = True
        one.follow(lambda: on_disk[0])
        await until(lambda: bool(wire.held))
        on_disk[0] = "WO-2"
        wire.release()
        await wire.until("intended WO-2", "wrote WO-2", "confirmed WO-2")


async def test_what_is_not_wanted_any_more_when_its_intention_is_on_disk_is_dropped() -> None:
    on_disk: list[WriteValue] = [True]
    async with scribe() as (one, wire):
        wire.after_telling = lambda: on_disk.__setitem__(0, False)
        one.follow(lambda: on_disk[0])
        await wire.until("intended true", "dropped true", "confirmed false")
        assert wire.words[1].tries == 0
        assert one.trouble == ""


async def test_what_is_not_wanted_any_more_when_the_wire_is_free_is_not_written() -> None:
    on_disk: list[WriteValue] = [True]
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "holds_asks", True)
        one.follow(lambda: on_disk[0])
        await until(lambda: wire.steps == ["intended true"] and bool(wire.held))
        on_disk[0], wire.after_telling = False, None
        wire.release()
        await wire.until("intended true", "dropped true", "confirmed false")


async def test_a_write_whose_asker_has_given_up_is_not_wanted() -> None:
    async with scribe() as (one, wire):
        wire.after_telling = lambda: setattr(wire, "holds_asks", True)
        one.want(True)
        await wire.until("intended true", "unknown true")
        [write, *_] = wire.held
        assert write.write is not None
        assert not write.write.is_wanted()
        wire.after_telling = None
        wire.holds_asks = False
        await wire.until(*WROTE_TRUE)


async def test_where_the_journal_does_not_tell_what_was_told_last_counts() -> None:
    def unreadable() -> WriteValue:
        if wire.steps:
            raise JournalError("journal.db", "cannot be read")
        return True

    async with scribe() as (one, wire):
        one.follow(unreadable)
        await wire.until(*WROTE_TRUE)


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (ORDER, "-", "the key none says what is written where no order runs, as in none = 0"),
        (ORDER, "WO-1", "an order's number that is not digits alone needs a place that holds a text"),
        (SPEC, True, "on and off say what is written, as in on = 1, off = 0"),
    ],
)
async def test_a_value_that_does_not_fit_names_its_key(
    spec: StationWrite, value: WriteValue, words: str
) -> None:
    async with scribe(spec) as (one, wire):
        wire.is_unfit = True
        one.want(value)
        await wire.until(f"failed {shown(value)}")
        assert one.trouble == f"it does not fit there; {words}"


async def test_another_value_is_written_also_where_the_last_was_left_alone() -> None:
    async with scribe() as (one, wire):
        wire.keeps = True
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        await wire.quiet()
        wire.keeps, wire.holds = False, True
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")


async def test_a_refusal_is_told_tried_again_a_few_times_and_said_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scribe() as (one, wire):
        wire.refuses = "the node is read-only"
        one.want(True)
        await wire.until(*FAILED * 4, "left true")
        wire.refuses = ""
        one.want(False)
        await wire.until("confirmed false")
    assert [one.getMessage() for one in caplog.records] == [
        "press.release: press-plc ns=2;s=R does not hold true: the node is read-only",
        "press.release: press-plc ns=2;s=R holds what it should again: false",
    ]


async def test_what_comes_too_fast_is_put_off_and_the_newest_is_written() -> None:
    async with scribe(replace(SPEC, at_most=2)) as (one, wire):
        one.want(True)
        await wire.until(*WROTE_TRUE)
        one.want(False)
        await wire.until("intended false", "wrote false", "confirmed false")
        one.want(True)
        await wire.until("put-off true")
        one.want(False)
        await wire.until("confirmed false")
        one.want(True)
        await wire.until("put-off true", *WROTE_TRUE)


# --- all targets of a line ------------------------------------------------------------------------------


async def test_what_is_on_disk_is_what_is_wanted() -> None:
    wire: Any = Wire()
    wire.holds = "-"
    rows: dict[str, Row] = {"station/press": BUSY, "station/press-2": Station()}

    def read(prefix: str) -> Iterator[tuple[str, Row]]:
        yield from [(key, row) for key, row in rows.items() if key.startswith(prefix)]

    confirms = {"press.order": timedelta(0), "press.hold": timedelta(0)}
    hold = replace(HOLD, source="other-plc")
    writing = Writing([ORDER, hold], confirms, {"press-plc": wire}, ManualClock(), wire.tell, QUICK)
    wire.scribe = type(
        "Both", (), {"written": lambda _, number, done: writing.written("press-plc", number, done)}
    )()
    committed = asyncio.Event()
    task = asyncio.create_task(writing.run(read, committed))
    try:
        await until(lambda: wire.steps == ["intended WO-1", "wrote WO-1", "confirmed WO-1"])
        rows["station/press"] = Station(last_job=("WO-1", 10))
        committed.set()
        await until(lambda: wire.holds == "-")
        assert writing.unwritten() == {}
        assert [word.run for word in wire.words if word.state == "intended"] == ["r1", ""]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_line_that_writes_nothing_has_nothing_to_do() -> None:
    def read(_: str) -> Iterator[tuple[str, Row]]:
        raise AssertionError("nobody asked")

    await Writing([], {}, {}, ManualClock(), Wire().tell).run(read, asyncio.Event())
