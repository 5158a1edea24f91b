"""Which message it is, where a broker hangs up instead of denying one. Decisions without I/O.

MQTT 3.1.1 knows no other no, and some brokers know none in MQTT 5: mosquitto hangs up over a packet that is
too large, and brokers of the large clouds over a topic that is not allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters._mqtt_messages import Message

ALONE_AFTER = 2
"""So often in a row the broker hung up while the same message was the oldest without an answer."""
GUILTY_AFTER = 4
"""And so often, the last of them with nothing else under way."""


@dataclass(slots=True)
class Suspect:
    message: Message | None = None
    breaks: int = 0
    """In a row."""

    def among(self, messages: Sequence[Message]) -> Message | None:
        """It, where the time has come to send it alone."""
        return self.message if self.breaks >= ALONE_AFTER and self.message in messages else None

    def blame(self, oldest: Message) -> None:
        """The broker had confirmed others, and hung up before it answered this one."""
        self.breaks = self.breaks + 1 if oldest == self.message else 1
        self.message = oldest

    def clear(self) -> None:
        self.message, self.breaks = None, 0

    @property
    def is_guilty(self) -> bool:
        return self.breaks >= GUILTY_AFTER
