"""What people see is what the journal holds."""

from pathlib import Path

from msgspec import json

from edge.journal import JournalReader
from edge.production.line import Role
from edge.production.totals import Totals
from edge.readmodel import UNASSIGNED, current_states, order_totals, station_views
from tests.support.clock import ManualClock
from tests.support.line import counter, line, recording, scan, see, station


async def test_totals_over_runs_stations_and_orders(tmp_path: Path) -> None:
    path, clock = tmp_path / "journal.db", ManualClock()
    both = line(station(), station("packer", counter("packer", Role.GOOD), gun="gun-2"))
    made = {"press.total": 100, "press.reject": 10, "packer.good": 500}
    async with recording(both, path) as recorder:

        async def make(**parts: int) -> None:
            clock.pass_ms(5_000)
            for name, more in parts.items():
                made[name.replace("_", ".")] += more
            await recorder.emit([see(clock, signal, raw, answers=1) for signal, raw in made.items()])

        async def said(text: str, gun: str = "gun-1") -> None:
            clock.pass_ms(2_000)
            await recorder.emit([scan(clock, text, gun, fresh=tuple(made))])

        await make()
        await make(press_total=1, packer_good=2)
        await said("J WO-1001-10")
        await said("J WO-1001-10", "gun-2")
        await make(press_total=5, press_reject=1, packer_good=3)
        await said("J WO-1002")
        await make(press_total=2)
        await said("J WO-1001-10")
        await make(press_total=4)
        await said("E 4711")
        await said("X BURR")
        await said("Q 1")
        reader = JournalReader(path, "line-1")
        assert order_totals(reader) == {
            ("press", UNASSIGNED): Totals(made=1, total=1),
            ("packer", UNASSIGNED): Totals(made=2, good=2),
            ("press", "WO-1001"): Totals(made=9, total=9, reject=1, booked=1),
            ("press", "WO-1002"): Totals(made=2, total=2),
            ("packer", "WO-1001"): Totals(made=3, good=3),
        }
        press, packer = station_views(reader, both)
        assert (press.order, press.operation, press.quantity, press.good, press.scrap) == (
            "WO-1001",
            10,
            100,
            7,
            2,
        )
        words = "1 scrapped at press, BURR (taken from the good): 7 good, 2 scrap"
        assert (press.operator, press.unassigned, press.said) == ("4711", 1, words)
        assert (packer.order, packer.good, packer.state, packer.operator) == ("WO-1001", 3, None, None)
        states = current_states(reader, both)
        assert set(states) == {"press/job", "press/machine", "packer/job", "packer/machine"}
        assert json.decode(states["press/job"])["good"] == 7
        reader.close()


async def test_a_line_that_has_seen_nothing_is_shown_too(tmp_path: Path) -> None:
    async with recording(line(), tmp_path / "journal.db"):
        reader = JournalReader(tmp_path / "journal.db", "line-1")
        [view] = station_views(reader, line())
        assert (view.order, view.good, view.state, view.mean_cycle_s) == (None, 0, None, None)
        assert order_totals(reader) == {}
        reader.close()
