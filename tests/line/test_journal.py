"""The journal on a real disk: killed, full, locked, from the future, damaged."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from edge.errors import JournalError, NotRecorded
from edge.journal import Journal, JournalReader
from edge.journal.store import encode_data
from edge.observation import Observation
from edge.production.context import Context
from edge.production.events import Event
from edge.production.losses import Health
from edge.production.state import LineRow
from tests.support.committer import SEVERAL
from tests.support.line import no_room


def say(detail: str = "", context: Context | None = None, boot: str = "b0") -> tuple[Event, bytes]:
    data = Health("agent", "start", detail)
    return Event(
        data, 1_000, 1_001, 7, boot, "press", context or Context(order="WO-1", run="r1")
    ), encode_data(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


# --- what is in it ----------------------------------------------------------------------------


def test_events_and_rows_are_there_after_a_restart(path: Path) -> None:
    journal = Journal(path)
    assert (
        journal.commit([say("a"), say("b")], {"line": LineRow(4)}, progress={"file": [(1, 1), (5, 9)]}) == 2
    )
    epoch = journal.epoch
    journal.close()
    journal = Journal(path)
    assert (journal.head, journal.row("line")) == (2, LineRow(4))
    journal.commit([say("c")])
    reader = JournalReader(path, "line-1")
    assert [one.id for one in reader.records(1, 9)] == [f"{epoch}-1", f"{epoch}-2", f"{journal.epoch}-3"]
    assert epoch != journal.epoch, "a seq that was lost with a torn file comes again under another epoch"
    reader.close()
    assert journal.row("station/press") is None
    assert journal.progress("file") == [(1, 1), (5, 9)]
    assert journal.progress("mqtt") == []
    journal.close()


def test_a_record_is_the_event_as_it_leaves_the_house(path: Path) -> None:
    journal = Journal(path)
    journal.commit([say("a")])
    reader = JournalReader(path, "line-1")
    [record] = reader.records(1, 10)
    assert (record.seq, record.id, record.type, record.station) == (
        1,
        f"{journal.epoch}-1",
        "health",
        "press",
    )
    assert record.json == (
        b'{"v":1,"id":"%b-1","seq":1,"type":"health","at":"1970-01-01T00:00:01.000Z","stamp":"receipt",'
        b'"seen":"1970-01-01T00:00:01.001Z",'
        b'"line":"line-1","station":"press","data":{"subject":"agent","state":"start","detail":"a"},'
        b'"context":{"order":"WO-1","run":"r1"},"attribution":1}' % journal.epoch.encode()
    )
    reader.close()
    journal.close()


def test_a_context_is_stored_once(path: Path) -> None:
    journal = Journal(path)
    for number in range(5):
        journal.commit([say(str(number)), say(boot="b1")])
    count = apsw.Connection(str(path)).execute(
        "SELECT (SELECT count(*) FROM context), (SELECT count(*) FROM boot)"
    )
    assert count.fetchall() == [(1, 2)]
    journal.close()


def test_a_new_file_is_a_new_epoch(tmp_path: Path) -> None:
    epochs = set()
    for name in ("a", "b"):
        journal = Journal(tmp_path / name / "journal.db")
        epochs.add(journal.epoch)
        journal.close()
    assert len(epochs) == 2


def test_a_commit_is_on_disk_before_it_returns(path: Path) -> None:
    journal = Journal(path)
    assert journal._db.pragma("synchronous") == 2
    assert journal._db.pragma("journal_mode") == "wal"
    journal.close()


# --- all or nothing -----------------------------------------------------------------------------


def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(path: Path) -> None:
    journal = Journal(path)
    journal.commit([say("first")], {"line": LineRow(1)})
    new = Context(order="WO-2", run="r2")
    with no_room(journal), pytest.raises(NotRecorded, match="full"):
        journal.commit(
            [say("x" * 50_000, new, "b9")],
            {"line": LineRow(2), "job/WO-2": LineRow(3)},
            progress={"file": [(1, 1)]},
        )
    assert (journal.head, journal.row("line"), journal.row("job/WO-2")) == (1, LineRow(1), None)
    assert journal.progress("file") == []
    assert journal.commit([say("second", new, "b9")], {"line": LineRow(2)}) == 2
    reader = JournalReader(path, "line-1")
    assert [(one.seq, one.data["detail"], one.context["order"]) for one in reader.records(1, 9)] == [
        (1, "first", "WO-1"), (2, "second", "WO-2"),
    ]  # fmt: skip
    reader.close()
    journal.close()


def test_a_reader_never_sees_half_a_commit_nor_holds_the_writer_up(path: Path) -> None:
    journal = Journal(path)
    reader = JournalReader(path, "line-1")
    for number in range(50):
        journal.commit([say(str(number)), say(str(number))], {"line": LineRow(number)})
        assert reader.head() == journal.head
        assert dict(reader.rows("line")) == {"line": LineRow(number)}
    reader.close()
    journal.close()


@pytest.mark.parametrize("run", range(3))
def test_a_kill_loses_nothing_that_was_acknowledged(path: Path, run: int) -> None:
    committer = [sys.executable, "-m", "tests.support.committer", str(path)]
    said = 0
    for acknowledged in (5 + 20 * run, 40):
        with subprocess.Popen(committer, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(acknowledged):
                said = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split(b"\n")[:-1]
            said = int(rest[-1]) if rest else said
        assert_whole(path, said)


def assert_whole(path: Path, said: int) -> None:
    journal = Journal(path)
    assert journal.head in (said, said + SEVERAL), (
        "at most the commit that was under way is there unannounced"
    )
    row = journal.row("line")
    assert isinstance(row, LineRow)
    assert row.runs * SEVERAL == journal.head, "the state matches its events"
    reader = JournalReader(path, "line-1")
    records = reader.records(1, journal.head, journal.head)
    assert [one.seq for one in records] == list(range(1, journal.head + 1))
    for one in records:
        runs, place = (one.seq - 1) // SEVERAL + 1, (one.seq - 1) % SEVERAL
        assert one.data["detail"] == f"{runs}.{place}"
        assert one.context == {"order": f"WO-{runs % 7}", "run": f"r{runs}"}
    reader.close()
    journal.close()


# --- refused in a sentence ------------------------------------------------------------------------


def test_a_second_writer_is_refused(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(JournalError, match="another agent is using it; stop that one first"):
        Journal(path)
    journal.commit([say()])
    journal.close()
    Journal(path).close()


def test_a_second_process_is_refused_until_the_first_is_gone(path: Path) -> None:
    committer = [sys.executable, "-m", "tests.support.committer", str(path)]
    with subprocess.Popen(committer, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(JournalError, match="another agent"):
            Journal(path)
        process.kill()
    Journal(path).close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Journal(path).close()
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 99)
    db.close()
    for _ in range(2):
        with pytest.raises(JournalError, match=r"is of schema 99, this Lineside knows \d+; upgrade it"):
            Journal(path)
    assert apsw.Connection(str(path)).pragma("user_version") == 99


def test_what_is_no_journal_is_refused(path: Path) -> None:
    path.write_bytes(b"order,good,scrap\n" * 1000)
    for _ in range(2):
        with pytest.raises(JournalError, match="not a database; restore a backup"):
            Journal(path)
    assert path.read_bytes().startswith(b"order,good"), "nobody's file is overwritten"


def test_a_damaged_journal_is_refused(path: Path) -> None:
    journal = Journal(path)
    journal.commit([say("x" * 100_000)])
    journal.close()
    with path.open("r+b") as file:
        file.truncate(4096)
        file.seek(100)
        file.write(b"\xff" * 3000)
    with pytest.raises(JournalError, match="restore a backup"):
        Journal(path)


@pytest.mark.parametrize("place", ["file/journal.db", "/proc/lineside/journal.db"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    with pytest.raises(JournalError, match="choose a folder that can be written"):
        Journal(tmp_path / place)


def test_others_cannot_read_it(path: Path) -> None:
    journal = Journal(path.parent / "state" / "journal.db")
    journal.commit([say()])
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) & 0o007 == 0
    journal.close()


def test_a_reader_without_a_journal_says_so(path: Path) -> None:
    with pytest.raises(JournalError, match="has the agent run here yet"):
        JournalReader(path, "line-1")
    assert not path.exists()


# --- a disk that is really full ---------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, which only root can make."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "lineside-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount; `no_room` stands in for it elsewhere")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            os.fsync(file.fileno())
    return ballast


def commit_bulk(journal: Journal, at_once: int) -> None:
    """Until it fails; a hundred commits are more than fit."""
    for number in range(100):
        bulk = say("x" * 9_000, Context(order=f"WO-{number}"), f"b{number}")
        journal.commit([bulk] * at_once, {"line": LineRow(2)})


@pytest.mark.parametrize("at_once", [1, 400], ids=["small commits", "one commit larger than the cache"])
def test_a_full_disk_is_not_recorded_and_then_it_goes_on(small_disk: Path, at_once: int) -> None:
    journal = Journal(small_disk / "journal.db")
    journal.commit([say("before")], {"line": LineRow(1)})
    ballast = fill(small_disk)
    for _ in range(3):
        with pytest.raises(NotRecorded, match="full"):
            commit_bulk(journal, at_once)
    head, row = journal.head, journal.row("line")
    ballast.unlink()
    assert journal.commit([say("after")], {"line": LineRow(3)}) == head + 1
    journal.close()
    assert row in (LineRow(1), LineRow(2))
    reader = JournalReader(small_disk / "journal.db", "line-1")
    assert [one.seq for one in reader.records(1, 10_000, 10_000)] == list(range(1, head + 2))
    assert dict(reader.rows("line")) == {"line": LineRow(3)}
    reader.close()
    assert apsw.Connection(str(small_disk / "journal.db")).pragma("integrity_check") == "ok"


# --- quarantine -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\ud800", float("nan"), "\x00", None, 1 << 80], ids=ascii)
def test_whatever_was_seen_can_be_put_into_quarantine(path: Path, value: str | float | None) -> None:
    journal = Journal(path)
    journal.commit(quarantined=[(Observation("gun-1", value, 1, 1, 1, "b0"), f"ValueError: {value}")])
    reader = JournalReader(path, "line-1")
    assert reader.quarantined() == 1
    reader.close()
    journal.close()
