"""Commands of the office through the agent's socket: each is answered when it is on disk, in words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, json

from edge.commands import OrderDesk, read_command, send_command, send_orders, serve_commands
from edge.errors import NotRecorded
from edge.observation import (
    COMMAND,
    Adjust,
    Command,
    JobCommand,
    LotChange,
    LotShare,
    Reassign,
    SettleHeld,
    Verdict,
)
from edge.recorder import Recorder
from tests.orders.test_commands import ORDER, Kept, _answers, agent, tell
from tests.support.clock import ManualClock
from tests.support.line import events_on_disk, line, no_room, recording, scan, see

BOTH = ("press.total", "press.reject")
HOLD = JobCommand("anna", "no material", "WO-1001-10", "hold")


async def test_a_job_is_held_and_released(tmp_path: Path) -> None:
    async with agent(tmp_path):
        held = await send_command(tmp_path, HOLD)
        assert (held.verdict, held.words) == (Verdict.ACCEPTED, "WO-1001-10: NotAllowedToStart")
        again = await send_command(tmp_path, HOLD)
        assert (again.verdict, again.words) == (Verdict.REFUSED, "WO-1001-10 is held already")
        [event] = events_on_disk(tmp_path / "journal.db")
        assert (event["type"], event["by"], event["reason"]) == ("order", "anna", "no material")


async def test_parts_are_given_to_another_job_and_adjusted(tmp_path: Path) -> None:
    clock = ManualClock()
    async with recording(line(), tmp_path / "journal.db") as recorder, served(tmp_path, recorder, clock):
        seen = [see(clock, "press.total", 100), see(clock, "press.reject", 0)]
        seen += [scan(clock, "E 4711", fresh=BOTH)]
        clock.pass_ms(2_000)
        seen += [scan(clock, "J WO-1001-10", fresh=BOTH)]
        clock.pass_ms(9_000)
        await recorder.emit([*seen, see(clock, "press.total", 104)])
        moved = await send_command(tmp_path, Reassign("anna", "wrong card", "WO-1002", "r1"))
        assert (moved.verdict, moved.words) == (Verdict.ACCEPTED, "4 parts of press are WO-1002 now")
        added = await send_command(tmp_path, Adjust("anna", "found under the press", "r1", 2, 1))
        assert added.words == "r1: +2 good, +1 scrap"
        split = LotChange("anna", "two boxes", (LotShare("L1", 5),), (LotShare("L2", 3), LotShare("L3", 2)))
        assert (await send_command(tmp_path, split)).words == "L1 split into L2, L3"
    types = [one["type"] for one in events_on_disk(tmp_path / "journal.db")]
    assert types[-4:] == ["attribution", "attribution", "adjustment", "lot"]


@contextlib.asynccontextmanager
async def served(folder: Path, recorder: Recorder, clock: ManualClock) -> AsyncIterator[None]:
    """The socket of a recorder that the test feeds as well."""
    task = asyncio.ensure_future(serve_commands(folder, OrderDesk(clock, recorder)))
    try:
        await _answers(folder)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_clock_says_how_far_it_may_be_believed() -> None:
    clock, kept = ManualClock(), Kept()
    clock.is_synced = False
    await OrderDesk(clock, kept).obey(HOLD)
    clock.is_synced = True
    await OrderDesk(clock, kept).obey(HOLD)
    assert [(one.signal, one.value, one.synced) for one in kept.seen] == [
        (COMMAND, HOLD, False), (COMMAND, HOLD, True),
    ]  # fmt: skip


async def test_without_an_agent_it_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="no agent answers in"):
        await send_command(tmp_path, HOLD)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "command.sock"):
        with pytest.raises(NotRecorded, match="but see first whether it was done"):
            await send_command(tmp_path, HOLD)


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    results = tuple(LotShare(f"L{place}-{'x' * 30}", 1) for place in range(100))
    split = LotChange("anna", "boxes", (LotShare("L", 100),), results)
    path = tmp_path / "journal.db"
    async with recording(line(), path) as recorder, served(tmp_path, recorder, ManualClock()):
        with no_room(recorder._journal), pytest.raises(NotRecorded, match=r"^not recorded: /.*full"):
            await send_command(tmp_path, split)
        assert (await send_command(tmp_path, split)).verdict is Verdict.ACCEPTED


GOOD: dict[str, Any] = {"type": "job", "by": "anna", "reason": "late", "job": "WO-1001-10", "verb": "hold"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"typ": "job"}, "has no `typ`"),
        ({"type": "sack"}, "Invalid value 'sack'"),
        ({"type": None}, "Expected `str`"),
        ({"job": 5}, "Expected `str`, got `int`"),
        ({"type": "reassign", "verb": "hold"}, "has no `verb`"),
    ],
)
async def test_what_is_no_command_is_told(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    async with agent(tmp_path):
        body = json.encode({"command": GOOD | change}) + b"\n"
        both = json.encode({"command": GOOD, "orders": [ORDER]}) + b"\n"
        first, second = await tell(tmp_path, body, both)
        assert says in str(first["error"])
        assert "either" in str(second["error"])
        assert await send_orders(tmp_path, []) == []
        assert events_on_disk(tmp_path / "journal.db") == []


@pytest.mark.parametrize("at_ms", [-1, 2**63, 10**30])
def test_a_time_that_no_clock_shows_is_a_fault(at_ms: int) -> None:
    given = {"type": "reassign", "by": "a", "reason": "b", "job": None, "station": "press", "from_ms": 1}
    with pytest.raises(ValidationError):
        read_command({**given, "to_ms": at_ms})


def test_a_key_that_is_misspelt_deep_inside_is_a_fault() -> None:
    share = {"lot": "L1", "quantity": 1}
    given: dict[str, Any] = {"type": "lots", "by": "a", "reason": "b", "sources": [share]}
    given["results"] = [{**share, "unit": "kg"}]
    with pytest.raises(ValidationError, match="unit"):
        read_command(given)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.none() | st.integers(0, 2**47)
SHARES = st.lists(st.builds(LotShare, TEXT, st.floats(0, 1e9)), max_size=3).map(tuple)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Reassign, TEXT, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | TEXT, TIMES, TIMES),
    st.builds(Adjust, TEXT, TEXT, TEXT, st.integers(-99, 99), st.integers(-99, 99)),
    st.builds(JobCommand, TEXT, TEXT, TEXT, TEXT),
    st.builds(LotChange, TEXT, TEXT, SHARES, SHARES),
)


@given(COMMANDS)
def test_every_command_comes_back_as_it_was(command: Command) -> None:
    assert read_command(json.decode(json.encode(command))) == command


@given(st.dictionaries(TEXT | st.sampled_from([*GOOD, "from_ms"]), st.none() | TEXT | st.integers() | SHARES))
def test_any_object_is_a_command_or_a_fault(given: dict[str, Any]) -> None:
    for kind in ("job", "lots", "adjust", "reassign"):
        with pytest.raises(ValidationError) as caught:
            read_command({**given, "type": kind, "nobody reads": 1})
        assert str(caught.value)


def test_the_examples_of_the_page_are_commands() -> None:
    page = Path(__file__).parent.parent.parent / "edge/orders/orders.md"
    block = page.read_text().partition("As JSON, for")[2].split("```")[1].replace("\n ", " ")
    examples = [json.decode(line) for line in block.split("\n") if line.startswith("{")]
    kinds = [type(read_command({"by": "anna", **one})) for one in examples]
    assert kinds == [Reassign, Reassign, Adjust, SettleHeld, JobCommand, LotChange]
