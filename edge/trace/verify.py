"""Is a dossier what Lineside wrote, and is it what the journal says?"""

from collections.abc import Container, Iterator

from msgspec import DecodeError, Struct, json
from msgspec.structs import replace

from edge.errors import DossierRefused
from edge.journal.history import Entry, History
from edge.trace.dossier import (
    FORMAT,
    Dossier,
    EventLine,
    Header,
    RunLine,
    begin_chain,
    chain,
    event_bytes,
    event_line,
    rendered,
)
from edge.trace.summary import Summary
from edge.trace.text import plain, utc

MOST_FAULTS = 50

_decode = json.Decoder(Dossier, strict=True).decode


class Verdict(Struct, frozen=True):
    """What the check of a dossier found."""

    header: Header
    faults: tuple[str, ...]
    """What is not as it was written; empty: nothing."""
    notes: tuple[str, ...] = ()
    """What happened to the run after the dossier was made: it is no fault of it."""
    compared: int | None = None
    """Events that are as the journal has them; None: no journal was at hand."""


def read_dossier(name: str, body: bytes) -> Dossier:
    """Raises DossierRefused where the bytes are none."""
    try:
        found = _decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DossierRefused(name, f"is none, or is damaged so that it cannot be read: {error}") from error
    if found.header.dossier != FORMAT:
        words = f"is of format {found.header.dossier}, this Lineside knows {FORMAT}; upgrade it"
        raise DossierRefused(name, words)
    return found


def verify(body: bytes, dossier: Dossier, history: History | None = None) -> Verdict:
    """The chain and the header; each event too, where the journal is at hand."""
    faults = [*_chain_faults(dossier), *_order_faults(dossier), *_header_faults(dossier)]
    if not faults and not _is_rendered(body, dossier):
        faults.append("the file's bytes are not as they were written, though its events and hashes are")
    if history is None:
        return Verdict(dossier.header, tuple(faults[:MOST_FAULTS]))
    with history.snapshot():
        found, notes, compared = _compare(dossier, history)
    faults += [fault for fault in found if fault not in faults]
    return Verdict(dossier.header, tuple(faults[:MOST_FAULTS]), tuple(notes), compared)


def told(verdict: Verdict, file: str) -> Iterator[str]:
    """In lines for a terminal."""
    header, events = verdict.header, verdict.header.contents.events
    yield plain(f"{file}: run {header.run} of {header.line}, {events:,} events as of event {header.as_of:,}")
    yield from (f"  FAULT: {plain(fault)}" for fault in verdict.faults)
    yield from (f"  since then: {plain(note)}; make the dossier again" for note in verdict.notes)
    if verdict.faults:
        yield "It is not what was written, or not what the journal says."
    elif verdict.compared is None:
        yield "The chain is whole. Give --line to compare each event with the journal."
    else:
        yield f"The chain is whole, and {verdict.compared:,} events are as the journal has them."


def named(event: EventLine) -> str:
    return f"event {event.seq} ({event.type}, {utc(event.at_ms)})"


def _chain_faults(dossier: Dossier) -> Iterator[str]:
    """After a wrong link the chain goes on from what the file says, so that each wrong one is named."""
    link = begin_chain(dossier.header)
    before = "the header"
    for one in dossier.events:
        if chain(link, event_bytes(one.event)) != one.hash:
            yield f"the chain breaks at {named(one.event)}: it, its hash or what stands before it was changed"
        link, before = one.hash, named(one.event)
    if link != dossier.hash:
        yield f"the final hash is not the one of {before}: it was changed, or events are missing at the end"


def _order_faults(dossier: Dossier) -> Iterator[str]:
    seen = 0
    for one in dossier.events:
        if one.event.seq <= seen:
            yield f"{named(one.event)} stands after event {seen}: it was reordered or is there twice"
        if one.event.seq > dossier.header.as_of:
            yield f"{named(one.event)} was added: the dossier was made at event {dossier.header.as_of}"
        seen = max(seen, one.event.seq)


def _header_faults(dossier: Dossier) -> Iterator[str]:
    """What can be added up from the events must be what the header says."""
    summary = Summary()
    try:
        for one in dossier.events:
            summary.add(one.event)
    except (DecodeError, KeyError, ValueError, OverflowError) as error:
        yield f"an event cannot be read: {error}"
        return
    said, added = dossier.header.contents, summary.contents()
    for name in said.__struct_fields__:
        if getattr(said, name) != getattr(added, name):
            yield f"the header's {name.replace('_', ' ')} are not what the events add up to"


def _is_rendered(body: bytes, dossier: Dossier) -> bool:
    place = 0
    for piece in rendered(dossier.header, (event_bytes(one.event) for one in dossier.events)):
        if body[place : place + len(piece)] != piece:
            return False
        place += len(piece)
    return place == len(body)


# --- with the journal ---------------------------------------------------------------------------


def _compare(dossier: Dossier, history: History) -> tuple[list[str], list[str], int]:
    """Faults, notes and how many events were compared."""
    header = dossier.header
    run = history.run(header.run)
    if run is None:
        return [f"the journal of {history.line} has no run {header.run}"], [], 0
    if header.as_of > history.head():
        return [f"the journal ends at event {history.head()}, the dossier was made at {header.as_of}"], [], 0
    history.collect(run, history.head())
    comparison = _Comparison(dossier, history.corrections_after(header.as_of))
    for entry in history.collected():
        comparison.add(entry)
    return comparison.done(RunLine(history.line, run, header.as_of))


class _Comparison:
    """Takes every event that the journal knows of the run, and tells what is not so in the dossier."""

    def __init__(self, dossier: Dossier, corrections: Container[int]) -> None:
        self._header = dossier.header
        self._ours = {one.event.seq: one.event for one in dossier.events}
        self._corrections = corrections
        self._faults: list[str] = []
        self._summary = Summary()
        self._same = self._moved = self._later = 0

    def add(self, entry: Entry) -> None:
        mine, stored = self._ours.pop(entry.seq, None), event_line(entry)
        if entry.version in self._corrections:
            self._add_moved(mine, stored)
        elif entry.seq > self._header.as_of:
            self._later += entry.mine
        elif not entry.mine:
            self._summary.add_entry(entry)
            if mine is not None:
                self._faults.append(f"{named(mine)} was added: it is not of this run")
        elif mine is None:
            self._faults.append(f"{named(stored)} is missing in the dossier")
        elif event_bytes(mine) != event_bytes(stored):
            self._faults.append(f"{named(stored)} differs from the journal: {_what_differs(mine, stored)}")
        else:
            self._same += 1

    def _add_moved(self, mine: EventLine | None, stored: EventLine) -> None:
        """A correction after the dossier gave it another owner; what was committed is as it was."""
        self._moved += 1
        if mine is None:
            return
        differs = _what_differs(replace(mine, attribution=stored.attribution, owner=stored.owner), stored)
        if differs:
            self._faults.append(f"{named(stored)} differs from the journal: {differs}")
        else:
            self._same += 1

    def done(self, known: RunLine) -> tuple[list[str], list[str], int]:
        run = self._header.run
        added = [f"{named(one)} was added: the journal has none of {run}" for one in self._ours.values()]
        notes = []
        if self._moved:
            notes.append(f"{self._moved} events were given to another owner since, by a correction")
        if self._later:
            notes.append(f"{self._later} events of {run} came after event {self._header.as_of}")
        return [*self._faults, *added, *self._header_faults(known)], notes, self._same

    def _header_faults(self, known: RunLine) -> Iterator[str]:
        """What is said of the run itself. A correction may have changed its times; an end may have come."""
        said = self._summary.header(known)
        names = ["line", "station", "kind", "order", "operation", "item", "revision"]
        if not self._moved:
            names += ["started", "moved_out"]
            names += ["ended", "quantity", "tools"] if self._header.ended is not None else []
        for name in names:
            if getattr(self._header, name) != getattr(said, name):
                yield f"the header's {name.replace('_', ' ')} is not the journal's"


def _what_differs(mine: EventLine, stored: EventLine) -> str:
    names = mine.__struct_fields__
    return ", ".join(name for name in names if getattr(mine, name) != getattr(stored, name))
