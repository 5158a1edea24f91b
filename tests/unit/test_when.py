"""Times as people write them: one moment, or a sentence that says why there is none."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.when import read_time

LONDON = ZoneInfo("Europe/London")
NAMES = ("Europe/London", "UTC", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe")
ZONES = [ZoneInfo(name) for name in NAMES]
NOW = datetime(2026, 10, 25, 9, 30, tzinfo=UTC)
"""Half past nine of the day on which London's clocks were put back."""


def read(text: str, now: datetime = NOW) -> str:
    at_ms = read_time(text, LONDON, round(now.timestamp() * 1000))
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("09:15", "2026-10-25T09:15:00+00:00"),
        ("9:15:30", "2026-10-25T09:15:30+00:00"),
        ("09:30", "2026-10-25T09:30:00+00:00"),
        ("22:50", "2026-10-24T21:50:00+00:00"),
        ("2026-10-24T22:50", "2026-10-24T21:50:00+00:00"),
        ("2026-10-24 22:50:01.5", "2026-10-24T21:50:01.500000+00:00"),
        ("2026-10-25T01:30+01:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T01:30Z", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_a_time_is_read_in_the_lines_zone(text: str, moment: str) -> None:
    assert read(text) == moment


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9:61", "is no time of day"),
        ("25:00", "is no time of day"),
        ("yesterday", r"is no time; write 14:05, 2026-05-04T14:05 or 2026-05-04T14:05\+01:00"),
        ("2026-10-24", "is no time"),
        ("2026-13-24T10:00", "is no time"),
        ("", "is no time"),
        ("٠٩:١٥", "is no time"),
        ("2026-10-25T09:31", "is in the future"),
        ("2026-10-25T01:30", r"was twice in Europe/London: write .*\+01:00 or .*\+00:00"),
        ("01:30", "was twice in Europe/London"),
        ("2026-03-29T01:30", "never was in Europe/London: the clocks were put forward"),
        ("1969-10-25T01:30", "before 1970"),
        ("0001-01-01T00:00+14:00", "is before 1970|beyond all calendars"),
    ],
)
def test_what_is_no_time_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_moment_with_its_offset_comes_back(moment: datetime, zone: ZoneInfo) -> None:
    text = moment.astimezone(zone).isoformat(timespec="milliseconds")
    at_ms = read_time(text, zone, 1 << 45)
    assert abs(at_ms - moment.timestamp() * 1000) < 1.5


def attempt(text: str, zone: ZoneInfo, now_ms: int) -> tuple[int | None, str]:
    """The moment, or why there is none."""
    try:
        return read_time(text, zone, now_ms), ""
    except ValueError as error:
        return None, str(error)


@given(MOMENTS, st.sampled_from(ZONES), st.times())
def test_a_time_of_day_is_the_last_one_that_the_clocks_showed(
    now: datetime, zone: ZoneInfo, of_day: time
) -> None:
    text = f"{of_day:%H:%M}"
    now_ms = round(now.timestamp() * 1000)
    at_ms, why_not = attempt(text, zone, now_ms)
    if at_ms is None:
        assert "twice" in why_not or "never was" in why_not
        return
    assert now_ms - timedelta(hours=25).total_seconds() * 1000 <= at_ms <= now_ms
    assert f"{datetime.fromtimestamp(at_ms / 1000, zone):%H:%M}" == text


@given(st.text(max_size=30) | st.from_regex(r"[0-9T: +.Z-]{1,25}", fullmatch=True), st.sampled_from(ZONES))
def test_any_text_is_a_time_or_a_fault(text: str, zone: ZoneInfo) -> None:
    at_ms, why_not = attempt(text, zone, 1_777_900_000_000)
    assert why_not if at_ms is None else 0 <= at_ms <= 1_777_900_000_000
