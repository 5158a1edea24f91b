"""What became of lots and serial numbers, and what they were made of."""

from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Record
from edge.errors import TraceRefused
from edge.production.totals import Totals, counted, disposed
from edge.trace.genealogy import Genealogy, Key, resolve, trace
from edge.trace.tree import ASCII, UNICODE, drawn
from tests.trace.floor import Floor


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path)
    yield floor
    floor.close()


def found(floor: Floor, name: str, direction: str, limit: int = 1_000) -> Genealogy:
    with floor.history() as history, history.snapshot():
        return trace(history, resolve(history, name), direction, limit)


def names(genealogy: Genealogy) -> set[str]:
    return {f"{node.kind} {node.name}" for node in genealogy.nodes}


def forward(floor: Floor, name: str) -> set[str]:
    return names(found(floor, name, "forward"))


def back(floor: Floor, name: str) -> set[str]:
    return names(found(floor, name, "back"))


def two_stations(floor: Floor) -> None:
    """Steel becomes brackets at the press; a batch of these becomes units at the weld, tested on its rig."""
    for text in ("E 4711", "J WO-1-10", "L STEEL.1", "L BRKT.7"):
        floor.did(text)
    floor.make(parts=20)
    floor.did("C DONE")
    for text in ("J WO-3-20", "L BRKT.7", "L OUT.1"):
        floor.did(text, "weld")
    floor.make("weld", 3)
    floor.did("S U1", "weld")
    floor.test("U1", "weld")
    floor.test("U2", "weld", passed=False)


def test_a_lot_leads_to_the_units_that_hold_it_and_back(floor: Floor) -> None:
    two_stations(floor)
    whole = {"lot STEEL.1", "run r1", "lot BRKT.7", "run r2", "lot OUT.1", "unit U1", "unit U2"}
    assert forward(floor, "STEEL.1") == whole
    assert back(floor, "U1") == whole - {"unit U2"}, "U1 and U2 are of the same batch"
    assert back(floor, "U2") == whole - {"unit U1"}
    assert back(floor, "STEEL.1") == {"lot STEEL.1"}


def test_quality_hears_what_else_on_which_rig_under_which_revision(floor: Floor) -> None:
    two_stations(floor)
    genealogy = found(floor, "BRKT.7", "forward")
    assert [
        (one.order, one.item, one.revision, one.run, one.station, one.units) for one in genealogy.made
    ] == [("WO-3", "P9", "A", "r2", "weld", 1)]
    assert [(one.rig, one.program, one.units, one.passed) for one in genealogy.tested] == [
        ("rig-weld", "final", 1, 1)
    ]
    [unit] = [node for node in genealogy.nodes if node.name == "U2"]
    assert unit.unit is not None
    assert [(one.rig, one.passed) for one in unit.unit.tests] == [("rig-weld", False)]
    assert [(one.order, one.revision, one.run) for one in unit.unit.seen] == [("WO-3", "A", "r2")]
    [run] = [node.run for node in genealogy.nodes if node.name == "r2"]
    assert run is not None
    assert (run.station, run.order, run.operation, run.revision, run.good) == ("weld", "WO-3", 20, "A", 3)


def test_how_much_of_a_lot_a_run_used_is_said(floor: Floor) -> None:
    for text in ("J WO-1-10", "L STEEL.1"):
        floor.did(text)
    floor.make(parts=10)
    floor.did("L STEEL.1")  # a lot, then a quantity: so much of it was taken
    floor.did("Q 3")
    floor.did("L STEEL.2")
    [edge] = [edge for edge in found(floor, "STEEL.1", "forward").edges if edge.target == ("run", "r1")]
    assert edge.how == "mounted, backflush 5, scanned 3"


# --- corrections ----------------------------------------------------------------------------------


def test_a_unit_of_an_undone_card_is_of_the_job_before(floor: Floor) -> None:
    for text in ("E 4711", "J WO-1-10"):
        floor.did(text)
    floor.make(parts=5)
    floor.did("J WO-2-10")
    floor.make(parts=2)
    floor.did("S U1")
    floor.test("U1")
    assert forward(floor, "B2") == {"lot B2", "unit U1"}
    floor.did("C UNDO")  # of the serial, which waited
    floor.did("C UNDO")
    assert forward(floor, "B2") == {"lot B2"}
    assert forward(floor, "B1") == {"lot B1", "unit U1"}
    assert back(floor, "U1") == {"unit U1", "lot B1", "run r1"}
    assert back(floor, "B2") == {"lot B2"}, "its run made nothing after all"
    [unit] = [node.unit for node in found(floor, "U1", "back").nodes if node.kind == "unit"]
    assert unit is not None
    assert {(one.order, one.revision, one.batch, one.run) for one in unit.seen} == {("WO-1", "C", "B1", "r1")}


def test_a_reassigned_run_is_of_its_new_order_and_batch(floor: Floor) -> None:
    for text in ("J WO-1-10", "L STEEL.1"):
        floor.did(text)
    floor.make(parts=4)
    floor.did("S U1")
    floor.test("U1")
    floor.did("C DONE")
    floor.reassign("r1", "WO-2-10", "B9")
    assert back(floor, "B9") == {"lot B9", "run r2", "lot STEEL.1"}
    assert back(floor, "U1") == {"unit U1", "lot B9", "run r2", "lot STEEL.1"}
    assert forward(floor, "STEEL.1") == {"lot STEEL.1", "run r2", "lot B9", "unit U1"}
    assert back(floor, "B1") == {"lot B1"}


def test_a_batch_that_only_counts_were_given_to_is_known(floor: Floor) -> None:
    floor.did("J WO-1-10")
    floor.make(parts=4)
    floor.did("C DONE")
    floor.reassign("r1", "WO-2-10", "B9")
    assert back(floor, "B9") == {"lot B9", "run r2"}


# --- bounds ---------------------------------------------------------------------------------------


def test_a_circle_of_splits_and_merges_ends(floor: Floor) -> None:
    floor.split("A", "B", "C")
    floor.merge("A", "B", "C")
    whole = {"lot A", "lot B", "lot C"}
    for name in "ABC":
        assert forward(floor, name) == back(floor, name) == whole


def test_a_long_chain_is_drawn_and_encoded(floor: Floor) -> None:
    """A terminal ends before the chain does."""
    for number in range(60):
        floor.split(f"L{number}", f"L{number + 1}", f"REST{number}")
    genealogy = found(floor, "L0", "forward")
    assert len(genealogy.nodes) == 121
    lines = list(drawn(genealogy, UTC, width=80))
    assert any("and on: trace L" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_what_a_limit_leaves_out_is_said(floor: Floor) -> None:
    for text in ("J WO-1-10", "L STEEL.1"):
        floor.did(text)
    for number in range(12):
        floor.did(f"S U{number}")
    genealogy = found(floor, "STEEL.1", "forward", limit=5)
    assert not genealogy.complete
    assert len([node for node in genealogy.nodes if node.kind == "unit"]) == 5
    lines = list(drawn(genealogy, UTC))
    assert any(line.endswith("and more: 7 units; --limit shows more of them") for line in lines), lines
    assert [one.units for one in genealogy.made] == [12], "the sums are of all of them"
    assert found(floor, "STEEL.1", "forward", limit=12).complete


# --- names ----------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_nearest(floor: Floor) -> None:
    for text in ("J WO-1-10", "L STEEL.17", "S SN-0001"):
        floor.did(text)
    with pytest.raises(TraceRefused, match=r"STEEL.71 is no serial number and no lot .* mean STEEL.17"):
        found(floor, "STEEL.71", "back")
    with pytest.raises(TraceRefused, match=r"mean SN-0001"):
        found(floor, "SN-0002", "back")
    with pytest.raises(TraceRefused, match=r"seen$"):
        found(floor, "lot/", "back")


def test_a_name_of_both_must_be_said_in_full(floor: Floor) -> None:
    for text in ("J WO-1-10", "S B1"):
        floor.did(text)
    with pytest.raises(TraceRefused, match="say unit/B1 or lot/B1"):
        found(floor, "B1", "back")
    assert "unit B1" in forward(floor, "lot/B1")
    assert "lot B1" in back(floor, "unit/B1")


def test_nothing_that_a_rig_says_moves_the_cursor(floor: Floor) -> None:
    nasty = "SN\x1b[2J\x07\n\u202eevil 漢字漢字"
    floor.did("J WO-1-10")
    floor.test(nasty, program="\x9b5m")
    with floor.history() as history, history.snapshot():
        genealogy = trace(history, ("unit", nasty), "back")
        with pytest.raises(TraceRefused) as refused:
            resolve(history, nasty[:-1])
    assert "did you mean" in str(refused.value)
    assert str(refused.value).isprintable()
    for lines, width in ((UNICODE, None), (ASCII, None), (UNICODE, 30)):
        for line in drawn(genealogy, UTC, lines, width):
            assert line.isprintable() or not line, line
    assert all("├" not in line and "└" not in line for line in drawn(genealogy, UTC, ASCII))


# --- generated genealogies ------------------------------------------------------------------------

_JOBS = st.sampled_from(["J WO-1-10", "J WO-2-10", "J WO-3-20"])
_LABELS = st.sampled_from([
    "L STEEL.1", "L STEEL.2", "L GLUE.1", "L BRKT.1", "L BRKT.2", "L OUT.1", "S U1", "S U2", "S U3", "C DONE",
    "C PAUSE", "C UNDO", "C CANCEL", "E 1", "E 2",
])  # fmt: skip
_DOINGS = st.sampled_from(["scan", "scan", "scan", "job", "make", "make", "test", "give", "split"])
STEPS = st.lists(
    st.tuples(_DOINGS, _LABELS, _JOBS, st.sampled_from(["press", "weld"]), st.integers(1, 9)),
    min_size=5, max_size=30,
)  # fmt: skip


def play(floor: Floor, steps: Iterable[tuple[str, str, str, str, int]]) -> None:
    """Whatever a plant could do; what the core refuses changes nothing."""
    for what, label, job, at, number in steps:
        match what:
            case "scan":
                if label == "C UNDO":
                    floor.scan("C CANCEL", at)
                floor.scan(label, at)
            case "job":
                floor.scan(job, at)
            case "make":
                floor.make(at, number)
            case "test":
                floor.test(f"U{number}", at, number % 3 > 0)
            case "give":
                floor.give(f"r{number}", job[2:], f"NEW.{number}" if number % 2 else None)
            case "split":
                floor.split(f"BRKT.{number}", f"BRKT.{number + 1}", f"PART.{number}")


def related(floor: Floor) -> set[tuple[Key, Key]]:
    """The relation, from every event one by one, as the module's first lines have it."""
    found: set[tuple[Key, Key]] = set()
    parts: dict[tuple[Key, Key], Totals] = {}
    for event in floor.records():
        run, batch, data = event.context.get("run"), event.context.get("batch"), event.data
        lots = data.get("lots", ())
        if event.type == "material" and run:
            found.add((("lot", data["lot"]), ("run", str(run))))
        if run and batch:
            made = ("run", str(run)), ("lot", str(batch))
            parts[made] = parts.get(made, Totals()).and_(totals_of(event))
            found |= {made} if event.type in ("unit", "test") else set()
        if event.type in ("unit", "test"):
            unit = ("unit", data["unit"])
            found |= {(("lot", lot), unit) for lot in lots}
            if batch:
                found.add((("lot", str(batch)), unit))
            if run and not batch and not lots:
                found.add((("run", str(run)), unit))
        if event.type == "lot":
            sources, results = data.get("sources", ()), data.get("results", ())
            found |= {(("lot", a["lot"]), ("lot", b["lot"])) for a in sources for b in results}
    found |= {made for made, totals in parts.items() if totals != Totals()}
    return {(source, target) for source, target in found if source != target}


def totals_of(event: Record) -> Totals:
    """What one event adds to its run."""
    data = event.data
    if event.type == "count":
        of_total = data.get("of_total", False)
        return counted(data["role"], data["produced"], counts=data.get("counts", True), of_total=of_total)
    if event.type == "disposition":
        return disposed(data["disposition"], data["quantity"])
    if event.type == "adjustment":
        return Totals(added=data["good"] + data["scrap"], booked=data["scrap"])
    if event.type == "test" and data.get("first"):
        return Totals(inspected=1, first_pass=int(data.get("first_pass", False)))
    return Totals()


def closure(relation: set[tuple[Key, Key]], start: Key) -> set[Key]:
    found, before = {start}, set[Key]()
    while found != before:
        before = set(found)
        found |= {target for source, target in relation if source in found}
    return found


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_generated_genealogies_agree_with_the_obvious_model(
    steps: list[tuple[str, str, str, str, int]],
) -> None:
    with TemporaryDirectory() as folder:
        floor = Floor(Path(folder))
        try:
            play(floor, steps)
            relation = related(floor)
            turned = {(target, source) for source, target in relation}
            nodes = {key for pair in relation for key in pair}
            with floor.history() as history, history.snapshot():
                for start in sorted(nodes):
                    ahead = {node.key for node in trace(history, start, "forward", 1_000).nodes}
                    behind = {node.key for node in trace(history, start, "back", 1_000).nodes}
                    assert ahead == closure(relation, start), start
                    assert behind == closure(turned, start), start
                    for key in ahead:
                        assert start in {node.key for node in trace(history, key, "back", 1_000).nodes}
        finally:
            floor.close()
