"""The folder that a rig writes its results into: what is whole, what is taken, where it goes after.

A file is moved to `taking/` before it is read: who still has it open then writes into a file that is
looked at once more before it is believed, and nobody can begin another of its name. How many of its
results are on disk stands beside it, so that a kill in the middle takes up where it was. A file that is
written to after it was put away is fetched back. Nothing is overwritten.
"""

import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha1
from heapq import nsmallest
from pathlib import Path
from typing import Literal

from adapters._result_memory import Memory, fingerprint
from adapters._result_notes import NotAFile, Note, note_of, read_note, read_plain, write_new, write_note

log = logging.getLogger("lineside.source")

TAKING, DONE, BROKEN = "taking", "done", "broken"
ASIDE = (TAKING, DONE, BROKEN)
REPORT = ".result.txt"
MOST_FILES = 10_000
"""Files of the right name that are looked at in one go; the others have their turn after them."""
_LATE = 64
"""Files that are still looked at after they were put away, and for how many seconds."""
_LATE_S = 600.0
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")
_LONGEST_NAME = 180
"""Bytes; with an ending of ours it stays within the 255 that file systems allow."""
_PROBE = ".lineside-probe"
_MEMORY = ".lineside-recorded"
_HELD = {errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY}
"""A file server says so of a file that its writer still has open."""
_UNREADABLE = {errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP}
"""Of one file, where the folder is all right."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which files, and when they are whole."""

    glob: str
    ready: Literal["quiet", "renamed"]
    quiet_s: float
    marker: str
    """`{name}.ok`, `{stem}.ok` or empty."""
    largest: int
    mount: str
    numbered: bool = False
    """Unit and number are in the file: the same content is the same results then, whenever it was written."""
    grows: bool = False
    """Whether what is written behind the results of a file are more results."""
    listed: bool = False
    """They may be a list, whose beginning alone is none."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a file looks like from outside."""

    inode: int
    size: int
    mtime_ns: int


_NO_FILE = Signature(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Taken:
    """A file in `taking/`."""

    name: str
    """As the file system has it: any bytes but `/` and NUL, what is no UTF-8 as surrogates."""
    body: bytes
    mtime_ns: int
    age_ms: int
    """By the clock of the file system that holds it."""
    recorded: int = 0
    """So many of its results are on disk already."""
    told: tuple[str, ...] = ()
    """What the report says of those."""
    fault: str = ""
    """Why its content cannot be had; then `body` is empty."""
    signature: Signature | None = None
    """What it looked like when it was read."""

    @property
    def identity(self) -> str:
        """Of this writing of this file: printable, and the same after a restart."""
        return self.written_as(self.name)

    def written_as(self, name: str) -> str:
        """The same where the file was called so."""
        return f"{plain(name)}@{self.mtime_ns // 1_000_000}"


@dataclass(frozen=True, slots=True)
class _Put:
    """A file that was put away, for the time that its writer may still have it open."""

    name: str
    signature: Signature
    note: Note
    since_s: float


class Folder:
    """Its methods touch the disk, one at a time; each raises OSError where the folder is gone."""

    def __init__(self, path: Path, rules: Rules, most: int = MOST_FILES) -> None:
        self._path = path
        self._rules = rules
        self._most = most
        self._seen: dict[str, tuple[Signature, float]] = {}
        self._taken: dict[str, Signature] = {}
        """What files in `taking/` looked like before they are read."""
        self._held: set[str] = set()
        self._put: dict[Path, _Put] = {}
        self._after = ""
        """Of more files than can be looked at in one go: those up to this name had their turn."""
        self._since_s: float | None = None
        self._memory = Memory(path / TAKING / _MEMORY)

    def prepare(self) -> None:
        """Make the folders beside the files. Raises OSError, also where nothing is mounted."""
        self._mounted()
        for aside in ASIDE:
            (self._path / aside).mkdir(exist_ok=True)
        self._own()
        self._memory.load()

    def begun(self) -> list[str]:
        """Files that were taken and not put away: by one that was killed, or that could not record; and
        those that were written to after they were put away."""
        self._mounted()
        self._own()
        self._fetch_back()
        found = self._looked_at(self._path / TAKING, lambda name: not name.startswith("."))
        return sorted(found, key=lambda name: (found[name].mtime_ns, name))

    def whole(self, now_s: float) -> list[str]:
        """Files that can be taken now, the oldest first. `now_s` is of any steady clock.

        Of more than can be looked at, the next have their turn when these had time to become quiet.
        """
        found = self._looked_at(self._path, lambda name: name > self._after and self._is_wanted(name))
        self._rest(found, now_s)
        self._held &= found.keys()
        ready = [name for name in found if self._is_whole(name, now_s)]
        if self._since_s is None or (not self._after and len(found) < self._most):
            self._since_s = now_s
        elif now_s - self._since_s >= self._rules.quiet_s:
            self._since_s, self._after = None, "" if len(found) < self._most else max(found)
        return sorted(ready, key=lambda name: (found[name].mtime_ns, name))

    def take(self, name: str) -> bool:
        """Move it to `taking/`; False where it is gone, or its writer does not let go of it."""
        target = self._path / TAKING / name
        if os.path.lexists(target):
            return False
        try:
            (self._path / name).rename(target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _HELD or not os.access(self._path, os.W_OK):
                raise
            self._tell_held(name, error)
            return False
        self._taken[name] = self._seen[name][0]
        return True

    def read(self, name: str) -> Taken | None:
        """What was taken; None where it was written to since it was looked at last."""
        path = self._path / TAKING / name
        try:
            found = _signature(path.lstat())
            if self._taken.get(name) != found:
                self._taken[name] = found
                return None
            body, fault = read_plain(path, self._rules.largest), ""
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNREADABLE and not isinstance(error, NotAFile):
                raise
            body, fault = b"", f"it cannot be read: {error.strerror or error}"
        if len(body) > self._rules.largest:
            fault, body = f"it has {found.size} bytes; a file larger than `largest` is not read", b""
        if _signature(path.lstat()) != found:
            return None
        age_ms = max(0, self._now_ns() - found.mtime_ns) // 1_000_000
        return Taken(name, body, found.mtime_ns, age_ms, *self._progress(name, body), fault, found)

    def note(self, taken: Taken, recorded: int, of: int, told: Sequence[str]) -> None:
        """So many of its results are on disk; this itself is on disk when it returns."""
        write_note(self._note(taken.name), note_of(taken.body, recorded, of, told))

    def is_known(self, taken: Taken) -> bool:
        """Whether all of it was recorded before, and it was put back."""
        return not taken.fault and not taken.recorded and self._print(taken, taken.name) in self._memory

    def _print(self, taken: Taken, name: str) -> str:
        written = taken.written_as(name).encode("utf-8", "backslashreplace")
        return fingerprint(taken.body, *([] if self._rules.numbered else [written]))

    def put_away(self, taken: Taken, report: Sequence[str], of: int, *, broken: bool) -> None:
        """To `done/` or `broken/`, the report beside it where there is room for one; its marker goes too.

        `of`: so many results it held.
        """
        path = self._path / TAKING / taken.name
        target = _free(self._path / (BROKEN if broken else DONE), taken.name)
        if broken:
            told = "".join(f"{one}\n" for one in report).encode("utf-8", "backslashreplace")
            with suppress(OSError):
                write_new(target.with_name(target.name + REPORT), told)
        else:
            self._memory.add(self._print(taken, name) for name in (taken.name, target.name))
        path.rename(target)
        self._note(taken.name).unlink(missing_ok=True)
        self._taken.pop(taken.name, None)
        if self._rules.marker:
            (self._path / _marker(self._rules.marker, taken.name)).unlink(missing_ok=True)
        if taken.signature and not taken.fault:
            note = note_of(taken.body, of, of, report)
            self._put[target] = _Put(taken.name, taken.signature, note, time.monotonic())

    def _fetch_back(self) -> None:
        """To `taking/` what was written to after it was read: its writer had it open all the time."""
        for path, put in list(self._put.items()):
            if len(self._put) > _LATE or time.monotonic() - put.since_s > _LATE_S:
                del self._put[path]
                continue
            with suppress(FileNotFoundError):
                if _signature(path.lstat()) not in (put.signature, _NO_FILE):
                    self._fetch(path, put)

    def _fetch(self, path: Path, put: _Put) -> None:
        target = self._path / TAKING / put.name
        if os.path.lexists(target):
            return
        log.warning("%s was written to after it was read; it is looked at once more", plain(put.name))
        write_note(self._note(put.name), put.note)
        path.rename(target)
        del self._put[path]

    def _looked_at(self, folder: Path, wanted: Callable[[str], bool]) -> dict[str, Signature]:
        """The first files by name, and what they look like."""
        with os.scandir(folder) as entries:
            names = (one.name for one in entries if wanted(one.name) and _plain_file(one))
            first = nsmallest(self._most, names)
        found = {}
        for name in first:
            with suppress(FileNotFoundError):
                found[name] = _signature((folder / name).lstat())
        return found

    def _own(self) -> None:
        """Raises OSError where a folder of ours leads somewhere else."""
        for aside in ASIDE:
            if not stat.S_ISDIR((self._path / aside).lstat().st_mode):
                raise OSError(f"{self._path / aside} must be a folder, no link to one: delete it")

    def _mounted(self) -> None:
        if self._rules.mount and not os.path.ismount(self._rules.mount):
            raise FileNotFoundError(f"nothing is mounted at {self._rules.mount}")

    def _rest(self, found: dict[str, Signature], now_s: float) -> None:
        """Since when each has looked as it does."""
        before, self._seen = self._seen, {}
        for name, signature in found.items():
            since = before.get(name)
            same = since is not None and since[0] == signature
            self._seen[name] = since if since is not None and same else (signature, now_s)

    def _is_whole(self, name: str, now_s: float) -> bool:
        """Who is empty is still being made, unless its marker says otherwise."""
        if self._rules.marker:
            return os.path.lexists(self._path / _marker(self._rules.marker, name))
        signature, since_s = self._seen[name]
        quiet_s = 0.0 if self._rules.ready == "renamed" else self._rules.quiet_s
        return signature.size > 0 and now_s - since_s >= quiet_s

    def _tell_held(self, name: str, error: OSError) -> None:
        """Once a file."""
        if name not in self._held:
            log.warning("%s cannot be moved yet: %s", plain(name), error.strerror)
        self._held.add(name)

    def _is_wanted(self, name: str) -> bool:
        matches = fnmatchcase(name.casefold(), self._rules.glob.casefold())
        return matches and not unfinished(name) and not self._is_marker(name)

    def _is_marker(self, name: str) -> bool:
        """Whether a name ends like a marker: it is no result, whatever the pattern of the files says."""
        return bool(self._rules.marker) and name.endswith(self._rules.marker.rpartition("}")[2])

    def _progress(self, name: str, body: bytes) -> tuple[int, tuple[str, ...]]:
        """How many of its results are on disk, by a note that fits what the file holds."""
        path = self._note(name)
        note = read_note(path)
        grows = self._rules.grows and not (self._rules.listed and note and note.told)
        begun = None if note is None else note.begun(body, grows=grows)
        if note is not None and begun is not None:
            return begun, tuple(one for one in note.told if not one.startswith(f"result {begun + 1}: "))
        if os.path.lexists(path):
            log.warning("%s is read from its beginning: what was noted of it is not of this", plain(name))
            with suppress(OSError):
                path.unlink()
        return 0, ()

    def _note(self, name: str) -> Path:
        return self._path / TAKING / f".{_short(name)}.recorded"

    def _now_ns(self) -> int:
        """What the file system's clock says, which on a share is not that of this machine."""
        probe = self._path / TAKING / _PROBE
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            write_new(probe, b"")
            now_ns = probe.stat().st_mtime_ns
            probe.unlink()
            return now_ns
        return time.time_ns()


def unfinished(name: str) -> bool:
    """Whether a name, or a pattern of names, is of files that are never read."""
    return name.startswith((".", "~")) or name.casefold().endswith(_UNFINISHED)


def plain(name: str) -> str:
    """A file's name for a person: printable, whatever its bytes are."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def _plain_file(entry: os.DirEntry[str]) -> bool:
    """Neither a symbolic link, which may lead anywhere, nor a pipe, at which a reader would hang."""
    return entry.is_file(follow_symlinks=False)


def _signature(found: os.stat_result) -> Signature:
    if not stat.S_ISREG(found.st_mode):
        return _NO_FILE
    return Signature(found.st_ino, found.st_size, found.st_mtime_ns)


def _marker(marker: str, name: str) -> str:
    return marker.replace("{name}", name).replace("{stem}", Path(name).stem)


def _short(name: str) -> str:
    raw = os.fsencode(name)
    return (
        name
        if len(raw) <= _LONGEST_NAME
        else f"{os.fsdecode(raw[:100])}-{sha1(raw, usedforsecurity=False).hexdigest()[:16]}"
    )


def _free(folder: Path, name: str) -> Path:
    """A name that neither a file nor a report has: the file's own, else with a number.

    Of many files of one name it looks at a few: numbers are doubled until one is free, then halved between.
    """
    own = Path(_short(name))

    def numbered(number: int) -> Path:
        return folder / (f"{own.stem}-{number}{own.suffix}" if number else own.name)

    taken, free = -1, 0
    while _is_there(numbered(free)):
        taken, free = free, 2 * free or 1
    while free - taken > 1:
        between = (taken + free) // 2
        taken, free = (between, free) if _is_there(numbered(between)) else (taken, between)
    return numbered(free)


def _is_there(target: Path) -> bool:
    return os.path.lexists(target) or os.path.lexists(f"{target}{REPORT}")
