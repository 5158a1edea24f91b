"""A journal of any earlier schema, with something in every table, opened by this Lineside."""

import hashlib
import random
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge.journal import JournalReader, begin
from edge.journal.backup import back_up, restore
from edge.journal.integrity import note_damage
from edge.journal.migrate import migrate
from edge.journal.sql import migrations
from edge.journal.store import Journal
from edge.production.baselines import Counter
from edge.production.state import LineRow
from tests.journal.floor import integrity, said
from tests.journal.powercut import images, recording

NEWEST = len(migrations())
_TEXT = (Path(__file__).parent / "contents.sql").read_text(encoding="utf-8")
CONTENTS = dict(enumerate(re.split(r"^-- schema: \d+\n", _TEXT, flags=re.MULTILINE)))
"""By schema, what is new in it; 0 is the remark at the top."""

RELEASED = {1: "07dce49e6ce2058e18ad149395a5c4bd5c6a8463ce1fb7a76e417786494d69c8"}
"""Steps that have been in the hands of users, by the sum of their text: they never change."""


def write(path: Path, version: int) -> None:
    """A journal as a Lineside of that schema left it."""
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("journal_mode", "wal")
        for step in migrations()[:version]:
            db.execute(step)
        db.pragma("user_version", version)
        for number in range(1, version + 1):
            db.execute(CONTENTS[number])


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """By table, every row by its columns."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found: dict[str, list[dict[str, Any]]] = {}
        for table in tables:
            cursor = db.execute(f"SELECT * FROM {table}")
            lines = cursor.fetchall()
            names = [one[0] for one in db.execute(f"SELECT name FROM pragma_table_info('{table}')")]
            found[str(table)] = [dict(zip(map(str, names), line, strict=True)) for line in lines]
        return found


def shape(path: Path) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()


def assert_all_there(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    for table, lines in before.items():
        for line in lines:
            assert any(line.items() <= other.items() for other in after[table]), (table, line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_every_schema_has_contents_here() -> None:
    assert len(CONTENTS) - 1 == NEWEST
    assert set(RELEASED) <= set(range(1, NEWEST + 1))


@pytest.mark.parametrize("version", RELEASED)
def test_what_was_released_stays_as_it_is(version: int) -> None:
    """A file of that schema is not touched by its step again: a change would be in new files only."""
    assert hashlib.sha256(migrations()[version - 1].encode()).hexdigest() == RELEASED[version]


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_no_table_is_without_contents(path: Path, version: int) -> None:
    write(path, version)
    assert [table for table, lines in rows(path).items() if not lines] in ([], ["held"])


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_it_is_brought_up_to_date_with_all_that_is_in_it(path: Path, version: int) -> None:
    write(path, version)
    before = rows(path)
    journal, found = begin(path)
    assert found is None
    assert journal.row("line") == LineRow(2)
    assert journal.progress("file") == [(1, 3), (5, 5)]
    head = journal.head
    assert journal.commit([said(1)]) == head + 1
    with closing(JournalReader(path, "line-1")) as reader:
        records = reader.records(1, 5)
        assert [one.id for one in records] == [
            "aaaa0001-1", "aaaa0001-2", "aaaa0001-3", "aaaa0002-4", "aaaa0002-5",
        ]  # fmt: skip
        assert [one.attribution for one in records] == [1, 2, 1, 1, 1]
        assert records[1].context["order"] == "WO-2"
        assert reader.quarantined() == 1
        assert reader.rejected() == {"file": 1}
    journal.close()
    after = rows(path)
    assert_all_there(before, after)
    fresh = path.with_name("fresh.db")
    Journal(fresh).close()
    assert shape(path) == shape(fresh)
    assert integrity(path) == "ok"


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_backup_of_it_is_restored(path: Path, version: int) -> None:
    write(path, version)
    before = rows(path)
    saved = path.with_name("saved.db")
    back_up(path, saved)
    restore(saved, path)
    journal, _ = begin(path)
    journal.close()
    assert_all_there(before, rows(path))


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
def test_a_damaged_one_is_salvaged(path: Path, version: int) -> None:
    write(path, version)
    before = rows(path)
    note_damage(path, "noted")
    journal, found = begin(path)
    assert found is not None
    assert found.held.lost == found.held.bad == 0
    assert journal.head == found.held.last_seq
    journal.close()
    assert_all_there(before, rows(path))


@pytest.mark.parametrize("is_damaged", [False, True])
def test_widths_go_out_of_the_keys_of_counters(path: Path, is_damaged: bool) -> None:
    """Of one that was read with several, what was seen last stays; what cannot be read hinders nothing."""
    write(path, 2)
    body = '{"type":"counter","raw":%d,"at_ms":1,"seen_ms":%d,"mono_ms":1,"boot":"b0"}'
    old = [
        ('counter/plc|{"node":"ns=2;s=A|u1"}|u16', body % (65_439, 9_000)),
        ('counter/plc|{"node":"ns=2;s=A|u1"}|u32', body % (70, 10_000)),
        ('counter/plc|{"node":"ns=2;s=A|u1"}|u8', body % (7, 1_000)),
        ("counter/plc|unit 1 holding 100 u32|u32", body % (8, 1_000)),
        ("counter/plc|unit 1 holding 102 u16|u16", body % (9, 1_000)),
    ]
    with closing(apsw.Connection(str(path))) as db:
        db.executemany("INSERT INTO state (key, body) VALUES (?, CAST(? AS BLOB))", old)
    if is_damaged:
        note_damage(path, "noted")
    journal, found = begin(path)
    journal.close()
    assert (found is not None) is is_damaged
    with closing(JournalReader(path, "line-1")) as reader:
        counters = {key: row.raw for key, row in reader.rows("counter/") if isinstance(row, Counter)}
    assert counters == {
        'counter/plc|{"node":"ns=2;s=A|u1"}': 70,
        "counter/plc|unit 1 holding 100 u32": 8,
        "counter/plc|unit 1 holding 102 u16": 9,
    }


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_a_power_cut_on_the_way_leaves_a_whole_schema(path: Path, place: Path, version: int) -> None:
    write(path, version)
    content = path.read_bytes()
    with recording() as ops, closing(apsw.Connection(str(path))) as db:
        db.pragma("synchronous", "full")
        migrate(db, path)
        db.wal_checkpoint()
    seen = set()
    for image in images(ops, 100, random.Random(1), {"journal.db": content}):
        image.lay_out(place)
        with closing(apsw.Connection(str(place / "journal.db"))) as db:
            seen.add(db.pragma("user_version"))
            assert db.pragma("integrity_check") == "ok"
        journal = Journal(place / "journal.db")
        assert journal.row("line") == LineRow(2)
        journal.close()
        for file in place.iterdir():
            file.unlink()
    assert {version, NEWEST} <= seen <= set(range(version, NEWEST + 1))
