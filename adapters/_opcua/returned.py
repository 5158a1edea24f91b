"""Nodes that were gone and are back while the connection stands: a program was loaded, or a device behind a
gateway was off. What such a device was told to hold it may have lost."""

from adapters._opcua.items import Item, Items
from edge.contract import Intake, Quality


class Returned:
    """Has the targets of a source looked at again."""

    def __init__(self, intake: Intake, items: Items) -> None:
        self._intake = intake
        self._items = items
        self._absent: set[int] = set()

    def look(self) -> None:
        """To be called now and then, and after what could not be read was tried again."""
        if not self._intake.targets:
            return
        absent = {part.handle for part in self._items.parts if _is_absent(part)}
        if self._absent - absent:
            self._intake.renewed()
        self._absent = absent


def _is_absent(part: Item) -> bool:
    """A value of telemetry that is bad now and then, as one that is no number, says nothing of the device."""
    notified = part.gate.notified
    is_bad = part.place is None and notified is not None and notified.quality is Quality.BAD
    return bool(part.fault) or is_bad
