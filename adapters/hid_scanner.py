"""Source `hid-scanner`: a barcode gun that types as a keyboard, read through evdev and grabbed.

Its page is hid_scanner.md.
"""

import importlib
import importlib.util
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from adapters._hid_keys import Reading
from adapters._hid_layouts import SPECIAL, Name
from adapters._scans import observed, recorded
from edge.contract import Duration, Intake, Outcome, Signal, SignalAddress, SourceSettings, Verdict
from edge.errors import SourceRefused

NEEDS_EVDEV = (
    "a gun in keyboard mode needs the package evdev, which is built on this machine: type "
    "`sudo make HID=yes install` in the folder of Lineside; in a virtual environment of your own, "
    "`pip install evdev`"
)
_RENUMBERED = re.compile(r"/dev/input/event\d+")
_LIGHTS = {"num-lock": 0, "scroll-lock": 2}
_BLINKS_S = {Verdict.ACCEPTED: (0.6,), Verdict.DUPLICATE: (0.15,) * 3}
_REFUSED_S = (0.15,) * 9
"""How long the light is on, off, on ...: one long, two short, five short."""


def _one_key_each(keys: dict[str, str]) -> dict[str, str]:
    unknown = [name for name in keys if name not in SPECIAL]
    if unknown:
        known = ", ".join(SPECIAL)
        raise ValueError(f"no such key: {', '.join(unknown)}; there are {known}")
    return keys


def _one_character_each(end: str | list[str]) -> str | list[str]:
    ends = [end] if isinstance(end, str) else end
    if end != "idle" and (not ends or any(len(one) != 1 for one in ends)):
        raise ValueError(r'an end is one character, such as "\r" (Enter) or "\t" (Tab); or "idle"')
    return end


class Settings(SourceSettings):
    """`[source.NAME]` with `type = "hid-scanner"`."""

    device: str = Field(pattern="^/")
    """The gun's file; best its name under /dev/input/by-id/ that ends with -event-kbd."""
    layout: Name = "us"
    """The country of the keyboard that the gun is programmed to be; what the desktop has does not matter."""
    end: Annotated[str | list[str], AfterValidator(_one_character_each)] = Field(default=["\r", "\n"])
    """What ends a scan: a character (Enter is CR), a list of which any one does, or `"idle"`: a pause."""
    keys: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=8)]], AfterValidator(_one_key_each)
    ] = Field(default={})
    """What keys stand for that the gun sends in the place of control characters: `{ f8 = "\\u001d" }`."""
    longest: int = Field(default=512, ge=1, le=65_536)
    """Characters of a scan at the most."""
    idle: Duration = timedelta(milliseconds=300)
    """A scan without an end is given up after so long without a key."""
    feedback: Literal["none", "scroll-lock", "num-lock"] = "none"
    """The light of the gun that tells what became of a scan, if it has one that can be seen."""

    def owns(self) -> list[str]:
        """The gun: it can be grabbed once."""
        return [self.device]

    def warnings(self) -> list[str]:
        """What is allowed but unwise, and what is missing, a sentence each."""
        told = [] if importlib.util.find_spec("evdev") else [NEEDS_EVDEV]
        if _RENUMBERED.fullmatch(self.device):
            told.append(
                f"{self.device} may name another device, such as the keyboard, after a reboot or a replug; "
                "use the gun's name under /dev/input/by-id/"
            )
        elif self.device.startswith("/dev/input/by-id/") and not self.device.endswith("-event-kbd"):
            told.append(f"{self.device} is no keyboard by its name; the gun's own ends with -event-kbd")
        return told

    def reading(self) -> Reading:
        """How the keys are read."""
        ends = () if self.end == "idle" else self.end
        keys = {SPECIAL[name]: text for name, text in self.keys.items()}
        return Reading(self.layout, keys, frozenset(ends), self.longest, self.idle.total_seconds())

    def answer(self, outcome: Outcome | None) -> tuple[int | None, Sequence[float]]:
        """The light, if any, and how it blinks for this; None: it could not be recorded."""
        blinks_s = _BLINKS_S.get(outcome.verdict, _REFUSED_S) if outcome else _REFUSED_S
        return _LIGHTS.get(self.feedback), blinks_s


Address: type[SignalAddress] | None = None
gives = "labels"


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each label under the source's name; blink, where the gun can, when it is on disk.

    Raises SourceLost, SourceRefused.
    """
    async with _evdev(intake.name).open_gun(settings.device, settings.reading(), intake) as gun:
        intake.connected()
        while True:
            arrival = await gun.next()
            scan = arrival.scan
            outcome = await recorded(
                observed(arrival.stamped, scan.text, scan.text.encode(), scan.broken), intake
            )
            gun.blink(*settings.answer(outcome))


def _evdev(source: str) -> Any:
    """The half of this source that needs evdev. Raises SourceRefused where that is missing."""
    try:
        return importlib.import_module("adapters._hid_gun")
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("evdev"):
            raise
        raise SourceRefused(source, NEEDS_EVDEV) from error
