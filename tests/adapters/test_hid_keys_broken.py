"""Keys that were lost, repeated or never finished: what breaks a label, and what harms no other."""

import gc
import random
import resource
import time
import unicodedata
from typing import get_args

import pytest
from evdev import ecodes
from hypothesis import given
from hypothesis import strategies as st

from adapters._hid_keys import (
    DROPPED,
    EV_KEY,
    EV_MSC,
    EV_SYN,
    HUNG_UP,
    SYN_DROPPED,
    Event,
    Scan,
    Scans,
)
from adapters._hid_layouts import Name
from tests.adapters.hid_device import SHIFT, strokes
from tests.adapters.hid_keys_support import ENTER, GS, SYN, reading, scanned, text, typed


def test_a_key_that_repeats_is_one() -> None:
    held = [Event(1.0, EV_KEY, ecodes.KEY_7, 1), Event(1.0, *SYN)]
    again = [Event(1.2, EV_KEY, ecodes.KEY_7, 2), Event(1.2, *SYN)] * 20
    assert text([*held, *again, *typed(ENTER, 1.25)]) == "7"


def test_a_modifier_that_repeats_is_still_held() -> None:
    shift, letter, enter = 42, 30, 28
    scans = Scans(reading())
    found: list[Scan] = []
    for code, value in ((shift, 1), (shift, 2), (letter, 1), (letter, 0), (shift, 0), (enter, 1)):
        assert scans.feed(Event(1.0, EV_KEY, code, value)) == []
        found += scans.feed(Event(1.0, *SYN))
    assert found == [Scan("A")]


def test_a_pause_cuts_a_label_and_the_rest_is_not_glued_to_the_next() -> None:
    first, second = scanned([*typed(strokes("WO10")), *typed(strokes("01\r"), 1.5)])
    assert (first.text, second) == ("WO10", Scan("01"))
    assert "cut: no end came within 300 ms" in first.broken


def test_a_pause_is_the_end_where_there_is_no_other() -> None:
    how = reading(ends="")
    assert scanned([*typed(strokes("A\r")), *typed(strokes("B"), 2.0)], how) == [Scan("A\r"), Scan("B")]


def test_too_long_is_cut_at_its_limit_and_reported() -> None:
    first, second = scanned(typed(strokes("x" * 1000 + "\rok\r")))
    assert (first.text, second) == ("x" * 64, Scan("ok"))
    assert "longer than 64 characters" in first.broken
    assert scanned(typed(strokes("x" * 64 + "\r"))) == [Scan("x" * 64)]


def test_lost_keys_break_the_label_that_they_belong_to() -> None:
    scans = Scans(reading())
    events = [*typed(strokes("WO1")), Event(1.02, EV_SYN, SYN_DROPPED, 0), *typed(strokes("9"), 1.02),
              *typed(strokes("7\rB\r"), 1.03)]  # fmt: skip
    found = [scan for event in events for scan in scans.feed(event)]
    assert found == [Scan("WO17", DROPPED), Scan("B")]
    assert scans.lost_keys
    scans.hold({SHIFT})
    assert [scan for event in typed(strokes("a\r"), 9.0) for scan in scans.feed(event)] == [Scan("A")]


def test_lost_keys_between_two_labels_are_reported_as_well() -> None:
    """What was lost may have been a whole one."""
    events = [Event(1.0, EV_SYN, SYN_DROPPED, 0), Event(1.0, EV_KEY, 30, 1), Event(1.0, *SYN)]
    assert scanned([*events, *typed(strokes("B\r"), 2.0)]) == [Scan("", DROPPED), Scan("B")]


def test_a_scan_code_without_its_key_is_a_lost_key() -> None:
    """What the kernel leaves of keys that waited when it was asked what is held."""
    bare = [Event(1.0, EV_MSC, 4, 0x70004), Event(1.0, *SYN)]
    first, second = scanned([*bare, *typed(strokes("7\r")), *typed(strokes("8\r"))])
    assert (first, second) == (Scan("7", DROPPED), Scan("8"))


def test_a_packet_without_an_end_is_bounded() -> None:
    scans = Scans(reading())
    for number in range(5000):
        assert scans.feed(Event(1.0, EV_KEY, number % 700, 1)) == []
    assert scans.feed(Event(1.0, *SYN)) == []
    assert scans.expire(2.0) == [Scan("", DROPPED)]


def test_what_is_unfinished_when_the_gun_goes_is_broken() -> None:
    scans = Scans(reading())
    assert scans.abandon(HUNG_UP) == []
    for event in typed(strokes("A")):
        scans.feed(event)
    assert scans.abandon(HUNG_UP) == [Scan("A", HUNG_UP)]


EVENTS = st.builds(
    Event,
    st.floats(0, 20),
    st.sampled_from([EV_SYN, EV_KEY, 4, 0x11]),
    st.one_of(st.integers(0, 130), st.integers(0, 767)),
    st.integers(-1, 3),
)
REPORTS = st.lists(st.one_of(EVENTS, st.builds(Event, st.floats(0, 20), *map(st.just, SYN))), max_size=80)


@given(REPORTS, st.sampled_from(get_args(Name)), st.sampled_from(["\r\n", "\t", ""]))
def test_no_event_escapes_and_nothing_grows(events: list[Event], layout: Name, ends: str) -> None:
    how = reading(layout, ends, longest=8, keys={"f8": GS})
    scans = Scans(how)
    found = [scan for event in sorted(events, key=lambda one: one.at_s) for scan in scans.feed(event)]
    found += scans.expire(1e9)
    assert scans.ends_s is None
    for scan in found:
        assert scan.text or scan.broken
        assert len(scan.text) <= 8 + 1  # an accent that nothing followed
        assert not set(scan.text) & how.ends
        assert unicodedata.is_normalized("NFC", scan.text) or scan.text


@given(st.lists(st.text("abZ1;:\x1d", min_size=1, max_size=8), max_size=6), st.integers(0, 2**32))
def test_one_broken_label_harms_no_other(labels: list[str], seed: int) -> None:
    """F8 in one of them: all others come out as they are."""
    bad = random.Random(seed).randrange(len(labels) + 1)
    keys = [strokes(f"{label}\r") for label in labels]
    keys.insert(bad, [((), ecodes.KEY_F8), *strokes("x\r")])
    found = scanned(typed([one for each in keys for one in each]))
    assert [scan.text for scan in found if not scan.broken] == labels
    assert [bool(scan.broken) for scan in found].index(True) == bad


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_million_events_cost_less_than_a_millisecond_each_and_no_memory() -> None:
    random_ = random.Random(7)
    scans, slowest_s, at_s, found = Scans(reading("de", longest=512)), 0.0, 0.0, 0
    scans.feed(Event(0.0, *SYN))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gc.collect()
    gc.disable()  # a collection of the whole suite's garbage is not the translation's cost
    try:
        for _ in range(1_000_000):
            at_s += random_.choice((0.0, 0.001, 0.002, 0.5))
            kind = random_.choice((EV_KEY, EV_KEY, EV_SYN))
            code = random_.randrange(128) if kind == EV_KEY else random_.choice((0, 0, 0, 0, 3))
            event = Event(at_s, kind, code, random_.randrange(3))
            began_s = time.thread_time()
            found += len(scans.feed(event))
            slowest_s = max(slowest_s, time.thread_time() - began_s)
    finally:
        gc.enable()
    assert found > 1000
    assert slowest_s < 0.001
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048  # KiB
