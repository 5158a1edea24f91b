"""A line for the spine's tests: the core with its rows, the recorder with a real journal, a fast clock."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec import json
from msgspec.structs import replace

from edge.contract import Ask
from edge.journal import Journal, JournalReader
from edge.observation import Observation, Outcome, Quality, Stamp, TestResult, Value, WorkOrder
from edge.production import Decision, Line, decide, needs
from edge.production.beside import Slice, View
from edge.production.context import Context
from edge.production.draft import Move, Restamp
from edge.production.events import MOVED, Adjustment, Count, Cycle, Disposition, Event
from edge.production.line import CounterSpec, Role, StationSpec
from edge.production.runs import merged
from edge.production.scanning import make_label
from edge.production.slots import slots
from edge.production.state import Job, Row, Station, decode_row, encode_row, job_key
from edge.production.totals import SCRAPS, Totals, counted, disposed
from edge.production.traced import MaterialUsed, Test
from edge.production.views import Since, Window, is_view, read_view
from edge.recorder import Recorder
from tests.support.clock import ManualClock

UNASSIGNED = "UNASSIGNED"

encode_context = json.Encoder().encode

ResultT = TypeVar("ResultT")


# --- a line and what is seen of it ----------------------------------------------------------


def counter(
    station: str, role: Role, bits: int = 32, parts_per_count: int = 1, source: str = "plc"
) -> CounterSpec:
    signal = f"{station}.{role}"
    return CounterSpec(signal, role, source, f"counter/{source}|{signal}|u{bits}", 1 << bits, parts_per_count)


def station(
    name: str = "press", *counters: CounterSpec, gun: str = "gun-1", ideal_ms: int = 1000
) -> StationSpec:
    """Reads `NAME.state` too. Without counters: a total and a reject. Fastest cycle: half of `ideal_ms`."""
    read = counters or (counter(name, Role.TOTAL), counter(name, Role.REJECT))
    return StationSpec(
        name, ideal_ms, ideal_ms / 2, 5 * ideal_ms, read,
        state_signal=f"{name}.state", state_map={"0": "Stopped", "1": "Execute"}, gun=gun, rig=f"rig-{name}",
    )  # fmt: skip


ORDERS = {
    order.id: order
    for order in (
        WorkOrder("WO-1001", "P7", 100, "C", operations=(10,)),
        WorkOrder("WO-1002", "P8", 50, batch="L12"),
        WorkOrder("WO-1003", "P9", 10, operations=(10, 20)),
    )
}


def line(*stations: StationSpec, badge_required: bool = False) -> Line:
    return Line("line-1", stations or (station(),), ORDERS, badge_required)


def see(
    clock: ManualClock,
    signal: str,
    value: Value,
    *,
    answers: int = 0,
    fresh: tuple[str, ...] | None = None,
    quality: Quality = Quality.GOOD,
    stamp: Stamp = Stamp.RECEIPT,
    detail: str = "",
) -> Observation:
    """An observation of now."""
    return Observation(
        signal, value, clock.wall_ms(), clock.wall_ms(), clock.mono_ms(), clock.boot, quality, stamp, detail,
        answers, fresh,
    )  # fmt: skip


def label(text: str) -> str:
    """`E 4711` to `$E4711` and its check character."""
    letter, _, body = text.partition(" ")
    return make_label(letter, body)


def scan(
    clock: ManualClock, text: str, gun: str = "gun-1", fresh: tuple[str, ...] | None = None
) -> Observation:
    return see(clock, gun, label(text), fresh=fresh)


def result(unit: str, passed: bool = True, number: str | None = None) -> TestResult:
    return TestResult(unit, "final", passed, number=number)


# --- the core -------------------------------------------------------------------------------


class Core:
    """The core; its rows are encoded after every observation and decoded when `needs` names them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.rows: dict[str, bytes] = {}
        self.events: list[Event] = []
        self.moved: dict[int, tuple[Context, int]] = {}
        """Place of an event to whom it was given, and the version."""
        self._before: dict[int, dict[int, Context]] = {}

    def see(self, observation: Observation) -> Decision:
        """Decide it and keep what changed."""
        rows: dict[str, Row | None] = {}
        while missing := [key for key in needs(self.line, observation, rows) if key not in rows]:
            rows |= {key: self.row(key) for key in missing}
        decision = decide(self.line, rows, observation)
        self.rows |= {key: encode_row(row) for key, row in decision.rows.items()}
        for move in decision.moves:
            self._move(move)
        self.events += decision.events
        if isinstance(decision.timing, Restamp) and decision.timing.shift_ms:
            self.events = [_restamped(event, decision.timing) for event in self.events]
        return decision

    def owner(self, place: int) -> tuple[Context, int]:
        """The context of an event as it is now, and its version."""
        return self.moved.get(place, (self.events[place].context, 1))

    def view(self, key: str) -> View:
        """What the journal would say, the slow and obvious way."""
        slices: dict[Context, Slice] = {}
        for place in self._chosen(key):
            context, _ = self.owner(place)
            before = slices.get(context) or Slice(context, Totals(), 0)
            slices[context] = _with_event(before, self.events[place])
        return View(tuple(slices[context] for context in sorted(slices, key=encode_context)))

    def _chosen(self, key: str) -> Iterator[int]:
        view = read_view(key)
        for place, event in enumerate(self.events):
            if event.station != view.station or event.data.type not in MOVED:
                continue
            if not isinstance(view, Since):
                stays = isinstance(view, Window) and _is_of_a_run(event.data)
                if view.from_ms <= event.at_ms < view.to_ms and not stays:
                    yield place
            elif event.boot == view.boot and event.mono_ms >= view.mono_ms:
                yield place

    def _move(self, move: Move) -> None:
        now = [(place, self.owner(place)[0]) for place in self._chosen(move.view)]
        before = self._before.setdefault(move.version, dict(now))
        for place, _ in now:
            if before.get(place) == move.source:
                self.moved[place] = move.target, move.version

    def row(self, key: str) -> Row | None:
        if is_view(key):
            return self.view(key)
        body = self.rows.get(key)
        return None if body is None else decode_row(body)

    def station(self, name: str = "press") -> Station:
        row = self.row(f"station/{name}")
        assert row is None or isinstance(row, Station)
        return row or Station()

    def counts(self) -> list[Count]:
        return [event.data for event in self.events if isinstance(event.data, Count)]

    def totals(self) -> dict[str, dict[str, Totals]]:
        """By station and job, from the rows; parts of no order under UNASSIGNED."""
        found: dict[str, dict[str, Totals]] = {}
        for spec in self.line.stations:
            row = self.station(spec.name)
            by_job = found[spec.name] = {UNASSIGNED: row.unassigned}
            for key in self.rows:
                job = self.row(key) if key.startswith("job/") else None
                if isinstance(job, Job) and spec.name in job.totals:
                    by_job[key.removeprefix("job/")] = job.totals[spec.name]
            for run in (slot.run for slot in slots(row)):
                name = job_key(run.order or "", run.operation).removeprefix("job/")
                by_job[name] = run.order_totals
        return found


def _restamped(event: Event, timing: Restamp) -> Event:
    estimated = event.boot == timing.boot and timing.mono_ms <= event.mono_ms <= timing.until_mono_ms
    if not estimated or abs(event.seen_ms - event.mono_ms - timing.offset_ms) > 50:
        return event
    at_ms = event.at_ms + timing.shift_ms if event.at_ms >= timing.since_ms else event.at_ms
    return replace(event, at_ms=at_ms, seen_ms=event.seen_ms + timing.shift_ms)


def _is_of_a_run(data: object) -> bool:
    return isinstance(data, Adjustment) or (isinstance(data, MaterialUsed) and data.use == "backflush")


def _with_event(before: Slice, event: Event) -> Slice:
    made, cycles, seconds, data = Totals(), 0, 0.0, event.data
    scrapped: dict[str, int] = {}
    match data:
        case Count():
            made = counted(data.role, data.produced, counts=data.counts, of_total=data.of_total)
            scrapped = {data.reason: data.produced}
        case Disposition():
            made = disposed(data.disposition, data.quantity)
            scrapped = {data.reason: data.quantity} if data.disposition in SCRAPS else {}
        case Adjustment():
            made = Totals(added=data.good + data.scrap, booked=data.scrap)
        case Test(first=True):
            made = Totals(inspected=1, first_pass=int(data.first_pass))
        case Cycle():
            cycles, seconds = data.cycles, data.cycle_s * data.cycles
    return Slice(
        before.context, before.totals.and_(made), before.events + 1, before.cycles + cycles,
        round(before.cycles_s + seconds, 3), min(before.first_ms or event.at_ms, event.at_ms),
        max(before.last_ms, event.at_ms), merged(before.reasons, {r: n for r, n in scrapped.items() if r}),
    )  # fmt: skip


# --- the recorder ---------------------------------------------------------------------------


class HandAsker:
    """The sources' side of a fresh read, played by the test: it decides which signals can be asked for."""

    def __init__(self, *answerable: str) -> None:
        self.answerable = set(answerable)
        self.asks: list[Ask] = []
        self._asked = asyncio.Event()

    def __call__(self, signals: Iterable[str]) -> list[Ask]:
        wanted = self.answerable & set(signals)
        if not wanted:
            return []
        self.asks.append(Ask(len(self.asks) + 1, frozenset(wanted)))
        self._asked.set()
        return [self.asks[-1]]

    async def next(self) -> Ask:
        """Wait for an ask that comes from now on, or came since the last call."""
        async with guard():
            await self._asked.wait()
        self._asked.clear()
        return self.asks[-1]


@asynccontextmanager
async def recording(line: Line, path: Path, ask: HandAsker | None = None) -> AsyncIterator[Recorder]:
    """A recorder at work on a journal of its own; stopped in order at the end."""
    journal = Journal(path)
    recorder = Recorder(line, journal, ask or HandAsker())
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(recorder.run())
            yield recorder
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        journal.close()


@contextmanager
def no_room(journal: Journal) -> Iterator[None]:
    """SQLite says "database or disk is full" to every commit that needs another page."""
    pages = journal._db.pragma("page_count")
    before = journal._db.pragma("max_page_count")
    journal._db.pragma("max_page_count", pages)
    try:
        yield
    finally:
        journal._db.pragma("max_page_count", before)


BULKY = "x" * 20_000
"""A detail that needs pages of its own."""


def bulky(observation: Observation) -> Observation:
    """The same, unreadable and too large for the free space of a page."""
    return replace(observation, quality=Quality.BAD, detail=BULKY)


def events_on_disk(path: Path) -> list[Mapping[str, Any]]:
    """Every event, as a sink gets it: type, station, context and its data."""
    reader = JournalReader(path, "line-1")
    try:
        return [
            {"type": one.type, "station": one.station, "context": dict(one.context), **one.data}
            for one in reader.records(1, reader.head(), 1_000_000)
        ]
    finally:
        reader.close()


def words(outcomes: Iterable[Outcome]) -> list[tuple[str, str]]:
    return [(str(outcome.verdict), outcome.words) for outcome in outcomes]


# --- time -----------------------------------------------------------------------------------


class _QuickSelector(selectors.DefaultSelector):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._factor)


class _QuickLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs `factor` times as fast."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        super().__init__(_QuickSelector(factor))

    def time(self) -> float:
        return super().time() * self.factor


def run_quickly(main: Coroutine[Any, Any, ResultT], factor: float = 20.0) -> ResultT:
    """`asyncio.run` in which a second of waiting takes a `factor`th of one; disk and CPU do not hurry."""
    with asyncio.Runner(loop_factory=lambda: _QuickLoop(factor)) as runner:
        return runner.run(main)


def guard(real_s: float = 10.0) -> asyncio.Timeout:
    """A limit that only a fault reaches; in seconds of the wall also where the loop's clock runs quickly."""
    loop = asyncio.get_running_loop()
    return asyncio.timeout(real_s * (loop.factor if isinstance(loop, _QuickLoop) else 1.0))
