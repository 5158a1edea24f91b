"""From a lot, a serial number or a run to what was made of it, or what it was made of.

One relation, read in both directions, so that what is found forward leads back:
    lot -> run    the run used it (material events)
    run -> lot    the run made parts of this batch: they were counted, or have serial numbers
    lot -> unit   it was in use when the serial number was scanned, or the unit is of this batch
    run -> unit   the unit was seen or tested in the run under no batch and with no lot
    lot -> lot    split and merge
A batch of one station is a material lot of the next under the same name: one node.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice

from msgspec import Struct, field
from msgspec.structs import replace

from edge.errors import TraceRefused
from edge.journal.history import History, MadeUnder, Member, TestedOn, Use
from edge.production.beside import Slice
from edge.production.state import Run
from edge.production.totals import NOTHING, Totals
from edge.trace.facts import MOST_EVENTS, RunFacts, UnitFacts, run_facts, unit_facts
from edge.trace.text import plain

LIMIT = 20
"""Neighbours of each kind that one node is followed to."""
MOST_NODES = 2_000

Key = tuple[str, str]
"""Kind (`lot`, `unit` or `run`) and name."""


class Node(Struct, frozen=True):
    """A lot, a unit or a run."""

    kind: str
    name: str
    unit: UnitFacts | None = None
    run: RunFacts | None = None
    more: Mapping[str, int] = {}
    """Neighbours that were not followed, by kind; -1: it is not known how many."""

    @property
    def key(self) -> Key:
        return self.kind, self.name


class Edge(Struct, frozen=True):
    """From one node to the next in the direction of the walk."""

    source: Key
    target: Key
    how: str


class Genealogy(Struct, frozen=True):
    """What a trace found. Each edge leads away from the start; a node is there once."""

    start: Key
    direction: str
    """`forward`: what was made of it; `back`: what it was made of."""
    nodes: tuple[Node, ...]
    """In the order they were reached; the start is the first."""
    edges: tuple[Edge, ...]
    made: tuple[MadeUnder, ...] = ()
    """Of a lot, forward: all its serial numbers, by what they were made under."""
    tested: tuple[TestedOn, ...] = ()
    """And by where they were tested."""
    complete: bool = True
    """False where a limit kept something out."""


class Next(Struct, frozen=True):
    """What a node leads to, each with how, and how many there are besides."""

    found: tuple[tuple[Key, str], ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)


def resolve(history: History, name: str) -> Key:
    """Which lot or unit a person means; `lot/X`, `unit/X` say so. Raises TraceRefused."""
    kind, _, rest = name.partition("/")
    known = {"unit": history.knows_unit, "lot": history.knows_lot}
    if rest and kind in known and known[kind](rest):
        return kind, rest
    found = [kind for kind, knows in known.items() if knows(name)]
    if len(found) == 1:
        return found[0], name
    said = plain(name)
    if found:
        raise TraceRefused(said, f"is a serial number and a lot: say unit/{said} or lot/{said}")
    near = get_close_matches(name, history.names_near(name), 3, 0.6)
    hint = f"; did you mean {' or '.join(map(plain, near))}?" if near else ""
    raise TraceRefused(said, f"is no serial number and no lot that this line has seen{hint}")


def trace(history: History, start: Key, direction: str, limit: int = LIMIT) -> Genealogy:
    """Follow the relation from `start`, each node once, so that a circle ends."""
    walk = _Walk(history, limit)
    nodes: list[Node] = []
    edges: list[Edge] = []
    waiting, known = deque([start]), {start}
    while waiting:
        key = waiting.popleft()
        following = walk.forward(key) if direction == "forward" else walk.back(key)
        more = dict(following.more)
        for target, how in following.found:
            if target not in known and len(known) >= MOST_NODES:
                more[target[0]] = -1
                continue
            if target not in known:
                known.add(target)
                waiting.append(target)
            edges.append(Edge(key, target, how))
        nodes.append(replace(walk.node(key), more=more))
    of_lot = start[0] == "lot" and direction == "forward"
    return Genealogy(
        start, direction, tuple(nodes), tuple(edges),
        tuple(history.made_of(start[1], MOST_NODES)) if of_lot else (),
        tuple(history.tests_of(start[1], MOST_NODES)) if of_lot else (),
        not any(node.more for node in nodes),
    )  # fmt: skip


class _Walk:
    """What nodes lead to. Runs and their figures are looked up once."""

    def __init__(self, history: History, limit: int) -> None:
        self._history = history
        self._limit = limit
        self._runs: dict[str, Run | None] = {}
        self._made: dict[str, dict[str | None, Totals]] = {}

    def node(self, key: Key) -> Node:
        kind, name = key
        if kind == "unit":
            return Node(kind, name, unit=unit_facts(self._history, name))
        run = self._run(name) if kind == "run" else None
        return Node(kind, name, run=run_facts(run) if run else None)

    def forward(self, key: Key) -> Next:
        kind, name = key
        if kind == "lot":
            return self._from_lot(name)
        return self._from_run(name) if kind == "run" else Next()

    def back(self, key: Key) -> Next:
        kind, name = key
        if kind == "lot":
            return self._to_lot(name)
        return self._to_run(name) if kind == "run" else self._to_unit(name)

    # --- forward ----------------------------------------------------------------------------

    def _from_lot(self, lot: str) -> Next:
        changes = [(("lot", name), how) for name, how in _changed(self._history, lot, "sources", "results")]
        runs = [(("run", run), how) for run, how in _by_run(self._history.uses_of(lot))]
        history, most = self._history, self._limit + 1
        members = {one.unit: one for one in history.units_of(lot, most)}
        for run in islice(self._makers(lot), most):
            if len(members) >= most:
                break
            found = history.units_in(run, lot, most)
            members |= {one.unit: one for one in found if one.unit not in members}
        units = [(("unit", one.unit), _belongs(one)) for one in members.values()]
        found_next = self._next(changes, runs, units)
        if "unit" not in found_next.more:
            return found_next
        rest = history.count_units_of(lot) - self._limit
        return replace(found_next, more={**found_next.more, "unit": rest if rest > 0 else -1})

    def _from_run(self, name: str) -> Next:
        run = self._run(name)
        if run is None:
            return Next()
        lots = [(("lot", batch), _made(made)) for batch, made in self._batches(run).items() if batch]
        bare = self._history.units_in(run, None, self._limit + 1)
        return self._next(lots, [(("unit", one.unit), "seen in the run") for one in bare])

    # --- back -------------------------------------------------------------------------------

    def _to_lot(self, lot: str) -> Next:
        changes = [(("lot", name), how) for name, how in _changed(self._history, lot, "results", "sources")]
        makers = islice(self._makers(lot), self._limit + 1)
        runs = [(("run", run.id), _made(self._batches(run)[lot])) for run in makers]
        return self._next(changes, runs)

    def _to_run(self, name: str) -> Next:
        run = self._run(name)
        if run is None:
            return Next()
        uses: dict[str, list[Use]] = {}
        for use in self._history.uses_in(run):
            uses.setdefault(use.lot, []).append(use)
        return self._next([(("lot", lot), _used(found)) for lot, found in uses.items() if _is_used(found)])

    def _to_unit(self, serial: str) -> Next:
        lots: dict[Key, str] = {}
        runs: dict[Key, str] = {}
        for seen in unit_facts(self._history, serial).seen:
            for lot in seen.lots:
                lots.setdefault(("lot", lot), f"in use at {seen.station}")
            for batch in filter(None, (seen.batch, seen.lot)):
                lots.setdefault(("lot", batch), "of this batch")
            if seen.run and not seen.lots and not seen.batch:
                runs.setdefault(("run", seen.run), "seen in the run")
        return self._next(list(lots.items()), list(runs.items()))

    # --- common -----------------------------------------------------------------------------

    def _makers(self, batch: str) -> Iterator[Run]:
        """Runs with parts of the batch, by their newest owner."""
        for name in self._history.batch_runs(batch, MOST_NODES):
            run = self._run(name)
            if run is not None and batch in self._batches(run):
                yield run

    def _batches(self, run: Run) -> dict[str | None, Totals]:
        if run.id not in self._made:
            made = _by_batch(self._history.made(run))
            units = self._history.unit_batches_in(run)
            self._made[run.id] = {
                batch: parts for batch, parts in made.items() if parts != NOTHING or batch in units
            }
        return self._made[run.id]

    def _run(self, name: str) -> Run | None:
        if name not in self._runs:
            self._runs[name] = self._history.run(name)
        return self._runs[name]

    def _next(self, *groups: list[tuple[Key, str]]) -> Next:
        """`limit` of each group; what is left out is said, by kind."""
        found: list[tuple[Key, str]] = []
        more: dict[str, int] = {}
        for group in groups:
            found += group[: self._limit]
            if len(group) > self._limit:
                more[group[0][0][0]] = -1  # what was asked for was one more than the limit
        return Next(tuple(found), more)


# --- words and facts ----------------------------------------------------------------------------


def _changed(history: History, lot: str, here: str, there: str) -> list[tuple[str, str]]:
    """Lots that it was split or merged into or from."""
    found: dict[str, str] = {}
    for record in history.lot_changes(lot, MOST_EVENTS):
        data = record.data
        if lot in (share["lot"] for share in data.get(here, ())):
            for share in data.get(there, ()):
                if share["lot"] != lot:
                    found[share["lot"]] = f"{data['change']}: {share['quantity']:g}"
    return list(found.items())


def _by_run(uses: Iterable[Use]) -> list[tuple[str, str]]:
    runs: dict[str, list[Use]] = {}
    for use in uses:
        runs.setdefault(use.run, []).append(use)
    return [(run, _used(found)) for run, found in runs.items() if _is_used(found)]


def _is_used(uses: Iterable[Use]) -> bool:
    """A lot that was put in use by mistake and taken back each time is none."""
    times = {one.use: one.times for one in uses}
    return times.pop("taken_back", 0) < times.pop("mounted", 0) or bool(times)


def _used(uses: Iterable[Use]) -> str:
    """`mounted, backflush 24.5`."""
    return ", ".join(one.use + (f" {one.quantity:g}" if one.quantity else "") for one in uses)


def _belongs(one: Member) -> str:
    if one.listed:
        return "in use when it was scanned" + (", of this batch" if one.member else "")
    return "of this batch"


def _by_batch(slices: Iterable[Slice]) -> dict[str | None, Totals]:
    found: dict[str | None, Totals] = {}
    for one in slices:
        found[one.context.batch] = found.get(one.context.batch, NOTHING).and_(one.totals)
    return found


def _made(made: Totals) -> str:
    if not made.produced:
        return "made in the run"
    return f"made in the run: {made.good_parts} good, {made.scrap_parts} scrap" + (
        f", {made.rework} in rework" if made.rework else ""
    )
