"""Which column of recorded results is what, as keys of the TOML, and what of that is a guess; pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters._probe_values import (
    NUMBER,
    UNITS,
    Column,
    Place,
    column,
    is_time,
    limits,
    may_be_a_program,
    means_good,
    own_words,
    unheard,
    verdicts,
)

_NAMES = {
    "unit": r"unit|serial|sn|s/n|snr|dut|barcode|uut|serial_?no|serial_?number|seriennummer|id",
    "program": r"program|programm|prog|recipe|test|testplan|prg|model|type",
    "revision": r"revision|rev|version|ver",
    "number": r"number|no|nr|num|count|counter|seq|sequence|run|index",
    "result": r"result|verdict|status|judge?ment|judge|ok|pass|passed|eval|ergebnis|bewertung|urteil|outcome",
}
NAMES = {part: re.compile(pattern, re.IGNORECASE) for part, pattern in _NAMES.items()}
_GENERAL = re.compile(r"name|id|no|nr|number|value|code", re.IGNORECASE)
"""Names that say less than what they are in: `prog.name`."""
_MOST_NOTES = 40
_LEAST = 3
"""Different results, before what never changes means anything."""

Keys = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """Keys that describe a result, with what must be told beside them."""

    keys: Keys
    doubts: list[str] = field(default_factory=list)
    """What is a guess, or missing: a sentence each."""
    notes: list[str] = field(default_factory=list)
    """What each column was taken for."""


def part_of(name: str) -> str:
    """What a name says it is: a part of a result, or an empty text."""
    *outer, last = name.split(".")
    if outer and _GENERAL.fullmatch(last) and (found := _part(outer[-1])):
        return found
    return _part(last)


def _part(word: str) -> str:
    return next((part for part, pattern in NAMES.items() if pattern.fullmatch(word)), "")


def described(form: str, columns: Mapping[Any, Sequence[str]], *, astm: bool = False) -> Reading:
    """Format, fields, and what takes the place of those that are not sent; steps for every measurement."""
    found = [column(at, values, astm=astm) for at, values in columns.items()]
    fields = _by_values(found) if form == "csv" else _by_names(found)
    reading = Reading({"format": form, "fields": fields})
    if "unit" not in fields:
        reading.keys["unit"] = "scanned"
        reading.doubts.append("no unit's number was found: the result is of the unit that was scanned last")
        for one in found:
            if part_of(str(one.at)) == "unit":
                reading.doubts.append(f"{_place(one.at)} has a unit's name, but never changed or is a time")
    if "program" not in fields:
        reading.keys["constants"] = {"program": "TEST"}
    _judged(reading, {one.at: one for one in found}, astm=astm)
    if form != "key=value":
        steps = list(_steps(found, fields, reading, columns=form == "csv"))
        reading.keys.update(_decimal(form, steps, columns))
        reading.keys.update({"step": steps} if steps else {})
    _noted(reading, found)
    return reading


def judges(reading: Reading, also: bool = False) -> None:
    """Say loudly where nothing tells a good unit from a bad one."""
    limited = any("high_at" in step or "low_at" in step for step in reading.keys.get("step", []))
    if "result" in reading.keys["fields"] or limited or also:
        return
    reading.doubts.insert(
        0,
        "NOTHING JUDGES: no verdict was found and no limits, so that every result is a measurement and no "
        "unit ever fails. Write fields.result with pass and fail, or low and high of the steps",
    )


def _by_names(found: Sequence[Column]) -> dict[str, Place]:
    fields: dict[str, Place] = {}
    for one in sorted(found, key=_vague):
        part = part_of(str(one.at))
        fits = one.kind == "verdict" if part == "result" else one.kind not in ("time", "empty")
        if part == "unit" and one.kind in ("same", "constant") and len(one.values) >= _LEAST:
            continue  # the rig's own name, or one unit tested again and again: told among the notes
        if part and fits:
            fields.setdefault(part, one.at)
    return {part: fields[part] for part in NAMES if part in fields}


def _vague(one: Column) -> tuple[bool, int]:
    """What is named clearly comes before `id`, and what is of the whole before what is of a part."""
    name = str(one.at)
    return name.rpartition(".")[2].lower() == "id", name.count(".")


def _by_values(found: Sequence[Column]) -> dict[str, Place]:
    """Columns without names: a verdict by its words, a unit by being another each time."""
    fields: dict[str, Place] = {}
    words = [one for one in found if one.kind == "verdict"]
    if words:
        fields["result"] = next((one for one in reversed(words) if _sums_up(one, words)), words[-1]).at
    for one in found:
        if one.kind == "serial":
            fields.setdefault("unit", one.at)
        elif one.kind == "count":
            fields.setdefault("number", one.at)
        elif may_be_a_program(one):
            fields.setdefault("program", one.at)
    return fields


def _sums_up(whole: Column, words: Sequence[Column]) -> bool:
    """Whether it is good where all the others are, and only there."""
    rows = zip(*([means_good(word) for word in one.values] for one in words if one is not whole), strict=True)
    others = [all(row) for row in rows] if len(words) > 1 else None
    return others is None or others == [means_good(word) for word in whole.values]


def _judged(reading: Reading, found: Mapping[Place, Column], *, astm: bool) -> None:
    fields, doubts = reading.keys["fields"], reading.doubts
    if "result" in fields:
        words = set(found[fields["result"]].said)
        reading.keys.update(own_words(words, astm=astm))
        if lacking := unheard(words):
            doubts.append(
                f"no {lacking} result was heard: the word for it is a guess; let it test such a unit"
            )
        others = [one.at for one in found.values() if one.kind == "verdict" and one.at != fields["result"]]
        if others and all(isinstance(one, int) for one in others):
            doubts.append(
                f"{_places(others)} too: {_place(fields['result'])} was taken for that of the whole"
            )
        return
    reading.keys["result"] = "limits"
    for one in found.values():
        named = part_of(str(one.at)) == "result"
        if named or one.kind == "words":
            shown = ", ".join(map(ascii, sorted(set(one.said))[:4]))
            doubts.append(f"{_place(one.at)} says {shown}: a verdict? Then write pass and fail")


def _place(at: Place) -> str:
    return f"column {at}" if isinstance(at, int) else ascii(at)


def _places(found: Sequence[Place]) -> str:
    return f"{', '.join(map(_place, found))} hold{'s' * (len(found) == 1)} words of a verdict"


def _steps(
    found: Sequence[Column], fields: Mapping[str, Place], reading: Reading, *, columns: bool
) -> Iterator[Keys]:
    """Each number that changes and is no field is a measurement, called as the rig calls it or by column."""
    taken = set(fields.values())
    few = len(found[0].values) < _LEAST if found else True
    good = _good(found, reading)
    for index, one in enumerate(found):
        if one.at in taken or not (one.kind == "value" or (few and one.kind == "constant")):
            continue
        step: Keys = {"name": one.at if isinstance(one.at, str) else f"value-{one.at}", "at": one.at}
        step |= {"optional": True} if len(one.said) < len(one.values) else {}
        behind = list(found[index + 1 : index + 4]) if columns else []
        if behind and behind[0].said and set(behind[0].said) <= UNITS:
            unit = behind.pop(0)
            step |= {"unit_of_measure": unit.said[0]} if len(set(unit.said)) == 1 else {}
            step["unit_of_measure_at"] = unit.at
            if len(set(unit.said)) > 1:
                reading.doubts.append(f"the unit of {step['name']} changes: write unit_of_measure and units")
        if not few and (ends := limits(one, behind[:2], good)) and not taken & set(ends):
            step |= {"low_at": ends[0], "high_at": ends[1]}
            reading.doubts.append(
                f"low and high of {step['name']} are a guess: two numbers that never changed"
            )
        yield step


def _good(found: Sequence[Column], reading: Reading) -> list[bool | None]:
    at = reading.keys["fields"].get("result")
    values = next((one.values for one in found if one.at == at), None)
    if values is None:
        return [None] * (len(found[0].values) if found else 0)
    passes = reading.keys.get("pass", ["PASS", "OK"])
    return [one in passes for one in values]


def _decimal(form: str, steps: Sequence[Keys], columns: Mapping[Any, Sequence[str]]) -> Keys:
    places = [step[key] for step in steps for key in ("at", "low_at", "high_at") if key in step]
    return (
        {"decimal": ","} if form != "json" and any("," in one for at in places for one in columns[at]) else {}
    )


_LEFT = {
    "time": "a time: left out", "constant": "a number that never changed: left out (a limit? a channel?)",
    "count": "a counter: left out", "grows": "a number that only grows: left out (a counter? a clock?)",
    "digits": "digits, others each time: left out. If they are the unit's number, write fields.unit",
    "empty": "empty", "verdict": "words of a verdict: left out",
}  # fmt: skip


def _noted(reading: Reading, found: Sequence[Column]) -> None:
    """What each was taken for, with an example; more than that where a measurement may be missed."""
    used = {at: f"fields.{part}" for part, at in reading.keys["fields"].items()}
    for step in reading.keys.get("step", []):
        used |= {step[key]: f"{key} of {step['name']}" for key in step if key == "at" or key.endswith("_at")}
    for one in found[:_MOST_NOTES]:
        example = ascii(one.said[0][:40]) if one.said else "''"
        reading.notes.append(
            f"{_place(one.at)}, {example}: {used.get(one.at) or _LEFT.get(one.kind, 'left out')}"
        )
    if len({tuple(row) for row in zip(*(one.values for one in found), strict=True)}) < _LEAST:
        reading.doubts.append(
            "fewer than three different results were heard: let it test more, good ones and bad"
        )
    units = [_place(one.at) for one in found if one.kind == "serial" and isinstance(one.at, int)]
    if len(units) > 1:
        reading.doubts.append(f"{', '.join(units)} could each be the unit's number: the first was taken")
    counted = [one for one in found if one.at == reading.keys["fields"].get("number")]
    if counted and reading.keys.get("unit") == "scanned":
        at = _place(counted[0].at)
        reading.doubts.append(f"{at} counts: it was taken for the rig's own number and not for the unit's")


# --- key=value ------------------------------------------------------------------------------------


def ignored(reading: Reading, columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of key=value that are no measurement: words, times, counters, what never changes."""
    taken, few = set(reading.keys["fields"].values()), len(next(iter(columns.values()), [])) < _LEAST
    return [
        name for name, values in columns.items()
        if name not in taken and not _is_measured(values, constant=few)
    ]  # fmt: skip


def _is_measured(values: Sequence[str], *, constant: bool) -> bool:
    """`value:unit:low:high`, as the key=value format has it."""
    if any(map(is_time, values)) or not all(NUMBER.fullmatch(one.split(":")[0].strip(" ")) for one in values):
        return False
    if any(":" in one for one in values):
        return True
    kind = column("", values).kind
    return kind == "value" or (constant and kind in ("constant", "count"))


# --- a list of steps in json ----------------------------------------------------------------------

_STEP = {
    "name_at": r"name|n|step|label|id|test|param|parameter|channel|key|title",
    "at": r"value|v|val|meas|measured|measurement|actual|reading|x",
    "unit_of_measure_at": r"unit|units|u|uom|unit_of_measure",
    "low_at": r"low|lo|min|minimum|lower|lsl|ll|lower_?limit|low_?limit|limit_?low|lcl",
    "high_at": r"high|hi|max|maximum|upper|usl|ul|upper_?limit|high_?limit|limit_?high|ucl",
    "result_at": r"ok|pass|passed|result|status|verdict|judge?ment",
}
_STEP_NAMES = {key: re.compile(pattern, re.IGNORECASE) for key, pattern in _STEP.items()}
_LIMITS = re.compile(r"lim|limit|limits|range|tol|tolerance", re.IGNORECASE)


def of_list(path: str, elements: Sequence[Any]) -> tuple[Keys, set[str]]:
    """The step table of a list, and the words of its verdicts; empty where it is no list of steps."""
    if not elements or not all(isinstance(one, dict) for one in elements):
        return {}, set()
    names = list(dict.fromkeys(name for one in elements for name in one if isinstance(name, str)))
    step: Keys = {"each": path}
    for key, pattern in _STEP_NAMES.items():
        fits = [
            name
            for name in names
            if pattern.fullmatch(name) and "." not in name and _fits(key, name, elements)
        ]
        step |= {key: fits[0]} if fits else {}
    pairs = [
        name for name in names if _LIMITS.fullmatch(name) and all(_is_pair(one.get(name)) for one in elements)
    ]
    if pairs and not {"low_at", "high_at"} & set(step):
        step |= {"low_at": f"{pairs[0]}.0", "high_at": f"{pairs[0]}.1"}
    if not {"name_at", "at"} <= set(step):
        return {}, set()
    if any(one.get(step["at"]) is None for one in elements):
        step["optional"] = True
    words = {_word(one[step["result_at"]]) for one in elements} if "result_at" in step else set()
    return step, words


def _fits(key: str, name: str, elements: Sequence[Any]) -> bool:
    values = [one.get(name) for one in elements]
    if key == "name_at":
        return all(isinstance(one, str) and one for one in values)
    if key == "result_at":
        return verdicts([_word(one) for one in values])
    if key == "unit_of_measure_at":
        return all(one is None or isinstance(one, str) for one in values)
    return any(map(_is_number, values)) and all(one is None or _is_number(one) for one in values)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(one is None or _is_number(one) for one in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
