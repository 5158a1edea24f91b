"""Takes a journal from an earlier schema to this one's, step by step."""

from pathlib import Path

import apsw

from edge.errors import JournalError
from edge.journal.sql import migrations

OLDEST_SQLITE = (3, 51, 3)
"""Before it, a WAL with several connections can lose committed transactions when it is reset."""


def refuse_old_sqlite(path: Path) -> None:
    """Raises JournalError."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        found, wanted = apsw.sqlite_lib_version(), ".".join(map(str, OLDEST_SQLITE))
        raise JournalError(str(path), f"SQLite {found} is older than {wanted}; upgrade apsw")


def migrate(db: apsw.Connection, path: Path) -> None:
    """Each step is one transaction, that has the write lock from its begin on.

    Raises JournalError for a newer file, apsw.Error.
    """
    version, steps = db.pragma("user_version"), migrations()
    if not 0 <= version <= len(steps):
        raise JournalError(str(path), f"is of schema {version}, this Lineside knows {len(steps)}; upgrade it")
    db.transaction_mode = "IMMEDIATE"
    for number, step in enumerate(steps[version:], version + 1):
        with db:
            db.execute(step)
            db.pragma("user_version", number)
