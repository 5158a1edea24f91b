"""How long `lineside run` takes from the start of its process to the first observation on disk.

A real process, a real Modbus device on loopback; the journal has ten million events, or none.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from edge.journal import Journal
from simulators.launch import simulator
from tests.bench.floor import STATIONS, write_config
from tests.bench.grown import BLOCK_UNITS, Say, grow
from tests.bench.process import Figures

PATIENCE_S = 120.0
REJECTED = 1_000_000
FRAGMENTS = 2_000

_GOING_ON = ("--station", "s0", "--cycle", "0.1", "--first-good", str(BLOCK_UNITS // STATIONS + 100))
"""Its counter has gone on where the history left it: a reading that is believed at once."""
_SEEN = "SELECT 1 FROM event WHERE seq > ? AND type = 'count' LIMIT 1"


def start(folder: Path, units: int, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """The ratio is to a short history: a counter that the journal knows is looked at more than once."""
    empty, short, full = (_fresh(folder / name) for name in ("empty", "short", "full"))
    few = grow(short, BLOCK_UNITS, say)
    events = grow(full, units, lambda text: say(f"building {text}"))
    cases: dict[str, tuple[Path, Callable[[], None]]] = {
        "an empty journal": (empty, lambda: _forget(empty)),
        f"{few:,} events, all delivered": (short, lambda: _progress(short, [(1, few)])),
        f"{events:,} events, all delivered": (full, lambda: _progress(full, [(1, events)])),
        "the same, not in the disk's cache": (full, lambda: _cold(full)),
        "the same, none delivered": (full, lambda: _progress(full, [])),
        f"the same, delivered in {FRAGMENTS:,} pieces": (full, lambda: _progress(full, _pieces(events))),
        f"the same, all delivered, {REJECTED:,} rejected": (full, lambda: _reject(full, events)),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name, (journal, prepare) in cases.items():
            say(f"round {turn + 1} of {rounds}: {name}")
            prepare()
            found[name].append(asyncio.run(_start(journal)))
    base = statistics.median(found[f"{few:,} events, all delivered"])
    for name, times in found.items():
        middle = statistics.median(times)
        yield f"start with {name}", {
            "s": middle, "ratio": middle / base, "least_s": min(times), "most_s": max(times),
        }  # fmt: skip


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder / "journal.db"


async def _start(journal: Path) -> float:
    """Seconds until a reading of the device is an event on disk."""
    async with simulator("modbus_packer", "--tcp", "--running", *_GOING_ON) as device:
        config = write_config(journal.with_name("line.toml"), device.where.port or 0)
        head = _head(journal)
        begin = time.perf_counter()
        with _agent(config) as process:
            while not _seen(journal, head):
                late = time.perf_counter() - begin > PATIENCE_S
                if late or process.poll() is not None:
                    said = config.with_name("log").read_text(encoding="utf-8")
                    raise TimeoutError(f"the agent recorded nothing; it said:\n{said}")
                await asyncio.sleep(0.002)
            return time.perf_counter() - begin


@contextmanager
def _agent(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`lineside run`, ended after."""
    command = [sys.executable, "-m", "edge", "run", str(config), "--data", str(config.parent)]
    with config.with_name("log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    shutil.rmtree(config.parent / "out", ignore_errors=True)


def _head(journal: Path) -> int:
    if not journal.exists():
        return 0
    db = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    head: int = db.execute("SELECT coalesce(max(seq), 0) FROM event").get
    db.close()
    return head


def _seen(journal: Path, head: int) -> bool:
    """A connection for each look: the file may not be there yet."""
    try:
        db = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return db.execute(_SEEN, (head,)).get is not None
        finally:
            db.close()
    except (apsw.CantOpenError, apsw.BusyError, apsw.SQLError):  # no file or no schema yet
        return False


# --- how it is before --------------------------------------------------------------------------


def _forget(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def _progress(path: Path, ranges: list[tuple[int, int]]) -> None:
    """What its sink has been told to have acknowledged, up to the newest event."""
    _change(path, ["DELETE FROM rejected"])
    journal = Journal(path)
    if ranges:
        ranges = [*ranges[:-1], (ranges[-1][0], journal.head)]
    journal.commit(progress={"file": ranges})
    journal.close()


def _pieces(events: int) -> list[tuple[int, int]]:
    step = events // FRAGMENTS
    return [(first, first + step // 2) for first in range(1, events - step, step)]


def _reject(path: Path, events: int) -> None:
    """Events that the far end refused for good, with its reason."""
    _progress(path, [(1, events)])
    reason = "422 unprocessable entity: partial write: field type conflict: input field"
    statement = f"""INSERT INTO rejected SELECT 'file', seq, '{reason}' FROM event
                    WHERE seq % {max(1, events // REJECTED)} = 0"""
    _change(path, [statement])


def _cold(path: Path) -> None:
    """As after a boot: what was read or written is let go of by the system's cache."""
    _progress(path, [(1, 1)])
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            fd = os.open(file, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def _change(path: Path, statements: list[str]) -> None:
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    db.pragma("wal_checkpoint", "truncate")
    db.close()
