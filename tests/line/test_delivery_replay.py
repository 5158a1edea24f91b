"""What a far end acknowledged and then forgot is sent again, with the same ids; and not for ever."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Mark, Receipt, Record
from edge.delivery import Delivery
from edge.errors import SinkError, SinkLost, SinkRefused
from edge.journal import Ranges
from edge.journal.sinks import SinkReader
from edge.lately import PIECES, SPANS, Lately
from tests.support.clock import ManualClock
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up
from tests.support.line import guard, line, recording, run_quickly

QUICK = 40
"""A second of waiting takes a 40th of one."""
WINDOW = timedelta(seconds=15)


class Plug:
    """Cuts a far end off at its next write, once: what comes after that is another connection."""

    def __init__(self, sink: HandSink, error: SinkError | None = None) -> None:
        self._sink = sink
        self._error = error or SinkLost("hand", "it was killed")

    async def pull(self, bench: Bench, delivery: Delivery, but: int = 0) -> list[int]:
        """What is written from then on until all is acknowledged again, `but` so many.

        The first is one event of now.
        """
        sink, before = self._sink, len(self._sink.writes)
        connections = sink.connections

        before_it = sink.answer

        def once(records: Sequence[Record]) -> Receipt:
            sink.answer = before_it if but else all_of_it
            raise self._error

        sink.answer = once
        await bench.happen(1)
        async with guard():
            while sink.connections == connections or delivery.pending > but:
                await asyncio.sleep(0.05)
        return [seq for write in sink.writes[before + 1 :] for seq in write]


def run_line(path: Path, runs: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def live() -> None:
        async with recording(line(), path) as recorder:
            await runs(Bench(recorder, path))

    run_quickly(live(), QUICK)


def test_without_a_mark_what_came_lately_is_sent_again(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await asyncio.sleep(18)
            await bench.happen(2)
            await caught_up(delivery, sink)
            assert await Plug(sink).pull(bench, delivery) == [4, 5, 6]

    run_line(tmp_path / "journal.db", runs)


def test_a_far_end_that_forgets_nothing_gets_nothing_twice(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            assert await Plug(sink).pull(bench, delivery) == [4]

    run_line(tmp_path / "journal.db", runs)


def test_one_that_asks_for_patience_has_forgotten_nothing_and_gets_it(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            began = asyncio.get_running_loop().time()
            busy = SinkLost("hand", "429: too many requests", after_s=7.0, alive=True)
            assert await Plug(sink, busy).pull(bench, delivery) == [4]
            assert 7.0 <= asyncio.get_running_loop().time() - began < 12.0

    run_line(tmp_path / "journal.db", runs)


def test_after_its_mark_all_is_sent_again_and_nothing_before_it(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(12)
            await caught_up(delivery, sink)
            await sink.until(lambda: bool(sink.marks))
            sink.keeps = sink.marks[-1]
            assert sink.keeps.seq == 12
            await asyncio.sleep(60)
            await bench.happen(5)
            await caught_up(delivery, sink)
            await asyncio.sleep(60)
            assert await Plug(sink).pull(bench, delivery) == list(range(13, 19)), "15 s do not count here"

    run_line(tmp_path / "journal.db", runs)


def test_a_mark_of_another_journal_says_nothing(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink(keeps=Mark(2, "ffffffff-2"))
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(6)
            await caught_up(delivery, sink)
            await asyncio.sleep(18)
            await bench.happen(1)
            await caught_up(delivery, sink)
            assert await Plug(sink).pull(bench, delivery) == [7, 8]

    run_line(tmp_path / "journal.db", runs)


def test_what_was_sent_once_more_is_after_any_mark_that_was_left_before(tmp_path: Path) -> None:
    """A correction takes an old number: a broker that falls back to an old mark has lost it all the same."""

    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(12)
            await caught_up(delivery, sink)
            await sink.until(lambda: bool(sink.marks))
            sink.keeps = old = sink.marks[-1]
            delivery.reopen([(3, 4)])
            await bench.happen(1)
            await caught_up(delivery, sink)
            assert sorted(sink.seqs()[-3:]) == [3, 4, 13]
            await sink.until(lambda: sink.marks[-1].seq == 13)
            assert await Plug(sink).pull(bench, delivery) == [3, 4, 13, 14], f"it fell back to {old}"
            await asyncio.sleep(15)
            await bench.happen(1)
            await sink.until(lambda: sink.marks[-1].seq == 15)
            sink.keeps = sink.marks[-1]
            assert await Plug(sink).pull(bench, delivery) == [16], "the new mark was left after that"

    run_line(tmp_path / "journal.db", runs)


def test_what_it_rejected_is_not_sent_again(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink(answer=lambda records: Receipt([], {one.seq: "no" for one in records}))
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(2)
            await caught_up(delivery, sink)
            assert await Plug(sink).pull(bench, delivery) == [3]
            status = delivery.status()
            assert (status.delivered, status.rejected, status.pending) == (1, 2, 0)

    run_line(tmp_path / "journal.db", runs)


def test_what_was_acknowledged_just_before_it_was_killed_comes_again_however_often(tmp_path: Path) -> None:
    """It may be killed again before it has saved what was sent again."""

    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(1)
            await caught_up(delivery, sink)
            again = []
            for _ in range(6):
                await asyncio.sleep(6)
                again.append(1 in await Plug(sink).pull(bench, delivery))
            assert again == [True] * 6
            await asyncio.sleep(20)
            await bench.happen(1)
            await caught_up(delivery, sink)
            assert 1 not in await Plug(sink).pull(bench, delivery), "it had time to save it"

    run_line(tmp_path / "journal.db", runs)


@pytest.mark.parametrize("error", [
    SinkRefused("hand", "401: wrong password"), SinkLost("hand", "429", after_s=3.0, alive=True)
])  # fmt: skip
def test_one_that_says_no_has_not_been_killed(
    tmp_path: Path, error: SinkError, caplog: pytest.LogCaptureFixture
) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            for seq in (4, 5):
                assert await Plug(sink, error).pull(bench, delivery) == [seq]

    run_line(tmp_path / "journal.db", runs)
    assert "may have forgotten" not in caplog.text


def test_a_proxy_that_asks_for_patience_knows_nothing_of_the_server(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            away = SinkLost("hand", "503: no server", after_s=1.0)
            assert sorted(await Plug(sink, away).pull(bench, delivery)) == [1, 2, 3, 4]

    run_line(tmp_path / "journal.db", runs)


def test_one_that_is_left_alone_for_long_may_be_killed_meanwhile(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            busy = SinkLost("hand", "429", after_s=30.0, alive=True)
            assert sorted(await Plug(sink, busy).pull(bench, delivery)) == [1, 2, 3, 4]

    run_line(tmp_path / "journal.db", runs)


# --- over a restart of the agent --------------------------------------------------------------------


async def agent(path: Path, sink: HandSink, clock: ManualClock, *pauses_and_counts: tuple[float, int]) -> int:
    """Starts, waits and has events, delivers them all and is killed; how many writes had been before."""
    before = len(sink.writes)
    async with recording(line(), path) as recorder:
        bench = Bench(recorder, path, clock=clock)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            for pause_s, count in pauses_and_counts:
                await asyncio.sleep(pause_s)
                await bench.happen(count)
                await caught_up(delivery, sink)
            async with guard():
                while delivery.pending or not sink.connections:
                    await asyncio.sleep(0.05)
    return before


def test_a_restart_of_the_agent_forgets_no_replay(tmp_path: Path) -> None:
    async def runs() -> None:
        sink, clock, path = HandSink(), ManualClock(), tmp_path / "journal.db"
        await agent(path, sink, clock, (0, 3), (18, 2))
        before = await agent(path, sink, clock, (0, 1))
        assert sorted(seq for write in sink.writes[before:] for seq in write) == [4, 5, 6]

    run_quickly(runs(), QUICK)


def test_of_another_boot_nobody_knows_how_long_ago_it_was(tmp_path: Path) -> None:
    async def runs() -> None:
        sink, path = HandSink(), tmp_path / "journal.db"
        await agent(path, sink, ManualClock(boot="b1"), (0, 3))
        for boot in ("b2", "b3"):
            before = await agent(path, sink, ManualClock(boot=boot), (0, 1))
            assert {1, 2, 3} <= {seq for write in sink.writes[before:] for seq in write}

    run_quickly(runs(), QUICK)


def test_what_another_boot_took_late_in_its_life_is_not_young_for_ever(tmp_path: Path) -> None:
    """After months that clock had gone far; the new boot's begins anew."""

    async def runs() -> None:
        sink, path = HandSink(), tmp_path / "journal.db"
        await agent(path, sink, ManualClock(boot="b1"), (0, 2))
        with apsw.Connection(str(path)) as db:
            db.execute("UPDATE recent SET at_ms = at_ms + 8000000000")
        db.close()
        await agent(path, sink, ManualClock(boot="b2"), (0, 1), (18, 1), (18, 1))
        reader = SinkReader(path, "line-1")
        assert [(one.first, one.last, one.boot) for one in reader.recent("hand")] == [(5, 5, "b2")]
        reader.close()

    run_quickly(runs(), QUICK)


def test_agent_and_far_end_that_are_killed_in_turn_lose_nothing(tmp_path: Path) -> None:
    async def runs() -> None:
        sink, clock, path = HandSink(), ManualClock(), tmp_path / "journal.db"
        await agent(path, sink, clock, (0, 1))
        for _ in range(6):
            before = await agent(path, sink, clock, (4, 1))
            assert 1 in {seq for write in sink.writes[before:] for seq in write}

    run_quickly(runs(), QUICK)


def test_an_agent_that_falls_over_and_over_does_not_send_the_same_for_ever(tmp_path: Path) -> None:
    async def runs() -> None:
        sink, clock, path = HandSink(), ManualClock(), tmp_path / "journal.db"
        await agent(path, sink, clock, (0, 1))
        with apsw.Connection(str(path)) as db:
            db.execute("UPDATE recent SET begun_ms = begun_ms - 400000")
        db.close()
        before = await agent(path, sink, clock, (0, 1))
        assert 1 in {seq for write in sink.writes[before:] for seq in write}, "young it was for the last time"
        before = await agent(path, sink, clock, (16, 1), (0, 1))
        before = await agent(path, sink, clock, (0, 1))
        assert 1 not in {seq for write in sink.writes[before:] for seq in write}

    run_quickly(runs(), QUICK)


def test_an_acknowledgement_is_on_disk_with_its_time(tmp_path: Path) -> None:
    async def runs() -> None:
        path = tmp_path / "journal.db"
        await agent(path, HandSink(), ManualClock(), (0, 3), (18, 2))
        reader = SinkReader(path, "line-1")
        assert [(one.first, one.last, one.boot) for one in reader.recent("hand")] == [(4, 5, "b0")]
        assert reader.progress("hand") == [(1, 5)]
        reader.close()

    run_quickly(runs(), QUICK)


# --- marks ------------------------------------------------------------------------------------------


def test_marks_are_left_now_and_then_and_when_nothing_is_left_to_send(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            loop, times = asyncio.get_running_loop(), []
            for _ in range(60):
                await bench.happen(1)
                times.append(loop.time())
                await asyncio.sleep(0.5)
            quiet = sum(later - one > 0.8 for one, later in pairwise(times))
            most = (loop.time() - times[0]) / 10 + quiet + 2
            assert 2 <= len(sink.marks) <= most, "about every ten seconds, and when it was quiet"
            await caught_up(delivery, sink)
            await sink.until(lambda: sink.marks[-1].seq == 60)
            assert [one.seq for one in sink.marks] == sorted(one.seq for one in sink.marks)
            left = len(sink.marks)
            await asyncio.sleep(120)
            assert left + 8 <= len(sink.marks) <= left + 14, "it shows whether anybody is there"
            assert {one.seq for one in sink.marks[left:]} <= {60}

    run_line(tmp_path / "journal.db", runs)


def test_a_mark_never_passes_what_is_missing(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink(answer=lambda records: Receipt([one.seq for one in records if one.seq != 5]))
        async with bench.delivering(sink) as delivery:
            for _ in range(30):
                await bench.happen(1)
                await asyncio.sleep(0.5)
            assert delivery.pending >= 1
        assert {one.seq for one in sink.marks} <= {1, 2, 3, 4}

    run_line(tmp_path / "journal.db", runs)


# --- the pure part ----------------------------------------------------------------------------------

times = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(times, st.sets(st.integers(1, 400), max_size=30))))
def test_what_is_younger_than_the_window_is_always_held(acks: Sequence[tuple[float, set[int]]]) -> None:
    lately, window_s = Lately(15.0), 15.0
    acks = sorted(acks, key=lambda one: one[0])
    for at_s, numbers in acks:
        lately.add(at_s, numbers)
        lately.alive(at_s)
    held, end_s = lately.since(), acks[-1][0] if acks else 0.0
    young = {seq for at_s, numbers in acks if at_s >= end_s - window_s for seq in numbers}
    assert young <= set(_numbers(held))
    assert len(list(lately)) <= (SPANS + 2) * PIECES
    back = Lately(window_s)
    for at_s, begun_s, first, last in lately:
        back.put_back(at_s + 1e-6, begun_s + 1e-6, first, last)
    assert list(back.since()) == list(held), "as it lies on disk"


def test_what_was_acknowledged_long_ago_goes() -> None:
    lately = Lately(15.0)
    lately.add(0.0, [1, 2])
    lately.add(9.0, [7])
    lately.alive(20.0)
    assert list(lately.since()) == [(7, 7)]
    assert list(lately.since(12.0)) == []


@given(st.floats(0.5, 14), st.floats(1_000, 1e7))
def test_what_is_acknowledged_again_and_again_is_young_for_so_long_and_no_longer(
    every_s: float, begin_s: float
) -> None:
    lately, now_s, held_s = Lately(15.0, renewed_s=300.0), begin_s, 0.0
    while now_s < begin_s + 400:
        if now_s == begin_s or 7 in lately.since():
            lately.add(now_s, [7])
        lately.alive(now_s)
        held_s = now_s - begin_s if 7 in lately.since() else held_s
        now_s += every_s
    assert 300 <= held_s + every_s <= 300 + 15 + 17 + 15


def test_how_old_it_is_holds_over_a_restart_and_while_it_waits() -> None:
    lately = Lately(15.0, renewed_s=300.0)
    for now_s in range(1_000, 1_300, 10):
        back = Lately(15.0, renewed_s=300.0)
        for row in lately:
            back.put_back(*row)
        lately = back
        lately.add(now_s, [7])
        lately.alive(now_s)
    lately.alive(1_320.0, [(7, 7)])
    assert next(iter(lately))[1] <= 1_000
    lately.add(1_340.0, [7])
    lately.alive(1_340.0)
    assert not lately.since(), "it stays as old as it is"


def test_a_span_in_pieces_is_bounded() -> None:
    lately = Lately(15.0)
    lately.add(0.0, range(1, 10_000, 2))
    assert [(first, last) for _, _, first, last in lately] == [(1, 9_999)]


def _numbers(ranges: Ranges) -> list[int]:
    return [seq for first, last in ranges for seq in range(first, last + 1)]


@pytest.mark.parametrize("window", [timedelta(milliseconds=1), WINDOW])
def test_a_far_end_that_never_was_there_is_asked_for_nothing(tmp_path: Path, window: timedelta) -> None:
    async def runs(bench: Bench) -> None:
        sink = HandSink(refuses=SinkLost("hand", "no route"))
        async with bench.delivering(sink, replay=window) as delivery:
            await bench.happen(4)
            while sink.connections < 3:
                await asyncio.sleep(0.1)
            sink.refuses = None
            await sink.until(lambda: bool(sink.writes))
            await caught_up(delivery, sink)
        assert sink.seqs() == [1, 2, 3, 4]

    run_line(tmp_path / "journal.db", runs)
