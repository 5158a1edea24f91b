"""What a maker's label, a tool and a limit say of a unit is found again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.observation import Step, TestResult, Verdict
from edge.trace.genealogy import Genealogy, trace
from edge.trace.tree import verdict_words
from edge.trace.verify import read_dossier
from tests.support.line import see
from tests.trace.floor import Floor
from tests.trace.test_dossier import made

UNIT = "04012345678901.S1"
LABEL = "]C1010401234567890121S1\x1d10B77"


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    made = Floor(tmp_path)
    yield made
    made.close()


def found(floor: Floor, kind: str, name: str, direction: str) -> Genealogy:
    with floor.history() as known, known.snapshot():
        return trace(known, (kind, name), direction)


def names(genealogy: Genealogy) -> set[str]:
    return {f"{node.kind} {node.name}" for node in genealogy.nodes}


def read(floor: Floor, label: str) -> None:
    floor.clock.pass_ms(2_000)
    outcome = floor.see(see(floor.clock, "gun-press", label))
    assert outcome.verdict is Verdict.ACCEPTED, outcome


def test_the_batch_on_a_units_own_label_leads_to_it_and_back(floor: Floor) -> None:
    floor.did("J WO-1-10")
    floor.make(parts=2)
    read(floor, LABEL)
    floor.test(LABEL)
    assert f"unit {UNIT}" in names(found(floor, "lot", "B77", "forward"))
    assert "lot B77" in names(found(floor, "unit", UNIT, "back"))
    of_lot = found(floor, "lot", "B77", "forward")
    assert [(one.order, one.units) for one in of_lot.made] == [("WO-1", 1)]
    assert [(one.rig, one.units, one.passed) for one in of_lot.tested] == [("rig-press", 1, 1)]


def test_the_tools_in_use_are_in_the_run_the_unit_and_the_test(floor: Floor) -> None:
    floor.did("T MOULD.17")
    floor.did("J WO-1-10")
    floor.make(parts=2)
    floor.did("T JIG-3")
    floor.did("S U1")
    floor.test("U1")
    nodes = {node.key: node for node in found(floor, "unit", "U1", "back").nodes}
    unit, run = nodes["unit", "U1"].unit, found(floor, "lot", "B1", "back").nodes[1].run
    assert unit is not None
    assert run is not None
    assert run.tools == ("MOULD.17", "JIG-3")
    assert {one.tools for one in unit.seen} == {("JIG-3", "MOULD.17")}
    assert [one.tools for one in unit.tests] == [("JIG-3", "MOULD.17")]


def test_a_unit_that_fails_its_limits_has_failed_whatever_the_rig_says(floor: Floor) -> None:
    floor.did("J WO-1-10")
    floor.make(parts=2)
    leak = Step("leak", 0.6, "mbar", None, 0.5)
    for number, steps in enumerate([(leak,), (Step("weight", 12.5),)]):
        passed = True if number == 0 else None
        told = TestResult("U1", f"p{number}", passed, number=str(number), steps=steps)
        floor.see(see(floor.clock, "rig-press", told))
    unit = found(floor, "unit", "U1", "back").nodes[0].unit
    assert unit is not None
    assert unit.state == "failed"
    words = [verdict_words(one.passed, differs=one.differs) for one in unit.tests]
    assert words == ["failed (the rig and its limits differ)", "measured"]
    assert [one.passed for one in found(floor, "lot", "B1", "forward").tested] == [0, 0]


def uses(floor: Floor, lot: str) -> set[str]:
    return {edge.how for edge in found(floor, "lot", lot, "forward").edges if edge.target[0] == "run"}


def test_a_lot_that_was_taken_back_is_none_of_the_runs(floor: Floor) -> None:
    floor.did("J WO-1-10")
    floor.did("L STEEL.1")
    floor.make(parts=4)
    floor.did("L STEEL.2")
    floor.did("S U1")
    floor.make(parts=2)
    floor.did("C UNDO")  # of the serial number
    floor.did("C UNDO")
    floor.did("C DONE")
    assert "run r1" not in names(found(floor, "lot", "STEEL.2", "forward"))
    assert "lot STEEL.2" not in names(found(floor, "lot", "B1", "back"))
    assert uses(floor, "STEEL.1") == {"mounted, backflush 3"}
    assert "lot STEEL.1" in names(found(floor, "unit", "U1", "back"))


def test_a_pallet_scanned_twice_holds_what_its_label_says(floor: Floor) -> None:
    floor.did("J WO-1-10")
    for _ in range(2):
        read(floor, "[)>\x1e06\x1dPSTEEL\x1d1T77\x1dQ500\x1e\x04")
        floor.make(parts=2)
    assert uses(floor, "STEEL.77") == {"mounted 500, backflush 1"}
    lines = read_dossier("", made(floor, "r1")).header.contents.materials
    assert [(one.use, one.times, one.quantity) for one in lines] == [("mounted", 2, 500), ("backflush", 1, 1)]
