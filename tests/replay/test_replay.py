"""What a real recorder and journal made of any stream is what the core makes of its recording."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from edge.errors import NotRecorded, ReplayRefused
from edge.journal import JournalReader
from edge.observation import AGENT, ORDER, TICK, Observation, Quality, WorkOrder
from edge.production import Line
from edge.production.line import Role
from edge.recording import Entry, core_hash, segments
from edge.replay import Replay, Segment, find, play
from tests.replay.replay_support import BOTH, REJECT, TOTAL, make_parts
from tests.replay.taped import (
    MB,
    assert_complete,
    assert_the_same,
    disk_usage,
    journaled,
    recorded,
    replayed,
    taped,
)
from tests.support.clock import ManualClock
from tests.support.line import (
    HandAsker,
    bulky,
    counter,
    line,
    no_room,
    result,
    run_quickly,
    scan,
    see,
    station,
)
from tests.unit.test_core_is_robust import observations as anything

# --- any stream -----------------------------------------------------------------------------

Make = Callable[[ManualClock], Observation]
cards = st.sampled_from(
    ["E 4711", "J WO-1001-10", "J WO-1002", "J WO-1003-20", "J WO-77", "C PAUSE", "C RESUME", "C DONE", "Q 2",
     "J WO-9"]
)  # fmt: skip
signals = st.sampled_from([TOTAL, TOTAL, REJECT, "packer.good"])
makes: st.SearchStrategy[Make] = st.one_of(
    st.builds(lambda signal, raw: lambda clock: see(clock, signal, raw), signals, st.integers(95, 130)),
    st.builds(
        lambda text, gun: lambda clock: scan(clock, text, gun), cards, st.sampled_from(["gun-1", "gun-2"])
    ),
    st.builds(
        lambda signal: lambda clock: see(clock, signal, None, quality=Quality.BAD, detail="no answer"),
        signals,
    ),
    st.builds(lambda state: lambda clock: see(clock, "press.state", state), st.integers(0, 2)),
    st.builds(lambda value: lambda clock: see(clock, "source/plc", value), st.sampled_from(["lost", "back"])),
    st.builds(
        lambda name: lambda clock: see(clock, "rig-press", result(name)), st.sampled_from(["U1", "U2"])
    ),
    st.just(lambda clock: see(clock, TICK, None)),
    st.just(lambda clock: bulky(see(clock, REJECT, None))),
    st.builds(
        lambda quantity: lambda clock: see(clock, ORDER, WorkOrder("WO-77", "P1", quantity)),
        st.integers(1, 3),
    ),
    st.builds(lambda one: lambda _: one, anything),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["emit"] * 6 + ["fail", "fail", "answer", "restart"]),
        st.lists(makes, min_size=1, max_size=4),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


async def live(plan: list[tuple[str, list[Make]]], data: Path, bound: int) -> None:
    """Each step on a line that is stopped and started where the plan says so."""
    clock, ask = ManualClock(), HandAsker(TOTAL)
    while plan:
        async with taped(BOTH, data, bound, ask) as recorder:
            await recorder.emit([see(clock, AGENT, "start")])
            while plan:
                what, some = plan.pop(0)
                clock.pass_ms(700)
                seen = [make(clock) for make in some]
                if what == "restart":
                    break
                if what == "fail":
                    fault = [see(clock, REJECT, 10), bulky(see(clock, REJECT, None))]
                    with no_room(recorder._journal), suppress(NotRecorded):
                        await recorder.emit([*seen, *fault])
                elif what == "answer" and ask.asks:
                    await recorder.emit([see(clock, TOTAL, 120, answers=ask.asks[-1].number)])
                else:
                    recorder.post(seen)
                    await recorder.emit([see(clock, "nobody", 1, answers=10_000)])


@settings(max_examples=60, deadline=None)
@given(steps)
def test_any_stream_is_replayed_to_the_byte(plan: list[tuple[str, list[Make]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_quickly(live(plan, Path(folder), 100 * MB), 100)
        assert_complete(BOTH, Path(folder))


@settings(max_examples=40, deadline=None)
@given(steps)
def test_however_small_the_segments_are(plan: list[tuple[str, list[Make]]]) -> None:
    """What does not fit into any is left out; the others are the same, and no more than the bound stays."""
    with tempfile.TemporaryDirectory() as folder:
        run_quickly(live(plan, Path(folder), 4 * 4096), 100)
        assert_the_same(BOTH, Path(folder))
        assert disk_usage(Path(folder)) <= 4 * 4096


# --- segments ---------------------------------------------------------------------------------


async def test_the_oldest_goes_first_and_each_segment_stands_by_itself(tmp_path: Path) -> None:
    clock, bound = ManualClock(), 64 * 1024
    async with taped(BOTH, tmp_path, bound) as recorder:
        await recorder.emit([scan(clock, "J WO-1001-10")])
        for turn in range(16):
            await make_parts(recorder, clock, 100 + 50 * turn, 50)
            assert disk_usage(tmp_path) <= bound
    kept = recorded(tmp_path)
    assert len(kept) >= 3
    assert kept[0].header.head > 0, "the first ones are gone"
    assert max(one.path.stat().st_size for one in kept) <= bound // 4
    assert_the_same(BOTH, tmp_path)
    head = kept[0].header.head
    assert [fact for one in kept for fact in replayed(BOTH, one)] == journaled(tmp_path, head + 1)


async def test_a_batch_larger_than_a_segment_is_cut_where_it_must_be(tmp_path: Path) -> None:
    clock, bound = ManualClock(), 200_000
    seen = []
    for raw in range(100, 700):
        clock.pass_ms(700)
        seen.append(see(clock, TOTAL, raw))
    async with taped(BOTH, tmp_path, bound) as recorder:
        await recorder.emit([*seen, see(clock, AGENT, "start")])
    assert len(recorded(tmp_path)) > 1
    assert_complete(BOTH, tmp_path)


async def test_segments_of_earlier_runs_count_to_the_bound(tmp_path: Path) -> None:
    clock, bound = ManualClock(), 64 * 1024
    for turn in range(20):
        async with taped(BOTH, tmp_path, bound) as recorder:
            await make_parts(recorder, clock, 100 + 20 * turn, 20)
        assert disk_usage(tmp_path) <= bound
    numbers = [int(path.stem) for path in segments(tmp_path / "record")]
    assert numbers[-1] == 20
    assert numbers == list(range(numbers[0], 21))


async def test_an_idle_line_is_recorded_too_and_writes_no_journal(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await recorder.emit([see(clock, TOTAL, 100, answers=10_000)])
        for _ in range(5):
            clock.pass_ms(1000)
            await recorder.emit([see(clock, TOTAL, 100, answers=10_000)])
    [segment] = recorded(tmp_path)
    assert len(list(play(BOTH, segment))) == 6
    assert_complete(BOTH, tmp_path)


# --- a difference, and what is refused --------------------------------------------------------------


async def test_the_first_difference_is_said_in_words(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 4)
    [segment] = recorded(tmp_path)
    with apsw.Connection(str(tmp_path / "journal.db")) as db:
        db.execute("UPDATE event SET mono_ms = mono_ms + 1 WHERE seq = 3")
        db.execute("UPDATE event SET data = CAST(replace(data, 'live', 'dead') AS BLOB) WHERE seq = 2")
    db.close()
    reader = JournalReader(tmp_path / "journal.db", "line-1")
    difference = Replay(BOTH, reader).run(segment).difference
    reader.close()
    assert "data of event 2 was" in difference
    assert '"dead"' in difference
    assert "press.total" in difference


async def test_a_core_that_gives_other_events_is_noticed_without_a_journal(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 4)
    [segment] = recorded(tmp_path)
    text = segment.path.read_text().replace('"value":102', '"value":101')
    segment.path.write_text(text)
    assert "gave 2 events, now gives 0: nothing" in Replay(BOTH).run(segment).difference


async def test_another_configuration_is_refused_unless_forced(tmp_path: Path) -> None:
    clock = ManualClock()
    async with taped(BOTH, tmp_path) as recorder:
        await make_parts(recorder, clock, 100, 4)
    [segment] = recorded(tmp_path)
    other = line(station("press", counter("press", Role.TOTAL, parts_per_count=2)))
    with pytest.raises(ReplayRefused, match="--force"):
        Replay(other).run(segment)
    made = [json.decode(fact.data)["produced"] for fact in replayed(other, segment) if fact.type == "count"]
    assert made == [0, 2, 2, 2]
    assert Replay(other, forced=True).run(segment).difference == ""


def test_the_hash_tells_every_change_of_the_core_and_no_other() -> None:
    lines: list[Line] = [
        line(),
        line(badge_required=True),
        line(station("press", counter("press", Role.TOTAL, 16))),
        line(station(ideal_ms=999)),
        BOTH,
    ]
    assert len({core_hash(one) for one in lines}) == len(lines)
    assert core_hash(line()) == core_hash(line())


async def test_a_journal_of_another_time_is_refused(tmp_path: Path) -> None:
    clock = ManualClock()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        async with taped(BOTH, tmp_path / name) as recorder:
            await make_parts(recorder, clock, 100, 2)
    reader = JournalReader(tmp_path / "b" / "journal.db", "line-1")
    with pytest.raises(ReplayRefused, match="compare it with the journal of that time"):
        Replay(BOTH, reader).run(recorded(tmp_path / "a")[0])
    reader.close()


HEADER = b'{"lineside_record":1,"version":"1","line":"l","core":"c","epoch":"e","head":0,"boot":"b"}\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no recording"),
        (b"hello\n", "is no recording"),
        (os.urandom(200_000), "is no recording"),
        (b"[" * 60_000, "is no recording"),
        (b'{"lineside_record":1}\n', "is no recording"),
        (HEADER.replace(b":1,", b":2,", 1), "format 2"),
        (HEADER + b"oops\n", "line 2 is damaged"),
        (HEADER + b'{"odd":"{"}\n', "line 2 is damaged"),
        (HEADER + b'{"odd":"[]"}\n', "line 2 is damaged"),
        (HEADER + b'{"something":1}\n', "line 2 is damaged"),
        (HEADER + b"{}\n", "line 2 is damaged"),
        (HEADER + b'{"odd":"' + b"[" * 100_000 + b'"}\n', "line 2 is damaged"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "00000001.jsonl"
    path.write_bytes(content)
    with pytest.raises(ReplayRefused, match=words):
        list(play(line(), Segment(path)))


@given(st.binary(max_size=300))
def test_no_line_raises_anything_else(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "00000001.jsonl")
        path.write_bytes(HEADER + body + b"\n")
        with suppress(ReplayRefused):
            list(play(line(), Segment(path)))


def test_a_folder_without_segments_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReplayRefused, match="holds no segment"):
        find([tmp_path])
    with pytest.raises(ReplayRefused, match="No such file"):
        find([tmp_path / "none.jsonl"])


def test_an_entry_takes_what_it_gives() -> None:
    one = Entry(seen=see(ManualClock(), TOTAL, 11.0, fresh=(TOTAL,)), events=2)
    assert json.decode(json.encode(one), type=Entry) == one
