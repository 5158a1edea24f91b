"""What the journal lets go of: never what somebody still waits for, never what is young."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.batches import Batch
from edge.errors import NotRecorded
from edge.journal import Journal, JournalReader
from edge.journal.recent import Recent
from edge.journal.retention import (
    FURTHEST_MS,
    ROWS,
    can_trim,
    drop_events,
    drop_telemetry,
    forget_sink,
    thin_telemetry,
    today_ms,
)
from edge.journal.store import encode_data
from edge.observation import Stamp, WorkOrder
from edge.production.context import Context
from edge.production.events import Event, EventData
from edge.production.losses import Health
from edge.production.state import Row, Run, Unit, order_key, run_key, unit_key
from edge.production.traced import UnitSeen

NOW_MS = 1_930_000_000_000
DAY_MS = 86_400_000
RUN = Context(order="WO-1", run="r1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def at(at_ms: int, data: EventData | None = None) -> tuple[Event, bytes]:
    data = data or Health("agent", "start")
    return Event(data, at_ms, at_ms, at_ms, "b0", "press", RUN), encode_data(data)


def batch(at_ms: int, frames: int = 20) -> tuple[Batch, Context]:
    encoded = [b'{"at":%d,"values":{"zone_1":%d}}' % (at_ms + n, n * 7919) for n in range(frames)]
    return Batch("oven", "press", at_ms, at_ms, at_ms, "b0", Stamp.RECEIPT, b",".join(encoded), frames), RUN


def days(*ago: int) -> list[tuple[Event, bytes]]:
    return [at(NOW_MS - days * DAY_MS) for days in ago]


def kept(journal: Journal) -> list[int]:
    """seq of every record that is there."""
    reader = JournalReader(journal.path, "line-1")
    try:
        return [one.seq for one in reader.records(1, reader.head(), 100_000)]
    finally:
        reader.close()


def drop_all(journal: Journal, sinks: list[str], days: int) -> int:
    dropped = 0
    while some := drop_events(journal, sinks, NOW_MS - days * DAY_MS):
        dropped += some
    return dropped


# --- production records -----------------------------------------------------------------------


def test_what_is_old_and_acknowledged_by_all_goes(journal: Journal) -> None:
    journal.commit(days(900, 800, 700, 1, 0), progress={"influx": [(1, 5)], "mqtt": [(1, 5)]})
    assert drop_all(journal, ["influx", "mqtt"], 750) == 2
    assert kept(journal) == [3, 4, 5]
    assert drop_all(journal, ["influx", "mqtt"], 750) == 0


def test_what_a_sink_waits_for_stays_whatever_its_age(journal: Journal) -> None:
    journal.commit(days(900, 890, 880, 870, 1), progress={"influx": [(1, 5)], "mqtt": [(1, 2), (4, 5)]})
    assert drop_all(journal, ["influx", "mqtt"], 750) == 2
    assert kept(journal) == [3, 4, 5]


def test_a_sink_that_never_took_anything_holds_all(journal: Journal) -> None:
    journal.commit(days(900, 1), progress={"influx": [(1, 2)]})
    assert drop_all(journal, ["influx", "new"], 750) == 0


def test_a_sink_that_was_taken_out_of_the_file_holds_until_it_is_forgotten(journal: Journal) -> None:
    journal.commit(days(900, 890, 1), progress={"influx": [(1, 3)], "gone": [(1, 1)]})
    assert drop_all(journal, ["influx"], 750) == 1
    assert forget_sink(journal, "gone", configured=False).waited == 2
    assert drop_all(journal, ["influx"], 750) == 1
    assert journal.progress("gone") == []


def test_young_records_are_kept_though_all_have_them(journal: Journal) -> None:
    journal.commit(days(700, 1), progress={"influx": [(1, 2)]})
    assert drop_all(journal, ["influx"], 750) == 0


def test_the_newest_record_stays_so_that_no_seq_comes_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.commit(days(900, 890), progress={"influx": [(1, 2)]})
    assert drop_all(journal, ["influx"], 750) == 1
    journal.close()
    journal = Journal(journal.path)
    assert journal.head == 2
    journal.close()


def test_a_clock_that_was_not_set_makes_nothing_old(journal: Journal) -> None:
    """Of 1970 at the begin, and between young records; behind an old one it is as old as that."""
    journal.commit([at(1_000), at(2_000), *days(1, 0)], progress={"influx": [(1, 4)]})
    assert drop_all(journal, ["influx"], 750) == 0
    assert kept(journal) == [1, 2, 3, 4]


def test_what_came_before_an_old_record_is_old_whatever_its_clock_said(journal: Journal) -> None:
    many = ROWS + 50
    journal.commit([*(at(n) for n in range(many)), *days(900, 0)], progress={"influx": [(1, many + 2)]})
    assert drop_all(journal, ["influx"], 750) == many + 1
    assert kept(journal) == [many + 2]


def test_a_chunk_is_bounded(journal: Journal) -> None:
    journal.commit(days(*([900] * (ROWS + 5)), 0), progress={"influx": [(1, ROWS + 6)]})
    assert [drop_events(journal, ["influx"], NOW_MS - DAY_MS) for _ in range(3)] == [ROWS, 5, 0]


def test_with_a_unit_s_last_event_goes_what_is_known_of_it(journal: Journal) -> None:
    old, young = NOW_MS - 900 * DAY_MS, NOW_MS
    rows = {unit_key(name): Unit(name, "press") for name in ("U-1", "U-2")}
    seen = [
        at(old, UnitSeen("U-1", "open")),
        at(old, UnitSeen("U-2", "open")),
        at(young, UnitSeen("U-2", "open")),
    ]
    journal.commit([*seen, at(young)], rows, progress={"influx": [(1, 4)]})
    assert drop_all(journal, ["influx"], 750) == 2
    assert journal.row(unit_key("U-1")) is None
    assert journal.row(unit_key("U-2")) == Unit("U-2", "press")
    with journal.transaction() as db:
        assert db.execute("SELECT subject, seq FROM mention WHERE seq < 3").fetchall() == []


@pytest.mark.parametrize(("ended_days", "stays"), [(800, False), (1, True), (None, True)])
def test_a_run_goes_when_it_ended_before(journal: Journal, ended_days: int | None, stays: bool) -> None:
    ended_ms = None if ended_days is None else NOW_MS - ended_days * DAY_MS
    run = Run("r1", "press", "WO-1", 10, NOW_MS - 900 * DAY_MS, 50, ended_ms=ended_ms)
    order = WorkOrder("WO-1", "P7", 50)
    rows: dict[str, Row] = {run_key("r1"): run, order_key("WO-1"): order}
    journal.commit(days(900, 0), rows, progress={"influx": [(1, 2)]})
    drop_all(journal, ["influx"], 750)
    assert (journal.row(run_key("r1")) is not None) is stays
    assert journal.row(order_key("WO-1")) == order, "an order's name must not come in as a new one's"


def test_what_was_rejected_stays_in_the_sink_s_books(journal: Journal) -> None:
    journal.commit(days(900, 890, 1), progress={"influx": [(1, 3)]}, rejected=[("influx", 1, "no")])
    drop_all(journal, ["influx"], 750)
    with journal.transaction() as db:
        assert db.execute("SELECT count(*) FROM rejected").get == 0
        assert db.execute("SELECT count FROM skipped WHERE sink = 'influx'").get == 1


# --- telemetry --------------------------------------------------------------------------------


def frames(journal: Journal, seq: int) -> int:
    reader = JournalReader(journal.path, "line-1")
    try:
        [record] = reader.records(seq, seq)
        return len(record.data["frames"])
    finally:
        reader.close()


def test_telemetry_that_all_have_is_thinned_once(journal: Journal) -> None:
    journal.commit(telemetry=[batch(NOW_MS + n) for n in range(4)], progress={"influx": [(1, 2), (4, 4)]})
    assert thin_telemetry(journal, ["influx"], acknowledged=True).ranges == ((1, 2),)
    assert [frames(journal, seq) for seq in (1, 2, 3, 4)] == [2, 2, 20, 20], "the newest is left alone"
    assert thin_telemetry(journal, ["influx"], acknowledged=True).records == 0
    freed = thin_telemetry(journal, ["influx"], acknowledged=False)
    assert (freed.ranges, freed.unsent) == (((3, 3),), {"influx": 1})


def test_telemetry_that_all_have_is_dropped_and_nobody_misses_it(journal: Journal) -> None:
    journal.commit(telemetry=[batch(NOW_MS + n) for n in range(5)], progress={"influx": [(1, 1), (3, 5)]})
    freed = drop_telemetry(journal, ["influx"], acknowledged=True)
    assert (freed.records, freed.ranges, freed.unsent) == (3, ((1, 1), (3, 4)), {})
    assert kept(journal) == [2, 5]
    assert not can_trim(journal, ["influx"])


def test_what_a_sink_never_gets_is_booked_and_told(journal: Journal) -> None:
    journal.commit(
        [at(NOW_MS)],
        telemetry=[batch(NOW_MS + n) for n in range(5)],
        progress={"influx": [(1, 3)], "mqtt": [(1, 6)], "gone": [(1, 1)]},
    )
    freed = drop_telemetry(journal, ["influx", "mqtt"], acknowledged=False)
    assert freed.ranges == ((2, 5),)
    assert freed.unsent == {"influx": 2, "gone": 4}
    assert (freed.first_ms, freed.last_ms) == (NOW_MS, NOW_MS + 3)
    assert journal.progress("influx") == [(1, 5)]
    assert journal.progress("gone") == [(1, 5)]
    with journal.transaction() as db:
        assert dict(db.execute("SELECT sink, count FROM skipped")) == {"influx": 2, "gone": 4}
    assert kept(journal) == [1, 6]


def test_telemetry_is_dropped_by_its_age(journal: Journal) -> None:
    old = [batch(NOW_MS - days * DAY_MS) for days in (40, 35, 20, 1)]
    journal.commit(telemetry=old, progress={"influx": [(1, 4)]})
    before_ms = NOW_MS - 30 * DAY_MS
    assert drop_telemetry(journal, ["influx"], acknowledged=True, before_ms=before_ms).ranges == ((1, 2),)
    assert drop_telemetry(journal, ["influx"], acknowledged=True, before_ms=before_ms).records == 0


def test_no_want_of_room_touches_an_event(journal: Journal) -> None:
    journal.commit(days(900, 800, 1), telemetry=[batch(NOW_MS)], progress={"influx": [(1, 4)]})
    journal.commit(days(0))
    assert drop_telemetry(journal, ["influx"], acknowledged=False).ranges == ((4, 4),)
    assert drop_telemetry(journal, ["influx"], acknowledged=False).records == 0
    assert kept(journal) == [1, 2, 3, 5]


def test_a_chunk_of_telemetry_is_bounded_in_bytes(journal: Journal) -> None:
    """A batch can be large; the WAL has room for some of them only."""
    journal.commit(telemetry=[batch(NOW_MS + n, 40_000) for n in range(12)], progress={"influx": [(1, 12)]})
    freed = drop_telemetry(journal, ["influx"], acknowledged=True)
    assert 1 <= freed.records < 11


# --- a dead sink, and the time ----------------------------------------------------------------


def test_a_sink_that_stays_goes_on_with_what_is_new(journal: Journal) -> None:
    journal.commit(days(3, 2, 1), progress={"influx": [(2, 2)]})
    forgotten = forget_sink(journal, "influx", configured=True)
    assert (forgotten.waited, forgotten.until, forgotten.first_ms) == (2, 3, NOW_MS - 3 * DAY_MS)
    assert journal.progress("influx") == [(1, 3)]
    assert forget_sink(journal, "influx", configured=True).waited == 0


def test_a_sink_that_nobody_knows_cannot_be_forgotten(journal: Journal) -> None:
    journal.commit(days(1), progress={"influx": [(1, 1)], "mqtt": [(1, 1)]})
    with pytest.raises(NotRecorded, match="influx, mqtt"):
        forget_sink(journal, "inflox", configured=False)


def test_a_clock_that_is_disciplined_is_believed(journal: Journal) -> None:
    assert today_ms(journal, NOW_MS, None, synced=True) == NOW_MS
    later = NOW_MS + 400 * DAY_MS
    assert today_ms(journal, later, None, synced=True) == later
    assert today_ms(journal, NOW_MS, 1_000, synced=True) == NOW_MS


def test_a_clock_that_jumps_makes_nothing_old(journal: Journal) -> None:
    """Nothing disciplines it: ten years forward are thirty days after a start, and none while it runs."""
    today_ms(journal, NOW_MS, None, synced=False)
    jumped = NOW_MS + 3_650 * DAY_MS
    assert today_ms(journal, jumped, 60_000, synced=False) == NOW_MS + 60_000
    assert today_ms(journal, jumped, None, synced=False) == NOW_MS + 60_000 + FURTHEST_MS
    assert today_ms(journal, NOW_MS, 60_000, synced=False) == NOW_MS + 60_000 + FURTHEST_MS


def test_a_box_that_started_in_1970_finds_today(journal: Journal) -> None:
    today_ms(journal, 5_000, None, synced=False)
    assert today_ms(journal, NOW_MS, 60_000, synced=False) == NOW_MS


def test_what_a_sink_has_had_and_is_to_get_again_is_not_told_as_lost(journal: Journal) -> None:
    """After its far end was away, 2 to 4 wait to be sent once more; only 5 and 6 were never there."""
    journal.commit(
        [at(NOW_MS)],
        telemetry=[batch(NOW_MS + n) for n in range(6)],
        progress={"influx": [(1, 1)]},
        recent={"influx": [Recent(1_000, 2, 4, "b0", 1_000)]},
    )
    freed = drop_telemetry(journal, ["influx"], acknowledged=False)
    assert freed.ranges == ((2, 6),)
    assert freed.unsent == {"influx": 2}
    with journal.transaction() as db:
        assert dict(db.execute("SELECT sink, count FROM skipped")) == {"influx": 2}
