"""The time of day at the line."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from edge.production.line import utc_hour

_zone = lru_cache(ZoneInfo)


@dataclass(frozen=True, slots=True)
class Hours:
    """Called with a UTC time in ms: `09:12` in the line's time zone."""

    timezone: str

    def __call__(self, at_ms: int) -> str:
        try:
            return f"{datetime.fromtimestamp(at_ms / 1000, _zone(self.timezone)):%H:%M}"
        except (OverflowError, ValueError, OSError):
            return utc_hour(at_ms)  # no calendar has this year
