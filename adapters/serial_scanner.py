"""Source `serial-scanner`: a barcode gun on a serial port or in USB serial mode.

Its page is serial_scanner.md.
"""

from collections.abc import Sequence
from typing import Any

from adapters._serial import converse
from adapters._serial_port import Bytes, LineSettings
from edge.contract import Intake, Signal, SignalAddress, Value, Verdict


class Settings(LineSettings):
    """`[source.NAME]` with `type = "serial-scanner"`."""

    duplicate: Bytes | None = None
    """Written back when the same label was just read; as `confirm` unless given."""

    def thanks(self) -> dict[Verdict, str]:
        """What the gun hears by verdict; `refuse` for any other."""
        duplicate = self.confirm if self.duplicate is None else self.duplicate
        return {Verdict.ACCEPTED: self.confirm, Verdict.DUPLICATE: duplicate}


Address: type[SignalAddress] | None = None
gives = "labels"


def label(raw: bytes) -> tuple[Value, str]:
    """The label's text. Control characters are a part of it; what is no UTF-8 becomes `\\xHH`."""
    return raw.decode("utf-8", "backslashreplace"), ""


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each label under the source's name, and answer the gun when it is on disk.

    Raises SourceLost, SourceRefused.
    """
    await converse(settings, intake, label, settings.thanks(), "answer-each")
