"""Strokes on a keyboard, for the tests of keys."""

from collections.abc import Iterable, Iterator, Mapping

from adapters._hid_keys import (
    EV_KEY,
    EV_SYN,
    SYN_REPORT,
    Event,
    Reading,
    Scan,
    Scans,
)
from adapters._hid_layouts import SPECIAL, Name
from tests.adapters.hid_device import Stroke, strokes

IDLE_S = 0.3
SYN = (EV_SYN, SYN_REPORT, 0)
GS, RS, EOT = "\x1d", "\x1e", "\x04"


def reading(
    layout: Name = "us", ends: str = "\r\n", longest: int = 64, keys: Mapping[str, str] | None = None
) -> Reading:
    named = {SPECIAL[key]: text for key, text in (keys or {}).items()}
    return Reading(layout, named, frozenset(ends), longest, IDLE_S)


def typed(what: Iterable[Stroke], begin_s: float = 1.0, step_s: float = 0.002) -> Iterator[Event]:
    """The events of one who presses what is held, the key, and lets go of both."""
    at_s = begin_s
    for modifiers, key in what:
        for changes in (
            [*((one, 1) for one in modifiers), (key, 1)],
            [*((one, 0) for one in modifiers), (key, 0)],
        ):
            yield from (Event(at_s, EV_KEY, code, value) for code, value in changes)
            yield Event(at_s, *SYN)
            at_s += step_s


def scanned(events: Iterable[Event], how: Reading | None = None) -> list[Scan]:
    """All scans, those that a pause at the end gives included."""
    scans = Scans(how or reading())
    found = [scan for event in events for scan in scans.feed(event)]
    return found + scans.expire(1e9)


def text(events: Iterable[Event], how: Reading | None = None) -> str:
    [scan] = scanned(events, how)
    assert not scan.broken, scan
    return scan.text


ENTER = strokes("\r")
