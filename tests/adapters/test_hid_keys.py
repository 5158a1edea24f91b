"""Keys to labels: layouts against libxkbcommon, control characters in every way that guns send them."""

import ctypes
import ctypes.util
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

import pytest
from evdev import ecodes
from hypothesis import given
from hypothesis import strategies as st

from adapters._hid_keys import (
    EV_KEY,
    Event,
    Reading,
    Scan,
)
from adapters._hid_layouts import FIXED, LAYOUTS, PAD, PAD_POINT, SPECIAL, Name
from tests.adapters.hid_device import ALT, ALTGR, CTRL, SHIFT, Stroke, stroke, strokes
from tests.adapters.hid_device import PAD as PAD_KEYS
from tests.adapters.hid_keys_support import ENTER, EOT, GS, IDLE_S, RS, SYN, reading, scanned, text, typed

ISO15434 = f"[)>{RS}06{GS}1PABC-7{GS}S0012{RS}{EOT}"


def under_alt(number: str, alt: int = ALT) -> Iterator[Event]:
    """A number on the pad while Alt is held."""
    events = [(alt, 1), *((PAD_KEYS[int(digit)], value) for digit in number for value in (1, 0)), (alt, 0)]
    for code, value in events:
        yield Event(1.0, EV_KEY, code, value)
        yield Event(1.0, *SYN)


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
