"""How each part of a source does: the units of a bus, each with what was counted of it."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

MOST_TALLIES = 256
"""Of one source, in the status line; a serial bus has 247 units at the most."""
UNKNOWN = "unknown"
PARTS_SAID = 3
"""In a sentence that is to be short."""


class Tally(Struct, frozen=True, omit_defaults=True):
    """One part of a source, such as a unit of a bus, since the agent started."""

    name: str
    """For people: `unit 3`."""
    state: str
    """`answers`, `lost`, `refuses`, `busy`, `waits` where it was not asked yet, or `unknown` while the
    source itself is lost."""
    detail: str = ""
    """Why it is not `answers`, in words."""
    counts: tuple[tuple[str, int], ...] = ()
    """What was counted, each with its name: requests, answers, timeouts, checksum errors and so on."""
    answer_ms: float | None = None
    """How long the last answer took."""
    slowest_ms: float | None = None
    """How long the slowest took."""

    @property
    def words(self) -> str:
        """For one line: its name, its state, and the counts that are not 0."""
        is_unknown = " while the source is lost" if self.state == UNKNOWN else ""
        state = self.detail or f"{self.name}: {self.state}{is_unknown}"
        counts = ", ".join(f"{number:,} {name}" for name, number in self.counts if number)
        return state + (f" ({counts})" if counts else "")


def unknown(tallies: Sequence[Tally]) -> tuple[Tally, ...]:
    """Of a source that is lost: nobody asks its parts, so nobody knows how they are."""
    return tuple(replace(one, state=UNKNOWN, detail="") for one in tallies)


def ailing(tallies: Sequence[Tally]) -> str:
    """In a sentence, the parts that do not do what they should; empty where all do."""
    details = [one.detail for one in tallies if one.detail]
    more = len(details) - PARTS_SAID
    return "; ".join(details[:PARTS_SAID]) + (f"; and {more} more" if more > 0 else "")
