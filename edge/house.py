"""Where chores are done: work on the journal that a person asked for, beside the line's own events."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from edge.clock import Clock, SystemClock
from edge.journal import Journal
from edge.observation import Observation, Outcome
from edge.recorder import Recorder

ResultT = TypeVar("ResultT")


class Delivering(Protocol):
    """The delivery to one far end, as far as chores need it: its memory must follow the disk."""

    def reopen(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are to be sent once more."""

    def drop(self, ranges: Iterable[tuple[int, int]]) -> None:
        """These are never to be sent."""


class House:
    """The agent with its deliveries; or a command that has the journal's lock: nothing is delivered then."""

    def __init__(
        self,
        recorder: Recorder,
        sinks: Collection[str],
        deliveries: Mapping[str, Delivering] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._recorder = recorder
        self.sinks = sinks
        """Names of those in the line's file."""
        self.clock = clock or SystemClock()
        self.deliveries = {} if deliveries is None else deliveries
        """By the sink's name, of those that run."""

    async def maintain(self, work: Callable[[Journal], ResultT]) -> ResultT:
        """Do something short to the journal between two commits. Raises NotRecorded, JournalError.

        When it returns, no other task has had a turn since: memory can follow the disk at once.
        """
        return await self._recorder.maintain(work)

    async def emit(self, observations: Sequence[Observation]) -> list[Outcome]:
        """Have them decided. Raises NotRecorded."""
        return await self._recorder.emit(observations)
