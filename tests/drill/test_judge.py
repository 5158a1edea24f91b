"""The verdict, on drills that went well and on drills that did not."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.drill.books import Books, Fact
from edge.drill.far import Arrivals, BrokerEnd, LinesEnd, PointsEnd, ResultsEnd
from edge.drill.judge import Moment, Outlet, Scene, judge
from edge.drill.people import Device
from edge.drill.report import DrillReport, Fault, Row, final_view, total, verdict
from edge.production import Line
from simulators.points_db import Point


class Stopwatch:
    """Seconds, as they are set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Silent(Device):
    """It says nothing more."""

    async def work(self, on: asyncio.Event) -> None:
        await asyncio.Event().wait()


def books(facts: Sequence[Fact], written_s: Sequence[float]) -> Books:
    """A journal whose records came at these times."""
    found = Books(Path("nowhere"), Line("l", ()), Stopwatch())
    found.facts = list(facts)
    found._heads = [(fact.seq, at_s) for fact, at_s in zip(facts, written_s, strict=True)]
    return found


def events(count: int) -> list[Fact]:
    return [Fact(seq, f"e-{seq}", "count") for seq in range(1, count + 1)]


def moment(at_s: float, head: int, made: int = 0, counted: int = 0, said: int = 0) -> Moment:
    return Moment(
        at_s, head, Counter({"s.total": made}), Counter({"s.total": counted}), Counter(), {"d": said}
    )


def scene(end: Moment, cut_s: float = 1.0, healed_s: float = 5.0) -> Scene:
    return Scene("sink uns", "cut off", moment(0.0, 0), end, cut_s, healed_s)


def row(fault: Fault, what: str) -> Row:
    [found] = [one for one in fault.rows if what in one.what]
    return found


def broker(times: dict[str, float], bodies: dict[str, bytes] | None = None) -> Outlet:
    watch = Stopwatch()
    arrivals = Arrivals(watch)
    for key, at_s in times.items():
        watch.now_s = at_s
        arrivals.note(key, 1, (bodies or {}).get(key, b""))
    return Outlet("uns", 0.0, BrokerEnd(arrivals))


def test_all_came_in_time() -> None:
    outlet = broker({"e-1": 1.1, "e-2": 2.1})
    fault = judge(scene(moment(9.0, 2, 7, 7)), books(events(2), [1.0, 2.0]), [], [outlet])
    assert row(fault, "uns") == Row("events to uns", 2, slowest_s=0.1)
    assert row(fault, "s.total") == Row("counts of s.total", 7)


def test_what_waited_is_late_and_recovered() -> None:
    outlet = broker({"e-1": 6.0, "e-2": 6.0, "e-3": 6.1})
    fault = judge(scene(moment(9.0, 3)), books(events(3), [1.5, 4.5, 6.0]), [], [outlet])
    assert row(fault, "uns") == Row("events to uns", 3, late=1, recovered=2, slowest_s=4.5)


def test_what_never_came_is_lost() -> None:
    fault = judge(scene(moment(9.0, 3)), books(events(3), [1.0] * 3), [], [broker({"e-2": 1.0})])
    assert row(fault, "uns").lost == 2


def test_an_event_that_the_journal_does_not_know_came_twice() -> None:
    outlet = broker({"e-1": 1.0, "f-1": 1.0})
    fault = judge(scene(moment(9.0, 1)), books(events(1), [1.0]), [], [outlet])
    assert (row(fault, "uns").lost, row(fault, "uns").duplicated) == (0, 1)


def test_telemetry_that_arrived_and_has_made_room_since_is_known() -> None:
    found = books(events(1), [1.0])
    found.dropped = [Fact(2, "t-2", "telemetry")]
    fault = judge(scene(moment(9.0, 2)), found, [], [broker({"e-1": 1.0, "t-2": 1.0})])
    assert row(fault, "uns") == Row("events to uns", 1)


def test_a_repeat_does_no_harm_unless_it_says_something_else() -> None:
    outlet = broker({"e-1": 1.0, "e-2": 1.0})
    outlet.end.arrivals.note("e-1", 1, b"")
    outlet.end.arrivals.note("e-2", 1, b"another")
    outlet.end.arrivals.note("e-2", 2, b"a later attribution may")
    fault = judge(scene(moment(9.0, 2)), books(events(2), [1.0, 1.0]), [], [outlet])
    assert (row(fault, "uns").repeated, row(fault, "uns").duplicated) == (3, 1)


def test_telemetry_may_come_again_thinned() -> None:
    arrivals = Arrivals(Stopwatch())
    for kind in ("telemetry", "count"):
        for text in ("all", "less"):
            arrivals.note_json(
                b'{"id":"%b","type":"%b","x":"%b"}' % (kind.encode(), kind.encode(), text.encode())
            )
    assert arrivals.changed == {"count"}
    arrivals.note_json(b"no JSON")
    arrivals.note_json(b'{"online":true}')
    assert arrivals.first_s.keys() == {"telemetry", "count"}


@pytest.mark.parametrize(("counted", "lost", "duplicated"), [(9, 1, 0), (11, 0, 1), (10, 0, 0)])
def test_parts(counted: int, lost: int, duplicated: int) -> None:
    fault = judge(scene(moment(9.0, 0, 10, counted)), books([], []), [], [])
    assert (fault.lost, fault.duplicated) == (lost, duplicated)


def test_what_is_counted_after_its_scene_is_not_twice() -> None:
    late = Scene("next", "", moment(9.0, 0, 10, 8), moment(20.0, 0, 20, 20), 10.0, 12.0)
    fault = judge(late, books([], []), [], [])
    assert (fault.lost, fault.duplicated) == (0, 0)


def test_what_was_confirmed_must_be_on_record() -> None:
    facts = [Fact(1, "e-1", "test", "U1"), Fact(2, "e-2", "test", "U2"), Fact(3, "e-3", "test", "U2")]
    rig = Silent("d", "test", ["U1", "U2", "U3"])
    fault = judge(scene(moment(9.0, 3, said=3)), books(facts, [1.0] * 3), [rig], [])
    assert row(fault, "of d") == Row("results of d", 3, lost=1, duplicated=1)
    assert not fault.remarks


def test_who_is_told_nothing_is_told_so() -> None:
    gun = Silent("d", "scan", ["A"], is_told=False)
    fault = judge(scene(moment(9.0, 0, said=1)), books([], []), [gun], [])
    assert fault.lost == 1
    assert "set `confirm`" in fault.remarks[0]


def test_points_are_known_by_the_seq_in_their_time() -> None:
    arrivals = Arrivals(Stopwatch())
    end = PointsEnd(arrivals)
    arrivals.note_points([
        Point("count", 5_000_002), Point("order_total", 5_000_002), Point("telemetry", 77),
        Point("lineside_probe", 0),
    ])  # fmt: skip
    facts = [*events(2), Fact(3, "e-3", "telemetry")]
    assert arrivals.first_s.keys() == {"2"}
    assert end.expected(facts).keys() - arrivals.first_s.keys() == {"1"}
    assert end.strangers(facts) == set()


def test_files_are_read_whole_line_by_whole_line_through_a_rotation(tmp_path: Path) -> None:
    end = LinesEnd(Arrivals(Stopwatch()), tmp_path / "out")
    file = end.folder / "events.lp"
    file.write_text("count a=1i 1000001\ncount a=2i 10", encoding="utf-8")
    end.look()
    assert end.arrivals.first_s.keys() == {"1"}
    with file.open("a", encoding="utf-8") as more:
        more.write("00002\n")
    file.rename(end.folder / "events-old.lp")
    file.write_text("count a=3i 1000003\n", encoding="utf-8")
    end.look()
    assert end.arrivals.first_s.keys() == {"1", "2", "3"}
    assert end.arrivals.repeats == []


async def test_a_folder_that_is_cut_off_cannot_be_written(tmp_path: Path) -> None:
    end = LinesEnd(Arrivals(Stopwatch()), tmp_path / "out")
    (end.folder / "kept").touch()
    await end.cut()
    with pytest.raises(NotADirectoryError):
        (end.folder / "new").touch()
    await end.heal()
    assert (end.folder / "kept").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l_A-1-10.json", '{"order":"A-1","operation":10,"id":"e-2","other":1}'),
        ("l_A-1-10.csv", "order,operation,state,line,id\r\nA-1,10,Ended,l,e-2\r\n"),
    ],
)
def test_of_a_job_the_newest_result_must_be_there(tmp_path: Path, name: str, text: str) -> None:
    end = ResultsEnd(Arrivals(Stopwatch()), tmp_path / "out")
    facts = [Fact(1, "e-1", "result", "A-1-10"), Fact(2, "e-2", "result", "A-1-10")]
    assert end.expected(facts).keys() == {"A-1-10 e-2"}
    (end.folder / name).write_text(text, encoding="utf-8")
    end.look()
    assert end.arrivals.first_s.keys() == {"A-1-10 e-2"}


def report(*rows: Row, untried: Sequence[str] = ()) -> DrillReport:
    return total("l", [Fault("disk", "full", rows, ["a remark"])], untried, ["a change"])


def test_the_verdict() -> None:
    good = report(Row("x", 5, late=2, recovered=1), untried=["a full disk"])
    assert good.passed
    assert str(verdict(good)) == "passed: lost 0, duplicated 0, late 2, recovered 1; 1 not tried"
    for bad in (report(Row("x", 5, lost=1)), report(Row("x", 5, duplicated=1))):
        assert not bad.passed
        assert str(verdict(bad)).startswith("FAILED: ")
    said = "\n".join(str(line) for line in final_view(good))
    for word in ("disk: full", "a remark", "a change", "not tried: a full disk"):
        assert word in said
