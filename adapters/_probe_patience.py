"""What probes that ask have in common: when somebody has had enough, and when to tell how far it is."""

import asyncio
import time

_TELL_S = 5.0


class Patience:
    """How long somebody who waits for a probe lets it go on."""

    def __init__(self, enough: asyncio.Event) -> None:
        self._enough = enough
        self._told_s = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether somebody has had enough of what is being done."""
        return self._enough.is_set()

    def goes_on(self) -> None:
        """What was ended early is done; the next thing begins."""
        self._enough.clear()

    async def rest(self, wait_s: float) -> None:
        """As long as this, or until it is over."""
        if wait_s <= 0:
            return
        try:
            await asyncio.wait_for(self._enough.wait(), wait_s)
        except TimeoutError:
            return

    def is_time_to_tell(self) -> bool:
        """Every few seconds."""
        if time.monotonic() - self._told_s < _TELL_S:
            return False
        self._told_s = time.monotonic()
        return True
