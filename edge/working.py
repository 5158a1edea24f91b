"""The core's rows in memory: as committed, and what has changed since the last commit."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce

from edge.journal import Journal
from edge.production import Line
from edge.production.context import Context
from edge.production.slots import contexts
from edge.production.state import Row, Station
from edge.production.views import is_view

KEPT = 10_000
"""Rows held in memory; more are read again from the journal when they are needed."""


class WorkingRows(Mapping[str, Row | None]):
    """A row that does not exist is None; a row that was not loaded is a KeyError."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[str, Row | None] = {}
        self._committed: dict[str, Row | None] = {}
        """Of each row that has changed since the last commit: what it was then."""
        self._views: list[str] = []

    def __getitem__(self, key: str) -> Row | None:
        return self._rows[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def at_hand(self) -> Mapping[str, Row | None]:
        """What was loaded, as a plain mapping: a decision asks for its rows many times."""
        return self._rows

    def load(self, keys: Iterable[str]) -> bool:
        """Have these rows at hand. False when they all were."""
        rows = self._rows
        missing = [key for key in keys if key not in rows]
        if not missing:
            return False
        self._views += [key for key in missing if is_view(key)]
        for key in missing:
            self._rows[key] = self._journal.row(key)
        return True

    def context_at(self, station: str, line: Line) -> Context:
        """What is certain of a sample there: of several jobs at the station, what they have in common."""
        spec = line.named.get(station)
        if spec is None:
            return Context()
        self.load([spec.key])
        row = self._rows[spec.key]
        return reduce(Context.common, contexts(row)) if isinstance(row, Station) else Context()

    def forget_views(self) -> None:
        """What the journal said of its events is true for one decision only."""
        if self._views:
            for key in self._views:
                self._rows.pop(key, None)
            self._views.clear()

    def change(self, rows: Mapping[str, Row]) -> None:
        known, committed = self._rows, self._committed
        for key, row in rows.items():
            if key not in committed:
                committed[key] = known.get(key)
            known[key] = row

    def changed(self) -> dict[str, Row]:
        """What the next commit has to write."""
        return {key: row for key in self._committed if (row := self._rows[key]) is not None}

    def committed(self) -> None:
        self._committed.clear()
        if len(self._rows) > KEPT:
            self._rows.clear()

    def discard(self) -> None:
        """Go back to what is on disk."""
        self._rows.update(self._committed)
        self._committed.clear()
