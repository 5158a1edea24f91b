"""Source `serial-scanner`: a barcode gun or a fixed scanner, on a serial port or over TCP.

Its page is serial_scanner.md.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import model_validator

from adapters._flood import Flood
from adapters._scans import REFUSED, observed, recorded_all
from adapters._stream import Arrival, Line, open_line
from adapters._stream_settings import Bytes, LineSettings
from edge.contract import (
    Intake,
    Observation,
    Outcome,
    Quality,
    Signal,
    SignalAddress,
    SourceLost,
    Verdict,
)

_GREEN, _RED, _DARK = "\x1b[6q", "\x1b[8q", "\x1b[7q\x1b[9q"
_FEEDBACK = {
    "ack": {"confirm": "\x06", "refuse": "\x15", "duplicate": "\x06\x07", "unrecorded": "\x15"},
    # Honeywell Xenon/Granit user guide, "Host ACK": ESC and a digit, ended by a comma.
    "honeywell": {
        "confirm": "\x1b7,",
        "refuse": "\x1b8,",
        "duplicate": "\x1b4,\x1b4,",
        "unrecorded": "\x1b8,\x1b8,\x1b8,",
    },
    # Zebra product reference guides, "RS-232": ACK/NAK handshaking and "Beep on <BEL>". A NAK makes the
    # gun send the same again, which helps only where it could not be recorded.
    "zebra": {
        "confirm": "\x06",
        "refuse": "\x06\x07\x07\x07",
        "duplicate": "\x06\x07",
        "unrecorded": "\x15",
    },
    # Datalogic Gryphon/QuickScan/PowerScan product reference guides, "Message formatting": ended by CR.
    "datalogic": {
        "confirm": f"{_GREEN}\x1b[3q\x1b[5q{_DARK}\r",
        "refuse": f"{_RED}\x1b[4q\x1b[5q{_DARK}\r",
        "duplicate": "\x1b[1q\x1b[1q\r",
        "unrecorded": f"{_RED}\x1b[2q\x1b[2q\x1b[2q{_DARK}\r",
    },
    "none": {"confirm": "", "refuse": "", "duplicate": "", "unrecorded": ""},
}  # fmt: skip
_LEAST, _MOST = 8, 64
"""Labels that wait: from so many on, no person scanned them; they are recorded together, each by itself."""
_FOLLOWS = {"duplicate": "confirm", "unrecorded": "refuse"}


class Settings(LineSettings):
    """`[source.NAME]` with `type = "serial-scanner"`. The four answers come from `feedback` unless given."""

    feedback: Literal["ack", "honeywell", "zebra", "datalogic", "none"] = "ack"
    """What the gun understands: plain ACK and NAK, its maker's beeps and lights, or nothing."""
    confirm: Bytes = ""
    """Written back once the scan is on disk and accepted; empty: nothing."""
    refuse: Bytes = ""
    """Written back when it was refused or broken."""
    duplicate: Bytes = ""
    """Written back when the same label was just read; as `confirm`, if only that is given."""
    unrecorded: Bytes = ""
    """Written back when it could not be recorded; as `refuse`, if only that is given."""

    @model_validator(mode="before")
    @classmethod
    def _as_its_maker_says(cls, table: Any) -> Any:
        answers = _FEEDBACK.get(str(table.get("feedback", "ack"))) if isinstance(table, dict) else None
        if answers is None:
            return table
        own = {of: table[given] for of, given in _FOLLOWS.items() if given in table}
        return answers | own | table

    def answer(self, outcome: Outcome | None) -> bytes:
        """What the gun hears of it; None: it could not be recorded."""
        if outcome is None:
            return self.unrecorded.encode("latin-1")
        thanks = {Verdict.ACCEPTED: self.confirm, Verdict.DUPLICATE: self.duplicate}
        return thanks.get(outcome.verdict, self.refuse).encode("latin-1")


Address: type[SignalAddress] | None = None
gives = "labels"


def label(raw: bytes) -> str:
    """The label's text. Control characters are a part of it; what is no UTF-8 becomes `\\xHH`."""
    return raw.decode("utf-8", "backslashreplace")


async def collect(settings: Settings, signals: Sequence[Signal[Any]], intake: Intake) -> None:
    """Hand over each label under the source's name, and answer the gun when it is on disk.

    A single byte says only that the scanner is there. Raises SourceLost, SourceRefused.
    """
    async with open_line(settings, intake) as line:
        intake.connected()
        flood, now_s = Flood(), asyncio.get_running_loop().time
        while True:
            try:
                first = await line.next_within(flood.wait_s(now_s()))
            except SourceLost:
                await _tell(intake, flood)
                raise
            if first is None:
                await _tell(intake, flood)
                continue
            arrivals = [one for one in (first, *line.flood(_LEAST, _MOST)) if one.frame.kind != "single"]
            await _record(settings, line, intake, flood, arrivals)


async def _record(
    settings: Settings, line: Line, intake: Intake, flood: Flood, arrivals: Sequence[Arrival]
) -> None:
    """Hand over, each by itself, and answer each. Of many broken ones most are only counted, and refused."""
    now_s = asyncio.get_running_loop().time()
    scans = [_observed(one) for one in arrivals]
    told = [one.quality is Quality.GOOD or flood.is_told(one.detail, now_s) for one in scans]
    kept = [one for one, is_told in zip(scans, told, strict=True) if is_told]
    outcomes = iter(await recorded_all(kept, intake))
    answers = [settings.answer(next(outcomes) if is_told else REFUSED) for is_told in told]
    await line.write(b"".join(answers))


def _observed(arrival: Arrival) -> Observation:
    frame = arrival.frame
    return observed(arrival.stamped, label(frame.raw), frame.raw, frame.broken)


async def _tell(intake: Intake, flood: Flood) -> None:
    if words := flood.words(asyncio.get_running_loop().time()):
        await recorded_all([intake.observe(intake.name, None, quality=Quality.BAD, detail=words)], intake)
