"""A label that comes again: a double trigger, or after a restart the question whether it is meant."""

from msgspec.structs import replace

from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.nouns import waiting
from edge.production.orders import job_name
from edge.production.places import Stations
from edge.production.scanned import Booked, LastScan, Noun
from edge.production.scanning import Label
from edge.production.state import LINE

REPEAT_MS = 1_500
"""The same label again within this time is a double trigger."""
AGAIN_MS = 60_000
"""So long the question stands whether a repeat after a restart is meant once more."""
ASKS = "scan it again to do it once more"
"""How that question ends."""
_TWICE = "the same label twice: counted once"
_COUNTS = "QTDC"
"""What a repeat would do once more; of a card, a badge, a lot, a serial or a reason it does no harm."""


def meant(label: Label) -> str:
    """The same for all symbols of one card."""
    return f"{label.letter} {label.body}" + (f" of {label.item}" if label.item else "")


def repeated(draft: Draft, stations: Stations, label: Label) -> str:
    """Why a label that came again does nothing; empty for one that is to be obeyed."""
    last, now, means = draft.station(stations[0]).last_scan, draft.observation, meant(label)
    if last is None:
        return ""
    if last.means == means and last.boot == now.boot and now.mono_ms - last.mono_ms < REPEAT_MS:
        return _TWICE
    if not _is_in_question(draft, stations, last, label):
        return ""
    if last.asked == means and last.asked_boot == now.boot:
        asked_ms = now.mono_ms - last.asked_mono_ms
        if asked_ms <= AGAIN_MS:
            return _TWICE if asked_ms < REPEAT_MS else ""
    return _ask(draft, stations, last, means)


def _is_in_question(draft: Draft, stations: Stations, last: LastScan, label: Label) -> bool:
    """Whether it is what was booked before the restart, or what that booking began with."""
    booked, means = last.booked, meant(label)
    if booked is None or booked.start == draft.line_row(LINE).starts:
        return False
    if booked.noun is not None and booked.noun.name == means:
        return True
    nouns = [waiting(draft, draft.station(spec).noun) for spec in stations]
    return booked.means == means and (label.letter != "Q" or not any(nouns))


def _ask(draft: Draft, stations: Stations, last: LastScan, means: str) -> str:
    """After a restart nobody knows whether the person was told that the scan had been taken."""
    now = draft.observation
    for station in stations:
        row = draft.station(station)
        asked = replace(row.last_scan or last, asked=means, asked_mono_ms=now.mono_ms, asked_boot=now.boot)
        draft.put(station.key, replace(row, last_scan=asked))
    assert last.booked is not None
    at_ms = last.booked.at_ms
    when = f"{draft.line.hour(at_ms)}:{at_ms // 1000 % 60:02d}"
    return f"{last.booked.words}: recorded at {when}, before the restart: {ASKS}"


def once_more(draft: Draft, stations: Stations, label: Label) -> None:
    """The question was answered: what the quantity was of waits for it again."""
    last, now = draft.station(stations[0]).last_scan, draft.observation
    if last is None or last.booked is None or last.asked != meant(label) or label.letter != "Q":
        return
    booked = last.booked
    spec = draft.line.named.get(booked.station)
    if booked.noun is not None and booked.means == last.asked and spec in stations and spec is not None:
        noun = replace(booked.noun, mono_ms=now.mono_ms, boot=now.boot)
        draft.put(spec.key, replace(draft.station(spec), noun=noun))


def to_be_asked(
    draft: Draft, last: LastScan | None, label: Label, words: str, at: StationSpec | None, noun: Noun | None
) -> Booked | None:
    """What is asked about after a restart, once this scan was accepted; `at`: where it changed something.

    A scan that does no harm leaves the question open that is open since a restart.
    """
    starts, now = draft.line_row(LINE).starts, draft.observation
    if label.letter in _COUNTS and (at is not None or _corrects(label)) and label.body != "LOGOUT":
        return Booked(
            meant(label), words + _of_job(draft, at, words), now.at_ms, starts, at.name if at else "",
            noun if label.letter == "Q" else None,
        )  # fmt: skip
    if last is None or last.booked is None or last.booked.start == starts or last.asked == meant(label):
        return None
    return last.booked


def _corrects(label: Label) -> bool:
    return label.letter == "C" and (label.body == "UNDO" or label.body.startswith("BACK"))


def _of_job(draft: Draft, spec: StationSpec | None, words: str) -> str:
    undo = draft.station(spec).undo if spec else None
    if undo is None or undo.context.order is None:
        return ""
    name = job_name(undo.context.order, undo.context.operation)
    return "" if name in words else f" ({name})"
