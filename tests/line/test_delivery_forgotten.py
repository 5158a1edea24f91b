"""A far end whose mark has gone has forgotten more than the last seconds; a forged mark is none."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.contract import Mark
from edge.journal import JournalReader
from edge.journal.sinks import SinkReader
from tests.line.delivery_replay_support import WINDOW
from tests.line.test_delivery_replay import Plug
from tests.support.clock import ManualClock
from tests.support.delivering import Bench, HandSink, caught_up
from tests.support.line import line, recording, run_quickly

QUICK = 40
LONG_AGO_MS = 40 * 60_000


@dataclass
class KeepingSink(HandSink):
    """A far end that keeps the newest mark."""

    given: list[Mark] = field(default_factory=list)
    deaf: bool = False
    """Marks may be left there, and not be read."""
    slow: int = 0
    """So often it has no answer in time."""
    asked: int = 0

    async def mark(self, mark: Mark) -> None:
        self.keeps = mark
        await super().mark(mark)

    async def kept(self) -> Mark | None:
        self.asked += 1
        self.slow -= 1
        return None if self.deaf or self.slow >= 0 else self.keeps


def run_line(
    path: Path, *lives: Callable[[Bench], Coroutine[Any, Any, None]], between: Callable[[], object] = bool
) -> None:
    """An agent's lives, one after the other."""

    async def live() -> None:
        clock = ManualClock()
        for runs in lives:
            async with recording(line(), path) as recorder:
                await runs(Bench(recorder, path, clock=clock))
            between()

    run_quickly(live(), QUICK)


async def marked(sink: HandSink, seq: int) -> None:
    await sink.until(lambda: bool(sink.marks) and sink.marks[-1].seq == seq)
    await asyncio.sleep(1)


def forgets(sink: HandSink) -> None:
    sink.keeps = None


def told(path: Path) -> list[dict[str, Any]]:
    reader = JournalReader(path, "line-1")
    try:
        return [dict(one.data) for one in reader.events(1, reader.head()) if one.type == "loss"]
    finally:
        reader.close()


def test_where_the_mark_has_gone_all_since_then_comes_again_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def runs(bench: Bench) -> None:
        sink = KeepingSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await marked(sink, 3)
            for _ in range(3):
                await asyncio.sleep(100)
                await bench.happen(2)
                await caught_up(delivery, sink)
            await marked(sink, 9)
            forgets(sink)
            assert sorted(await Plug(sink).pull(bench, delivery)) == list(range(1, 11))
            await marked(sink, 10)
            assert await Plug(sink).pull(bench, delivery) == [11], "a new series, and its mark is there"

    path = tmp_path / "journal.db"
    run_line(path, runs)
    lines = [one.getMessage() for one in caplog.records if "has gone" in one.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("hand: the mark that was left there since 2026-")
    assert "9 events that it had acknowledged are sent again" in lines[0]
    assert "may be lost" not in lines[0]
    assert told(path) == []


def test_that_holds_over_a_restart_of_the_agent(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            for _ in range(3):
                await bench.happen(2)
                await caught_up(delivery, sink)
                await asyncio.sleep(60)
            await marked(sink, 6)

    async def again(bench: Bench) -> None:
        before = len(sink.writes)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(1)
            await caught_up(delivery, sink)
        assert sorted(seq for write in sink.writes[before:] for seq in write) == list(range(1, 8))

    sink, path = KeepingSink(), tmp_path / "journal.db"
    run_line(path, begin, again, between=lambda: forgets(sink))


def test_what_was_acknowledged_long_before_the_first_mark_was_found_has_gone_with_it(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = KeepingSink(deaf=True)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await asyncio.sleep(100)
            await bench.happen(1)
            await caught_up(delivery, sink)
            await marked(sink, 4)
            sink.deaf = False
            assert await Plug(sink).pull(bench, delivery) == [5], "its mark is found"
            await marked(sink, 5)
            forgets(sink)
            assert sorted(await Plug(sink).pull(bench, delivery)) == [1, 2, 3, 4, 5, 6]

    run_line(tmp_path / "journal.db", runs)


def test_that_holds_over_a_restart_before_it_was_found(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await marked(sink, 3)

    async def again(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await asyncio.sleep(100)
            await bench.happen(1)
            await caught_up(delivery, sink)
            await marked(sink, 4)
            assert sink.seqs() == [1, 2, 3, 4], "its mark was found"
            forgets(sink)
            assert sorted(await Plug(sink).pull(bench, delivery)) == [1, 2, 3, 4, 5]

    def heard() -> None:
        sink.deaf = False

    sink = KeepingSink(deaf=True)
    run_line(tmp_path / "journal.db", begin, again, between=heard)


def test_a_far_end_that_is_slow_to_give_its_mark_is_asked_again(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = KeepingSink(slow=4)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await asyncio.sleep(100)
            await bench.happen(1)
            await caught_up(delivery, sink)
            await marked(sink, 4)
            assert sink.asked == 5, "not again, once it is found"
            forgets(sink)
            assert sorted(await Plug(sink).pull(bench, delivery)) == [1, 2, 3, 4, 5]

    run_line(tmp_path / "journal.db", runs)


def test_one_that_comes_and_goes_without_its_mark_does_not_get_the_same_for_ever(tmp_path: Path) -> None:
    async def begin(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await marked(sink, 3)

    async def again(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(1)
            await caught_up(delivery, sink)
            await marked(sink, bench.recorder.head)
            forgets(sink)
            sent.append(sorted(await Plug(sink).pull(bench, delivery)))
            await marked(sink, bench.recorder.head)

    def meanwhile() -> None:
        with apsw.Connection(str(path)) as db:
            at_ms, begun_ms = ages.pop(0)
            db.execute("UPDATE recent SET at_ms = at_ms - ?1, begun_ms = begun_ms - ?2", (at_ms, begun_ms))
        db.close()

    sent: list[list[int]] = []
    ages = [(30 * 60_000, 80 * 60_000), (10 * 60_000, 0), (0, 0)]
    sink, path = KeepingSink(), tmp_path / "journal.db"
    run_line(path, begin, again, again, between=meanwhile)
    assert sent[0] == [1, 2, 3, 4, 5]
    assert sent[1] == [4, 5, 6, 7], "young they were for the last time"


def test_what_may_be_lost_beyond_what_is_remembered_is_in_the_ledger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(2)
            await caught_up(delivery, sink)
            await marked(sink, 2)

    async def again(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await caught_up(delivery, sink)
            await sink.until(lambda: len(set(sink.seqs())) >= 3)

    def meanwhile() -> None:
        with apsw.Connection(str(path)) as db:
            db.execute("UPDATE marked SET mono_ms = mono_ms - ?1, since_ms = since_ms - ?1", (LONG_AGO_MS,))
        db.close()
        forgets(sink)

    sink, path = KeepingSink(), tmp_path / "journal.db"
    run_line(path, begin, again, between=meanwhile)
    assert "may be lost there" in caplog.text
    (loss,) = told(path)
    assert (loss["cause"], loss["subject"]) == ("far-end-forgot", "hand")
    assert loss["until_ms"] - loss["since_ms"] == pytest.approx(5 * 60_000, abs=15_000)
    assert "may be lost" in loss["detail"]


def test_where_a_mark_can_be_left_and_not_read_none_is_missed(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = KeepingSink(deaf=True)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(3)
            await caught_up(delivery, sink)
            await marked(sink, 3)
            await asyncio.sleep(120)
            assert 2 <= sink.asked <= 6, "it is not asked for ever"
            await bench.happen(1)
            await caught_up(delivery, sink)
            assert sorted(await Plug(sink).pull(bench, delivery)) == [4, 5]

    run_line(tmp_path / "journal.db", runs)


def test_a_forged_mark_is_as_good_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ids of events are known to whoever may read them; and the mark's topic may be open to all."""

    async def runs(bench: Bench) -> None:
        sink = KeepingSink()
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(5)
            await caught_up(delivery, sink)
            await marked(sink, 5)
            reader = SinkReader(bench.path, "line-1")
            for forged in (reader.identity(5), sink.marks[-1].id[:-1], sink.marks[-1].id[::-1], "", "\ud800"):
                assert sink.keeps is not None
                sink.keeps = Mark(5, forged)
                again = await Plug(sink).pull(bench, delivery)
                assert {1, 2, 3, 4, 5} <= set(again), forged
                await marked(sink, reader.head())
            reader.close()

    run_line(tmp_path / "journal.db", runs)
    assert caplog.text.count("of another journal, or forged") == 5


def test_the_mark_tells_nobody_the_secret_and_holds_over_epochs(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(2)
            await caught_up(delivery, sink)
            await marked(sink, bench.recorder.head)

    sink, path = KeepingSink(), tmp_path / "journal.db"
    run_line(path, runs, runs)
    reader = SinkReader(path, "line-1")
    assert len(reader.secret()) == 32
    assert reader.identity(2).split("-")[0] != reader.identity(4).split("-")[0]
    reader.close()
    assert sink.seqs() == [1, 2, 3, 4], "the mark of the epoch before was believed"
