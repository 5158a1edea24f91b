"""What a far end acknowledged and then forgot is sent again, with the same ids; and not for ever."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from edge.contract import Mark, Receipt, Record
from edge.delivery import Delivery
from edge.errors import SinkError, SinkLost, SinkRefused
from edge.journal.sinks import SinkReader
from tests.line.delivery_replay_support import QUICK, WINDOW, run_line
from tests.support.clock import ManualClock
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up
from tests.support.line import guard, line, recording, run_quickly


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
