"""What did not arrive, in words for the ledger. Times are monotonic, in seconds."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from edge.contract import Intake, Observation
from edge.observation import AGENT, Missed

_LOST = "notifications-lost"
_OVERFLOW = "queue-overflow"
_QUIET_S = 1.0
"""A burst is over when nothing of it came for so long."""
_LONGEST_S = 60.0
"""One that does not end is told as often."""
_NAMED = 3


class Missing:
    """Tells what is gone; what has run over in a burst is told once, at its end."""

    def __init__(self, intake: Intake, put: Callable[[Sequence[Observation]], None]) -> None:
        self._intake = intake
        self._put = put
        self._overflowed: dict[str, None] = {}
        self._since_s = math.inf
        self._came = asyncio.Event()
        self._told_s = -math.inf
        """When messages were told to be gone."""
        self._gone: list[int] = []
        """Of those that were not told yet, for it was told not long ago: how many at a time."""
        self._gone_s = math.inf

    def messages(self, count: int, since_s: float) -> None:
        """Messages of the subscription are gone for good; 0: nobody knows how many.

        The first is told at once, what follows within a minute together at its end.
        """
        self._gone.append(count)
        self._gone_s = min(self._gone_s, since_s)
        if time.monotonic() - self._told_s >= _LONGEST_S:
            self._tell_messages()

    def _tell_messages(self) -> None:
        if not self._gone:
            return
        many = f"{sum(self._gone)} of its" if all(self._gone) else "an unknown number of its"
        words = f"{many} notifications did not arrive, and it does not have them any more"
        self._tell(_LOST, self._gone_s, words)
        self._gone, self._gone_s, self._told_s = [], math.inf, time.monotonic()

    def silent(self, signals: Sequence[str], since_s: float) -> None:
        """The server did not notify changes of these, and was asked anew to watch them."""
        words = f"the server had stopped notifying {_named(signals)}: watched anew, and read"
        self._tell(_LOST, since_s, words)

    def overflowed(self, signal: str, since_s: float) -> None:
        """The server's queue of a signal of telemetry ran over after its value of then."""
        self._overflowed[signal] = None
        self._since_s = min(self._since_s, since_s)
        self._came.set()

    async def run(self) -> None:
        """Returns never."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._minutes(), name="opcua lost messages")
            tasks.create_task(self._bursts(), name="opcua overflows")

    async def _minutes(self) -> None:
        while True:
            await asyncio.sleep(self._told_s + _LONGEST_S - time.monotonic() if self._gone else _QUIET_S)
            if time.monotonic() - self._told_s >= _LONGEST_S:
                self._tell_messages()

    async def _bursts(self) -> None:
        while True:
            await self._came.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_S):
                    await self._quiet()
            self._tell_overflow()

    async def _quiet(self) -> None:
        while self._came.is_set():
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_S):
                    await self._came.wait()

    def settle(self) -> None:
        """Tell of all that is not told yet, whether it is over or not."""
        self._tell_messages()
        self._tell_overflow()

    def _tell_overflow(self) -> None:
        if self._overflowed:
            words = (
                f"the server's queues of {_named([*self._overflowed])} ran over: a longer `queue` keeps more"
            )
            self._tell(_OVERFLOW, self._since_s, words)
        self._overflowed, self._since_s = {}, math.inf
        self._came.clear()

    def _tell(self, cause: str, since_s: float, words: str) -> None:
        now = self._intake.observe(AGENT, None)
        since_ms = now.seen_ms - round((time.monotonic() - since_s) * 1000)
        missed = Missed(cause, self._intake.name, since_ms, now.seen_ms, detail=words)
        self._put([self._intake.observe(AGENT, missed)])


def _named(signals: Sequence[str]) -> str:
    """`2 signals (press.total, press.state)`."""
    more = ", ..." if len(signals) > _NAMED else ""
    many = f"{len(signals)} signal{'s' if len(signals) > 1 else ''}"
    return f"{many} ({', '.join(signals[:_NAMED])}{more})"
