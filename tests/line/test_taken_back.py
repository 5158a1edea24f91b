"""Whatever was decided about a unit, or mounted: taken back at once, nothing of it is left."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.observation import Material, TestResult, Verdict, WorkOrder
from edge.production import Line
from edge.production.line import CountsBy, Role
from edge.production.slots import slots
from edge.production.state import Job, Station, Unit
from edge.production.totals import Totals
from edge.production.traced import MaterialUsed
from tests.support.clock import ManualClock
from tests.support.line import Core, counter, label, see, station

ORDERS = {
    order.id: order
    for order in (
        WorkOrder(
            "A", "P7", 100, operations=(10,), materials=(Material("STEEL", 0.5), Material("GLUE", 2.0))
        ),
        WorkOrder("B", "P8", 100, materials=(Material("STEEL", 1.0),)),
    )
}
GUNS = {"press": "gun-1", "bench": "gun-2"}
UNITS = ("U1", "U2")
VERBS = ("C OK", "C NG", "C REWORK", "C SCRAP", "X DENT")
LOTS = ("L STEEL.1", "L STEEL.2", "L GLUE.1")

names = st.sampled_from(sorted(GUNS))
decisions = st.tuples(names, st.sampled_from(UNITS), st.sampled_from(VERBS))
others = st.one_of(
    decisions,
    st.tuples(names, st.sampled_from([*LOTS, "J A-10", "J B", "C DONE", "C PAUSE", "C UNDO"])),
    st.tuples(st.sampled_from(UNITS), st.sampled_from(["12/3", "12/4"]), st.booleans()),
    st.integers(0, 4),
)


class Shop:
    """A press that counts, a bench with room for two jobs where a person may count."""

    def __init__(self, counts_by: CountsBy | None) -> None:
        press = replace(
            station("press", counter("press", Role.TOTAL), counter("press", Role.REJECT), ideal_ms=50),
            counts_by=counts_by,
        )
        bench = replace(station("bench", counter("bench", Role.GOOD), gun="gun-2", ideal_ms=50), capacity=2)
        self.core, self.clock = (
            Core(Line("line-1", (press, bench), ORDERS, badge_required=False)),
            ManualClock(),
        )
        self._made = 0
        self.make(0)
        for name in GUNS:
            self.scan(name, "J A-10")
        self.make(9)

    def scan(self, name: str, text: str) -> bool:
        self.clock.pass_ms(2_000)
        fresh = tuple(one.signal for one in self.core.line.named[name].counters)
        seen = see(self.clock, GUNS[name], label(text), fresh=fresh)
        return self.core.see(seen).outcome.verdict is Verdict.ACCEPTED

    def make(self, parts: int) -> None:
        self.clock.pass_ms(10_000)
        self._made += parts
        for signal in ("press.total", "bench.good"):
            self.core.see(see(self.clock, signal, self._made))

    def test(self, unit: str, program: str, passed: bool) -> None:
        self.clock.pass_ms(1_000)
        result = TestResult(unit, program, passed, number=str(self.clock.mono_ms()))
        self.core.see(see(self.clock, "rig-press", result))

    def decide(self, name: str, unit: str, verb: str) -> bool:
        return self.scan(name, f"S {unit}") and self.scan(name, verb)

    def do(self, step: object) -> None:
        match step:
            case int():
                self.make(step)
            case (str(unit), str(program), bool(passed)):
                self.test(unit, program, passed)
            case (str(name), str(unit), str(verb)):
                self.decide(name, unit, verb)
            case (str(name), str(text)):
                self.scan(name, text)

    # --- what is so -------------------------------------------------------------------------

    def units(self) -> dict[str, object]:
        found = {unit: self.core.row(f"unit/{unit}") for unit in UNITS}
        return {
            name: (one.state, one.booked_at, one.reworked, one.tests, one.failing)
            for name, one in found.items() if isinstance(one, Unit)
        }  # fmt: skip

    def parts(self) -> dict[str, tuple[Totals, dict[str, int]]]:
        """By job, those of its runs that are on too; with the reasons of scrap."""
        found: dict[str, tuple[Totals, dict[str, int]]] = {}
        for job in ("A/10", "B/"):
            row = self.core.row(f"job/{job}")
            known = row if isinstance(row, Job) else Job("", None)
            totals = Totals()
            for one in known.totals.values():
                totals = totals.and_(one)
            found[job] = totals, {reason: parts for reason, parts in known.reasons.items() if parts}
        for name in GUNS:
            here = self.core.row(f"station/{name}")
            assert isinstance(here, Station)
            for slot in slots(here):
                reasons = {reason: parts for reason, parts in slot.run.reasons.items() if parts}
                found[slot.run.id] = slot.run.totals, reasons
        return found

    def lots(self) -> dict[str, dict[str, str]]:
        rows = {name: self.core.row(f"station/{name}") for name in GUNS}
        return {
            name: {item: one.lot for item, one in row.mounted.items()}
            for name, row in rows.items() if isinstance(row, Station)
        }  # fmt: skip

    def used(self) -> Counter[str]:
        """Of each lot, as its events add up."""
        found: Counter[str] = Counter()
        for event in self.core.events:
            if isinstance(event.data, MaterialUsed) and event.data.use in ("backflush", "scanned"):
                found[event.data.lot] += round(event.data.quantity * 10)
        return +found


counting = st.sampled_from([None, CountsBy.MACHINE, CountsBy.OPERATOR])


@given(counting, st.lists(others, max_size=6), st.booleans(), st.lists(others, max_size=6), decisions)
def test_a_decision_about_a_unit(
    counts_by: CountsBy | None, first: list[object], reworked: bool, then: list[object],
    decision: tuple[str, str, str],
) -> None:  # fmt: skip
    shop, (name, unit, verb) = Shop(counts_by), decision
    to_rework = [("press", unit, "C REWORK")] if reworked else []
    for step in [*first, *to_rework, *then]:
        shop.do(step)
    if not shop.scan(name, f"S {unit}"):
        return
    units, parts = shop.units(), shop.parts()
    if shop.scan(name, verb):
        assert shop.scan(name, "C UNDO")
        assert shop.units() == units
        assert shop.parts() == parts


@given(counting, st.lists(others, max_size=12), names, st.sampled_from(LOTS), st.integers(0, 5))
def test_a_lot_in_use(
    counts_by: CountsBy | None, before: list[object], name: str, lot: str, parts: int
) -> None:
    """Two shops: in one the lot was never scanned. What is made is of the same lots in the end."""
    shop, other = Shop(counts_by), Shop(counts_by)
    for step in before:
        shop.do(step)
        other.do(step)
    if not shop.scan(name, lot):
        return
    other.clock.pass_ms(2_000)
    for one in (shop, other):
        one.make(parts)
    assert shop.scan(name, "C UNDO")
    other.clock.pass_ms(2_000)
    assert shop.lots() == other.lots()
    for one in (shop, other):
        one.make(3)
        for card in ("J A-10", "J B"):
            one.scan(name, card)
            one.scan(name, "C DONE")
    assert shop.used() == other.used()


@given(st.lists(st.tuples(st.sampled_from(["12/3", "12/4", "12/5"]), st.booleans()), min_size=1, max_size=12))
def test_a_unit_has_passed_when_every_program_has_at_last(results: list[tuple[str, bool]]) -> None:
    shop = Shop(None)
    for program, passed in results:
        shop.test("U1", program, passed)
    unit = shop.core.row("unit/U1")
    assert isinstance(unit, Unit)
    assert unit.state == ("passed" if all(dict(results).values()) else "failed")
