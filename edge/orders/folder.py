"""The folder that is watched for files of orders: they are taken in and moved aside with a result.

A file is never half read: it is left alone until its size and time have been the same for
`QUIET_S`, and looked at again after it was read. Nothing is ever deleted or overwritten.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

from msgspec import json

from edge.errors import NotRecorded
from edge.orders.files import KINDS, LARGEST, parse, plain
from edge.orders.intake import Intake, Taken, take_in

log = logging.getLogger("lineside.orders")

QUIET_S = 2.0
"""A file that nobody has written to for so long is whole."""
EVERY_S = 0.5
MOST_FILES = 10_000
"""Names that are looked at in one go."""
RESULT = ".result.json"


@dataclass(frozen=True, slots=True)
class _Signature:
    """What changes when a file is written to or replaced."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was, and since when."""

    signature: _Signature
    since_s: float


async def watch(folder: Path, home: Path, intake: Intake) -> None:
    """Until cancelled. A folder under `home` is made; another one must be there."""
    watched = _Watched(folder, make=folder.is_relative_to(home))
    while True:
        for name in await asyncio.to_thread(watched.quiet, asyncio.get_running_loop().time()):
            await _import(watched, name, intake)
        await asyncio.sleep(EVERY_S)


async def _import(watched: "_Watched", name: str, intake: Intake) -> None:
    body = await asyncio.to_thread(watched.read, name)
    if body is None:
        return
    parsed = await asyncio.to_thread(parse, name, body)
    try:
        taken = await take_in(parsed, intake)
    except NotRecorded as error:
        watched.wait(f"{plain(name)} waits: {error}")
        return
    await asyncio.to_thread(watched.put_away, name, taken)


class _Watched:
    """The folder's files. Its methods touch the disk, one at a time."""

    def __init__(self, folder: Path, *, make: bool) -> None:
        self._folder = folder
        self._make = make
        self._seen: dict[str, _Seen] = {}
        self._left: dict[str, _Signature] = {}
        """Files that cannot be read, or cannot be moved: not tried again until they change."""
        self._away = ""
        """Why the folder cannot be used."""
        self._waiting = ""
        """Why a file that was read is not taken in yet."""

    def wait(self, why: str) -> None:
        """The file stays; said once."""
        if why != self._waiting:
            log.warning("%s", why)
        self._waiting = why

    def _be(self, away: str) -> None:
        """Said once when it goes, and once when it is back."""
        if away != self._away:
            log.warning("the folder of orders %s %s", self._folder, away or "is back")
        self._away = away

    def quiet(self, now_s: float) -> list[str]:
        """Files that can be read now, the oldest first."""
        try:
            if self._make:
                self._folder.mkdir(parents=True, exist_ok=True)
            for aside in ("done", "failed"):
                (self._folder / aside).mkdir(exist_ok=True)
            with os.scandir(self._folder) as entries:
                found = {
                    one.name: _signature(one.stat()) for one in islice(entries, MOST_FILES) if _wanted(one)
                }
        except OSError as error:
            self._be(f"cannot be used: {error.strerror}")
            return []
        self._be("")
        self._look(found.items(), now_s)
        ready = [name for name, seen in self._seen.items() if self._is_ready(name, seen, now_s)]
        return sorted(ready, key=lambda name: (self._seen[name].signature.mtime_ns, name))

    def _look(self, found: Iterable[tuple[str, _Signature]], now_s: float) -> None:
        before, self._seen = self._seen, {}
        for name, signature in found:
            seen = before.get(name)
            same = seen is not None and seen.signature == signature
            self._seen[name] = seen if seen is not None and same else _Seen(signature, now_s)
        self._left = {name: one for name, one in self._left.items() if name in self._seen}

    def _is_ready(self, name: str, seen: _Seen, now_s: float) -> bool:
        return now_s - seen.since_s >= QUIET_S and self._left.get(name) != seen.signature

    def read(self, name: str) -> bytes | None:
        """Its bytes, one more than `LARGEST` at the most; None where it is not what it was."""
        seen = self._seen[name]
        try:
            number = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(number, "rb") as file:
                body = file.read(LARGEST + 1)
                same = _signature(os.fstat(number)) == seen.signature
        except OSError as error:
            self._leave(name, f"cannot be read: {error.strerror}")
            return None
        return body if same else None

    def put_away(self, name: str, taken: Taken) -> None:
        """Move it to `done` or `failed`, its result beside it."""
        self._waiting = ""
        failed = taken.refused > 0 and not (taken.accepted or taken.duplicates)
        seen = self._seen[name].signature
        log.log(
            logging.WARNING if taken.refused else logging.INFO,
            "%s: %d accepted, %d duplicates, %d refused",
            plain(name), taken.accepted, taken.duplicates, taken.refused,
        )  # fmt: skip
        try:
            target = _free_name(self._folder / ("failed" if failed else "done"), name, seen)
            _write(target.with_name(target.name + RESULT), json.format(json.encode(taken), indent=2))
            (self._folder / name).rename(target)
            if _signature(target.lstat()) != seen and not (self._folder / name).exists():
                target.rename(self._folder / name)  # written anew in between: it is another file
        except OSError as error:
            self._leave(name, f"was taken in, but cannot be moved: {error.strerror}")

    def _leave(self, name: str, why: str) -> None:
        self._left[name] = self._seen[name].signature
        log.warning("%s %s", plain(name), why)


def _wanted(entry: os.DirEntry[str]) -> bool:
    """Neither a symbolic link nor empty: who makes a file before he has its content is given time."""
    name = entry.name.lower()
    return (
        name.endswith(KINDS)
        and not name.startswith(".")
        and not name.endswith(RESULT)
        and entry.is_file(follow_symlinks=False)
        and entry.stat(follow_symlinks=False).st_size > 0
    )


def _signature(found: os.stat_result) -> _Signature:
    if not stat.S_ISREG(found.st_mode):
        return _Signature(0, 0, 0)
    return _Signature(found.st_ino, found.st_size, found.st_mtime_ns)


def _free_name(folder: Path, name: str, signature: _Signature) -> Path:
    """A name that neither a file nor a result has: the file's own, else with its time and a number."""
    own = Path(name)
    stem, suffix = own.stem if len(os.fsencode(name)) < 200 else own.stem[:40], own.suffix
    written = datetime.fromtimestamp(signature.mtime_ns // 1_000_000_000, UTC)
    for number in count():
        more = f"-{written:%Y%m%dT%H%M%SZ}" if number else ""
        more += f"-{number}" if number > 1 else ""
        target = folder / f"{stem}{more}{suffix}"
        if not (os.path.lexists(target) or os.path.lexists(f"{target}{RESULT}")):
            return target
    raise AssertionError  # `count` has no end


def _write(path: Path, body: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(".result.part")
    with part.open("wb") as file:
        file.write(body + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
