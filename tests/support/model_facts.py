"""What the model of tests/support/model.py is made of: facts, and who is on where."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

JobName = tuple[str, int | None]
RECENT_MS = 30_000
REPEAT_MS = 1_500
AGAIN_MS = 60_000
MOST_STOPS = 20
SHORT_S = 0.25
"""A stop that lasts as long as five ideal cycles is one that a person may give a reason for."""
UNDO_MS = 120_000
CLOCKS_AGREE_MS = 250
COUNTS = ("total", "good", "reject")
FINAL = ("Ended", "Aborted")

LEGAL = {
    ("NotAllowedToStart", "AllowedToStart"), ("AllowedToStart", "NotAllowedToStart"),
    ("AllowedToStart", "Running"), ("Running", "Interrupted"), ("Interrupted", "Running"),
    ("Running", "Ended"), ("Interrupted", "Ended"), ("NotAllowedToStart", "Aborted"),
    ("AllowedToStart", "Aborted"), ("Running", "Aborted"), ("Interrupted", "Aborted"),
}  # fmt: skip
"""Transitions of OPC 10031-4."""


class No(Exception):
    """The model refuses."""


class OfWhat(No):
    """A quantity of what does not wait any more."""


@dataclass(eq=False)
class Run:
    """One job at one station for a while."""

    job: JobName
    station: str
    kind: str = "production"
    quantity: int = 0
    elsewhere: int = 0
    id: str = ""
    """What the core calls it."""
    is_on: bool = True
    taken_back: bool = False
    started_ms: int = 0


@dataclass(eq=False)
class Fact:
    """Parts that were counted, or what was said of parts."""

    station: str
    what: str
    """A counter's role, a disposition, or `good adjusted` and `scrap adjusted`."""
    parts: int
    at_ms: int
    owner: Run | None
    change: int = 0
    """The station's number of changes when the first of these parts can have been made."""
    open: list[Run | None] = field(default_factory=list)
    """Read across the change that a scan is backdated to: these owners are as right as `owner`."""
    of_total: bool = False
    """A reject that is one of the parts that a total counts."""
    place: int = -1
    """Of its event among all events."""


@dataclass
class Read:
    """What is known of a counter's next parts."""

    jobs: list[tuple[Run, ...]]
    """Which runs were on since its last reading, in turn."""
    change: int = 0
    """The station's number of changes at its last reading."""
    before: tuple[Run, ...] = ()
    changed_ms: int | None = None
    """Since the first change after the last reading; `before` was on before it."""
    changed_mono_ms: int = 0
    changed_boot: str = ""

    def owners(self) -> tuple[Run, ...] | None:
        """None: nobody knows."""
        return self.jobs[0] if all(jobs == self.jobs[0] for jobs in self.jobs) else None


@dataclass(frozen=True)
class Noun:
    letter: str
    body: str
    mono_ms: int
    boot: str
    is_over: bool = False


@dataclass
class Job:
    name: JobName
    state: str = "AllowedToStart"
    substate: str = ""


@dataclass(eq=False)
class Stop:
    """The machine left Execute; `lasted_s` is told when it comes back."""

    lasted_s: float | None = None
    is_on: bool = True
    reason: str = ""


@dataclass
class Booked:
    """A scan that counts, or changes something, once more if it is repeated."""

    text: str
    start: int
    """After which start of the agent."""
    noun: Noun | None = None


@dataclass
class Last:
    """The label that was accepted last."""

    mono_ms: int
    boot: str
    waited: "Station | None" = None
    """The station before it, where it changed nothing."""
    booked: Booked | None = None
    asked: str = ""
    asked_mono_ms: int = 0
    asked_boot: str = ""


@dataclass
class Undo:
    """A station before its last scan that changed something."""

    by: str | None
    at_ms: int
    mono_ms: int
    boot: str
    since_ms: int
    length: int
    """Of the list of facts then."""
    before: "Station"
    jobs: dict[JobName, Job]
    left: dict[JobName, str] = field(default_factory=dict)
    """State of each job after the scan."""
    booked: list[Fact] | None = None
    runs: int = 0
    """How many there were."""
    ended: frozenset[Run] = frozenset()
    sure: bool = True
    """Every counter had been read since the change before."""
    tools: dict[str, str] | None = None
    """Where the scan was a tool's: what was in use before."""
    reason: tuple[Stop, str] | None = None
    """Where it was a downtime reason: the stop, and its reason before."""
    noun: Noun | None = None
    """What waited before it."""


@dataclass
class Station:
    name: str
    roles: tuple[str, ...] = ()
    capacity: int = 1
    split: str = "equal"
    slots: tuple[Run, ...] = ()
    batches: dict[Run, str | None] = field(default_factory=dict)
    operator: str | None = None
    batch: str | None = None
    """Of an idle station."""
    dealt: int = 0
    noun: Noun | None = None
    chosen: Noun | None = None
    is_status: bool = False
    """The last scan taken was the card of a job that was on already."""
    undo: Undo | None = None
    last_job: JobName | None = None
    changed_ms: int = 0
    changes: int = 0
    last: Last | None = None
    tools: dict[str, str] = field(default_factory=dict)
    stops: list[Stop] = field(default_factory=list)

    def context(self) -> object:
        """What the next part is made under."""
        if not self.slots:
            return (self.operator, self.batch)
        return tuple((run, self.batches.get(run), self.operator) for run in self.slots)


def sums(facts: Iterable[Fact]) -> dict[str, int]:
    """Facts added up: by counter, scrap booked, waiting for rework, reworked, added."""
    found: Counter[str] = Counter()
    for fact in facts:
        if fact.what in COUNTS:
            found[fact.what] += fact.parts
            found["made"] += 0 if fact.of_total else fact.parts
        elif fact.what == "scrap":
            found["booked"] += fact.parts
        elif fact.what == "rework":
            found["rework"] += fact.parts
        elif fact.what == "reworked":
            found["rework"] -= fact.parts
            found["reworked"] += fact.parts
        elif fact.what == "rework_scrapped":
            found["rework"] -= fact.parts
            found["booked"] += fact.parts
        elif fact.what == "good adjusted":
            found["added"] += fact.parts
        elif fact.what == "scrap adjusted":
            found["added"] += fact.parts
            found["booked"] += fact.parts
    return {what: parts for what, parts in found.items() if parts}


def good_of(made: Mapping[str, int]) -> int:
    scrap = made.get("reject", 0) + made.get("booked", 0)
    return made.get("made", 0) + made.get("added", 0) - scrap - made.get("rework", 0)


def card(job: JobName) -> str:
    return job[0] if job[1] is None else f"{job[0]}-{job[1]}"
