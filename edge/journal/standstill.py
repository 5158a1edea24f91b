"""Once there is no room, nothing is recorded until there is some: a line that stops and goes at every commit
would fill its log, and the last pages, with that alone."""

import os
from pathlib import Path

import apsw

from edge.errors import JournalFull

ENOUGH = 128 * 1024
"""Bytes, under the cap and on the disk: some seconds' work."""


class Standstill:
    """Of the one connection that writes; called in its thread."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._reason = ""

    def begin(self, reason: str) -> None:
        """A commit has failed, for there was no room."""
        self._reason = reason

    def refuse(self) -> None:
        """Raises JournalFull while there is too little room to go on."""
        if not self._reason:
            return
        if min(self._under_cap(), self._on_disk()) < ENOUGH:
            raise JournalFull(self._reason)
        self._reason = ""

    def _under_cap(self) -> int:
        most, pages, unused, page = (
            int(self._db.pragma(name))
            for name in ("max_page_count", "page_count", "freelist_count", "page_size")
        )
        return (most - pages + unused) * page

    def _on_disk(self) -> int:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize
