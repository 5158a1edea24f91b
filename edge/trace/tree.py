"""A genealogy as lines of a terminal."""

from collections.abc import Iterator
from datetime import tzinfo

from msgspec import Struct

from edge.journal.history import MadeUnder, TestedOn
from edge.observation import Step
from edge.trace.facts import RunFacts, Seen, Tested, UnitFacts
from edge.trace.genealogy import Edge, Genealogy, Key, Node
from edge.trace.text import columns, cut, job_words, joined, moment, plain, product

DEEPEST = 12
"""Levels that are indented; one below them is named and not followed."""


class Lines(Struct, frozen=True):
    """What a tree is drawn with."""

    tee: str
    last: str
    bar: str
    gap: str


UNICODE = Lines("├─ ", "└─ ", "│  ", "   ")
ASCII = Lines("|- ", "`- ", "|  ", "   ")

_MANY = {"lot": "lots", "unit": "units", "run": "runs"}
_HEADS = {"forward": "what was made of it", "back": "what it was made of"}


def drawn(found: Genealogy, zone: tzinfo, lines: Lines = UNICODE, width: int | None = None) -> Iterator[str]:
    """The tree, and below it what is known of all serial numbers together."""
    for line in _Tree(found, zone, lines).lines():
        yield cut(line, width)
    for line in _summary(found):
        yield cut(line, width)


class _Tree:
    """A node is told of where the walk came to it first, nearest to the start; elsewhere it is named."""

    def __init__(self, found: Genealogy, zone: tzinfo, lines: Lines) -> None:
        self._found, self._zone, self._draw = found, zone, lines
        self._nodes: dict[Key, Node] = {node.key: node for node in found.nodes}
        self._edges: dict[Key, list[Edge]] = {}
        self._homes: dict[Key, Edge] = {}
        for edge in found.edges:
            self._edges.setdefault(edge.source, []).append(edge)
            if edge.target != found.start:
                self._homes.setdefault(edge.target, edge)

    def lines(self) -> Iterator[str]:
        """Depth first with a stack of its own: a chain of splits may be longer than Python's."""
        start = self._nodes[self._found.start]
        yield f"{_name(start.key)}: {_HEADS[self._found.direction]}"
        yield from (f"  {line}" for line in self._details(start))
        stack = [("", edge, last) for edge, last in self._below(start.key)]
        if not stack and not start.more:
            yield f"{self._draw.last}nothing is known"
        while stack:
            before, edge, last = stack.pop()
            if isinstance(edge, str):
                yield before + self._draw.last + edge
                continue
            node, again = self._nodes[edge.target], self._homes.get(edge.target) is not edge
            yield before + (self._draw.last if last else self._draw.tee) + self._line(node, edge.how, again)
            inner = before + (self._draw.gap if last else self._draw.bar)
            if not again and len(inner) >= DEEPEST * 3 and self._edges.get(node.key):
                yield inner + self._draw.last + f"and on: trace {plain(node.name)}"
            elif not again:
                stack += [(inner, below, final) for below, final in self._below(node.key)]

    def _below(self, key: Key) -> list[tuple[Edge | str, bool]]:
        """What stands under a node, in the order of a stack: the last is drawn first."""
        edges: list[Edge | str] = [*self._edges.get(key, ())]
        more = self._nodes[key].more
        if more:
            rest = [f"{many:,} {_MANY[kind]}" if many > 0 else _MANY[kind] for kind, many in more.items()]
            edges.append(f"and more: {', '.join(rest)}; --limit shows more of them")
        return [(edge, place == len(edges) - 1) for place, edge in enumerate(edges)][::-1]

    def _line(self, node: Node, how: str, again: bool) -> str:
        if again:
            return joined(_name(node.key), f"[{plain(how)}]", "(told elsewhere)")
        facts = _run_words(node.run, self._zone) if node.run else _unit_words(node.unit) if node.unit else ""
        return joined(_name(node.key), facts, f"[{plain(how)}]")

    def _details(self, start: Node) -> Iterator[str]:
        """Of the node that was asked for: everything."""
        if start.run:
            yield _run_words(start.run, self._zone)
        if start.unit:
            yield plain(start.unit.state)
            yield from (f"{moment(one.at_ms, self._zone)}  {_seen_words(one)}" for one in start.unit.seen)
            for test in start.unit.tests:
                yield f"{moment(test.at_ms, self._zone)}  {_test_words(test)}"
                yield from (f"    {step_words(step)}" for step in test.steps)
            for one in start.unit.decided:
                yield joined(moment(one.at_ms, self._zone), plain(one.what), plain(one.reason))


def _name(key: Key) -> str:
    return f"{key[0]} {plain(key[1])}"


def _run_words(run: RunFacts, zone: tzinfo) -> str:
    until = moment(run.to_ms, zone) or "now"
    made = f"{run.good} good, {run.scrap} scrap" + (f", {run.rework} in rework" if run.rework else "")
    return plain(joined(
        run.station, job_words(run.order, run.operation), product(run.item, run.revision),
        "" if run.kind in ("production", "unassigned") else run.kind,
        f"{moment(run.from_ms, zone)} to {until}", f"by {', '.join(run.people)}" if run.people else "",
        f"with {', '.join(run.tools)}" if run.tools else "", made,
    ))  # fmt: skip


def _unit_words(unit: UnitFacts) -> str:
    """On one line: where it was made, under which revision, and what the rigs said."""
    places = dict.fromkeys(
        f"{one.station} {job_words(one.order, one.operation)} {product(one.item, one.revision)}".rstrip()
        for one in unit.seen
    )
    tests = [_test_words(one) for one in unit.tests]
    return plain(joined(unit.state, "; ".join(places), "; ".join(tests)))


def _seen_words(seen: Seen) -> str:
    lots = f"lots {', '.join(seen.lots)}" if seen.lots else ""
    return plain(joined(
        seen.station, seen.run or "", job_words(seen.order, seen.operation),
        product(seen.item, seen.revision), f"batch {seen.batch}" if seen.batch else "", lots,
        f"lot {seen.lot}" if seen.lot else "", f"with {', '.join(seen.tools)}" if seen.tools else "",
    ))  # fmt: skip


def _test_words(test: Tested) -> str:
    program = f"{test.program} rev {test.revision}" if test.revision else test.program
    return plain(f"{program} on {test.rig} {verdict_words(test.passed, differs=test.differs)}")


def verdict_words(passed: bool | None, *, differs: bool) -> str:
    """`passed`, `failed`, `measured`; and whether the rig and the limits agree on it."""
    words = "measured" if passed is None else "passed" if passed else "failed"
    return f"{words} (the rig and its limits differ)" if differs else words


def step_words(step: Step) -> str:
    """`ripple 4.2 mV (low 1, high 4)`."""
    bounds = [f"low {step.low:g}"] if step.low is not None else []
    bounds += [f"high {step.high:g}"] if step.high is not None else []
    value = "" if step.value is None else f"{step.value:g}"
    words = " ".join(filter(None, (step.name, value, step.unit_of_measure, step.text)))
    return plain(words + (f" ({', '.join(bounds)})" if bounds else ""))


def _summary(found: Genealogy) -> Iterator[str]:
    if found.made:
        yield ""
        yield "Serial numbers of it, by what they were made under:"
        head = ("JOB", "PRODUCT", "RUN", "STATION", "UNITS")
        yield from columns([head, *map(_made_row, found.made)])
    if found.tested:
        yield ""
        yield "And by where they were tested:"
        head = ("RIG", "PROGRAM", "UNITS", "TESTS", "PASSED")
        yield from columns([head, *map(_tested_row, found.tested)])


def _made_row(one: MadeUnder) -> tuple[str, ...]:
    job, made = job_words(one.order, one.operation), product(one.item, one.revision)
    return tuple(map(plain, (job, made, one.run or "", one.station, one.units)))


def _tested_row(one: TestedOn) -> tuple[str, ...]:
    program = f"{one.program} rev {one.revision}" if one.revision else one.program
    return tuple(map(plain, (one.rig, program, one.units, one.tests, one.passed)))
