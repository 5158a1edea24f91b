"""The dossier of a run: what was made, of what, by whom, with every event that says so.

The file is JSON of one layout, to the byte: the header on its line, each event on its line, the final hash.
    h0 = SHA-256 of the header's bytes
    hi = SHA-256 of the hex of h(i-1), a line feed, and the bytes of event i
Whoever has the file and a SHA-256 can follow the chain; whoever has the journal can compare each event.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from msgspec import Raw, Struct, json

from edge.journal.history import Entry
from edge.production.state import Run

FORMAT = 1

ITS_OWN = Raw(b"null")


class EventLine(Struct, frozen=True, omit_defaults=True):
    """One event, as it is stored; the order of the keys is the order in the file."""

    epoch: str
    seq: int
    type: str
    at_ms: int
    stamp: str
    seen_ms: int
    mono_ms: int
    boot: str
    station: str
    context: Raw
    """As it was committed."""
    data: Raw
    attribution: int = 1
    owner: Raw = ITS_OWN
    """The context that it has now, where a correction has given it another."""


class Correction(Struct, frozen=True):
    """Somebody changed what is the run's: parts that it got or lost, and who and why."""

    at: str
    what: str
    """`undo`, `back`, `reassigned` or `adjusted`."""
    by: str
    reason: str
    good: int
    scrap: int
    events: int = 0
    """How many were moved; negative: out of this run."""


class Moved(Struct, frozen=True):
    """Events of one correction that came from another run, or went to one."""

    version: int
    run: str | None
    order: str | None
    seqs: tuple[tuple[int, int], ...]
    """Ranges of seq, both ends included."""


class TestLine(Struct, frozen=True):
    """Tests by rig, program and the program's revision."""

    __test__ = False

    rig: str
    program: str
    revision: str | None
    tests: int = 0
    passed: int = 0
    first_pass: int = 0


class MaterialLine(Struct, frozen=True):
    """A lot of material, by how it was used."""

    material: str
    lot: str
    use: str
    times: int = 0
    quantity: float = 0.0
    """Of one that was mounted: what its label says is in it, however often it was scanned; else the sum."""


class Noted(Struct, frozen=True):
    """A disposition, a gap or a flag, in words."""

    at: str
    kind: str
    quantity: int
    words: str


class Figures(Struct, frozen=True):
    """Parts of the run, added up from its events: PQ = GQ + SQ + RQ_open."""

    produced: int
    good: int
    scrap: int
    rework: int
    reworked: int
    adjusted: int
    inspected: int
    first_pass: int


class Contents(Struct, frozen=True):
    """What the events of the run add up to."""

    events: int
    moved_in: tuple[Moved, ...]
    figures: Figures
    batches: tuple[str, ...]
    people: tuple[str, ...]
    corrections: tuple[Correction, ...]
    tests: tuple[TestLine, ...]
    materials: tuple[MaterialLine, ...]
    units: tuple[str, ...]
    units_in_all: int
    dispositions: tuple[Noted, ...]
    gaps: tuple[Noted, ...]
    flags: tuple[Noted, ...]


class Header(Struct, frozen=True):
    """What the dossier says of its run."""

    dossier: int
    """The format."""
    line: str
    run: str
    station: str
    kind: str
    order: str | None
    operation: int | None
    item: str | None
    revision: str | None
    quantity: int
    """The target of the order."""
    started: str
    ended: str | None
    """None: the run was on."""
    as_of: int
    """seq of the journal's newest event when the dossier was made."""
    moved_out: tuple[Moved, ...]
    contents: Contents
    tools: tuple[str, ...] = ()
    """Those that were in use at its station."""


class Linked(Struct, frozen=True):
    """An event of the file and the hash that the chain has after it."""

    event: EventLine
    hash: str


class Dossier(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    header: Header
    events: tuple[Linked, ...]
    hash: str


class RunLine(Struct, frozen=True):
    """What is known of a run beside its events."""

    line: str
    run: Run
    as_of: int


_encode = json.Encoder().encode


def event_line(entry: Entry) -> EventLine:
    owner = ITS_OWN if entry.owner is None else Raw(entry.owner.encode())
    return EventLine(
        entry.epoch, entry.seq, entry.type, entry.at_ms, entry.stamp, entry.seen_ms, entry.mono_ms,
        entry.boot, entry.station, Raw(entry.context.encode()), Raw(entry.data), entry.version, owner,
    )  # fmt: skip


def event_bytes(event: EventLine) -> bytes:
    return _encode(event)


def header_bytes(header: Header) -> bytes:
    return _encode(header)


def begin_chain(header: Header) -> str:
    return sha256(header_bytes(header)).hexdigest()


def chain(before: str, event: bytes) -> str:
    return sha256(before.encode() + b"\n" + event).hexdigest()


def rendered(header: Header, events: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of the file, a piece at a time."""
    yield b'{"header":' + header_bytes(header) + b',\n"events":['
    link, between = begin_chain(header), b"\n"
    for event in events:
        link = chain(link, event)
        yield between + b'{"event":' + event + b',"hash":"' + link.encode() + b'"}'
        between = b",\n"
    yield b'\n],\n"hash":"' + link.encode() + b'"}\n'
