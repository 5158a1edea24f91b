"""The write-ahead log: its size, who holds it up, and what is written to the disk."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from edge.journal import Journal, JournalReader
from edge.journal.health import JournalHealth, JournalStatus, told
from edge.journal.integrity import Integrity
from edge.journal.wal import MOST, RESET_BYTES, readers
from tests.journal.floor import said

READER = """
import sys, apsw
db = apsw.Connection(sys.argv[1], flags=apsw.SQLITE_OPEN_READONLY)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM event").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.db")
    yield opened
    opened.close()


def log_file(journal: Journal) -> int:
    return Path(f"{journal.path}-wal").stat().st_size


def grow(journal: Journal, megabytes: int) -> int:
    """Returns the largest size that its file ever had."""
    largest = 0
    for number in range(megabytes * 10):
        journal.commit([said(number, "x" * 10_000) for _ in range(10)])
        largest = max(largest, log_file(journal))
    return largest


def test_it_stays_small_whatever_is_written(journal: Journal) -> None:
    assert grow(journal, 60) < RESET_BYTES
    assert journal.wal.bytes <= log_file(journal)


def test_it_stays_small_beside_readers_that_come_and_go(journal: Journal) -> None:
    with closing(JournalReader(journal.path, "line-1")) as reader:
        largest = 0
        for _ in range(30):
            largest = max(largest, grow(journal, 1))
            assert reader.head() == journal.head
    assert largest < RESET_BYTES


def test_a_great_commit_makes_it_great_for_a_moment_only(journal: Journal) -> None:
    journal.commit([said(number, "x" * 10_000) for number in range(3_000)])
    assert log_file(journal) <= RESET_BYTES


def test_a_reader_that_holds_it_up_is_named_and_the_line_goes_on(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.commit([said(1)])
    arguments = [sys.executable, "-c", READER, str(journal.path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pinning:
        assert pinning.stdout is not None
        assert pinning.stdout.readline() == b"reading\n"
        [named] = readers(journal.path)
        assert re.fullmatch(rf"python[\d.]* \(process {pinning.pid}\)", named)
        with caplog.at_level(logging.WARNING, "lineside.journal"):
            grow(journal, 25)
        assert log_file(journal) > MOST
        warnings = [one.getMessage() for one in caplog.records]
        assert len(warnings) == 1, "said once a minute"
        assert f"process {pinning.pid})" in warnings[0]
        assert str(pinning.pid) in journal.wal.pinned
        pinning.communicate()
    grow(journal, 3)
    assert log_file(journal) <= RESET_BYTES
    assert journal.wal.pinned == ""


def test_nobody_reads(journal: Journal) -> None:
    journal.commit([said(1)])
    with closing(JournalReader(journal.path, "line-1")) as reader:
        reader.head()
        assert readers(journal.path) == []
        assert readers(journal.path.with_name("none.db")) == []


def test_a_reader_of_the_agent_itself_is_named_too(journal: Journal) -> None:
    journal.commit([said(1)])
    db = apsw.Connection(str(journal.path), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("BEGIN; SELECT count(*) FROM event").fetchall()
    assert str(os.getpid()) in readers(journal.path)[0]
    db.close()


def test_what_is_written_to_the_disk_is_counted(journal: Journal) -> None:
    """Beside the kernel's own figure, which has all that the process writes."""
    before, kernel_before = journal.wal.written, of_the_kernel()
    grow(journal, 20)
    counted, kernel = journal.wal.written - before, of_the_kernel() - kernel_before
    assert 40e6 < counted < 60e6, "to the log, and from it to the file"
    if kernel:  # nothing of it reaches a disk where the folder is in memory
        assert 0.8 < counted / kernel < 1.25


def of_the_kernel() -> int:
    found = re.search(r"^wchar: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


# --- in words -----------------------------------------------------------------------------------


def test_a_day_is_reckoned_from_a_minute_on() -> None:
    assert JournalStatus(written=10**6, seconds=59).written_a_day is None
    assert JournalStatus(written=10**6, seconds=96).written_a_day == 900_000_000


def test_it_is_told_in_sentences(journal: Journal) -> None:
    journal.commit([said(1)])
    status = JournalHealth(journal, Integrity(journal.path)).status()
    assert status.file > 0
    assert status.log == journal.wal.bytes
    assert status.pages == "not checked since the start"
    lines = told(JournalStatus(5_000_000, 1_000_000, 2_000_000, 864.0, "ok", 7_200.0, "sqlite3 (process 7)"))
    assert lines == [
        "  file: 5.0 MB, log: 1.0 MB of 16 at most",
        "  written to the disk since the agent started: 2.0 MB, 200 MB a day at that rate",
        "  pages: ok (2.0 h ago)",
        "  its log is held up by sqlite3 (process 7); end that",
    ]
