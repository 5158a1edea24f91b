"""Files that are no journal of Lineside's, or are not what they seem: refused in a sentence, or set aside."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.errors import BackupRefused, JournalDamaged, JournalError
from edge.journal import Journal, JournalReader, begin
from edge.journal.backup import back_up, restore
from edge.journal.begin import leave_news, news
from edge.journal.files import beside, lock_of, open_own
from edge.journal.shape import MOST_SEQ, pieces
from edge.journal.sql import migrations
from tests.journal.floor import details, fill, said
from tests.journal.test_backup import LINE

NOBODY = 65_534
ENDLESS = """
CREATE VIEW event (seq, at_ms) AS WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more)
SELECT n, n FROM more
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data/journal.db"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "saved.db"


def change(file: Path, sql: str) -> None:
    with closing(apsw.Connection(str(file))) as db:
        db.pragma("writable_schema", True)
        db.execute(sql)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", ".restored", ".salvaged", "-journal", "-wal", ".news", ".corrupt-1"])
def test_a_backup_takes_no_name_of_the_journals(path: Path, end: str) -> None:
    fill(path, 3)
    with pytest.raises(BackupRefused, match="keeps for itself"):
        back_up(path, beside(path, end))
    with pytest.raises(BackupRefused, match="keeps for itself"):
        back_up(path, lock_of(path))
    (path.parent.parent / "link").symlink_to(path.parent)
    with pytest.raises(BackupRefused, match="keeps for itself"):
        back_up(path, path.parent.parent / "link" / f"journal.db{end}")
    back_up(path, path.with_name("saved.db"))


def test_a_file_of_the_users_beside_the_backup_stays(path: Path, out: Path) -> None:
    fill(path, 3)
    mine = out.with_name("saved.db.part")
    mine.write_text("mine")
    back_up(path, out)
    assert mine.read_text() == "mine"
    assert sorted(one.name for one in out.parent.iterdir()) == ["data", "saved.db", "saved.db.part"]


def test_a_link_that_leads_nowhere_is_not_overwritten(path: Path, out: Path) -> None:
    fill(path, 3)
    out.symlink_to("nowhere")
    with pytest.raises(BackupRefused, match="nothing is overwritten"):
        back_up(path, out)


# --- links, pipes, devices ----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "-wal", ".news", ".damaged", ".restored", ".salvaged", ".reserve"])
def test_links_and_pipes_are_refused_by_name(path: Path, end: str) -> None:
    fill(path, 3)
    file = beside(path, end)
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(JournalError, match=rf"journal\.db{end} is no regular file"):
        begin(path)
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(JournalError, match=rf"journal\.db{end} is a symbolic link"):
        begin(path)


def test_the_lock_is_no_link_and_no_pipe(path: Path, out: Path) -> None:
    out.write_text("somebody's")
    lock_of(path).symlink_to(out)
    with pytest.raises(JournalError, match=r"journal\.lock is a symbolic link"):
        Journal(path)
    assert out.read_text() == "somebody's"
    lock_of(path).unlink()
    os.mkfifo(lock_of(path))
    with pytest.raises(JournalError, match=r"journal\.lock is no regular file"):
        Journal(path)


def test_two_agents_do_not_share_a_journal_through_a_link(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    other = tmp_path / "other" / "journal.db"
    other.parent.mkdir()
    other.symlink_to(path)
    with pytest.raises(JournalError, match="is a symbolic link, and it must be a file"):
        begin(other)
    (tmp_path / "folder").symlink_to(path.parent)
    with pytest.raises(JournalError, match="another agent is using it"):
        begin(tmp_path / "folder" / "journal.db")
    journal.close()
    begin(tmp_path / "folder" / "journal.db")[0].close()


def test_the_commands_do_not_wait_for_a_pipe(path: Path, out: Path) -> None:
    os.mkfifo(path)
    file = path.parent.parent / "line.toml"
    file.write_text(LINE)
    for words in (["journal"], ["backup", str(out)], ["restore", "/dev/null"]):
        done = CliRunner().invoke(app, [*words, "--line", str(file), "--data", str(path.parent)])
        assert (done.exit_code, "no " in done.output) == (1, True), done.output


@pytest.fixture
def as_root(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    os.chown(path.parent, NOBODY, NOBODY)


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("name", ["journal.lock", "journal.db.news", "journal.db.part", "journal.db"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_root_restores_through_no_link(
    path: Path, out: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    """The folder is the agent's: what it lays there must not lead root to files of root's."""
    box = path.parent.parent / "box/journal.db"
    fill(box, 5)
    back_up(box, out)
    roots = path.parent.parent / "roots"
    roots.write_text("root's own")
    link(roots, path.with_name(name))
    with suppress(JournalError):
        restore(out, path)
    assert roots.read_text() == "root's own"
    assert (roots.stat().st_uid, stat.S_IMODE(roots.stat().st_mode)) == (0, 0o644)


@pytest.mark.usefixtures("as_root")
def test_what_root_restores_is_the_agents(path: Path, out: Path) -> None:
    box = path.parent.parent / "box/journal.db"
    fill(box, 5)
    back_up(box, out)
    restore(out, path)
    assert {one.name: one.stat().st_uid for one in path.parent.iterdir()} == dict.fromkeys(
        ["journal.db", "journal.lock", "journal.db.news"], NOBODY
    )


@pytest.mark.usefixtures("as_root")
def test_a_link_that_comes_after_the_check_is_not_followed(path: Path, out: Path) -> None:
    out.write_text("root's own")
    for lay in (os.symlink, os.link):
        lay(out, beside(path, ".news"))
        with pytest.raises(JournalError, match=r"link|another name"):
            leave_news(path, "appended")
        with pytest.raises(JournalError, match=r"link|another name"):
            open_own(path, beside(path, ".news"), os.O_RDONLY)
        assert news(path) == []
        beside(path, ".news").unlink()
    assert out.read_text() == "root's own"


def test_a_disk_that_has_turned_read_only_is_what_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8M", "lineside-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        fill(disk / "journal.db", 5)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(JournalError, match="turned read-only: see dmesg, repair it and mount it again"):
            begin(disk / "journal.db")
        with pytest.raises(JournalError, match="choose a folder that can be written"):
            begin(disk / "new" / "journal.db")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


# --- other schemas ------------------------------------------------------------------------------

FOREIGN = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON epoch BEGIN DELETE FROM event; END",
    "trigger of ours otherwise": "DROP TRIGGER restamped_gone; "
    "CREATE TRIGGER restamped_gone AFTER DELETE ON event BEGIN DELETE FROM state; END",
    "view": "CREATE VIEW v AS SELECT 1",
    "view in place": f"DROP TABLE event; {ENDLESS}",
}
OTHERWISE = {
    "missing": "DROP TABLE progress",
    "columns": "ALTER TABLE state ADD COLUMN more TEXT",
    "constraint": "DROP TABLE held; "
    "CREATE TABLE held (one INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT",
    "generated": "DROP TABLE skipped; CREATE TABLE skipped (sink TEXT PRIMARY KEY, "
    "count INTEGER AS (length(zeroblob(1000000000)))) STRICT, WITHOUT ROWID",
    "index": "DROP INDEX event_at; CREATE UNIQUE INDEX event_at ON event (station, seq)",
}
MORE = {"table": "CREATE TABLE recipe (name TEXT)", "index": "CREATE INDEX mine ON event (type)"}
NUMBERS = {
    "epoch": "INSERT INTO epoch VALUES (9223372036854775807, 'x')",
    "epoch before": "INSERT INTO epoch VALUES (-5, 'x')",
    "progress": "INSERT INTO progress VALUES ('file', 1, 9223372036854775807)",
    "range": "INSERT INTO progress VALUES ('file', 90, 80)",
    "held": "INSERT INTO held VALUES (1, -1)",
    "event": f"UPDATE event SET seq = {MOST_SEQ + 1} WHERE seq = 10",
    "state": "INSERT INTO state VALUES ('counter/x', x'00ff')",
    "other row": "UPDATE state SET body = (SELECT body FROM state WHERE key LIKE 'counter/%')",
    "deep": f"UPDATE state SET body = CAST('{'[' * 5_000}' AS BLOB)",
}
TIMES = {"time": "UPDATE event SET at_ms = 9223372036854775807 WHERE seq = 4"}


@pytest.mark.parametrize("sql", [*(FOREIGN | OTHERWISE | NUMBERS | TIMES).values(), *MORE.values()])
def test_it_is_not_restored(path: Path, out: Path, sql: str) -> None:
    fill(path, 10)
    before = path.read_bytes()
    back_up(path, out)
    change(out, sql)
    with pytest.raises(BackupRefused, match=r"is no journal of Lineside: |is damaged: "):
        restore(out, path)
    assert path.read_bytes() == before


def test_what_the_database_keeps_for_itself_and_remarks_are_no_difference(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    change(out, "ANALYZE; UPDATE sqlite_schema SET sql = replace(sql, '    ', '  -- remark\n ')")
    assert restore(out, path).copied.records == 10


@pytest.mark.parametrize("sql", FOREIGN.values(), ids=FOREIGN)
def test_an_agent_refuses_what_acts_by_itself(path: Path, sql: str) -> None:
    fill(path, 10)
    change(path, sql)
    with pytest.raises(JournalError, match=r"(view|trigger) \w+ is in it and is not of Lineside"):
        begin(path)
    assert path.exists()


@pytest.mark.parametrize("sql", MORE.values(), ids=MORE)
def test_an_agent_lets_the_users_own_tables_be(path: Path, sql: str) -> None:
    fill(path, 10)
    change(path, sql)
    journal, found = begin(path)
    assert (journal.head, found) == (10, None)
    journal.close()


@pytest.mark.parametrize("sql", (OTHERWISE | NUMBERS).values(), ids=OTHERWISE | NUMBERS)
def test_an_agent_sets_aside_what_makes_no_sense_and_goes_on(path: Path, sql: str) -> None:
    epoch = fill(path, 10)
    change(path, sql)
    journal, found = begin(path)
    assert found is not None
    assert found.file.name == "journal.db.corrupt-1"
    assert journal.epoch != epoch
    assert len(set(details(path)) & set(range(1, 11))) >= 9
    seq = journal.commit([said(11)])
    assert 10 <= seq < 100
    journal.close()
    begin(path)[0].close()


def test_a_row_that_the_start_has_not_looked_at_ends_the_agent_and_the_next_start_tells(path: Path) -> None:
    journal = Journal(path)
    with journal.transaction() as db:
        db.execute("INSERT INTO state VALUES ('unit/S1', x'7b')")
    with pytest.raises(JournalDamaged, match="row 'unit/S1' of its state makes no sense"):
        journal.row("unit/S1")
    journal.close()
    with closing(JournalReader(path, "line-1")) as reader, pytest.raises(JournalError, match="unit/S1"):
        list(reader.rows("unit/"))
    journal, found = begin(path)
    assert found is not None
    assert journal.row("unit/S1") is None
    journal.close()


@pytest.mark.parametrize("version", [0, -1, 99])
def test_a_database_of_something_else_is_left_alone(path: Path, version: int) -> None:
    change(path, f"CREATE TABLE recipe (name TEXT); PRAGMA user_version = {version}")
    with pytest.raises(JournalError, match=r"database of something else|is of schema"):
        begin(path)
    assert [one.name for one in path.parent.iterdir() if "corrupt" in one.name] == []


def test_a_view_without_an_end_is_not_asked(path: Path, out: Path) -> None:
    fill(path, 10)
    back_up(path, out)
    change(out, f"DROP TABLE event; {ENDLESS}")
    begun = time.monotonic()
    with pytest.raises(BackupRefused, match="table event is missing"):
        restore(out, path)
    fill(out.with_name("other.db"), 3)
    back_up(out.with_name("other.db"), out.with_name("good.db"))
    change(path, f"DROP TABLE event; {ENDLESS}")
    restore(out.with_name("good.db"), path)
    assert time.monotonic() - begun < 5


def test_ctrl_c_ends_a_restore(path: Path, out: Path) -> None:
    """So many rows take a while to be looked at."""
    fill(path, 10)
    back_up(path, out)
    numbers = "SELECT 100 UNION ALL SELECT n + 1 FROM more LIMIT 3000000"
    change(
        out,
        f"""
        INSERT INTO event SELECT n, 'count', 0, 'receipt', 0, 0, 1, 'press', 1, x'7b7d'
        FROM (WITH RECURSIVE more (n) AS ({numbers}) SELECT n FROM more)
    """,
    )
    program = "import sys; from pathlib import Path; from edge.journal.backup import restore\n"
    program += "print(flush=True); restore(Path(sys.argv[1]), Path(sys.argv[2]))"
    command = [sys.executable, "-c", program, str(out), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.7)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        assert process.stderr is not None
        assert "KeyboardInterrupt" in process.stderr.read().decode()
    assert time.monotonic() - begun < 1
    assert not beside(path, ".part").exists()


def test_every_schema_has_a_shape() -> None:
    sizes = [len(pieces(version)) for version in range(len(migrations()) + 1)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
