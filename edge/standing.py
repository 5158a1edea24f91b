"""How one far end is doing: its state, and what the log and people are told of it."""

import logging

from edge.clock import Clock
from edge.errors import SinkError, SinkRefused
from edge.journal.sinks import SinkReader
from edge.pace import Rate
from edge.recorder import Recorder
from edge.settled import Settled
from edge.status import SinkStatus

log = logging.getLogger("lineside.sink")


class Standing:
    """Of one sink. Times in seconds are of the event loop's clock."""

    def __init__(
        self, name: str, reader: SinkReader, recorder: Recorder, settled: Settled, clock: Clock
    ) -> None:
        self.state = "connecting"
        """`connecting`, `connected`, `lost` or `refused`."""
        self.reason = ""
        """The last error, while it lasts."""
        self.rate = Rate()
        self._name = name
        self._reader = reader
        self._recorder = recorder
        self._settled = settled
        self._clock = clock
        self._oldest: tuple[int, int | None] = (0, None)

    @property
    def pending(self) -> int:
        """Records on disk that are not settled with the far end."""
        return self._recorder.head - len(self._settled)

    def back(self, events: str, states: str) -> None:
        """It has taken something, or nothing waits for it. Why events and states are denied, if any are."""
        which = "its states are denied" if events else "its states are denied, events go out"
        denied = "; ".join(filter(None, (events, states and f"{which}: {states}")))
        if self.state == "lost" or (self.state == "refused" and not denied):
            log.warning("%s: back, %d events to deliver", self._name, self.pending)
        self.state, self.reason = ("refused", denied) if denied else ("connected", "")

    def gone(self, error: SinkError) -> None:
        """A connection has ended with this."""
        refused = isinstance(error, SinkRefused)
        state = "refused" if refused else "lost"
        if (self.state, self.reason) != (state, error.reason):
            if refused:
                log.error("%s: refused, nothing is lost, see to it: %s", self._name, error.reason)
            else:
                log.warning("%s: not delivering, nothing is lost: %s", self._name, error.reason)
        self.state, self.reason = state, error.reason
        self.rate.forget()

    def status(self, live: int, now_s: float, doubt: str) -> SinkStatus:
        """For people. `live`: the first seq of the live lane; `doubt`: why the clock is not believed."""
        settled, rate = self._settled, self.rate.a_second(now_s)
        backlog = sum(last - first + 1 for first, last in settled.missing(1, live - 1))
        return SinkStatus(
            self.state, self.reason, settled.delivered, self.pending, len(settled.rejected),
            settled.skipped, backlog, self._oldest_s(), rate, self._eta_s(backlog, rate),
            self._recorder.head - self._recorder.sendable, doubt,
        )  # fmt: skip

    def _eta_s(self, backlog: int, rate: float) -> float | None:
        return backlog / rate if self.state == "connected" and backlog and rate else None

    def _oldest_s(self) -> float | None:
        """The age of the oldest record that is not settled."""
        missing = next(self._settled.missing(1, self._recorder.head), None)
        if missing is None:
            return None
        if self._oldest[0] != missing[0]:
            self._oldest = (missing[0], self._reader.seen_ms(*missing))
        seen_ms = self._oldest[1]
        return None if seen_ms is None else max(0.0, (self._clock.wall_ms() - seen_ms) / 1000)
