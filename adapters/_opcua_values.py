"""What a server says of one value, and when it says it happened."""

import math
from dataclasses import dataclass
from datetime import datetime

from asyncua import ua

from edge.contract import Quality, Value
from edge.observation import OVERFLOWED

_DATA_VALUE = 0x400  # InfoType of a status code, OPC 10000-4, 7.38: bits 10 and 11
_INFO_TYPE = 0xC00
_OVERFLOW = 0x80
_LONGEST_TEXT = 4096
_ANALOG = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """One DataValue in our own words."""

    value: Value
    quality: Quality
    detail: str = ""
    stamp: datetime | None = None
    """The server's own time of it: the source's, else the server's."""

    def same(self, other: "Reading") -> bool:
        """Whether both say the same of the signal, at whatever time."""
        return (self.value, self.quality, self.detail) == (other.value, other.quality, other.detail)

    def near(self, other: "Reading") -> bool:
        """Whether both are floats as close as a server's own deadband may leave them."""
        if not (isinstance(self.value, float) and isinstance(other.value, float)):
            return False
        return math.isclose(self.value, other.value, rel_tol=_ANALOG)


def overflowed(status: int) -> bool:
    """Whether the server lost values of this item just before this one.

    `StatusCode(0x480)` calls itself good, and its name is "Good".
    """
    return status & _INFO_TYPE == _DATA_VALUE and bool(status & _OVERFLOW)


def status_name(status: int) -> str:
    """`BadNodeIdUnknown`; with the number where there is no name of its own."""
    name = ua.StatusCode(ua.UInt32(status & 0xFFFF0000)).name
    return f"{name} (0x{status:08X})" if name in ("Bad", "Uncertain") else name


def reading(data: ua.DataValue) -> Reading:
    """Never raises: what cannot be used is BAD and says why."""
    status = 0 if data.StatusCode is None else int(data.StatusCode.value)
    stamp = data.SourceTimestamp or server_stamp(data)
    if status >> 31:
        return Reading(None, Quality.BAD, status_name(status), stamp)
    raw = None if data.Value is None else data.Value.Value
    fault = _fault(raw)
    if fault:
        return Reading(None, Quality.BAD, fault, stamp)
    if overflowed(status):
        return Reading(_plain(raw), Quality.UNCERTAIN, OVERFLOWED, stamp)
    if status >> 30:
        return Reading(_plain(raw), Quality.UNCERTAIN, status_name(status), stamp)
    return Reading(_plain(raw), Quality.GOOD, "", stamp)


def server_stamp(data: ua.DataValue) -> datetime | None:
    """asyncua decodes it from the wrong bytes where the source's picoseconds come before it."""
    return data.ServerTimestamp if data.SourcePicoseconds is None else None


def _fault(raw: object) -> str:
    if raw is None:
        return "the server gives no value"
    if not isinstance(raw, bool | int | float | str):
        return f"a value of type {type(raw).__name__} cannot be used; name a single number, bool or text"
    if isinstance(raw, float) and not math.isfinite(raw):
        return f"{raw} is no number"
    if isinstance(raw, str) and len(raw) > _LONGEST_TEXT:
        return f"a text of {len(raw)} characters is too long"
    return ""


def _plain(raw: object) -> Value:
    """Without the subclasses that the library decodes into."""
    for kind in (bool, int, float, str):
        if isinstance(raw, kind):
            return kind(raw)
    return None
