"""One observation and the core: its rows are brought, its events encoded, what it raises is kept."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from edge.errors import JournalError
from edge.journal.store import encode_data
from edge.observation import COMMAND, Observation, Outcome, Verdict
from edge.pending import Batch, CommitFirst
from edge.production import Decision, Line, decide, needs
from edge.production.baselines import RESTARTED
from edge.production.claims import claim_of
from edge.production.counting import Kind
from edge.production.counts import WITHDRAWN
from edge.production.devices import CAUSES
from edge.production.events import Count, Event, Flag
from edge.production.losses import Health, Loss
from edge.production.state import Row
from edge.production.views import is_view
from edge.working import WorkingRows

log = logging.getLogger("lineside.recorder")

QUARANTINED = 3
"""Of the same signal and error so many observations are kept; the rest would say nothing new."""
KINDS = 20_000
"""Signals and errors that are told apart."""


class Tape(Protocol):
    """Writes down what was decided, where a line is recorded: see edge/recording.py."""

    def note(self, observation: Observation, decision: Decision, rows: Mapping[str, Row | None]) -> None:
        """Decided; the rows are those before."""

    def keep(self) -> None:
        """What was noted is on disk, or needs no disk. Runs in the journal's thread; never raises."""

    def pass_over(self, number: int) -> None:
        """So many seq after what was noted are of telemetry. Runs in the journal's thread, before `keep`."""

    def forget(self) -> None:
        """What was noted since the last `keep` is undone; the rows are what the journal has."""


class Decided(NamedTuple):
    """What an observation means, with its events as they are stored."""

    decision: Decision
    events: list[tuple[Event, bytes]]


class Decider:
    """Asks the core; the working rows are changed by `accept` alone."""

    def __init__(self, line: Line, rows: WorkingRows, tape: Tape | None) -> None:
        self._line = line
        self._rows = rows
        self._tape = tape
        self._quarantined: Counter[tuple[str, str]] = Counter()

    def decide(self, batch: Batch, observation: Observation) -> Decided:
        """Raises CommitFirst where it asks about events that are not on disk yet, JournalError."""
        rows = self._rows
        rows.forget_views()
        try:
            while rows.load(self._needed(batch, observation)):
                pass
            decision = decide(self._line, rows.at_hand, observation)
            return Decided(decision, [(event, encode_data(event.data)) for event in decision.events])
        except (CommitFirst, JournalError):
            raise
        except Exception as error:  # whatever the core raises, it is one bad observation
            return Decided(self._quarantine(batch, observation, error), [])

    def _needed(self, batch: Batch, observation: Observation) -> tuple[str, ...]:
        keys = needs(self._line, observation, self._rows.at_hand)
        asks = observation.signal in self._line.guns or observation.signal == COMMAND
        if asks and batch.events and any(is_view(key) for key in keys):
            raise CommitFirst
        return keys

    def _quarantine(self, batch: Batch, observation: Observation, error: Exception) -> Decision:
        kind = (observation.signal, type(error).__name__)
        self._quarantined[kind] += 1
        if self._quarantined[kind] <= QUARANTINED and len(self._quarantined) <= KINDS:
            log.exception("%s: put into quarantine, nothing was changed", observation.signal)
            batch.quarantined.append((observation, f"{type(error).__name__}: {error}"))
            words = "this could not be decided; it is kept"
        else:
            words = "this could not be decided, as others like it that are kept; it is not"
        return Decision(outcome=Outcome(Verdict.QUARANTINED, words))

    def accept(self, batch: Batch, observation: Observation, decided: Decided) -> None:
        """It is so: for the rest of this batch at once, for everybody when it is on disk."""
        if self._tape is not None:
            self._tape.note(observation, decided.decision, self._rows)
        batch.events += decided.events
        batch.moves += decided.decision.moves
        if decided.decision.timing is not None:
            batch.timings.append(decided.decision.timing)
        self._rows.change(decided.decision.rows)


def tell(event: Event) -> None:
    """What a person should hear of, once it is on disk."""
    data = event.data
    if isinstance(data, Health) and data.state == "unreadable":
        log.warning("%s: cannot be read: %s", data.subject, data.detail)
    elif isinstance(data, Health) and data.state == "readable":
        log.warning("%s: can be read again", data.subject)
    elif isinstance(data, Loss) and data.cause in CAUSES.values():
        what = "was restarted" if data.cause == CAUSES[RESTARTED] else "is another device now"
        log.warning("%s %s: %s", data.subject, what, data.detail)
    elif isinstance(data, Count) and data.quality == Kind.RESET:
        words = f"it went back from {data.was} to {data.raw} and began again at zero"
        log.warning("%s.%s: %s: what was made just before is not known", event.station, data.role, words)
    elif isinstance(data, Count) and data.read_as and data.quality != Kind.BASELINE:
        words = f"{data.read_as}: what was counted over the change is booked as before"
        log.warning("%s.%s: %s: %d parts", event.station, data.role, words, data.produced)
    elif isinstance(data, Count) and data.read_as:
        words = f"is read otherwise than before, {data.read_as}"
        log.warning("%s.%s %s: counting begins at %d", event.station, data.role, words, data.raw)
    elif isinstance(data, Count) and data.quality == Kind.UNCERTAIN:
        words = f"it went from {data.was} to {data.raw}, which is uncertain"
        log.warning("%s.%s: %s: %d parts are counted", event.station, data.role, words, data.produced)
    elif isinstance(data, Flag) and data.flag == WITHDRAWN:
        log.warning("%s: %d held parts never were: %s", event.station, data.quantity, data.detail)
    elif isinstance(data, Count) and data.held:
        claim = claim_of(data.role, data.was, data.raw, data.held)
        log.warning("%s: %d parts are held: %s", event.station, data.held, claim)
