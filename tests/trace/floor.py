"""A line with a journal, played one observation at a time: the core decides, the journal keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.contract import Record
from edge.journal import Journal, JournalReader
from edge.journal.history import History
from edge.journal.store import encode_data
from edge.observation import (
    COMMAND,
    Command,
    LotChange,
    LotShare,
    Material,
    Observation,
    Outcome,
    Reassign,
    TestResult,
    Verdict,
    WorkOrder,
)
from edge.production import Line, decide, needs
from edge.production.state import Row
from tests.support.clock import ManualClock
from tests.support.line import scan, see, station

ORDERS = {
    order.id: order
    for order in (
        WorkOrder("WO-1", "P7", 1000, "C", "B1", (10,), (Material("STEEL", 0.5),)),
        WorkOrder("WO-2", "P8", 1000, "D", "B2", (10,), (Material("STEEL", 1.5), Material("GLUE", 2.0))),
        WorkOrder("WO-3", "P9", 1000, "A", None, (20,), (Material("BRKT", 1.0),)),
    )
}
STATIONS = ("press", "weld")


class Floor:
    """Two stations, each with a counter, a gun and a rig."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self.line = Line(
            "line-1", tuple(station(name, gun=f"gun-{name}") for name in STATIONS), ORDERS, False
        )
        self.journal = Journal(self.path)
        self.clock = ManualClock()
        self._counters = dict.fromkeys(STATIONS, 0)
        for name in STATIONS:
            self.make(name, 0)

    def close(self) -> None:
        self.journal.close()

    def see(self, observation: Observation) -> Outcome:
        rows: dict[str, Row | None] = {}
        while missing := [key for key in needs(self.line, observation, rows) if key not in rows]:
            rows |= {key: self.journal.row(key) for key in missing}
        decision = decide(self.line, rows, observation)
        events = [(event, encode_data(event.data)) for event in decision.events]
        self.journal.commit(events, decision.rows, moves=decision.moves)
        return decision.outcome

    def scan(self, text: str, at: str = "press") -> Outcome:
        """A label; its boundary is read afresh, so that nothing is unassigned that was not before."""
        self.clock.pass_ms(2_000)
        return self.see(scan(self.clock, text, f"gun-{at}", (f"{at}.total", f"{at}.reject")))

    def did(self, text: str, at: str = "press") -> str:
        outcome = self.scan(text, at)
        assert outcome.verdict is Verdict.ACCEPTED, outcome
        return outcome.words

    def make(self, at: str = "press", parts: int = 1) -> None:
        self.clock.pass_ms(10_000 + 2_000 * parts)
        self._counters[at] += parts
        self.see(see(self.clock, f"{at}.total", self._counters[at]))

    def test(self, unit: str, at: str = "press", passed: bool = True, program: str = "final") -> Outcome:
        self.clock.pass_ms(2_000)
        number = str(self.clock.mono_ms())
        return self.see(see(self.clock, f"rig-{at}", TestResult(unit, program, passed, number=number)))

    def ask(self, command: Command) -> Outcome:
        self.clock.pass_ms(2_000)
        return self.see(see(self.clock, COMMAND, command))

    def give(self, run: str, job: str | None, batch: str | None = None) -> Outcome:
        return self.ask(Reassign("boss", "wrong card", job, run, batch=batch))

    def reassign(self, run: str, job: str | None, batch: str | None = None) -> None:
        outcome = self.give(run, job, batch)
        assert outcome.verdict is Verdict.ACCEPTED, outcome

    def split(self, source: str, *results: str) -> None:
        shares = tuple(LotShare(one, 1) for one in results)
        outcome = self.ask(LotChange("boss", "sorted", (LotShare(source, len(results)),), shares))
        assert outcome.verdict is Verdict.ACCEPTED, outcome

    def merge(self, result: str, *sources: str) -> None:
        shares = tuple(LotShare(one, 1) for one in sources)
        outcome = self.ask(LotChange("boss", "one box", shares, (LotShare(result, len(sources)),)))
        assert outcome.verdict is Verdict.ACCEPTED, outcome

    def records(self) -> list[Record]:
        reader = JournalReader(self.path, "line-1")
        try:
            return reader.records(1, reader.head(), 1_000_000)
        finally:
            reader.close()

    @contextmanager
    def history(self) -> Iterator[History]:
        history = History(self.path, "line-1")
        try:
            yield history
        finally:
            history.close()
