"""What a drill is asked for."""

from dataclasses import dataclass
from pathlib import Path

from edge.contract import parse_duration

SHORTEST_S = 1.0
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """See `lineside drill --help`."""

    file: Path
    for_s: float = 5.0
    """How long each fault lasts."""
    json: bool = False
    keep: bool = False
    """Keep the folder with configuration, journal, logs and what the far ends took."""


def parse_length(text: str) -> float:
    """Seconds that each fault lasts. Raises ValueError."""
    try:
        length_s = parse_duration(text).total_seconds()
    except ValueError as error:
        raise ValueError(f"--for: {error}") from error
    if not SHORTEST_S <= length_s <= LONGEST_S:
        raise ValueError(f"--for: a fault lasts {SHORTEST_S:g}s to {LONGEST_S / 60:g}min")
    return length_s
