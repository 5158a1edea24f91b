"""The states that a sink shows: all of them after a connect, then those that have changed."""

import logging
from collections.abc import Callable, Mapping

from edge.contract import Sink
from edge.errors import SinkRefused

log = logging.getLogger("lineside.sink")

States = Callable[[], Mapping[str, bytes]]

DENIED_S = 60.0
"""What is denied is tried again so often."""


class Showing:
    """Of one sink. That its states are denied stops no event."""

    def __init__(self, name: str, states: States) -> None:
        self.denied = ""
        """Why they are; empty where they are not."""
        self._name = name
        self._states = states
        self._shown: Mapping[str, bytes] = {}
        self._due_s = 0.0

    async def begin(self, sink: Sink, now_s: float) -> None:
        """With all of them: there is a new connection. Raises SinkLost."""
        self._shown = {}
        await self.go_on(sink, now_s)

    async def go_on(self, sink: Sink, now_s: float) -> None:
        """With those that have changed. Raises SinkLost."""
        states = self._states()
        changed = {key: state for key, state in states.items() if self._shown.get(key) != state}
        if not changed or (self.denied and now_s < self._due_s):
            return
        try:
            await sink.show(changed)
        except SinkRefused as error:
            if error.reason != self.denied:
                log.error("%s: shows no states, events go on: %s", self._name, error.reason)
            self.denied, self._due_s = error.reason, now_s + DENIED_S
        else:
            self.denied, self._shown = "", states
