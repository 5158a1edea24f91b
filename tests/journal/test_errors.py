"""What becomes of every error that SQLite knows, out of a transaction of the journal."""

from pathlib import Path

import apsw
import pytest

from edge.errors import JournalDamaged, JournalError
from edge.journal import Journal

ENDS = {"IOError", "ReadOnlyError", "CantOpenError", "PermissionsError"}
"""Nobody knows what is on the disk: the agent ends, and the file is looked at by the next start."""
DAMAGED = {"CorruptError", "NotADBError"}
LATER = {"FullError", "BusyError"}
"""`commit` says NotRecorded: a later try may succeed."""
FAULTS = {
    "SQLError", "InternalError", "AbortError", "LockedError", "NoMemError", "InterruptError", "NotFoundError",
    "ProtocolError", "EmptyError", "SchemaChangeError", "TooBigError", "ConstraintError", "MismatchError",
    "MisuseError", "NoLFSError", "AuthError", "FormatError", "RangeError", "BindingsError",
    "ThreadingViolationError", "ConnectionNotClosedError", "ConnectionClosedError", "CursorClosedError",
    "ForkingViolationError", "IncompleteExecutionError", "ExecutionCompleteError", "ExecTraceAbort",
    "ExtensionLoadingError", "VFSNotImplementedError", "VFSFileClosedError", "NoFTS5Error",
    "InvalidContextError",
}  # fmt: skip
"""Of the statement, not of the disk: passed on, and `commit` ends the agent with them."""

ALL = sorted(
    (one for one in vars(apsw).values() if isinstance(one, type) and issubclass(one, apsw.Error)),
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("error", [one for one in ALL if one is not apsw.Error], ids=lambda one: one.__name__)
def test_every_error_of_sqlite_has_its_place(tmp_path: Path, error: type[apsw.Error]) -> None:
    name = error.__name__
    assert name in ENDS | DAMAGED | LATER | FAULTS, "an error that apsw did not have"
    path = tmp_path / "journal.db"
    journal = Journal(path)
    expected = JournalDamaged if name in DAMAGED else JournalError if name in ENDS else error
    with pytest.raises(expected), journal.transaction():
        raise error("something")
    goes_on = name in LATER | FAULTS
    if goes_on:
        journal.commit()
    else:
        with pytest.raises(JournalError):
            journal.commit()
    journal.close()
    assert path.with_name("journal.db.damaged").exists() == (name in DAMAGED)
