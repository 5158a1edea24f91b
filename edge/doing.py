"""One write of a value to a device, as it is asked for, and what became of it. See writing.md."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

WriteValue = bool | int | float | str


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class WriteAsk:
    """One look at a target, or one write of it."""

    target: str
    """Its name."""
    value: WriteValue
    only_look: bool
    """Read whether the value is there; nothing is written."""
    is_wanted: Callable[[], bool] = field(default=_always, compare=False, repr=False)
    """Whether the value is still wanted: asked right before the wire has it."""


class DoneState(StrEnum):
    """What became of a `WriteAsk`."""

    THERE = "there"
    """The device holds the value: found there, or read back after the write."""
    OTHER = "other"
    """It holds another one: found there, or read back after the write."""
    REFUSED = "refused"
    """It cannot be read or cannot be written; `detail` says why."""
    UNFIT = "unfit"
    """The value is none that fits there; `detail` says why."""
    SILENT = "silent"
    """No answer came, and nobody knows what it holds; `detail` says whose."""
    STALE = "stale"
    """The value is not wanted any more; `detail` says whether it was written before."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a `WriteAsk`."""

    state: DoneState
    found: str | None = None
    """As text, what the device holds; may be empty, at most 200 characters. None: nothing, or unknown."""
    detail: str = ""
    """In words, for a person: what is wrong and what to do."""
