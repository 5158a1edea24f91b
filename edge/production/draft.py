"""A decision in the making: rows are read, replaced, and events said, all in memory."""

from collections import ChainMap
from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from edge.observation import ACCEPTED, Observation, Outcome
from edge.production.context import NO_CONTEXT, Context
from edge.production.events import Event, EventData
from edge.production.line import Line, StationSpec
from edge.production.state import LINE, Job, LineRow, Row, Station

RowT = TypeVar("RowT", bound=Row)

NEW_STATION = Station()


class Move(Struct, frozen=True):
    """Events that are in the journal get another context: those of a view that have `source`."""

    view: str
    """Key of the view; see `views`."""
    source: Context
    target: Context
    version: int


class Hold(Struct, frozen=True):
    """From here on events have estimated times: no sink gets them until they are corrected."""


class Restamp(Struct, frozen=True):
    """Events whose times were estimated get the right ones, and may go out. All in milliseconds."""

    boot: str
    mono_ms: int
    """Of this boot's monotonic clock, when its doubt began."""
    until_mono_ms: int
    """What was seen later than this was not estimated, whatever the clock was set to since."""
    since_ms: int
    """The first time that was estimated."""
    offset_ms: int
    """Of the estimate to the monotonic clock."""
    shift_ms: int
    """To be added; 0: the estimate was right."""

    @property
    def offsets(self) -> tuple[int, int]:
        """From where to where the distance of a time from the monotonic clock is that of the estimate.

        A process may be held up between its reads of the two clocks: what is nearer to the estimate than
        to the right time was estimated.
        """
        half = abs(self.shift_ms) // 2
        return self.offset_ms - half, self.offset_ms + half


class Decision(Struct, frozen=True):
    """What an observation means."""

    events: tuple[Event, ...] = ()
    rows: Mapping[str, Row] = {}
    """Rows that changed. Without an event they need not be written at once."""
    outcome: Outcome = ACCEPTED
    boundary: tuple[str, ...] = ()
    """Counters to be read now, before this is decided again with them as `fresh`: parts made
    until then belong to what was so before."""
    reread: tuple[str, ...] = ()
    """Counters to be read again soon, for the last reading was not believed."""
    doubted: bool = False
    """The reading is not believed yet, whether it is to be read again for that or not."""
    moves: tuple[Move, ...] = ()
    timing: Hold | Restamp | None = None
    """What becomes of the times of events."""


class Draft:
    """Collects what one observation changes."""

    __slots__ = (
        "_rows", "boundary", "changed", "doubted", "events", "line", "moves", "observation", "outcome",
        "reread", "timing",
    )  # fmt: skip

    def __init__(self, line: Line, rows: Mapping[str, Row | None], observation: Observation) -> None:
        self.line = line
        self.observation = observation
        self.events: list[Event] = []
        self.changed: dict[str, Row] = {}
        self.outcome = ACCEPTED
        self.boundary: tuple[str, ...] = ()
        self.reread: tuple[str, ...] = ()
        self.doubted = False
        self.moves: list[Move] = []
        self.timing: Hold | Restamp | None = None
        self._rows = rows

    def get(self, key: str, kind: type[RowT]) -> RowT | None:
        """The row as it is now. Raises KeyError for one that `needs` did not name."""
        row = self.changed.get(key)
        if row is None:
            row = self._rows[key]
            if row is None:
                return None
        if type(row) is not kind:
            raise TypeError(f"row {key} is a {type(row).__name__}, not a {kind.__name__}")
        return row

    def rows(self) -> Mapping[str, Row | None]:
        """All of them, as they are now."""
        return ChainMap(self.changed, self._rows)  # type: ignore[arg-type]

    def put(self, key: str, row: Row) -> None:
        self.changed[key] = row

    def station(self, spec: StationSpec) -> Station:
        row = self.changed.get(spec.key)  # the short way of `get`: a reading asks for it often
        if type(row) is Station:
            return row
        return self.get(spec.key, Station) or NEW_STATION

    def job(self, key: str, order: str, operation: int | None) -> Job:
        return self.get(key, Job) or Job(order, operation)

    def line_row(self, key: str) -> LineRow:
        return self.get(key, LineRow) or LineRow()

    def jobs_before(self) -> dict[str, Job]:
        """The jobs that have changed, as they were."""
        found = {key: self._rows[key] for key, row in self.changed.items() if isinstance(row, Job)}
        return {key: row for key, row in found.items() if isinstance(row, Job)}

    def states(self) -> dict[str, str]:
        """Of the jobs that have changed, as they are now."""
        return {key: row.state for key, row in self.changed.items() if isinstance(row, Job)}

    def before(self, key: str, kind: type[RowT]) -> RowT | None:
        """The row as it was."""
        row = self._rows[key]
        return row if isinstance(row, kind) else None

    def runs_before(self) -> int:
        """How many runs were ever begun before this observation."""
        line = self.before(LINE, LineRow)
        return line.runs if line else 0

    def say(
        self, data: EventData, station: str = "", context: Context = NO_CONTEXT, at_ms: int | None = None
    ) -> None:
        """Add an event; it happened at the observation's time unless `at_ms` says when."""
        now = self.observation
        at = now.at_ms if at_ms is None else at_ms
        self.events.append(Event(data, at, now.seen_ms, now.mono_ms, now.boot, station, context, now.stamp))

    def undo(self) -> None:
        """Forget everything: nothing is changed."""
        self.events.clear()
        self.changed.clear()
        self.moves.clear()
        self.timing = None
        self.boundary = ()

    def decision(self) -> Decision:
        return Decision(
            tuple(self.events), self.changed, self.outcome, self.boundary, self.reread, self.doubted,
            tuple(self.moves), self.timing,
        )  # fmt: skip
