"""The journal at its cap, and on a disk that is full: it stops, frees itself and goes on."""

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.config.tables import LEAST_JOURNAL
from edge.errors import NotRecorded
from edge.journal import Journal
from edge.journal.retention import drop_telemetry
from edge.journal.room import Room, begin_with_reserve
from edge.production.losses import Health
from tests.journal.test_retention import NOW_MS, at, batch, kept
from tests.support.line import BULKY

CAP = 4_000_000
SINKS = ["influx"]
old_first = partial(drop_telemetry, sinks=SINKS, acknowledged=True)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.db")
    yield journal
    journal.close()


def fill(journal: Journal, kilobytes: int = 64) -> int:
    """With telemetry that everybody has, until nothing more can be recorded. Returns the commits."""
    for number in range(10_000):
        try:
            journal.commit(
                telemetry=[batch(NOW_MS + number, kilobytes * 60)],
                progress={"influx": [(1, journal.head + 1)]},
            )
        except NotRecorded:
            return number
    pytest.fail("it took everything")


def record(journal: Journal, events: int = 500, detail: str = "") -> None:
    journal.commit([at(NOW_MS, Health("agent", "start", detail))] * events)


def fill_events(journal: Journal, detail: str = "") -> None:
    """Until it raises."""
    for _ in range(10_000):
        record(journal, 100, detail)


def test_the_cap_is_a_full_disk(journal: Journal) -> None:
    """With the log and the reserve; what the line is asked for at the least."""
    Room(journal.path, LEAST_JOURNAL).open(journal)
    with pytest.raises(NotRecorded, match="full"):
        fill_events(journal, BULKY)
    size = sum(one.stat().st_blocks * 512 for one in journal.path.parent.iterdir())
    assert 0.5 * LEAST_JOURNAL < size < LEAST_JOURNAL


def test_it_frees_itself_at_the_cap(journal: Journal) -> None:
    room = Room(journal.path, CAP)
    room.open(journal)
    fill(journal)
    before = room.measure(journal)
    assert before.share > 0.9
    assert not before.by_disk
    while room.with_reserve(journal, lambda: old_first(journal)).records:
        pass
    after = room.measure(journal)
    assert after.share < 0.3
    assert after.capacity == before.capacity
    record(journal)
    assert len(kept(journal)) == 501


def test_a_smaller_cap_than_what_is_there_holds_it_where_it_is(journal: Journal) -> None:
    record(journal, 20_000)
    room = Room(journal.path, 1_000_000)
    room.open(journal)
    filling = room.measure(journal)
    assert (filling.share, filling.left) == (1.0, 0)
    with pytest.raises(NotRecorded, match="full"):
        fill_events(journal)


def test_the_reserve_is_laid_by(journal: Journal) -> None:
    room = Room(journal.path, CAP)
    room.open(journal)
    reserve = journal.path.with_name("journal.db.reserve")
    assert reserve.stat().st_size == reserve.stat().st_blocks * 512 > CAP // 20
    reserve.unlink()
    room.measure(journal)
    assert reserve.exists()


def test_the_pages_that_are_kept_back_are_for_work_that_frees_room(journal: Journal) -> None:
    room = Room(journal.path, CAP)
    room.open(journal)
    fill(journal)
    room.with_reserve(journal, lambda: record(journal, 100))
    with pytest.raises(NotRecorded, match="full"):
        fill_events(journal)


# --- a real disk ------------------------------------------------------------------------------


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of some 6 MB, which only root can make."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if request.param == "tmpfs":
        commands = [["mount", "-t", "tmpfs", "-o", "size=6M", "lineside-test", str(disk)]]
    else:
        image = tmp_path / "image"
        image.write_bytes(bytes(8_000_000))
        make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", str(image)]
        commands = [make, ["mount", "-o", "loop", str(image), str(disk)]]
    try:
        for command in commands:
            subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount; the cap stands in for it elsewhere")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def ballast(disk: Path) -> Path:
    """Somebody else's file, that leaves nothing."""
    file = disk / "ballast"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)
    return file


def test_it_frees_itself_on_a_full_disk(disk: Path) -> None:
    """Without its reserve SQLite cannot even delete."""
    journal = Journal(disk / "journal.db")
    room = Room(journal.path, 16_000_000)
    room.open(journal)
    for number in range(20):
        seqs = {"influx": [(1, number + 1)]}
        journal.commit(telemetry=[batch(NOW_MS + number, 4_000)], progress=seqs)
    ballast(disk)
    fill(journal, 4)
    filling = room.measure(journal)
    assert filling.by_disk
    assert filling.share > 0.9
    while room.with_reserve(journal, lambda: old_first(journal)).records:
        pass
    assert room.measure(journal).share < 0.5
    record(journal)
    journal.close()


def test_it_starts_on_a_full_disk(disk: Path) -> None:
    journal = Journal(disk / "journal.db")
    Room(journal.path, 16_000_000).open(journal)
    record(journal)
    journal.close()
    ballast(disk)
    journal, _ = begin_with_reserve(journal.path)
    record(journal)
    assert len(kept(journal)) == 1_000
    journal.close()


# --- standstill -------------------------------------------------------------------------------


def test_it_does_not_stop_and_go_at_every_commit(journal: Journal) -> None:
    """What is small would still find room, and then tell that it could not be recorded."""
    room = Room(journal.path, CAP)
    room.open(journal)
    with pytest.raises(NotRecorded, match="full"):
        fill_events(journal)
    for _ in range(3):
        with pytest.raises(NotRecorded, match="full"):
            record(journal, 1)
    journal.commit(progress={"influx": [(1, 9)]})
    assert journal.progress("influx") == [(1, 9)], "what needs no room is kept"
    Room(journal.path, CAP + 1_000_000).open(journal)
    record(journal, 1)
