"""From what was heard to what the device is: a gun, a rig, or neither; and the TOML for it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge.config import load
from edge.errors import ConfigError
from edge.plural import counted
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


Proposal = tuple[Mapping[str, Any], int]
"""The keys of a rig, and how many results the adapter reads with them."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is printed in the end."""

    words: tuple[str, ...]
    """A sentence each, for the person at the terminal."""
    toml: str
    """What `lineside check` accepts and then reads the same device; empty where nothing is proposed."""


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of it before anything is heard."""

    port: str
    rate: Mapping[str, Any]
    """`baud`, `bits`, `parity`, where they are not the usual ones."""
    name: str
    station: str
    rules: LabelRules = OWN_LABELS


def concluded(device: Device, guess: Guess, proposal: Proposal | None) -> Found:
    """What it is. A rig's numbers could be labels, and a label never reads as a rig's result."""
    texts = list(guess.texts)
    words = [f"{counted(len(texts), 'whole frame')}: {', '.join(guess.words)}"]
    if guess.broken:
        words.append(f"{counted(len(guess.broken), 'frame')} cut or damaged: {_reasons(guess.broken)}")
    labels = [read_label(text.decode("utf-8", "backslashreplace"), device.rules) for text in texts]
    known = [label for label in labels if isinstance(label, Label)]
    if not texts:
        return Found((*words, "no whole frame was heard: nothing can be proposed"), "")
    if proposal is not None and len(known) < _MOSTLY * len(texts):
        return _rig(device, proposal, words)
    return _gun(device, guess, labels, known, words)


def _reasons(broken: Sequence[Any]) -> str:
    return "; ".join(dict.fromkeys(str(one.broken) for one in broken[:20]))


def _rig(device: Device, proposal: Proposal, words: list[str]) -> Found:
    keys, count = proposal
    form = keys.get("format", "key=value")
    words.append(f"a rig or a scale: {counted(count, 'result')} as {form}, read by the adapter itself")
    if keys.get("unit") == "scanned":
        words.append("it sends no unit's number: the result is of the unit that was scanned last")
    if keys.get("handshake") == "none" and "ask" not in keys:
        words.append("it never said the same twice, so that it does not seem to wait for an answer")
    if "constants" in keys:
        words.append("it does not say what it ran: write the program's name in the place of ours")
    return _checked(device, {"type": "testrig", **_place(device), **keys}, "rig", words)


def _gun(
    device: Device, guess: Guess, labels: Sequence[Label | str], known: Sequence[Label], words: list[str]
) -> Found:
    texts = guess.texts
    if known:
        kinds = dict.fromkeys(f"{LETTERS[one.letter]} ({one.form})" for one in known)
        words.append(f"a gun: {counted(len(known), 'label')} of this line: {', '.join(kinds)}")
    if strange := [one for one in labels if isinstance(one, str)]:
        words.append(f"{counted(len(strange), 'frame')} that is no label and no result: {strange[0]}")
    if guess.checksum:
        words.append("labels with a checksum behind them are nothing that a gun's adapter reads")
        return Found(tuple(words), "")
    longest = max(map(len, texts))
    keys = {**guess.keys, **({"longest": 2 * longest} if longest > _GUN_LONGEST else {})}
    return _checked(device, {"type": "serial-scanner", **_place(device), **keys}, "scanner", words)


def _place(device: Device) -> Mapping[str, Any]:
    return {"port": device.port, **device.rate}


def _checked(device: Device, keys: Mapping[str, Any], role: str, words: list[str]) -> Found:
    """As `lineside check` does it: what it refuses is never proposed."""
    proposed = source_table(device.name, keys) + "\n" + station_table(device.station, role, device.name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "line.toml"
        file.write_text(f'[line]\nname = "probe"\n\n{proposed}', encoding="utf-8")
        try:
            warnings = load(file, Path(folder)).warnings
        except ConfigError as error:
            told = (f"no proposal passes the check: {one.key} {one.what}" for one in error.faults)
            return Found((*words, *told), "")
    return Found((*words, *map(plain, warnings)), proposed)
