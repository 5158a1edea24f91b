"""What waits for a person: events that a far end will never take, observations that nobody could decide."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import DecodeError, Struct, json

from edge.bounds import By, Called, Number, Numbers
from edge.errors import NotRecorded
from edge.house import House
from edge.journal import Journal, Ranges
from edge.journal.sinks import forget_copies, give_up, rejected_seqs, set_aside, take_out, try_again
from edge.observation import (
    Adjust,
    JobCommand,
    LotChange,
    Observation,
    Reassign,
    SettleHeld,
    TestResult,
    Verdict,
    WorkOrder,
)
from edge.plural import counted

log = logging.getLogger("lineside.quarantine")

REPEATABLE = (TestResult, WorkOrder, Reassign, Adjust, SettleHeld, JobCommand, LotChange)
"""Values that mean the same at any later time. A counter's next reading has the parts of the one that failed,
and a label of then would change what the station makes now."""


class RetryRejected(Struct, frozen=True, tag="retry_rejected"):
    """Send events again that a far end would not take."""

    sink: Called
    seqs: Numbers = ()
    """None given: all of them."""
    by: By = ""

    async def carry_out(self, house: House) -> str:
        """What was done, in a sentence. Raises NotRecorded, JournalError."""
        seqs = await house.maintain(lambda journal: _with_rejected(journal, self.sink, self.seqs, try_again))
        if self.sink in house.deliveries:
            house.deliveries[self.sink].reopen(_ranges(seqs))
        log.info("%s: %s sent again%s", self.sink, counted(len(seqs), "rejected event"), _signed(self.by))
        return f"{self.sink}: {counted(len(seqs), 'event')} to be sent again"


class DropRejected(Struct, frozen=True, tag="drop_rejected"):
    """Give events up that a far end would not take; other far ends have them, and so has the journal."""

    sink: Called
    seqs: Numbers = ()
    """None given: all of them."""
    by: By = ""

    async def carry_out(self, house: House) -> str:
        """What was done, in a sentence. Raises NotRecorded, JournalError."""
        seqs = await house.maintain(lambda journal: _with_rejected(journal, self.sink, self.seqs, give_up))
        if self.sink in house.deliveries:
            house.deliveries[self.sink].drop(_ranges(seqs))
        words = "%s: %s given up%s, the first of them %d"
        log.info(words, self.sink, counted(len(seqs), "rejected event"), _signed(self.by), seqs[0])
        still = "it" if len(seqs) == 1 else "them"
        return f"{self.sink}: {counted(len(seqs), 'event')} given up; the journal still has {still}"


class RetryObservation(Struct, frozen=True, tag="retry_observation"):
    """Have an observation decided again, for the bug or the row that stopped it may be mended."""

    number: Number
    by: By = ""

    async def carry_out(self, house: House) -> str:
        """What became of it, in a sentence. Raises NotRecorded, JournalError."""
        [body] = await house.maintain(lambda journal: set_aside(journal, [self.number]))
        [outcome] = await house.emit([_repeatable(self.number, body)])
        if outcome.verdict is Verdict.QUARANTINED:
            await house.maintain(lambda journal: forget_copies(journal, self.number))
            raise NotRecorded(f"observation {self.number} cannot be decided; it stays where it is")
        await house.maintain(lambda journal: take_out(journal, [self.number]))
        log.info("observation %d was decided again%s: %s", self.number, _signed(self.by), outcome.verdict)
        return ": ".join(filter(None, (f"observation {self.number}", outcome.verdict, outcome.words)))


class DropObservations(Struct, frozen=True, tag="drop_observations"):
    """Throw observations away that could not be decided."""

    numbers: Numbers
    by: By = ""

    async def carry_out(self, house: House) -> str:
        """What was done, in a sentence. Raises NotRecorded, JournalError."""

        def work(journal: Journal) -> None:
            bodies = set_aside(journal, self.numbers)
            take_out(journal, self.numbers)
            for number, body in zip(self.numbers, bodies, strict=True):
                log.info("observation %d is thrown away%s: %s", number, _signed(self.by), _shown(body))

        await house.maintain(work)
        return f"{counted(len(self.numbers), 'observation')} thrown away"


def _with_rejected(
    journal: Journal, sink: str, wanted: Sequence[int], work: Callable[[Journal, str, Collection[int]], None]
) -> list[int]:
    """Those of a sink with which it was done. Raises NotRecorded, JournalError."""
    seqs = _chosen(sink, wanted, rejected_seqs(journal, sink))
    work(journal, sink, seqs)
    return seqs


def _chosen(sink: str, wanted: Sequence[int], known: Sequence[int]) -> list[int]:
    """Raises NotRecorded where it has none of them."""
    if not known:
        raise NotRecorded(f"{sink} has rejected nothing")
    if strange := sorted(set(wanted) - set(known)):
        raise NotRecorded(f"{sink} has not rejected event {strange[0]}; see `lineside quarantine list`")
    return sorted(set(wanted)) or list(known)


def _repeatable(number: int, body: bytes) -> Observation:
    """Raises NotRecorded, in a sentence, where it is better seen anew."""
    try:
        observation = json.decode(body, type=Observation)
    except DecodeError:
        raise NotRecorded(f"nothing can be made of observation {number}; it can only be dropped") from None
    if not isinstance(observation.value, REPEATABLE):
        words = "its time is over: the next reading has what it counted, and a label is scanned again"
        raise NotRecorded(f"observation {number} is of {observation.signal}, and {words}; drop it")
    return observation


def _shown(body: bytes) -> str:
    return body[:500].decode("utf-8", "replace")


def _ranges(seqs: Iterable[int]) -> Ranges:
    ranges = Ranges()
    ranges.add_all(seqs)
    return ranges


def _signed(by: str) -> str:
    return f", by {by}" if by else ""
