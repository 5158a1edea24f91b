"""What a drill has of its own: a clock, and a disk that it can fill."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.drill.clock import ClockFile, DrillClock
from edge.drill.room import Ballast

IN_ITS_ROOM = """
import os, sys
from pathlib import Path
from edge.drill.room import Ballast, NoRoom, leave_own_disk, mount_own_disk
folder = Path(sys.argv[1])
try:
    mount_own_disk(folder, 1)
except NoRoom as error:
    sys.exit(f"no room: {error}")
(folder / "mine").touch()
ballast = Ballast(folder / "ballast")
ballast.fill()
ballast.fill()
try:
    (folder / "more").write_bytes(bytes(4096))
except OSError as error:
    print("full", error.errno)
ballast.drop()
(folder / "more").write_bytes(bytes(4096))
leave_own_disk(folder)
print("left", os.listdir(folder))
"""

IN_ITS_TIME = """
import sys, time
from pathlib import Path
from edge.drill.clock import set_wall_clock
clock = set_wall_clock(Path(sys.argv[1]))
for line in sys.stdin:
    print(time.time_ns() // 1_000_000, int(time.time() * 1000), clock.wall_ms(), clock.synced(), flush=True)
"""


def test_a_disk_of_its_own_that_nobody_else_sees(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_ITS_ROOM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if "no room" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout == "full 28\nleft []\n", done.stderr
    assert list(tmp_path.iterdir()) == []


WITHOUT_ROOM = """
import sys, threading
from pathlib import Path
from edge.drill.room import NoRoom, mount_own_disk
done = threading.Event()
threading.Thread(target=done.wait).start()  # to a process with threads no user namespace is given
try:
    mount_own_disk(Path(sys.argv[1]), 1)
except NoRoom as error:
    print(error)
done.set()
"""


def test_where_no_disk_can_be_had_it_is_said_why(tmp_path: Path) -> None:
    powerless = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, "-c", WITHOUT_ROOM, str(tmp_path)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("no name space of its own: ")


def test_ballast_fills_and_another_error_is_none_of_its_own(tmp_path: Path) -> None:
    def broken(_descriptor: int, _data: bytes) -> int:
        raise PermissionError(1, "not here")

    with pytest.raises(PermissionError):
        Ballast(tmp_path / "x", broken).fill()


def test_the_clock_of_one_process_is_set_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    clock = ClockFile(file)
    with subprocess.Popen(
        [sys.executable, "-c", IN_ITS_TIME, str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for ahead_ms, synced in ((0, True), (3_600_000, True), (-7_200_000, False), (0, True)):
            clock.set(ahead_ms, synced=synced)
            process.stdin.write("\n")
            process.stdin.flush()
            *times, told = process.stdout.readline().split()
            now_ms = time.time_ns() // 1_000_000 + ahead_ms
            assert all(abs(int(one) - now_ms) < 5_000 for one in times)
            assert told == str(synced)
        process.stdin.close()


def test_a_drill_clock_keeps_the_boot_and_the_monotonic_time(tmp_path: Path) -> None:
    file = ClockFile(tmp_path / "clock")
    file.set(-3_600_000, synced=True)
    clock = DrillClock(ClockFile(tmp_path / "clock"))
    assert clock.synced()
    assert len(clock.boot) == 8
    assert abs(clock.mono_ms() - time.monotonic_ns() // 1_000_000) < 1_000
    assert os.stat(tmp_path / "clock").st_mode & 0o077 == 0
