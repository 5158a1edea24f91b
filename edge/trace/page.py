"""A dossier for people: one HTML file that loads nothing, to be read and printed."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct, json
from msgspec.structs import astuple

from edge.observation import Step
from edge.trace.dossier import EventLine, Header, Moved, Noted
from edge.trace.summary import MOST_LISTED
from edge.trace.text import job_words, plain, utc
from edge.trace.tree import step_words, verdict_words

TEMPLATES = Path(__file__).parent / "templates"

Cells = tuple[str, ...]


class TestRow(Struct, frozen=True):
    """One test."""

    __test__ = False

    at: str
    unit: str
    program: str
    rig: str
    failed: bool
    verdict: str
    steps: str


class EventRow(Struct, frozen=True):
    """One event, its data as they are stored."""

    seq: int
    at: str
    type: str
    data: str
    owner: str
    """Empty where it has its own context."""
    attribution: int


class Page(Struct, frozen=True):
    """What the template places."""

    title: str
    style: str
    style_hash: str
    facts: tuple[tuple[str, str], ...]
    figures: Cells
    corrections: tuple[Cells, ...]
    moved_in: tuple[Cells, ...]
    moved_out: tuple[Cells, ...]
    materials: tuple[Cells, ...]
    tests: tuple[Cells, ...]
    dispositions: tuple[Cells, ...]
    gaps: tuple[Cells, ...]
    flags: tuple[Cells, ...]
    cut: str
    units: str
    final: Callable[[], str]
    """The final hash: known when the last event has been written."""


class _Test(Struct, frozen=True):
    unit: str
    program: str
    passed: bool | None
    rig: str
    revision: str | None = None
    steps: tuple[Step, ...] = ()
    verdict: bool | None = None
    verdict_differs: bool = False


_decode_test = json.Decoder(_Test).decode


def page_of(
    header: Header, tests: Iterable[EventLine], events: Iterable[EventLine], final: Callable[[], str]
) -> Iterator[str]:
    """The page, a piece at a time: `tests` are read first, then `events`, then `final` is asked."""
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = pages.get_template("dossier.html")
    return template.generate(page=_page(header, final), tests=map(_test, tests), events=map(_event, events))


def _page(header: Header, final: Callable[[], str]) -> Page:
    style = (TEMPLATES / "dossier.css").read_text(encoding="utf-8")
    made = header.contents
    listed = max(map(len, (made.dispositions, made.gaps, made.flags)))
    return Page(
        f"Run {plain(header.run)} of {plain(header.line)}", style,
        b64encode(sha256(style.encode()).digest()).decode(),
        tuple(_facts(header)),
        _cells(made.figures),
        tuple(map(_cells, made.corrections)),
        tuple(map(_move, made.moved_in)), tuple(map(_move, header.moved_out)),
        tuple(map(_cells, made.materials)), tuple(map(_cells, made.tests)),
        tuple(map(_noted, made.dispositions)), tuple(map(_noted, made.gaps)), tuple(map(_noted, made.flags)),
        f"The first {MOST_LISTED:,}; the events have all of them." if listed == MOST_LISTED else "",
        _units(header), final,
    )  # fmt: skip


def _facts(header: Header) -> Iterator[tuple[str, str]]:
    facts = (
        ("job", job_words(header.order, header.operation)), ("item", header.item),
        ("revision", header.revision), ("batch", ", ".join(header.contents.batches)),
        ("station", header.station), ("kind", header.kind),
        ("people", ", ".join(header.contents.people)), ("tools", ", ".join(header.tools)),
        ("from", header.started),
        ("to", header.ended or "the run was on"), ("target", f"{header.quantity:,}"),
        ("events", f"{header.contents.events:,}, as of event {header.as_of:,} of the journal"),
    )  # fmt: skip
    return ((name, plain(value)) for name, value in facts if value)


def _cells(row: Struct) -> Cells:
    return tuple("" if value is None else plain(value) for value in astuple(row))


def _noted(one: Noted) -> Cells:
    return plain(one.at), plain(one.kind), f"{one.quantity:,}", plain(one.words)


def _move(one: Moved) -> Cells:
    ranges = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in one.seqs[:100])
    words = ranges + (f" and {len(one.seqs) - 100} more ranges" if len(one.seqs) > 100 else "")
    return str(one.version), plain(one.run or "no run"), plain(one.order or "UNASSIGNED"), words


def _units(header: Header) -> str:
    made = header.contents
    rest = made.units_in_all - len(made.units)
    return ", ".join(map(plain, made.units)) + (f" and {rest:,} more" if rest else "")


def _test(event: EventLine) -> TestRow:
    test = _decode_test(event.data)
    program = f"{test.program} rev {test.revision}" if test.revision else test.program
    steps = "; ".join(map(step_words, test.steps))
    passed = test.passed if test.verdict is None else test.verdict
    words = verdict_words(passed, differs=test.verdict_differs).replace("failed", "FAILED")
    return TestRow(
        utc(event.at_ms), plain(test.unit), plain(program), plain(test.rig), passed is False, words, steps
    )


def _event(event: EventLine) -> EventRow:
    owner = plain(bytes(event.owner).decode()) if event.attribution > 1 else ""
    data = plain(bytes(event.data).decode())
    return EventRow(event.seq, utc(event.at_ms), event.type, data, owner, event.attribution)
