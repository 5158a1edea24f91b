"""What a station remembers of labels: those that wait for the next one, and the scans that were done last."""

from msgspec import Struct
from msgspec.structs import replace

from edge.production.beside import LastUnit


class Noun(Struct, frozen=True):
    """A label that waits for the next one (a reason for its quantity)."""

    letter: str
    body: str
    mono_ms: int
    boot: str
    reason: str = ""
    """Scanned before it, where both wait for a quantity; of a job's card: why it waits."""
    is_over: bool = False
    """It was said that it is forgotten; it is kept, for its late quantity is refused once."""
    why: str = ""
    """Why it waits no more, where it was not for its age."""
    instead: str = ""
    """What waited until it came: whether the next quantity is of that or of this is asked once."""

    @property
    def name(self) -> str:
        return f"{self.letter} {self.body}"

    def over(self, why: str) -> "Noun":
        """It waits no more; a quantity that comes for it is refused once, and says why."""
        return self if self.is_over else replace(self, is_over=True, why=why)


class Waited(Struct, frozen=True, omit_defaults=True):
    """What a scan that changes nothing by itself took the place of, at one station."""

    noun: Noun | None = None
    chosen: Noun | None = None
    pointed: Noun | None = None
    unit: LastUnit | None = None


class Booked(Struct, frozen=True, omit_defaults=True):
    """A scan that would count, or change, once more if it came again."""

    means: str
    words: str
    """What it did, and for which job."""
    at_ms: int
    start: int
    """As in `LastScan`."""
    station: str = ""
    noun: Noun | None = None
    """What had waited for it there."""


class LastScan(Struct, frozen=True, omit_defaults=True):
    """The last one that was accepted: to tell a double trigger, and a repeat after a restart, from a second
    scan, and to take it back."""

    label: str
    mono_ms: int
    boot: str
    at_ms: int = 0
    words: str = ""
    """What it did."""
    start: int = 0
    """Which start of the agent it was after; see `LineRow.starts`."""
    asked_mono_ms: int = 0
    asked_boot: str = ""
    """When it came again after a restart, and the question was whether it is meant once more."""
    asked: str = ""
    """What that label means."""
    means: str = ""
    """The label's letter and body, whichever symbol it was read from."""
    changed: tuple[str, ...] = ()
    """Stations that the newest scan that changed something, and was not taken back, did so at."""
    before: Waited | None = None
    """Of one that changed nothing by itself: what was so at this station."""
    booked: Booked | None = None
    """What is asked about, if it comes again after a restart."""
