"""What waits for the next label: a reason for its quantity, a card for the verb that is about its job."""

from collections.abc import Iterable

from msgspec.structs import replace

from edge.production.draft import Draft
from edge.production.events import Forgotten
from edge.production.line import StationSpec
from edge.production.orders import RefusedError, job_name, the_slot
from edge.production.scanned import Noun
from edge.production.scanning import Label
from edge.production.slots import slots
from edge.production.state import JobId, Slot

STATUS = "status"
"""Why a job's card waits: it was scanned to see how far the job is."""
NOUN_MS = 30_000
"""A label that waits for another is forgotten after this time."""
_UNFINISHED = ("X", "C")
"""What does nothing by itself: a reason, a verb that waits for its quantity."""


def wait(draft: Draft, spec: StationSpec, label: Label, reason: str = "") -> None:
    """The label waits for the next one."""
    draft.put(spec.key, replace(draft.station(spec), noun=_noun(draft, label.letter, label.body, reason)))


def choose(draft: Draft, spec: StationSpec, job: JobId, reason: str = "") -> None:
    """Verbs that follow are about this job."""
    noun = _noun(draft, "J", job_name(*job), reason)
    draft.put(spec.key, replace(draft.station(spec), chosen=noun))


def _noun(draft: Draft, letter: str, body: str, reason: str) -> Noun:
    now = draft.observation
    return Noun(letter, body, now.mono_ms, now.boot, reason)


def waiting(draft: Draft, noun: Noun | None) -> Noun | None:
    """A label that still waits."""
    now = draft.observation
    if noun is None or noun.is_over or noun.boot != now.boot or now.mono_ms - noun.mono_ms > NOUN_MS:
        return None
    return noun


def chosen(draft: Draft, spec: StationSpec) -> JobId | None:
    """The job that a verb is about, where several run: the one whose card was scanned before."""
    row = draft.station(spec)
    noun = waiting(draft, row.chosen)
    if noun is None or len(slots(row)) < 2:
        return None
    return next(
        (slot.run.job for slot in slots(row) if slot.run.job and job_name(*slot.run.job) == noun.body), None
    )


def chosen_slot(draft: Draft, spec: StationSpec) -> Slot:
    """The run that a label is about. Raises RefusedError where that is open."""
    return the_slot(draft, spec, chosen(draft, spec))


def is_status(draft: Draft, spec: StationSpec) -> bool:
    """The scan before was the card of a job that was on already: a verb is about that job."""
    row = draft.station(spec)
    noun, last = waiting(draft, row.chosen), row.last_scan
    return noun is not None and noun.reason == STATUS and last is not None and last.mono_ms == noun.mono_ms


class OfWhatError(RefusedError):
    """A quantity came for what does not wait any more, or for one of two: it is refused once."""


def check_waiting(draft: Draft, stations: Iterable[StationSpec]) -> None:
    """No quantity is of something else because what it was meant for is gone. Raises OfWhatError."""
    for spec in stations:
        noun = draft.station(spec).noun
        if noun is None:
            continue
        if waiting(draft, noun) is None:
            why = noun.why or "was too long ago"
            raise OfWhatError(f"a quantity of what? {noun.name} {why}: scan it again first")
        if noun.instead:
            words = f"{noun.instead} was forgotten for {noun.name}"
            raise OfWhatError(f"a quantity of what? {words}: scan it again, or the quantity once more")


def settle(draft: Draft, spec: StationSpec) -> None:
    """The quantity was refused: the next one is what it says."""
    row = draft.station(spec)
    if row.noun is not None:
        noun = None if waiting(draft, row.noun) is None else replace(row.noun, instead="")
        draft.put(spec.key, replace(row, noun=noun))


def say_lost(draft: Draft, spec: StationSpec, before: Noun | None) -> str:
    """In words, where a reason or a verb that waited does so no more though nothing came of it."""
    row, was = draft.station(spec), waiting(draft, before)
    noun = waiting(draft, row.noun)
    if was is None or was.letter not in _UNFINISHED:
        return ""
    if noun is not None and (noun.name == was.name or (noun.letter == "C" and noun.reason == was.body)):
        return ""
    if noun is not None and noun.letter == "L":
        draft.put(spec.key, replace(row, noun=replace(noun, instead=was.name)))
    return f"; {was.name} is forgotten at {spec.name}"


def forget(draft: Draft, spec: StationSpec) -> None:
    """Time went by: what waited in vain is said to be forgotten. It is kept to refuse its late quantity."""
    row = draft.station(spec)
    noun = row.noun
    if noun is None or noun.is_over or noun.letter not in _UNFINISHED or waiting(draft, noun) is not None:
        return
    words = f"{noun.name} is forgotten at {spec.name}: nothing followed for {NOUN_MS // 1000} s"
    noun = replace(noun, is_over=True)
    draft.put(spec.key, replace(row, noun=noun, said=words, said_verdict=None))
    draft.say(Forgotten(noun.name, words), spec.name, row.context)
