"""A journal that has grown: no statement reads all of a table that grows, and little is written twice."""

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from edge.journal import Journal, JournalReader
from edge.journal.history import History
from edge.journal.sql import QUERIES
from edge.journal.store import encode_data
from edge.production.context import Context
from edge.production.draft import Move
from edge.production.events import Event
from edge.production.traced import UnitSeen
from edge.production.views import Window

GROWING = ("event", "attribution", "mention", "state", "context", "rejected", "progress")
SCANNED = {
    "choose_since": {"event"},
    "all_progress": {"progress"},
    "count_rejected": {"rejected"},
    "choose_contexts": {"context"},
    "contexts_of_batch": {"context"},
    "want_given": {"attribution"},
    "count_records": {"event"},
    "count_rows": {"state"},
    "last_seen": {"event"},
    "rejected_of": {"rejected"},
    "sinks_known": {"progress", "rejected"},
    "bounds": {"progress"},
    "wrong_ranges": {"progress"},
    "wrong_times": {"event"},
}
"""What does read a table from one end, because:

- choose_since goes back from the newest event, and stops at the first that is old enough;
- all_progress has a row for each range of a sink, and wants them all, once a correction;
- count_rejected is asked once, when a sink's delivery is made;
- last_seen goes back from the newest and stops at once;
- bounds and wrong_ranges are asked once, at the start, wrong_times of a backup that is to be restored;
- rejected_of and sinks_known are asked when a person sees to the sinks, retention the latter once a minute;
- count_records and count_rows are asked of a backup, and of a journal that was taken over from a damaged one;
- the others are asked by people who look into the past, in a process of their own.
"""

NOT_OF_A_LINE = ("salvage_", "mend_", "prepare_")
"""Statements that take a damaged file over before the line starts, or make temporary tables."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def plan(db: apsw.Connection, query: str) -> list[str]:
    """Each step of how SQLite would run it."""
    numbered = re.findall(r"\?\d+", query)
    values = (1,) * (len(set(numbered)) or query.count("?"))
    return [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]


def scanned(db: apsw.Connection, name: str) -> set[str]:
    """Tables of the journal that a statement reads from one end to the other."""
    steps = (re.match(r"SCAN (\S+)", step) for step in plan(db, QUERIES[name]))
    return {step[1] for step in steps if step} & set(GROWING)


@pytest.fixture
def history(journal: Journal) -> Iterator[History]:
    """It has the temporary tables of all statements."""
    history = History(journal.path, "line-1")
    yield history
    history.close()


@pytest.mark.parametrize("name", [one for one in sorted(QUERIES) if not one.startswith(NOT_OF_A_LINE)])
def test_no_statement_reads_all_of_a_table_that_grows(history: History, name: str) -> None:
    assert scanned(history._db, name) == SCANNED.get(name, set())


def test_an_undo_is_sought_from_the_newest_event(journal: Journal) -> None:
    """By the index by time it would read all that ever happened at the station."""
    assert "event_at" not in " ".join(plan(journal._db, QUERIES["choose_since"]))
    assert any(
        "event_at (station=? AND at_ms>?" in step for step in plan(journal._db, QUERIES["choose_window"])
    )


@pytest.mark.parametrize("name", ["read_chosen", "move_chosen", "moved_chosen", "mention_batches"])
def test_a_correction_holds_no_events_in_memory(journal: Journal, name: str) -> None:
    """A million of them would be hundreds of megabytes in a table to sort or to group by."""
    assert not [step for step in plan(journal._db, QUERIES[name]) if "TEMP B-TREE" in step]
    assert "\nRETURNING" not in QUERIES[name]


def said(serial: str, context: Context, at_ms: int) -> tuple[Event, bytes]:
    data = UnitSeen(serial, "open")
    return Event(data, at_ms, at_ms, at_ms, "b0", "press", context), encode_data(data)


def test_parts_of_many_runs_are_moved_in_one_go(journal: Journal) -> None:
    """A window over many runs is read once, not once a run."""
    runs = [Context(order=f"WO-{number}", run=f"r{number}") for number in range(200)]
    journal.commit([said(f"U-{at_ms}", run, at_ms) for at_ms, run in enumerate(runs * 2, 1)])
    view = Window("press", 101, 301).key
    target = Context(order="WO-NEW", run="r999", batch="B7")
    ran: list[str] = []

    def note(_: object, statement: str, __: object) -> bool:
        ran.append(statement)
        return True

    journal._db.set_exec_trace(note)
    journal.commit(moves=[Move(view, run, target, 2) for run in runs[50:]])
    journal._db.set_exec_trace(None)
    assert ran.count(QUERIES["move_chosen"]) == ran.count(QUERIES["choose_window"]) == 1
    reader = JournalReader(journal.path, "line-1")
    moved = {one.seq for one in reader.records(1, 1_000) if one.attribution == 2}
    assert moved == {seq for seq in range(101, 301) if (seq - 1) % 200 >= 50}
    assert {one.context["order"] for one in reader.records(1, 1_000) if one.seq in moved} == {"WO-NEW"}
    reader.close()
    mentions = journal._db.execute("SELECT seq FROM mention WHERE subject = 'lot/B7'")
    assert {seq for (seq,) in mentions} == moved


def test_only_the_ranges_that_changed_are_written(journal: Journal) -> None:
    """What was corrected in many places is acknowledged piece by piece."""
    pieces = [(first, first + 5) for first in range(1, 20_001, 10)]
    journal.commit(progress={"file": pieces, "mqtt": [(1, 7)]})
    before = journal._db.total_changes()
    pieces[1_000] = (pieces[1_000][0], pieces[1_000][1] + 1)
    journal.commit(progress={"file": pieces, "mqtt": [(1, 7)]})
    assert journal._db.total_changes() - before == 2
    assert journal.progress("file") == pieces
    assert journal.progress("mqtt") == [(1, 7)]
    journal.commit(progress={"file": []})
    assert journal.progress("file") == []
