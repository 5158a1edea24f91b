"""How a rig writes its results, guessed from whole frames: proposals for `[source.NAME]`, each tried out.

A proposal is only given where the adapter itself reads the recorded frames with it. Where none fits, what is
known of the frames is given as an outline, for a person to fill in.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from adapters._probe_fields import Keys, Reading, described, ignored, judges, of_list
from adapters._probe_frames import Guess, at_the_tail
from adapters._probe_values import UNITS, own_words
from adapters._rig_checksum import MARKED, Framed, checked
from adapters._rig_messages import Broken
from adapters._rig_parse import Parsed
from adapters._rig_talk import Talk
from adapters.testrig import Settings

_MOSTLY = 0.8
_ENOUGH = 300
"""Frames to guess from."""
_SEPARATORS = (";", "\t", "|", ",", " ")
_NUMBER_TEXT = re.compile(r"[^0-9+-]*(?P<value>[+-]? *[0-9]+(?:[.,][0-9]+)?) *(?P<unit>[A-Za-z%°µ/]*)[^0-9]*")
_GAUGE = re.compile(r"([0-9]{0,3}[A-Z]{1,3})([+-][0-9]+(?:[.,][0-9]+)?)")
"""A channel and a number, as Mitutoyo's Digimatic interfaces write it: `01A+0000.123`."""
_LOAD = "write load, or one thing counts again and again (adapters/testrig.md)"
_FAST_S = 0.6
_MANY = 8
_SHOWN_LINES, _SHOWN_CHARACTERS = 12, 120


@dataclass(frozen=True, slots=True)
class Proposal:
    """What could stand in the TOML, and what is to be told beside it."""

    keys: Keys
    """But for type and port."""
    count: int
    """Results that the adapter reads with them."""
    doubts: tuple[str, ...] = ()
    """What is a guess, or missing."""
    notes: tuple[str, ...] = ()
    """What each column was taken for, or what each line of a frame holds."""


def propose(guess: Guess, asked: bytes = b"") -> Proposal | None:
    """A rig's keys; None: nothing reads these frames.

    `asked` is what was written to it, over and over, to make it speak.
    """
    guess = replace(guess, frames=guess.frames[:_ENOUGH])
    texts = list(dict.fromkeys(_decoded(guess.texts)))  # what was sent again tells nothing new
    if not texts:
        return None
    wire = guess.keys | _checksum(guess)
    bodies = [_without_sum(text, wire.get("checksum")) for text in texts]
    latin = {} if _is_utf8(guess.texts) else {"encoding": "latin-1"}
    for form in (_json, _key_value, _csv, _gauge, _number_only):
        for reading in filter(_says_something, form(bodies)):
            talk, doubts = _talk(guess, asked, reading)
            made = {key: value for key, value in reading.keys.items() if value != {}} | latin | wire | talk
            results = _read(made, guess)
            good = sum(one.result is not None for one in results)
            if good and good >= _MOSTLY * len(results):
                doubts += _bad_ones(results)
                load, about = _load(made, results, guess, asked)
                told = (*reading.doubts, *guess.doubts, *doubts, *about)
                return Proposal(made | load, good, told, tuple(reading.notes))
    return None


def outline(guess: Guess, asked: bytes = b"") -> Proposal:
    """Framing, checksum and handshake, as far as they are known, and what the frames hold."""
    wire = guess.keys | _checksum(guess)
    latin = {} if _is_utf8(guess.texts) else {"encoding": "latin-1"}
    text = next(iter(_decoded(guess.texts)), "")
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip(" ")]
    holds = {"holds": "lines"} if len(lines) > 1 else {}
    talk, doubts = _talk(guess, asked, Reading({"fields": {}}))
    notes = [f"line {at}: {line[:_SHOWN_CHARACTERS]!a}" for at, line in enumerate(lines[:_SHOWN_LINES], 1)]
    if len(lines) == 1:
        others = list(dict.fromkeys(_decoded(guess.texts)))[:_SHOWN_LINES]
        notes = [f"frame {at}: {line[:_SHOWN_CHARACTERS]!a}" for at, line in enumerate(others, 1)]
        doubts.append('if several frames are one result, write gather and holds = "lines"')
    doubts.insert(
        0,
        "NOT FINISHED: `lineside check` refuses it until you describe what a frame holds: "
        "format, fields, pass and fail, and a step for each measurement (adapters/testrig.md)",
    )
    return Proposal(
        {"format": "pattern", **holds, **latin, **wire, **talk}, 0, (*doubts, *guess.doubts), tuple(notes)
    )


def _bad_ones(results: Sequence[Parsed]) -> list[str]:
    bad = [one for one in results if one.result is None]
    return [f"{len(bad)} of {len(results)} frames are not read: {bad[0].reason}"] if bad else []


def _says_something(reading: Reading) -> bool:
    """A verdict, or a value; what only looks like fields is no result."""
    keys = reading.keys
    if keys["format"] == "key=value" or "result" in keys.get("fields", {}):
        return True
    return "step" in keys and (keys["format"] != "csv" or "unit" in keys["fields"])


def _read(keys: Keys, guess: Guess) -> list[Parsed]:
    """What the adapter makes of the recorded frames with these keys; nothing where it refuses the keys."""
    try:
        settings = Settings.model_validate({"type": "testrig", "port": "/dev/null", **keys})
    except ValidationError:
        return []
    talk = Talk(settings)
    turns = [turn for frame in guess.frames if not frame.broken for turn in talk.take(frame, 0.0)]
    return [one for turn in turns for one in turn.results]


def _decoded(texts: Sequence[bytes]) -> list[str]:
    return [text.decode("utf-8" if _is_utf8(texts) else "latin-1") for text in texts]


def _is_utf8(texts: Sequence[bytes]) -> bool:
    try:
        b"\n".join(texts).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


# --- who says what when ---------------------------------------------------------------------------


def _talk(guess: Guess, asked: bytes, reading: Reading) -> tuple[Keys, list[str]]:
    """An answer only where the device showed that it waits for one: to any other it is a strange command."""
    if asked:
        return {"handshake": "none", "ask": asked.decode("latin-1"), "every": "1s"}, []
    if guess.asks:
        return {"handshake": "enq"}, []
    repeats = any(one == other for one, other in pairwise(guess.texts))
    if repeats and "unit" in reading.keys["fields"]:
        return {}, ["it said the same again, as one that waits for an answer does: it will hear ACK and NAK"]
    return {"handshake": "none"}, [
        "handshake: it did not show that it waits for an answer, so that it gets none; look into its manual"
    ]


def _load(made: Keys, results: Sequence[Parsed], guess: Guess, asked: bytes) -> tuple[Keys, list[str]]:
    """What is asked all the time, or never stops, weighs one thing many times."""
    steps = made.get("step", [])
    streams = len(results) >= _MANY and guess.pause_s is not None and guess.pause_s < _FAST_S
    if not asked and not (streams and made.get("unit") == "scanned"):
        return {}, []
    if not asked or len(steps) != 1 or "name" not in steps[0]:
        each = "each answer" if asked else "it sends by itself all the time, and each frame"
        return {}, [f"{each} is a result: {_LOAD}"]
    name = steps[0]["name"]
    heard = [abs(step.value or 0.0) for one in results if one.result for step in one.result.steps]
    top = max(heard, default=0.0) or 1.0
    above, below = float(f"{top / 5:.2g}"), float(f"{top / 10:.2g}")
    if not math.isfinite(above) or below >= above:
        return {}, [_LOAD]
    return {"load": {"step": name, "above": above, "below": below, "steady": 0.0}}, [
        f"load is a guess from the heaviest that was heard, {top:g}: above a fifth of it something is on the "
        "scale, below a tenth nothing is. Write your own, and how far readings at rest may differ (steady)"
    ]  # fmt: skip


def _checksum(guess: Guess) -> Keys:
    if guess.checksum:
        return {"checksum": guess.checksum}
    try:
        for text in guess.texts:
            checked(MARKED, Framed(b"", text, b"", b""))
    except Broken:
        found = at_the_tail(guess.frames, guess.framing.begin)
        return {"checksum": found} if found else {}
    return {"checksum": "xor"}


def _without_sum(text: str, checksum: Any) -> str:
    """As the adapter reads it."""
    if checksum == "xor":
        return text[:-3]
    if not isinstance(checksum, dict) or checksum.get("at") != "tail":
        return text
    return text.rpartition(checksum["mark"])[0]


# --- formats ------------------------------------------------------------------------------------


def _json(texts: Sequence[str]) -> Iterator[Reading]:
    try:
        trees = [json.loads(text) for text in texts]
        leaves = [dict(_leaves(tree, "")) for tree in trees]
    except (ValueError, RecursionError):
        return
    if not all(isinstance(tree, dict) for tree in trees):
        return
    plain = [{name: value for name, value in one.items() if not isinstance(value, list)} for one in leaves]
    if shared := [name for name in plain[0] if all(name in one for one in plain)]:
        reading = described("json", {name: [one[name] for one in plain] for name in shared})
        lists = [name for name in leaves[0] if all(isinstance(one.get(name), list) for one in leaves)]
        _listed(reading, leaves, lists, plain)
        yield reading


def _listed(
    reading: Reading, leaves: Sequence[dict[str, Any]], lists: Sequence[str], plain: Sequence[dict[str, str]]
) -> None:
    """The lists of steps; the words of their verdicts are those of the whole result."""
    at = reading.keys["fields"].get("result")
    words, limited = {one[at] for one in plain} if at else set(), False
    for name in lists:
        step, said = of_list(name, [one for leaf in leaves for one in leaf[name]])
        if not step:
            reading.doubts.append(
                f"the list {name!a} was left out: none of its names is a step's name and value"
            )
            continue
        words |= said
        limited |= bool({"low_at", "high_at", "result_at"} & set(step))
        reading.keys.setdefault("step", []).append(step)
        if not {"low_at", "high_at", "result_at"} & set(step):
            reading.doubts.append(f"the steps of {name!a} have no limits and no verdict that is known")
    reading.keys.update(own_words(words) if words else {})
    judges(reading, also=limited)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if "." not in name:
                yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(tree, list):
        yield path, tree
    else:
        yield path, "" if tree is None else str(tree).lower() if isinstance(tree, bool) else str(tree)


def _key_value(texts: Sequence[str]) -> Iterator[Reading]:
    for separator in _SEPARATORS:
        parts = [text.removesuffix(separator).split(separator) for text in texts]
        if not all(len(one) > 1 and all(part.count("=") == 1 for part in one) for one in parts):
            continue
        rows = [dict(_pair(part) for part in one) for one in parts]
        columns = {name: [row.get(name, "") for row in rows] for name in rows[0]}
        reading = described("key=value", columns)
        plain = ignored(reading, columns)
        steps = [name for name in columns if name not in {*reading.keys["fields"].values(), *plain}]
        if "result" in reading.keys["fields"] or steps:
            reading.keys.update({"separator": separator} if separator != ";" else {})
            reading.keys.update({"ignore": plain} if plain else {})
            reading.notes[:] = [f"{name!a} is no measurement: left out" for name in plain[:40]]
            judges(reading, also=any(columns[name][0].count(":") > 1 for name in steps))
            yield reading


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(" "), value.strip(" ")


def _csv(texts: Sequence[str]) -> Iterator[Reading]:
    for separator in _SEPARATORS:
        rows = [text.split() if separator == " " else text.split(separator) for text in texts]
        width = len(rows[0])
        if width < 3 or any(len(row) != width for row in rows):
            continue
        columns = {at + 1: [row[at].strip(" ") for row in rows] for at in range(width)}
        astm = separator == "|" and all(re.fullmatch("[0-7]?R", one) for one in columns[1])
        reading = described("csv", columns, astm=astm)
        if astm and "result" in reading.keys["fields"]:
            reading.doubts.append("N was taken for normal and A for abnormal, as in ASTM E1394")
        reading.keys.update(({"separator": separator} if separator != "," else {}) | {"columns": width})
        judges(reading)
        yield reading


def _gauge(texts: Sequence[str]) -> Iterator[Reading]:
    found = [_GAUGE.fullmatch(text.strip(" ")) for text in texts]
    if not (known := [one for one in found if one]) or len({one[1] for one in known}) > 1:
        return
    commas = any("," in one[2] for one in known)
    yield _bare(
        re.escape(known[0][1]) + r"(?P<value>[+-][0-9]{1,12}(?:[.,][0-9]{1,9})?)", {}, commas=commas, skip=[]
    )


def _number_only(texts: Sequence[str]) -> Iterator[Reading]:
    """A scale, a gauge: a number, perhaps with its unit and a word or two around it."""
    skip = [one for begin, words in _UNSTEADY.items() if _begins(texts, begin) for one in words]
    steady = [text for text in texts if not any(re.fullmatch(one, text) for one in skip)]
    found = [one for one in (_NUMBER_TEXT.fullmatch(text.strip(" ")) for text in steady) if one]
    if len(found) < len(steady) or not found:
        return
    units, commas = {one["unit"] for one in found}, any("," in one["value"] for one in found)
    if not units <= UNITS and not commas and not any("." in one["value"] for one in found):
        return  # a number in a name, such as that of an order
    step: Keys = {}
    pattern = r"[^0-9+-]{0,20}(?P<value>[+-]? {0,12}[0-9]{1,12}(?:[.,][0-9]{1,9})?)"
    if len(units) == 1 and units != {""}:
        step |= {"unit_of_measure": units.pop(), "unit_of_measure_at": "unit"}
        pattern += r" {0,9}(?P<unit>[A-Za-z%°µ/]{1,9})"
    yield _bare(pattern + "[^0-9A-Za-z]{0,9}", step, commas=commas, skip=skip)


def _bare(pattern: str, step: Keys, *, commas: bool, skip: Sequence[str]) -> Reading:
    """A number and nothing else: whose, of what and whether it is good must come from elsewhere."""
    keys: Keys = {
        "format": "pattern", "pattern": pattern, "fields": {}, "unit": "scanned", "result": "limits",
        "constants": {"program": "MEASURE"}, "step": [{"name": "value", "at": "value", **step}],
    }  # fmt: skip
    keys |= ({"decimal": ","} if commas else {}) | ({"skip": list(skip)} if skip else {})
    reading = Reading(keys)
    judges(reading)
    return reading


_UNSTEADY = {"S S ": ("S D.*", "S [I+-]", "ES"), "ST,": ("US,.*", "OL,.*")}
"""By what scales begin a steady weight with (MT-SICS; A&D, Ohaus and others): what is none, or not yet."""


def _begins(texts: Sequence[str], begin: str) -> bool:
    return any(text.startswith(begin) for text in texts)
