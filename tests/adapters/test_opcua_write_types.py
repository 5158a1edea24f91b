"""What is written to a node: values and types, by rules that are the same for every protocol."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._opcua.binary import Text
from adapters._opcua.wire import Sample
from adapters._opcua.write import Write, same, text_of, typed
from adapters._writes import Desk, MisfitError, SilentError, UnfitError, carried_out
from edge.contract import (
    Ask,
    Done,
    DoneState,
    SourceLost,
    SourceRefused,
    Target,
    WriteAsk,
    WriteValue,
)
from tests.support.intake import MemoryIntake

# --- values and types -------------------------------------------------------------------------------

BOOLEAN, SBYTE, BYTE, INT16, UINT32, INT64, FLOAT, DOUBLE, STRING, DATE, TEXT = (
    1,
    2,
    3,
    4,
    7,
    8,
    10,
    11,
    12,
    13,
    21,
)


@pytest.mark.parametrize(
    ("value", "kind", "wire"),
    [
        (True, BOOLEAN, True), (1, BOOLEAN, True), (0.0, BOOLEAN, False), (True, INT16, 1), (5, SBYTE, 5),
        (5.0, BYTE, 5), ("1042", UINT32, 1042), ("-7", INT64, -7), (2, FLOAT, 2.0), (0.1, DOUBLE, 0.1),
        ("WO-1", STRING, "WO-1"), (7, STRING, "7"), (True, STRING, "true"), ("WO-1", TEXT, "WO-1"),
    ],
)  # fmt: skip
def test_a_value_is_made_what_the_node_holds(value: WriteValue, kind: int, wire: WriteValue) -> None:
    found = typed(value, kind)
    assert found == wire
    assert type(found) is type(wire)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2, BOOLEAN), ("true", BOOLEAN), ("WO-1", UINT32), ("", UINT32), ("٣", UINT32), (-1, UINT32),
        (1 << 32, UINT32), (0.5, INT16), (300, BYTE), ("1.5", DOUBLE), (1e39, FLOAT), ("x", DATE), (1, 0),
        ("9" * 21, INT64),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(value: WriteValue, kind: int) -> None:
    with pytest.raises(UnfitError, match=r"does not fit there|too large"):
        typed(value, kind)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@given(VALUES, st.integers(0, 30))
def test_whatever_is_wanted_fits_or_is_refused(value: WriteValue, kind: int) -> None:
    try:
        found = typed(value, kind)
    except UnfitError:
        return
    raw = Text("en", found) if kind == TEXT and isinstance(found, str) else found
    assert same(found, Sample(raw, kind=kind))
    assert isinstance(text_of(Sample(raw, kind=kind)), str)


@given(st.floats(-3e38, 3e38))
def test_a_float_is_read_back_as_it_was_rounded(value: float) -> None:
    back = struct.unpack("<f", struct.pack("<f", value))[0]
    assert same(typed(value, FLOAT), Sample(back, kind=FLOAT))
    assert math.isclose(back, value, rel_tol=1e-6, abs_tol=1e-44)


def test_a_text_that_a_plc_pads_is_the_same() -> None:
    assert same("WO-1", Sample("WO-1\0\0\0", kind=STRING))
    assert same("WO-1", Sample("WO-1   ", kind=STRING))
    assert same("", Sample(None, kind=STRING))
    assert not same("WO-1", Sample("WO-10", kind=STRING))
    assert not same("WO-1042", Sample("WO-1", kind=STRING))
    assert not same("WO-1", Sample(None, kind=STRING))
    assert not same(True, Sample(1, kind=INT16))


@pytest.mark.parametrize(
    "keys", [{}, {"node": "ns=2;s=A", "path": "2:A"}, {"node": "A"}, {"node": 7}, {"index": 1}]
)
def test_an_address_is_one_node(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Write(**keys)


# --- the same for every protocol -----------------------------------------------------------------------


class Cell:
    """A place that shows what is written after so many looks."""

    def __init__(self, late: int = 0) -> None:
        self.late = late
        self.holds: WriteValue = ""
        self.error: Exception | None = None
        self.begun = asyncio.Event()
        self.steps: list[str] = []

    async def look(self, value: WriteValue) -> tuple[bool, str]:
        self.begun.set()
        if self.error is not None:
            raise self.error
        self.late -= 1
        shows = "" if self.late >= 0 else self.holds
        return shows == value, str(shows)

    async def ready(self, value: WriteValue) -> None:
        self.steps.append("ready")

    async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
        if not is_wanted():
            return False
        self.steps.append("write")
        self.holds = value
        return True


async def test_what_shows_a_little_late_is_confirmed() -> None:
    late = Cell(2)
    assert await carried_out(WriteAsk("x", "A", only_look=False), late, 2.0) == Done(DoneState.THERE, "A")
    late = Cell(2)
    assert await carried_out(WriteAsk("x", "A", only_look=False), late, 0.0) == Done(DoneState.OTHER, "")
    late.late = 2
    assert await carried_out(WriteAsk("x", "A", only_look=True), late, 2.0) == Done(DoneState.OTHER, "")


async def test_what_is_not_wanted_any_more_is_not_written() -> None:
    cell = Cell()
    told = await carried_out(WriteAsk("x", "A", only_look=False, is_wanted=lambda: False), cell, 2.0)
    assert told == Done(DoneState.STALE, detail="another value was wanted before it was written")
    assert cell.steps == ["ready"]


async def test_what_is_not_wanted_any_more_is_not_waited_for() -> None:
    cell = Cell(1_000_000)
    ask = WriteAsk("x", "A", only_look=False, is_wanted=lambda: "write" not in cell.steps)
    told = await carried_out(ask, cell, 60.0)
    assert told.state is DoneState.STALE
    assert "it was written" in told.detail
    asked = iter([True, True, False])
    ask = WriteAsk("x", "A", only_look=False, is_wanted=lambda: next(asked))
    assert await carried_out(ask, cell, 60.0) == Done(DoneState.OTHER, "")


async def test_a_value_that_is_none_that_fits_there_is_told_apart() -> None:
    cell = Cell()
    cell.error = MisfitError("the node is a UInt32")
    told = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert told == Done(DoneState.UNFIT, detail="the node is a UInt32")


@pytest.mark.parametrize("error", [UnfitError("it is read-only"), SourceRefused("plc", "it is read-only")])
async def test_what_is_refused_is_an_answer(error: Exception) -> None:
    cell = Cell()
    cell.error = error
    done = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert done == Done(DoneState.REFUSED, detail="it is read-only")


async def test_no_answer_on_a_connection_that_stands_is_told_apart() -> None:
    cell = Cell()
    cell.error = SilentError("unit 3 does not answer")
    done = await carried_out(WriteAsk("x", "A", only_look=False), cell, 0.0)
    assert done == Done(DoneState.SILENT, detail="unit 3 does not answer")


async def test_a_write_whose_answer_is_lost_is_looked_at_and_not_sent_again() -> None:
    class Lossy(Cell):
        takes = True

        async def write(self, value: WriteValue, is_wanted: Callable[[], bool]) -> bool:
            self.steps.append("write")
            if self.takes:
                self.holds = value
            raise SilentError("unit 3: no answer")

    cell = Lossy()
    assert await carried_out(WriteAsk("x", "A", only_look=False), cell, 0.0) == Done(DoneState.THERE, "A")
    cell.takes = False
    assert await carried_out(WriteAsk("x", "B", only_look=False), cell, 0.0) == Done(
        DoneState.OTHER, "A", "it was written, but unit 3: no answer; it reads back A"
    )
    assert cell.steps == ["ready", "write"] * 2


async def test_what_a_device_says_is_cut_and_printable() -> None:
    cell = Cell()
    cell.holds = "\x1b[31m" + "A" * 100_000
    told = await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)
    assert told == Done(DoneState.OTHER, "?[31m" + "A" * 195)
    cell.error = UnfitError("\0" * 100_000)
    assert (await carried_out(WriteAsk("x", "A", only_look=True), cell, 0.0)).detail == "?" * 500


@asynccontextmanager
async def desk(*cells: Cell) -> AsyncIterator[tuple[Desk, MemoryIntake, asyncio.Task[None]]]:
    intake = MemoryIntake("plc")
    names = [f"press.{number}" for number in range(len(cells))]
    intake.targets = [Target(name, Write(node="i=1"), timedelta(seconds=60)) for name in names]
    one = Desk(intake, dict(zip(names, cells, strict=True)))
    task = asyncio.create_task(one.run())
    try:
        yield one, intake, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_place_that_takes_its_time_holds_up_no_other() -> None:
    slow, quick = Cell(1_000_000), Cell()
    async with desk(slow, quick) as (one, intake, _):
        one.put(Ask(1, write=WriteAsk("press.0", "A", only_look=False)))
        await slow.begun.wait()
        one.put(Ask(2, write=WriteAsk("press.1", "A", only_look=False)))
        await intake.until_sampled(lambda: 2 in intake.done)
        assert intake.done == {2: Done(DoneState.THERE, "A")}


async def test_asks_that_nobody_serves_are_few_and_strangers_are_none() -> None:
    slow = Cell(1_000_000)
    async with desk(slow) as (one, intake, task):
        for number in range(1_000):
            one.put(Ask(number, write=WriteAsk("press.0", "A", only_look=False)))
        one.put(Ask(1_001, write=WriteAsk("packer.0", "A", only_look=False)))
        one.put(Ask(1_002))
        await slow.begun.wait()
        assert intake.done == {}
        assert not task.done()


async def test_a_connection_that_is_gone_ends_it() -> None:
    cell = Cell()
    cell.error = SourceLost("plc", "gone")
    async with desk(cell) as (one, intake, task):
        one.put(Ask(1, write=WriteAsk("press.0", "A", only_look=True)))
        with pytest.raises(ExceptionGroup) as failed:
            await task
    assert failed.group_contains(SourceLost, match="gone")
    assert intake.done == {}
