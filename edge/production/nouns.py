"""What waits for the next label: a reason for its quantity, a card for the verb that is about its job."""

from msgspec.structs import replace

from edge.production.draft import Draft
from edge.production.events import Forgotten
from edge.production.line import StationSpec
from edge.production.orders import job_name, the_slot
from edge.production.scanning import Label
from edge.production.slots import slots
from edge.production.state import JobId, Noun, Slot

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
    if noun is None or noun.boot != now.boot or now.mono_ms - noun.mono_ms > NOUN_MS:
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


def drop_old(draft: Draft, spec: StationSpec) -> None:
    """A quantity is refused once after a reason that is too old, and not for ever."""
    row = draft.station(spec)
    if row.noun is not None and waiting(draft, row.noun) is None:
        draft.put(spec.key, replace(row, noun=None))


def forget(draft: Draft, spec: StationSpec) -> None:
    """Time went by: what waited in vain is said to be forgotten. It is kept to refuse its late quantity."""
    row = draft.station(spec)
    noun = row.noun
    if noun is None or noun.is_over or noun.letter not in _UNFINISHED or waiting(draft, noun) is not None:
        return
    words = f"{noun.letter} {noun.body} is forgotten at {spec.name}: nothing followed for {NOUN_MS // 1000} s"
    noun = replace(noun, is_over=True)
    draft.put(spec.key, replace(row, noun=noun, said=words, said_verdict=None))
    draft.say(Forgotten(f"{noun.letter} {noun.body}", words), spec.name, row.context)
