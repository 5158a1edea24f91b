"""One write of a value to a device, as it is asked for, and what became of it. See writing.md."""

from dataclasses import dataclass
from enum import StrEnum

WriteValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class WriteAsk:
    """One look at a target, or one write of it."""

    target: str
    """Its name."""
    value: WriteValue
    only_look: bool
    """Read whether the value is there; nothing is written."""


class DoneState(StrEnum):
    """What became of a `WriteAsk`."""

    THERE = "there"
    """The device holds the value: found there, or read back after the write."""
    OTHER = "other"
    """It holds another one: found there, or read back after the write."""
    REFUSED = "refused"
    """It cannot be read, cannot be written, or the value is none that fits there; `detail` says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a `WriteAsk`."""

    state: DoneState
    found: str = ""
    """What the device holds, as text; at most 200 characters."""
    detail: str = ""
    """In words, for a person: what is wrong and what to do."""
