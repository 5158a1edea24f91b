"""Open Protocol on the wire: messages, and what a tightening result holds; no socket, no clock.

A message is a header of 20 ASCII bytes (length without the closing NUL 4, MID 4, revision 3, no-ack flag 1,
station 2, spindle 2, spare 4), data, and a NUL. Data are fields: two digits that count them, then a fixed
number of characters. Source: Atlas Copco 9836 4415 01, Open Protocol specification, releases 7.5 and 2.8.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from edge.contract import Step, TestResult

HEADER = 20
LONGEST = 9999
END = b"\0"

START, STARTED, STOP, ERROR, ACCEPTED = 1, 2, 3, 4, 5
SUBSCRIBE, RESULT, ACKNOWLEDGE = 60, 61, 62
ASK_TIME, TIME = 80, 81
KEEP_ALIVE = 9999

Counts = Literal["ok", "all", "none"]
"""What a controller's batch counter counts: good tightenings, all of them, or nothing of use."""
UnitIs = Literal["vin", "part-2", "part-3", "part-4", "scanned"]
"""Which of a result's identifiers is the unit's serial number."""


class Broken(ValueError):
    """A message that makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, either way."""

    mid: int
    revision: int = 1
    data: str = ""
    """Latin-1, without the NUL."""


def encode(message: Message) -> bytes:
    """As it goes over the wire, with its NUL. Results are asked for with acknowledgement."""
    size = HEADER + len(message.data)
    text = f"{size:04}{message.mid:04}{message.revision:03}{' ' * 9}{message.data}"
    return text.encode("latin-1") + END


def decode(raw: bytes) -> Message:
    """A message without its NUL. Raises Broken.

    A revision of blanks or 000 means 1.
    """
    text = raw.decode("latin-1")
    if len(text) < HEADER:
        raise Broken(f"{len(text)} bytes are no message: a header alone has {HEADER}")
    size, mid, revision = text[:4], text[4:8], text[8:11].strip() or "1"
    if not (_digits(size) and _digits(mid) and _digits(revision)):
        raise Broken("it does not begin with the length, MID and revision of an Open Protocol message")
    if int(size) != len(text):
        raise Broken(f"MID {mid} says that it has {int(size)} bytes, and has {len(text)}")
    return Message(int(mid), int(revision) or 1, text[HEADER:])


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


# --- errors ---------------------------------------------------------------------------------

_ERRORS = {
    1: "invalid data", 9: "results are subscribed already", 16: "protocol busy",
    71: "subscribed already", 73: "it does not know this subscription", 74: "it does not know this revision",
    75: "it does not know this request", 76: "it does not know this revision", 79: "command failed",
    92: "Open Protocol commands are disabled", 95: "it is in manual mode",
    96: "a client is connected already", 97: "it does not know this revision",
    98: "timeout inside the controller", 99: "it does not know this MID",
}  # fmt: skip
OTHER_REVISION = frozenset({74, 76, 97})
SUBSCRIBED = frozenset({9, 71})


@dataclass(frozen=True, slots=True)
class CommandError:
    """What MID 0004 says of a command."""

    mid: int
    code: int

    def __str__(self) -> str:
        return f"error {self.code:02}, {_ERRORS.get(self.code, 'see the controller’s manual')}"


_ERROR = re.compile(r"([0-9]{4})([0-9]{2,3})\s*", re.ASCII)
_ACCEPTED = re.compile(r"([0-9]{4})\s*", re.ASCII)


def command_error(message: Message) -> CommandError:
    """The command and the code of MID 0004. Raises Broken."""
    found = _ERROR.fullmatch(message.data)
    if found is None:
        raise Broken("MID 0004 without a command and a code")
    return CommandError(int(found[1]), int(found[2]))


def accepted(message: Message) -> int:
    """The command that MID 0005 is about. Raises Broken."""
    found = _ACCEPTED.fullmatch(message.data)
    if found is None:
        raise Broken("MID 0005 without a command")
    return int(found[1])


# --- MID 0061 -------------------------------------------------------------------------------

_FIRST = (
    ("cell", 4), ("channel", 2), ("controller", 25), ("vin", 25), ("job", 2), ("pset", 3), ("batch_size", 4),
    ("batch_counter", 4), ("ok", 1), ("torque_ok", 1), ("angle_ok", 1), ("torque_low", 6),
    ("torque_high", 6), ("torque_target", 6), ("torque", 6), ("angle_low", 5), ("angle_high", 5),
    ("angle_target", 5), ("angle", 5), ("at", 19), ("changed", 19), ("batch_ok", 1), ("id", 10),
)  # fmt: skip
_SECOND = (
    ("cell", 4), ("channel", 2), ("controller", 25), ("vin", 25), ("job", 4), ("pset", 3), ("strategy", 2),
    ("options", 5), ("batch_size", 4), ("batch_counter", 4), ("ok", 1), ("batch_ok", 1), ("torque_ok", 1),
    ("angle_ok", 1), ("rundown_ok", 1), ("current_ok", 1), ("selftap_ok", 1), ("prevail_ok", 1),
    ("compensate_ok", 1), ("errors", 10), ("torque_low", 6), ("torque_high", 6), ("torque_target", 6),
    ("torque", 6), ("angle_low", 5), ("angle_high", 5), ("angle_target", 5), ("angle", 5),
    ("rundown_low", 5), ("rundown_high", 5), ("rundown", 5), ("current_low", 3), ("current_high", 3),
    ("current", 3), ("selftap_low", 6), ("selftap_high", 6), ("selftap", 6), ("prevail_low", 6),
    ("prevail_high", 6), ("prevail", 6), ("id", 10), ("job_sequence", 5), ("sync", 5), ("tool", 14),
    ("at", 19), ("changed", 19),
)  # fmt: skip
_THIRD = (("pset_name", 25), ("torque_unit", 1), ("kind", 2))
_FOURTH = (("part_2", 25), ("part_3", 25), ("part_4", 25))
LAYOUTS = {
    1: _FIRST,
    2: _SECOND,
    3: _SECOND + _THIRD,
    4: _SECOND + _THIRD + _FOURTH,
}
"""The fields of MID 0061 by revision; later ones add fields at the end, which are not read."""
NEWEST = max(LAYOUTS)

_TORQUE_UNITS = {
    "1": "Nm", "2": "ft.lbf", "3": "in.lbf", "4": "kp.m", "5": "kgf.cm", "6": "in.ozf", "7": "%", "8": "Ncm",
}  # fmt: skip
_KINDS = {
    "02": "loosening", "03": "batch-increment", "04": "batch-decrement", "05": "bypass", "06": "job-abort",
    "08": "reference-setup",
}  # fmt: skip
"""Results that are no tightening of a joint: kept as measurements, without a verdict."""
_WHEN = "%Y-%m-%d:%H:%M:%S"


@dataclass(frozen=True, slots=True)
class Reading:
    """How results are read: from the settings."""

    unit: UnitIs = "vin"
    counts: Counts = "ok"
    torque_unit: str = "Nm"
    """Where the revision says nothing of it: 1 and 2."""


@dataclass(frozen=True, slots=True)
class Tightening:
    """What MID 0061 says."""

    result: TestResult
    at: datetime | None
    """By the controller's own clock, in whatever zone it is set to; None where it is no time."""


def fields(message: Message) -> dict[str, str]:
    """Every field of MID 0061 by name, as it was sent. Raises Broken."""
    layout = LAYOUTS[min(message.revision, NEWEST)]
    found, at = {}, 0
    for number, (name, size) in enumerate(layout, 1):
        if message.data[at : at + 2] != f"{number:02}" or len(message.data) < at + 2 + size:
            raise Broken(f"revision {message.revision} has no field {number:02} at byte {HEADER + at + 1}")
        found[name] = message.data[at + 2 : at + 2 + size]
        at += 2 + size
    if message.revision in LAYOUTS and message.data[at:].strip():
        raise Broken(f"{len(message.data) - at} bytes more than revision {message.revision} has")
    return found


def tightening(message: Message, reading: Reading) -> Tightening:
    """MID 0061 to a result. Raises Broken.

    `number` is the tightening id: it tells a result that is sent again from a joint that is made again.
    """
    raw = fields(message)
    kind = _KINDS.get(raw.get("kind", ""), "")
    passed = None if kind else _flag(raw, "ok")
    result = TestResult(
        unit=_unit(raw, reading.unit), program=_program(raw, reading.counts, passed) + (kind and f" {kind}"),
        passed=passed, number=str(_whole(raw, "id")), steps=_steps(raw, reading, limits=not kind),
    )  # fmt: skip
    return Tightening(result, when(raw["at"]))


def when(text: str) -> datetime | None:
    """The time of the controller's clock; None where it is none."""
    try:
        return datetime.strptime(text.strip(), _WHEN)
    except ValueError:
        return None


def _unit(raw: dict[str, str], unit: UnitIs) -> str:
    if unit == "scanned":
        return ""
    name = unit.replace("-", "_")
    if name not in raw:
        raise Broken(f"a result of this revision has no {unit}; it comes with revision 4")
    return raw[name].strip(" \0")


def _program(raw: dict[str, str], counts: Counts, passed: bool | None) -> str:
    """The parameter set; in a batch with the joint's number, so that four bolts are not one bolt four times.

    A counter of good tightenings still stands at the bolt before where this one failed.
    """
    pset, size, counter = (_whole(raw, name) for name in ("pset", "batch_size", "batch_counter"))
    if counts == "none" or size < 2:
        return str(pset)
    return f"{pset}/{counter + (counts == 'ok' and passed is False)}"


def _steps(raw: dict[str, str], reading: Reading, *, limits: bool) -> tuple[Step, ...]:
    unit = _TORQUE_UNITS.get(raw.get("torque_unit", ""), reading.torque_unit)
    return (
        _step(raw, "torque", unit, 100, limits=limits),
        _step(raw, "angle", "deg", 1, limits=limits),
    )


def _step(raw: dict[str, str], name: str, unit: str, scale: int, *, limits: bool) -> Step:
    """Both limits 0 means that the parameter set has none; an upper one of nines or 0 is no limit either."""
    low, high = _whole(raw, f"{name}_low"), _whole(raw, f"{name}_high")
    has_high = limits and high > 0 and high < 10 ** len(raw[f"{name}_high"]) - scale
    return Step(
        name, _whole(raw, name) / scale, unit,
        low / scale if limits and (low or has_high) else None,
        high / scale if has_high else None,
        {"0": False, "1": True, "2": False}.get(raw[f"{name}_ok"]) if limits else None,
    )  # fmt: skip


def _flag(raw: dict[str, str], name: str) -> bool:
    if raw[name] not in ("0", "1"):
        raise Broken(f"{raw[name]!r} is no tightening status: 0 or 1")
    return raw[name] == "1"


def _whole(raw: dict[str, str], name: str) -> int:
    """Digits, or blanks for 0; a reversed angle may have a minus."""
    text = raw[name].strip()
    digits = text.removeprefix("-")
    if text and not _digits(digits):
        raise Broken(f"{name.replace('_', ' ')}: {text!r} is no number")
    return int(text or 0)
