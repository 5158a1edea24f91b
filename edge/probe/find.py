"""From what was heard to what the device is: a gun, a rig, or neither; and the TOML for it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge.config import load
from edge.errors import ConfigError
from edge.plural import counted
from edge.probe.gun import around, is_near, may_be_labels, text_of
from edge.probe.toml import source_table, station_table
from edge.production.scanning import LETTERS, OWN_LABELS, Label, LabelRules, read_label
from edge.shell import plain

_MOSTLY = 0.5
_GUN_LONGEST = 512
"""The adapter's own `longest`."""


class Guess(Protocol):
    """How frames are told apart, as the adapters guess it."""

    @property
    def keys(self) -> Mapping[str, Any]: ...
    @property
    def words(self) -> Sequence[str]: ...
    @property
    def texts(self) -> Sequence[bytes]: ...
    @property
    def broken(self) -> Sequence[Any]: ...
    @property
    def checksum(self) -> Mapping[str, Any]: ...
    @property
    def end(self) -> bytes: ...
    @property
    def pause_s(self) -> float | None: ...
    @property
    def doubts(self) -> Sequence[str]: ...


class Proposal(Protocol):
    """A rig as the adapters guess it."""

    @property
    def keys(self) -> Mapping[str, Any]: ...
    @property
    def count(self) -> int: ...
    @property
    def doubts(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What is printed in the end."""

    words: tuple[str, ...]
    """A sentence each, for the person at the terminal."""
    toml: str
    """Empty where nothing is known of it."""
    runs: bool = False
    """`lineside check` accepts it, and it reads the same device; else it is an outline to be filled in."""


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of it before anything is heard."""

    port: str
    rate: Mapping[str, Any]
    """`baud`, `bits`, `parity`, where they are not the usual ones."""
    name: str
    station: str
    rules: LabelRules = OWN_LABELS


def concluded(device: Device, guess: Guess, proposal: Proposal | None, outline: Proposal) -> Found:
    """What it is. A rig's numbers could be labels, and a label never reads as a rig's result."""
    texts = list(guess.texts)
    words = [f"{counted(len(texts), 'whole frame')}: {', '.join(guess.words)}"]
    if guess.broken:
        words.append(f"{counted(len(guess.broken), 'frame')} cut or damaged: {_reasons(guess.broken)}")
    if not texts:
        return Found((*words, "no whole frame was heard: nothing can be proposed"), "")
    labels = [read_label(text_of(text), device.rules) for text in texts]
    if sum(isinstance(one, Label) for one in labels) >= _MOSTLY * len(texts):
        return _gun(device, guess, labels, words)
    if proposal is not None:
        return _rig(device, proposal, words)
    begin, end = around(texts, device.rules)
    if (begin or end) and not guess.checksum:
        inner = [read_label(text_of(text[len(begin) : len(text) - len(end)]), device.rules) for text in texts]
        words.append(f"each begins with {text_of(begin)!a} and ends with {text_of(end)!a}: the gun adds them")
        return _gun(device, guess, inner, words, _around(guess, begin, end))
    likely = all(map(is_near, labels)) or may_be_labels([text_of(text) for text in texts], guess.pause_s)
    if likely and not guess.checksum:
        return _gun(device, guess, labels, words)
    return _outlined(device, outline, words)


def _reasons(broken: Sequence[Any]) -> str:
    return "; ".join(dict.fromkeys(str(one.broken) for one in broken[:20]))


def _rig(device: Device, proposal: Proposal, words: list[str]) -> Found:
    keys = proposal.keys
    form = keys.get("format", "key=value")
    words.append(
        f"a rig or a scale: {counted(proposal.count, 'result')} as {form}, read by the adapter itself"
    )
    if keys.get("unit") == "scanned":
        words.append("it sends no unit's number: the result is of the unit that was scanned last")
    doubts = list(proposal.doubts)
    if "constants" in keys:
        doubts.append("it does not say what it ran: write the program's name in the place of ours")
    table = {"type": "testrig", **_place(device), **keys}
    return _checked(device, table, "rig", [*words, *doubts], [*doubts, *proposal.notes])


def _outlined(device: Device, outline: Proposal, words: list[str]) -> Found:
    """Neither a gun nor a rig that could be described: what is known, for a person to go on with."""
    words.append("no label that is known, and no result that could be described: an outline of a rig follows")
    table = {"type": "testrig", **_place(device), **outline.keys}
    text = source_table(device.name, table, [*outline.doubts, *outline.notes])
    station = station_table(device.station, "rig", device.name)
    return Found(tuple(map(plain, (*words, *outline.doubts))), f"{text}\n{station}")


_SILENT = (
    'feedback: nothing is written to the gun. If it is set to wait for an answer, write "ack", or its maker '
    "(adapters/serial_scanner.md)"
)


def _gun(
    device: Device,
    guess: Guess,
    labels: Sequence[Label | str],
    words: list[str],
    written: Mapping[str, Any] | None = None,
) -> Found:
    """`written`: the `begin` and `end` that the gun writes around its labels, where that was found."""
    texts = guess.texts
    if known := [one for one in labels if isinstance(one, Label)]:
        kinds = dict.fromkeys(f"{LETTERS[one.letter]} ({one.form})" for one in known)
        words.append(f"a gun: {counted(len(known), 'label')} of this line: {', '.join(kinds)}")
    doubts = [*guess.doubts, _SILENT]
    if strange := [one for one in labels if isinstance(one, str)]:
        words.append(f"{counted(len(strange), 'frame')} that is no label and no result: {strange[0]}")
    if not known:
        doubts.insert(0, "a guess: none of what it sent is a label that this line knows; is it a gun?")
    if guess.checksum:
        words.append("labels with a checksum behind them are nothing that a gun's adapter reads")
        return Found(tuple(words), "")
    longest = max(map(len, texts))
    keys = {**guess.keys, **(written or {}), **({"longest": 2 * longest} if longest > _GUN_LONGEST else {})}
    table = {"type": "serial-scanner", **_place(device), **keys, "feedback": "none"}
    return _checked(device, table, "scanner", [*words, *doubts], doubts)


def _around(guess: Guess, begin: bytes, end: bytes) -> Mapping[str, Any]:
    """`begin` and `end` with what the gun writes around each label."""
    keys: dict[str, Any] = {}
    if begin:
        keys["begin"] = guess.keys.get("begin", "") + begin.decode("latin-1")
    if end:
        keys["end"] = (end + guess.end).decode("latin-1")
    return keys


def _place(device: Device) -> Mapping[str, Any]:
    return {"port": device.port, **device.rate}


def _checked(
    device: Device, keys: Mapping[str, Any], role: str, words: Sequence[str], comments: Sequence[str]
) -> Found:
    """As `lineside check` does it: what it refuses is never proposed."""
    table = source_table(device.name, keys, comments)
    proposed = f"{table}\n{station_table(device.station, role, device.name)}"
    told = list(map(plain, words))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "line.toml"
        file.write_text(f'[line]\nname = "probe"\n\n{proposed}', encoding="utf-8")
        try:
            warnings = load(file, Path(folder)).warnings
        except ConfigError as error:
            told += [plain(f"no proposal passes the check: {one.key} {one.what}") for one in error.faults]
            return Found(tuple(told), "")
    return Found((*told, *map(plain, warnings)), proposed, runs=True)
