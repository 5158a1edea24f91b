"""Backups of a journal in use, and what comes of putting one back."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from edge.batches import Batch
from edge.cli import app
from edge.config import load
from edge.errors import BackupRefused, JournalError
from edge.far_ends import _known
from edge.journal import Journal, JournalReader, begin
from edge.journal.backup import PAGES, back_up, restore, told
from edge.journal.begin import news
from edge.journal.files import is_in_use
from edge.journal.retention import forget_sink
from edge.journal.sinks import SinkReader
from edge.observation import Stamp
from edge.production.context import NO_CONTEXT
from edge.status import SinkStatus
from tests.journal.floor import PAGE, details, fill, integrity, pages_of, running, said, spoil
from tests.support.committer import SEVERAL

LINE = """
[line]
name = "line-1"
[source.plc]
type = "modbus"
host = "tcp://127.0.0.1:1"
[[station]]
name = "press"
ideal_cycle = "1s"
total = { source = "plc", holding = 1, as = "u16" }
[sink.file]
type = "file"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data/journal.db"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "saved.db"


@contextmanager
def committing(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that commits as fast as it can; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.committer", str(path)], stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def folder_of(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_a_backup_of_a_journal_in_use_is_one_moment_of_it(path: Path, out: Path) -> None:
    with committing(path) as process:
        assert process.stdout is not None
        at_least = 0
        while at_least < 8_000:
            at_least = int(process.stdout.readline())
        assert path.stat().st_size > 3 * PAGES * PAGE, "it is copied in several steps"
        rest: list[bytes] = []
        reading = threading.Thread(target=lambda: rest.extend(process.stdout or ()))
        reading.start()
        copied = back_up(path, out)
        process.kill()
        reading.join()
    assert int(rest[-2]) > copied.head, "it went on"
    assert copied.head >= at_least
    assert copied.records == copied.head
    assert integrity(out) == "ok"
    with closing(JournalReader(out, "line-1")) as reader:
        [(_, row)] = reader.rows("line")
        assert copied.head == getattr(row, "runs", 0) * SEVERAL, "its state matches its events"
    assert "every page checked" in str(copied)
    assert out.stat().st_mode & 0o077 == 0
    assert not out.with_name("saved.db.part").exists()


def test_a_backup_overwrites_nothing(path: Path, out: Path) -> None:
    fill(path, 3)
    out.write_text("somebody's")
    with pytest.raises(BackupRefused, match="is there already; nothing is overwritten"):
        back_up(path, out)
    assert out.read_text() == "somebody's"


def test_a_backup_of_nothing_is_refused(path: Path, out: Path) -> None:
    with pytest.raises(BackupRefused, match="has the agent run here yet"):
        back_up(path, out)


def test_a_damaged_journal_gives_no_backup(path: Path, out: Path) -> None:
    fill(path, 3_000)
    spoil(path, pages_of(path, "event")[3:5])
    with pytest.raises(BackupRefused, match="is damaged"):
        back_up(path, out)
    assert folder_of(out) == ["data"], "nothing is left behind"


@pytest.mark.parametrize("place", ["missing/saved.db", "/proc/saved.db"])
def test_a_backup_where_nobody_can_write_is_refused(path: Path, tmp_path: Path, place: str) -> None:
    fill(path, 3)
    with pytest.raises(BackupRefused, match=r"saved\.db"):
        back_up(path, tmp_path / place)


def test_a_disk_that_is_full_gives_no_backup(path: Path, tmp_path: Path) -> None:
    fill(path, 3_000)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "lineside-test", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        with pytest.raises(BackupRefused, match="full"):
            back_up(path, small / "saved.db")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# --- put back -----------------------------------------------------------------------------------


def test_a_restored_journal_goes_on_under_a_new_epoch_above_all_numbers(path: Path, out: Path) -> None:
    fill(path, 100, acknowledged=60)
    back_up(path, out)
    journal = Journal(path)
    journal.commit([said(number) for number in range(101, 151)])
    lost_epoch = journal.epoch
    journal.close()
    restored = restore(out, path)
    assert restored.next_seq == 151
    assert restored.aside == path.with_name("journal.db.replaced-1")
    assert len(details(restored.aside)) == 150, "nothing is destroyed"
    [words] = news(path)
    assert "restored from" in words
    journal, found = begin(path)
    assert found is None
    assert journal.commit([said(151)]) == 151
    assert journal.row("station/press") == running("WO-7")["station/press"]
    assert journal.progress("file") == [(1, 60)]
    with closing(JournalReader(path, "line-1")) as reader:
        ids = [one.id for one in reader.records(100, 200)]
    assert [one.rpartition("-")[2] for one in ids] == ["100", "151"]
    assert ids[1] == f"{journal.epoch}-151"
    assert lost_epoch not in "".join(ids)
    journal.close()
    assert out.exists(), "the backup stays"


def test_numbers_that_the_backup_never_gave_are_not_waited_with(path: Path, out: Path) -> None:
    """The journal that is replaced had gone on to 150; the restored one has none of 101 to 150."""
    fill(path, 100, acknowledged=60)
    back_up(path, out)
    journal = Journal(path)
    journal.commit([said(number) for number in range(101, 151)])
    journal.close()
    restore(out, path)
    restore(out, path)
    config = load(_written(path), path.parent)
    sinks = _known(config)
    assert sinks["file"] == SinkStatus("no agent runs", "", 60, 40, backlog=40)
    assert sinks["new"] == SinkStatus("no agent runs", "", 0, 100, backlog=100)
    journal = Journal(path)
    journal.commit([said(151)])
    with closing(SinkReader(path, "line-1")) as reader:
        assert reader.never_given() == [(101, 150)]
    assert forget_sink(journal, "file", configured=True).waited == 41
    journal.close()
    assert _known(config)["file"] == SinkStatus("no agent runs", "", 60, 0, skipped=41)


def test_the_batches_of_telemetry_are_counted_too(path: Path, out: Path) -> None:
    fill(path, 10)
    journal = Journal(path)
    frame = b'{"at":1,"values":{"a":1}}'
    batch = Batch("oven", "press", 1, 1_777_875_129_412, 1, "b0", Stamp.RECEIPT, frame, 1)
    journal.commit(telemetry=[(batch, NO_CONTEXT), (batch, NO_CONTEXT)])
    journal.close()
    copied = back_up(path, out)
    assert (copied.records, copied.head) == (12, 12)
    assert "12 records up to 12" in str(copied)
    assert "12 records up to 12" in told(restore(out, path))


def _written(path: Path) -> Path:
    file = path.parent.parent / "line.toml"
    file.write_text(LINE + '[sink.new]\ntype = "file"\n')
    return file


def test_a_journal_is_restored_on_a_new_box(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    elsewhere = out.parent / "new" / "box" / "journal.db"
    restored = restore(out, elsewhere)
    assert (restored.aside, restored.next_seq) == (None, 11)
    assert integrity(elsewhere) == "ok"


def test_a_journal_in_use_is_not_replaced(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    journal = Journal(path)
    with pytest.raises(JournalError, match="another agent is using it"):
        restore(out, path)
    assert journal.commit([said(11)]) == 11
    journal.close()
    assert folder_of(path) == ["journal.db", "journal.lock"]


def test_a_damaged_journal_is_replaced_and_its_note_with_it(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    path.write_bytes(b"\xff" * 10 * PAGE)
    path.with_name("journal.db.damaged").write_text("noted")
    restore(out, path)
    journal, found = begin(path)
    assert (found, journal.head) == (None, 10)
    journal.close()


@pytest.mark.parametrize("content", [b"", b"order,good\n" * 900, b"SQLite format 3\0" + b"\xff" * 9_000])
def test_what_is_no_backup_is_not_restored(path: Path, out: Path, content: bytes) -> None:
    fill(path, 10)
    before = path.read_bytes()
    out.write_bytes(content)
    with pytest.raises(BackupRefused, match=r"saved\.db"):
        restore(out, path)
    assert path.read_bytes() == before
    assert folder_of(path) == ["journal.db", "journal.lock"]


def test_another_database_is_not_restored(path: Path, out: Path) -> None:
    db = apsw.Connection(str(out))
    db.execute("CREATE TABLE recipe (name TEXT); PRAGMA user_version = 1")
    db.close()
    with pytest.raises(BackupRefused, match="is no journal"):
        restore(out, path)


def test_a_backup_of_a_newer_lineside_is_not_restored(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    db = apsw.Connection(str(out))
    db.pragma("user_version", 99)
    db.close()
    with pytest.raises(BackupRefused, match=r"is of schema 99, and this Lineside knows 1 to \d+"):
        restore(out, path)


def test_a_journal_is_not_restored_from_itself(path: Path) -> None:
    fill(path, 10)
    with pytest.raises(BackupRefused, match="is the journal itself"):
        restore(path, path)
    assert len(details(path)) == 10


def test_a_backup_that_was_used_with_a_log_beside_it_is_restored_with_it(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    db = apsw.Connection(str(out))
    db.pragma("journal_mode", "wal")
    db.execute("DELETE FROM event WHERE seq = 10")
    elsewhere = out.parent / "new" / "journal.db"
    restore(out, elsewhere)
    db.close()
    assert set(details(elsewhere)) == set(range(1, 10))


# --- the commands -------------------------------------------------------------------------------


def test_the_commands_say_what_they_have_done(path: Path, out: Path) -> None:
    fill(path, 10)
    file = path.parent.parent / "line.toml"
    file.write_text(LINE)
    where = ["--line", str(file), "--data", str(path.parent)]

    def lineside(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, *where])
        return done.exit_code, done.output

    code, said_of_it = lineside("backup", str(out))
    assert (code, "10 records up to 10" in said_of_it) == (0, True), said_of_it
    code, said_of_it = lineside("backup", str(out))
    assert (code, "nothing is overwritten" in said_of_it) == (1, True), said_of_it
    code, said_of_it = lineside("restore", str(out))
    assert (code, "kept as journal.db.replaced-1" in said_of_it) == (0, True), said_of_it
    code, said_of_it = lineside("journal", "--check")
    assert code == 0, said_of_it
    for words in ("records up to 10", "no agent runs", "journal.db.replaced-1", "every page is well"):
        assert words in said_of_it
    spoil(path, pages_of(path, "event")[:1])
    code, said_of_it = lineside("journal", "--check")
    assert (code, "malformed" in said_of_it or "page" in said_of_it) == (1, True), said_of_it


def test_who_only_looks_whether_an_agent_runs_leaves_no_trace(path: Path) -> None:
    assert not is_in_use(path)
    assert folder_of(path) == []
    journal = Journal(path)
    assert is_in_use(path)
    journal.close()
    assert not is_in_use(path)
    Journal(path).close()
