"""A million labels that nobody would print: nothing escapes, none takes a millisecond, memory stays flat."""

import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config.faults import Faults
from edge.config.labels import build_labels
from edge.production.label import Label, LabelRules
from edge.production.scanning import LONGEST, make_label, read_label

LIMIT_S = 0.001
GTIN = "04012345678901"
SEEDS = [
    make_label("J", "WO-1001-10"),
    make_label("C", "BACK20"),
    f"]C101{GTIN}21A1\x1d10L2",
    f"]d201{GTIN}17301231" + "21ABCDEF123456",
    f"(01){GTIN}(21)A1(10)L2",
    "]C100340123450000000009" + f"02{GTIN}3720\x1d10L2",
    "[)>\x1e06\x1dP7-1\x1dS123\x1d1TL7\x1dQ500\x1e\x04",
    "[)>\x1e05\x1d01" + GTIN + "21A1\x1e\x04",
    "[)>\x1e12\x1dMFR 1B298\x1dSER 786950\x1e\x04",
    "000010001234/0010",
    "x" * LONGEST,
    "]E04006381333931",
]
PIECES = [
    "$",
    "]C1",
    "]d2",
    "[)>",
    "\x1e",
    "\x1d",
    "\x04",
    "(01)",
    "01",
    "21",
    "10",
    "$E4711I",
    "{GS}",
    "#",
    "/0010",
    "é",
]
NASTY = [
    "(" * LONGEST,
    "(01)" * 128,
    "0" * LONGEST,
    "\x1d" * LONGEST,
    "]C1" * 170,
    "$" * LONGEST,
    "[)>\x1e" * 128,
    "[)>\x1e06" + "\x1dP" * 250,
    "[)>\x1e06\x1d" + "1S2\x1d" * 125,
    "]C1" + "2012" * 127,
    "]C1" + "".join(f"{ai}000000" for ai in range(3100, 3150)),
    "{GS}" * 128,
    "9" * 255 + "/",
    "A-" * 128,
    "-" * 256,
]


def _rules() -> LabelRules:
    faults = Faults("line.toml")
    patterns = {
        "job": (r"0*(?P<order>[0-9]{7,12})/(?P<operation>[0-9]{4})", "job", "0001234567/0010"),
        "free": (r"(?P<order>[A-Z0-9-]+)-(?P<operation>[0-9]{1,4})", "job", "AB-1"),
        "bin": (r"[^#]{1,20}#[0-9]{1,8}(x[0-9]{1,4})?", "lot", "B#1"),
    }
    aliases = [
        {"name": name, "pattern": pattern, "means": means, "example": example}
        for name, (pattern, means, example) in patterns.items()
    ]
    table = {"gs": "{GS}", "gs1": "unmarked", "end": "optional", "items": {GTIN: "P7"}, "alias": aliases}
    rules, _ = build_labels(table, faults)
    assert faults.found == []
    return rules


RULES = _rules()


def mutants(chance: random.Random, count: int) -> Iterator[str]:
    """Printed labels with what readers, cables and people do to them."""
    for _ in range(count):
        text = chance.choice(SEEDS)
        for _ in range(chance.randint(0, 4)):
            text = chance.choice(_CHANGES)(chance, text)
        yield text


def _cut(chance: random.Random, text: str) -> str:
    begin = chance.randint(0, len(text))
    return text[begin : chance.randint(begin, len(text))]


def _put_in(chance: random.Random, text: str) -> str:
    place = chance.randint(0, len(text))
    return text[:place] + chance.choice(PIECES) + text[place:]


def _change(chance: random.Random, text: str) -> str:
    place = chance.randint(0, len(text))
    return (
        text[:place]
        + chr(chance.choice([chance.randint(0, 127), chance.randint(0, 0x10FFFF)]))
        + text[place + 1 :]
    )


def _merge(chance: random.Random, text: str) -> str:
    return text + chance.choice([text, chance.choice(SEEDS)])


_CHANGES: list[Callable[[random.Random, str], str]] = [_cut, _put_in, _change, _merge]


def read_in_time(text: str) -> Label | str:
    """Reads it. A slow one is read again: what the machine does beside is not the label's fault."""
    for _ in range(5):
        begun = time.perf_counter()
        read = read_label(text, RULES)
        taken = time.perf_counter() - begun
        if taken < LIMIT_S:
            break
    assert taken < LIMIT_S, f"{taken * 1000:.2f} ms: {text!a}"
    assert read
    if isinstance(read, Label):
        assert read.body.isprintable()
        assert len(read.body) <= 100
    return read


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_what_is_made_to_take_long_does_not(text: str) -> None:
    for end in ("", "\x1e\x04", "!", "$E4711I"):
        read_in_time(text[: LONGEST - len(end)] + end)


def test_labels_that_nobody_would_print() -> None:
    found = [read_in_time(text) for text in mutants(random.Random(5), 20_000)]
    forms = {read.form for read in found if isinstance(read, Label)}
    assert forms >= {"internal", "gs1", "iso15434", "job", "free", "bin"}


@pytest.mark.long
def test_a_million_labels() -> None:
    chance = random.Random(1)
    for text in mutants(chance, 100_000):
        read_in_time(text)
    before = resident()
    for text in mutants(chance, 900_000):
        read_in_time(text)
    assert resident() - before < 2_000_000


def resident() -> int:
    """Bytes of memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
