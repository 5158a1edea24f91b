"""A journal that is not what was written any more: set aside, told of, and what can be read taken over."""

import random
import re
import subprocess
import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import JournalDamaged, JournalError
from edge.journal import Journal, JournalReader, SetAside, begin
from edge.journal.frames import commits_behind_damage
from edge.journal.integrity import note_damage
from edge.production.state import LineRow
from tests.journal.floor import PAGE, details, fill, integrity, pages_of, running, said, spoil

EVENTS = 3_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def asides(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if ".corrupt-" in one.name)


def test_a_sound_journal_is_opened_as_it_is(path: Path) -> None:
    fill(path, 10)
    journal, found = begin(path)
    assert (found, journal.head) == (None, 10)
    journal.close()
    assert asides(path) == []


def test_a_new_one_is_begun_where_there_is_none(path: Path) -> None:
    journal, found = begin(path / "deep" / "journal.db")
    assert (found, journal.head) == (None, 0)
    journal.close()


def test_some_leaves_are_lost_and_all_else_is_taken_over(path: Path) -> None:
    epoch = fill(path, EVENTS, acknowledged=2_000)
    before = details(path)
    leaves = pages_of(path, "event")[1:]
    spoil(path, [leaves[3], leaves[-2]])
    note_damage(path, "a page was found to be wrong")
    journal, found = begin(path)
    assert found is not None
    after = details(path)
    lost = before.keys() - after.keys()
    assert 0 < len(lost) < 200
    assert all(after[seq] == before[seq] for seq in after)
    held = found.held
    assert (held.first_seq, held.last_seq, held.records) == (1, EVENTS, EVENTS - len(lost))
    assert held.lost == len(lost)
    assert held.waiting == sum(seq > 2_000 for seq in after)
    assert held.waiting_lost == sum(seq > 2_000 for seq in lost)
    assert (held.newest_ms, held.running, held.rows) == (1_000 * EVENTS, ("WO-7",), 2)
    assert found.file.name == "journal.db.corrupt-1"
    told = (path.parent / "journal.db.corrupt-1.txt").read_text()
    assert "a page was found to be wrong" in told
    assert "Orders running: WO-7." in told
    assert journal.epoch != epoch
    assert journal.commit([said(EVENTS + 1)]) == EVENTS + 1
    assert journal.progress("file") == [(1, 2_000)]
    journal.close()
    reader = JournalReader(path, "line-1")
    [newest] = reader.records(EVENTS + 1, EVENTS + 1)
    [oldest] = reader.records(1, 1)
    assert (newest.id, oldest.id) == (f"{journal.epoch}-{EVENTS + 1}", f"{epoch}-1")
    reader.close()
    assert integrity(path) == "ok"
    begin(path)[0].close()
    assert len([one for one in asides(path) if one.endswith("-1")]) == 1, "it is told of once"


def test_the_newest_events_are_gone_and_their_numbers_are_not_given_again(path: Path) -> None:
    fill(path, EVENTS, acknowledged=EVENTS)
    leaves = pages_of(path, "event")[1:]
    spoil(path, leaves[-5:])
    journal, found = begin_noted(path)
    assert found is not None
    assert found.held.last_seq == EVENTS
    assert max(details(path)) < EVENTS
    assert journal.head == EVENTS
    assert journal.commit([said(1)]) == EVENTS + 1
    journal.close()


def begin_noted(path: Path) -> tuple[Journal, SetAside | None]:
    note_damage(path, "noted")
    return begin(path)


@pytest.mark.parametrize("table", ["event", "state", "context", "progress", "epoch", "mention", "boot"])
def test_the_root_of_any_table_may_be_gone(path: Path, table: str) -> None:
    fill(path, EVENTS, acknowledged=1_000)
    spoil(path, pages_of(path, table)[:1])
    note_damage(path, "noted")
    journal, found = begin(path)
    assert found is not None
    assert journal.commit([said(1)]) > 0
    records = len(details(path)) - 1
    journal.close()
    assert integrity(path) == "ok"
    assert records == (0 if table == "event" else EVENTS)
    reader = JournalReader(path, "line-1")
    assert len(reader.records(1, 2 * EVENTS, 2 * EVENTS)) == records + 1, "also where their context is lost"
    reader.close()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_pages_are_spoilt_the_agent_counts_on(path: Path, seed: int) -> None:
    fill(path, 1_000, acknowledged=100)
    before = details(path)
    chance = random.Random(seed)
    count = path.stat().st_size // PAGE
    spoil(path, [1 + chance.randrange(count) for _ in range(1 + seed)], seed)
    journal, _ = begin_noted(path)
    head = journal.head
    assert journal.commit([said(1, "after")]) == head + 1
    journal.close()
    assert integrity(path) == "ok"
    after = details(path)
    assert all(after[seq] == before[seq] for seq in after if seq <= head and seq in before), (
        "nothing is made up"
    )


@pytest.mark.parametrize(
    "content", [b"", b"order,good,scrap\n" * 1_000, b"SQLite format 3\0" + b"\xff" * 8_000]
)
def test_what_is_no_journal_is_set_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    journal, found = begin(path)
    assert journal.commit([said(1)]) == 1
    journal.close()
    if content:
        assert found is not None
        assert "Nothing of it could be read" in str(found)
        assert (path.parent / "journal.db.corrupt-1").read_bytes() == content
    else:
        assert found is None


def test_a_torn_file_is_noticed_at_the_start(path: Path) -> None:
    """Its end was never written: the power went while it grew."""
    fill(path, EVENTS)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 // PAGE * PAGE)
    journal, found = begin(path)
    assert found is not None
    assert 0 < found.held.records < EVENTS
    assert journal.commit([said(1)]) > found.held.records
    journal.close()


def test_its_log_goes_with_it_and_what_was_only_there_is_taken_over(path: Path) -> None:
    fill(path, 100)
    journal = Journal(path)
    journal.commit([said(101)])
    log = Path(f"{path}-wal").read_bytes()
    file = path.read_bytes()
    journal.close()
    path.write_bytes(file)
    Path(f"{path}-wal").write_bytes(log)
    journal, found = begin_noted(path)
    assert found is not None
    assert details(path)[101] == "event 101"
    journal.close()
    assert (path.parent / "journal.db.corrupt-1-wal").read_bytes() == log
    assert asides(path) == [f"journal.db.corrupt-1{end}" for end in ("", "-wal", ".txt")]


def test_whoever_waits_for_the_start_hears_that_it_goes_on(path: Path) -> None:
    """A great journal takes longer than systemd waits for a start."""
    fill(path, EVENTS)
    note_damage(path, "noted")
    heard: list[int] = []
    begin(path, lambda: heard.append(1))[0].close()
    assert len(heard) > EVENTS // 1_000


def test_of_names_both_ends_are_taken_over(path: Path) -> None:
    """They cannot be sought by number: what lies between two damaged places is lost."""
    jobs = {f"asked/WO-{number:05}": LineRow(number) for number in range(5_000)}
    journal = Journal(path)
    journal.commit([said(1)], jobs)
    journal.close()
    leaves = pages_of(path, "state")[1:]
    spoil(path, [leaves[len(leaves) // 2]])
    journal, found = begin_noted(path)
    assert found is not None
    assert 4_500 < found.held.rows < 5_000
    for number in (0, 4_999):
        assert journal.row(f"asked/WO-{number:05}") == LineRow(number)
    journal.close()


def test_where_the_disk_has_no_room_for_both_the_newest_are_taken(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64M", "lineside-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    path = disk / "journal.db"
    try:
        journal = Journal(path)
        for number in range(1, 1_601):
            journal.commit([said(number, "x" * 12_000)], running("WO-7"))
        journal.close()
        journal, found = begin_noted(path)
        assert found is not None
        assert found.held.running == ("WO-7",)
        assert found.held.left > 100
        assert 0 < found.held.records == 1_600 - found.held.left
        assert "are only in the old file" in str(found)
        assert journal.commit([said(1)]) == 1_601
        journal.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_each_one_gets_a_number_of_its_own(path: Path) -> None:
    for _ in range(3):
        path.write_bytes(b"no journal at all")
        begin(path)[0].close()
    assert asides(path) == [
        f"journal.db.corrupt-{number}{end}" for number in (1, 2, 3) for end in ("", ".txt")
    ]


# --- a log that is damaged ------------------------------------------------------------------------


def with_log(path: Path, commits: int) -> bytes:
    """A journal whose newest commits are in its log alone, as a kill leaves it. Returns the log."""
    journal = Journal(path)
    for number in range(1, commits + 1):
        journal.commit([said(number)])
    log, file = Path(f"{path}-wal").read_bytes(), path.read_bytes()
    journal.close()
    path.write_bytes(file)
    return log


@pytest.mark.parametrize("wrong", ["page", "salt"])
def test_commits_behind_a_damaged_place_of_the_log_are_told_of(path: Path, wrong: str) -> None:
    log = bytearray(with_log(path, 40))
    middle = 32 + len(log) // (PAGE + 24) // 2 * (PAGE + 24)
    log[middle + (100 if wrong == "page" else 10)] ^= 1
    Path(f"{path}-wal").write_bytes(log)
    journal, found = begin(path)
    assert found is not None
    assert re.search(r"its log is damaged: \d\d commits behind", found.reason)
    assert 10 < journal.head < 30
    assert set(details(path)) == set(range(1, journal.head + 1))
    assert (path.parent / "journal.db.corrupt-1-wal").read_bytes() == log
    journal.close()


@pytest.mark.parametrize("cut", [1, 100, PAGE, 3 * PAGE])
def test_the_last_commit_may_be_torn(path: Path, cut: int) -> None:
    """It was under way, and nobody was told that it is on disk."""
    log = with_log(path, 40)
    Path(f"{path}-wal").write_bytes(log[:-cut] + bytes(cut))
    journal, found = begin(path)
    assert found is None
    assert 38 <= journal.head <= 40
    journal.close()


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=200)
def test_any_bytes_may_be_in_the_place_of_a_log(noise: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = bytearray(A_LOG)
        log[place * 50 : place * 50 + len(noise)] = noise
        (Path(folder) / "log").write_bytes(log)
        assert 0 <= commits_behind_damage(Path(folder) / "log") < 5
        (Path(folder) / "log").write_bytes(noise)
        assert commits_behind_damage(Path(folder) / "log") == 0


def _a_log() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(f"{folder}/x.db")
        db.execute("PRAGMA page_size = 512; PRAGMA journal_mode = wal; CREATE TABLE t (a)").fetchall()
        for number in range(4):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        log = Path(f"{folder}/x.db-wal").read_bytes()
        db.close()
        return log


A_LOG = _a_log()


# --- found while it is in use -------------------------------------------------------------------


def test_a_commit_that_meets_a_spoilt_page_ends_the_agent_and_the_next_one_starts_clean(path: Path) -> None:
    fill(path, EVENTS)
    spoil(path, pages_of(path, "event_at")[:1])
    journal = Journal(path)
    with pytest.raises(JournalDamaged):
        journal.commit([said(EVENTS + 1)])
    with pytest.raises(JournalDamaged):
        journal.commit()  # nothing is tried again
    journal.close()
    journal, found = begin(path)
    assert found is not None
    assert journal.row("station/press") is not None
    journal.commit([said(1)])
    journal.close()


def test_a_row_that_cannot_be_read_is_no_bad_observation(path: Path) -> None:
    fill(path, 10)
    spoil(path, pages_of(path, "state")[:1])
    journal = Journal(path)
    with pytest.raises(JournalDamaged):
        journal.row("station/press")
    journal.close()


# --- killed on the way --------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["before", "renamed", "log renamed"])
def test_what_a_kill_has_interrupted_is_completed(path: Path, step: str) -> None:
    """The new one is complete and has not taken the place of the damaged one yet."""
    fill(path, 5)
    new = path.with_name("journal.db.salvaged")
    path.rename(new)
    path.write_bytes(b"damaged")
    log = Path(f"{path}-wal")
    log.write_bytes(b"its log")
    note_damage(path, "noted")
    if step != "before":
        path.rename(path.with_name("journal.db.corrupt-1"))
    if step == "log renamed":
        log.rename(path.with_name("journal.db.corrupt-1-wal"))
    journal, found = begin(path)
    assert (journal.head, found) == (5, None)
    journal.close()
    assert (path.parent / "journal.db.corrupt-1").read_bytes() == b"damaged"
    assert (path.parent / "journal.db.corrupt-1-wal").read_bytes() == b"its log"
    assert not new.exists()


def test_a_half_made_one_is_begun_again(path: Path) -> None:
    fill(path, 5)
    path.with_name("journal.db.part").write_bytes(b"half of it")
    journal, found = begin_noted(path)
    assert found is not None
    assert journal.head == 5
    journal.close()


def test_one_that_is_in_use_is_left_alone(path: Path) -> None:
    journal = Journal(path)
    note_damage(path, "noted")
    with pytest.raises(JournalError, match="another agent is using it"):
        begin(path)
    journal.commit([said(1)])
    journal.close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    fill(path, 5)
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 99)
    with pytest.raises(JournalError, match="is of schema 99"):
        begin(path)
    assert asides(path) == []
