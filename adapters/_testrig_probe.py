"""How a rig writes its results, guessed from whole frames: proposals for `[source.NAME]`, each tried out.

A proposal is only given where the adapter itself reads the recorded frames with it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from adapters._probe_frames import LEAST_PROOF, Guess
from adapters._rig_checksum import MARKED, Framed, checked
from adapters._rig_messages import Broken
from adapters._rig_talk import Talk
from adapters.testrig import Settings

_MOSTLY = 0.8
_ENOUGH = 300
"""Frames to guess from."""
_SEPARATORS = (";", "\t", "|", ",", " ")
_VERDICTS = {
    "PASS": "FAIL", "PASSED": "FAILED", "OK": "NG", "IO": "NIO", "GOOD": "BAD", "TRUE": "FALSE", "P": "F",
}  # fmt: skip
_PASSES, _FAILS = tuple(_VERDICTS), (*_VERDICTS.values(), "NOK")
_VALUE = re.compile(r"[+-]? *[0-9]+[.,][0-9]+ *[A-Za-z%°µ/]*")
_NUMBER = re.compile(r"[+-]? *[0-9]+(?:[.,][0-9]+)?")
_NUMBER_TEXT = re.compile(r"[^0-9+-]*(?P<value>[+-]? *[0-9]+(?:[.,][0-9]+)?) *(?P<unit>[A-Za-z%°µ/]*)[^0-9]*")
_UNITS = frozenset({
    "g", "kg", "mg", "t", "lb", "oz", "N", "kN", "Nm", "cNm", "mm", "cm", "m", "µm", "V", "mV", "kV", "A",
    "mA", "W", "Pa", "kPa", "bar", "mbar", "l", "ml", "s", "ms", "%", "°C",
})  # fmt: skip
_NAMES = {
    "unit": re.compile(r"(?:unit|serial|sn|s/n|dut|barcode|uut|serialno|serialnumber|id)", re.IGNORECASE),
    "program": re.compile(r"(?:program|prog|recipe|test|testplan|prg|model|type)", re.IGNORECASE),
    "revision": re.compile(r"(?:revision|rev|version|ver)", re.IGNORECASE),
    "number": re.compile(r"(?:number|no|nr|num|count|counter|seq|run|index)", re.IGNORECASE),
    "result": re.compile(r"(?:result|verdict|status|judge?ment|judge|ok|pass|passed|eval)", re.IGNORECASE),
}

Keys = dict[str, Any]


def propose(guess: Guess, asked: bytes = b"") -> tuple[Keys, int] | None:
    """The keys of the TOML but for type and port, and how many of the frames they read; None: of no rig.

    `asked` is what was written to it, over and over, to make it speak.
    """
    guess = replace(guess, frames=guess.frames[:_ENOUGH])
    texts = list(dict.fromkeys(_decoded(guess.texts)))  # what was sent again tells nothing new
    if not texts:
        return None
    talk = (
        {"handshake": "none", "ask": asked.decode("latin-1"), "every": "1s"} if asked else _handshake(guess)
    )
    wire = guess.keys | talk | _checksum(guess)
    marked = wire.get("checksum") == "xor"
    bodies = [text[:-3] for text in texts] if marked else texts
    latin = {} if _is_utf8(guess.texts) else {"encoding": "latin-1"}
    for form in (_json, _key_value, _csv, _number_only):
        for keys in filter(_says_something, form(bodies)):
            made = keys | latin | wire
            good, bad = _read(made, guess)
            if good and good >= _MOSTLY * (good + bad):
                return made, good
    return None


def _says_something(keys: Keys) -> bool:
    """A verdict, or a value; what only looks like fields is no result."""
    if keys["format"] == "key=value" or "result" in keys.get("fields", {}):
        return True
    return "step" in keys and (keys["format"] != "csv" or "unit" in keys["fields"])


def _read(keys: Keys, guess: Guess) -> tuple[int, int]:
    """Results that the adapter reads from the recorded frames with these keys, and frames that it cannot;
    none where it refuses the keys."""
    try:
        settings = Settings.model_validate({"type": "testrig", "port": "/dev/null", **keys})
    except ValidationError:
        return 0, 0
    talk = Talk(settings)
    turns = [turn for frame in guess.frames if not frame.broken for turn in talk.take(frame, 0.0)]
    found = [one.result is not None for turn in turns for one in turn.results]
    return sum(found), len(found) - sum(found)


def _decoded(texts: Sequence[bytes]) -> list[str]:
    return [text.decode("utf-8" if _is_utf8(texts) else "latin-1") for text in texts]


def _is_utf8(texts: Sequence[bytes]) -> bool:
    try:
        b"\n".join(texts).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _handshake(guess: Guess) -> Keys:
    """One that never says the same twice does not wait for an answer, or had one."""
    if guess.asks:
        return {"handshake": "enq"}
    repeats = any(one == other for one, other in pairwise(guess.texts))
    return {} if repeats or len(guess.texts) < LEAST_PROOF else {"handshake": "none"}


def _checksum(guess: Guess) -> Keys:
    if guess.checksum:
        return {"checksum": guess.checksum}
    try:
        for text in guess.texts:
            checked(MARKED, Framed(b"", text, b"", b""))
    except Broken:
        return {}
    return {"checksum": "xor"}


# --- formats ------------------------------------------------------------------------------------


def _json(texts: Sequence[str]) -> Iterator[Keys]:
    try:
        trees = [json.loads(text) for text in texts]
    except (ValueError, RecursionError):
        return
    if not all(isinstance(tree, dict) for tree in trees):
        return
    leaves = [dict(_leaves(tree, "")) for tree in trees]
    if shared := [name for name in leaves[0] if all(name in one for one in leaves)]:
        columns = {name: [one[name] for one in leaves] for name in shared}
        found = _assigned("json", columns)
        yield found | _steps(_measured(columns, found), columns, "json")


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if "." not in name:
                yield from _leaves(value, f"{path}.{name}" if path else name)
    elif not isinstance(tree, list):
        yield path, str(tree).lower() if isinstance(tree, bool) else str(tree)


def _key_value(texts: Sequence[str]) -> Iterator[Keys]:
    for separator in _SEPARATORS:
        parts = [text.removesuffix(separator).split(separator) for text in texts]
        if not all(len(one) > 1 and all(part.count("=") == 1 for part in one) for one in parts):
            continue
        rows = [dict(_pair(part) for part in one) for one in parts]
        columns = {name: [row.get(name, "") for row in rows] for name in rows[0]}
        found = _assigned("key=value", columns)
        taken = {*found["fields"].values()}
        plain = [name for name in columns if name not in taken and not _is_measured(columns[name])]
        if "result" in found["fields"] or len(columns) > len(taken) + len(plain):
            yield found | ({"separator": separator} if separator != ";" else {}) | _ignored(plain)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(" "), value.strip(" ")


def _ignored(names: Sequence[str]) -> Keys:
    return {"ignore": list(names)} if names else {}


def _is_measured(values: Sequence[str]) -> bool:
    """`value:unit:low:high`, as the key=value format has it."""
    return all(_NUMBER.fullmatch(value.split(":")[0].strip(" ")) for value in values)


def _csv(texts: Sequence[str]) -> Iterator[Keys]:
    for separator in _SEPARATORS:
        rows = [text.split() if separator == " " else text.split(separator) for text in texts]
        width = len(rows[0])
        if width < 3 or any(len(row) != width for row in rows):
            continue
        columns = {at + 1: [row[at].strip(" ") for row in rows] for at in range(width)}
        found = _assigned("csv", columns) | ({"separator": separator} if separator != "," else {})
        yield found | {"columns": width} | _steps(_measured(columns, found), columns, "csv")


def _number_only(texts: Sequence[str]) -> Iterator[Keys]:
    """A scale, a gauge: a number, perhaps with its unit and a word or two around it."""
    skip = [one for begin, words in _UNSTEADY.items() if _begins(texts, begin) for one in words]
    steady = [text for text in texts if not any(re.fullmatch(one, text) for one in skip)]
    found = [one for one in (_NUMBER_TEXT.fullmatch(text.strip(" ")) for text in steady) if one]
    if len(found) < len(steady) or not found:
        return
    units, commas = {one["unit"] for one in found}, any("," in one["value"] for one in found)
    if not units <= _UNITS and not commas and not any("." in one["value"] for one in found):
        return  # a number in a name, such as that of an order
    step: Keys = {"name": "value", "at": "value"}
    pattern = r"[^0-9+-]{0,20}(?P<value>[+-]? {0,12}[0-9]{1,12}(?:[.,][0-9]{1,9})?)"
    if len(units) == 1 and units != {""}:
        step |= {"unit_of_measure": units.pop(), "unit_of_measure_at": "unit"}
        pattern += r" {0,9}(?P<unit>[A-Za-z%°µ/]{1,9})"
    yield {
        "format": "pattern", "pattern": pattern + "[^0-9A-Za-z]{0,9}", "unit": "scanned", "result": "limits",
        "constants": {"program": "MEASURE"}, "step": [step],
    } | ({"decimal": ","} if commas else {}) | ({"skip": skip} if skip else {})  # fmt: skip


_UNSTEADY = {"S S ": ("S D.*", "S [I+-]", "ES"), "ST,": ("US,.*", "OL,.*")}
"""By what scales begin a steady weight with (MT-SICS; A&D, Ohaus and others): what is none, or not yet."""


def _begins(texts: Sequence[str], begin: str) -> bool:
    return any(text.startswith(begin) for text in texts)


# --- which field is what --------------------------------------------------------------------------

Column = str | int


def _assigned(form: str, columns: dict[Any, list[str]]) -> Keys:
    """Format, fields, and what takes the place of those that are not sent."""
    fields: dict[str, Column] = {}
    for part, pattern in _NAMES.items():
        for name, values in columns.items():
            fits = isinstance(name, str) and pattern.fullmatch(name.rpartition(".")[2])
            if fits and name not in fields.values() and (part != "result" or _verdicts(values)):
                fields.setdefault(part, name)
    if form == "csv":
        fields |= _by_values(columns)
    keys: Keys = {"format": form, "fields": fields}
    words = set(columns.get(fields.get("result", ""), []))
    if "result" not in fields:
        keys["result"] = "limits"
    elif own := _own_words(words):
        keys |= own
    if "unit" not in fields:
        keys["unit"] = "scanned"
    if "program" not in fields:
        keys["constants"] = {"program": "TEST"}
    return keys


def _by_values(columns: dict[Any, list[str]]) -> dict[str, Column]:
    """Columns without names: a verdict by its words, a unit by being another each time."""
    found: dict[str, Column] = {}
    for name, values in columns.items():
        if _verdicts(values):
            found["result"] = name
        elif all(_NUMBER.fullmatch(value) for value in values):
            numbers = [value for value in values if value.isdigit()]
            steps = {int(b) - int(a) for a, b in pairwise(numbers)}
            if len(numbers) == len(values) > 1 and steps == {1}:
                found.setdefault("number", name)
        elif len(set(values)) == len(values) > 1 and all(map(_may_be_a_unit, values)):
            found.setdefault("unit", name)
        elif len(set(values)) == 1 and values[0].isalnum() and len(values[0]) > 2:
            found.setdefault("program", name)
    return found


def _may_be_a_unit(value: str) -> bool:
    return any(one.isdigit() for one in value) and not _VALUE.fullmatch(value)


def _verdicts(values: Sequence[str]) -> bool:
    return all(value.upper() in _PASSES + _FAILS for value in values)


def _own_words(words: set[str]) -> Keys:
    """`pass` and `fail`, where the rig's words are not the usual ones."""
    if words <= {"PASS", "OK", "FAIL", "NG"}:
        return {}
    passes = sorted(word for word in words if word.upper() in _PASSES)
    fails = sorted(word for word in words if word.upper() in _FAILS)
    opposite = {fail: good for good, fail in _VERDICTS.items()} | _VERDICTS | {"NOK": "OK"}
    other = sorted({_cased(opposite[word.upper()], word) for word in passes or fails})
    return {"pass": passes or other, "fail": fails or other}


def _cased(word: str, like: str) -> str:
    return word.lower() if like.islower() else word.capitalize() if like.istitle() and len(like) > 1 else word


def _measured(columns: dict[Any, list[str]], found: Keys) -> list[Any]:
    """Columns of numbers that are none of the fields."""
    taken = found["fields"].values()
    free = {name: values for name, values in columns.items() if name not in taken}
    return [name for name, values in free.items() if all(_NUMBER.fullmatch(one) for one in values)]


def _steps(measured: Sequence[Any], columns: dict[Any, list[str]], form: str) -> Keys:
    """Every number that is no field is a measurement, called as the rig calls it or by its column."""
    steps = [{"name": name if isinstance(name, str) else f"value-{name}", "at": name} for name in measured]
    commas = form != "json" and any("," in value for name in measured for value in columns[name])
    decimal = {"decimal": ","} if commas else {}
    return ({"step": steps} | decimal) if steps else {}
