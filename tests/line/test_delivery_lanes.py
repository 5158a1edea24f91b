"""The backlog beside the live events: its rate, its end, its holes; and what a person reads of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract import Receipt, Record
from edge.errors import SinkError, SinkLost, SinkRefused
from edge.journal import Journal
from edge.journal.sinks import SinkReader
from edge.pace import ASKED_S, FIRST_S, LONGEST_S, REFUSED_S, SEEN_S, Backoff, Rate
from edge.sink_words import about, backlog, listed
from edge.status import SinkStatus
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up
from tests.support.line import line, recording, run_quickly


def drop_rows(path: Path, first: int, last: int) -> None:
    """As retention does it."""
    with apsw.Connection(str(path)) as db:
        for table in ("mention", "event"):
            db.execute(f"DELETE FROM {table} WHERE seq BETWEEN ? AND ?", (first, last))
    db.close()


# --- the rate -----------------------------------------------------------------------------------------


def test_the_backlog_goes_at_its_rate_and_live_events_do_not_wait_for_it(tmp_path: Path) -> None:
    async def runs() -> None:
        sink, took = HandSink(), {}
        loop = asyncio.get_running_loop()

        def note(records: Sequence[Record]) -> Receipt:
            took.update({one.seq: loop.time() for one in records})
            return all_of_it(records)

        sink.answer = note
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            await bench.happen(300)
            began = loop.time()
            async with bench.delivering(sink, backlog_rate=20) as delivery:
                await asyncio.sleep(4)
                happened = loop.time()
                await bench.happen(1)
                await sink.until(lambda: 301 in took)
                assert took[301] - happened < 2.0, "nothing of it is behind the backlog"
                status = delivery.status()
                assert status.backlog == status.pending >= 150
                assert status.rate == pytest.approx(20, rel=0.5)
                assert status.eta_s == pytest.approx(status.backlog / status.rate)
                await caught_up(delivery, sink)
                assert delivery.status().eta_s is None
        assert 300 / 20 * 0.9 <= took[300] - began <= 300 / 20 * 2
        assert sorted(sink.seqs()) == list(range(1, 302)), "each once"
        old = [seq for seq in sink.seqs() if seq <= 300]
        assert old == sorted(old), "ascending within its lane"

    run_quickly(runs(), 10)


def test_a_write_is_never_larger_than_what_goes_in_a_second(tmp_path: Path) -> None:
    async def runs() -> None:
        sink = HandSink()
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            await bench.happen(9)
            async with bench.delivering(sink, backlog_rate=2) as delivery:
                await caught_up(delivery, sink)
        assert sink.writes == [[1, 2], [3, 4], [5, 6], [7, 8], [9]]

    run_quickly(runs(), 40)


# --- what is not there ----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.mark.parametrize("gone", [(1, 3), (4, 9), (18, 20), (1, 20)], ids=["first", "middle", "last", "all"])
async def test_rows_that_are_no_longer_kept_are_no_hole(path: Path, gone: tuple[int, int]) -> None:
    first, last = gone
    async with recording(line(), path) as recorder:
        bench, sink = Bench(recorder, path), HandSink()
        await bench.happen(20)
        drop_rows(path, first, last)
        await bench.happen(1)
        async with bench.delivering(sink) as delivery:
            await caught_up(delivery, sink)
            kept = [seq for seq in range(1, 22) if not first <= seq <= last]
            assert sorted(sink.seqs()) == kept
            status = delivery.status()
            assert (status.delivered, status.skipped, status.pending) == (len(kept), last - first + 1, 0)
    async with recording(line(), path) as recorder, Bench(recorder, path).delivering(sink) as delivery:
        again = delivery.status()
        assert (again.delivered, again.skipped, again.pending) == (len(kept), last - first + 1, 0)


async def test_numbers_that_a_new_journal_passed_over_are_no_backlog(path: Path) -> None:
    """A file that was set aside: the new one goes on far above, and nothing is known of what lies between."""
    Journal(path).close()
    with apsw.Connection(str(path)) as db:
        db.execute("INSERT INTO epoch (first_seq, name) VALUES (5000001, 'abcd')")
    db.close()
    async with recording(line(), path) as recorder:
        bench, sink = Bench(recorder, path), HandSink()
        await bench.happen(2)
        async with bench.delivering(sink) as delivery:
            await caught_up(delivery, sink)
        assert sorted(sink.seqs()) == [5000001, 5000002]


async def test_numbers_that_a_restored_journal_never_gave_are_neither_sent_nor_left_out(path: Path) -> None:
    """Also where a correction has all between two numbers sent once more."""
    Journal(path).close()
    with apsw.Connection(str(path)) as db:
        db.execute("INSERT OR REPLACE INTO epoch (first_seq, name) VALUES (1, 'void'), (1001, 'restored')")
    db.close()
    async with recording(line(), path) as recorder:
        bench, sink = Bench(recorder, path), HandSink()
        await bench.happen(2)
        async with bench.delivering(sink) as delivery:
            assert delivery.pending == 2
            await caught_up(delivery, sink)
            status = delivery.status()
            assert (status.delivered, status.pending, status.skipped, status.backlog) == (2, 0, 0, 0)
            delivery.reopen([(1, 1002)])
            assert (delivery.pending, delivery.status().delivered) == (2, 0)
            await caught_up(delivery, sink)
            assert (delivery.status().delivered, delivery.status().skipped) == (2, 0)
    assert sorted(sink.seqs()) == [1001, 1001, 1002, 1002]


async def test_what_is_dropped_by_a_person_or_for_room_is_not_waited_for(path: Path) -> None:
    async with recording(line(), path) as recorder:
        bench = Bench(recorder, path)
        sink = HandSink(answer=lambda records: Receipt([one.seq for one in records if one.seq != 3]))
        async with bench.delivering(sink) as delivery:
            await bench.happen(5)
            await sink.until(lambda: delivery.pending == 1)
            delivery.drop([(3, 3)])
            assert (delivery.pending, delivery.status().delivered, delivery.status().skipped) == (0, 4, 1)
            await delivery.caught_up()


# --- pauses ---------------------------------------------------------------------------------------------


def _pauses(errors: Sequence[tuple[SinkError, bool]], jitter: float) -> list[float]:
    backoff = Backoff(lambda low, high: low + (high - low) * jitter)
    return [backoff.pause_s(error, progress=progress) for error, progress in errors]


LOST, REFUSED = SinkLost("far", "away"), SinkRefused("far", "no")


def test_pauses_grow_and_end_with_the_first_success() -> None:
    assert _pauses([(LOST, False)] * 7, 1.0) == [1, 2, 4, 8, LONGEST_S, LONGEST_S, LONGEST_S]
    assert _pauses([(LOST, False)] * 3 + [(LOST, True)], 1.0)[-1] == FIRST_S
    assert _pauses([(REFUSED, False)] * 9, 1.0)[-1] == REFUSED_S


@given(
    st.lists(st.tuples(st.sampled_from([LOST, REFUSED, SinkLost("far", "busy", 30.0)]), st.booleans())),
    st.floats(0, 1),
)
def test_every_pause_is_bounded(errors: list[tuple[SinkError, bool]], jitter: float) -> None:
    for (error, _), pause_s in zip(errors, _pauses(errors, jitter), strict=True):
        asked_s = error.after_s if isinstance(error, SinkLost) else 0.0
        assert max(FIRST_S / 2, asked_s) <= pause_s <= max(asked_s + FIRST_S, REFUSED_S)


@pytest.mark.parametrize("asked_s", [1e9, float("inf")])
def test_a_far_end_that_wants_to_be_left_alone_for_ever_is_asked_again(asked_s: float) -> None:
    [pause_s] = _pauses([(SinkLost("far", "busy", asked_s), False)], 1.0)
    assert pause_s <= ASKED_S + FIRST_S


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(1, 5_000)), min_size=1))
def test_a_rate_is_of_what_was_taken_lately(taken: list[tuple[float, int]]) -> None:
    rate, now = Rate(), 0.0
    for pause_s, count in taken:
        now += pause_s
        rate.add(now, count)
    lately = [count for at, count in _moments(taken) if at > now - SEEN_S - 1]
    assert 0 < rate.a_second(now) <= sum(lately)
    assert rate.a_second(now + 2 * SEEN_S) == 0


def _moments(taken: list[tuple[float, int]]) -> list[tuple[float, int]]:
    at, found = 0.0, []
    for pause_s, count in taken:
        at += pause_s
        found.append((at, count))
    return found


# --- what a person reads ----------------------------------------------------------------------------------


def test_how_it_is_in_words() -> None:
    busy = SinkStatus("connected", "", 12_000, 4_800, 2, 7, 4_800, 725.0, 480.0, 10.0)
    assert backlog(busy) == "the oldest for 12 min, 480 a second, done in about 10 s"
    away = SinkStatus("lost", "no route", 12_000, 3, 0, 0, 3, 5.0)
    assert backlog(away) == ""
    assert list(listed({"a": busy, "b": away})) == [
        f"a: connected: 12,000 delivered, 4,800 to deliver, {backlog(busy)}",
        "  2 rejected for ever; see `lineside quarantine list`",
        "  7 never sent: no longer kept, or given up",
        "b: lost: 12,000 delivered, 3 to deliver",
        "  no route",
    ]
    early = SinkStatus("connected", "", 0, 51, held=51, doubt="no time server has set it")
    assert list(listed({"c": early})) == [
        "c: connected: 0 delivered, 51 to deliver",
        "  51 wait until the clock is right: no time server has set it",
    ]
    assert [about(seconds) for seconds in (0, 99, 100, 7_000, 9_000, 200_000)] == [
        "0 s", "99 s", "2 min", "117 min", "2 h", "2 days",
    ]  # fmt: skip


async def test_the_oldest_is_as_old_as_it_is(path: Path) -> None:
    async with recording(line(), path) as recorder:
        bench, sink = Bench(recorder, path), HandSink(refuses=LOST)
        await bench.happen(2)
        async with bench.delivering(sink) as delivery:
            bench.clock.pass_ms(90_000)
            assert delivery.status().oldest_s == 90
            bench.clock.step_ms(-3_600_000)
            assert delivery.status().oldest_s == 0, "a clock that was set back makes nothing younger than now"
    reader = SinkReader(path, "line-1")
    assert reader.seen_ms(3, 9) is None
    reader.close()
