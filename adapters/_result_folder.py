"""The folder that a rig writes its results into: what is whole, what is taken, where it goes after.

A file is moved to `taking/` before it is read: who still has it open then writes into a file that is
looked at once more before it is believed, and nobody can begin another of its name. How many of its
results are on disk stands beside it, so that a kill in the middle takes up where it was. Nothing is
overwritten.
"""

import errno
import logging
import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha1
from itertools import count, islice
from pathlib import Path
from typing import Literal

log = logging.getLogger("lineside.source")

TAKING, DONE, BROKEN = "taking", "done", "broken"
ASIDE = (TAKING, DONE, BROKEN)
REPORT = ".result.txt"
MOST_FILES = 10_000
"""Names that are looked at in one go."""
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")
_LONGEST_NAME = 180
"""Bytes; with an ending of ours it stays within the 255 that file systems allow."""
_PROBE = ".lineside-probe"
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


@dataclass(frozen=True, slots=True)
class _Signature:
    inode: int
    size: int
    mtime_ns: int


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

    @property
    def identity(self) -> str:
        """Of this writing of this file: printable, and the same after a restart."""
        return f"{plain(self.name)}@{self.mtime_ns // 1_000_000}"


class Folder:
    """Its methods touch the disk, one at a time; each raises OSError where the folder is gone."""

    def __init__(self, path: Path, rules: Rules) -> None:
        self._path = path
        self._rules = rules
        self._seen: dict[str, tuple[_Signature, float]] = {}
        self._taken: dict[str, _Signature] = {}
        """What files in `taking/` looked like before they are read."""
        self._held: set[str] = set()

    def prepare(self) -> None:
        """Make the folders beside the files. Raises OSError, also where nothing is mounted."""
        self._mounted()
        for aside in ASIDE:
            (self._path / aside).mkdir(exist_ok=True)

    def begun(self) -> list[str]:
        """Files that were taken and not put away: by one that was killed, or that could not record."""
        self._mounted()
        with os.scandir(self._path / TAKING) as entries:
            files = [one for one in entries if _plain_file(one) and not one.name.startswith(".")]
            return [one.name for one in sorted(files, key=lambda one: one.stat().st_mtime_ns)]

    def whole(self, now_s: float) -> list[str]:
        """Files that can be taken now, the oldest first. `now_s` is of any steady clock."""
        with os.scandir(self._path) as entries:
            files = [one for one in islice(entries, MOST_FILES) if _plain_file(one)]
            found = {one.name: _signature(one.stat()) for one in files}
        self._rest(found, now_s)
        self._held &= found.keys()
        ready = [name for name in self._wanted(found) if self._is_whole(name, found, now_s)]
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
            body, fault = self._content(path), ""
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            body, fault = b"", f"it cannot be read: {error.strerror}"
        if len(body) > self._rules.largest:
            fault, body = f"it has {found.size} bytes; a file larger than `largest` is not read", b""
        if _signature(path.lstat()) != found:
            return None
        age_ms = max(0, self._now_ns() - found.mtime_ns) // 1_000_000
        return Taken(name, body, found.mtime_ns, age_ms, *self._progress(name), fault)

    def _content(self, path: Path) -> bytes:
        """One byte more than is allowed at the most."""
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, "rb") as file:
            return file.read(self._rules.largest + 1)

    def note(self, name: str, recorded: int, told: Iterable[str]) -> None:
        """So many of its results are on disk; this itself is on disk when it returns."""
        path = self._note(name)
        part = path.with_name(path.name + "~")
        with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join([str(recorded), *told]))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def put_away(self, taken: Taken, report: list[str], *, broken: bool) -> None:
        """To `done/` or `broken/`, the report beside it where there is room for one; its marker goes too."""
        path = self._path / TAKING / taken.name
        target = _free(self._path / (BROKEN if broken else DONE), taken.name)
        if broken:
            with suppress(OSError):
                target.with_name(target.name + REPORT).write_text(
                    "\n".join(report) + "\n", "utf-8", "backslashreplace"
                )
        path.rename(target)
        self._note(taken.name).unlink(missing_ok=True)
        self._taken.pop(taken.name, None)
        if self._rules.marker:
            (self._path / _marker(self._rules.marker, taken.name)).unlink(missing_ok=True)

    def _mounted(self) -> None:
        if self._rules.mount and not os.path.ismount(self._rules.mount):
            raise FileNotFoundError(f"nothing is mounted at {self._rules.mount}")

    def _rest(self, found: dict[str, _Signature], now_s: float) -> None:
        """Since when each has looked as it does."""
        before, self._seen = self._seen, {}
        for name, signature in found.items():
            since = before.get(name)
            same = since is not None and since[0] == signature
            self._seen[name] = since if since is not None and same else (signature, now_s)

    def _is_whole(self, name: str, found: dict[str, _Signature], now_s: float) -> bool:
        """Who is empty is still being made, unless its marker says otherwise."""
        if self._rules.marker:
            return _marker(self._rules.marker, name) in found
        signature, since_s = self._seen[name]
        quiet_s = 0.0 if self._rules.ready == "renamed" else self._rules.quiet_s
        return signature.size > 0 and now_s - since_s >= quiet_s

    def _tell_held(self, name: str, error: OSError) -> None:
        """Once a file."""
        if name not in self._held:
            log.warning("%s cannot be moved yet: %s", plain(name), error.strerror)
        self._held.add(name)

    def _wanted(self, names: Iterable[str]) -> list[str]:
        glob = self._rules.glob.casefold()
        return [
            name for name in names
            if fnmatchcase(name.casefold(), glob) and not name.startswith((".", "~"))
            and not name.casefold().endswith(_UNFINISHED) and not self._is_marker(name)
        ]  # fmt: skip

    def _is_marker(self, name: str) -> bool:
        """Whether a name ends like a marker: it is no result, whatever the pattern of the files says."""
        return bool(self._rules.marker) and name.endswith(self._rules.marker.rpartition("}")[2])

    def _progress(self, name: str) -> tuple[int, tuple[str, ...]]:
        with suppress(FileNotFoundError, ValueError):
            recorded, *told = self._note(name).read_text("utf-8").split("\n")
            return int(recorded), tuple(told)
        return 0, ()

    def _note(self, name: str) -> Path:
        return self._path / TAKING / f".{_short(name)}.recorded"

    def _now_ns(self) -> int:
        """What the file system's clock says, which on a share is not that of this machine."""
        probe = self._path / TAKING / _PROBE
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            probe.touch()
            now_ns = probe.stat().st_mtime_ns
            probe.unlink()
            return now_ns
        return time.time_ns()


def plain(name: str) -> str:
    """A file's name for a person: printable, whatever its bytes are."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def _plain_file(entry: os.DirEntry[str]) -> bool:
    """Neither a symbolic link, which may lead anywhere, nor a pipe, at which a reader would hang."""
    return entry.is_file(follow_symlinks=False)


def _signature(found: os.stat_result) -> _Signature:
    if not stat.S_ISREG(found.st_mode):
        return _Signature(0, 0, 0)
    return _Signature(found.st_ino, found.st_size, found.st_mtime_ns)


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
    """A name that neither a file nor a report has: the file's own, else with a number."""
    own = Path(_short(name))
    for number in count():
        target = folder / (f"{own.stem}-{number}{own.suffix}" if number else own.name)
        if not (os.path.lexists(target) or os.path.lexists(f"{target}{REPORT}")):
            return target
    raise AssertionError  # `count` has no end
