"""Times as people write them at a terminal."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_MOMENT = re.compile(r"[0-9-]{8,10}[T ].+", re.ASCII)


def read_time(text: str, zone: ZoneInfo, now_ms: int) -> int:
    """UTC milliseconds of `14:05` (the last one there was), `2026-05-04T14:05` (both of the line's time zone)
    or `2026-05-04T14:05:00+01:00`. Raises ValueError, in a sentence."""
    try:
        moment = _clock(text, zone, now_ms) if _CLOCK.fullmatch(text) else _written(text, zone)
        at_ms = round(moment.timestamp() * 1000)
    except OverflowError as error:
        raise ValueError(f"{text!r} is beyond all calendars") from error
    if at_ms > now_ms:
        raise ValueError(f"{text!r} is in the future")
    if at_ms < 0:
        raise ValueError(f"{text!r} is before 1970")
    return at_ms


def _clock(text: str, zone: ZoneInfo, now_ms: int) -> datetime:
    hour, minute, second = (int(part or 0) for part in re.split(":", text + ":0")[:3])
    try:
        of_day = time(hour, minute, second)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time of day") from error
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    today = _local(datetime.combine(now.date(), of_day), zone)
    if today.timestamp() * 1000 <= now_ms:
        return today
    return _local(datetime.combine(now.date() - timedelta(days=1), of_day), zone)


def _written(text: str, zone: ZoneInfo) -> datetime:
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        words = f"{text!r} is no time; write 14:05, 2026-05-04T14:05 or 2026-05-04T14:05+01:00"
        raise ValueError(words) from error
    return moment if moment.tzinfo else _local(moment, zone)


def _local(naive: datetime, zone: ZoneInfo) -> datetime:
    """The one moment at which clocks there showed it. Raises ValueError where there were two, or none."""
    first, second = naive.replace(tzinfo=zone), naive.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        raise ValueError(f"{naive.isoformat()} never was in {zone.key}: the clocks were put forward")
    either = f"{first.isoformat()} or {second.isoformat()}"
    raise ValueError(f"{naive.isoformat()} was twice in {zone.key}: write {either}")
