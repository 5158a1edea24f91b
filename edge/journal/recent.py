"""What far ends have acknowledged lately, as it lies in the journal."""

from typing import NamedTuple


class Recent(NamedTuple):
    """A range that was acknowledged lately."""

    at_ms: int
    """The monotonic clock of the boot."""
    first: int
    last: int
    boot: str
    begun_ms: int
    """When it was acknowledged for the first time, by the same clock."""
    long: int = 0
    """1: it is kept for longer, in longer spans, for the far end keeps marks."""
