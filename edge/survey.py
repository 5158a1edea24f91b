"""What an adapter can say of a source before it runs: see `contract`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason why a source cannot do what the file asks of it."""

    what: str
    """With the numbers."""
    hint: str = ""
    """What to do."""
    key: str = ""
    """In the source's table; the source as a whole where it is empty."""
    signal: str = ""
    """A signal's name: the trouble is told where that is written."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be expected of one source."""

    lines: Sequence[str] = ()
    """For people: `lineside check` prints them under the source. A line may begin with spaces."""
    faults: Sequence[Trouble] = ()
    """Each is a fault of the file."""
    warnings: Sequence[str] = ()
    """What is valid but doubtful, each in a sentence."""
