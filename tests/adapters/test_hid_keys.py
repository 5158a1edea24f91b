"""Keys to labels: layouts against libxkbcommon, control characters in every way that guns send them."""

import ctypes
import ctypes.util
import gc
import random
import resource
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
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
    SYN_REPORT,
    Event,
    Reading,
    Scan,
    Scans,
)
from adapters._hid_layouts import FIXED, LAYOUTS, PAD, PAD_POINT, SPECIAL, Name
from tests.adapters.hid_device import ALT, ALTGR, CTRL, SHIFT, Stroke, stroke, strokes
from tests.adapters.hid_device import PAD as PAD_KEYS

IDLE_S = 0.3
SYN = (EV_SYN, SYN_REPORT, 0)
GS, RS, EOT = "\x1d", "\x1e", "\x04"
ISO15434 = f"[)>{RS}06{GS}1PABC-7{GS}S0012{RS}{EOT}"


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


def under_alt(number: str, alt: int = ALT) -> Iterator[Event]:
    """A number on the pad while Alt is held."""
    events = [(alt, 1), *((PAD_KEYS[int(digit)], value) for digit in number for value in (1, 0)), (alt, 0)]
    for code, value in events:
        yield Event(1.0, EV_KEY, code, value)
        yield Event(1.0, *SYN)


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


def test_the_numbers_of_the_keys_are_the_kernels() -> None:
    assert {ecodes.KEY[code] for code in PAD} == {f"KEY_KP{digit}" for digit in range(10)}
    assert ecodes.KEY[PAD_POINT] == "KEY_KPDOT"
    odd = {"print": "KEY_SYSRQ", "menu": "KEY_COMPOSE", "page-up": "KEY_PAGEUP", "page-down": "KEY_PAGEDOWN"}
    for name, code in SPECIAL.items():
        names = ecodes.KEY[code]
        assert odd.get(name, f"KEY_{name.upper().replace('-', '')}") in (
            names if isinstance(names, tuple) else [names]
        )
    assert {ecodes.KEY[code] for code in FIXED} == {
        "KEY_ESC", "KEY_BACKSPACE", "KEY_TAB", "KEY_ENTER", "KEY_SPACE", "KEY_KPENTER", "KEY_KPSLASH",
        "KEY_KPASTERISK", "KEY_KPMINUS", "KEY_KPPLUS", "KEY_KPEQUAL",
    }  # fmt: skip


class Xkb:
    """What libxkbcommon, and with it every Linux desktop, makes of a key."""

    def __init__(self, layout: str) -> None:
        library = ctypes.util.find_library("xkbcommon")
        if library is None:
            pytest.skip("there is no libxkbcommon here; chromium brings it")
        self._lib = ctypes.CDLL(library)
        for name, arguments in (
            ("xkb_context_new", [ctypes.c_int]),
            ("xkb_keymap_new_from_names", [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]),
            ("xkb_state_new", [ctypes.c_void_p]),
        ):
            function = getattr(self._lib, name)
            function.restype, function.argtypes = ctypes.c_void_p, arguments
        names = (ctypes.c_char_p * 5)(b"evdev", b"pc105", layout.encode(), b"", b"")
        keymap = self._lib.xkb_keymap_new_from_names(self._lib.xkb_context_new(0), names, 0)
        assert keymap
        self._state = ctypes.c_void_p(self._lib.xkb_state_new(keymap))

    def character(self, code: int, held: Iterable[int]) -> str:
        """What the key gives; of a dead key its accent."""
        for down, keys in ((1, list(held)), (0, list(held))):
            if not down:
                symbol = self._lib.xkb_state_key_get_one_sym(self._state, code + 8)
            for key in keys:
                self._lib.xkb_state_update_key(self._state, key + 8, down)
        name = ctypes.create_string_buffer(64)
        self._lib.xkb_keysym_get_name(symbol, name, 64)
        dead = {b"dead_circumflex": "^", b"dead_acute": "´", b"dead_grave": "`", b"dead_diaeresis": "¨",
                b"dead_tilde": "~"}  # fmt: skip
        if name.value in dead:
            return dead[name.value]
        return chr(self._lib.xkb_keysym_to_utf32(symbol))


WINDOWS: Mapping[str, set[tuple[int, tuple[int, ...]]]] = {
    "us": {(86, ()), (86, (SHIFT,))},
    "gb": {(41, (ALTGR,))},
    "fr": {(41, (SHIFT,)), (43, (SHIFT,))},
    "ch": {(2, (ALTGR,)), (8, (ALTGR,))},
}
"""Where Windows, and with it the guns, has it otherwise than the desktops of Linux."""


@pytest.mark.parametrize("layout", get_args(Name))
def test_a_layout_is_what_a_desktop_has_too(layout: Name) -> None:
    ours, theirs = LAYOUTS[layout], Xkb(layout)
    levels = (
        (ours.plain, ()),
        (ours.shift, (SHIFT,)),
        (ours.altgr, (ALTGR,)),
        (ours.shift_altgr, (SHIFT, ALTGR)),
    )
    for keys, held in levels:
        for code, character in keys.items():
            if (code, held) not in WINDOWS.get(layout, set()):
                assert (layout, code, held, theirs.character(code, held)) == (layout, code, held, character)


@pytest.mark.parametrize("layout", get_args(Name))
def test_every_ascii_character_can_be_typed_in_every_layout(layout: Name) -> None:
    ours = LAYOUTS[layout]
    held = {(): ours.plain, (SHIFT,): ours.shift, (ALTGR,): ours.altgr, (SHIFT, ALTGR): ours.shift_altgr}
    for wanted in map(chr, range(33, 127)):
        ways = [
            (modifiers, code)
            for modifiers, keys in held.items()
            for code, has in keys.items()
            if has == wanted
        ]
        assert ways or (layout, wanted) in (("it", "`"), ("it", "~")), (layout, wanted)
        for modifiers, code in ways:
            dead = (code, SHIFT in modifiers, ALTGR in modifiers) in ours.dead
            keys = [(modifiers, code), *(strokes(" ") if dead else []), *ENTER]
            assert text(typed(keys), reading(layout)) == wanted


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_what_is_typed_is_read(label: str) -> None:
    assert scanned(typed([*strokes(label), *ENTER])) == [Scan(label)]


def test_labels_follow_each_other_and_empty_ones_are_none() -> None:
    assert scanned(typed(strokes("A1\r\rb-2\r"))) == [Scan("A1"), Scan("b-2")]


@pytest.mark.parametrize("layout", get_args(Name))
def test_iso_15434_with_ctrl_at_the_places_of_a_us_keyboard(layout: Name) -> None:
    keys = [((CTRL,), ecodes.KEY_RIGHTBRACE), ((CTRL, SHIFT), ecodes.KEY_6), ((CTRL,), ecodes.KEY_D),
            ((CTRL,), ecodes.KEY_6), *ENTER]  # fmt: skip
    assert text(typed(keys), reading(layout)) == GS + RS + EOT + RS


def test_iso_15434_as_a_gun_types_it() -> None:
    assert text(typed([*strokes(ISO15434), *ENTER])) == ISO15434


@pytest.mark.parametrize("layout", ["de", "es", "fr", "se", "ch", "it"])
def test_ctrl_with_altgr_where_the_bracket_needs_it(layout: Name) -> None:
    code = next(code for code, character in LAYOUTS[layout].altgr.items() if character == "]")
    assert text(typed([((ALTGR,), code), *ENTER]), reading(layout)) == "]"
    assert text(typed([((CTRL, ALT), code), *ENTER]), reading(layout)) == "]"


@pytest.mark.parametrize("letter", "abcdefghiklnopqrstuvwxyz")
def test_ctrl_and_a_letter(letter: str) -> None:
    """Without j and m, which end the label here."""
    key = stroke(letter)[1]
    control = chr(ord(letter) - 96)
    assert text(typed([((CTRL,), key), ((CTRL, SHIFT), key), *ENTER])) == 2 * control


def test_ctrl_m_ends_a_label_as_enter_does() -> None:
    keys = [*strokes("A"), ((CTRL,), ecodes.KEY_M), *strokes("B"), ((CTRL,), ecodes.KEY_J)]
    assert scanned(typed(keys)) == [
        Scan("A"), Scan("B"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "character"),
    [("029", GS), ("0029", GS), ("29", GS), ("30", RS), ("004", EOT), ("65", "A"), ("0228", "ä"),
     ("132", "ä"), ("0128", "€"), ("225", "ß")],
)  # fmt: skip
@pytest.mark.parametrize("alt", [ALT, ALTGR])
def test_a_number_under_alt(number: str, character: str, alt: int) -> None:
    assert text([*under_alt(number, alt), *typed(ENTER)]) == character


@pytest.mark.parametrize("number", ["0", "256", "0300", "9999", "12345", "0129", "155"])
def test_a_number_under_alt_that_is_no_character(number: str) -> None:
    [scan] = scanned([*typed(strokes("A")), *under_alt(number), *typed([*strokes("B"), *ENTER])])
    assert scan.text == "AB"
    assert "under Alt is no character" in scan.broken


@given(st.text(st.sampled_from([chr(code) for code in range(1, 127)]), min_size=1, max_size=40))
def test_all_of_it_under_alt(label: str) -> None:
    """As guns do that are told to type every character so: no layout matters then."""
    how = Reading("fr", {}, frozenset(), 64, IDLE_S)
    assert text([event for one in label for event in under_alt(f"{ord(one):04}")], how) == label


def test_keys_in_the_place_of_control_characters() -> None:
    how = reading(keys={"f8": GS, "left": RS, "caps-lock": "{EOT}"})
    keys = [((), ecodes.KEY_F8), ((), ecodes.KEY_LEFT), ((), ecodes.KEY_CAPSLOCK), *strokes("a\r")]
    assert text(typed(keys), how) == f"{GS}{RS}{{EOT}}a"


@pytest.mark.parametrize(
    ("key", "named"),
    [(((), ecodes.KEY_F8), "the key F8"), (((ALT,), ecodes.KEY_A), "the key Alt A"),
     (((CTRL,), ecodes.KEY_8), "the key Ctrl 8"), (((), ecodes.KEY_MUTE), "the key number 113"),
     (((ALTGR,), ecodes.KEY_Q), "the key Alt Q"),
     (((ecodes.KEY_LEFTMETA,), ecodes.KEY_R), "the key Windows R"),
     (((CTRL, SHIFT), ecodes.KEY_2), "the key Ctrl Shift 2")],
)  # fmt: skip
def test_a_key_that_is_no_character_breaks_the_whole_label(key: Stroke, named: str) -> None:
    first, second = scanned(typed([*strokes("A"), key, *strokes("B\rC\r")]))
    assert (first.text, second) == ("AB", Scan("C"))
    assert first.broken.startswith(f"{named} is no character in the layout 'us'")


def test_caps_lock_turns_letters_and_nothing_else() -> None:
    caps = [((), ecodes.KEY_CAPSLOCK)]
    assert text(typed([*caps, *strokes("aB1!"), *caps, *strokes("aB\r")])) == "Ab1!aB"
    assert text(typed([*caps, *strokes("1\r")]), reading("fr")) == "&"


@pytest.mark.parametrize("lock", [ecodes.KEY_NUMLOCK, ecodes.KEY_SCROLLLOCK])
def test_the_pad_is_of_digits_whatever_num_lock_is(lock: int) -> None:
    keys = [*(((), PAD_KEYS[digit]) for digit in (4, 0, 2)), ((), ecodes.KEY_KPDOT), ((), PAD_KEYS[5])]
    end = [((), ecodes.KEY_KPENTER)]
    assert text(typed([*keys, ((), lock), *keys, *end])) == "402.5402.5"
    assert text(typed([*keys, *end]), reading("de")) == "402,5"


def test_accents_wait_for_what_follows() -> None:
    circumflex, acute = ((), ecodes.KEY_GRAVE), ((), ecodes.KEY_EQUAL)
    keys = [
        circumflex,
        *strokes(" "),
        circumflex,
        *strokes("a1"),
        circumflex,
        *strokes("1"),
        acute,
        circumflex,
        *ENTER,
    ]
    assert text(typed(keys), reading("de")) == "^â1^1´^"


def test_what_is_held_counts_before_what_is_typed_in_one_packet() -> None:
    down, up = ([(ecodes.KEY_A, value), (SHIFT, value)] for value in (1, 0))
    events = [Event(1.0, *one) for keys in (down, up) for one in [*((EV_KEY, *key) for key in keys), SYN]]
    assert text([*events, *typed(ENTER)]) == "A"


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
