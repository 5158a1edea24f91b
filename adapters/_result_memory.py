"""Which files were recorded already, so that one that is put back is known; beside the files themselves."""

import os
from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from adapters._result_notes import NotAFile, read_plain, write_new

KEPT = 10_000
"""Files that are remembered."""
_LONGEST = 8 * 65 * KEPT


def fingerprint(*parts: bytes) -> str:
    """Of a file: the same for the same parts only."""
    found = sha256()
    for part in parts:
        found.update(b"%d:" % len(part) + part)
    return found.hexdigest()


class Memory:
    """A line a file. Each method touches the disk and raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._order: deque[str] = deque(maxlen=KEPT)
        self._known: set[str] = set()
        self._lines = 0

    def load(self) -> None:
        """Read what was remembered; a line that was cut is none."""
        self._order.clear()
        try:
            text = read_plain(self._path, _LONGEST).decode("ascii", "replace")
        except (FileNotFoundError, NotAFile):
            text = ""
        words = text.splitlines()
        self._order.extend(word for word in words if len(word) == 64)
        self._known = set(self._order)
        self._lines = len(words)

    def __contains__(self, one: str) -> bool:
        return one in self._known

    def add(self, new: Iterable[str]) -> None:
        """On disk when it returns."""
        fresh = [one for one in new if one not in self._known]
        if not fresh:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(self._path, flags, 0o666), "a", encoding="ascii") as file:
            file.write("\n" + "\n".join(fresh) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._order.extend(fresh)
        self._known = set(self._order) if len(self._order) == KEPT else self._known | {*fresh}
        self._lines += len(fresh) + 1
        if self._lines > 4 * KEPT:
            self._shorten()

    def _shorten(self) -> None:
        part = self._path.with_name(self._path.name + "~")
        part.unlink(missing_ok=True)
        write_new(part, ("\n".join(self._order) + "\n").encode("ascii"), durable=True)
        part.replace(self._path)
        self._lines = len(self._order)
