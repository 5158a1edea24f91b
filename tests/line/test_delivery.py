"""Delivery from a real journal to a sink written by hand: what was acknowledged is kept, the rest is sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from edge.contract import Receipt, Record
from edge.errors import SinkError, SinkLost, SinkRefused
from edge.journal import JournalReader
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up
from tests.support.line import guard, line, recording, run_quickly


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with recording(line(), tmp_path / "journal.db") as recorder:
        yield Bench(recorder, tmp_path / "journal.db")


async def test_what_happens_is_delivered_once(bench: Bench) -> None:
    sink = HandSink()
    async with bench.delivering(sink) as delivery:
        for events in (1, 3, 12):
            await bench.happen(events)
        await caught_up(delivery, sink)
        assert sorted(sink.seqs()) == list(range(1, 17))
        assert (delivery.status().delivered, delivery.state) == (16, "connected")
        assert max(len(write) for write in sink.writes) <= 10
    assert sink.closed == sink.connections == 1


async def test_live_goes_before_the_backlog(bench: Bench) -> None:
    await bench.happen(35)
    sink = HandSink()
    sink.opened.clear()
    async with bench.delivering(sink) as delivery:
        await sink.until(lambda: len(sink.writes) == 1)
        await bench.happen(1)
        sink.opened.set()
        await caught_up(delivery, sink)
    assert sink.writes == [
        list(range(1, 11)),
        [36],
        list(range(11, 21)),
        list(range(21, 31)),
        list(range(31, 36)),
    ]


async def test_all_states_are_shown_at_first_and_changed_ones_after_live_events(bench: Bench) -> None:
    bench.states |= {"packer/job": b"0"}
    await bench.happen(35)
    sink = HandSink()
    async with bench.delivering(sink) as delivery:
        await caught_up(delivery, sink)
        assert sink.shown == [{"press/job": b"0", "packer/job": b"0"}], "backlog never touches what is shown"
        bench.states["press/job"] = b"1"
        await bench.happen(1)
        await sink.until(lambda: 36 in sink.seqs())
        await caught_up(delivery, sink)
    assert sink.shown[1:] == [{"press/job": b"1"}]


async def test_a_restart_sends_only_what_was_not_acknowledged(bench: Bench) -> None:
    await bench.happen(20)
    first = HandSink(answer=lambda records: Receipt([one.seq for one in records if one.seq % 3]))
    async with bench.delivering(first):
        await first.until(lambda: len(first.writes) == 2)
        acknowledged = {seq for seq in first.writes[0] if seq % 3}
    await bench.happen(1)
    reader = JournalReader(bench.path, "line-1")
    kept = {seq for low, high in reader.progress("hand") for seq in range(low, high + 1)}
    reader.close()
    assert kept >= acknowledged
    again = HandSink()
    async with bench.delivering(again) as delivery:
        assert delivery.status().delivered == len(kept)
        await caught_up(delivery, again)
    assert sorted(again.seqs()) == sorted(set(range(1, 22)) - kept)


async def test_what_a_receipt_does_not_name_is_sent_again(bench: Bench) -> None:
    seen: set[int] = set()

    def the_second_time(records: Sequence[Record]) -> Receipt:
        known = [one.seq for one in records if one.seq in seen or one.seq % 2]
        seen.update(one.seq for one in records)
        return Receipt(known)

    sink = HandSink(answer=the_second_time)
    async with bench.delivering(sink) as delivery:
        await bench.happen(9)
        await caught_up(delivery, sink)
    assert sorted(sink.seqs()) == sorted([*range(1, 10), *range(2, 10, 2)])
    assert sink.connections == 1


async def test_a_rejected_event_is_noted_and_not_sent_again(bench: Bench) -> None:
    def reject_third(records: Sequence[Record]) -> Receipt:
        bad = {one.seq: "no such field" for one in records if one.seq == 3}
        return Receipt([one.seq for one in records if one.seq not in bad], bad)

    sink = HandSink(answer=reject_third)
    async with bench.delivering(sink) as delivery:
        await bench.happen(5)
        await caught_up(delivery, sink)
        await bench.happen(1)
        await caught_up(delivery, sink)
    assert sorted(sink.seqs()) == [1, 2, 3, 4, 5, 6]
    reader = JournalReader(bench.path, "line-1")
    assert reader.rejected() == {"hand": 1}
    reader.close()


def test_a_far_end_that_is_lost_in_the_middle_gets_the_rest_later(tmp_path: Path) -> None:
    async def line_runs() -> None:
        def lost_at_the_second(records: Sequence[Record]) -> Receipt:
            if len(sink.writes) == 2:
                raise SinkLost("hand", "the cable is cut")
            return all_of_it(records)

        sink = HandSink(answer=lost_at_the_second)
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            await bench.happen(25)
            async with bench.delivering(sink) as delivery:
                await sink.until(lambda: len(sink.writes) == 2)
                await bench.happen(3)
                await sink.until(lambda: len(set(sink.seqs())) == 28)
                await caught_up(delivery, sink)
        assert sink.connections == sink.closed == 2
        assert sorted(sink.seqs()) == sorted([*range(1, 29), *range(11, 21)])

    run_quickly(line_runs())


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (SinkLost("hand", "no route"), "lost", "not delivering, nothing is lost"),
        (SinkRefused("hand", "bad token"), "refused", "refused, nothing is lost, see to it"),
    ],
    ids=["lost", "refused"],
)
def test_an_absent_far_end_costs_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: SinkError, state: str, said: str
) -> None:
    async def line_runs() -> None:
        sink = HandSink(refuses=error)
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            async with bench.delivering(sink) as delivery:
                await bench.happen(4)
                while sink.connections < 4:
                    await asyncio.sleep(0.1)
                assert (delivery.state, delivery.reason) == (state, error.reason)
                assert delivery.pending == 4
                await delivery.caught_up()
                sink.refuses = None
                await sink.until(lambda: bool(sink.writes))
                await caught_up(delivery, sink)

    run_quickly(line_runs(), 40)
    lines = [record.message for record in caplog.records if record.name == "lineside.sink"]
    assert lines == [f"hand: {said}: {error.reason}", "hand: back, 4 events to deliver"]


@pytest.mark.parametrize("named", [[], [999]], ids=["nothing", "what was never sent"])
def test_a_far_end_that_takes_nothing_is_asked_with_pauses(tmp_path: Path, named: list[int]) -> None:
    async def line_runs() -> None:
        sink = HandSink(answer=lambda records: Receipt(named))
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            await bench.happen(1)
            async with bench.delivering(sink):
                await asyncio.sleep(10)
        assert 2 <= len(sink.writes) <= 15

    run_quickly(line_runs(), 40)


def test_a_bug_in_one_sink_does_not_end_the_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def line_runs() -> None:
        def buggy(records: Sequence[Record]) -> Receipt:
            if len(sink.writes) == 1:
                raise KeyError("order")
            return all_of_it(records)

        sink = HandSink(answer=buggy)
        async with recording(line(), tmp_path / "journal.db") as recorder:
            bench = Bench(recorder, tmp_path / "journal.db")
            async with bench.delivering(sink) as delivery:
                await bench.happen(2)
                await sink.until(lambda: len(sink.writes) == 2)
                await caught_up(delivery, sink)

    run_quickly(line_runs())
    assert "a bug in its adapter" in caplog.text


async def test_lingering_waits_for_company(bench: Bench) -> None:
    sink = HandSink()
    async with bench.delivering(sink, linger=timedelta(seconds=0.3)) as delivery:
        async with guard():
            while not sink.shown:
                await asyncio.sleep(0)
        for _ in range(3):
            await bench.happen(1)
        await sink.until(lambda: len(sink.seqs()) == 3)
        await caught_up(delivery, sink)
    assert sink.writes == [[1, 2, 3]]


async def test_a_receipt_for_what_was_never_sent_is_not_believed(bench: Bench) -> None:
    """A far end that claims too much must not make delivery skip what comes later."""
    sink = HandSink(answer=lambda records: Receipt([*[one.seq for one in records], 9, 10, 11]))
    async with bench.delivering(sink) as delivery:
        await bench.happen(2)
        await caught_up(delivery, sink)
        await bench.happen(10)
        async with guard():
            while len(set(sink.seqs())) < 12:
                await asyncio.sleep(0.01)
    assert set(sink.seqs()) == set(range(1, 13))
