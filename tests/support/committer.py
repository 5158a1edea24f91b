"""A process that commits as fast as it can and says each seq once it is on disk; to be killed."""

import sys
from pathlib import Path

from edge.journal import Journal
from edge.journal.store import encode_data
from edge.production.context import Context
from edge.production.events import Event
from edge.production.losses import Health
from edge.production.state import LineRow

SEVERAL = 3
"""Events of one commit; the row says how many there must be."""


def main(path: Path) -> None:
    journal = Journal(path)
    while True:
        runs = journal.head // SEVERAL + 1
        events = []
        for place in range(SEVERAL):
            data = Health("agent", "start", f"{runs}.{place}")
            context = Context(order=f"WO-{runs % 7}", run=f"r{runs}")
            events.append((Event(data, runs, runs, runs, f"b{runs % 5}", "", context), encode_data(data)))
        head = journal.commit(events, {"line": LineRow(runs)}, progress={"file": [(1, journal.head or 1)]})
        sys.stdout.write(f"{head}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
