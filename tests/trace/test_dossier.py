"""The dossier of a run: complete, true to the journal, and nobody changes it unseen."""

import hashlib
import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from edge import trace
from edge.errors import DossierRefused
from edge.observation import Adjust, Verdict
from edge.trace.dossier import Dossier, EventLine, event_bytes, rendered
from edge.trace.summary import Summary
from edge.trace.verify import Verdict as Checked
from edge.trace.verify import named, read_dossier, told, verify
from edge.trace.write import Form, pieces
from tests.trace.floor import Floor
from tests.trace.test_genealogy import STEPS, play


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path)
    yield floor
    floor.close()


def made(floor: Floor, run: str, form: Form = "json") -> bytes:
    with floor.history() as history:
        found = history.run(run)
        assert found is not None
        return b"".join(pieces(history, found, form))


def checked(body: bytes, floor: Floor | None = None) -> Checked:
    dossier = read_dossier("a file", body)
    if floor is None:
        return verify(body, dossier)
    with floor.history() as history:
        return verify(body, dossier, history)


def a_run(floor: Floor) -> None:
    """r1: 20 parts, 2 scrap, one unit tested twice, steel of two lots."""
    for text in ("E 4711", "J WO-1-10", "L STEEL.1"):
        floor.did(text)
    floor.make(parts=20)
    floor.did("S U1")
    floor.test("U1", passed=False)
    floor.test("U1")
    for text in ("C CANCEL", "X DENT", "Q 2", "L STEEL.2"):
        floor.did(text)
    floor.make(parts=5)
    floor.did("C DONE")


# --- what is in it ----------------------------------------------------------------------------


def test_the_header_says_what_was_made_of_what_by_whom(floor: Floor) -> None:
    a_run(floor)
    header = read_dossier("", made(floor, "r1")).header
    assert (header.order, header.operation, header.item, header.revision) == ("WO-1", 10, "P7", "C")
    assert (header.station, header.kind, header.quantity, header.ended is None) == (
        "press", "production", 1000, False,
    )  # fmt: skip
    figures = header.contents.figures
    assert (figures.produced, figures.good, figures.scrap, figures.rework) == (25, 23, 2, 0)
    assert (figures.inspected, figures.first_pass) == (1, 0)
    assert (header.contents.batches, header.contents.people) == (("B1",), ("4711",))
    assert [(one.lot, one.use, one.quantity) for one in header.contents.materials] == [
        ("STEEL.1", "mounted", 0), ("STEEL.1", "backflush", 10), ("STEEL.2", "mounted", 0),
        ("STEEL.2", "backflush", 2.5),
    ]  # fmt: skip
    assert [(one.rig, one.tests, one.passed) for one in header.contents.tests] == [("rig-press", 2, 1)]
    assert [(one.kind, one.quantity, one.words) for one in header.contents.dispositions] == [
        ("scrap", 2, "DENT")
    ]
    assert (header.contents.units, header.contents.units_in_all) == (("U1",), 1)


def test_the_chain_can_be_followed_as_the_page_says(floor: Floor, tmp_path: Path) -> None:
    """With nothing of Lineside; also where a rig sent what other programs take for the end of a line."""
    floor.did("J WO-1-10")
    floor.test("U\u2028\x85\r\n1")
    body = made(floor, "r1")
    page = (Path(trace.__file__).parent / "trace.md").read_text(encoding="utf-8")
    [script] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for content, status in ((body, 0), (body.replace(b"final", b"FINAL"), 1)):
        (tmp_path / "dossier.json").write_bytes(content)
        command = [sys.executable, "-c", script, str(tmp_path / "dossier.json")]
        assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == status
    assert checked(body, floor).faults == ()


def test_corrections_and_what_they_moved_are_named_on_both_sides(floor: Floor) -> None:
    a_run(floor)
    floor.reassign("r1", "WO-2-10", "B9")
    assert floor.ask(Adjust("boss", "found one", "r2", good=1)).verdict is Verdict.ACCEPTED
    left, got = (read_dossier("", made(floor, run)).header for run in ("r1", "r2"))
    assert left.contents.figures.produced == 0
    assert (got.contents.figures.produced, got.contents.figures.good) == (26, 24)
    assert got.contents.figures.adjusted == 1
    [out], [came] = left.moved_out, got.contents.moved_in
    assert (out.run, out.order, out.version) == ("r2", "WO-2", 2)
    assert (came.run, came.order, came.version) == ("r1", "WO-1", 2)
    assert out.seqs == came.seqs
    assert [(one.what, one.by, one.reason, one.good) for one in got.contents.corrections] == [
        ("reassigned", "boss", "wrong card", 23), ("adjusted", "boss", "found one", 1),
    ]  # fmt: skip
    assert [(one.what, one.good) for one in left.contents.corrections] == [("reassigned", -23)]
    for run in ("r1", "r2"):
        assert checked(made(floor, run), floor).faults == ()


def test_an_event_far_from_the_runs_time_is_in_it(floor: Floor) -> None:
    """The wall clock went back by a year, then on by two: the run is the same."""
    floor.did("J WO-1-10")
    floor.make(parts=3)
    floor.clock.step_ms(-365 * 86_400_000)
    floor.make(parts=4)
    floor.clock.step_ms(730 * 86_400_000)
    floor.make(parts=5)
    floor.did("C DONE")
    assert read_dossier("", made(floor, "r1")).header.contents.figures.produced == 12


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_run_has_all_of_its_events_and_adds_up(steps: Any) -> None:
    with TemporaryDirectory() as folder:
        floor = Floor(Path(folder))
        try:
            play(floor, steps)
            wanted: dict[str, list[int]] = {}
            for record in floor.records():
                wanted.setdefault(str(record.context.get("run")), []).append(record.seq)
            with floor.history() as history:
                runs = history.runs(None, None, 1_000)
            for run in runs:
                body = made(floor, run.id)
                found = read_dossier("", body)
                assert [one.event.seq for one in found.events] == wanted.get(run.id, [])
                figures, totals = found.header.contents.figures, run.totals
                assert (figures.produced, figures.good, figures.scrap, figures.rework, figures.inspected) == (
                    totals.produced, totals.good_parts, totals.scrap_parts, totals.rework, totals.inspected,
                )  # fmt: skip
                verdict = checked(body, floor)
                assert (verdict.faults, verdict.notes) == ((), ())
            assert {run.id for run in runs} >= wanted.keys() - {"None"}
        finally:
            floor.close()


# --- what was changed is found ------------------------------------------------------------------


@pytest.fixture(scope="module")
def untouched() -> bytes:
    with TemporaryDirectory() as folder:
        floor = Floor(Path(folder))
        a_run(floor)
        body = made(floor, "r1")
        floor.close()
        return body


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_byte_of_the_file_can_be_changed(untouched: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(untouched) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != untouched[place]))
    body = untouched[:place] + bytes([other]) + untouched[place + 1 :]
    with suppress(DossierRefused):
        assert checked(body).faults


@pytest.mark.parametrize("cut", [0, 1, 100, 5_000, -2])
def test_half_a_file_is_refused(untouched: bytes, cut: int) -> None:
    with pytest.raises(DossierRefused, match="dossier half"):
        read_dossier("half", untouched[:cut])


def forged(dossier: Dossier, events: list[EventLine], **header: Any) -> bytes:
    """What somebody makes who knows the format: the sums and the whole chain are right again."""
    summary = Summary()
    for event in events:
        summary.add(event)
    lied = replace(dossier.header, contents=summary.contents(), **header)
    return b"".join(rendered(lied, map(event_bytes, events)))


def events_of(floor: Floor) -> tuple[Dossier, list[EventLine]]:
    dossier = read_dossier("", made(floor, "r1"))
    return dossier, [one.event for one in dossier.events]


def test_a_forgery_with_a_right_chain_is_found_in_the_journal(floor: Floor) -> None:
    a_run(floor)
    dossier, events = events_of(floor)
    place = next(place for place, one in enumerate(events) if one.type == "test")
    test = events[place]
    better = replace(test, data=Raw(bytes(test.data).replace(b"false", b"true")))
    changed = forged(dossier, [*events[:place], better, *events[place + 1 :]])
    assert checked(changed).faults == (), "nobody can tell without the journal"
    [fault] = checked(changed, floor).faults
    assert fault.startswith(f"event {test.seq} (test, ")
    assert fault.endswith("differs from the journal: data")
    [fault] = checked(forged(dossier, [*events[:place], *events[place + 1 :]]), floor).faults
    assert fault.endswith("is missing in the dossier")
    assert fault.startswith(f"event {test.seq} ")
    more = replace(events[-1], seq=dossier.header.as_of)
    [fault] = checked(forged(dossier, [*events[:-1], more]), floor).faults[:1]
    assert "is missing in the dossier" in fault or "was added" in fault
    assert any("was added" in one for one in checked(forged(dossier, [*events, more]), floor).faults)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("count", b'{"role":7}'), ("disposition", b'{"disposition":"sold","quantity":1}'),
        ("disposition", b'{"disposition":"scrap","quantity":1e999}'), ("gap", b"[]"), ("test", b'"x"'),
    ],
)  # fmt: skip
def test_an_event_that_nobody_can_read_is_a_fault(untouched: bytes, kind: str, data: bytes) -> None:
    dossier = read_dossier("", untouched)
    events = [one.event for one in dossier.events]
    odd = replace(events[0], type=kind, data=Raw(data), at_ms=10**17)
    body = b"".join(rendered(dossier.header, map(event_bytes, [odd, *events[1:]])))
    assert any("cannot be read" in fault or "add up" in fault for fault in checked(body).faults)
    assert list(told(checked(body), "file"))


def test_events_in_another_order_are_found(floor: Floor) -> None:
    a_run(floor)
    dossier, events = events_of(floor)
    swapped = [*events[:3], events[4], events[3], *events[5:]]
    [fault] = checked(forged(dossier, swapped)).faults
    assert fault == (
        f"{named(events[3])} stands after event {events[4].seq}: it was reordered or is there twice"
    )
    assert any("there twice" in one for one in checked(forged(dossier, [*events, events[-1]])).faults)


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        ({"revision": "Z"}, "the header's revision is not the journal's"),
        ({"quantity": 7}, "the header's quantity is not the journal's"),
        ({"started": "2026-01-01T00:00:00.000Z"}, "the header's started is not the journal's"),
        ({"run": "r99"}, "the journal of line-1 has no run r99"),
        ({"line": "line-2"}, "the header's line is not the journal's"),
        ({"as_of": 10_000}, "the journal ends at event"),
    ],
)
def test_a_lie_in_the_header_is_found(floor: Floor, lie: dict[str, Any], fault: str) -> None:
    a_run(floor)
    dossier, events = events_of(floor)
    assert any(fault in one for one in checked(forged(dossier, events, **lie), floor).faults)


def test_sums_that_are_not_the_events_are_found_without_the_journal(floor: Floor) -> None:
    a_run(floor)
    dossier, events = events_of(floor)
    contents = dossier.header.contents
    better = replace(contents, figures=replace(contents.figures, scrap=0))
    body = b"".join(rendered(replace(dossier.header, contents=better), map(event_bytes, events)))
    assert checked(body).faults == ("the header's figures are not what the events add up to",)


def test_what_came_after_the_dossier_is_no_fault_of_it(floor: Floor) -> None:
    a_run(floor)
    body = made(floor, "r1")
    floor.ask(Adjust("boss", "found one", "r1", good=1))
    verdict = checked(body, floor)
    assert verdict.faults == ()
    assert verdict.notes == (f"1 events of r1 came after event {verdict.header.as_of}",)
    floor.reassign("r1", "WO-2-10")
    verdict = checked(body, floor)
    assert verdict.faults == ()
    assert "given to another owner since" in verdict.notes[0]
    assert any("since then" in line for line in told(verdict, "r1.json"))


# --- for people -----------------------------------------------------------------------------------


class _Links(HTMLParser):
    """Everything that a browser would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "link", "iframe", "object", "embed", "form", "svg", "base"):
            self.found.append(tag)
        self.found += [
            f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "style") or name[:2] == "on"
        ]


def test_the_page_loads_nothing_and_escapes_everything(floor: Floor) -> None:
    a_run(floor)
    floor.did("J WO-2-10")
    floor.test("<script>alert(1)</script>\x1b\"'&", program="<img src=x onerror=y>")
    page = made(floor, "r2", "html").decode()
    links = _Links()
    links.feed(page)
    assert links.found == []
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert all(one.isprintable() or one == "\n" for one in page)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{allowed}'" in page


def test_the_page_ends_with_the_hash_of_the_json(floor: Floor) -> None:
    a_run(floor)
    final = json.loads(made(floor, "r1"))["hash"]
    page = made(floor, "r1", "html").decode()
    assert f"<code>{final}</code>" in page
    for words in ("WO-1-10", "P7", "STEEL.2", "DENT", "FAILED", "rig-press", "4711"):
        assert words in page
    assert page.count('<td class="n">') == len(json.loads(made(floor, "r1"))["events"])
