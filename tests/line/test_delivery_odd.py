"""What is denied, damaged or not to be believed costs the other events nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.contract import Receipt, Record
from edge.errors import SinkRefused
from edge.journal.sinks import SinkReader
from edge.refusals import Refusals
from tests.line.delivery_replay_support import WINDOW
from tests.line.test_delivery_forgotten import KeepingSink, run_line
from tests.line.test_delivery_replay import Plug
from tests.support.delivering import Bench, HandSink, all_of_it, caught_up

Runs = Callable[[Bench], Coroutine[Any, Any, None]]


class Denying(KeepingSink):
    """A broker whose access list denies some events, by their seq."""

    def __init__(self, denied: Callable[[int], bool]) -> None:
        super().__init__(answer=self._answer)
        self.denied = denied
        self.got: list[int] = []

    def _answer(self, records: Sequence[Record]) -> Receipt:
        good = [one.seq for one in records if not self.denied(one.seq)]
        self.got += good
        words = "line-1/press/_event/scan: the broker answers: Not authorized"
        return Receipt(good, {}, {one.seq: words for one in records if self.denied(one.seq)})


def of_kinds(path: Path, seqs: range) -> None:
    """The journal's events there are of another type."""
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE event SET type = 'other' WHERE seq BETWEEN ? AND ?", (seqs.start, seqs.stop - 1))
    db.close()


def test_a_topic_that_is_denied_starves_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def begin(bench: Bench) -> None:
        await bench.happen(60)

    async def runs(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await sink.until(lambda: len(sink.got) == 35)
            await caught_up_but(delivery, 25)
            assert delivery.state == "refused"
            assert "25 events are denied and kept, others go out" in delivery.reason
            assert "_event/scan" in delivery.reason
            writes = len(sink.writes)
            await asyncio.sleep(130)
            assert len(sink.writes) - writes in (2, 3), "tried again once a minute, one of a kind"
            await bench.happen(1)
            await sink.until(lambda: 61 in sink.got)
            await sink.until(lambda: sink.marks[-1].seq == 61)
            for seq in (62, 63):
                again = await Plug(sink).pull(bench, delivery, but=25)
                assert again == [seq], "a hole brings nothing again"
                await asyncio.sleep(15)
                assert sink.marks[-1].seq == seq
            sink.denied = lambda seq: False
            async with asyncio.timeout(200):
                while delivery.pending:
                    await asyncio.sleep(0.1)
            assert (delivery.state, delivery.reason) == ("connected", "")
            assert sorted(set(sink.got)) == list(range(1, 64))

    sink, path = Denying(lambda seq: 6 <= seq <= 30), tmp_path / "journal.db"
    run_line(path, begin, runs, between=lambda: of_kinds(path, range(6, 31)))
    assert caplog.text.count("denied, nothing is lost, see to it") == 1


async def caught_up_but(delivery: Any, denied: int) -> None:
    async with asyncio.timeout(20):
        while delivery.pending > denied:
            await asyncio.sleep(0.05)


def test_all_that_is_denied_is_no_reason_to_hang_up(tmp_path: Path) -> None:
    async def runs(bench: Bench) -> None:
        sink = Denying(lambda seq: True)
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            await bench.happen(25)
            await sink.until(lambda: len(set(sink.seqs())) == 25)
            assert delivery.state == "refused"
            assert "25 events are denied and kept: line-1" in delivery.reason, "none goes out"
            await asyncio.sleep(30)
            assert sink.connections == 1
            assert len(sink.writes) <= 4
            sink.denied = lambda seq: False
            await bench.happen(1)
            await sink.until(lambda: len(sink.got) == 26)

    run_line(tmp_path / "journal.db", runs)


def test_states_that_are_denied_stop_no_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Stateless(HandSink):
        async def show(self, states: Mapping[str, bytes]) -> None:
            raise SinkRefused("hand", "line-1/_state/#: Not authorized")

    async def runs(bench: Bench) -> None:
        sink = Stateless()
        async with bench.delivering(sink) as delivery:
            for number in range(4):
                bench.states["press/job"] = b"%d" % number
                await bench.happen(2)
            await caught_up(delivery, sink)
            assert sorted(sink.seqs()) == list(range(1, 9))
            assert (delivery.state, sink.connections) == ("refused", 1)
            assert "its states are denied, events go out" in delivery.reason

    run_line(tmp_path / "journal.db", runs)
    assert caplog.text.count("shows no states, events go on") == 1


# --- how it is said -------------------------------------------------------------------------------


def record(seq: int, type_: str) -> Record:
    return Record(seq, f"0-{seq}", type_, 0, "receipt", 0, "line-1", "press", b"{}", b"{}")


SCAN, COUNT, STOP = record(1, "scan"), record(2, "count"), record(3, "stop")
NO = "Not authorized"


@pytest.mark.parametrize(("writes", "words"), [
    ([([SCAN], Receipt([], {}, {1: NO}))], "1 event is denied and kept: Not authorized"),
    (
        [([SCAN, COUNT], Receipt([2], {}, {1: NO}))],
        "1 event is denied and kept, others go out: Not authorized",
    ),
    (
        [([SCAN, COUNT], Receipt([], {2: "too large"}, {1: NO}))],
        "1 event is denied and kept: Not authorized",
    ),
    (
        [([SCAN, COUNT], Receipt([2], {}, {1: NO})), ([record(4, "count")], Receipt([], {}, {4: NO}))],
        "2 events are denied and kept: Not authorized",
    ),
    (
        [([SCAN], Receipt([], {}, {1: NO})), ([COUNT], Receipt([2])), ([SCAN], Receipt([], {}, {1: NO}))],
        "1 event is denied and kept, others go out: Not authorized",
    ),
    (
        [([SCAN, COUNT], Receipt([], {}, {1: NO, 2: NO})), ([COUNT], Receipt([2]))],
        "1 event is denied and kept, others go out: Not authorized",
    ),
    ([([SCAN, COUNT], Receipt([2], {}, {1: NO})), ([SCAN], Receipt([1]))], ""),
    (
        [
            ([SCAN, COUNT], Receipt([2], {}, {1: NO})), ([SCAN], Receipt([1])),
            ([STOP], Receipt([], {}, {3: "Banned"})),
        ],
        "1 event is denied and kept: Banned",
    ),
])  # fmt: skip
def test_others_are_said_to_go_out_where_they_do(
    writes: Sequence[tuple[list[Record], Receipt]], words: str
) -> None:
    refusals = Refusals()
    for records, receipt in writes:
        refusals.take(records, receipt)
    assert refusals.words() == words


# --- damage ---------------------------------------------------------------------------------------


def damaged(path: Path, statement: str) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute(statement)
    db.close()


def written_as_it_is(records: Sequence[Record]) -> Receipt:
    """As a sink does that renders: it fails over what no calendar has."""
    assert all(one.json for one in records)
    return all_of_it(records)


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE event SET data = CAST(\'{"text":"rub\' AS BLOB) WHERE seq = 7',
        "UPDATE event SET data = x'7B2274657874223A22FF227D' WHERE seq = 7",
        "UPDATE event SET at_ms = 9223372036854775807 WHERE seq = 7",
        "UPDATE event SET data = x'00', seen_ms = -9223372036854775807 WHERE seq = 7",
        "INSERT INTO attribution (seq, version, context) SELECT 7, 2, context FROM event WHERE seq = 7;"
        "UPDATE event SET data = x'7B' WHERE seq = 7",
    ],
    ids=["no JSON", "no text", "no time", "both", "corrected"],
)
def test_a_damaged_record_goes_into_quarantine_and_the_rest_goes_out(tmp_path: Path, statement: str) -> None:
    async def begin(bench: Bench) -> None:
        await bench.happen(20)

    async def runs(bench: Bench) -> None:
        async with bench.delivering(sink) as delivery:
            await bench.happen(1)
            await caught_up(delivery, sink)
            status = delivery.status()
            assert (status.delivered, status.rejected, status.pending) == (20, 1, 0)
            assert delivery.state == "connected"

    sink, path = HandSink(answer=written_as_it_is), tmp_path / "journal.db"
    run_line(path, begin, runs, between=lambda: damaged(path, statement) if not sink.writes else None)
    reader = SinkReader(path, "line-1")
    (bad,) = reader.rejected_events("hand")
    assert bad.seq == 7
    assert bad.reason
    reader.close()


def test_a_damaged_record_alone_waits_until_others_have_gone_through(tmp_path: Path) -> None:
    """Nobody knows before that whether it is the record or the adapter."""

    async def begin(bench: Bench) -> None:
        await bench.happen(1)

    async def runs(bench: Bench) -> None:
        async with bench.delivering(sink) as delivery:
            await asyncio.sleep(30)
            assert (delivery.pending, delivery.status().rejected, delivery.state) == (1, 0, "lost")
            await bench.happen(1)
            async with asyncio.timeout(120):
                while delivery.pending:
                    await asyncio.sleep(0.1)
            assert delivery.status().rejected == 1

    sink, path = HandSink(answer=written_as_it_is), tmp_path / "journal.db"
    late = "UPDATE event SET at_ms = 9223372036854775807 WHERE seq = 1"
    run_line(path, begin, runs, between=lambda: damaged(path, late) if not sink.writes else None)


def test_an_adapter_that_fails_at_all_of_them_rejects_none(tmp_path: Path) -> None:
    def buggy(records: Sequence[Record]) -> Receipt:
        raise KeyError("order")

    async def runs(bench: Bench) -> None:
        sink = HandSink(answer=buggy)
        async with bench.delivering(sink) as delivery:
            await bench.happen(40)
            await asyncio.sleep(60)
            assert (delivery.pending, delivery.status().rejected) == (40, 0)
            sink.answer = all_of_it
            async with asyncio.timeout(60):
                while delivery.pending:
                    await asyncio.sleep(0.1)
            assert delivery.status().rejected == 0

    run_line(tmp_path / "journal.db", runs)


@pytest.mark.parametrize(
    "rows",
    [
        "('hand', 1, 5000000)",
        "('hand', 1, 3), ('hand', 6, 9000000000000)",
        "('hand', -5, 2)",
        "('hand', 4, 2)",
    ],
)
def test_progress_that_cannot_be_is_not_believed(
    tmp_path: Path, rows: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def begin(bench: Bench) -> None:
        await bench.happen(5)

    async def runs(bench: Bench) -> None:
        async with bench.delivering(sink, replay=WINDOW) as delivery:
            assert 0 <= delivery.pending <= 5
            await bench.happen(2)
            await caught_up(delivery, sink)
            assert {6, 7} <= set(sink.seqs())
        reader = SinkReader(path, "line-1")
        assert [one for one in reader.progress("hand") if one[1] > 7 or one[0] < 1] == []
        reader.close()

    statement = f"INSERT INTO progress (sink, first, last) VALUES {rows}"
    sink, path = HandSink(), tmp_path / "journal.db"
    run_line(path, begin, runs, between=lambda: damaged(path, statement) if not sink.writes else None)
    assert "not believed" in caplog.text
