"""Somebody else opens, ends, recovers or reads the journal while it begins: that is waited for."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from edge.errors import JournalError
from edge.journal import begin
from edge.journal.integrity import note_damage
from edge.journal.wal import patiently
from tests.journal.floor import fill, integrity, said

RESTLESS = """
import apsw, sys
print("up", flush=True)
while True:
    try:
        db = apsw.Connection(sys.argv[1])
        db.execute("SELECT count(*) FROM event").fetchall()
        db.close()
    except apsw.Error:
        pass
"""
"""Opens and closes: after a kill it recovers the log, and as the last one it takes the log away."""
HOLDER = """
import apsw, sys
db = apsw.Connection(sys.argv[1])
db.pragma("locking_mode", "exclusive")
db.execute("BEGIN EXCLUSIVE")
print("up", flush=True)
sys.stdin.read()
"""
STARTS = 25


@contextmanager
def other(program: str, path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        try:
            yield process
        finally:
            process.kill()


def killed_while_committing(path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.committer", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "it came up"
        process.kill()


@pytest.mark.timeout(120)
def test_after_every_kill_it_begins_beside_a_process_that_opens_and_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 50)
    with other(RESTLESS, path), other(RESTLESS, path):
        for _ in range(STARTS):
            killed_while_committing(path)
            journal, found = begin(path)
            assert found is None
            journal.commit([said(1)])
            journal.close()
    assert integrity(path) == "ok"


@pytest.mark.parametrize("is_damaged", [False, True])
def test_one_that_has_it_to_itself_for_a_while_is_waited_for(tmp_path: Path, is_damaged: bool) -> None:
    path = tmp_path / "journal.db"
    fill(path, 50)
    with other(HOLDER, path) as process:
        if is_damaged:
            note_damage(path, "noted")
        timer = threading.Timer(1.0, process.kill)
        timer.start()
        journal, found = begin(path)
        timer.join()
    assert (journal.head, found is not None) == (50, is_damaged)
    journal.commit([said(51)])
    journal.close()


def test_one_that_keeps_it_is_named_and_the_disk_is_not_blamed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 5)

    def read() -> None:
        with closing(apsw.Connection(str(path))) as db:
            db.execute("SELECT count(*) FROM event").fetchall()

    with other(HOLDER, path) as process, pytest.raises(JournalError) as told:
        patiently(path, read, patience_s=0.2)
    assert "disk" not in str(told.value)
    assert f"(process {process.pid}) for more than" in str(told.value)
